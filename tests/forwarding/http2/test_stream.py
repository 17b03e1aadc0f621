"""Tests for :mod:`balancer.forwarding.http2.stream`: one exchange, from a client of HTTP/1.1 to a server of HTTP/2."""

from __future__ import annotations

from h2.errors import ErrorCodes
from h2.events import DataReceived, StreamEnded, StreamReset, TrailersReceived
from h2.settings import SettingCodes
from twisted.trial.unittest import SynchronousTestCase

from tests.forwarding.http2.peers import Balancer

_SLOW_BODY = b"y" * 32 * 1024


class RequestTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.balancer = Balancer()

    def test_head(self) -> None:
        """The request line becomes pseudo-fields, names are in lower case, and what belongs to the hop before is left out."""
        self.balancer.client().ask(
            "GET", "/a?b=c", None, "X-Thing: Value", "Connection: x-hop", "X-Hop: 1", "TE: trailers, gzip"
        )
        request = self.balancer.accept().request()
        self.assertEqual(
            [request[name] for name in (":method", ":path", ":authority", ":scheme", "x-thing", "te")],
            ["GET", "/a?b=c", "a.example", "http", "Value", "trailers"],
        )
        self.assertEqual(request.keys() & {"host", "connection", "x-hop", "content-length", "transfer-encoding"}, set())
        self.assertEqual(request["x-forwarded-host"], "a.example")

    def test_body(self) -> None:
        """A body of known length keeps it; it goes on as it comes."""
        client = self.balancer.client().ask("POST", "/", b"first ", "Content-Length: 11")
        peer = self.balancer.accept()
        self.assertEqual(
            (peer.request()["content-length"], peer.body(), peer.found(StreamEnded)), ("11", b"first ", [])
        )
        client.send(b"last.")
        self.assertEqual((peer.turn().body(), len(peer.found(StreamEnded))), (b"first last.", 1))

    def test_trailers(self) -> None:
        """Chunks become DATA, trailers stay trailers."""
        client = self.balancer.client().ask("POST", "/", None, "Transfer-Encoding: chunked")
        peer = self.balancer.accept()
        client.send(b"5\r\nhello\r\n0\r\nX-Sum: 5\r\n\r\n")
        peer.turn()
        self.assertEqual((peer.body(), "content-length" in peer.request()), (b"hello", False))
        (trailers,) = peer.found(TrailersReceived)
        self.assertEqual(trailers.headers, [("x-sum", "5")])

    def test_empty_chunked(self) -> None:
        """A chunked body without a chunk is an empty one."""
        self.balancer.client().ask("POST", "/", None, "Transfer-Encoding: chunked").send(b"0\r\n\r\n")
        peer = self.balancer.accept()
        self.assertEqual((peer.body(), len(peer.found(StreamEnded))), (b"", 1))

    def test_shut_windows(self) -> None:
        """A server that gives no room is sent nothing, and the client is not read from once some has gathered."""
        client = self.balancer.client().ask("POST", "/", b"", "Content-Length: 131072")
        peer = self.balancer.accept(initial_window_size=0, taking=False)
        for _ in range(3):
            client.send(_SLOW_BODY)
        self.assertEqual((peer.turn().body(), client.producerState), (b"", "paused"))
        peer.h2.increment_flow_control_window(1000, 1)
        self.assertEqual((len(peer.turn().body()), client.producerState), (1000, "paused"))
        peer.h2.update_settings({SettingCodes.INITIAL_WINDOW_SIZE: 200_000})
        peer.h2.increment_flow_control_window(200_000)
        peer.turn()
        self.assertEqual((len(peer.body()), client.producerState), (3 * len(_SLOW_BODY), "producing"))
        client.send(_SLOW_BODY)
        peer.turn().answer(1)
        self.assertEqual((client.status, len(peer.body())), (200, 131072))

    def test_shut_for_good(self) -> None:
        """It is waited for as long as ``write`` says; then the stream is given up, and the connection lives on."""
        client = self.balancer.client().ask("POST", "/", _SLOW_BODY, "Content-Length: 131072")
        peer = self.balancer.accept(initial_window_size=0)
        for _ in range(31):
            self.balancer.pass_time(1)
            peer.h2.ping(b"12345678")
            peer.turn()
        self.assertEqual((client.status, self.balancer.records[0].reason), (504, "connection_write_timeout"))
        (reset,) = peer.turn().found(StreamReset)
        self.assertEqual((reset.error_code, peer.closed), (ErrorCodes.CANCEL, False))

    def test_other_upgrades(self) -> None:
        """Any other upgrade is an offer, which need not be taken up."""
        client = self.balancer.client().ask("GET", "/", None, "Connection: Upgrade", "Upgrade: irc")
        peer = self.balancer.accept()
        peer.answer(1)
        self.assertEqual((client.status, "upgrade" in peer.request()), (200, False))
        client.clear()
        client.ask()
        peer.turn().answer(3)
        self.assertEqual(client.status, 200)


class ResponseTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.balancer = Balancer()

    def test_whole(self) -> None:
        """A response has a reason phrase, a date and a length; its version is named in Via."""
        client = self.balancer.client().ask()
        self.balancer.accept().answer(1, b"hello", 201, **{"x-thing": "value", "set-cookie": "a=b"})
        head = client.value().partition(b"\r\n\r\n")[0].lower()
        self.assertTrue(head.startswith(b"http/1.1 201 created\r\n"))
        for line in (b"content-length: 5", b"x-thing: value", b"set-cookie: a=b", b"date: ", b"via: 2.0 balancer"):
            self.assertIn(b"\r\n" + line, head)
        self.assertEqual(client.body, b"hello")

    def test_unknown_length(self) -> None:
        """One that does not say its length is sent in chunks, as it comes, with its trailers."""
        client = self.balancer.client().ask()
        peer = self.balancer.accept()
        peer.h2.send_headers(1, [(":status", "200")])
        peer.h2.send_data(1, b"first")
        peer.turn()
        self.assertEqual(client.body, b"5\r\nfirst\r\n")
        peer.h2.send_data(1, b"last")
        peer.h2.send_headers(1, [("grpc-status", "0")], end_stream=True)
        peer.turn()
        self.assertEqual(client.body, b"5\r\nfirst\r\n4\r\nlast\r\n0\r\ngrpc-status: 0\r\n\r\n")

    def test_no_body(self) -> None:
        """A response without a body, to HEAD too, ends with its head."""
        client = self.balancer.client().ask("HEAD")
        peer = self.balancer.accept()
        peer.h2.send_headers(1, [(":status", "200"), ("content-length", "1234")], end_stream=True)
        peer.turn()
        self.assertEqual((client.status, client.body), (200, b""))
        self.assertIn(b"Content-Length: 1234\r\n", client.value())
        client.clear()
        client.ask()
        peer.turn().h2.send_headers(3, [(":status", "204")], end_stream=True)
        peer.turn()
        self.assertEqual((client.status, client.body), (204, b""))

    def test_informational(self) -> None:
        """1xx are passed on, 100 to those who wait for it."""
        client = self.balancer.client().ask("POST", "/", None, "Expect: 100-continue", "Content-Length: 4")
        peer = self.balancer.accept()
        self.assertEqual(peer.request()["expect"], "100-continue")
        peer.h2.send_headers(1, [(":status", "103"), ("link", "</a.css>; rel=preload")])
        peer.h2.send_headers(1, [(":status", "100")])
        peer.turn()
        self.assertEqual(
            client.value(),
            b"HTTP/1.1 103 Early Hints\r\nlink: </a.css>; rel=preload\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n",
        )
        client.send(b"body")
        client.clear()
        peer.turn().answer(1)
        self.assertEqual((client.status, peer.body()), (200, b"body"))

    def test_early(self) -> None:
        """An answer that comes while the body still goes is passed on, and the rest of the body is not sent."""
        client = self.balancer.client().ask("POST", "/", b"some", "Content-Length: 100")
        peer = self.balancer.accept()
        peer.answer(1, b"enough", 413)
        self.assertEqual((client.status, client.body), (413, b"enough"))
        (reset,) = peer.turn().found(StreamReset)
        self.assertEqual((reset.error_code, peer.closed), (ErrorCodes.NO_ERROR, False))
        self.assertEqual(repr(self.balancer.servers[0].shared), "<SharedConnections 1 with 0 exchanges>")

    def test_slow_client(self) -> None:
        """A client that takes nothing holds up its own response, not the server's others."""
        slow, quick = self.balancer.client().ask(path="/slow"), self.balancer.client().ask(path="/quick")
        peer = self.balancer.accept()
        peer.h2.send_headers(1, [(":status", "200")])
        peer.h2.send_data(1, b"x" * 10_000)
        peer.turn()
        assert slow.producer is not None
        slow.producer.pauseProducing()
        while room := min(peer.h2.local_flow_control_window(1), 16_384):
            peer.h2.send_data(1, b"x" * room)
            peer.turn()
        self.assertGreater(peer.h2.local_flow_control_window(3), 60_000)
        peer.answer(3, b"x" * 20_000)
        self.assertEqual(len(quick.body), 20_000)
        slow.producer.resumeProducing()
        peer.turn()
        self.assertGreater(peer.h2.local_flow_control_window(1), 30_000)
        peer.h2.end_stream(1)
        peer.turn()
        self.assertTrue(slow.value().endswith(b"0\r\n\r\n"))

    def test_many_slow_clients(self) -> None:
        """All of them together leave room for one more."""
        slow = [self.balancer.client().ask() for _ in range(60)]
        peer = self.balancer.accept()
        for number, client in enumerate(slow):
            stream = 2 * number + 1
            peer.h2.send_headers(stream, [(":status", "200")])
            peer.h2.send_data(stream, b"x")
            peer.turn()
            assert client.producer is not None
            client.producer.pauseProducing()
            while room := min(peer.h2.local_flow_control_window(stream), 16_384):
                peer.h2.send_data(stream, b"x" * room)
            peer.turn()
        quick = self.balancer.client().ask()
        peer.turn().answer(121)
        self.assertEqual(quick.body, b"ok")
        for client in slow:
            client.leave()
        peer.turn()
        self.assertGreater(peer.h2.outbound_flow_control_window, 4_000_000)


class FailureTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.balancer = Balancer("'127.0.0.1:2', '127.0.0.1:3'", "timeouts: {first_byte: 5s, idle: 5s}")

    def test_refused_stream(self) -> None:
        """What a server refused unread is tried on another, whatever its method (RFC 9113 section 8.7)."""
        client = self.balancer.client().ask("POST", "/", b"body")
        first = self.balancer.accept()
        first.h2.reset_stream(1, ErrorCodes.REFUSED_STREAM)
        first.turn()
        second = self.balancer.accept()
        second.answer(1)
        self.assertEqual((client.status, second.body(), self.balancer.records[0].attempts), (200, b"body", 2))

    def test_reset(self) -> None:
        """What it gave up is tried on another if the method allows it."""
        get, post = self.balancer.client().ask(), self.balancer.client().ask("POST", "/", b"body")
        first, second = self.balancer.accept(), self.balancer.accept()
        for peer in (first, second):
            peer.h2.reset_stream(1, ErrorCodes.INTERNAL_ERROR)
            peer.turn()
        second.answer(3)
        self.assertEqual((get.status, post.status), (200, 502))
        self.assertEqual(
            [(record.method, record.attempts, record.reason) for record in self.balancer.records],
            [("POST", 1, "connection_terminated"), ("GET", 2, "")],
        )

    def test_reset_in_the_middle(self) -> None:
        """A response that is broken off is broken off for the client too, and the log says which reset it was."""
        client = self.balancer.client().ask()
        peer = self.balancer.accept()
        peer.h2.send_headers(1, [(":status", "200"), ("content-length", "10")])
        peer.h2.send_data(1, b"some")
        peer.turn()
        peer.h2.reset_stream(1, ErrorCodes.INTERNAL_ERROR)
        peer.turn()
        (record,) = self.balancer.records
        self.assertEqual((client.body, client.disconnected, record.reason), (b"some", True, "http_response_incomplete"))
        self.assertIn("INTERNAL_ERROR", record.detail)
        self.assertFalse(peer.closed)

    def test_unavailable(self) -> None:
        """503 is tried on another server, as everywhere."""
        client = self.balancer.client().ask()
        self.balancer.accept().answer(1, b"no", 503)
        self.balancer.accept().answer(1, b"yes")
        self.assertEqual((client.status, client.body), (200, b"yes"))

    def test_client_leaves(self) -> None:
        """The stream of a client that goes away is cancelled; the others, and the connection, are not."""
        balancer = Balancer()
        one, two = balancer.client().ask(), balancer.client().ask()
        peer = balancer.accept()
        one.leave()
        (reset,) = peer.turn().found(StreamReset)
        self.assertEqual((reset.stream_id, reset.error_code), (1, ErrorCodes.CANCEL))
        peer.answer(3)
        self.assertEqual((two.status, peer.closed), (200, False))

    def test_first_byte(self) -> None:
        """A server that does not answer in time costs one stream."""
        balancer = Balancer(pool="timeouts: {first_byte: 5s}")
        client = balancer.client().ask()
        peer = balancer.accept()
        balancer.pass_time(3)
        other = balancer.client().ask()
        balancer.pass_time(3)
        self.assertEqual((client.status, other.status, balancer.records[0].reason), (504, 0, "http_response_timeout"))
        peer.turn().answer(3)
        self.assertEqual((other.status, len(peer.found(StreamReset))), (200, 1))

    def test_silent_in_the_middle(self) -> None:
        """So does one that stops in the middle of its answer; one that goes on slowly is waited for."""
        client = self.balancer.client().ask()
        peer = self.balancer.accept()
        peer.h2.send_headers(1, [(":status", "200"), ("content-length", "10")])
        for _ in range(3):
            peer.h2.send_data(1, b"x")
            peer.turn()
            self.balancer.pass_time(4)
        self.assertEqual(self.balancer.records, [])
        self.balancer.pass_time(3)
        self.assertEqual((client.disconnected, self.balancer.records[0].reason), (True, "connection_read_timeout"))
        self.assertEqual(len(peer.turn().found(StreamReset)), 1)

    def test_late(self) -> None:
        """What comes for a stream that was given up is let be, and leaves no trace in the windows."""
        balancer = Balancer()
        client = balancer.client().ask()
        peer = balancer.accept()
        client.leave()
        before = peer.h2.outbound_flow_control_window
        peer.h2.send_headers(1, [(":status", "200")])
        for _ in range(3):
            peer.h2.send_data(1, b"x" * 10_000)
        peer.turn()
        self.assertEqual(peer.found(DataReceived), [])
        other = balancer.client().ask()
        peer.turn().answer(3)
        self.assertEqual(other.status, 200)
        self.assertGreater(peer.h2.outbound_flow_control_window, before - 65_536)
