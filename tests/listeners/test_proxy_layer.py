"""The layer that reads the header and hands the connection on."""

from __future__ import annotations

from typing import Any

from twisted.internet.address import IPv4Address
from twisted.internet.interfaces import IHalfCloseableProtocol, IProtocol
from twisted.internet.protocol import Protocol, connectionDone
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer
from zope.interface.verify import verifyObject

from balancer.listeners.proxy_layer import ProxyLayer
from balancer.model.address import Peer
from balancer.model.origin import Origin
from balancer.net.timers import Wheel
from balancer.wire.proxy_protocol import Header, tlvs, v1, v2
from tests.wire.proxy_protocol.headers import BAD, PATHS, SSL, binary

PROXY, CLIENT, LOCAL = Peer("10.0.0.9", 9), Peer("192.0.2.7", 7), Peer("203.0.113.7", 443)


@implementer(IHalfCloseableProtocol)
class _Above(Protocol):
    """Notes what it is told."""

    def __init__(self) -> None:
        self.data = b""
        self.said: list[str] = []

    def connectionMade(self) -> None:
        self.said.append("made")

    def dataReceived(self, data: bytes) -> None:
        self.data += data

    def readConnectionLost(self) -> None:
        self.said.append("read ended")

    def writeConnectionLost(self) -> None:
        self.said.append("write ended")

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.said.append("lost")


class _Owner:
    """Takes note, and has one protocol to give."""

    def __init__(self) -> None:
        self.above: _Above | None = _Above()
        self.origin: Origin | None = None
        self.header: Header | None = None
        self.refused: list[tuple[str, str]] = []
        self.left_ = 0

    def introduced(self, layer: ProxyLayer, header: Header | None, origin: Origin) -> IProtocol | None:
        self.header, self.origin = header, origin
        return self.above

    def refuse(self, reason: str, peer: Peer, detail: str = "") -> None:
        assert peer == PROXY
        self.refused.append((reason, detail))

    def left(self, layer: ProxyLayer) -> None:
        self.left_ += 1


class LayerTests(SynchronousTestCase):
    def begin(self, required: bool = True) -> ProxyLayer:
        self.clock = Clock()
        self.wheel = Wheel(self.clock)
        self.owner = _Owner()
        layer = ProxyLayer(self.owner, self.wheel, PROXY, 10.0, required=required)
        self.transport: Any = StringTransport(IPv4Address("TCP", "10.0.0.1", 80), IPv4Address("TCP", PROXY.host, 9))
        self.transport.protocol = layer
        layer.makeConnection(self.transport)
        return layer

    def receive(self, data: bytes) -> None:
        """What a transport of ours does: whoever is its protocol at the time is told."""
        self.transport.protocol.dataReceived(data)

    def wait(self, seconds: float) -> None:
        for _ in range(int(seconds * 10)):
            self.clock.advance(0.1)

    @property
    def above(self) -> _Above:
        assert self.owner.above is not None
        return self.owner.above

    def test_interfaces(self) -> None:
        layer = self.begin()
        verifyObject(IProtocol, layer)
        verifyObject(IHalfCloseableProtocol, layer)

    def test_every_split(self) -> None:
        """The header may come in pieces, alone or with what follows; nothing of it remains on the connection."""
        rest = b"GET / HTTP/1.1\r\n\r\n"
        for header in (v1.encode(CLIENT, LOCAL), v2.encode(CLIENT, LOCAL, [(tlvs.ALPN, b"h2")])):
            data = header + rest
            for at in range(1, len(data)):
                self.begin()
                self.receive(data[:at])
                self.receive(data[at:])
                self.assertEqual((self.above.said, self.above.data), (["made"], rest))
                self.assertIs(self.transport.protocol, self.above)
                origin = self.owner.origin
                assert origin is not None
                self.assertEqual((origin.peer, origin.local, origin.by_proxy), (CLIENT, LOCAL, True))
                self.assertEqual((self.owner.refused, self.owner.left_, len(self.wheel)), ([], 0, 0))

    def test_nothing_behind(self) -> None:
        """What is above is made when the header is whole, and not told of no bytes."""
        self.begin()
        self.receive(v1.encode(CLIENT, LOCAL))
        self.assertEqual((self.above.said, self.above.data), (["made"], b""))

    def test_the_peer_itself(self) -> None:
        """LOCAL, UNKNOWN, paths and no family are the peer's own connections."""
        for header in (
            v2.LOCAL,
            v1.UNKNOWN,
            binary(0x21, 0x31, PATHS),
            binary(0x21, 0, tlvs.encode([(tlvs.ALPN, b"h2")])),
        ):
            self.begin()
            self.receive(header)
            origin = self.owner.origin
            assert origin is not None
            self.assertEqual((origin.peer, origin.local), (PROXY, Peer("10.0.0.1", 80)))
            self.assertEqual((origin.by_proxy, origin.scheme), (False, "http"))
        self.assertEqual(origin.tlvs, ((tlvs.ALPN, b"h2"),))

    def test_scheme(self) -> None:
        """A client that came to the proxy by TLS came by https; what the header says of it is there to be looked at."""
        self.begin()
        vectors = [(tlvs.SSL, tlvs.encode_ssl(SSL))]
        self.receive(v2.encode(CLIENT, LOCAL, vectors))
        origin = self.owner.origin
        assert origin is not None
        self.assertEqual((origin.scheme, origin.tls, origin.tlvs), ("https", None, tuple(vectors)))

    def test_bad_headers(self) -> None:
        """A bad header is refused with its reason, whether one is required or not; later bytes go to nobody."""
        for name, (data, reason) in BAD.items():
            for required in (True, False):
                if reason == "missing" and not required:
                    continue
                layer = self.begin(required)
                self.receive(data)
                self.assertEqual([each for each, _ in self.owner.refused], [reason], name)
                self.assertTrue(self.owner.refused[0][1])
                self.assertTrue(self.transport.disconnecting)
                self.receive(v1.encode(CLIENT, LOCAL))
                self.assertEqual(self.above.said, [])
                layer.connectionLost(Failure(ConnectionError()))
                self.assertEqual((len(self.owner.refused), self.owner.left_, len(self.wheel)), (1, 1, 0))

    def test_something_else(self) -> None:
        """Where no header is required, what is none is served, from its first byte."""
        for data in (b"GET / HTTP/1.1\r\n\r\n", b"PROPFIND / HTTP/1.1\r\n\r\n", b"\r\n\r\nGET / HTTP/1.1\r\n\r\n"):
            for at in range(1, len(data)):
                self.begin(required=False)
                self.receive(data[:at])
                self.receive(data[at:])
                self.assertEqual((self.above.data, self.owner.header), (data, None))
                self.assertIs(self.transport.protocol, self.above)

    def test_time(self) -> None:
        """A header has its time, however its bytes trickle in."""
        self.begin()
        for at in range(20):
            self.receive(v1.encode(CLIENT, LOCAL)[at : at + 1])
            self.wait(0.45)
        self.assertEqual(self.owner.refused, [])
        self.wait(3)
        self.assertEqual([reason for reason, _ in self.owner.refused], ["timeout"])
        self.assertTrue(self.transport.disconnecting)

    def test_silence(self) -> None:
        """Where no header is required, a client may wait to be spoken to; one that has begun must go on."""
        for said, served in ((b"", True), (b"PRO", True), (b"PROXY ", False), (v2.SIGNATURE, False)):
            self.begin(required=False)
            if said:
                self.receive(said)
            self.wait(11)
            self.assertEqual(self.above.said, ["made"] if served else [], said)
            self.assertEqual(self.above.data, said if served else b"")
            self.assertEqual([reason for reason, _ in self.owner.refused], [] if served else ["timeout"])

    def test_closed(self) -> None:
        """A connection that ends before its header is counted; one that never said a word is not worth one."""
        for said, detail in ((b"", ""), (b"PROXY", "it ended within its PROXY header")):
            layer = self.begin()
            if said:
                self.receive(said)
            layer.readConnectionLost()
            layer.connectionLost(Failure(ConnectionError()))
            self.assertEqual(self.owner.refused, [("closed", detail)])
            self.assertEqual((self.owner.left_, self.transport.disconnecting), (1, True))
        layer = self.begin()
        layer.connectionLost(Failure(ConnectionError()))
        self.assertEqual((self.owner.refused, self.owner.left_), ([("closed", "")], 1))

    def test_half_closed(self) -> None:
        """Where no header is required, a client that says something short and its FIN is served."""
        layer = self.begin(required=False)
        self.receive(b"PRO")
        layer.readConnectionLost()
        self.assertEqual((self.above.said, self.above.data), (["made", "read ended"], b"PRO"))

    def test_refused_above(self) -> None:
        """A client that has too many connections is closed."""
        layer = self.begin()
        self.owner.above = None
        self.receive(v1.encode(CLIENT, LOCAL) + b"GET /")
        self.assertTrue(self.transport.disconnecting)
        layer.connectionLost(Failure(ConnectionError()))
        self.assertEqual((self.owner.refused, self.owner.left_), ([], 1))

    def test_closed_above(self) -> None:
        """What is behind the header is not given to one who has closed already."""
        self.begin()
        self.above.connectionMade = lambda: self.transport.loseConnection()  # type: ignore[method-assign]
        self.receive(v1.encode(CLIENT, LOCAL) + b"GET /")
        self.assertEqual(self.above.data, b"")

    def test_foreign_transport(self) -> None:
        """A transport that goes on telling this layer has what it says passed on."""
        layer = self.begin()
        layer.dataReceived(v1.encode(CLIENT, LOCAL) + b"a")
        layer.dataReceived(b"b")
        layer.readConnectionLost()
        layer.writeConnectionLost()
        layer.connectionLost(Failure(ConnectionError()))
        self.assertEqual(self.above.said, ["made", "read ended", "write ended", "lost"])
        self.assertEqual((self.above.data, self.owner.refused, self.owner.left_), (b"ab", [], 0))

    def test_listener_ends(self) -> None:
        layer = self.begin()
        layer.close()
        layer.connectionLost(Failure(ConnectionError()))
        self.assertEqual((self.transport.disconnecting, self.owner.refused, self.owner.left_), (True, [], 1))
