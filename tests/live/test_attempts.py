"""Time-outs and retries, by pool and by route, with servers that fail in every way."""

from __future__ import annotations

import subprocess
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

from tests.live.balancers import BalancerTestCase, Peer, answering, stopped, wait_until
from tests.live.processes import free_port
from tests.live.programs import need
from tests.live.test_failover import Nginx
from tests.live.test_websocket import SWITCHED, UPGRADE

GOOD = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ngood"


class Counting:
    """A server's part that takes requests with their bodies, counts them, and says the same each time (b"": it closes; None: nothing)."""

    def __init__(self, answer: bytes | None) -> None:
        self.answer = answer
        self.count = 0
        self.bodies: list[bytes] = []

    def __call__(self, peer: Peer) -> None:
        while True:
            head = peer.head().lower()
            _, found, length = head.partition(b"content-length:")
            self.bodies.append(peer.exactly(int(length.split(b"\r\n")[0])) if found else b"")
            self.count += 1
            if self.answer is None:
                time.sleep(60)
            if not self.answer:
                peer.reset()
                return
            peer.send(self.answer)


def _answer(status: str, *fields: str) -> bytes:
    return "\r\n".join((f"HTTP/1.1 {status}", *fields, "Content-Length: 3", "", "bad")).encode()


class AttemptsTestCase(BalancerTestCase):
    def pair(self, bad: Counting | str, retry: str, listener: str = "") -> int:
        """Run a balancer with a bad server, or the address of one, and a good one that is another's backup; returns its port."""
        address = bad if isinstance(bad, str) else self.server(bad).address
        good = self.server(answering(GOOD)).address
        self.running, port = self.web(
            f"{{address: '{address}', name: bad}}",
            f"{{address: '{good}', name: good}}",
            listener=listener,
            pool=f"algorithm: round_robin\npassive: false\nretry: {retry}\ntimeouts: {{connect: 1s, first_byte: 500ms}}",
        )
        return port

    def many(self, port: int, count: int = 20, path: str = "/") -> list[bytes]:
        with ThreadPoolExecutor(5) as pool:
            return list(pool.map(lambda _: self.get(port, path).body, range(count)))


class RetryTests(AttemptsTestCase):
    def test_conditions(self) -> None:
        """Each way to fail is hidden from clients where it is listed."""
        for bad, on, more in (
            (f"127.0.0.1:{free_port()}", "connect_failure", ""),
            (Counting(b""), "reset", ""),
            (Counting(None), "timeout", ""),
            (Counting(_answer("500 Oops")), "5xx", ""),
            (Counting(_answer("502 Oops")), "gateway_error", ""),
            (Counting(_answer("429 Slow")), "retriable_4xx", ""),
            (Counting(_answer("404 No")), "404", ""),
            (Counting(_answer("200 OK", "X-Retry: yes")), "503", ", headers: {X-Retry: 'yes'}"),
        ):
            with self.subTest(on):
                port = self.pair(bad, f"{{attempts: 2, minimum: 100, on: [{on}]{more}}}")
                self.assertEqual(set(self.many(port)), {b"good"})
                self.assertTrue(any(record["attempts"] == 2 for record in self.running.records(20)))
                self.running.stop()

    def test_last_answer(self) -> None:
        """When attempts are used up, the last response is what the client gets; so is one that need not be retried."""
        port = self.pair(Counting(_answer("503 Busy", "Retry-After: 100")), "{attempts: 3, on: [5xx], retry_after: 5s}")
        statuses = {self.get(port).status for _ in range(4)}
        self.assertEqual(statuses, {200, 503})

    def test_retry_after(self) -> None:
        """A short Retry-After is waited for."""
        port = self.pair(Counting(_answer("503 Busy", "Retry-After: 1")), "{on: [503], retry_after: 5s}")
        began = time.monotonic()
        self.assertEqual({self.get(port).body for _ in range(2)}, {b"good"})
        self.assertGreaterEqual(time.monotonic() - began, 1.0)

    def test_bodies(self) -> None:
        """A body within ``replay`` is sent again whole; one beyond it has one attempt. Methods are as listed."""
        bad = Counting(_answer("503 Busy"))
        listener = (
            "routes:\n  - {match: {path: /a}, pool: web, retry: {methods: [POST], replay: 1MiB}}\n  - {pool: web}\n"
        )
        port = self.pair(bad, "{on: [503], minimum: 100}", listener)
        body = bytes(range(256)) * 2000
        for path, expected in (("/a", {200}), ("/b", {200, 503})):
            self.assertEqual({self.get(port, path, "POST", body).status for _ in range(4)}, expected)
        self.assertEqual(set(bad.bodies), {body})

    def test_no_storm(self) -> None:
        """However all servers fail, they get no more than 1.2 times the requests (and the ten that are always allowed)."""
        for answer in (b"", _answer("500 Oops")):
            bad = Counting(answer)
            addresses = [self.server(bad).address for _ in range(3)]
            running, port = self.web(
                *(f"'{each}'" for each in addresses), pool="passive: false\nretry: {on: [5xx], attempts: 10}"
            )
            self.many(port, 400)
            records = running.records(400)
            self.assertEqual(sum(record["attempts"] for record in records), bad.count)
            self.assertLessEqual(bad.count, 1.2 * 400 + 10 * 3)
            running.stop()


class TimeoutTests(AttemptsTestCase):
    def test_routes(self) -> None:
        """The same hanging server: a route's limit is its own."""
        hung = self.server(Counting(None)).address
        listener = (
            "routes:\n"
            "  - {match: {path: /whole}, pool: web, timeouts: {request: 300ms}}\n"
            "  - {match: {path: /first}, pool: web, timeouts: {first_byte: 300ms}}\n"
            "  - {match: {path: /try}, pool: web, timeouts: {per_try: 300ms}, retry: {on: [timeout], attempts: 2}}\n"
        )
        running, port = self.web(f"'{hung}'", listener=listener, pool="passive: false")
        for path in ("/whole", "/first", "/try"):
            response = self.get(port, path)
            self.assertEqual(response.status, 504)
            self.assertIn("http_response_timeout", response.headers["Proxy-Status"])
        self.assertEqual([record["attempts"] for record in running.records(3)], [1, 1, 3])

    def test_cut(self) -> None:
        """A response that has begun is cut when the time of the whole is over."""

        def talk(peer: Peer) -> None:
            peer.head()
            peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n")
            while True:
                peer.send(b"x")
                time.sleep(0.1)

        running, port = self.web(
            f"'{self.server(talk).address}'", listener="routes: [{pool: web, timeouts: {request: 500ms}}]"
        )
        peer = self.connect(port)
        peer.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        _, _, body = peer.rest().partition(b"\r\n\r\n")
        self.assertTrue(0 < len(body) < 100)
        self.assertEqual(running.records(1)[0]["reason"], "http_response_timeout")

    def test_websocket(self) -> None:
        """A WebSocket outlives the limit of its request."""
        ready = threading.Event()

        def talk(peer: Peer) -> None:
            peer.head()
            peer.send(SWITCHED)
            ready.wait(30)
            peer.send(b"\x81\x02hi")
            peer.rest()

        running, port = self.web(
            f"'{self.server(talk).address}'",
            listener="routes: [{pool: web, timeouts: {request: 300ms, per_try: 300ms}}]",
        )
        peer = self.connect(port)
        peer.send(UPGRADE)
        self.assertIn(b" 101 ", peer.head())
        time.sleep(1.0)
        ready.set()
        self.assertEqual(peer.exactly(4), b"\x81\x02hi")


class HTTP2Tests(BalancerTestCase):
    """The same between clients and servers of HTTP/2."""

    def test_stopped(self) -> None:
        """A server that hangs under load costs nobody more than the time of an attempt."""
        folder = self.folder()
        servers = [Nginx(folder, name, " http2") for name in ("one", "two")]
        for each in servers:
            self.addCleanup(each.end)
        running, port = self.web(
            *(f"{{address: '127.0.0.1:{each.port}', name: {each.name}}}" for each in servers),
            listener="routes: [{pool: web, timeouts: {per_try: 500ms, request: 15s}, retry: {on: [timeout], attempts: 3}}]",
            pool="protocol: h2\nalgorithm: round_robin\npassive: false\nretry: {minimum: 1000}",
        )
        curl = [need("curl"), "-sS", "--http2-prior-knowledge", "-w", " %{http_code}\n", f"http://127.0.0.1:{port}/"]

        def ask(_: int) -> str:
            return subprocess.run(curl, capture_output=True, text=True, check=True).stdout

        wait_until(lambda: {ask(0) for _ in range(4)} == {"one 200\n", "two 200\n"})
        with stopped(servers[0].process.pid), ThreadPoolExecutor(4) as pool:
            found = set(pool.map(ask, range(16)))
        self.assertEqual(found, {"two 200\n"})
        self.assertTrue(any(record["attempts"] == 2 for record in running.records(20)))


class HedgeTests(BalancerTestCase):
    """Requests that are sent to a second server while the first takes its time."""

    protocol = "http1"
    listen = ""

    def test_stopped(self) -> None:
        """A server that hangs under load delays nobody, is not blamed for being slower, and is sent no more than the budget allows."""
        folder = self.folder()
        servers = [Nginx(folder, name, self.listen) for name in ("one", "two")]
        for each in servers:
            self.addCleanup(each.end)
        running, port = self.web(
            *(f"{{address: '127.0.0.1:{each.port}', name: {each.name}}}" for each in servers),
            listener="routes: [{pool: web, hedge: {after: 100ms, budget: 100%}}]",
            pool=f"protocol: {self.protocol}\nalgorithm: round_robin\npassive: false\nretry: false\ntimeouts: {{first_byte: 15s}}",
            top=f"metrics: {{bind: '127.0.0.1:{(metrics := free_port())}'}}",
        )
        wait_until(lambda: {self.get(port).body for _ in range(4)} == {b"one", b"two"})
        with stopped(servers[0].process.pid), ThreadPoolExecutor(4) as pool:
            found = Counter(pool.map(lambda _: self.get(port).body, range(40)))
        self.assertEqual(found, {b"two": 40})
        hedged = [record for record in running.records(44) if record.get("hedged") == "won"]
        self.assertTrue(hedged)
        self.assertEqual({(record["attempts"], record["server"]) for record in hedged}, {(2, "two")})
        text = self.get(metrics, "/metrics").body.decode()
        self.assertRegex(text, r'balancer_http_hedges_total{[^}]*outcome="won"[^}]*server="two"} [1-9]')
        self.assertNotRegex(text, r"balancer_http_retries_total{[^}]*} [1-9]")


class HTTP2HedgeTests(HedgeTests):
    """The same to servers of HTTP/2."""

    protocol = "h2"
    listen = " http2"


class HedgeBudgetTests(BalancerTestCase):
    def test_budget(self) -> None:
        """Servers that are all slow are not asked twice by everybody."""

        def slow(peer: Peer) -> None:
            while True:
                peer.head()
                counted.append(1)
                time.sleep(0.4)
                peer.send(GOOD)

        counted: list[int] = []
        running, port = self.web(
            *(f"'{self.server(slow).address}'" for _ in range(2)), pool="hedge: {after: 50ms, budget: 5%}\nretry: false"
        )
        with ThreadPoolExecutor(20) as pool:
            self.assertEqual(set(pool.map(lambda _: self.get(port).body, range(200))), {b"good"})
        self.assertTrue(200 < len(counted) <= 200 * 1.05 + 2, len(counted))


class CoalesceTests(BalancerTestCase):
    """Requests that are alike share one answer."""

    def test_herd(self) -> None:
        """A herd that asks the same asks a server once; clients of HTTP/2 and HTTP/1.1 among it; who leaves disturbs nobody."""
        counted: list[bytes] = []
        release = threading.Event()

        def slow(peer: Peer) -> None:
            while True:
                counted.append(peer.head())
                release.wait(30)
                peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 300000\r\n\r\n" + b"x" * 300_000)

        metrics = free_port()
        running, port = self.web(
            f"'{self.server(slow).address}'",
            listener="routes: [{pool: web, coalesce: {headers: []}}]",
            top=f"metrics: {{bind: '127.0.0.1:{metrics}'}}",
        )
        first = self.connect(port)
        first.send(b"GET /a HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n\r\n" % port)
        wait_until(lambda: counted)
        curl = [need("curl"), "-sS", f"http://127.0.0.1:{port}/a"]
        herd = [
            subprocess.Popen(
                [*curl, *(["--http2-prior-knowledge"] if at % 2 else [])],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
            )
            for at in range(10)
        ]
        for each in herd:
            self.addCleanup(each.kill)
        wait_until(lambda: self.active(metrics) >= 11)
        first.reset()
        wait_until(lambda: self.active(metrics) <= 10)
        release.set()
        for each in herd:
            said, _ = each.communicate(timeout=30)
            self.assertEqual(said, b"x" * 300_000)
        self.assertLessEqual(len(counted), 3)  # one, but for who was late
        records = running.records(11)
        self.assertGreaterEqual(sum(record.get("coalesced", False) for record in records), 8)
        self.assertEqual(sum(record["attempts"] for record in records), len(counted))
        self.assertRegex(self.get(metrics, "/metrics").body.decode(), r"balancer_http_coalesced_total{.*} [1-9]")

    def active(self, metrics: int) -> int:
        """How many clients are connected."""
        text = self.get(metrics, "/metrics").body.decode()
        return int(
            sum(
                float(line.split()[-1])
                for line in text.splitlines()
                if line.startswith("balancer_connections{") and "web" in line
            )
        )
