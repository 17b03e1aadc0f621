"""WebSockets on streams of HTTP/2 (RFC 8441), against servers that speak HTTP/1.1."""

from __future__ import annotations

import os
import re
from typing import Any

from hyperframe.frame import DataFrame, Frame
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.python.failure import Failure

from balancer.wire.http2 import sessions
from balancer.wire.websocket.handshake import accept_for
from tests.listeners.http2.conversation import Client, ConversationTestCase
from tests.live.ws_frames import framed

CANCEL, INTERNAL_ERROR = 8, 2
HELLO, BYE, BYE_BACK = (
    framed(1, b"hello", mask=True),
    framed(8, b"\x03\xe8", mask=True),
    framed(8, b"\x03\xe8", mask=False),
)


class StreamEndTestCase(ConversationTestCase):
    library = "nghttp2"

    def setUp(self) -> None:
        self.addCleanup(sessions.library_in_use.cache_clear)
        sessions.library_in_use.cache_clear()
        self.patch(os, "environ", {**os.environ, sessions.VARIABLE: self.library})

    def connect(
        self, client: Client, *more: tuple[bytes, bytes], protocol: bytes = b"websocket", ended: bool = False
    ) -> int:
        """Ask for a WebSocket; return the stream."""
        stream: int = client.h2.get_next_available_stream_id()
        asked = [
            (b":method", b"CONNECT"),
            (b":protocol", protocol),
            (b":scheme", b"http"),
            (b":path", b"/chat"),
            (b":authority", b"a.example"),
            *(more or [(b"sec-websocket-version", b"13")]),
        ]
        client.h2.send_headers(stream, asked, end_stream=ended)
        client.turn()
        return stream

    def agree(self, client: Client, more: bytes = b"", number: int = -1) -> bytes:
        """Have the server agree, and say ``more`` with that; return what it was asked."""
        asked = self.asked(number)
        key = re.search(rb"sec-websocket-key: (\S+)", asked, re.IGNORECASE)
        assert key is not None, asked
        head = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        self.say(client, head + b"Sec-WebSocket-Accept: %b\r\n\r\n%b" % (accept_for(key[1]), more), number)
        return asked

    def open(self, listener: str = "pool: web") -> tuple[Client, int]:
        """Return a client with a WebSocket."""
        self.listen(listener)
        client = self.client()
        stream = self.connect(client)
        self.agree(client)
        self.assertEqual(client.status(stream), b"200")
        return client, stream

    def send(self, client: Client, stream: int, data: bytes, ended: bool = False) -> None:
        client.h2.send_data(stream, data, end_stream=ended)
        client.turn()

    def came(self, client: Client) -> list[tuple[str, int, bytes]]:
        """Return kind, stream and bytes of the frames that were sent; the library reads nothing behind a GOAWAY."""
        data, found = client.pipe.drain(), []
        while data:
            frame, size = Frame.parse_frame_header(memoryview(data[:9]))
            frame.parse_body(memoryview(data[9 : 9 + size]))
            found.append(
                (type(frame).__name__.removesuffix("Frame").upper(), frame.stream_id, getattr(frame, "data", b""))
            )
            data = data[9 + size :]
        return found

    def lose(self, client: Client, reason: Any = None, number: int = -1) -> None:
        """End the server's connection."""
        self.runtime.servers[number].connectionLost(Failure(reason or ConnectionDone()))
        client.turn()


class HandshakeTests(StreamEndTestCase):
    def test_announced(self) -> None:
        """Where a route leads to a pool that has WebSockets, and the operator lets it be."""
        for listener, announced in (
            ("pool: web", 1),
            ("http2: {websocket: false}, pool: web", 0),
            ("routes: [{respond: {status: 204}}]", 0),
            ("routes: [{match: {path: /a}, respond: {status: 204}}, {split: {web: 1}}]", 1),
        ):
            self.listen(listener)
            self.assertEqual(self.client().h2.remote_settings.enable_connect_protocol, announced, listener)

    def test_agreed(self) -> None:
        """The server is asked as by a client of HTTP/1.1, with a key of ours; the client told 200."""
        self.listen()
        client = self.client()
        key = b"dGhlIHNhbXBsZSBub25jZQ=="
        fields = [
            (b"sec-websocket-version", b"13"),
            (b"sec-websocket-protocol", b"chat, superchat"),
            (b"sec-websocket-extensions", b"permessage-deflate"),
            (b"sec-websocket-key", key),
            (b"origin", b"http://a.example"),
            (b"content-length", b"7"),
        ]
        stream = self.connect(client, *fields)
        asked = self.asked()
        line, *lines = asked.lower().split(b"\r\n")
        self.assertEqual(line, b"get /chat http/1.1")
        for expected in (
            b"host: a.example",
            b"connection: upgrade",
            b"upgrade: websocket",
            b"sec-websocket-version: 13",
            b"sec-websocket-protocol: chat, superchat",
            b"sec-websocket-extensions: permessage-deflate",
            b"origin: http://a.example",
        ):
            self.assertEqual(lines.count(expected), 1, expected)
        self.assertNotIn(b"content-length", asked.lower())
        (ours,) = re.findall(rb"sec-websocket-key: (\S+)", asked)
        self.assertNotEqual(ours, key)
        self.say(
            client,
            b"HTTP/1.1 101 S\r\nConnection: Upgrade\r\nUpgrade: WebSocket\r\nSec-WebSocket-Protocol: chat\r\n"
            b"Sec-WebSocket-Accept: %b\r\nX-Own: 1\r\n\r\n" % accept_for(ours),
        )
        head = client.head(stream)
        self.assertEqual((head[b":status"], head[b"sec-websocket-protocol"], head[b"x-own"]), (b"200", b"chat", b"1"))
        self.assertEqual(set(head) & {b"upgrade", b"connection", b"content-length"}, set())
        self.assertEqual(head[b"sec-websocket-accept"], accept_for(key))  # for clients that check it all the same
        self.assertEqual(len(head[b"x-request-id"]), 36)
        self.assertFalse(client.ended(stream))

    def test_without_a_key(self) -> None:
        """A client that sends none, as it should be, gets no answer to one."""
        client, stream = self.open()
        self.assertNotIn(b"sec-websocket-accept", client.head(stream))

    def test_keys_are_fresh(self) -> None:
        """One that asks again has another key, also where the whole head is one frame."""
        self.listen()
        client = self.client()
        keys = set()
        for ended in (True, True, False, False):
            self.connect(client, ended=ended)
            keys.add(re.findall(rb"sec-websocket-key: (\S+)", self.asked())[0])
        self.assertEqual(len(keys), 4)

    def test_refused_requests(self) -> None:
        """What no server can agree to is answered here: another version, another protocol."""
        self.listen()
        client = self.client()
        stream = self.connect(client, (b"sec-websocket-version", b"8"))
        self.assertEqual((client.status(stream), client.head(stream)[b"sec-websocket-version"]), (b"426", b"13"))
        self.passes(1)
        client.turn()
        self.assertEqual(client.was_reset(stream), 0)
        stream = self.connect(client, protocol=b"connect-udp")
        self.assertEqual(client.status(stream), b"501")
        self.assertIn(b"error=http_request_error", client.head(stream)[b"proxy-status"])
        self.assertEqual([(each.status, each.h2_stream) for each in self.records], [(426, 1), (501, 3)])
        self.assertEqual(self.runtime.servers, [])

    def test_not_announced(self) -> None:
        """Where it was not offered it breaks the rules."""
        self.listen("http2: {websocket: false}, pool: web")
        client = self.client()
        self.assertEqual(client.was_reset(self.connect(client)), 1)

    def test_refused_by_server(self) -> None:
        """Is an ordinary response with its body; what the client had said already counts against no window."""
        self.listen()
        client = self.client()
        stream = self.connect(client)
        window = client.h2.outbound_flow_control_window
        self.send(client, stream, HELLO)
        self.asked()
        self.say(client, b"HTTP/1.1 403 No\r\nContent-Length: 6\r\n\r\nno way")
        self.passes(1)
        client.turn()
        self.assertEqual((client.status(stream), client.body(stream), client.was_reset(stream)), (b"403", b"no way", 0))
        self.assertEqual([(each.status, each.websocket) for each in self.records], [(403, None)])
        for _ in range(40):
            stream = self.connect(client)
            self.send(client, stream, bytes(16_000))
            self.say(client, b"HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n")
        self.assertGreater(client.h2.outbound_flow_control_window, window // 2)

    def test_refused_bit_by_bit(self) -> None:
        """What the client goes on to say while it is refused is thrown away."""
        self.listen()
        client = self.client()
        stream = self.connect(client)
        self.say(client, b"HTTP/1.1 404 No\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nno\r\n")
        for _ in range(20):
            self.send(client, stream, bytes(10_000))
        self.say(client, b"0\r\n\r\n")
        self.assertEqual((client.body(stream), client.ended(stream)), (b"no", True))

    def test_success_that_is_none(self) -> None:
        """A 2xx of somebody who knows nothing of WebSockets would be read as an agreement, so it does not reach the client."""
        self.listen()
        client = self.client()
        stream = self.connect(client)
        self.say(client, b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        self.assertEqual(client.status(stream), b"502")
        self.assertIn(b"http_upgrade_failed", client.head(stream)[b"proxy-status"])
        self.listen("routes: [{match: {path: /chat}, respond: {status: 200, body: hello}}, {pool: web}]")
        client = self.client()
        stream = self.connect(client)
        self.assertEqual(client.status(stream), b"501")

    def test_wrong_answers(self) -> None:
        """A 101 that is not the answer to our key is a 502."""
        self.listen()
        client = self.client()
        stream = self.connect(client)
        self.say(
            client, b"HTTP/1.1 101 S\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: x\r\n\r\n"
        )
        self.assertEqual(client.status(stream), b"502")
        self.assertEqual([each.reason for each in self.records], ["http_upgrade_failed"])

    def test_filters(self) -> None:
        """Of the route, see the request and the 101."""
        filters = "filters: [{headers: {request: {set: {X-Team: chat}}, response: {set: {X-Left: '1'}}}}]"
        self.listen(f"routes: [{{{filters}, pool: web}}]")
        client = self.client()
        stream = self.connect(client)
        self.assertIn(b"\r\nx-team: chat\r\n", self.agree(client).lower())
        self.assertEqual((client.status(stream), client.head(stream)[b"x-left"]), (b"200", b"1"))


class HandshakePureTests(HandshakeTests):
    """The same on the pure library."""

    library = "h2"


class PassingTests(StreamEndTestCase):
    def test_both_ways(self) -> None:
        """Bytes pass as they are; the record counts frames, and is written at the end."""
        client, stream = self.open()
        self.send(client, stream, HELLO)
        self.assertEqual(self.asked(), HELLO)
        answer = framed(2, bytes(300), mask=False)
        self.say(client, answer)
        self.assertEqual(client.body(stream), answer)
        self.assertEqual(self.records, [])
        self.send(client, stream, BYE)
        self.say(client, BYE_BACK)
        self.lose(client)
        self.assertEqual((client.ended(stream), client.was_reset(stream)), (True, None))
        client.h2.end_stream(stream)
        client.turn()
        self.assertEqual(client.protocol.session.open_streams, 0)
        (record,) = self.records
        self.assertEqual((record.status, record.version, record.h2_stream, record.reason), (200, "2.0", 1, ""))
        self.assertEqual((record.bytes_in, record.bytes_out), (len(HELLO + BYE), len(answer + BYE_BACK)))
        found = record.websocket
        assert found is not None
        self.assertEqual((found.received.messages, found.sent.messages), (1, 1))
        self.assertEqual((found.closed_by, found.close_code), ("client", 1000))

    def test_large(self) -> None:
        """More than any window goes through, in either direction."""
        client, stream = self.open()
        up, down = framed(2, bytes(3_000_000), mask=True), framed(2, bytes(3_000_000), mask=False)
        at = 0
        while at < len(up):
            room = min(client.h2.local_flow_control_window(stream), 16_384)
            self.assertGreater(room, 0)
            self.send(client, stream, up[at : at + room])
            at += room
        self.assertEqual(self.asked(), up)
        came = 0
        for at in range(0, len(down), 50_000):
            self.say(client, down[at : at + 50_000])
            client.h2.acknowledge_received_data(len(client.body(stream)) - came, stream)
            came = len(client.body(stream))
            client.turn()
        self.assertEqual(client.body(stream), down)

    def test_early(self) -> None:
        """What the client says before there is an answer waits for it; what the server says along with it is heard."""
        self.listen()
        client = self.client()
        stream = self.connect(client)
        self.send(client, stream, HELLO[:3])
        self.send(client, stream, HELLO[3:])
        self.agree(client, b"\x89\x00")
        self.assertEqual(self.asked(), HELLO)
        self.assertEqual(client.body(stream), b"\x89\x00")

    def test_many(self) -> None:
        """A connection carries many at a time, and requests between them."""
        self.listen()
        client = self.client()
        streams = []
        for _ in range(30):
            streams.append(self.connect(client))
            self.agree(client)
        plain = client.ask()
        for number, stream in enumerate(streams):
            self.send(client, stream, framed(1, b"%d" % number, mask=True))
        self.say(client, b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        self.assertEqual(client.body(plain), b"ok")
        for number in reversed(range(30)):
            self.assertEqual(len(self.asked(number)), len(framed(1, b"%d" % number, mask=True)))
            self.say(client, framed(1, b"%d" % number, mask=False), number)
        self.assertEqual([client.body(stream)[2:] for stream in streams], [b"%d" % number for number in range(30)])

    def test_slow_client(self) -> None:
        """A client that shuts a stream's window stops that server, and no other."""
        self.listen()
        client = self.client(INITIAL_WINDOW_SIZE=20_000)
        one, two = self.connect(client), None
        self.agree(client)
        two = self.connect(client)
        self.agree(client)
        self.say(client, framed(2, bytes(100_000), mask=False), 0)
        self.assertEqual([self.server_pipe(number).producerState for number in (0, 1)], ["paused", "producing"])
        self.assertEqual(len(client.body(one)), 20_000)
        self.say(client, HELLO, 1)
        self.assertEqual(client.body(two), HELLO)
        while client.h2.remote_flow_control_window(one) <= 0:
            client.h2.acknowledge_received_data(20_000, one)
            client.turn()
        self.assertEqual(self.server_pipe(0).producerState, "producing")
        self.assertEqual(client.protocol.is_full, False)

    def test_full_connection(self) -> None:
        """While the client's machine takes nothing, no server is read."""
        self.listen()
        client = self.client(room=200_000, INITIAL_WINDOW_SIZE=1 << 30)
        client.h2.increment_flow_control_window(1 << 30)
        client.turn()
        stream = self.connect(client)
        self.agree(client)
        self.runtime.servers[0].dataReceived(bytes(300_000))
        self.assertEqual(self.server_pipe(0).producerState, "paused")
        client.turn()
        self.assertEqual(self.server_pipe(0).producerState, "producing")
        self.assertEqual(len(client.body(stream)), 300_000)

    def test_slow_server(self) -> None:
        """A server that does not take stops its own stream only, though many together hold more than the connection's window."""
        self.listen("http2: {connection_window: 128KiB}, pool: web")
        client = self.client()
        streams = []
        for number in range(5):
            streams.append(self.connect(client))
            self.agree(client)
            if number < 4:
                producer: Any = self.server_pipe(number).producer
                producer.pauseProducing()
        for stream in streams[:4]:
            while client.h2.local_flow_control_window(stream) > 0:
                window = client.h2.local_flow_control_window(stream)
                self.send(client, stream, bytes(min(16_384, window)))
        self.assertEqual([client.h2.local_flow_control_window(stream) for stream in streams[:4]], [0] * 4)
        self.assertEqual([len(self.asked(number)) for number in range(4)], [65536] * 4)
        self.send(client, streams[4], HELLO)
        self.assertEqual(self.asked(4), HELLO)
        producer = self.server_pipe(0).producer
        producer.resumeProducing()
        client.turn()
        self.assertGreater(client.h2.local_flow_control_window(streams[0]), 60_000)

    def test_reload(self) -> None:
        """Does not touch them."""
        client, stream = self.open()
        self.listener.swap(self.site("routes: [{respond: {status: 404}}]"))
        self.send(client, stream, HELLO)
        self.assertEqual(self.asked(), HELLO)
        self.say(client, HELLO)
        self.assertEqual(client.body(stream), HELLO)


class PassingPureTests(PassingTests):
    """The same on the pure library."""

    library = "h2"


class EndingTests(StreamEndTestCase):
    def test_server_closes(self) -> None:
        """A server that ends without a close frame is made up for; then comes END_STREAM."""
        client, stream = self.open()
        self.lose(client)
        self.assertEqual(client.body(stream)[:4], b"\x88" + bytes([len(client.body(stream)) - 2]) + b"\x03\xf3")
        self.assertFalse(client.ended(stream))
        self.send(client, stream, framed(8, b"\x03\xf3", mask=True))
        self.assertEqual((client.ended(stream), client.was_reset(stream)), (True, None))
        self.assertEqual([each.reason for each in self.records], ["connection_terminated"])

    def test_client_ends(self) -> None:
        """END_STREAM is a FIN for the server, which may still speak."""
        client, stream = self.open()
        self.send(client, stream, HELLO, ended=True)
        self.assertEqual((self.asked(), self.server_pipe().lost), (HELLO, True))
        self.say(client, HELLO)
        self.lose(client)
        self.assertEqual((client.body(stream), client.ended(stream)), (HELLO, True))
        self.assertEqual((client.protocol.session.open_streams, len(self.records)), (0, 1))

    def test_client_ends_early(self) -> None:
        """Also before the server has agreed."""
        for at_once in (True, False):
            self.listen()
            client = self.client()
            stream = self.connect(client, ended=at_once)
            if not at_once:
                self.send(client, stream, HELLO, ended=True)
            self.agree(client)
            self.assertEqual((self.asked(), self.server_pipe().lost), (b"" if at_once else HELLO, True))

    def test_client_resets(self) -> None:
        """A reset is one for the server too, and no other stream is touched."""
        client, stream = self.open()
        other = self.connect(client)
        self.agree(client)
        client.h2.reset_stream(stream, CANCEL)
        client.turn()
        self.assertEqual([self.server_pipe(number).aborted for number in (0, 1)], [True, False])
        (record,) = self.records
        self.assertEqual((record.status, record.reason), (200, "http_request_error"))
        self.assertEqual(record.detail, "the client went without a close frame")
        self.assertEqual(self.listener.http2.resets, {("client", "cancel"): 1})
        self.say(client, HELLO)
        self.assertEqual(client.body(other), HELLO)

    def test_client_resets_when_done(self) -> None:
        """After both have said goodbye a reset is no failure."""
        client, stream = self.open()
        self.send(client, stream, BYE)
        self.say(client, BYE_BACK)
        client.h2.reset_stream(stream, CANCEL)
        client.turn()
        self.assertEqual((self.server_pipe().aborted, self.records[0].reason), (False, ""))

    def test_client_resets_early(self) -> None:
        """A handshake that is given up is an exchange that is given up."""
        self.listen()
        client = self.client()
        stream = self.connect(client)
        self.send(client, stream, HELLO)
        client.h2.reset_stream(stream, CANCEL)
        client.turn()
        self.assertTrue(self.server_pipe().aborted)
        self.assertEqual([each.status for each in self.records], [499])

    def test_server_resets(self) -> None:
        """A server's reset is told with a close frame, as in HTTP/1.1; within a frame, by an end."""
        client, stream = self.open()
        self.say(client, framed(2, bytes(100), mask=False)[:50])
        self.lose(client, ConnectionLost())
        self.assertEqual((len(client.body(stream)), client.ended(stream)), (50, True))
        self.passes(8)
        client.turn()
        self.assertEqual((client.was_reset(stream), client.protocol.session.open_streams), (0, 0))
        self.assertEqual([each.reason for each in self.records], ["connection_terminated"])

    def test_connection_lost(self) -> None:
        """Orderly or not, every server hears how."""
        for reason, aborted, code in ((ConnectionDone(), False, ""), (ConnectionLost(), True, "http_request_error")):
            client, _ = self.open()
            self.connect(client)
            self.agree(client)
            client.protocol.connectionLost(Failure(reason))
            self.assertEqual([self.server_pipe(number).aborted for number in (0, 1)], [aborted] * 2)
            self.assertEqual([self.server_pipe(number).disconnecting for number in (0, 1)], [True] * 2)
            self.assertEqual([each.reason for each in self.records], [code] * 2)

    def test_protocol_broken(self) -> None:
        """A connection that ends because of what its client did ends as one that fails."""
        client, _ = self.open()
        client.protocol.dataReceived(b"\0\0\0\0\0\0\0\0\0")
        self.assertTrue(self.server_pipe().aborted)
        self.assertEqual([each.reason for each in self.records], ["http_request_error"])

    def test_lingering(self) -> None:
        """A client that does not end its half has a moment, then the stream is reset without blame."""
        client, stream = self.open()
        self.send(client, stream, BYE)
        self.say(client, BYE_BACK)
        self.lose(client)
        self.send(client, stream, bytes(10_000))
        self.assertEqual((client.ended(stream), client.was_reset(stream)), (True, None))
        self.passes(3)
        client.turn()
        self.assertEqual((client.was_reset(stream), client.protocol.session.open_streams), (0, 0))
        self.assertEqual(self.listener.http2.resets, {})

    def test_drain(self) -> None:
        """A stop tells both sides 1001; the connection closes with the last of them."""
        client, stream = self.open()
        self.listener.drain(30.0)
        self.passes(1)
        goodbye = b"\x88\x02\x03\xe9"
        self.assertEqual(self.came(client), [("GOAWAY", 0, b""), ("GOAWAY", 0, b""), ("DATA", stream, goodbye)])
        self.assertEqual(self.asked()[:2], b"\x88\x82")
        self.assertFalse(client.pipe.lost)
        client.protocol.dataReceived(DataFrame(stream, framed(8, b"\x03\xe9", mask=True)).serialize())
        self.runtime.servers[0].dataReceived(framed(8, b"\x03\xe9", mask=False))
        self.assertEqual(self.came(client), [("DATA", stream, b""), ("RSTSTREAM", stream, b"")])
        self.assertTrue(client.pipe.lost)
        self.assertEqual([each.reason for each in self.records], ["shutdown"])

    def test_failure_in_a_tunnel(self) -> None:
        """What was not foreseen ends this one, and is logged."""
        self.listen()
        client = self.client()
        stream = self.connect(client)

        def fail(_: bytes) -> None:
            raise ZeroDivisionError

        self.server_pipe(0).write = fail  # type: ignore[method-assign]
        self.agree(client)
        other = client.ask()
        self.send(client, stream, HELLO)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertEqual((client.was_reset(stream), self.server_pipe(0).aborted), (INTERNAL_ERROR, True))
        self.say(client, b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", 1)
        self.assertEqual((client.body(other), len(self.records)), (b"ok", 2))


class EndingPureTests(EndingTests):
    """The same on the pure library."""

    library = "h2"


class PatienceTests(StreamEndTestCase):
    def test_silence(self) -> None:
        """Neither a body's time nor the connection's ends a silent WebSocket, but its own does, with 1001."""
        client, stream = self.open("timeouts: {body_idle: 4s, keep_alive: 4s, idle: 60s}, pool: web")
        self.passes(50)
        client.turn()
        self.assertEqual((client.body(stream), client.goaways()), (b"", []))
        self.send(client, stream, HELLO)
        self.passes(50)
        client.turn()
        self.assertEqual(client.body(stream), b"")
        self.passes(15)
        client.turn()
        self.assertEqual(client.body(stream), b"\x88\x06\x03\xe9idle")
        self.passes(10)
        client.turn()
        self.assertEqual([each.reason for each in self.records], ["connection_read_timeout"])
        self.assertEqual(client.was_reset(stream), 0)

    def test_shut_window(self) -> None:
        """A client that takes nothing keeps its WebSocket as long as it may be silent, and loses what else it does not take."""
        self.listen("timeouts: {body_idle: 4s, idle: 60s}, pool: web")
        client = self.client(INITIAL_WINDOW_SIZE=10)
        stream = self.connect(client)
        self.agree(client, framed(2, bytes(100), mask=False))
        plain = client.ask()
        self.say(client, b"HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n" + bytes(20))
        self.passes(20)
        client.turn()
        self.assertEqual((client.was_reset(plain), client.was_reset(stream)), (CANCEL, None))
        self.passes(80)
        client.turn()
        self.assertEqual((client.was_reset(stream), client.protocol.session.open_streams), (CANCEL, 0))
        self.assertIn("connection_read_timeout", [each.reason for each in self.records])

    def test_full_connection(self) -> None:
        """The same where its machine takes nothing: then the connection is cut."""
        self.listen("timeouts: {body_idle: 4s, idle: 60s}, pool: web")
        client = self.client(room=1000, INITIAL_WINDOW_SIZE=100_000)
        self.connect(client)
        self.agree(client)
        self.runtime.servers[0].dataReceived(bytes(10_000))
        self.passes(40)
        self.assertFalse(client.pipe.aborted)
        self.passes(50)
        self.assertTrue(client.pipe.aborted)

    def test_pings(self) -> None:
        """Of the balancer's own: a client that answers lives, one that does not is told so."""
        client, stream = self.open("websocket: {ping: 5s, pong_timeout: 2s}, pool: web")
        self.passes(6)
        client.turn()
        ping = client.body(stream)
        self.assertEqual((ping[0], len(ping)), (0x89, 14))
        self.send(client, stream, framed(10, ping[2:], mask=True))
        self.assertEqual(self.asked(), b"")
        self.passes(10)
        client.turn()
        self.assertTrue(client.body(stream).endswith(b"the client does not answer pings"))


class PatiencePureTests(PatienceTests):
    """The same on the pure library."""

    library = "h2"
