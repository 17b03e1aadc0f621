"""Servers that fail in many ways under load: nobody notices, and nobody is asked more often for it."""

from __future__ import annotations

import http.client
import signal
import threading
from collections import Counter

from bench.faults.server import FailingServer
from tests.live.balancers import BalancerTestCase, wait_until
from tests.live.processes import free_port


class ResilienceTestCase(BalancerTestCase):
    def failing(self, count: int) -> list[FailingServer]:
        """Start so many servers, called s0, s1, …"""
        servers = [FailingServer(f"s{number}", free_port()) for number in range(count)]
        for each in servers:
            self.addCleanup(each.end)
        return servers


class Load:
    """Clients, each with one connection and one request at a time; ``statuses`` counts what they got, 0 for no answer."""

    def __init__(self, port: int, clients: int = 8) -> None:
        self._port = port
        self._clients = clients
        self.statuses: Counter[int] = Counter()

    def ask(self, requests: int) -> Counter[int]:
        """GET so often; returns the statuses of these."""
        found: Counter[int] = Counter()
        left = iter(range(requests))
        lock = threading.Lock()

        def client() -> None:
            connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=20)
            while True:
                with lock:
                    if next(left, None) is None:
                        break
                try:
                    connection.request("GET", "/")
                    response = connection.getresponse()
                    response.read()
                    status = response.status
                except (OSError, http.client.HTTPException):
                    connection.close()
                    status = 0
                with lock:
                    found[status] += 1
            connection.close()

        threads = [threading.Thread(target=client) for _ in range(self._clients)]
        for each in threads:
            each.start()
        for each in threads:
            each.join()
        self.statuses += found
        return found


class FailingTests(ResilienceTestCase):
    """Four servers, one after another of which fails."""

    def setUp(self) -> None:
        self.servers = self.failing(4)
        _, port = self.web(
            *(f"{{address: '127.0.0.1:{each.port}', name: {each.name}}}" for each in self.servers),
            pool="health: {probe: {http: /health}, interval: 300ms, timeout: 1s, fall: 2, rise: 1}\n"
            "passive: {failures: 3, eject: 500ms}\n"
            "timeouts: {connect: 1s, first_byte: 1s}\n"
            "retry: {on: [connect_failure, reset, timeout, 503]}",
        )
        self.load = Load(port)
        self.load.ask(100)
        self.assertEqual(self.load.statuses, {200: 100})

    def attempts(self) -> int:
        """Return how many requests the servers got."""
        return sum(each.count() for each in self.servers)

    def is_back(self, server: FailingServer) -> bool:
        before = server.count()
        return not self.load.ask(20).keys() - {200} and server.count() > before

    def test_one_fails(self) -> None:
        """At least 99 of 100 requests that may be repeated go well, whatever is wrong with one of four servers, which get 1.2 times as many at most."""
        for number, mode in enumerate(("refuse", "reset", "busy", "hang", "stop")):
            server = self.servers[number % len(self.servers)]
            if mode == "stop":
                server.process.send_signal(signal.SIGSTOP)
            else:
                server.become(mode)
            found = self.load.ask(200)
            self.assertGreaterEqual(found[200], 198, f"{mode}: {found}")
            if mode == "stop":
                server.process.send_signal(signal.SIGCONT)
            else:
                server.become("ok")
            wait_until(lambda server=server: self.is_back(server))  # type: ignore[misc]
        self.assertLessEqual(self.attempts(), 1.2 * self.load.statuses.total())

    def test_all_fail(self) -> None:
        """When all fail they are not asked much more often for it, and serve again when they can."""
        for mode in ("busy", "reset"):
            for server in self.servers:
                server.become(mode)
            found = self.load.ask(300)
            self.assertEqual(found.keys() & {200}, set(), mode)
            self.assertLessEqual(self.attempts(), 1.2 * self.load.statuses.total(), mode)
            for server in self.servers:
                server.become("ok")
            for server in self.servers:
                wait_until(lambda server=server: self.is_back(server))  # type: ignore[misc]


class HashedTests(ResilienceTestCase):
    def test_the_same_on_every_node(self) -> None:
        """A key's server is the same in both workers of a node, and on another node, whose file has the servers in another order."""
        servers = self.failing(4)
        algorithms = ("maglev", "ring_hash", "rendezvous")
        seen = []
        for members, workers in ((servers, 2), (servers[::-1], 1)):
            port, listed = free_port(), [f"{{address: '127.0.0.1:{each.port}', name: {each.name}}}" for each in members]
            pools = "".join(
                f"  {each}: {{algorithm: {{{each}: {{key: {{header: X-Key}}}}}}, servers: [{', '.join(listed)}]}}\n"
                for each in algorithms
            )
            routes = ", ".join(f"{{match: {{path: /{each}}}, pool: {each}}}" for each in algorithms)
            running = self.run_balancer(
                f"workers: {workers}\ngraceful_timeout: 2s\nlisteners: {{web: {{bind: '127.0.0.1:{port}', routes: [{routes}]}}}}\npools:\n{pools}"
            )
            running.wait_for(port)
            for _ in range(workers):
                found = [
                    [self.get(port, f"/{each}", X_Key=f"user-{at}").headers["X-Server"] for at in range(15)]
                    for each in algorithms
                ]
                seen.append(found)
                self.assertEqual(found, seen[0])
            running.stop()
        self.assertTrue(all(len(set(each)) > 2 for each in seen[0]), seen[0])
