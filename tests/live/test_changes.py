"""What operators change of servers while two workers serve: where it holds, and what survives what."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
from pathlib import Path
from typing import Any

from tests.live.balancers import BIN, RunningBalancer, wait_until
from tests.live.processes import free_port
from tests.live.test_pool_policies import Moody
from tests.live.test_workers import WorkersTestCase, alive


class ChangesTestCase(WorkersTestCase):
    pool = ""

    def text(self, port: int, server: str, *others: Any, **more: Any) -> str:
        """The configuration, with more settings of the pool."""
        return super().text(port, server, *others, **more).replace(f"[{server}]}}", f"[{server}]{self.pool}}}")

    def begin(self, pool: str) -> RunningBalancer:
        """Run two workers over the servers ``one`` and ``two``; whoever takes over is ended with the test."""
        self.pool = f", algorithm: round_robin, {pool}"
        self.moods = {name: Moody(name) for name in ("one", "two")}
        named = [f"{{address: '{self.server(mood).address}', name: {name}}}" for name, mood in self.moods.items()]
        self.metrics = free_port()
        running, self.port = self.start(", ".join(named), top=f"metrics: {{bind: '127.0.0.1:{self.metrics}'}}")
        self.addCleanup(self.end_successor, running)
        return running

    def end_successor(self, running: RunningBalancer) -> None:
        pid = int(self.ask("GET", "/status")["pid"])
        if pid != running.pid:
            os.kill(pid, signal.SIGTERM)
            wait_until(lambda: not alive(pid), 45.0)

    def ctl(self, *words: str) -> subprocess.CompletedProcess[str]:
        command = [str(BIN / "balancer"), "ctl", "--admin", f"unix:{self.socket}", *words]
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)

    def change(self, server: str, **wanted: Any) -> Any:
        return self.ask("POST", f"/pools/web/servers/{server}", wanted)

    def bodies(self, count: int = 12, **headers: str) -> set[str]:
        """What is answered on connections of their own, so by both workers."""
        return {self.get(self.port, "/", **headers).body.decode() for _ in range(count)}

    def state(self, name: str = "one") -> str:
        """The state of a server in ``balancer_server_state``, of which there must be one."""
        text = self.get(self.metrics, "/metrics").body.decode()
        [found] = re.findall(rf'balancer_server_state{{pool="web",server="{name}",state="(\w+)"}} 1\.0', text)
        return str(found)


class DisableTests(ChangesTestCase):
    def test_survives(self) -> None:
        """Nobody gets to a disabled server, in no worker, after a reload, a worker's death and an upgrade; then it is enabled."""
        running = self.begin("sticky: {cookie: {name: lb}}")
        cookie = ""
        while not cookie:
            answer = self.get(self.port)
            cookie = answer.headers["Set-Cookie"].partition(";")[0] if answer.body == b"one" else ""
        self.change("one", drain=True)
        self.assertEqual(self.bodies(), {"two"})
        self.assertEqual(self.bodies(Cookie=cookie), {"one"})
        self.change("one", drain=False)
        self.assertEqual(self.ctl("disable", "web", "one").stdout, "web: one is disabled, weight 1, in 2 workers\n")
        self.assertEqual(self.bodies() | self.bodies(Cookie=cookie), {"two"})
        self.assertEqual(self.state(), "disabled")
        self.assertIn("one  disabled by hand", self.ctl("explain", "/").stdout)
        self.assertIn("--force", self.change("two", disable=True)["error"])
        self.change("two", weight=3)
        self.assertIn("reloaded", self.ask("POST", "/reload")["message"])
        self.assertEqual(self.bodies() | self.bodies(Cookie=cookie), {"two"})
        victim = self.ready()[0]["pid"]
        os.kill(victim, signal.SIGKILL)
        wait_until(lambda: self.all_there(victim))
        self.assertEqual(self.bodies() | self.bodies(Cookie=cookie), {"two"})
        self.assertIn("has taken over", self.ask("POST", "/upgrade")["message"])
        wait_until(self.all_there)
        wait_until(lambda: "finishes its connections" in running.output.read_text())
        self.assertEqual(self.bodies() | self.bodies(Cookie=cookie), {"two"})
        states = {
            each["name"]: (each["state"], each["weight"]) for each in self.ask("GET", "/status")["pools"][0]["servers"]
        }
        self.assertEqual(states, {"one": ("disabled", 1), "two": ("up", 3)})
        text = self.get(self.metrics, "/metrics").body.decode()  # of the workers, which have started since
        self.assertIn('balancer_server_weight{pool="web",server="two"} 3.0', text)
        self.assertEqual(self.change("one", disable=False)["workers"], 2)
        self.assertEqual(self.bodies(), {"one", "two"})
        self.assertEqual(self.bodies(Cookie=cookie), {"one"})
        self._check_audit(running.output)

    def _check_audit(self, output: Path) -> None:
        """Every call that changes something is noted, what was refused too."""
        lines = re.findall(r"admin: (\{.*\})$", output.read_text(), re.MULTILINE)
        calls = [json.loads(line) for line in lines]
        self.assertEqual(
            [(each["call"].removeprefix("POST /"), each["content"], each["status"]) for each in calls],
            [
                ("pools/web/servers/one", {"drain": True}, 200),
                ("pools/web/servers/one", {"drain": False}, 200),
                ("pools/web/servers/one", {"disable": True}, 200),
                ("pools/web/servers/two", {"disable": True}, 400),
                ("pools/web/servers/two", {"weight": 3}, 200),
                ("reload", None, 200),
                ("upgrade", None, 200),
                ("pools/web/servers/one", {"disable": False}, 200),
            ],
        )
        self.assertEqual(calls[2]["now"]["workers"], 2)


class RestoreTests(ChangesTestCase):
    def found_by(self, what: str, state: str) -> set[str]:
        """The workers that have found this out about the first server."""
        findings = self.ask("GET", "/status")["pools"][0]["findings"]
        return {
            each["worker"] for each in findings if (each["server"], each["what"], each["state"]) == ("one", what, state)
        }

    def test_restore(self) -> None:
        """An ejection, and an open breaker, of each worker end when an operator says so; reloads do not end them."""
        running = self.begin(
            "passive: {consecutive_5xx: 4, eject: 1h, max_eject: 1h},"
            " breaker: {trip: {min_requests: 2, error_ratio: 30%, window: 1h, open: 1h, max_open: 1h}}"
        )
        both = {"worker 1", "worker 2"}
        self.moods["one"].mood = "fail"
        wait_until(lambda: self.bodies() and self.found_by("breaker", "open") == both)
        message = self.ask("POST", "/pools/web/restore")["message"]
        self.assertEqual(message, "web: 2 breakers closed in 2 of 2 workers")
        wait_until(lambda: self.bodies() and self.found_by("breaker", "open") == both)
        self.assertEqual(self.state(), "tripped")
        self.assertIn("reloaded", self.ask("POST", "/reload")["message"])
        self.assertEqual(self.found_by("breaker", "open"), both)
        shown = self.ctl("pools", "web").stdout
        self.assertRegex(
            shown, r"one +worker 2 +breaker +open +\d+\.\d s +3\d\d\d\.\d s +opened 2 times +\d of \d failed"
        )
        self.assertRegex(shown, r"breaker of each server; outliers by failures, consecutive_5xx")
        self.moods["one"].mood = "well"
        self.ask("POST", "/pools/web/servers/one/restore")
        self.assertEqual(self.bodies(), {"one", "two"})
        self.assertEqual(self.state(), "up")
        self.assertIn("nothing to restore in 2 workers", self.ask("POST", "/pools/web/restore")["message"])
        self.assertIn("servers: one, two", self.ask("POST", "/pools/web/servers/none/restore")["error"])
        self.assertIn("did you mean 'web'?", self.ask("POST", "/pools/wbe/restore")["error"])
        self.assertIn("is trusted by its breaker again: by hand", running.output.read_text())
        self.assertIn('"call": "POST /pools/web/servers/one/restore"', running.output.read_text())

    def test_ejections(self) -> None:
        """The same of servers that were found to be outliers; a worker that is replaced knows of none."""
        self.begin("passive: {consecutive_5xx: 2, eject: 1h, max_eject: 1h}")
        both = {"worker 1", "worker 2"}
        self.moods["one"].mood = "fail"
        wait_until(lambda: self.bodies() and self.found_by("outlier", "ejected") == both)
        self.assertEqual((self.bodies(), self.state()), ({"two"}, "ejected"))
        self.moods["one"].mood = "well"
        victim = self.ready()[0]["pid"]
        os.kill(victim, signal.SIGKILL)
        wait_until(lambda: self.all_there(victim))
        self.assertEqual(self.found_by("outlier", "ejected"), {"worker 2"})
        restored = self.ctl("restore", "web", "one")
        self.assertEqual(restored.stdout, "web: one: 1 ejection ended in 1 of 2 workers\n  worker 2: ejection of one\n")
        self.assertEqual((self.bodies(), self.state()), ({"one", "two"}, "up"))
