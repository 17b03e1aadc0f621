"""Releases on a live balancer: sides that last over workers, restarts and nodes, and that change while it runs."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections import Counter
from typing import Any

from balancer.filters.trace import signed
from tests.live.balancers import BIN, RunningBalancer, answering, wait_until
from tests.live.processes import free_port
from tests.live.test_workers import WorkersTestCase, alive

_ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"


class ReleasesTestCase(WorkersTestCase):
    def release(
        self, split: str, workers: int = 1, top: str = "", green: bytes = _ANSWER
    ) -> tuple[RunningBalancer, int]:
        port, folder = free_port(), self.folder()
        servers = {b"blue.": _ANSWER, b"green": green}
        blue, new = (self.server(answering(head + name)) for name, head in servers.items())
        self.socket = f"{folder}/admin.sock"
        self.audit = folder / "audit.log"
        running = self.run_balancer(
            f"secret: sesame-open-0123456789\nlimits: {{shed_after: false}}\ndebug: {{key: sesame-open-0123456789}}\nworkers: {workers}\naccess_log: {{path: '@log@'}}\n{top}"
            f"admin: {{bind: 'unix:{self.socket}', audit_log: '{self.audit}'}}\n"
            f"listeners:\n  web: {{bind: '127.0.0.1:{port}', routes: [{{name: shop, split: {split}}}]}}\n"
            f"pools:\n  blue: {{servers: ['{blue.address}']}}\n  green: {{servers: ['{new.address}'], passive: false}}\n"
        )
        running.wait_for(port)
        wait_until(lambda: len(self.ready()) == workers)
        return running, port

    def bodies(self, port: int) -> set[bytes]:
        return {self.get(port).body for _ in range(12)}

    def ctl(self, *words: str) -> subprocess.CompletedProcess[str]:
        command = [str(BIN / "balancer"), "ctl", "--admin", f"unix:{self.socket}", *words]
        environment = {**os.environ, "COLUMNS": "200"}
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, env=environment)


class SideTests(ReleasesTestCase):
    def debug_token(self) -> dict[str, str]:
        """Return the header that asks for a trace."""
        return {"X-Balancer-Debug": signed("sesame-open-0123456789", int(time.time()) + 600, "127.0.0.1")}

    def test_keys_everywhere(self) -> None:
        """The same keys are on the same sides on a node with two workers, on another with one, and after a restart."""
        split = "{weights: {blue: 70, green: 30}, key: {header: X-User}}"
        seen = []
        for workers in (2, 1, 1):
            running, port = self.release(split, workers)
            users = [f"user-{at}" for at in range(40)]
            first = [self.get(port, X_User=user).body for user in users]
            self.assertEqual([self.get(port, X_User=user).body for user in users], first)
            seen.append(first)
            running.stop()
        self.assertEqual(seen[0], seen[1])
        self.assertEqual(seen[0], seen[2])
        self.assertEqual(set(Counter(seen[0])), {b"blue.", b"green"})

    def test_cookie(self) -> None:
        """Chance decides once; the cookie is good for every worker, and on another node."""
        split = "{weights: {blue: 1, green: 1}, sticky: cookie, override: {header: X-Version}}"
        _, port = self.release(split, 2)
        answer = self.get(port)
        cookie = answer.headers["Set-Cookie"].partition(";")[0]
        _, other = self.release(split)
        for at in (port, other):
            for _ in range(10):
                again = self.get(at, Cookie=cookie)
                self.assertEqual((again.body, again.headers["Set-Cookie"]), (answer.body, None))
        head = self.debug_token()
        told = json.loads(self.get(port, Cookie=cookie, **head).headers["X-Balancer-Trace"])
        self.assertEqual(told["split"], "kept by cookie side")
        visit = self.get(port, Cookie=cookie, X_Version="green" if answer.body == b"blue." else "blue")
        self.assertNotEqual(visit.body, answer.body)


class LiveChangeTests(ReleasesTestCase):
    def test_blue_green(self) -> None:
        """A switch holds at once in both workers, in one that comes later, over a reload and an upgrade, until the file's weights change."""
        running, port = self.release("{blue: 100, green: 0}", 2)
        self.assertEqual(self.bodies(port), {b"blue."})
        done = self.ctl("switch", "web", "shop", "green")
        self.assertEqual(done.returncode, 0, done.stderr)
        expected = "split web/shop: blue 0 %, green 100 % (set by an operator; in the file: blue 100, green 0)\n"
        self.assertEqual(done.stdout, expected)
        self.assertEqual(self.bodies(port), {b"green"})
        self.assertIn(expected, self.ctl("status").stdout)
        self.assertEqual(self.ask("POST", "/explain", {"url": "/"})["split"]["note"], "set by an operator")
        victim = self.ready()[0]["pid"]
        os.kill(victim, signal.SIGKILL)
        wait_until(lambda: self.all_there(victim))
        self.assertEqual(self.bodies(port), {b"green"})
        self.ask("POST", "/reload")
        self.assertEqual(self.bodies(port), {b"green"})
        self.assertIn("has taken over", self.ask("POST", "/upgrade")["message"])
        self.addCleanup(self.end_successor)
        wait_until(lambda: not alive(running.pid))
        wait_until(lambda: len(self.ready()) == 2)
        self.assertEqual(self.bodies(port), {b"green"})
        running.file.write_text(running.file.read_text().replace("{blue: 100, green: 0}", "{blue: 90, green: 0}"))
        self.ask("POST", "/reload")
        self.assertEqual(self.bodies(port), {b"blue."})
        calls = [json.loads(line) for line in self.audit.read_text().splitlines()]
        self.assertEqual(
            [(each["call"], each["content"]) for each in calls][0], ("POST /splits/web/shop", {"switch": "green"})
        )
        self.assertEqual(calls[0]["now"]["weights"], {"blue": 0.0, "green": 100.0})

    def end_successor(self) -> None:
        pid = self.ask("GET", "/status")["pid"]
        os.kill(pid, signal.SIGTERM)
        wait_until(lambda: not alive(pid))

    def test_weights(self) -> None:
        """Of one process: weights, back to the file, and what is refused; metrics have the shares."""
        metrics = free_port()
        _, port = self.release("{blue: 100, green: 0}", top=f"metrics: {{bind: '127.0.0.1:{metrics}'}}\n")
        self.assertIn("blue 75 %, green 25 %", self.ctl("split", "web", "shop", "green=33.333333333333336").stdout)
        self.assertIn(
            b'balancer_split_share{listener="web",pool="green",route="shop"} 0.25', self.get(metrics, "/metrics").body
        )
        self.assertIn("green 100 %", self.ctl("split", "web", "shop", "blue=0", "green=7").stdout)
        self.assertEqual(self.bodies(port), {b"green"})
        self.assertEqual(self.ctl("split", "web", "shop", "--reset").stdout, "split web/shop: blue 100 %, green 0 %\n")
        self.assertEqual(self.bodies(port), {b"blue."})
        for words, message in (
            (("split", "web", "shop", "blue=0"), "at least one pool"),
            (("split", "web", "shop", "red=1"), "no pool 'red'"),
            (("split", "web", "show", "blue=1"), "splits: web/shop"),
            (("split", "web", "shop", "blue=-1"), "0 or more"),
            (("split", "web", "shop"), "--reset"),
            (("switch", "web", "shop", "gren"), "did you mean 'green'"),
        ):
            refused = self.ctl(*words)
            self.assertNotEqual(refused.returncode, 0)
            self.assertIn(message, refused.stderr)


_CANARY = (
    "{weights: {blue: 1, green: 1}, canary: {pool: green, steps: [50, 100], interval: 500ms, abort: {minimum: 10}}}"
)


class CanaryTests(ReleasesTestCase):
    def canary(self) -> dict[str, Any]:
        found: dict[str, Any] = self.ask("GET", "/status")["splits"][0]
        return found

    def until(self, port: int, state: str) -> dict[str, Any]:
        """Serve until the canary is there."""

        def there() -> bool:
            for _ in range(10):
                self.get(port)
            return bool(self.canary()["canary"]["state"] == state)

        wait_until(there)
        return self.canary()

    def test_promotion(self) -> None:
        """What both workers serve is counted; both share as is decided."""
        metrics = free_port()
        _, port = self.release(_CANARY, 2, f"metrics: {{bind: '127.0.0.1:{metrics}'}}\n")
        self.assertEqual(self.ask("POST", "/explain", {"url": "/"})["split"]["note"], "canary at 50 %")
        found = self.until(port, "done")
        self.assertEqual(found["shares"], {"blue": 0, "green": 100})
        self.assertEqual(self.bodies(port), {b"green"})
        self.assertEqual(self.metric(metrics, "balancer_canary_percent"), 100)
        self.ask("POST", "/reload")
        self.assertEqual(self.canary()["canary"]["state"], "done")
        self.assertEqual(self.bodies(port), {b"green"})
        lines = [json.loads(line) for line in self.audit.read_text().splitlines()]
        told = [line["content"]["canary"].partition(":")[0] for line in lines if line.get("by") == "canary"]
        self.assertEqual(told, ["from 50 % to 100 %", "done at 100 %"])
        self.assertIn("canary green done, step 2 of 2", self.ctl("status").stdout)

    def test_roll_back(self) -> None:
        """A pool that fails is taken out of both workers, and stays out until it is told to begin anew."""
        failing = _ANSWER.replace(b"200 OK", b"500 Oh")
        _, port = self.release(_CANARY, 2, green=failing)
        found = self.until(port, "aborted")
        self.assertIn("100 % errors", found["canary"]["reason"])
        self.assertEqual(self.bodies(port), {b"blue."})
        self.assertIn("was rolled back: 100 % errors", self.ctl("status").stdout)
        self.assertIn("nothing to pause", self.ctl("canary", "web", "shop", "pause").stderr)
        self.assertEqual(self.ctl("canary", "web", "shop", "restart").returncode, 0)
        self.assertEqual(self.canary()["canary"]["state"], "running")
        self.assertIn("in charge", self.ctl("switch", "web", "shop", "blue").stderr)
        self.assertIn("rolled back: by an operator", self.ctl("canary", "web", "shop", "abort").stdout)
        self.assertEqual(self.bodies(port), {b"blue."})
