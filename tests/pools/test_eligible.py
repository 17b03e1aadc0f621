"""Tests of which servers may be used."""

from __future__ import annotations

from twisted.trial.unittest import TestCase

from balancer.pools.eligible import eligible
from tests.pools.pieces import server, servers


class EligibleTests(TestCase):
    """A pure look at the servers."""

    def names(self, members: list, panic: bool = True) -> tuple[str, bool]:
        """The names of those that may be used, and whether that is in panic."""
        found, panicking = eligible(members, panic)
        return "".join(one.name for one in found), panicking

    def test_well(self) -> None:
        """Those that are well are used, backups not."""
        members = [*servers("abc"), server("x", backup=True)]
        members[0].healthy = False
        self.assertEqual(self.names(members), ("bc", False))

    def test_backups(self) -> None:
        """Backups are used when no other can be."""
        members = [*servers("a"), server("x", backup=True)]
        members[0].ejected_until = 1.0
        self.assertEqual(self.names(members), ("x", False))

    def test_panic(self) -> None:
        """When none is well, all are used but those that must not be."""
        members = servers("abcde")
        for one in members:
            one.healthy = False
        members[1].draining = True
        members[2].tripped = "5 of 5 failed"
        members[3].endpoints = ()
        members[4].disabled = True
        self.assertEqual(self.names(members), ("a", True))
        self.assertEqual(self.names(members, panic=False), ("", False))

    def test_nobody(self) -> None:
        """A panic that finds nobody is none."""
        self.assertEqual(self.names([server("a", 0)]), ("", False))
