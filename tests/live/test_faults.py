"""Faults on purpose, live: slow and failing requests, over real sockets."""

from __future__ import annotations

import http.client
import time

from tests.live.balancers import BalancerTestCase, Peer
from tests.live.processes import free_port


def _ok(peer: Peer) -> None:
    while True:
        assert b"x-fault" not in peer.head().lower()
        peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")


class FaultTests(BalancerTestCase):
    def test_faults(self) -> None:
        """Who may ask for faults gets them, each of them seen in log and metrics; the others are served."""
        port, metrics = free_port(), free_port()
        routes = (
            "{name: asked, match: {path: /asked}, filters: [{fault: {headers: {from: [127.0.0.0/8]}}}], pool: web},"
            "{name: closed, match: {path: /closed}, filters: [{fault: {headers: {from: [192.0.2.1]}}}], pool: web}"
        )
        running = self.run_balancer(
            f"access_log: {{path: '@log@'}}\nmetrics: {{bind: '127.0.0.1:{metrics}'}}\n"
            f"listeners: {{web: {{bind: '127.0.0.1:{port}', routes: [{routes}]}}}}\n"
            f"pools: {{web: {{servers: ['{self.server(_ok).address}']}}}}\n"
        )
        running.wait_for(port)

        def ask(path: str, **headers: str) -> int:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
            try:
                connection.request(
                    "GET", path, headers={name.replace("_", "-"): text for name, text in headers.items()}
                )
                return connection.getresponse().status
            finally:
                connection.close()

        self.assertEqual(ask("/asked"), 200)
        began = time.monotonic()
        self.assertEqual(ask("/asked", X_Fault_Delay="300ms", X_Fault_Abort="418"), 418)
        self.assertGreaterEqual(time.monotonic() - began, 0.3)
        self.assertRaises(ConnectionResetError, ask, "/asked", X_Fault_Abort="reset")
        self.assertEqual(ask("/closed", X_Fault_Abort="500"), 200)
        records = running.records(4)
        self.assertEqual(
            [(record["status"], record.get("notes")) for record in records],
            [
                (200, None),
                (418, {"fault": {"delay": 0.3, "abort": 418}}),
                (444, {"fault": {"abort": "reset"}}),
                (200, None),
            ],
        )
        told = self.get(metrics, "/metrics").body.decode()
        self.assertIn('balancer_faults_injected_total{kind="delay+abort",listener="web",route="asked"} 1.0', told)
        self.assertIn('balancer_faults_injected_total{kind="abort",listener="web",route="asked"} 1.0', told)
