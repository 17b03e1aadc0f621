"""Tests of what the hashing algorithms share."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from twisted.trial.unittest import TestCase

from balancer.hooks.interfaces import Choice
from balancer.model.keys import Key
from balancer.pools.algorithms.hashing import BoundedSettings, HashSettings, hash64
from balancer.pools.algorithms.maglev import Maglev, MaglevSettings
from balancer.pools.algorithms.rendezvous import Rendezvous
from balancer.pools.algorithms.ring_hash import RingHash, RingHashSettings
from tests.pools.pieces import first, keys, never, order, servers


class Hash64Tests(TestCase):
    """The hash behind all of them."""

    def test_golden(self) -> None:
        """It never changes: BLAKE2b of 8 bytes, as a number."""
        self.assertEqual(hash64(b""), 0xE4A6A0577479B2B4)
        self.assertEqual(hash64(b"10.0.0.1"), 6021020536128996326)


class SettingsTests(TestCase):
    """What may be configured."""

    def test_key(self) -> None:
        """The key is the client's address unless another fact is named."""
        self.assertEqual(HashSettings().key, Key("client_ip"))
        self.assertEqual(HashSettings.model_validate({"key": {"header": "X-User"}}).key, Key("header", "X-User"))

    def test_bound(self) -> None:
        """A bound of 1 or less cannot be met, and is refused."""
        self.assertEqual(BoundedSettings(bounded_load=1.25).bounded_load, 1.25)
        for wrong in (1, 0.5, -1, float("nan"), float("inf"), "much"):
            with self.assertRaises(ValidationError):
                BoundedSettings.model_validate({"bounded_load": wrong})


class BoundedLoadTests(TestCase):
    """No server has much more than its fair share of what is in flight."""

    def made(self, bound: float = 1.25) -> tuple[Maglev, Rendezvous, RingHash]:
        """The algorithms that can be bounded."""
        return (
            Maglev(MaglevSettings(bounded_load=bound, table_size=5003)),
            Rendezvous(BoundedSettings(bounded_load=bound)),
            RingHash(RingHashSettings(bounded_load=bound)),
        )

    def test_idle(self) -> None:
        """While loads are even, nothing differs from the plain hash."""
        for bounded in self.made():
            plain = type(bounded)()
            if isinstance(plain, Maglev):
                plain = Maglev(MaglevSettings(table_size=5003))
            for algorithm in (plain, bounded):
                algorithm.prepare(servers("abcd"))
            for key in keys(50):
                self.assertEqual(order(plain, key), order(bounded, key))

    def test_one_hot_key(self) -> None:
        """A key that everybody asks for is spread over as many servers as needed."""
        for algorithm in self.made():
            members = servers("abcd")
            algorithm.prepare(members)
            for _ in range(100):
                next(iter(algorithm.candidates(Choice(b"hot", never, 0.0)))).active += 1
            self.assertLessEqual(max(member.active for member in members), 32)  # 1.25 * 100 / 4, rounded up

    def test_next_in_order(self) -> None:
        """The loaded server's keys go to the one that would take over from it, and it comes last."""
        for algorithm in self.made():
            members = {member.name: member for member in servers("abcd")}
            algorithm.prepare(list(members.values()))
            before = order(algorithm, b"k")
            members[before[0]].active = 10
            self.assertEqual(order(algorithm, b"k"), [*before[1:], before[0]])

    def test_weights(self) -> None:
        """The share of a heavier server is larger."""
        for algorithm in self.made():
            members = servers([1, 3])
            algorithm.prepare(members)
            members[0].active, members[1].active = 25, 75
            for key in keys(20):
                self.assertEqual(len(order(algorithm, key)), 2)
            members[0].active, members[1].active = 45, 55
            self.assertEqual({first(algorithm, key) for key in keys(50)}, {"s1"})

    def test_down_servers_have_no_share(self) -> None:
        """Where half the servers are down, the others carry twice as much, evenly."""
        for algorithm in self.made():
            members = servers("abcd")
            algorithm.prepare(members)
            members[2].open = members[3].open = False
            for _ in range(100):
                next(one for one in algorithm.candidates(Choice(b"hot", never, 0.0)) if one.open).active += 1
            self.assertLessEqual(max(member.active for member in members), 63)

    def test_repr(self) -> None:
        """Operators see the key and the bound."""
        self.assertEqual(
            [repr(algorithm) for algorithm in self.made()],
            [
                "<Maglev of client_ip over 0 bounded by 1.25>",
                "<Rendezvous of client_ip over 0 bounded by 1.25>",
                "<RingHash of client_ip over 0 bounded by 1.25>",
            ],
        )

    @settings(max_examples=20, deadline=None)
    @given(st.lists(st.integers(1, 5), min_size=2, max_size=6), st.floats(1.05, 3.0), st.integers(1, 200))
    def test_never_above(self, weights: list[int], bound: float, count: int) -> None:
        """However keys fall, no server exceeds its share by more than the bound (and one, for rounding)."""
        for algorithm in self.made(bound):
            members = servers(weights)
            algorithm.prepare(members)
            for number in range(count):
                key = b"hot" if number % 2 else str(number).encode()
                next(iter(algorithm.candidates(Choice(key, never, 0.0)))).active += 1
            for member in members:
                self.assertLessEqual(member.active, bound * count * member.weight / sum(weights) + 1)


_EVERY = """
from hashlib import sha256
from balancer.pools.algorithms.ip_hash import IPHash
from balancer.pools.algorithms.maglev import Maglev
from balancer.pools.algorithms.rendezvous import Rendezvous
from balancer.pools.algorithms.ring_hash import RingHash
from tests.pools.pieces import first, keys, servers

def found(names):
    digest = sha256()
    for algorithm in (IPHash(), Maglev(), Rendezvous(), RingHash()):
        algorithm.prepare(servers(names))
        digest.update("".join(first(algorithm, key) for key in keys(25_000)).encode())
    return digest.hexdigest()
"""


class ProcessTests(TestCase):
    """Nothing depends on the process."""

    def test_other_processes_agree(self) -> None:
        """Another process, with another seed for its hashes, and its servers in another order, sends 100,000 keys where this one does."""
        known: dict[str, Any] = {}
        exec(_EVERY, known)  # noqa: S102 - the very code that the others run
        ours = known["found"]("abcdefg")
        for seed in ("1", "2"):
            run = subprocess.run(
                [sys.executable, "-c", f"{_EVERY}\nprint(found('gbdcafe'))"],
                capture_output=True,
                text=True,
                check=True,
                env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": os.pathsep.join(sys.path)},
            )
            self.assertEqual(run.stdout.strip(), ours)
