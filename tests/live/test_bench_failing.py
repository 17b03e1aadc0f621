"""The bench of failing servers: its peers' configurations are valid, a short run counts right; no figure is judged."""

from __future__ import annotations

import contextlib
import io
import json
import subprocess
from pathlib import Path

from twisted.trial.unittest import SkipTest

from bench import failing
from bench.faults.load import Answer, quantile
from bench.faults.peers import PEERS
from bench.processes import Missing, free_port, program
from tests.live.balancers import BalancerTestCase
from tests.live.programs import need


class PeerTests(BalancerTestCase):
    def _accepts(self, name: str, *check: str) -> None:
        """The peer finds its own configuration valid, whether servers are asked for their health or not."""
        if check[0] in ("nginx", "haproxy"):
            need(check[0])
        for probed in (True, False):
            folder = self.folder()
            try:
                command = PEERS[name](folder, free_port(), [free_port() for _ in range(3)], probed)
                checking = [program(check[0]), *check[1:]]
            except Missing as error:
                if name == "haproxy" and not probed:
                    continue
                raise SkipTest(str(error)) from None
            file = next(each for each in command if each.startswith(str(folder)) and Path(each).is_file())
            done = subprocess.run([*checking, file], capture_output=True, text=True, timeout=60, check=False)
            self.assertEqual(done.returncode, 0, done.stdout + done.stderr)

    def test_balancer(self) -> None:
        self._accepts("balancer uv", "balancer", "check")

    def test_haproxy(self) -> None:
        self._accepts("haproxy", "haproxy", "-c", "-q", "-f")

    def test_nginx(self) -> None:
        self._accepts("nginx", "nginx", "-t", "-q", "-c")

    def test_envoy(self) -> None:
        self._accepts("envoy", "envoy", "--mode", "validate", "--log-level", "error", "-c")


class FiguresTests(BalancerTestCase):
    def test_figures(self) -> None:
        """Failures and late answers are counted, and how long they lasted while the server failed."""
        answers = [Answer(failing.WARM + at / 10, "GET", 200, 0.01, "s1") for at in range(20)]
        answers += [Answer(failing.WARM + 0.5, "GET", 502, 0.2, ""), Answer(failing.WARM + 1.5, "POST", 200, 0.3, "s0")]
        found = failing._figures(failing.CASES[0], answers, 1.1)
        self.assertAlmostEqual(found["GET ok %"], 2000 / 21)
        self.assertEqual((found["POST ok %"], found["attempts"], found["hurt"], found["felt s"]), (100, 1.1, 2, 1.5))
        self.assertEqual((quantile([3, 1, 2], 0.5), quantile([], 0.5)), (2, 0))

    def test_a_short_run(self) -> None:
        """One case, for a moment: every request that may be repeated has an answer, and the figures are in a file."""
        for name, seconds in (("WARM", 0.3), ("BROKEN", 0.5), ("MENDED", 0.5)):
            self.patch(failing, name, seconds)
        folder, printed = self.folder(), io.StringIO()
        given = ["--case", "slow first byte", "--peer", "balancer epoll", "--rate", "50", "--results", str(folder)]
        with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(io.StringIO()):
            status = failing.main(given)
        self.assertEqual(status, 0, printed.getvalue())
        (file,) = folder.glob("failing-*.json")
        figures = json.loads(file.read_text())["cases"]["slow first byte"]["balancer epoll"]
        self.assertEqual((figures["GET ok %"], figures["requests"]), (100, 50))
