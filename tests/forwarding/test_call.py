"""Tests of calls of gRPC on their way: deadlines, statuses, what the balancer itself says."""

from __future__ import annotations

from typing import Any

import h2.events
from h2.errors import ErrorCodes
from twisted.internet.defer import Deferred

from balancer.wire.grpc.messages import frame
from tests.listeners.http2.conversation import Client, ConversationTestCase, _Runtime

GRPC = ((b"content-type", b"application/grpc"), (b"te", b"trailers"))
HEAD = (
    b"HTTP/1.1 200 OK\r\nContent-Type: application/grpc\r\nTransfer-Encoding: chunked\r\nTrailer: grpc-status\r\n\r\n"
)


class CallTests(ConversationTestCase):
    def call(self, *more: tuple[bytes, bytes], listener: str = "pool: web", ended: bool = True) -> Client:
        """Begin a call, the first on its connection: stream 1."""
        self.listen(listener)
        client = self.client()
        client.begin(b"/shop.Cart/Add", b"POST", *GRPC, *more, ended=False)
        client.h2.send_data(1, frame(b"hello"), end_stream=ended)
        client.turn()
        return client

    def trailers(self, client: Client) -> dict[bytes, bytes]:
        (event,) = client.of(1, h2.events.TrailersReceived)
        return dict(event.headers)

    def test_status(self) -> None:
        """The status in the trailers reaches client and record."""
        client = self.call()
        self.assertIn(b"POST /shop.Cart/Add", self.asked())
        self.say(client, HEAD + b"5\r\n\0\0\0\0\0\r\n0\r\ngrpc-status: 5\r\n\r\n")
        self.assertEqual((client.body(1), self.trailers(client)[b"grpc-status"]), (b"\0\0\0\0\0", b"5"))
        [record] = self.records
        self.assertEqual((record.grpc, record.status, record.grpc_status), (True, 200, 5))

    def test_status_in_the_head(self) -> None:
        """So does one of a head alone, and what an HTTP status is in gRPC."""
        for answer, code in (
            (b"HTTP/1.1 200 OK\r\ngrpc-status: 7\r\nContent-Length: 0\r\n\r\n", 7),
            (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 2),
            (b"HTTP/1.1 200 OK\r\ngrpc-status: x\r\nContent-Length: 0\r\n\r\n", 2),
            (b"HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n", 12),
        ):
            client = self.call()
            self.say(client, answer)
            self.assertEqual(self.records[0].grpc_status, code)

    def test_others(self) -> None:
        """What is no POST of that type is no call."""
        self.listen()
        client = self.client()
        client.ask(b"/a", b"GET", *GRPC)
        self.say(client, b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        client.ask(b"/a", b"POST", (b"content-type", b"application/grpc-web"))
        self.say(client, b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        self.assertEqual([(record.grpc, record.grpc_status) for record in self.records], [(False, -1)] * 2)

    def test_deadline(self) -> None:
        """A client's deadline ends the call at both ends, before anything of the answer, and is no failure of the server."""
        client = self.call((b"grpc-timeout", b"500m"))
        self.passes(0.4)
        self.assertFalse(client.of(1, h2.events.ResponseReceived))
        self.passes(0.6)
        client.turn()
        head = client.head(1)
        self.assertEqual((head[b":status"], head[b"grpc-status"]), (b"200", b"4"))
        self.assertIn(b"http_response_timeout", head[b"proxy-status"])
        self.assertTrue(client.ended(1))
        self.assertTrue(self.server_pipe().aborted)
        [record] = self.records
        self.assertEqual((record.grpc_status, record.reason), (4, "http_response_timeout"))
        [server] = self.runtime.servers
        self.assertEqual((server.server.failures, server.server.active), (0, 0))

    def test_deadline_while_connecting(self) -> None:
        """It counts from the beginning: no server needs to have been found."""
        given_up: list[Any] = []
        self.patch(_Runtime, "connect_http", lambda *_, **__: Deferred(given_up.append))
        client = self.call((b"grpc-timeout", b"500m"))
        self.passes(1.0)
        client.turn()
        self.assertEqual(client.head(1)[b"grpc-status"], b"4")
        self.assertEqual(len(given_up), 1)
        self.assertEqual([record.grpc_status for record in self.records], [4])

    def test_deadline_in_the_answer(self) -> None:
        """It is told in trailers, where the answer has begun."""
        client = self.call((b"grpc-timeout", b"1S"))
        self.say(client, HEAD + b"5\r\n\0\0\0\0\0\r\n")
        self.passes(1.5)
        client.turn()
        self.assertEqual((client.body(1), self.trailers(client)[b"grpc-status"]), (b"\0\0\0\0\0", b"4"))
        self.assertEqual(client.was_reset(1), None)

    def test_deadline_kept(self) -> None:
        """A call that is over has no deadline any more; one that cannot be read is none."""
        for timeout in (b"1S", b"soon"):
            client = self.call((b"grpc-timeout", timeout))
            self.say(client, b"HTTP/1.1 200 OK\r\ngrpc-status: 0\r\nContent-Length: 0\r\n\r\n")
            self.passes(2.0)
            client.turn()
            self.assertEqual([record.grpc_status for record in self.records], [0])

    def test_server_dies(self) -> None:
        """A server that is gone in the middle of its answer leaves UNAVAILABLE, not a reset."""
        client = self.call()
        self.say(client, HEAD + b"5\r\n\0\0\0\0\0\r\n")
        self.runtime.servers[0].connectionLost()
        client.turn()
        self.assertEqual(self.trailers(client)[b"grpc-status"], b"14")
        self.assertEqual(self.records[0].reason, "http_response_incomplete")

    def test_length_known(self) -> None:
        """An answer whose length was said cannot end in trailers before: it is reset."""
        client = self.call()
        self.say(client, b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n12345")
        self.runtime.servers[0].connectionLost()
        client.turn()
        self.assertEqual(client.was_reset(1), ErrorCodes.INTERNAL_ERROR)

    def test_silent_client(self) -> None:
        """A stream whose client has nothing to say lives on for the pool's idle time, and its end is nobody's failure."""
        client = self.call(ended=False)
        self.passes(45.0)
        client.turn()
        self.assertFalse(client.of(1, h2.events.ResponseReceived))
        client.h2.send_data(1, frame(b"still here"))
        client.turn()
        self.passes(70.0)
        client.turn()
        self.assertEqual(client.head(1)[b"grpc-status"], b"4")
        [server] = self.runtime.servers
        self.assertEqual(server.server.failures, 0)

    def test_client_leaves(self) -> None:
        """A reset is CANCELLED."""
        client = self.call((b"grpc-timeout", b"5S"))
        client.h2.reset_stream(1, ErrorCodes.CANCEL)
        client.turn()
        self.assertTrue(self.server_pipe().aborted)
        self.passes(6.0)
        self.assertEqual([record.grpc_status for record in self.records], [1])

    def test_own_answers(self) -> None:
        """No route, a fixed answer, a filter's reply, a limit: each is a status, with its message, and nothing but a head."""
        for listener, code, message in (
            (
                "routes: [{match: {path: /no}, pool: web}]",
                b"12",
                b"No route matches this request. (destination_not_found)",
            ),
            ("routes: [{respond: {status: 403, body: secret}}]", b"7", b"HTTP status 403"),
            ("routes: [{redirect: {to: 'https://b.example/'}}]", b"2", b"HTTP status 308"),
            ("http: {body_size: 3B}, pool: web", b"8", b"The request's body is too large. (http_request_error)"),
        ):
            client = self.call(listener=listener)
            head = client.head(1)
            self.assertEqual((head[b":status"], head[b"content-type"]), (b"200", b"application/grpc"))
            self.assertEqual((head[b"grpc-status"], head[b"grpc-message"]), (code, message))
            self.assertIn(b"proxy-status", head)
            self.assertEqual((client.body(1), client.ended(1)), (b"", True))
            self.assertEqual(self.records[0].grpc_status, int(code))
