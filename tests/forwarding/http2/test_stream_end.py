"""WebSockets on streams of a server's connection (RFC 8441), for clients of HTTP/1.1."""

from __future__ import annotations

from h2.events import DataReceived, StreamEnded, StreamReset
from twisted.internet.error import ConnectionDone
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from balancer.wire.websocket.handshake import accept_for
from tests.forwarding.http2.peers import Balancer, Client, Peer
from tests.live.ws_frames import framed

KEY = "dGhlIHNhbXBsZSBub25jZQ=="
ASKED = ("Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13", f"Sec-WebSocket-Key: {KEY}")
UP, DOWN = framed(1, b"hello", mask=True), framed(2, bytes(300), mask=False)


class ServerStreamEndTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.balancer = Balancer()

    def ask(self, *more: str, announced: int = 1, **settings: int) -> tuple[Client, Peer]:
        """Return a client that asks for a WebSocket, and the server that was asked."""
        client = self.balancer.client().ask("GET", "/chat", None, *ASKED, *more)
        return client, self.balancer.accept(enable_connect_protocol=announced, **settings)

    def open(self, **settings: int) -> tuple[Client, Peer]:
        """Return the two of one that was agreed to."""
        client, peer = self.ask(**settings)
        peer.h2.send_headers(1, [(":status", "200"), ("x-own", "1")])
        peer.turn()
        self.assertEqual(client.status, 101)
        client.clear()
        return client, peer

    def test_agreed(self) -> None:
        """The server is asked without a key, the client told what follows from its own."""
        client, peer = self.ask("Sec-WebSocket-Protocol: chat")
        request = peer.request()
        for name, value in (
            (":method", "CONNECT"),
            (":protocol", "websocket"),
            (":scheme", "http"),
            (":path", "/chat"),
            (":authority", "a.example"),
            ("sec-websocket-version", "13"),
            ("sec-websocket-protocol", "chat"),
        ):
            self.assertEqual(request[name], value)
        self.assertEqual(request.keys() & {"sec-websocket-key", "upgrade", "connection", "content-length"}, set())
        self.assertEqual(peer.found(StreamEnded), [])
        peer.h2.send_headers(1, [(":status", "200"), ("sec-websocket-protocol", "chat")])
        peer.turn()
        head = client.value().lower()
        self.assertEqual(client.status, 101)
        for line in (b"upgrade: websocket", b"sec-websocket-protocol: chat"):
            self.assertIn(line, head)
        self.assertIn(accept_for(KEY.encode()), client.value())

    def test_not_announced(self) -> None:
        """A server that has not said that it takes it is not asked: 502."""
        client, peer = self.ask(announced=0)
        self.assertEqual((client.status, self.balancer.records[0].reason), (502, "http_upgrade_failed"))
        self.assertIn(b"Proxy-Status: balancer; error=http_upgrade_failed", client.value())
        self.assertEqual(peer.requests(), [])
        client = self.balancer.client().ask()
        peer.turn().answer(1)
        self.assertEqual(client.status, 200)

    def test_refused(self) -> None:
        """Is an ordinary response."""
        client, peer = self.ask()
        peer.answer(1, b"no way", 403)
        self.assertEqual((client.status, client.body), (403, b"no way"))

    def test_both_ways(self) -> None:
        """Bytes pass; goodbyes end the stream, not the connection."""
        client, peer = self.open()
        client.send(UP)
        peer.turn()
        self.assertEqual(peer.body(), UP)
        peer.h2.send_data(1, DOWN)
        peer.turn()
        self.assertEqual(client.value(), DOWN)
        client.send(framed(8, b"\x03\xe8", mask=True))
        peer.turn()
        peer.h2.send_data(1, framed(8, b"\x03\xe8", mask=False), end_stream=True)
        peer.turn()
        self.assertTrue(client.disconnecting)
        self.assertEqual((len(peer.found(StreamEnded)), peer.found(StreamReset), peer.closed), (1, [], False))
        (record,) = self.balancer.records
        self.assertEqual((record.status, record.reason, record.server_protocol), (101, "", "h2"))
        assert record.websocket is not None
        self.assertEqual((record.websocket.received.messages, record.websocket.sent.messages), (1, 1))

    def test_slow_server(self) -> None:
        """One that gives no room has its client wait, and nobody else."""
        client, peer = self.open(initial_window_size=1000)
        other = self.balancer.client().ask("GET", "/", None)
        peer.turn()
        peer.h2.update_settings({4: 1000})
        client.send(framed(2, bytes(100_000), mask=True))
        self.assertEqual(client.producerState, "paused")
        peer.answer(3)
        self.assertEqual(other.status, 200)
        for _ in range(20):
            if client.producerState == "producing":
                break
            peer.h2.increment_flow_control_window(20_000, 1)
            peer.turn()
        self.assertEqual(client.producerState, "producing")

    def test_slow_client(self) -> None:
        """One that takes nothing has its server run out of room; once it does there is room again."""
        client, peer = self.open()
        assert client.producer is not None
        client.producer.pauseProducing()
        while (room := peer.h2.local_flow_control_window(1)) > 0:
            peer.h2.send_data(1, bytes(min(room, 16_384)))
            peer.turn()
        client.producer.resumeProducing()
        peer.turn()
        self.assertGreater(peer.h2.local_flow_control_window(1), 60_000)

    def test_server_resets(self) -> None:
        """The client is told 1011."""
        client, peer = self.open()
        peer.h2.reset_stream(1, 8)
        peer.turn()
        self.assertEqual(client.value()[:1] + client.value()[2:4], b"\x88\x03\xf3")
        client.send(framed(8, b"\x03\xf3", mask=True))
        self.assertEqual([each.reason for each in self.balancer.records], ["connection_terminated"])
        self.assertFalse(peer.closed)

    def test_connection_lost(self) -> None:
        """Every one on it is."""
        client, peer = self.open()
        peer.end(ConnectionDone)
        self.assertEqual(client.value()[2:4], b"\x03\xf3")

    def test_client_ends(self) -> None:
        """Its FIN is END_STREAM, its reset a reset."""
        client, peer = self.open()
        client.send(UP)
        client.channel.readConnectionLost()
        peer.turn()
        self.assertEqual((peer.body(), len(peer.found(StreamEnded))), (UP, 1))
        peer.h2.send_data(1, DOWN, end_stream=True)
        peer.turn()
        self.assertEqual((client.value(), client.disconnecting), (DOWN, True))
        client = self.balancer.client().ask("GET", "/chat", None, *ASKED)
        peer.turn()
        peer.h2.send_headers(3, [(":status", "200")])
        peer.turn()
        client.channel.connectionLost(Failure(ConnectionResetError()))
        (reset,) = peer.turn().found(StreamReset)
        self.assertEqual((reset.stream_id, reset.error_code), (3, 8))

    def test_agreed_and_over(self) -> None:
        """A server may speak at once, and end at once."""
        client, peer = self.ask()
        peer.h2.send_headers(1, [(":status", "200")])
        peer.h2.send_data(1, framed(8, b"\x03\xe8", mask=False), end_stream=True)
        peer.turn()
        self.assertEqual((client.status, client.body), (101, framed(8, b"\x03\xe8", mask=False)))

    def test_lasting(self) -> None:
        """No limit of an answer ends it, and the connection is kept for it."""
        client, peer = self.open()
        for _ in range(20):
            self.balancer.pass_time(10)
            peer.turn()
        peer.h2.send_data(1, DOWN)
        peer.turn()
        self.assertEqual((client.value(), peer.closed), (DOWN, False))
        self.assertEqual(peer.found(DataReceived), [])
