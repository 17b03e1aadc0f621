"""Tests of exchanges that may last so long only."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred

from balancer.wire.grpc.messages import frame
from tests.listeners.http2.conversation import Client, ConversationTestCase, _Runtime

GRPC = ((b"content-type", b"application/grpc"), (b"te", b"trailers"))
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n"


class LimitedTests(ConversationTestCase):
    def route(self, settings: str) -> Client:
        """Have a listener with one route, and a client of it."""
        self.listen(f"routes: [{{pool: web, {settings}}}]")
        return self.client()

    def passed(self, client: Client, seconds: float) -> None:
        self.passes(seconds)
        client.turn()

    def counts(self) -> tuple[int, int]:
        """The failures of the server, and what it still has to do."""
        server = self.runtime.servers[0].server
        return server.failures, server.active

    def test_request(self) -> None:
        """A server that does not answer in the time of the whole exchange costs a 504, and has failed."""
        client = self.route("timeouts: {request: 500ms}")
        stream = client.ask()
        self.passed(client, 0.4)
        self.assertFalse(client.ended(stream))
        self.passed(client, 0.6)
        self.assertEqual(client.status(stream), b"504")
        self.assertIn(b"http_response_timeout", client.head(stream)[b"proxy-status"])
        self.assertTrue(self.server_pipe().aborted)
        self.assertEqual(self.counts(), (1, 0))

    def test_answered(self) -> None:
        """One that does is left in peace, with the limits of later exchanges on its connection its own."""
        client = self.route("timeouts: {request: 500ms, per_try: 500ms}")
        for _ in range(2):
            stream = client.ask()
            self.say(client, OK + b"ok")
            self.assertEqual(client.body(stream), b"ok")
            self.passed(client, 1.0)
        self.assertEqual(len(self.runtime.servers), 1)
        self.assertFalse(self.server_pipe().aborted)
        self.assertEqual(len(self.runtime.soon), 0)

    def test_cut(self) -> None:
        """An answer that has begun is cut."""
        for limit in ("request", "per_try"):
            client = self.route(f"timeouts: {{{limit}: 500ms}}")
            stream = client.ask()
            self.say(client, OK + b"o")
            self.passed(client, 1.0)
            self.assertIsNotNone(client.was_reset(stream))
            self.assertTrue(self.server_pipe().aborted)

    def test_slow_client(self) -> None:
        """A body that does not come is not the server's fault."""
        client = self.route("timeouts: {request: 500ms}")
        stream = client.ask(b"/", b"POST", (b"content-length", b"10"), ended=False)
        self.passed(client, 1.0)
        self.assertEqual(client.status(stream), b"504")
        self.assertEqual(self.counts(), (0, 0))

    def test_connecting(self) -> None:
        """The time for an attempt counts from choosing its server."""
        given_up: list[Any] = []
        self.patch(_Runtime, "connect_http", lambda *_, **__: Deferred(given_up.append))
        for limit in ("request", "per_try"):
            given_up.clear()
            client = self.route(f"timeouts: {{{limit}: 500ms}}")
            stream = client.ask()
            self.passed(client, 1.0)
            self.assertEqual((client.status(stream), len(given_up)), (b"504", 1))

    def test_per_try(self) -> None:
        """An attempt that takes too long is followed by another, where time-outs are retried."""
        client = self.route("timeouts: {per_try: 500ms, request: 3s}, retry: {attempts: 1, on: [timeout]}")
        stream = client.ask()
        self.passed(client, 1.0)
        self.assertEqual(len(self.runtime.servers), 2)
        self.assertTrue(self.server_pipe(0).aborted)
        self.say(client, OK + b"ok")
        self.assertEqual(client.body(stream), b"ok")
        self.assertEqual([record.attempts for record in self.records], [2])
        self.assertEqual(self.counts(), (1, 0))

    def test_whole_while_waiting(self) -> None:
        """The whole ends a wait for another attempt too."""
        client = self.route("timeouts: {request: 500ms}, retry: {attempts: 1, on: [503], backoff: {base: 1h, max: 1h}}")
        stream = client.ask()
        self.say(client, b"HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n")
        self.passed(client, 1.0)
        self.assertEqual(client.status(stream), b"504")
        self.assertEqual((len(self.runtime.servers), len(self.runtime.soon)), (1, 0))

    def test_events(self) -> None:
        """Event streams that have begun last as long as they like."""
        client = self.route("timeouts: {request: 500ms, per_try: 500ms}")
        stream = client.ask()
        self.say(client, b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: a\n\n")
        self.passed(client, 5.0)
        self.say(client, b"data: b\n\n")
        self.assertEqual(client.body(stream), b"data: a\n\ndata: b\n\n")

    def test_client_leaves(self) -> None:
        """What has ended has no limits any more."""
        client = self.route("timeouts: {request: 500ms, per_try: 500ms}")
        stream = client.ask()
        client.h2.reset_stream(stream)
        client.turn()
        self.passed(client, 2.0)
        self.assertEqual([record.reason for record in self.records], ["http_request_error"])

    def test_calls(self) -> None:
        """A call has the shorter of its client's deadline and the route's."""
        for ours, theirs in ((b"500m", "5s"), (b"5S", "500ms")):
            client = self.route(f"timeouts: {{request: {theirs}}}")
            client.begin(b"/shop.Cart/Add", b"POST", *GRPC, (b"grpc-timeout", ours), ended=False)
            client.h2.send_data(1, frame(b"hello"), end_stream=True)
            client.turn()
            self.passed(client, 1.0)
            self.assertEqual(client.head(1)[b"grpc-status"], b"4")
            self.assertEqual([record.grpc_status for record in self.records], [4])
