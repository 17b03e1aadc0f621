"""More to do than can be done: what is answered, what is turned away, and that it ends with the load."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from tests.hooks.hostile import install
from tests.live.balancers import BIN, OK, BalancerTestCase, Peer, RunningBalancer, answering, wait_until
from tests.live.processes import free_port

SLOW = '''
"""A filter that keeps the event loop for a while, as no filter should."""
import time
from zope.interface import implementer
from balancer.hooks import hookimpl
from balancer.hooks.interfaces import Factory, IFilter

@implementer(IFilter)
class Slow:
    body_limit = 0
    def request(self, exchange): time.sleep(0.01)
    def response(self, exchange): pass
    def describe(self, exchange): return "slow"

@hookimpl
def balancer_filters(): return [Factory("slow", lambda settings: Slow())]
'''
CLIENTS = 40
"""Their requests take 0.4 s in all, each time."""


class _Load:
    """Clients that ask again and again, each on a connection of its own, and count what they got."""

    def __init__(self, port: int, request: bytes) -> None:
        self.counts: Counter[int] = Counter()
        self.refusals: list[tuple[bytes, bytes]] = []
        self.broken: list[BaseException] = []
        self._port = port
        self._request = request
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._ask) for _ in range(CLIENTS)]
        for thread in self._threads:
            thread.start()

    def _ask(self) -> None:
        try:
            peer = Peer(socket.create_connection(("127.0.0.1", self._port), 20))
            while not self._over.is_set():
                peer.send(self._request)
                status, head, body = peer.response()
                self.counts[status] += 1
                if status != 200:
                    self.refusals.append((head, body))
                if b"Connection: close" in head:
                    peer.close()
                    peer = Peer(socket.create_connection(("127.0.0.1", self._port), 20))
            peer.close()
        except (OSError, EOFError) as error:
            self.broken.append(error)

    def end(self) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()


class OverloadTests(BalancerTestCase):
    def start(self, **listener: str) -> tuple[RunningBalancer, dict[str, int]]:
        """Run a balancer that 40 clients are too many for; ``listener`` adds settings to the slow one."""
        packages = self.folder()
        install(packages, "slow-pkg", SLOW)
        ports = {name: free_port() for name in ("web", "spared", "metrics", "stream")}
        ports["datagrams"] = free_port()
        server = self.server(answering(OK)).address
        self.admin = packages / "admin.sock"
        running = self.run_balancer(
            f"""
access_log: {{format: json, path: '@log@'}}
metrics: {{bind: 127.0.0.1:{ports["metrics"]}}}
admin: {{bind: 'unix:{self.admin}'}}
limits: {{shed_after: {listener.get("shed_after", "50ms")}}}
listeners:
  web: {{bind: 127.0.0.1:{ports["web"]}, protocol: http, filters: [slow], routes: [{{pool: web}}]}}
  spared: {{bind: 127.0.0.1:{ports["spared"]}, protocol: http, pool: web, limits: {{shed: false}}}}
  stream: {{bind: 127.0.0.1:{ports["stream"]}, protocol: tcp, pool: web}}
  datagrams: {{bind: 127.0.0.1:{ports["datagrams"]}, protocol: udp, pool: udp}}
pools:
  web: {{servers: ['{server}']}}
  udp: {{servers: ['127.0.0.1:9']}}
""",
            PYTHONPATH=str(packages),
        )
        running.wait_for(ports["spared"])
        return running, ports

    @contextmanager
    def load(self, port: int, request: bytes = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n") -> Iterator[_Load]:
        load = _Load(port, request)
        try:
            yield load
        finally:
            load.end()
        self.assertEqual(load.broken, [])

    def metric(self, port: int, name: str) -> float:
        text = self.get(port, "/metrics").body.decode()
        return sum(float(value) for value in re.findall(rf"^{re.escape(name)}(?:\{{.*\}})? (\S+)$", text, re.MULTILINE))

    def recovered(self, ports: dict[str, int]) -> None:
        """Fails unless the share of those turned away falls to nothing, and everybody is served then."""
        wait_until(lambda: self.metric(ports["metrics"], "balancer_shedding_share") == 0.0)
        self.assertEqual([self.get(ports["web"]).status for _ in range(20)], [200] * 20)

    def test_shedding(self) -> None:
        """Some are served, the others get 503 with a reason at once; whoever is to be spared is; afterwards all are served."""
        running, ports = self.start()
        with self.load(ports["web"]) as load:
            wait_until(lambda: load.counts[503] > 50 and load.counts[200] > 50)
            self.assertEqual(self.metric(ports["metrics"], "process_start_time_seconds") > 0, True)
            said = subprocess.run(
                [str(BIN / "balancer"), "ctl", "--admin", f"unix:{self.admin}", "status"],
                capture_output=True,
                text=True,
                timeout=60,
                check=True,
            )
            self.assertRegex(said.stdout, r"overload lag \d+ ms, \d+% turned away now, \d+ since the start")
            self.assertEqual({self.get(ports["spared"]).status for _ in range(5)}, {200})
        self.assertEqual(set(load.counts), {200, 503})
        for head, body in load.refusals:
            self.assertIn(b"\r\nRetry-After: 1\r\n", head)
            self.assertIn(b'\r\nProxy-Status: balancer; error=proxy_internal_response; details="overloaded"\r\n', head)
            self.assertIn(b"\r\nX-Request-Id: ", head)
            self.assertIn(b"overloaded", body)
        self.recovered(ports)
        count = load.counts[503]
        self.assertGreaterEqual(self.metric(ports["metrics"], "balancer_requests_shed_total"), count)
        self.assertGreater(self.metric(ports["metrics"], "balancer_loop_lag_seconds_sum"), 0.1)
        records = [each for each in running.records(count + load.counts[200]) if each.get("status") == 503]
        self.assertGreaterEqual(len(records), count)
        self.assertEqual({each["reason"] for each in records}, {"proxy_internal_response"})
        self.assertEqual(
            {(each["listener"], each["method"], each["target"]) for each in records}, {("web", "GET", "/")}
        )
        self.assertIn("overloaded: the event loop lags", running.output.read_text())

    def test_bodies_and_heads(self) -> None:
        """HEAD gets no body; a request whose body is not there yet is answered and its connection closed."""
        _, ports = self.start()
        with self.load(ports["web"], b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"):

            def refused(request: bytes, rest: bytes = b"") -> bytes:
                peer = self.connect(ports["web"])
                peer.send(request)
                head = peer.head()
                if b" 503 " not in head.partition(b"\r\n")[0]:
                    peer.close()
                    return b""
                peer.send(rest)
                return head + b"|" + peer.rest()

            said = wait_until(lambda: refused(b"HEAD / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"))
            self.assertTrue(said.endswith(b"\r\n\r\n|"), said)
            said = wait_until(lambda: refused(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n1234", b"56789"))
            self.assertIn(b"Connection: close", said)
            self.assertIn(b"Retry-After: 1", said)
            said = wait_until(lambda: refused(b"GET / HTTP/1.0\r\n\r\n"))
            self.assertIn(b"Connection: close", said)
        self.recovered(ports)

    def test_sessions_and_flows(self) -> None:
        """New TCP sessions and UDP flows are refused for their share; those there are go on."""
        running, ports = self.start()
        old = self.connect(ports["stream"])
        old.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        self.assertEqual(old.response()[0], 200)
        with self.load(ports["web"]):

            def refused() -> bool:
                with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as skt:
                    skt.sendto(b"x", ("127.0.0.1", ports["datagrams"]))
                peer = self.connect(ports["stream"])
                try:
                    peer.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
                    peer.response()
                except (OSError, EOFError):
                    return True
                finally:
                    peer.close()
                return False

            wait_until(refused)
            wait_until(lambda: refused() and self.metric(ports["metrics"], "balancer_datagrams_dropped_total") > 0)
            old.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            self.assertEqual(old.response()[0], 200)
        self.recovered(ports)
        records = [json.loads(line) for line in running.log.read_text().splitlines()]
        turned_away = [each for each in records if each.get("protocol") == "tcp" and each.get("reason")]
        self.assertIn("proxy_internal_response", {each["reason"] for each in turned_away})
        new = self.connect(ports["stream"])
        new.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        self.assertEqual(new.response()[0], 200)

    def test_switched_off(self) -> None:
        """With ``shed_after: false`` everybody waits, and everybody is served."""
        _, ports = self.start(shed_after="false")
        with self.load(ports["web"]) as load:
            wait_until(lambda: load.counts[200] > 3 * CLIENTS)
        self.assertEqual(set(load.counts), {200})
