"""Connecting: to addresses that answer, refuse, or stay silent."""

from __future__ import annotations

import errno
import resource
import socket
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import CancelledError, Deferred, inlineCallbacks
from twisted.internet.error import ConnectError, DNSLookupError
from twisted.internet.protocol import Protocol
from twisted.internet.task import Clock
from twisted.internet.testing import MemoryReactorClock, StringTransport
from twisted.trial.unittest import SynchronousTestCase, TestCase

from balancer import errors
from balancer.cli.free_ports import claim_port
from balancer.errors import ExchangeError
from balancer.model.address import Address
from balancer.net.connecting import connect, error_of, has_streams, watches_descriptors
from balancer.net.timers import Wheel
from tests.net.peers import Recorder


def listening(backlog: int = 5) -> tuple[socket.socket, Address]:
    skt = socket.socket()
    skt.bind(("127.0.0.1", claim_port()))  # which nobody else gets when it is closed
    skt.listen(backlog)
    return skt, Address(*skt.getsockname())


class ConnectTests(TestCase):
    """On a reactor that watches descriptors."""

    timeout = 10

    @inlineCallbacks
    def refused(self, address: Address, timeout: float = 5.0, wheel: Wheel | None = None) -> Any:
        try:
            yield connect(reactor, address, Recorder(), timeout, wheel)
        except ExchangeError as error:
            return error
        self.fail(f"{address} answered")

    @inlineCallbacks
    def test_connected(self) -> Any:
        """The Deferred fires with the protocol once it is connected."""
        server, address = listening()
        self.addCleanup(server.close)
        client = yield connect(reactor, address, Recorder(), 5)
        self.assertTrue(client.made.called)
        client.transport.loseConnection()
        yield client.closed

    @inlineCallbacks
    def test_refused(self) -> Any:
        """A port without a listener is CONNECTION_REFUSED, and the text names the address."""
        server, address = listening()
        server.close()
        error = yield self.refused(address)
        self.assertIs(error.reason, errors.CONNECTION_REFUSED)
        self.assertIn(str(address), str(error))

    @inlineCallbacks
    def test_silent(self) -> Any:
        """A server whose backlog is full does not answer: CONNECTION_TIMEOUT after the time allowed."""
        server, address = listening(0)
        self.addCleanup(server.close)
        fillers = [socket.socket() for _ in range(4)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex((address.host, address.port))
            self.addCleanup(filler.close)
        error = yield self.refused(address, 0.2, Wheel(reactor, 0.05))
        self.assertIs(error.reason, errors.CONNECTION_TIMEOUT)
        error = yield self.refused(address, 0.1)
        self.assertIs(error.reason, errors.CONNECTION_TIMEOUT)

    @inlineCallbacks
    def test_given_up(self) -> Any:
        """Cancelling closes the socket and fires with CancelledError."""
        server, address = listening(0)
        self.addCleanup(server.close)
        fillers = [socket.socket() for _ in range(4)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex((address.host, address.port))
            self.addCleanup(filler.close)
        wheel = Wheel(Clock())
        before = len(reactor.getWriters())
        connecting = connect(reactor, address, Recorder(), 5, wheel)
        self.assertEqual((len(wheel), len(reactor.getWriters())), (1, before + 1))
        connecting.cancel()
        yield self.assertFailure(connecting, CancelledError)
        self.assertEqual((len(wheel), len(reactor.getWriters())), (0, before))

    @inlineCallbacks
    def test_no_unix_socket(self) -> Any:
        """A missing unix socket is refused."""
        error = yield self.refused(Address("", 0, self.mktemp()))
        self.assertIs(error.reason, errors.CONNECTION_REFUSED)

    @inlineCallbacks
    def test_out_of_descriptors_is_our_fault(self) -> Any:
        """Without a free descriptor the error is ours: no server is blamed and no other is tried."""
        server, address = listening()
        self.addCleanup(server.close)
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        self.addCleanup(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        resource.setrlimit(resource.RLIMIT_NOFILE, (server.fileno(), hard))
        error = yield self.refused(address)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        self.assertIs(error.reason, errors.OUT_OF_RESOURCES)
        self.assertFalse(error.reason.retryable)
        self.assertIn("Too many open files", str(error))


class ErrorTests(SynchronousTestCase):
    """What the kernel's numbers mean for us."""

    def test_reasons(self) -> None:
        """Each error becomes the reason that says whose fault it is."""
        address = Address("192.0.2.1", 80)
        for number, reason in (
            (errno.ECONNREFUSED, errors.CONNECTION_REFUSED),
            (errno.ECONNRESET, errors.CONNECTION_REFUSED),
            (errno.ETIMEDOUT, errors.CONNECTION_TIMEOUT),
            (errno.EHOSTUNREACH, errors.DESTINATION_IP_UNROUTABLE),
            (errno.ENETUNREACH, errors.DESTINATION_IP_UNROUTABLE),
            (errno.EMFILE, errors.OUT_OF_RESOURCES),
            (errno.EADDRNOTAVAIL, errors.PROXY_INTERNAL_ERROR),
        ):
            self.assertIs(error_of(OSError(number, "x"), address).reason, reason)


class OtherReactorTests(SynchronousTestCase):
    """On a reactor that makes its own connections."""

    def setUp(self) -> None:
        self.reactor = MemoryReactorClock()
        self.assertFalse(watches_descriptors(self.reactor))
        self.assertTrue(watches_descriptors(reactor) or has_streams(reactor))

    def test_tcp(self) -> None:
        """connectTCP is used, with the time limit."""
        protocol = Protocol()
        connecting = connect(self.reactor, Address("127.0.0.1", 80), protocol, 3.0)
        host, port, factory, timeout, _bind = self.reactor.tcpClients[0]
        self.assertEqual((host, port, timeout), ("127.0.0.1", 80, 3.0))
        built = factory.buildProtocol(None)
        built.makeConnection(StringTransport())
        self.assertIs(self.successResultOf(connecting), protocol)

    def test_unix(self) -> None:
        """connectUNIX is used, and its errors are converted."""
        connecting: Deferred[Any] = connect(self.reactor, Address("", 0, "/run/x"), Protocol(), 3.0)
        path, factory, *_ = self.reactor.unixClients[0]
        self.assertEqual(path, "/run/x")
        from twisted.python.failure import Failure

        factory.clientConnectionFailed(None, Failure(ConnectError(errno.EMFILE, "full")))
        self.assertIs(self.failureResultOf(connecting, ExchangeError).value.reason, errors.OUT_OF_RESOURCES)

    def test_name_that_does_not_resolve(self) -> None:
        """A name is resolved by the reactor; failing that is DNS_ERROR."""

        class Resolver:
            def resolveHostName(self, receiver: Any, *args: Any, **kwargs: Any) -> None:
                receiver.resolutionBegan(self)
                receiver.resolutionComplete()

            def cancel(self) -> None:
                pass

        self.reactor.nameResolver = Resolver()
        connecting = connect(self.reactor, Address("nowhere.example", 80), Protocol(), 3.0)
        failure = self.failureResultOf(connecting, ExchangeError)
        self.assertIs(failure.value.reason, errors.DNS_ERROR)
        self.assertNotIsInstance(failure.value, DNSLookupError)
