"""The reserve of descriptors."""

from __future__ import annotations

import os
import resource
import subprocess
import sys

from twisted.trial.unittest import SynchronousTestCase

from balancer.net import descriptors

_PROGRAM = """
import os, resource
resource.setrlimit(resource.RLIMIT_NOFILE, (40, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
from balancer.net import descriptors
assert descriptors.ceiling() == 35, descriptors.ceiling()
kept = []
while not descriptors.is_scarce():
    kept.append(os.open(os.devnull, os.O_RDONLY))
assert kept[-1] == 34, kept
while True:
    try:
        kept.append(os.open(os.devnull, os.O_RDONLY))
    except OSError:
        break
assert kept[-1] == 39, kept
assert descriptors.is_scarce()
while kept:
    os.close(kept.pop())
assert not descriptors.is_scarce()
resource.setrlimit(resource.RLIMIT_NOFILE, (30, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
assert not descriptors.is_reserved(25)
assert descriptors.is_reserved(35)
assert descriptors.ceiling() == 26, descriptors.ceiling()
"""


class DescriptorsTests(SynchronousTestCase):
    def test_the_reserve(self) -> None:
        """The last few are scarce, all of them can be had, and it is known how many there are."""
        done = subprocess.run([sys.executable, "-c", _PROGRAM], capture_output=True, text=True, timeout=60, check=False)
        self.assertEqual(done.returncode, 0, done.stderr)

    def test_plenty(self) -> None:
        """Asking leaves nothing open."""
        before = len(os.listdir("/dev/fd"))
        self.assertFalse(descriptors.is_scarce())
        self.assertEqual(len(os.listdir("/dev/fd")), before)

    def test_no_limit(self) -> None:
        """Without a limit nothing is ever scarce."""
        self.assertGreater(descriptors._ceiling_of(resource.RLIM_INFINITY), 1 << 20)
