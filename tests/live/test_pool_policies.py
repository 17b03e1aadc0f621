"""Policies of pools against servers that really fail."""

from __future__ import annotations

import json
import socket
import subprocess
import threading
from typing import Any

from tests.live.balancers import BIN, BalancerTestCase, Peer, RunningBalancer, Server, stopped, wait_until
from tests.live.processes import free_port
from tests.live.test_failover import Nginx

FAILED = b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 4\r\n\r\nfail"


class Moody:
    """A server's part that says its name while it is well; ``mood`` is one of well, fail, hang, reset, slow, flaky."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.mood = "well"
        self.hanging = 0
        self.count = 0
        self.go_on = threading.Event()

    def __call__(self, peer: Peer) -> None:
        while True:
            peer.head()
            mood = self.mood
            if mood == "hang":
                self.hanging += 1
                self.go_on.wait(60.0)
                self.hanging -= 1
                mood = "well"
            if mood == "slow":
                self.go_on.wait(0.05)
            if mood == "flaky":  # one answer in ten is bad
                self.count += 1
                mood = "well" if self.count % 10 else "fail"
            if mood == "reset":
                peer.reset()
                return
            name = self.name.encode()
            peer.send(
                FAILED if mood == "fail" else b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(name), name)
            )


class PolicyTestCase(BalancerTestCase):
    """Moody servers, and a balancer with metrics and an admin socket."""

    names: tuple[str, ...] = ("one", "two")

    def setUp(self) -> None:
        self.moods = [Moody(name) for name in self.names]
        for each in self.moods:
            self.addCleanup(each.go_on.set)
        self.servers: list[Server] = [self.server(mood) for mood in self.moods]

    def begin(self, pool: str, servers: list[str] | None = None, top: str = "") -> tuple[RunningBalancer, int]:
        """Run a balancer over the servers, with these lines in the pool."""
        self.metrics_port = free_port()
        self.admin = self.folder() / "admin.sock"
        named = servers or [
            f"{{address: '{server.address}', name: {mood.name}}}"
            for server, mood in zip(self.servers, self.moods, strict=True)
        ]
        top = f"metrics: {{bind: '127.0.0.1:{self.metrics_port}'}}\nadmin: {{bind: 'unix:{self.admin}'}}\n{top}"
        self.running, self.port = self.web(*named, top=top, pool=pool)
        return self.running, self.port

    def status(self) -> dict[str, Any]:
        """What ``ctl status`` says of the pool."""
        command = [str(BIN / "balancer"), "ctl", "--admin", f"unix:{self.admin}", "status", "--json"]
        said = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout
        found: dict[str, Any] = json.loads(said)["pools"][0]
        return found

    def states(self) -> dict[str, str]:
        """The state of each server."""
        return {server["name"]: server["state"] for server in self.status()["servers"]}

    def metric(self, name: str) -> float:
        """The value of one sample, 0.0 if it is not there."""
        for line in self.get(self.metrics_port, "/metrics").body.decode().splitlines():
            if line.startswith(name + " "):
                return float(line.rpartition(" ")[2])
        return 0.0

    def bodies(self, count: int) -> list[str]:
        """What is answered to so many requests."""
        return [self.get(self.port).body.decode() for _ in range(count)]

    def ask_in_background(self, count: int) -> list[Any]:
        """Send so many requests at once; the list fills with the responses."""
        found: list[Any] = []
        for _ in range(count):
            thread = threading.Thread(target=lambda: found.append(self.get(self.port)))
            thread.start()
            self.addCleanup(thread.join, 60.0)
        return found


class BreakerTests(PolicyTestCase):
    """Limits, and breakers that trip."""

    def test_errors_trip(self) -> None:
        """A server that answers nothing but 500 is cut off, tried now and then, and trusted again when it is well."""
        running, _ = self.begin(
            "algorithm: round_robin\nbreaker: {trip: {min_requests: 4, window: 1m, open: 300ms, max_open: 600ms, probes: 2}}"
        )
        self.moods[0].mood = "fail"
        wait_until(lambda: self.bodies(1) and self.metric('balancer_breaker_trips_total{pool="web"}') > 0)
        wait_until(lambda: "fail" not in self.bodies(4))
        self.moods[0].mood = "well"
        wait_until(lambda: self.bodies(4).count("one") >= 2 and self.states()["one"] == "up")
        output = running.output.read_text()
        self.assertIn("server one of pool web is cut off by its breaker for 0.3 s", output)
        self.assertIn("server one of pool web is trusted by its breaker again", output)

    def test_resets_trip_all(self) -> None:
        """When all are cut off, requests are refused at once and say why; panic changes nothing."""
        self.begin("retry: false\npassive: false\nbreaker: {trip: {min_requests: 4, window: 1m, open: 1m}}")
        for mood in self.moods:
            mood.mood = "reset"
        found = wait_until(lambda: (answer := self.get(self.port)).status == 503 and answer)
        self.assertIn("error=destination_unavailable", found.headers["Proxy-Status"])
        wait_until(lambda: any(record["detail"] == "pool web: 2 tripped" for record in self.running.records(1)))
        self.assertEqual(self.states(), {"one": "tripped", "two": "tripped"})

    def test_slow_trips(self) -> None:
        """So is one that is too slow, with its connections waiting."""
        self.begin(
            "algorithm: round_robin\nbreaker: {trip: {slow: 1ms, slow_ratio: 100%, min_requests: 2, open: 1m, of: pool}}"
        )
        for mood in self.moods:
            mood.mood = "hang"
        answers = self.ask_in_background(4)
        wait_until(lambda: sum(mood.hanging for mood in self.moods) == 4)
        for mood in self.moods:
            mood.go_on.set()
        wait_until(lambda: len(answers) == 4)
        wait_until(lambda: self.get(self.port).status == 503)
        self.assertIn("took longer than 0.001 s", self.status()["barred"])

    def test_requests(self) -> None:
        """While servers hang, what is over the limit is refused at once; when they go on, all is well."""
        self.begin("breaker: {requests: 4}")
        for mood in self.moods:
            mood.mood = "hang"
        answers = self.ask_in_background(4)
        wait_until(lambda: sum(mood.hanging for mood in self.moods) == 4)
        refused = self.get(self.port)
        self.assertEqual((refused.status, refused.headers["Retry-After"]), (503, "1"))
        self.assertIn("error=connection_limit_reached", refused.headers["Proxy-Status"])
        self.assertEqual(self.metric('balancer_pool_limit_refused_total{limit="requests",pool="web"}'), 1.0)
        self.assertEqual(self.metric('balancer_pool_limit_active{limit="requests",pool="web"}'), 4.0)
        for mood in self.moods:
            mood.mood = "well"
            mood.go_on.set()
        wait_until(lambda: len(answers) == 4)
        self.assertEqual([answer.status for answer in answers], [200] * 4)
        self.assertEqual(self.get(self.port).status, 200)

    def test_requests_of_all_workers(self) -> None:
        """The limit holds for all workers together."""
        self.begin("breaker: {requests: 4}", top="workers: 2\n")
        for mood in self.moods:
            mood.mood = "hang"
        answers = self.ask_in_background(4)
        wait_until(lambda: sum(mood.hanging for mood in self.moods) == 4)
        self.assertEqual({self.get(self.port).status for _ in range(16)}, {503})
        for mood in self.moods:
            mood.go_on.set()
        wait_until(lambda: len(answers) == 4)

    def test_connections(self) -> None:
        """Never more connections than allowed are open; idle ones make way."""
        self.begin("algorithm: round_robin\nbreaker: {connections: 1}")
        self.assertEqual(set(self.bodies(6)), {"one", "two"})
        self.moods[0].mood = self.moods[1].mood = "hang"
        answers = self.ask_in_background(1)
        wait_until(lambda: sum(mood.hanging for mood in self.moods) == 1)
        self.assertEqual(self.get(self.port).status, 503)
        for mood in self.moods:
            mood.go_on.set()
        wait_until(lambda: len(answers) == 1)
        self.assertEqual(answers[0].status, 200)

    def test_pending(self) -> None:
        """While connections are not accepted, no more requests than allowed wait for one."""
        full = socket.create_server(("127.0.0.1", 0), backlog=0)
        self.addCleanup(full.close)
        for _ in range(3):  # the kernel accepts as many as its backlog
            waiting = socket.socket()
            waiting.setblocking(False)
            waiting.connect_ex(full.getsockname())
            self.addCleanup(waiting.close)
        self.begin(
            "timeouts: {connect: 30s}\nretry: false\nbreaker: {pending: 2}", [f"'127.0.0.1:{full.getsockname()[1]}'"]
        )
        clients = [self.connect(self.port) for _ in range(2)]
        for client in clients:
            client.send(b"GET / HTTP/1.1\r\nHost: web\r\n\r\n")
        pending = 'balancer_pool_limit_active{limit="pending",pool="web"}'
        wait_until(lambda: self.metric(pending) == 2.0)
        self.assertEqual(self.get(self.port).status, 503)
        for client in clients:
            client.reset()
        wait_until(lambda: self.metric(pending) == 0.0)


class FrozenTests(BalancerTestCase):
    """A real server that is stopped, and one that is not there."""

    def test_stopped_and_refusing(self) -> None:
        """Servers that hang, and that refuse, are cut off, and trusted again when they go on."""
        folder = self.folder()
        servers = [Nginx(folder, name) for name in ("one", "two", "three")]
        for each in servers:
            self.addCleanup(each.end)
        running, port = self.web(
            *(f"{{address: '127.0.0.1:{each.port}', name: {each.name}}}" for each in servers),
            pool="algorithm: round_robin\npassive: false\ntimeouts: {connect: 500ms, first_byte: 500ms}\n"
            "breaker: {trip: {min_requests: 3, error_ratio: 30%, window: 1m, open: 500ms, max_open: 1s, probes: 1}}",
        )
        wait_until(lambda: self.get(port).status == 200)

        def bodies() -> set[bytes]:
            return {self.get(port).body for _ in range(9)}

        def cut_off(name: str) -> bool:
            return f"server {name} of pool web is cut off" in running.output.read_text()

        servers[1].end()
        with stopped(servers[0].process.pid):
            wait_until(lambda: bodies() and cut_off("one") and cut_off("two"), 60.0)
        servers[1].start()
        wait_until(lambda: bodies() == {b"one", b"two", b"three"}, 60.0)


class OutlierTests(PolicyTestCase):
    """Five servers, one of which does worse than the others."""

    names = ("one", "two", "three", "four", "five")

    def test_some_errors(self) -> None:
        """One answer of 500 in ten is enough to be found out, where the others give none."""
        self.begin(
            "algorithm: round_robin\npassive: {success_rate: {min_requests: 10, stdevs: 1.5}, interval: 1s, eject: 1m}"
        )
        self.moods[1].mood = "flaky"
        found = 'balancer_outliers_ejected_total{kind="success_rate",pool="web"}'
        wait_until(lambda: self.bodies(50) and self.metric(found) > 0, 60.0)
        self.assertEqual(self.states()["two"], "ejected")
        self.assertNotIn("two", self.bodies(10))

    def test_slow(self) -> None:
        """A server that is slow is found out."""
        self.begin("algorithm: round_robin\npassive: {latency: {min_requests: 5}, interval: 2s, eject: 1m}")
        self.moods[2].mood = "slow"
        wait_until(lambda: self.bodies(50) and self.states()["three"] == "ejected", 60.0)

    def test_flapping(self) -> None:
        """A server that answers 500 only comes back when its time is up, and goes again at its first failure."""
        self.begin("algorithm: round_robin\npassive: {consecutive_5xx: 3, eject: 200ms}")
        self.moods[0].mood = "fail"
        ejected = 'balancer_outliers_ejected_total{kind="consecutive_5xx",pool="web"}'
        wait_until(lambda: self.bodies(10) and self.metric(ejected) >= 3.0)
        self.moods[0].mood = "well"
        wait_until(lambda: self.bodies(5).count("one") == 1)
        self.assertIn("on probation", self.running.output.read_text())


class SlowStartTests(PolicyTestCase):
    """A server that comes back."""

    def test_added_by_reload(self) -> None:
        """A server that a reload adds gets little at first, and its share in the end."""
        extra = Moody("three")
        address = self.server(extra).address
        self.begin("algorithm: round_robin\nslow_start: {window: 3s, minimum: 10%}")
        text = self.running.file.read_text()
        last = f"{{address: '{self.servers[1].address}', name: two}}"
        self.running.reload(text.replace(last, f"{last}, {{address: '{address}', name: three}}"))
        share = 'balancer_server_share{pool="web",server="three"}'
        wait_until(lambda: 0.0 < self.metric(share) < 0.9)
        wait_until(lambda: self.metric(share) == 1.0)
        wait_until(lambda: self.bodies(9).count("three") == 3)


class SectionTests(PolicyTestCase):
    """Four servers of two priorities."""

    names = ("one", "two", "three", "four")

    def test_spill(self) -> None:
        """What servers of the first priority cannot take while they are down goes to the second, and comes back."""
        named = [
            f"{{address: '{server.address}', name: {mood.name}, priority: {at // 2}}}"
            for at, (server, mood) in enumerate(zip(self.servers, self.moods, strict=True))
        ]
        self.begin("health: {probe: tcp, interval: 200ms, timeout: 1s, fall: 1, rise: 1}", named)
        self.assertEqual(set(self.bodies(20)), {"one", "two"})
        port = self.servers[0].port
        self.servers[0].close()
        wait_until(lambda: self.states()["one"] == "down")
        wait_until(lambda: set(self.bodies(40)) == {"two", "three", "four"})
        part = self.metric('balancer_pool_section_share{pool="web",section="0"}')
        self.assertEqual(round(part, 3), 0.7)
        self.server(self.moods[0], port)
        wait_until(lambda: set(self.bodies(20)) == {"one", "two"})


class SubsetTests(PolicyTestCase):
    """Two servers of different versions."""

    def test_versions(self) -> None:
        """A route and a header choose the version; without servers of it there is nobody, as was asked."""
        named = [
            f"{{address: '{server.address}', name: {mood.name}, labels: {{version: v{at}}}}}"
            for at, (server, mood) in enumerate(zip(self.servers, self.moods, strict=True))
        ]
        running, port = self.web(
            *named,
            listener="routes:\n"
            "  - {name: fixed, match: {path: /fixed}, pool: web, subset: {version: v1}}\n"
            "  - {name: free, pool: web}",
            pool="subset: {by: version, sources: {version: {header: X-Version}}, fallback: none}",
        )
        self.assertEqual({self.get(port, "/fixed", X_Version="v0").body for _ in range(6)}, {b"two"})
        self.assertEqual({self.get(port, X_Version="v0").body for _ in range(6)}, {b"one"})
        wait_until(lambda: self.get(port).body == b"one")
        wait_until(lambda: self.get(port).body == b"two")
        self.assertEqual(self.get(port, X_Version="v9").status, 503)
        command = [str(BIN / "balancer"), "explain", str(running.file), "/fixed", "--json"]
        said = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout
        self.assertEqual(json.loads(said)["server"], "two")


class ConcurrencyTests(PolicyTestCase):
    """A limit that is found out."""

    def test_no_answers(self) -> None:
        """Servers that reset connections get less and less, to the least; then more again."""
        self.begin(
            "retry: false\npassive: false\nconcurrency: {of: pool, initial: 20, minimum: 1, smoothing: 1, window: 50ms}"
        )
        limit = 'balancer_concurrency_limit{pool="web",server=""}'
        self.assertEqual(self.metric(limit), 20.0)
        for mood in self.moods:
            mood.mood = "reset"
        wait_until(lambda: self.bodies(5) and self.metric(limit) == 1.0, 60.0)
        for mood in self.moods:
            mood.mood = "well"
        wait_until(lambda: self.bodies(20) and self.metric(limit) > 1.0, 60.0)

    def test_waits(self) -> None:
        """What is over the limit waits, and is served."""
        self.begin("concurrency: {of: pool, initial: 2, minimum: 2}")
        for mood in self.moods:
            mood.mood = "hang"
        answers = self.ask_in_background(4)
        wait_until(lambda: sum(mood.hanging for mood in self.moods) == 2)
        wait_until(lambda: self.metric('balancer_pool_queue{pool="web"}') == 2.0)
        for mood in self.moods:
            mood.mood = "well"
            mood.go_on.set()
        wait_until(lambda: len(answers) == 4)
        self.assertEqual([answer.status for answer in answers], [200] * 4)


class QueueTests(PolicyTestCase):
    """More requests than a server takes."""

    names = ("one",)

    def test_priorities(self) -> None:
        """The route's requests are served before others that came earlier; the lowest is refused when there is no room."""
        named = [f"{{address: '{self.servers[0].address}', name: one, max_connections: 1}}"]
        running, port = self.web(
            *named,
            listener="routes:\n"
            "  - {name: first, match: {path: /first}, pool: web, queue: 9}\n"
            "  - {name: rest, pool: web}",
            pool="queue: {size: 2, timeout: 60s, priority: {header: X-Priority}}",
            top=f"metrics: {{bind: '127.0.0.1:{(metrics_port := free_port())}'}}\n",
        )
        self.metrics_port = metrics_port
        waiting = 'balancer_pool_queue{pool="web"}'
        self.moods[0].mood = "hang"
        clients = {}
        for count, (name, path, priority) in enumerate(
            [("busy", "/", "5"), ("low", "/", "1"), ("middle", "/", "5"), ("high", "/first", "0")]
        ):
            clients[name] = client = self.connect(port)
            client.send(f"GET {path} HTTP/1.1\r\nHost: web\r\nX-Priority: {priority}\r\n\r\n".encode())
            if name == "busy":
                wait_until(lambda: self.moods[0].hanging == 1)
            else:
                wait_until(lambda wanted=min(count, 2): self.metric(waiting) == wanted)
        self.assertEqual(clients["low"].response()[0], 503)
        self.moods[0].mood = "well"
        self.moods[0].go_on.set()
        self.assertEqual([clients[name].response()[0] for name in ("busy", "high", "middle")], [200] * 3)
        records = [record for record in running.records(4) if record["status"] == 200]
        self.assertEqual([record["target"] for record in records][:2], ["/", "/first"])
