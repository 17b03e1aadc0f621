"""What every hashing algorithm promises, as a mix-in for their tests."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import TestCase
from zope.interface.verify import verifyObject

from balancer.hooks.interfaces import IAlgorithm
from balancer.model.keys import Key
from balancer.pools.server import Server
from tests.pools.pieces import draws, first, key_shares, keys, order, server, servers, shares

_KEYS = keys(3000)
_WEIGHTS = st.lists(st.integers(1, 9), min_size=2, max_size=8)
_QUICK = settings(max_examples=15, deadline=None)


# Not a TestCase itself, or trial would run it wherever it is imported.
_Base = TestCase if TYPE_CHECKING else object


class Promises(_Base):
    """Mix-in for the tests of hashing algorithms, which set what is theirs.

    ``tolerance`` is how far a share may be from its weight's; ``moved`` what part of the keys of other servers may move
    when a server leaves; ``golden`` the servers of some keys, which may never change.
    """

    tolerance = 0.05
    moved = 0.0
    golden = ""
    golden_weighted = ""

    def make(self) -> Any:
        """Return the algorithm with its default settings."""
        raise NotImplementedError

    def make_even(self) -> Any:
        """Return the algorithm with the settings that make it as even as it can be."""
        return self.make()

    def made(self, members: Sequence[Server]) -> Any:
        """Return the algorithm, prepared."""
        algorithm = self.make()
        algorithm.prepare(members)
        return algorithm

    def test_contract(self) -> None:
        """It is an algorithm that wants to know all servers, and hashes the client's address by default."""
        verifyObject(IAlgorithm, self.make())
        self.assertTrue(self.make().stable)
        self.assertEqual(self.make().key, Key("client_ip"))

    def test_golden(self) -> None:
        """These keys have led to these servers since the first release: on every node and version."""
        algorithm = self.made(servers("abcde"))
        self.assertEqual("".join(first(algorithm, key) for key in keys(40)), self.golden)
        algorithm = self.made([server("a", 1), server("b", 2), server("c", 5)])
        self.assertEqual("".join(first(algorithm, key) for key in keys(40)), self.golden_weighted)

    def test_order_does_not_matter(self) -> None:
        """Servers are known by name, wherever they stand in the configuration."""
        one, other = self.made(servers("abcde")), self.made(servers("ecadb"))
        for key in keys(200):
            self.assertEqual(order(one, key), order(other, key))

    def test_without_the_key(self) -> None:
        """Requests without the key, or with an empty one, are spread at random by weight."""
        algorithm = self.made([server("a", 1), server("b", 3)])
        for key in (None, b""):
            found = shares(algorithm, 2000, key=key, draw=draws())
            self.assertApproximates(found["b"] / 2000, 0.75, 0.05)

    def test_few_servers(self) -> None:
        """None or one need no hash."""
        self.assertEqual(order(self.made([]), b"k"), [])
        self.assertEqual(order(self.made(servers("a")), b"k"), ["a"])

    def test_health_is_not_its_business(self) -> None:
        """A server that is down is a candidate still, so that its keys find it when it is back."""
        members = servers("abc")
        before = self.made(members)
        members[1].open = False
        after = self.made(members)
        for key in keys(100):
            self.assertEqual(order(before, key), order(after, key))

    def test_down_spreads_over_all(self) -> None:
        """The second candidates of one server's keys are all the others, evenly."""
        algorithm = self.made(servers("abcdef"))
        seconds = [names[1] for names in (order(algorithm, key) for key in _KEYS) if names[0] == "a"]
        for other in "bcdef":
            self.assertApproximates(seconds.count(other) / len(seconds), 0.2, 0.1)

    # The properties are functions inside, because Hypothesis wants one class for each property.

    def test_shares(self) -> None:
        """Each server gets its weight's share of the keys."""

        @_QUICK
        @given(_WEIGHTS)
        def holds(weights: list[int]) -> None:
            found = key_shares(self.made(servers(weights)), _KEYS)
            for index, weight in enumerate(weights):
                self.assertApproximates(found[f"s{index}"] / len(_KEYS), weight / sum(weights), self.tolerance)

        holds()

    def test_a_hundred_thousand_clients(self) -> None:
        """Each server's share is within one percent of all, as far as the algorithm can be made that even."""
        weights = [1, 2, 3, 4]
        algorithm = self.make_even()
        algorithm.prepare(servers(weights))
        found = key_shares(algorithm, keys(100_000))
        for index, weight in enumerate(weights):
            self.assertApproximates(found[f"s{index}"] / 100_000, weight / 10, 0.01)

    def test_disruption(self) -> None:
        """When a server leaves, (nearly) all keys of the others stay where they were."""

        @_QUICK
        @given(_WEIGHTS, st.data())
        def holds(weights: list[int], data: st.DataObject) -> None:
            members = servers([*weights, 3])
            gone = data.draw(st.sampled_from(members))
            before = self.made(members)
            after = self.made([member for member in members if member is not gone])
            stayed = [key for key in _KEYS if first(before, key) != gone.name]
            moved = sum(first(before, key) != first(after, key) for key in stayed)
            self.assertLessEqual(moved / max(1, len(stayed)), self.moved)

        holds()

    def test_each_once(self) -> None:
        """Every server with a weight is a candidate, exactly once."""

        @_QUICK
        @given(st.lists(st.integers(0, 5), max_size=8), st.binary(min_size=1, max_size=40))
        def holds(weights: list[int], key: bytes) -> None:
            found = order(self.made(servers(weights)), key)
            self.assertCountEqual(found, [f"s{index}" for index, weight in enumerate(weights) if weight])

        holds()
