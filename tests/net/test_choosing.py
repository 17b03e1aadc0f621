"""Which reactor a program gets: each case is a process of its own, for a process has one reactor."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from balancer.net.choosing import DEFAULT, NAMES

_PROGRAM = """
import sys
{before}
from balancer.errors import BalancerError
from balancer.net.choosing import install, name_of
try:
    install({name!r})
except BalancerError as error:
    print(error)
    sys.exit()
from twisted.internet import reactor
print(name_of(reactor))
"""


class ChoosingTests(SynchronousTestCase):
    def choose(self, name: str | None = None, before: str = "", **environment: str) -> str:
        """Return what a fresh process says of the reactor it got."""
        clean = {key: value for key, value in os.environ.items() if key != "BALANCER_REACTOR"}
        done = subprocess.run(
            [sys.executable, "-c", _PROGRAM.format(name=name, before=before)],
            env=clean | environment,
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout.strip()

    def test_names(self) -> None:
        """Each can be asked for by name, and by the environment; the name counts more."""
        self.assertEqual(NAMES, ("uv", "epoll"))
        self.assertEqual(self.choose("uv"), "uv")
        self.assertEqual(self.choose("epoll"), "epoll, in batches")
        self.assertEqual(self.choose(BALANCER_REACTOR="uv"), "uv")
        self.assertEqual(self.choose("epoll", BALANCER_REACTOR="uv"), "epoll, in batches")

    def test_default(self) -> None:
        """Without a name it is the default, which the documentation names."""
        self.assertEqual(self.choose(), {"uv": "uv", "epoll": "epoll, in batches"}[DEFAULT])
        page = Path(__file__).resolve().parents[2] / "docs" / "howto" / "reactor.md"
        self.assertIn(f"neither option nor variable it is `{DEFAULT}`", page.read_text())

    def test_somebody_was_first(self) -> None:
        """A reactor that is there already stays."""
        self.assertEqual(
            self.choose("uv", "from twisted.internet import selectreactor; selectreactor.install()"), "SelectReactor"
        )

    def test_no_such_name(self) -> None:
        """A name that there is not is said to be wrong."""
        self.assertEqual(self.choose(BALANCER_REACTOR="iocp"), "BALANCER_REACTOR: expected uv or epoll, got 'iocp'")

    def test_not_installed(self) -> None:
        """Without uvloop the default is epoll, and asking for uv is an error that says what is missing."""
        hidden = "sys.modules['uvloop'] = None"
        self.assertEqual(self.choose(before=hidden), "epoll, in batches")
        self.assertIn("the reactor uv cannot be had here: ", self.choose("uv", hidden))

    def test_light(self) -> None:
        """The reactor on libuv brings nothing of the balancer but sockets, so that other programs can use it."""
        done = subprocess.run(
            [sys.executable, "-c", "import balancer.net.reactor, sys; print(*sorted(sys.modules))"],
            capture_output=True,
            text=True,
            check=True,
        )
        loaded = done.stdout.split()
        ours = {name for name in loaded if name.startswith("balancer")}
        allowed = {"balancer", "balancer.net"}
        allowed |= {
            f"balancer.net.{name}"
            for name in ("adopted", "descriptors", "gathering", "lag", "lean", "polling", "stream", "transports")
        }
        self.assertEqual({name for name in ours if not name.startswith("balancer.net.reactor")}, allowed)
        self.assertEqual([name for name in loaded if name.split(".")[0] in ("pydantic", "pluggy", "click")], [])
