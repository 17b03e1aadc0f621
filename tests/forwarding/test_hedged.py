"""Tests of exchanges that are sent to a second server."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred

from balancer.errors import CONNECTION_REFUSED, ExchangeError
from tests.listeners.http2.conversation import Client, ConversationTestCase, _Runtime

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n"
BUSY = b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n"


class HedgedTests(ConversationTestCase):
    more = ""
    route = "hedge: {after: 100ms, budget: 100%}"

    def listen(self, listener: str = "", change: Any = lambda site: site) -> Any:
        return super().listen(listener or f"routes: [{{pool: web, {self.route}{self.more}}}]", change)

    def pools(self) -> str:
        return "pools: {web: {servers: ['127.0.0.1:2', '127.0.0.1:3'], algorithm: round_robin, retry: false, passive: false}}\n"

    def raced(self, method: bytes = b"GET", *more: tuple[bytes, bytes]) -> tuple[Client, int]:
        """A request whose first server has said nothing for so long that there may be a second."""
        self.listen()
        client = self.client()
        stream = client.ask(b"/", method, *more)
        self.assertEqual(len(self.runtime.servers), 1)
        self.passed(client, 0.3)
        return client, stream

    def passed(self, client: Client, seconds: float) -> None:
        self.passes(seconds)
        client.turn()

    def after(self) -> list[tuple[int, int]]:
        """The failures of each server, and what it still has to do."""
        return [(each.server.failures, each.server.active) for each in self.runtime.servers]

    def outcome(self) -> tuple[int, int, int, str]:
        """Status, attempts, how the second attempt ended, and the server that counts."""
        [record] = self.records
        return record.status, record.attempts, record.hedged, record.server

    def test_second_wins(self) -> None:
        """Who answers first is heard, the other given up and not blamed."""
        client, stream = self.raced()
        first, second = self.runtime.servers
        self.assertEqual(self.asked(0).partition(b"\r\n")[0], self.asked(1).partition(b"\r\n")[0])
        self.say(client, OK + b"o", 1)
        self.assertTrue(self.server_pipe(0).aborted)
        self.say(client, b"k", 1)
        self.assertEqual(client.body(stream), b"ok")
        self.assertEqual(self.after(), [(0, 0), (0, 0)])
        self.assertEqual(self.outcome(), (200, 2, 2, second.server.name))
        self.assertFalse(self.server_pipe(1).aborted)
        self.assertEqual(len(self.runtime.soon), 0)

    def test_first_wins(self) -> None:
        """So it is the other way round."""
        client, stream = self.raced()
        first, _ = self.runtime.servers
        self.say(client, OK + b"ok", 0)
        self.assertTrue(self.server_pipe(1).aborted)
        self.assertEqual(client.body(stream), b"ok")
        self.assertEqual(self.after(), [(0, 0), (0, 0)])
        self.assertEqual(self.outcome(), (200, 2, 1, first.server.name))

    def test_in_time(self) -> None:
        """Where the first byte comes in time there is no race."""
        self.listen()
        client = self.client()
        stream = client.ask()
        self.say(client, OK + b"o")
        self.passed(client, 1.0)
        self.say(client, b"k")
        self.assertEqual((client.body(stream), len(self.runtime.servers)), (b"ok", 1))
        self.assertEqual(self.outcome()[1:3], (1, 0))

    def test_second_is_worse(self) -> None:
        """A second that fails or answers with 5xx leaves the first as it was; there is no third."""
        for failed in (BUSY, b"nonsense\r\n\r\n", None):
            client, stream = self.raced()
            if failed is None:
                self.runtime.servers[1].connectionLost()
            else:
                self.say(client, failed, 1)
            self.assertFalse(self.server_pipe(0).aborted)
            self.passed(client, 1.0)
            self.assertEqual(len(self.runtime.servers), 2)
            self.say(client, OK + b"ok", 0)
            self.assertEqual(client.body(stream), b"ok")
            self.assertEqual(self.after(), [(0, 0), (1, 0)])
            self.assertEqual(self.outcome()[:3], (200, 2, 1))

    def test_first_fails(self) -> None:
        """A first that fails or answers with 5xx leaves everything to the second."""
        for failed in (BUSY, b"nonsense\r\n\r\n", None):
            client, stream = self.raced()
            if failed is None:
                self.runtime.servers[0].connectionLost()
            else:
                self.say(client, failed, 0)
            self.assertFalse(client.ended(stream))
            self.say(client, OK + b"ok", 1)
            self.assertEqual(client.body(stream), b"ok")
            self.assertEqual(self.after(), [(1, 0), (0, 0)])
            self.assertEqual(self.outcome()[:3], (200, 2, 2))

    def test_both_fail(self) -> None:
        """The client is told of the last."""
        client, stream = self.raced()
        self.say(client, BUSY, 0)
        self.runtime.servers[1].connectionLost()
        client.turn()
        self.assertEqual(client.status(stream), b"502")
        self.assertEqual(self.after(), [(1, 0), (1, 0)])

    def test_client_leaves(self) -> None:
        """Both are given up, and neither blamed."""
        client, stream = self.raced()
        client.h2.reset_stream(stream)
        client.turn()
        self.assertEqual([self.server_pipe(each).aborted for each in (0, 1)], [True, True])
        self.assertEqual(self.after(), [(0, 0), (0, 0)])

    def test_connecting(self) -> None:
        """A server that cannot be reached in time is as one that does not answer; who is connected first is not yet who wins."""
        waiting: list[tuple[Any, Deferred[Any]]] = []
        connect = _Runtime.connect_http

        def slow(runtime: Any, server: Any, timeout: float, **more: Any) -> Deferred[Any]:
            found: Deferred[Any] = Deferred(lambda _: None)
            waiting.append((server, found))
            return found

        self.patch(_Runtime, "connect_http", slow)
        self.listen()
        client = self.client()
        stream = client.ask()
        self.passed(client, 0.3)
        (_, one), (server, two) = waiting
        one.errback(ExchangeError(CONNECTION_REFUSED))
        connect(self.runtime, server, 1.0).chainDeferred(two)
        self.say(client, OK + b"ok")
        self.assertEqual(client.body(stream), b"ok")
        self.assertEqual(self.outcome()[:3], (200, 2, 2))

    def test_times(self) -> None:
        """The limits hold for both: the whole, and each attempt."""
        self.more = ", timeouts: {request: 500ms, first_byte: 10s}"
        client, stream = self.raced()
        self.passed(client, 1.0)
        self.assertEqual(client.status(stream), b"504")
        self.assertEqual([active for _, active in self.after()], [0, 0])
        self.more = ", timeouts: {per_try: 500ms}"
        client, stream = self.raced()
        self.passed(client, 0.3)
        self.assertTrue(self.server_pipe(0).aborted)
        self.assertFalse(client.ended(stream))
        self.passed(client, 1.0)
        self.assertEqual(client.status(stream), b"504")
        self.assertEqual(self.after(), [(1, 0), (1, 0)])

    def test_what_is_not_sent_twice(self) -> None:
        """What may have an effect each time, and bodies that are not all there."""
        self.raced(b"POST")
        self.assertEqual(len(self.runtime.servers), 1)
        self.listen()
        client = self.client()
        client.ask(b"/", b"PUT", (b"content-length", b"3"), ended=False)
        self.passed(client, 1.0)
        self.assertEqual(len(self.runtime.servers), 1)

    def test_bodies(self) -> None:
        """A body that is all there is sent to both."""
        self.listen()
        client = self.client()
        stream = client.begin(b"/", b"PUT", (b"content-length", b"3"), ended=False)
        client.h2.send_data(stream, b"abc", end_stream=True)
        client.turn()
        self.passed(client, 0.3)
        self.assertTrue(self.asked(0).endswith(b"\r\n\r\nabc"))
        self.assertTrue(self.asked(1).endswith(b"\r\n\r\nabc"))

    def test_filtered(self) -> None:
        """So is what filters have made of a request."""
        self.more = ", filters: [{headers: {request: {set: {X-A: b}}}}]"
        self.raced()
        self.assertIn(b"X-A: b\r\n", self.asked(0))
        self.assertIn(b"X-A: b\r\n", self.asked(1))

    def test_another_method(self) -> None:
        """What a filter makes a POST is not sent twice, whatever the client has asked for."""
        self.more = ", filters: [{rewrite: {method: POST}}]"
        self.raced()
        self.assertEqual(len(self.runtime.servers), 1)
        self.assertTrue(self.asked(0).startswith(b"POST / "))

    def test_budget(self) -> None:
        """Without budget there is no second."""
        self.route = "hedge: {after: 100ms, budget: 0%}"
        self.raced()
        self.assertEqual(len(self.runtime.servers), 1)

    def test_metrics(self) -> None:
        """A hedge is no retry."""
        client, _ = self.raced()
        self.say(client, OK + b"ok", 1)
        [record] = self.records
        metrics = self.runtime.observing.metrics
        metrics.exchange(record)
        text = metrics.text().decode()
        self.assertIn('outcome="won",pool="web"', text)
        self.assertNotRegex(text, r"balancer_http_retries_total\{.*\} [1-9]")


class RetriedTests(ConversationTestCase):
    """Which methods are tried again: those that servers are sent."""

    def tries(self, method: bytes, sent: str) -> int:
        self.listen(f"routes: [{{pool: web, filters: [{{rewrite: {{method: {sent}}}}}]}}]")
        client = self.client()
        client.ask(b"/", method)
        self.say(client, BUSY)
        return len(self.runtime.servers)

    def pools(self) -> str:
        return "pools: {web: {servers: ['127.0.0.1:2', '127.0.0.1:3'], algorithm: round_robin}}\n"

    def test_a_post(self) -> None:
        """A GET that is sent as a POST is not."""
        self.assertEqual(self.tries(b"GET", "POST"), 1)

    def test_a_get(self) -> None:
        """A POST that is sent as a GET is."""
        self.assertEqual(self.tries(b"POST", "GET"), 2)
