"""Tests for :mod:`balancer.cli.tables`."""

from __future__ import annotations

import os
import sys
from io import StringIO

from rich.console import Console, RenderableType
from twisted.trial.unittest import SynchronousTestCase

from balancer.cli.tables import (
    accounts_table,
    certificates_table,
    findings_table,
    packages_table,
    servers_table,
    split_in_words,
    state_in_words,
    terminal,
)

_WHY = "The server refused the connection. (192.0.2.101:18001: Connection refused)"


def _shown(table: RenderableType, width: int = 80) -> str:
    output = StringIO()
    Console(file=output, width=width).print(table)
    return output.getvalue()


class TableTests(SynchronousTestCase):
    """On a narrow terminal nothing is cut off."""

    def test_splits(self) -> None:
        """Shares, and why they are not the file's."""
        split = {"listener": "web", "route": "shop", "shares": {"a": 2.5, "b": 97.5}, "configured": {"a": 1, "b": 1}}
        self.assertEqual(split_in_words({**split, "note": ""}), "split web/shop: a 2.5 %, b 97.5 %")
        self.assertTrue(split_in_words({**split, "note": "why"}).endswith(" (why; in the file: a 1, b 1)"))

    def test_servers(self) -> None:
        """Addresses stay whole, however long the reason is; that folds."""
        counts = {"weight": 1, "active": 0, "requests": 123456, "failures": 7, "reason": _WHY}
        servers = [{"name": f"192.0.2.10{at}:18001", "state": "down", **counts} for at in range(2)]
        shown = _shown(servers_table(servers))
        for server in servers:
            self.assertIn(f"  {server['name']}  ", shown)
        self.assertNotIn("…", shown)
        self.assertEqual(_shown(servers_table(servers), 1000).count(_WHY), 2)

    def test_http2(self) -> None:
        """Where servers are spoken to in HTTP/2, connections and the exchanges on them are shown."""
        counts = {"weight": 1, "active": 9, "requests": 10, "failures": 0, "reason": "", "state": "up"}
        servers = [
            {"name": "a", "h2_connections": 2, "streams": 7, **counts},
            {"name": "b", "h2_connections": 0, "streams": 0, **counts},
        ]
        lines = [line.split() for line in _shown(servers_table(servers)).splitlines()]
        self.assertEqual(lines[0], ["server", "state", "weight", "active", "h2", "streams", "requests", "failures"])
        self.assertEqual(lines[1], ["a", "up", "1", "9", "2", "7", "10", "0"])

    def test_drained_while_down(self) -> None:
        """Whoever drains a server that is down sees that it is drained."""
        for state, draining, words in (
            ("down", True, "down, draining"),
            ("draining", True, "draining"),
            ("disabled", True, "disabled, draining"),
            ("disabled", False, "disabled"),
            ("up", False, "up"),
        ):
            self.assertEqual(state_in_words({"state": state, "draining": draining}), words)
        server = {
            "name": "a",
            "state": "down",
            "draining": True,
            "weight": 1,
            "active": 0,
            "requests": 0,
            "failures": 0,
        }
        self.assertIn("  down, draining  ", _shown(servers_table([{**server, "reason": "x"}])))

    def test_findings(self) -> None:
        """Of each finding: state, since when, for how long, counts, why; and, of several workers, whose it is."""
        one = {
            "worker": "",
            "what": "breaker",
            "server": "a",
            "state": "open",
            "since": 61.2,
            "left": 3.04,
            "trials": 0,
        }
        one |= {"reason": "9 of 10 failed", "ended": 4, "failed": 1, "slow": 2, "trips": 2}
        two = {
            "worker": "",
            "what": "outlier",
            "server": "b",
            "state": "in use",
            "since": None,
            "left": None,
            "kind": "",
        }
        two |= {"reason": "", "failures": 3, "answered_5xx": 2, "ejections": 0}
        head, first, second = _shown(findings_table([one, two]), 200).splitlines()
        self.assertEqual(head.split(), ["server", "what", "state", "since", "for", "another", "counts", "why"])
        for words in ("a  ", "open", "61.2 s", "3.0 s", "1 of 4 failed, 2 slow, opened 2 times", "9 of 10 failed"):
            self.assertIn(words, first)
        self.assertIn("3 failures in a row, 2 answers of 5xx in a row, ejected never", second)
        trying = {**one, "server": "", "worker": "worker 2", "state": "half-open", "trials": 1, "ended": 0, "slow": 0}
        gone = {
            **two,
            "worker": "worker 1",
            "state": "ejected",
            "kind": "latency",
            "reason": "took 1 s",
            "ejections": 1,
        }
        head, first, second = _shown(findings_table([trying, gone]), 200).splitlines()
        self.assertIn("found by", head)
        self.assertEqual(first.split()[:3], ["(all)", "worker", "2"])
        self.assertIn("1 trial left, opened 2 times", first)
        self.assertIn("latency: took 1 s", second)
        self.assertIn("ejected once", second)

    def test_packages(self) -> None:
        """The end of a long error is there too."""
        error = "broken does not import: ImportError: x (/usr/lib/python3/site-packages/broken/__init__.py line 12)"
        package = {"name": "balancer-broken", "version": "1.0", "offers": {}, "error": error}
        shown = _shown(packages_table([package]), 60)
        self.assertNotIn("…", shown)
        self.assertIn("12)", shown)

    def test_accounts(self) -> None:
        """A kind of two words keeps its line."""
        counts = {"calls": 10, "errors": 10, "overruns": 0, "skipped": 11, "tripped": True}
        shown = _shown(accounts_table([{"package": "x", "kind": "access log format", "name": "tsv", **counts}]))
        self.assertIn("access log format  ", shown)


class TerminalTests(SynchronousTestCase):
    def test_no_terminal(self) -> None:
        """Where the output is a file or a pipe, a line is as long as it must be."""
        self.patch(sys, "stdout", StringIO())
        self.patch(os, "environ", {})
        self.assertGreater(terminal().width, 1000)


class CertificatesTableTests(SynchronousTestCase):
    """Certificates of a listener."""

    def test_rows(self) -> None:
        """Days left, and what is wrong in the place of the end."""
        good = {
            "name": "a.pem",
            "kind": "rsa",
            "days": 80,
            "expires": "2026-01-01 00:00 UTC",
            "wrong": "",
            "stapled": True,
            "names": ["a.example", "b.example"],
        }
        bad = good | {"name": "b.pem", "days": -3, "wrong": "expired on 2020-01-01 00:00 UTC", "stapled": False}
        lines = _shown(certificates_table([good, bad]), 200).splitlines()
        self.assertRegex(lines[1], r"a\.pem +rsa +80 +2026-01-01 00:00 UTC +stapled +a\.example, b\.example")
        self.assertRegex(lines[2], r"b\.pem +rsa +-3 +expired on 2020-01-01 00:00 UTC +a\.example")
