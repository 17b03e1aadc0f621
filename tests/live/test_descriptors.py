"""A process that runs out of descriptors: nothing breaks, operators keep access, and it ends by itself."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import threading
from typing import Any

from tests.live.balancers import BIN, OK, BalancerTestCase, Peer, RunningBalancer, answering, wait_until
from tests.live.processes import free_port

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
LIMIT = 64


class DescriptorTests(BalancerTestCase):
    def start(self, server: str) -> RunningBalancer:
        """Run a balancer that may have few descriptors and would let in any number of clients."""
        folder = self.folder()
        self.port, self.stream, self.metrics = free_port(), free_port(), free_port()
        self.admin = folder / "admin.sock"
        text = f"""
access_log: {{format: json, path: {folder}/access.log}}
graceful_timeout: 1s
metrics: {{bind: 127.0.0.1:{self.metrics}}}
admin: {{bind: 'unix:{self.admin}'}}
limits: {{connections: 1000}}
listeners:
  web: {{bind: 127.0.0.1:{self.port}, protocol: http, pool: web}}
  stream: {{bind: 127.0.0.1:{self.stream}, protocol: tcp, pool: web}}
pools:
  web: {{servers: ['{server}']}}
"""
        command = ["bash", "-c", f"ulimit -n {LIMIT}; exec {BIN / 'balancer'} run {folder / 'balancer.yaml'}"]
        running = RunningBalancer(folder, text, command)
        self.addCleanup(running.stop)
        for port in (self.port, self.metrics):  # metrics come last
            running.wait_for(port)
        return running

    def ctl(self, *words: str) -> Any:
        command = [str(BIN / "balancer"), "ctl", "--admin", f"unix:{self.admin}", *words]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        return done.stdout

    def server_state(self) -> Any:
        return json.loads(self.ctl("status", "--json"))["pools"][0]["servers"][0]

    def metric(self, name: str) -> float:
        text = self.get(self.metrics, "/metrics").body.decode()
        return sum(float(value) for value in re.findall(rf"^{name}(?:\{{.*\}})? (\S+)$", text, re.MULTILINE))

    def flood(self) -> list[Peer]:
        """Connect more clients than there are descriptors; they say nothing."""
        peers = [self.connect(self.port) for _ in range(LIMIT + 20)]
        wait_until(lambda: self.metric("balancer_accept_pauses_total") > 2)
        return peers

    def test_operators_keep_access(self) -> None:
        """The admin API, metrics, a reload and a new log file work while clients are waiting to be accepted."""
        running = self.start(self.server(answering(OK)).address)
        peers = self.flood()
        self.assertIn("web", self.ctl("status"))
        if running.log.exists():
            running.log.rename(running.folder / "old.log")
        running.process.send_signal(signal.SIGUSR1)
        self.assertIn("reloaded", self.ctl("reload"))
        wait_until(running.log.exists)
        self.assertIn("no connection accepted for", running.output.read_text())
        for peer in peers:
            peer.close()
        wait_until(lambda: self.metric("balancer_connections") == 0)
        self.assertEqual([self.get(self.port).status for _ in range(20)], [200] * 20)
        self.assertEqual(len(running.records(20)), 20)
        self.assertNotIn("Traceback", running.output.read_text())

    def test_whose_fault_it_is(self) -> None:
        """Requests and sessions that cannot have a server connection fail with our reason, and not at the server's cost."""
        running = self.start(self.server(answering(OK)).address)
        asking = [self.connect(self.port) for _ in range(5)]
        for peer in asking:  # accepted before the flood
            peer.send(GET[:5])
        wait_until(lambda: self.metric("balancer_connections") >= 5)
        peers = self.flood()
        statuses = set()
        for peer in asking:
            peer.send(GET[5:])
            status, head, _ = peer.response()
            statuses.add(status)
            if status != 200:
                self.assertIn(b"Proxy-Status: balancer; error=proxy_internal_error", head)
                self.assertIn(b"Retry-After", head)
        self.assertIn(503, statuses)
        self.assertLessEqual(statuses, {200, 503})  # the descriptor of who asked for metrics may be free for a moment
        self.assertEqual((self.server_state()["failures"], self.server_state()["state"]), (0, "up"))
        for peer in peers:
            peer.close()
        wait_until(lambda: self.metric("balancer_connections") == len(asking))
        for peer in asking:
            peer.send(GET)
            self.assertEqual(peer.response()[0], 200)
        self.assertEqual(self.get(self.port).status, 200)
        self.assertEqual(
            {each["reason"] for each in running.records(5) if each["status"] == 503}, {"proxy_internal_error"}
        )

    def test_idle_connections_go_first(self) -> None:
        """Kept connections to servers are closed for the sake of clients and of other connections."""
        release = threading.Event()

        def together(peer: Peer) -> None:
            while True:
                peer.head()
                release.wait(20)
                peer.send(OK)

        self.start(self.server(together).address)
        first = [self.connect(self.port) for _ in range(10)]
        for peer in first:
            peer.send(GET)
        wait_until(lambda: self.server_state()["active"] == 10)
        release.set()
        for peer in first:
            self.assertEqual(peer.response()[0], 200)
            peer.close()
        self.assertEqual(self.server_state()["idle"], 10)
        self.flood()
        wait_until(lambda: self.metric("balancer_idle_connections_given_up_total") > 0)
        self.assertLess(self.server_state()["idle"], 10)
        self.assertEqual(self.server_state()["failures"], 0)
