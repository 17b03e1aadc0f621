"""Tests of copies of requests, in memory: what the mirror is sent, and that the client's exchange is as ever."""

from __future__ import annotations

import gc
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import h2.events
from twisted.internet.defer import Deferred, fail
from twisted.internet.error import ConnectionLost
from twisted.python.failure import Failure

from balancer import errors
from balancer.config.loading import load_text
from balancer.errors import ExchangeError
from balancer.forwarding.exchange import Forward
from balancer.forwarding.mirroring.shadow import Shadow, ShadowForward
from balancer.forwarding.mirroring.tap import Tapped
from balancer.forwarding.server_connection import ServerConnection
from balancer.listeners.http.site import Site
from balancer.pools.server import Server
from balancer.service.build import built, registry_for
from balancer.wire.grpc.messages import frame
from tests.listeners.http2.conversation import Client, ConversationTestCase, Pipe, _Runtime

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
ROUTE = "routes: [{{name: web, pool: web, filters: [{{mirror: {}}}]}}]"


class _Mirrored(_Runtime):
    """A mirror whose server can be dead."""

    dead = False
    lines: list[tuple[str | None, Any]]

    def connect_http(self, server: Server, timeout: float, **more: Any) -> Deferred[Any]:
        if self.dead and server.address.port == 3:
            return fail(ExchangeError(errors.CONNECTION_REFUSED))
        return super().connect_http(server, timeout, **more)


class MirrorTestCase(ConversationTestCase):
    def listen(self, listener: str = "shadow", change: Callable[[Site], Site] = lambda site: site) -> Any:
        return super().listen(ROUTE.format(listener), change)

    def site(self, listener: str = "pool: web", change: Callable[[Site], Site] = lambda site: site) -> Site:
        self.runtime = self.mirrored = _Mirrored(self.clock)
        self.mirrored.lines = []
        self.mirrors = self.mirrored.mirrors
        self.mirrors._write = lambda path, line: self.mirrored.lines.append((path, json.loads(line)))
        text = (
            f"listeners: {{web: {{bind: '127.0.0.1:1', protocol: http, {listener}}}}}\n"
            "pools: {web: {servers: ['127.0.0.1:2'], passive: false},\n"
            " shadow: {servers: ['127.0.0.1:3'], passive: false}, other: {servers: ['127.0.0.1:4'], passive: false}}\n"
        )
        self.snapshot = built(load_text(text, registry_for(installed=False)), self.runtime)
        site: Any = self.snapshot.listeners["web"]
        return change(replace(site, now=self.clock.seconds))

    def outcomes(self) -> dict[str, int]:
        return {outcome: count for (_, _, _, outcome), count in self.mirrors.outcomes.items()}

    def of(self, port: int) -> list[ServerConnection]:
        return [each for each in self.runtime.servers if each.server.address.port == port]

    def sent(self, port: int) -> bytes:
        """Return what the server at ``port`` was sent."""
        return b"".join(self._pipe(each).drain() for each in self.of(port))

    @staticmethod
    def _pipe(connection: ServerConnection) -> Any:
        return connection.transport

    def serve(self, client: Client, data: bytes = OK) -> None:
        """Have the client's server answer."""
        self.of(2)[-1].dataReceived(data)
        client.turn()

    def turn(self) -> None:
        self.clock.advance(0)

    def assert_done(self) -> None:
        """Nothing is left of any copy."""
        self.assertEqual(+self.mirrors.under_way, {})
        self.assertEqual(self.mirrors._flying, set())
        (server,) = self.snapshot.pools["shadow"].servers
        self.assertEqual(server.active, 0)


class MirrorTests(MirrorTestCase):
    """What is sent, and when."""

    def test_copy(self) -> None:
        """The mirror gets the request as the server does, marked, and after it; the answer goes nowhere."""
        self.listen()
        client = self.client()
        client.ask(b"/a?b=c", b"GET", (b"x-mine", b"1"))
        self.assertEqual(self.of(3), [])
        sent = self.sent(2)
        self.turn()
        copy = self.sent(3)
        self.assertEqual(copy.replace(b"X-Mirrored: 1\r\n", b""), sent)
        self.assertIn(b"GET /a?b=c HTTP/1.1\r\n", copy)
        self.assertIn(b"X-Mirrored: 1\r\n", copy)
        self.of(3)[0].dataReceived(b"HTTP/1.1 500 No\r\nContent-Length: 3\r\n\r\nbad")
        self.serve(client)
        self.assertEqual((client.status(1), client.body(1)), (b"200", b"ok"))
        self.assertEqual((self.outcomes(), self.records[0].notes), ({"5xx": 1}, {"mirror": {"shadow": "5xx"}}))
        self.assertEqual(len(self.records), 1)
        self.assert_done()

    def test_asking_routes(self) -> None:
        """Routes that ask their pool for something (how to queue) have mirrors as well."""
        ConversationTestCase.listen(
            self, ROUTE.format("shadow").replace("pool: web,", "pool: web, queue: {priority: 2},")
        )
        self.client().ask(b"/")
        self.turn()
        self.assertIn(b"X-Mirrored: 1\r\n", self.sent(3))

    def test_rewritten(self) -> None:
        """It gets what filters made of the request, and a host of its own where that is wanted."""
        self.listen("{pool: shadow, host_suffix: -shadow}}, {headers: {request: {set: {X-Set: two}}}")
        self.client().ask(b"/")
        self.turn()
        copy = self.sent(3)
        self.assertIn(b"X-Set: two\r\n", copy)
        self.assertIn(b"Host: a.example-shadow\r\n", copy)
        self.assertIn(b"Host: a.example\r\n", self.sent(2))

    def test_body(self) -> None:
        """A body streams to the server as it comes; the copy follows when it is whole, with its length."""
        self.listen()
        client = self.client()
        client.ask(b"/", b"POST", ended=False)
        client.h2.send_data(1, b"one")
        client.turn()
        self.assertTrue(self.sent(2).endswith(b"one\r\n"))
        self.turn()
        self.assertEqual(self.of(3), [])
        client.h2.send_data(1, b"two", end_stream=True)
        client.turn()
        self.turn()
        copy = self.sent(3)
        self.assertTrue(copy.endswith(b"\r\n\r\nonetwo"), copy)
        self.assertIn(b"Content-Length: 6\r\n", copy)
        self.assertNotIn(b"Transfer-Encoding", copy)

    def test_empty_body(self) -> None:
        """A body of no bytes stays one."""
        self.listen()
        self.client().ask(b"/", b"POST", (b"content-length", b"0"))
        self.turn()
        self.assertEqual(self.sent(3).replace(b"X-Mirrored: 1\r\n", b""), self.sent(2))

    def test_long_bodies(self) -> None:
        """A request with a body beyond the limit is not copied, whether it says so or not; it is served as ever."""
        self.listen("{pool: shadow, body_limit: 5}")
        for more in ((), ((b"content-length", b"6"),)):
            client = self.client()
            client.ask(b"/", b"POST", *more, ended=False)
            client.h2.send_data(1, b"123456", end_stream=True)
            client.turn()
            self.turn()
            self.serve(client)
            self.assertEqual(client.body(1), b"ok")
        self.assertEqual((self.of(3), self.outcomes()), ([], {"body_too_long": 2}))
        self.assert_done()

    def test_several(self) -> None:
        """Several mirrors, each with a limit and a share of its own."""
        self.listen("[{pool: shadow, body_limit: 2}, other]")
        client = self.client()
        client.ask(b"/", b"POST", ended=False)
        client.h2.send_data(1, b"123456", end_stream=True)
        client.turn()
        self.turn()
        self.assertEqual((self.of(3), len(self.of(4))), ([], 1))
        self.assertTrue(self.sent(4).endswith(b"123456"))

    def test_changed(self) -> None:
        """A body that a filter changes is copied as that filter left it, whether it streams or was held."""
        for held in (0, 1000):
            self.listen("shadow}, {grpc_web: {}")
            site: Any = self.snapshot.listeners["web"]
            site.table.routes[0].filters[1].body_limit = held
            client = self.client()
            client.ask(b"/a.B/C", b"POST", (b"content-type", b"application/grpc-web-text"), ended=False)
            client.h2.send_data(1, b"AAAAAAE=", end_stream=True)
            client.turn()
            self.turn()
            copy = self.sent(3)
            self.assertTrue(copy.endswith(b"\r\n\r\n\0\0\0\0\1"), copy)
            self.assertIn(b"Content-Type: application/grpc\r\n", copy)
            self.assertIn(b"\0\0\0\0\1", self.sent(2))

    def test_calls(self) -> None:
        """A call of gRPC is copied when the client has said all."""
        self.listen()
        client = self.client()
        client.begin(b"/a.B/C", b"POST", (b"content-type", b"application/grpc"), (b"te", b"trailers"), ended=False)
        client.h2.send_data(1, frame(b"hello"), end_stream=True)
        client.turn()
        self.turn()
        self.assertTrue(self.sent(3).endswith(frame(b"hello")))
        answer = b"HTTP/1.1 200 OK\r\nContent-Type: application/grpc\r\ngrpc-status: 0\r\nContent-Length: 0\r\n\r\n"
        self.of(3)[0].dataReceived(answer)
        self.serve(client, answer)
        self.assertEqual((self.records[0].grpc_status, self.outcomes()), (0, {"2xx": 1}))

    def test_upgrades(self) -> None:
        """What becomes a tunnel is not copied."""
        self.listen()
        pipe = Pipe()
        channel: Any = self.listener.buildProtocol(pipe.getPeer())
        channel.makeConnection(pipe)
        channel.dataReceived(b"GET / HTTP/1.1\r\nHost: a.example\r\nConnection: Upgrade\r\nUpgrade: other\r\n\r\n")
        self.turn()
        self.assertIn(b"Upgrade: other", self.sent(2))
        self.assertEqual((self.of(3), self.outcomes()), ([], {}))

    def test_freed(self) -> None:
        """Nothing of an exchange and its copy is left for the garbage collector, however they end."""
        for answer, gone in ((OK, False), (b"nonsense\r\n\r\n", False), (OK, True)):
            self.listen("{pool: shadow, compare: {body: json}}")
            client = self.client()
            client.ask(b"/")
            self.turn()
            kinds = (Shadow, ShadowForward, Forward, Tapped)
            gc.collect()
            self.assertEqual({type(each) for each in gc.get_objects() if type(each) in kinds}, set(kinds))
            gc.disable()
            self.addCleanup(gc.enable)
            if gone:
                client.h2.reset_stream(1)
                client.turn()
            else:
                self.serve(client)
            self.of(3)[0].dataReceived(answer)
            self.assertEqual([each for each in gc.get_objects() if type(each) in kinds], [])
            gc.enable()

    def test_kept_connections(self) -> None:
        """Copies use the mirror's kept connections."""
        self.listen()
        client = self.client()
        for stream in (1, 3):
            client.ask(b"/")
            self.turn()
            self.of(3)[0].dataReceived(OK)
            self.serve(client)
            self.assertEqual(client.body(stream), b"ok")
        self.assertEqual((len(self.of(3)), self.outcomes()), (1, {"2xx": 2}))


class TroubleTests(MirrorTestCase):
    """Whatever the mirror does, the client's exchange is as ever."""

    def ask(self, settings: str = "shadow", dead: bool = False) -> Client:
        self.listen(settings)
        self.mirrored.dead = dead
        client = self.client()
        client.ask(b"/")
        self.turn()
        return client

    def test_dead(self) -> None:
        """Of a mirror that cannot be connected to; it is tried once."""
        client = self.ask(dead=True)
        self.serve(client)
        self.assertEqual((client.body(1), self.outcomes()), (b"ok", {"connection_refused": 1}))
        self.assert_done()

    def test_dead_for_long(self) -> None:
        """Of one that stays dead: it is left alone, and asked again now and then until it answers."""
        self.listen()
        self.mirrored.dead = True
        client = self.client()

        def ask() -> None:
            client.ask(b"/")
            self.turn()
            self.serve(client)

        for _ in range(20):
            ask()
        self.assertEqual(self.outcomes(), {"connection_refused": 5, "resting": 15})
        self.mirrored.dead = False
        self.clock.advance(1.1)
        ask()
        self.assertEqual(len(self.of(3)), 1)
        self.of(3)[0].dataReceived(OK)
        for _ in range(3):
            ask()
            self.of(3)[0].dataReceived(OK)
        self.assertEqual(self.outcomes(), {"connection_refused": 5, "resting": 15, "2xx": 4})
        self.assertEqual({record.status for record in self.records}, {200})

    def test_silent(self) -> None:
        """Of one that does not answer: its time is limited as a whole, its connection closed."""
        client = self.ask("{pool: shadow, timeout: 2s}")
        self.serve(client)
        self.assertEqual((client.body(1), self.records[0].notes), (b"ok", {"mirror": {"shadow": "sent"}}))
        self.passes(2.5)
        self.assertEqual((self.outcomes(), self._pipe(self.of(3)[0]).aborted), ({"timeout": 1}, True))
        self.assert_done()

    def test_unavailable(self) -> None:
        """Of one without a server that may be used: nothing waits for one."""
        self.listen()
        (server,) = self.snapshot.pools["shadow"].servers
        server.drain()
        client = self.client()
        client.ask(b"/")
        self.turn()
        self.serve(client)
        self.assertEqual((client.body(1), self.outcomes()), (b"ok", {"destination_unavailable": 1}))
        server.undrain()
        server.disable()
        client.ask(b"/")
        self.turn()
        self.serve(client)
        self.assertEqual((client.body(3), self.outcomes()), (b"ok", {"destination_unavailable": 2}))

    def test_full(self) -> None:
        """Of one that has as many copies under way as it may."""
        self.listen("{pool: shadow, concurrency: 1}")
        client = self.client()
        for stream in (1, 3):
            client.ask(b"/")
            self.turn()
            self.serve(client)
            self.assertEqual(client.body(stream), b"ok")
        self.assertEqual((len(self.of(3)), self.outcomes()), (1, {"full": 1}))
        self.of(3)[0].dataReceived(OK)
        client.ask(b"/")
        self.turn()
        self.assertEqual(self.of(3)[0].used, 2)

    def test_breaks(self) -> None:
        """Of one that says nonsense, or breaks off; nothing is tried again."""
        for said in (b"what?\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab"):
            client = self.ask()
            self.of(3)[0].dataReceived(said)
            if not self._pipe(self.of(3)[0]).aborted:
                self.of(3)[0].connectionLost(Failure(ConnectionLost()))
            self.serve(client)
            self.assertEqual((client.body(1), len(self.of(3)), sum(self.outcomes().values())), (b"ok", 1, 1))
            self.assertNotIn("2xx", self.outcomes())
            self.assert_done()

    def test_long_answer(self) -> None:
        """Of one that answers at length: it is broken off."""
        self.ask("{pool: shadow, answer_limit: 10}")
        connection = self.of(3)[0]
        connection.dataReceived(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n" + b"a" * 10)
        self.assertFalse(self._pipe(connection).aborted)
        connection.dataReceived(b"a")
        self.assertEqual((self._pipe(connection).aborted, self.outcomes()), (True, {"answer_too_long": 1}))
        self.assert_done()

    def test_overload(self) -> None:
        """Copies go first where there is too much to do."""
        self.listen()
        self.runtime.overload.shedding.share = 1e-9
        client = self.client()
        client.ask(b"/")
        self.turn()
        self.serve(client)
        self.assertEqual((client.body(1), self.outcomes(), self.of(3)), (b"ok", {"overloaded": 1}, []))

    def test_stop(self) -> None:
        """When the service stops, those that are left are given up, and no more are begun."""
        client = self.ask()
        client.ask(b"/2")  # whose copy is to begin in the next turn
        self.mirrors.drop()
        self.turn()
        self.assertEqual((self.outcomes(), self._pipe(self.of(3)[0]).aborted), ({"dropped": 2}, True))
        self.assert_done()

    def test_client_leaves(self) -> None:
        """A request that does not come to its end is not copied; one that has come is, whoever waits for its answer."""
        self.listen()
        client = self.client()
        client.ask(b"/", b"POST", ended=False)
        client.ask(b"/")
        for stream in (1, 3):
            client.h2.reset_stream(stream)
        client.turn()
        self.turn()
        self.assertEqual((self.outcomes(), len(self.of(3))), ({"client_gone": 1}, 1))
        self.of(3)[0].dataReceived(OK)
        self.assertEqual(self.outcomes(), {"client_gone": 1, "2xx": 1})
        self.assert_done()

    def test_primary_fails(self) -> None:
        """A client whose server fails before it has taken the body is told so, and nothing is copied."""
        self.listen()
        client = self.client()
        client.ask(b"/", b"POST", ended=False)
        client.h2.send_data(1, b"x")
        client.turn()
        self.of(2)[0].dataReceived(b"nonsense\r\n\r\n")
        client.turn()
        self.assertEqual((client.status(1), self.outcomes()), (b"502", {"primary_failed": 1}))
        self.assert_done()

    def test_answered_early(self) -> None:
        """A server that answers without the body ends it too."""
        self.listen()
        client = self.client()
        client.ask(b"/", b"POST", ended=False)
        self.serve(client, b"HTTP/1.1 413 No\r\nContent-Length: 0\r\n\r\n")
        self.assertEqual((client.status(1), self.outcomes()), (b"413", {"unread": 1}))
        self.assert_done()


class CompareTests(MirrorTestCase):
    """Answers compared."""

    def answers(self, settings: str, one: bytes, other: bytes, *, mirror_first: bool = False) -> dict[str, int]:
        self.listen(f"{{pool: shadow, compare: {settings}}}")
        client = self.client()
        client.ask(b"/x?y")
        self.turn()
        if mirror_first:
            self.of(3)[0].dataReceived(other)
        self.serve(client, one)
        if not mirror_first:
            self.of(3)[0].dataReceived(other)
        self.assertTrue(client.of(1, h2.events.StreamEnded))
        self.assert_done()
        return {result: count for (*_, result), count in self.mirrors.compared.items()}

    def answer(self, body: bytes, status: int = 200) -> bytes:
        return b"HTTP/1.1 %d X\r\nContent-Length: %d\r\nX-Version: %d\r\n\r\n%b" % (status, len(body), status, body)

    def test_same(self) -> None:
        """The same is counted, and nothing is written."""
        settings = "{body: json, headers: [X-Version]}"
        for first in (True, False):
            found = self.answers(settings, self.answer(b"[1]"), self.answer(b"[ 1 ]"), mirror_first=first)
            self.assertEqual((found, self.mirrored.lines), ({"same": 1}, []))

    def test_different(self) -> None:
        """What differs is counted by kind, and written down with where."""
        settings = "{body: json, headers: [X-Version], ignore: [/at], report: {path: diff.log}}"
        one, other = self.answer(b'{"at": 1, "n": 1}'), self.answer(b'{"at": 2, "n": 2}', 404)
        self.assertEqual(self.answers(settings, one, other), {"status": 1, "header": 1, "body": 1})
        [(path, told)] = self.mirrored.lines
        self.assertTrue(str(path).endswith("diff.log"))
        self.assertEqual((told["route"], told["mirror"], told["target"]), ("web", "shadow", "/x?y"))
        self.assertEqual(
            told["differences"],
            [
                {"kind": "status", "primary": "200", "mirror": "404"},
                {"kind": "header", "at": "X-Version", "primary": "200", "mirror": "404"},
                {"kind": "body", "at": "/n", "primary": "1", "mirror": "2"},
            ],
        )

    def test_unanswered(self) -> None:
        """Where one of them has no answer there is nothing to compare."""
        self.assertEqual(self.answers("{}", self.answer(b""), b"nonsense\r\n\r\n"), {"unanswered": 1})
        self.assertEqual(self.answers("{}", b"nonsense\r\n\r\n", self.answer(b"")), {"unanswered": 1})

    def test_cap(self) -> None:
        """No more lines a minute than allowed; what is left out is counted."""
        self.listen("{pool: shadow, compare: {report: {per_minute: 2, values: false}}}")
        client = self.client()
        for _ in range(5):
            client.ask(b"/")
            self.turn()
            self.of(3)[0].dataReceived(self.answer(b"", 404))
            self.serve(client)
        self.assertEqual((len(self.mirrored.lines), self.mirrors.unreported), (2, 3))
        self.assertEqual(self.mirrored.lines[0][1]["differences"], [{"kind": "status"}])
        self.clock.advance(61)
        client.ask(b"/")
        self.turn()
        self.of(3)[-1].dataReceived(self.answer(b"", 404))
        self.serve(client)
        self.assertEqual(len(self.mirrored.lines), 3)

    def test_metrics(self) -> None:
        """All of it is in the metrics."""
        self.answers("{}", self.answer(b""), self.answer(b"", 404))
        found = {
            (sample.name, *sorted(sample.labels.values())): sample.value
            for family in self.mirrors.metrics()
            for sample in family.samples
        }
        self.assertEqual(found["balancer_mirrored_requests_total", "4xx", "shadow", "web", "web"], 1)
        self.assertEqual(found["balancer_mirror_comparisons_total", "shadow", "status", "web", "web"], 1)
        self.assertEqual(found["balancer_mirror_reports_dropped_total",], 0)
        self.assertEqual(found["balancer_mirrored_requests_under_way", "shadow"], 0)
