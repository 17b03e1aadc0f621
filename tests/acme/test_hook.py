"""Tests for :mod:`balancer.acme.hook`."""

from __future__ import annotations

import fcntl
import sys
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from balancer.acme.faults import OrderError
from balancer.acme.hook import run_hook


class HookTests(SynchronousTestCase):
    """Programs are called."""

    def _python(self, text: str) -> list[str]:
        return [sys.executable, "-c", text]

    def test_called(self) -> None:
        """With what is to be done, the name and the value, behind its own arguments; no shell looks at them."""
        path = Path(self.mktemp()).absolute()
        hook = [
            *self._python("import sys, pathlib; pathlib.Path(sys.argv[1]).write_text(repr(sys.argv[2:]))"),
            str(path),
        ]
        run_hook(hook, "present", "_acme-challenge.a.example", "-$(x) y")
        self.assertEqual(path.read_text(), "['present', '_acme-challenge.a.example', '-$(x) y']")

    def test_failed(self) -> None:
        """Its status and the last thing that it said are told."""
        error = self.assertRaises(
            OrderError, run_hook, self._python("print('one\\n no such zone \\n'); exit(3)"), "present", "a", "b"
        )
        self.assertTrue(str(error).endswith("present ended with status 3: no such zone"), error)
        error = self.assertRaises(OrderError, run_hook, self._python("exit(1)"), "cleanup", "a", "b")
        self.assertTrue(str(error).endswith("cleanup ended with status 1: it said nothing"), error)

    def test_missing(self) -> None:
        """A program that is not there is named."""
        error = self.assertRaises(OrderError, run_hook, ["/nowhere/hook"], "present", "a", "b")
        self.assertEqual(str(error), "dns_hook: /nowhere/hook cannot be started: No such file or directory")

    def test_too_long(self) -> None:
        """One that does not end is ended, with what it has started itself."""
        path = Path(self.mktemp()).absolute()
        child = f"import fcntl, time; file = open({str(path)!r}, 'w'); fcntl.flock(file, fcntl.LOCK_EX); print('held', flush=True); time.sleep(600)"
        text = (
            "import subprocess, sys, time\n"
            f"child = subprocess.Popen([sys.executable, '-c', {child!r}], stdout=subprocess.PIPE)\n"
            "child.stdout.readline()\ntime.sleep(600)\n"
        )
        error = self.assertRaises(OrderError, run_hook, self._python(text), "present", "a", "b", limit=5.0)
        self.assertIn("took longer than 5 s", str(error))
        with path.open() as file:
            fcntl.flock(file, fcntl.LOCK_EX)  # as soon as it is gone
