"""Requests that ask, with a signed header, what was decided about them."""

from __future__ import annotations

import json
import subprocess
import time
from typing import Any

from balancer.filters.trace import signed
from tests.live.balancers import BIN, OK, BalancerTestCase, Peer, RunningBalancer, answering
from tests.live.processes import free_port
from tests.live.programs import need

KEY = "0123456789abcdef"


class TraceTests(BalancerTestCase):
    def start(self, workers: int = 1) -> tuple[RunningBalancer, int]:
        self.seen: list[bytes] = []

        def talk(peer: Peer) -> None:
            while True:
                self.seen.append(peer.head())
                peer.send(OK)

        port = free_port()
        running = self.run_balancer(
            f"workers: {workers}\naccess_log: {{path: '@log@'}}\ndebug: {{key: {KEY}}}\nlisteners:\n  web:\n    bind: 127.0.0.1:{port}\n"
            "    filters: [{headers: {request: {set: {X-Edge: '1'}}}}]\n    routes:\n"
            "      - {name: api, match: {path: /api/**}, filters: [{headers: {response: {set: {X-Own: '1'}}}}], pool: web}\n"
            "      - {name: tea, match: {path: /tea}, respond: 418}\n"
            "      - {name: put, match: {path: /a, method: PUT}, pool: web}\n"
            "pools:\n  web:\n    algorithm: round_robin\n    servers:\n"
            f"      - {{name: dead, address: '127.0.0.1:{free_port()}'}}\n"
            f"      - {{name: well, address: '{self.server(talk).address}'}}\n"
            f"      - {{name: spare, address: '{self.server(answering(OK)).address}', backup: true}}\n"
        )
        running.wait_for(port)
        return running, port

    def ask(self, port: int, path: str, value: str | None = None, host: str = "shop.example") -> tuple[int, Any]:
        value = signed(KEY, int(time.time()) + 60, "shop.example") if value is None else value
        answer = self.get(port, path, Host=host, X_Balancer_Debug=value)
        found = answer.headers.get_all("X-Balancer-Trace", [])
        return answer.status, [json.loads(each) for each in found]

    def test_told(self) -> None:
        """Route, others and why not, filters with their time, pool, servers that are out, attempts, times; for answers of every kind."""
        _, port = self.start()
        retried = None
        for _ in range(4):
            status, (told,) = self.ask(port, "/api/x?y=1")
            self.assertEqual((status, told["route"], told["pool"], told["server"]), (200, "api", "web", "well"))
            self.assertEqual([each["filter"] for each in told["filters"]], ["headers", "headers"])
            self.assertEqual({each["route"] for each in told["rejected"]}, {"tea", "put"})
            self.assertEqual(told["out"][0], {"server": "spare", "because": "a backup, and others can be used"})
            self.assertTrue(0 < told["decided"] <= told["time"])
            self.assertGreaterEqual(told["first_byte"], 0)
            retried = told.get("attempts", retried)
        assert retried is not None
        self.assertEqual((retried[0]["server"], retried[0]["failed"]), ("dead", "connection_refused"))
        self.assertNotIn(b"Balancer-Debug", b"".join(self.seen))
        self.assertIn(b"X-Edge: 1", self.seen[0])
        status, (told,) = self.ask(port, "/tea")
        self.assertEqual((status, told["route"], told["action"], told["status"]), (418, "tea", "respond", 418))
        status, (told,) = self.ask(port, "/nowhere")
        self.assertEqual((status, told["action"], told["reason"]), (404, "none", "destination_not_found"))
        self.assertEqual(told["rejected"][0], {"route": "put", "because": "path is /a, not /nowhere"})

    def test_not_told(self) -> None:
        """Without the key, for another host, too late, or with nonsense: a request like any other, whose header no server sees."""
        _, port = self.start()
        now = int(time.time())
        for value, host in (
            (signed("another key than it", now + 60, "shop.example"), "shop.example"),
            (signed(KEY, now + 60, "shop.example"), "other.example"),
            (signed(KEY, now - 1, "shop.example"), "shop.example"),
            (f"{now + 90}.{signed(KEY, now + 60, 'shop.example').partition('.')[2]}", "shop.example"),
            ("", "shop.example"),
            ("x", "shop.example"),
            (".", "shop.example"),
            ("9" * 400 + ".00", "shop.example"),
            (f"{now}.\xe9", "shop.example"),
        ):
            self.assertEqual(self.ask(port, "/api/", value, host), (200, []), value)
        self.assertNotIn(b"Balancer-Debug", b"".join(self.seen))

    def test_commands(self) -> None:
        """The header comes from a command; over HTTP/2, and with workers, it is told too."""
        running, port = self.start(workers=2)
        command = [str(BIN / "balancer"), "debug-token", str(running.file), "Shop.example", "--for", "1m"]
        header = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout.strip()
        curl = [need("curl"), "-si", "--http2-prior-knowledge", "-H", header, "-H", "Host: shop.example"]
        said = subprocess.run(
            [*curl, f"http://127.0.0.1:{port}/api/"], capture_output=True, text=True, timeout=60
        ).stdout
        (line,) = [line for line in said.splitlines() if line.lower().startswith("x-balancer-trace:")]
        self.assertEqual(json.loads(line.partition(":")[2])["route"], "api")
