"""Listening: what ``bind`` may say, and what is said when it cannot be had."""

from __future__ import annotations

import os
import socket
import stat
import tempfile
from pathlib import Path
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import inlineCallbacks
from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase, TestCase

from balancer.errors import BalancerError
from balancer.model.address import Address
from balancer.net.connecting import connect
from balancer.net.listening import adopt, describe, let_go, listen, resolve_bind
from balancer.net.reactor.connection import Connection
from balancer.net.transports import ServerTransport
from tests.net.peers import Recorder, Recorders


class ListenTests(TestCase):
    """Ports that open."""

    timeout = 10

    @inlineCallbacks
    def reach(self, bind: str, address: str = "") -> Any:
        """Open ``bind``, connect, and return the transport of the connection accepted."""
        accepted = Recorders()
        port = listen(reactor, bind, accepted)
        self.addCleanup(port.stopListening)
        target = Address.parse(describe(port))
        client = yield connect(reactor, Address(address, target.port) if address else target, Recorder(), 5)
        server = yield accepted.next()
        transport = server.transport
        client.transport.abortConnection()
        yield client.closed
        transport.abortConnection()
        yield server.closed
        return transport

    @inlineCallbacks
    def test_every_form(self) -> Any:
        """IPv4, IPv6, a name, all addresses, a unix socket and an endpoint description all serve, with our transports."""
        for bind, address in (
            ("127.0.0.1:0", ""),
            ("[::1]:0", ""),
            ("localhost:0", ""),
            ("0.0.0.0:0", "127.0.0.2"),
            ("*:0", "127.0.0.1"),
            ("*:0", "::1"),
            (f"unix:{self.mktemp()}", ""),
            ("tcp:0:interface=127.0.0.1", ""),
        ):
            transport = yield self.reach(bind, address)
            self.assertTrue(hasattr(transport, "queued"), bind)

    @inlineCallbacks
    def test_all_ipv4_and_all_ipv6_side_by_side(self) -> Any:
        """``0.0.0.0`` and ``[::]`` can hold the same port, because ``[::]`` takes IPv6 clients only."""
        first = listen(reactor, "0.0.0.0:0", Recorders())
        self.addCleanup(first.stopListening)
        port = Address.parse(describe(first)).port
        transport = yield self.reach(f"[::]:{port}", "::1")
        self.assertIsInstance(transport, (ServerTransport, Connection))

    def test_unix_socket_mode_and_stale_file(self) -> None:
        """The socket has the permissions asked for, and one left by a process that was killed is replaced."""
        path = self.mktemp()
        left = socket.socket(socket.AF_UNIX)
        left.bind(path)
        left.close()
        port = listen(reactor, f"unix:{path}:mode=600", Recorders())
        self.addCleanup(port.stopListening)
        self.assertEqual(stat.S_IMODE(os.stat(path).st_mode), 0o600)
        with self.assertRaisesRegex(BalancerError, "the address is in use by another program"):
            listen(reactor, f"unix:{path}", Recorders())

    def test_a_file_that_is_no_socket_stays(self) -> None:
        """A path that holds something else is refused, not removed."""
        path = self.mktemp()
        with open(path, "w") as file:
            file.write("precious")
        with self.assertRaisesRegex(BalancerError, "in use"):
            listen(reactor, f"unix:{path}", Recorders())
        with open(path) as file:
            self.assertEqual(file.read(), "precious")


class RefusalTests(SynchronousTestCase):
    """Ports that do not open say why."""

    def assertRefused(self, bind: str, why: str) -> None:
        with self.assertRaises(BalancerError) as refused:
            listen(reactor, bind, Recorders())
        self.assertEqual(str(refused.exception), f"cannot listen on {bind}: {why}")

    def test_in_use(self) -> None:
        """An address in use."""
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            bind = f"127.0.0.1:{taken.getsockname()[1]}"
            self.assertRefused(bind, "the address is in use by another program")
            self.assertRefused(
                f"tcp:{taken.getsockname()[1]}:interface=127.0.0.1", "the address is in use by another program"
            )

    def test_not_ours(self) -> None:
        """An address of another machine."""
        self.assertRefused("192.0.2.1:8080", "this machine does not have that address")

    def test_no_port(self) -> None:
        """A port that is none."""
        self.assertRefused("127.0.0.1:65536", "expected a port from 0 to 65535, got '65536'")
        self.assertRefused("*:65536", "expected a port from 0 to 65535, got '65536'")

    def test_unknown_name(self) -> None:
        """A name without an address."""
        self.assertRefused("nowhere.invalid:80", "the name 'nowhere.invalid' does not resolve")

    def test_missing_directory(self) -> None:
        """A unix socket in a directory that is not there."""
        self.assertRefused("unix:/nonexistent/socket", "No such file or directory")

    def test_nonsense(self) -> None:
        """A text of no known form says which forms there are."""
        with self.assertRaisesRegex(BalancerError, r"expected host:port, \*:port, unix:/path or an endpoint"):
            listen(reactor, "what:ever", Recorders())


class AdoptTests(TestCase):
    """Sockets that somebody else opened."""

    timeout = 10

    @inlineCallbacks
    def serve(self, skt: socket.socket, address: Address, **how: bool) -> Any:
        """Adopt ``skt``, connect to it, and return the port and the transport of the connection."""
        accepted = Recorders()
        port = adopt(reactor, skt.fileno(), accepted, **how)
        client = yield connect(reactor, address, Recorder(), 5)
        server = yield accepted.next()
        transport = server.transport
        client.transport.abortConnection()
        yield client.closed
        transport.abortConnection()
        return port, transport

    @inlineCallbacks
    def test_tcp(self) -> Any:
        """A TCP socket is served by our transports, and listens on when the port is closed."""
        with socket.create_server(("127.0.0.1", 0)) as skt:
            address = Address(*skt.getsockname())
            port, transport = yield self.serve(skt, address)
            self.assertIsInstance(transport, ServerTransport)
            self.assertEqual(describe(port), str(address))
            yield port.stopListening()
            self.assertTrue(skt.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN))

    @inlineCallbacks
    def test_unix(self) -> Any:
        """A unix socket keeps its permissions, and its path unless that is owned."""
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        path = f"{folder.name}/s"
        with socket.socket(socket.AF_UNIX) as skt:
            skt.bind(path)
            Path(path).chmod(0o640)
            skt.listen()
            for owned in (False, True):
                port, _ = yield self.serve(skt, Address("", 0, path), owned=owned)
                self.assertEqual(stat.S_IMODE(Path(path).stat().st_mode), 0o640)
                yield port.stopListening()
                self.assertEqual(Path(path).exists(), not owned)

    @inlineCallbacks
    def test_let_go(self) -> Any:
        """A port that is let go leaves its socket to who else has it."""
        port: Any = listen(reactor, "127.0.0.1:0", Recorders())
        skt = port.socket.dup()
        self.addCleanup(skt.close)
        let_go(port)
        again, _ = yield self.serve(skt, Address(*skt.getsockname()))
        yield again.stopListening()


class ResolveTests(SynchronousTestCase):
    """From text to address."""

    def test_forms(self) -> None:
        """Literals stay, the star is every address of both families."""
        self.assertEqual(resolve_bind("10.0.0.1:80"), ("10.0.0.1", 80, False))
        self.assertEqual(resolve_bind("[::1]:80"), ("::1", 80, False))
        self.assertEqual(resolve_bind("[fe80::1%lo]:80"), ("fe80::1%lo", 80, False))
        self.assertEqual(resolve_bind("*:80"), ("::", 80, True))

    def test_other_reactors(self) -> None:
        """A reactor that makes its own transports is asked to listen."""
        memory = MemoryReactorClock()
        listen(memory, "127.0.0.1:80", Recorders(), 7)
        port, _factory, backlog, interface = memory.tcpServers[0]
        self.assertEqual((port, backlog, interface), (80, 7, "127.0.0.1"))
