"""Releases on a live balancer: sides that last over workers, restarts and nodes, and that change while it runs."""

from __future__ import annotations

from collections import Counter

from tests.live.balancers import BalancerTestCase, RunningBalancer, answering
from tests.live.processes import free_port

_ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"


class ReleasesTestCase(BalancerTestCase):
    def start(self, split: str, workers: int = 1, top: str = "") -> tuple[RunningBalancer, int]:
        port, folder = free_port(), self.folder()
        blue, green = (self.server(answering(_ANSWER + name)) for name in (b"blue.", b"green"))
        self.admin = f"{folder}/admin.sock"
        self.audit = folder / "audit.log"
        running = self.run_balancer(
            f"secret: sesame-open-0123456789\nworkers: {workers}\naccess_log: {{path: '@log@'}}\n{top}"
            f"admin: {{bind: 'unix:{self.admin}', audit_log: '{self.audit}'}}\n"
            f"listeners:\n  web: {{bind: '127.0.0.1:{port}', routes: [{{name: shop, split: {split}}}]}}\n"
            f"pools:\n  blue: {{servers: ['{blue.address}']}}\n  green: {{servers: ['{green.address}']}}\n"
        )
        running.wait_for(port)
        return running, port


class SideTests(ReleasesTestCase):
    def test_keys_everywhere(self) -> None:
        """The same keys are on the same sides on a node with two workers, on another with one, and after a restart."""
        split = "{weights: {blue: 70, green: 30}, key: {header: X-User}}"
        seen = []
        for workers in (2, 1, 1):
            running, port = self.start(split, workers)
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
        _, port = self.start(split, 2)
        answer = self.get(port)
        cookie = answer.headers["Set-Cookie"].partition(";")[0]
        _, other = self.start(split)
        for at in (port, other):
            for _ in range(10):
                again = self.get(at, Cookie=cookie)
                self.assertEqual((again.body, again.headers["Set-Cookie"]), (answer.body, None))
        visit = self.get(port, Cookie=cookie, X_Version="green" if answer.body == b"blue." else "blue")
        self.assertNotEqual(visit.body, answer.body)
