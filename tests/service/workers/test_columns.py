"""Which column stands for what."""

from __future__ import annotations

from twisted.trial.unittest import TestCase

from balancer.errors import BalancerError
from balancer.model.address import Address
from balancer.pools.server import Server
from balancer.service.workers.columns import EVERYTHING, Columns, listener_column, server_column


class ColumnsTests(TestCase):
    def setUp(self) -> None:
        self.totals: dict[int, int] = {}
        self.columns = Columns(4, lambda column: self.totals.get(column, 0))

    def test_stable(self) -> None:
        """What is named again has the column that it had."""
        first = self.columns.named(["a", "b"])
        self.assertEqual(first[EVERYTHING], 0)
        self.assertEqual(len(set(first.values())), 3)
        self.assertEqual(self.columns.named(["b", "a", "c"])["a"], first["a"])

    def test_used_again(self) -> None:
        """The column of what is gone is given anew, but not while connections still count there."""
        before = self.columns.named(["a", "b", "c"])
        self.columns.keep(self.columns.named([]))
        self.totals[before["b"]] = 1
        after = self.columns.named(["d", "e"])
        self.assertNotIn(before["b"], after.values())
        error = self.assertRaises(BalancerError, self.columns.named, ["f"])
        self.assertIn("too many", str(error))
        self.totals.clear()
        self.assertEqual(self.columns.named(["f"])["f"], before["b"])

    def test_renamed(self) -> None:
        """What has a new name keeps its column."""
        before = self.columns.named(["a"])["a"]
        self.columns.rename("a", "b")
        self.assertEqual(self.columns.named(["b"])["b"], before)

    def test_names(self) -> None:
        """Listeners and servers cannot be mistaken for each other."""
        server = Server(Address.parse("10.0.0.1:80"), "one")
        self.assertEqual(listener_column("web"), "listener web")
        self.assertEqual(server_column("web", server), "server web one 10.0.0.1:80")
