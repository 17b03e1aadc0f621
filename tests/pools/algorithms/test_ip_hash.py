"""Tests of the IP hash."""

from __future__ import annotations

from twisted.trial.unittest import TestCase

from balancer.model.keys import Key
from balancer.pools.algorithms.ip_hash import IPHash
from tests.pools.algorithms.hashing_promises import Promises
from tests.pools.pieces import servers


class IPHashTests(Promises, TestCase):
    """By the remainder of the hashed address."""

    moved = 1.0  # it is not consistent, and says so
    golden = "dbcaecdbeeecedcdeaaabacadcdaeeebebdddecd"
    golden_weighted = "cccbccbcbccccbbccaccccbbccacccbcaccccbcb"

    def make(self) -> IPHash:
        """Return the algorithm."""
        return IPHash()

    def test_repr(self) -> None:
        """Operators see key and servers."""
        self.assertEqual(repr(self.made(servers("ab"))), "<IPHash of client_ip over 2>")
        self.assertEqual(self.make().key, Key("client_ip"))
