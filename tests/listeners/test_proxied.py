"""Who may introduce clients, how they are counted, what is said of the others: listeners with a PROXY policy, on sockets."""

from __future__ import annotations

import ipaddress
from dataclasses import replace
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import inlineCallbacks
from twisted.internet.protocol import Protocol
from twisted.internet.task import Clock
from twisted.internet.testing import EventLoggingObserver
from twisted.logger import globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from balancer.forwarding.headers import TrustedPeers
from balancer.listeners.accept import Gate
from balancer.listeners.proxied import SILENCE, Introductions, ProxyPolicy
from balancer.listeners.tcp import TCPListener, TCPSettings
from balancer.model.address import Address, Peer
from balancer.model.origin import Origin
from balancer.net.connecting import connect
from balancer.net.listening import describe, listen
from balancer.net.splice import can_splice
from balancer.net.timers import Wheel
from balancer.routing.l4 import L4Route, L4Routes
from balancer.tls.choice import Choice
from balancer.tls.reading import identity_of
from balancer.tls.server_contexts import ServerContexts, ServerSettings
from balancer.wire.proxy_protocol import v1, v2
from tests.listeners.layer4 import Layer4TestCase, pool, until
from tests.net.peers import Recorder, Recorders
from tests.tls.authority import Authority

HERE = TrustedPeers([ipaddress.ip_network("127.0.0.0/8")])
ELSEWHERE = TrustedPeers([ipaddress.ip_network("10.0.0.0/8")])
SHOP = Authority("CA").issue("shop.example")
CHOICE = Choice([identity_of("shop", [SHOP.cert], SHOP.key)])
CLIENT, LOCAL = Peer("192.0.2.7", 7), Peer("203.0.113.7", 443)


class PolicyTests(SynchronousTestCase):
    def test_trust(self) -> None:
        """Networks are trusted, and unix sockets, whose files have rights."""
        policy = ProxyPolicy(HERE)
        self.assertTrue(policy.trusts(Peer("127.0.0.1", 1)) and policy.trusts(Peer("", 0)))
        self.assertTrue(policy.trusts(Peer("::ffff:127.0.0.1", 1)))
        self.assertFalse(policy.trusts(Peer("192.0.2.1", 1)) or policy.trusts(Peer("::1", 1)))


class _Listener:
    name = "web"

    def __init__(self) -> None:
        self.gate = Gate()
        self.left = 0

    def serve(self, origin: Origin, host: str) -> Any:
        return Protocol()

    def one_left(self) -> None:
        self.left += 1


class LogTests(SynchronousTestCase):
    def test_seldom(self) -> None:
        """The first refusal is in the log, then one a minute, which says how many there were; each is counted."""
        clock = Clock()
        introductions = Introductions(_Listener(), Wheel(clock), clock.seconds)
        lines = EventLoggingObserver.createWithCleanup(self, globalLogPublisher)
        for _ in range(5):
            introductions.refuse("missing", Peer("10.0.0.9", 9), "it does not begin so")
        introductions.refuse("closed", Peer("10.0.0.9", 9))
        clock.advance(SILENCE)
        introductions.refuse("checksum", Peer("10.0.0.8", 9), "the checksum is wrong")
        said = [event["log_format"].format(**event) for event in lines]
        self.assertEqual(
            said,
            [
                "listener web refused a connection from 10.0.0.9:9: it does not begin so",
                "listener web refused a connection from 10.0.0.8:9: the checksum is wrong (4 more were refused since the last such line)",
            ],
        )
        self.assertEqual(dict(introductions.refused), {"missing": 5, "closed": 1, "checksum": 1})
        self.assertEqual(repr(introductions), "<Introductions 0 waiting, 0 accepted, 7 refused>")


class TCPTests(Layer4TestCase):
    """A TCP listener; HTTP is in the live tests."""

    def setUp(self) -> None:
        super().setUp()
        self.servers = Recorders()
        port = listen(reactor, "127.0.0.1:0", self.servers)
        self.addCleanup(port.stopListening)
        self.there = describe(port)

    def proxied(self, policy: ProxyPolicy, **limits: Any) -> TCPListener:
        self.gate = Gate(above=Gate(**limits))
        listener = self.tcp(None)
        target = pool(self.there)
        routes = L4Routes(
            [
                L4Route("client", "pool", clients=(ipaddress.ip_network("192.0.2.0/24"),), local_ports=(443,)),
                L4Route("rest", "pool"),
            ]
        )
        listener.swap(TCPSettings(routes, {"pool": target}, proxied=policy))
        return listener

    @inlineCallbacks
    def dial(self, listener: TCPListener, said: bytes = b"") -> Any:
        client = yield connect(reactor, Address.parse(listener.addresses[0]), Recorder(), 5)
        self.addCleanup(client.transport.abortConnection)
        if said:
            client.transport.write(said)
        return client

    @inlineCallbacks
    def test_client(self) -> Any:
        """The client of the header is the one that routes, limits and records know; the server sees no header."""
        listener = self.proxied(ProxyPolicy(HERE))
        for at, header in enumerate((v1.encode(CLIENT, LOCAL), v2.encode(CLIENT, LOCAL, checksum=True))):
            client = yield self.dial(listener)
            yield until(lambda: listener.introductions.waiting)
            self.assertEqual((self.gate.active, self.gate.present("127.0.0.1"), self.gate.present("")), (1, 0, 1))
            client.transport.write(header[:10])
            client.transport.write(header[10:] + b"question")
            server = yield self.servers.next()
            yield server.until(8)
            self.assertEqual(server.data, b"question")
            self.assertEqual((self.gate.present("192.0.2.7"), self.gate.present("")), (1, 0))
            server.transport.loseConnection()
            yield client.finished
            client.transport.loseConnection()
            yield self.recorded(at + 1)
            record = self.records[at]
            self.assertEqual(
                (record.client, record.client_port, record.route, record.bytes_in), ("192.0.2.7", 7, "client", 8)
            )
        self.assertEqual(dict(listener.introductions.accepted), {"1": 1, "2": 1})
        self.assertEqual((self.gate.active, self.gate.above.active, self.gate.present("192.0.2.7")), (0, 0, 0))  # type: ignore[union-attr]

    @inlineCallbacks
    def test_probe(self) -> Any:
        """The proxy's own connection is one of its own address."""
        listener = self.proxied(ProxyPolicy(HERE))
        client = yield self.dial(listener, v2.LOCAL)
        yield self.servers.next()
        client.transport.abortConnection()
        yield self.recorded()
        self.assertEqual((self.records[0].client, self.records[0].route), ("127.0.0.1", "rest"))

    @inlineCallbacks
    def test_limit_of_the_client(self) -> Any:
        """The limit on one client's connections is on the client's, not on the proxy's."""
        listener = self.proxied(ProxyPolicy(HERE), per_client=1)
        clients = []
        for last in (1, 2, 3):
            clients.append((yield self.dial(listener, v1.encode(Peer(f"192.0.2.{last}", 5), LOCAL))))
            yield self.servers.next()
        over = yield self.dial(listener, v1.encode(Peer("192.0.2.2", 6), LOCAL) + b"question")
        yield over.finished
        self.assertEqual((self.gate.active, self.gate.refused_client), (3, 1))
        yield until(lambda: not listener.introductions.waiting)
        clients[1].transport.abortConnection()
        yield self.recorded()
        yield self.dial(listener, v1.encode(Peer("192.0.2.2", 7), LOCAL))
        yield self.servers.next()
        self.assertEqual((len(self.servers.all), self.gate.present("")), (4, 0))

    @inlineCallbacks
    def test_limit_on_connections(self) -> Any:
        """Those whose header is awaited count as connections."""
        listener = self.proxied(ProxyPolicy(HERE), connections=1)
        yield self.dial(listener)
        yield until(lambda: listener.introductions.waiting)
        second = yield self.dial(listener)
        yield second.finished
        self.assertEqual(self.gate.refused, 1)

    @inlineCallbacks
    def test_missing(self) -> Any:
        """A trusted peer that does not say who the client is is closed; nothing reaches a server."""
        listener = self.proxied(ProxyPolicy(HERE))
        client = yield self.dial(listener, b"question")
        yield client.finished
        yield until(lambda: not self.gate.active)
        self.assertEqual(
            (dict(listener.introductions.refused), self.records, self.servers.all), ({"missing": 1}, [], [])
        )

    @inlineCallbacks
    def test_not_required(self) -> Any:
        """Where it need not say so, it is the client itself."""
        listener = self.proxied(ProxyPolicy(HERE, required=False))
        yield self.dial(listener, b"PRO forma")
        server = yield self.servers.next()
        yield server.until(9)
        self.assertEqual((server.data, self.gate.present("127.0.0.1")), (b"PRO forma", 1))

    @inlineCallbacks
    def test_servers_that_speak_first(self) -> Any:
        """Where it need not say so, silence is one of a client that waits to be spoken to."""
        listener = self.proxied(ProxyPolicy(HERE, required=False, timeout=0.05))
        client = yield self.dial(listener)
        server = yield self.servers.next()
        server.transport.write(b"220 welcome")
        yield client.until(11)

    @inlineCallbacks
    def test_spliced(self) -> Any:
        """What comes behind the header goes through the kernel, once it is a lot."""
        listener = self.proxied(ProxyPolicy(HERE))
        client = yield self.dial(listener, v2.encode(CLIENT, LOCAL))
        data = bytes(range(256)) * 20_000
        client.transport.write(data)
        server = yield self.servers.next()
        yield server.until(len(data))
        self.assertEqual(server.data, data)
        assert self.pipes is not None
        self.assertGreater(self.pipes.open, 0)

    test_spliced.skip = None if can_splice() else "this platform has no splice"  # type: ignore[attr-defined]

    @inlineCallbacks
    def test_timeout(self) -> Any:
        listener = self.proxied(ProxyPolicy(HERE, timeout=0.05))
        client = yield self.dial(listener, b"PROXY TCP4")
        yield client.finished
        self.assertEqual(dict(listener.introductions.refused), {"timeout": 1})

    @inlineCallbacks
    def test_untrusted(self) -> Any:
        """Whoever is not trusted is refused where a header is required, and otherwise served, header and all."""
        listener = self.proxied(ProxyPolicy(ELSEWHERE))
        client = yield self.dial(listener, v1.encode(CLIENT, LOCAL))
        yield client.finished
        self.assertEqual((dict(listener.introductions.refused), self.gate.active), ({"untrusted": 1}, 0))
        listener = self.proxied(ProxyPolicy(ELSEWHERE, required=False))
        header = v1.encode(CLIENT, LOCAL)
        yield self.dial(listener, header)
        server = yield self.servers.next()
        yield server.until(len(header))
        self.assertEqual((server.data, self.gate.present("127.0.0.1")), (header, 1))

    @inlineCallbacks
    def test_drain_with_tls(self) -> Any:
        """A handshake that begins within a drain, behind its header, is waited for; and cut when the time is over."""
        contexts = ServerContexts(ServerSettings("tcp"), CHOICE)
        for closes in (True, False):
            listener = self.proxied(ProxyPolicy(HERE))
            listener.swap(replace(listener._settings, tls=contexts))
            client = yield self.dial(listener)
            yield until(lambda listener=listener: listener.introductions.waiting)
            done: list[Any] = []
            listener.drain(0.3 if not closes else 30).addCallback(done.append)
            client.transport.write(v1.encode(CLIENT, LOCAL))
            yield until(lambda listener=listener: not listener.introductions.waiting)
            self.assertEqual(done, [])
            if closes:
                client.transport.abortConnection()
            yield until(lambda done=done: done)
            self.assertEqual(self.gate.active, 0)

    @inlineCallbacks
    def test_drain(self) -> Any:
        """A drain waits for a connection whose header is on its way, and for its session; and has its limit."""
        listener = self.proxied(ProxyPolicy(HERE))
        client = yield self.dial(listener)
        yield until(lambda: listener.introductions.waiting)
        done: list[Any] = []
        listener.drain(30).addCallback(done.append)
        client.transport.write(v1.encode(CLIENT, LOCAL))
        server = yield self.servers.next()
        self.assertEqual(done, [])
        server.transport.abortConnection()
        yield until(lambda: done)
        listener = self.proxied(ProxyPolicy(HERE))
        client = yield self.dial(listener)
        yield until(lambda: listener.introductions.waiting)
        yield listener.drain(0.05)
        yield client.finished
        self.assertEqual((self.gate.active, dict(listener.introductions.refused)), (0, {}))
