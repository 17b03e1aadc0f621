"""The demo: every line that it prints works."""

from __future__ import annotations

import re
import shlex
import signal
import subprocess

from tests.live.balancers import BIN, BalancerTestCase, RunningBalancer, wait_until
from tests.live.programs import need


class DemoTests(BalancerTestCase):
    def test_what_it_says_to_try(self) -> None:
        """Each command printed gives what is promised, and Ctrl-C ends the demo cleanly."""
        need("curl"), need("nc")
        folder = self.folder()
        demo = RunningBalancer(folder, "", [str(BIN / "balancer"), "demo"])
        self.addCleanup(demo.stop)
        text = wait_until(lambda: "The access log follows" in (said := demo.output.read_text()) and said)
        tries = dict(re.findall(r"^  (\S.*?)  +((?:curl|nc|\S*balancer) .*)$", text, re.MULTILINE))
        self.assertEqual(len(tries), 13, text)
        demo.wait_for(int(tries["layer 4, TCP echo"].split()[-1]))
        said = {what: self._said(command) for what, command in tries.items()}
        self.assertEqual(
            {what: bool(re.search(_PROMISED[what], answer)) for what, answer in said.items()},
            dict.fromkeys(_PROMISED, True),
            said,
        )
        names = {re.search(r"server (\w+)", self._said(tries["layer 7, three servers in turn"]))[1] for _ in range(3)}  # type: ignore[index]
        self.assertEqual(names, {"one", "two", "three"})
        self.assertEqual(demo.stop(signal.SIGINT), 0)
        self.assertNotIn("Traceback", demo.output.read_text())

    def test_a_second_ctrl_c(self) -> None:
        """Ctrl-C twice ends the demo at once, whatever is in flight, and it leaves nothing behind."""
        folder, temporary = self.folder(), self.folder()
        demo = RunningBalancer(folder, "", [str(BIN / "balancer"), "demo"], TMPDIR=str(temporary))
        self.addCleanup(demo.stop)
        text = wait_until(lambda: "The access log follows" in (said := demo.output.read_text()) and said)
        (port,) = re.findall(r"nc 127.0.0.1 (\d+)", text)
        demo.wait_for(int(port))
        echo = self.connect(int(port))
        echo.send(b"heard\n")
        self.assertEqual(echo.until(b"\n"), b"heard\n")
        self.assertEqual(len(list(temporary.iterdir())), 1)
        demo.process.send_signal(signal.SIGINT)
        # Two, if the one that saw the port open has not been seen to leave yet.
        wait_until(
            lambda: re.search("stopping: 2s for (1 connection|2 connections) to finish", demo.output.read_text())
        )
        self.assertEqual(demo.stop(signal.SIGINT), 128 + signal.SIGINT)
        self.assertEqual(list(temporary.iterdir()), [])

    def test_busy_ports(self) -> None:
        """A second demo beside the first finds other ports."""
        first, second = (RunningBalancer(self.folder(), "", [str(BIN / "balancer"), "demo"]) for _ in range(2))
        for each in (first, second):
            self.addCleanup(each.stop)
            wait_until(lambda each=each: "The access log follows" in each.output.read_text())

    @staticmethod
    def _said(command: str) -> str:
        words = shlex.split(command)
        if words[0] == "nc":
            words[1:1] = ["-w", "1"] if "-u" in words else ["-N"]
        done = subprocess.run(words, input="heard\n", capture_output=True, text=True, timeout=20, check=False)
        return done.stdout + done.stderr


_PROMISED = {
    "layer 7, three servers in turn": "I am server (one|two|three)",
    "a header decides (mobile pool)": "I am server one",
    "a cookie decides (test group)": "I am server three",
    "90 % and 10 % (split)": "I am server (two|three)",
    "a path decides, headers are set": "(?s)X-Team: users.*X-User: 42",
    "a redirect": "(?s)308 Permanent.*Location: http://127.0.0.1:\\d+/new/page",
    "a fixed response": "short and stout",
    "a Twisted resource": "hello from a Twisted resource",
    "layer 4, TCP echo": "^heard",
    "layer 4, UDP echo": "^heard",
    "metrics": "balancer_http_requests_total",
    "ask where a request goes": "mobile",
    "run its routing tests": "8 passed",
}
