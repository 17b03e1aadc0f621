"""Shares traffic between pools by weight: at random, or so that the same key always gets the same pool.

Sticky choices use weighted rendezvous hashing (Schindelhauer and Schomaker, "Weighted Distributed Hash Tables",
2005): every pool is scored from a hash of the key and the pool's name, and the best score wins. All nodes agree
without talking, the order in the file does not matter, and when a weight grows keys move only *to* that pool. Two
routes that split between the same pools send the same key to the same pool.

What goes first, if the split has it: the pool that the request names itself (an override), the side that its cookie says, the key,
chance. The weights are the one thing that may change while a split is in use; everything looks at them anew for each request.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Mapping
from hashlib import blake2b
from itertools import accumulate
from math import log

from balancer.model.facts import RequestFacts
from balancer.model.keys import Key
from balancer.routing.canary import Canary, CanaryPlan
from balancer.routing.sides import Override, SideCookie

__all__ = ["Split"]

_SPAN = float(2**53)


class Split:
    """Pools with their weights, and the key that sticks to one of them (None: chance decides each time).

    A request that has no such key (no cookie yet) is decided by chance. A pool of weight 0 gets nothing but what asks for it by an override.
    ``weights`` are those in force, ``note`` says why they are not those of the file (``""``: they are).

    Args:
        weights: by pool.
        key: what sticks.
        side: a cookie that keeps clients on their side.
        override: by what requests choose their side.
        plan: of a canary, whose first step is in force to begin with.

    ``configured`` are the file's weights.

    Raises:
        ValueError: for no pools, a negative weight, or weights that are all 0.
    """

    __slots__ = (
        "_asks",
        "_bounds",
        "_names",
        "_salts",
        "_total",
        "configured",
        "key",
        "note",
        "override",
        "plan",
        "side",
        "weights",
    )

    def __init__(
        self,
        weights: Mapping[str, float],
        key: Key | None = None,
        *,
        side: SideCookie | None = None,
        override: Override | None = None,
        plan: CanaryPlan | None = None,
    ) -> None:
        self.key = key
        self.side = side
        self.override = override
        self._asks = side is not None or override is not None
        self.configured = dict(weights)
        self.plan = plan
        if plan is None:
            self.use(weights)
        else:
            self.use(plan.weights(weights, plan.steps[0]), Canary(plan, 0.0).note)

    def use(self, weights: Mapping[str, float], note: str = "") -> None:
        """Share by ``weights`` from now on; raises ValueError as the constructor does, and changes nothing then."""
        if any(weight < 0 for weight in weights.values()):
            raise ValueError("expected weights of 0 or more")
        used = {name: weight for name, weight in weights.items() if weight > 0}
        if not used:
            raise ValueError("expected at least one pool with a weight above 0")
        self.weights = dict(weights)
        self.note = note
        self._names = tuple(used)
        self._bounds = tuple(accumulate(used.values()))
        self._total = self._bounds[-1]
        self._salts = tuple((name, weight, name.encode() + b"\0") for name, weight in used.items())

    def choose(self, facts: RequestFacts, draw: Callable[[], float]) -> str:
        """Return the pool for this request; ``draw()`` returns a float in [0, 1)."""
        if self._asks:
            asked = self.asked_for(facts)
            if asked is not None:
                return asked[0]
        value = self.key.of(facts) if self.key is not None else None
        if value is not None:
            return self.sticky(value)
        at = bisect_right(self._bounds, draw() * self._total)
        return self._names[min(at, len(self._names) - 1)]

    def asked_for(self, facts: RequestFacts) -> tuple[str, str] | None:
        """Return the pool that the request itself asks for, by an override or its cookie, and by what; None if it does not."""
        found = self.override.pool_of(facts, self.weights) if self.override is not None else None
        if found is not None:
            return found[0], f"overridden by {found[1]}"
        if self.side is not None:
            pool = self.side.pool_of(facts)
            if pool is not None and self.weights[pool] > 0:
                return pool, f"kept by cookie {self.side.name}"
        return None

    def kept(self, facts: RequestFacts, pool: str) -> tuple[tuple[bytes, bytes], ...]:
        """Return the fields to add to the answer of ``pool``, so that the client comes back to it; none where the request chose it itself."""
        side = self.side
        if side is None or (self.override is not None and self.override.pool_of(facts, self.weights) is not None):
            return ()
        return side.response_headers(facts, pool)

    def why(self, facts: RequestFacts) -> str:
        """Return what settles the pool for this request: an override, a cookie, the key, or chance."""
        asked = self.asked_for(facts) if self._asks else None
        if asked is not None:
            return asked[1]
        if self.key is not None and self.key.of(facts) is not None:
            return f"by key {self.key}"
        return f"by chance, without {self.key}" if self.key is not None else "by chance"

    @property
    def shares(self) -> dict[str, float]:
        """What each pool gets, in percent."""
        return {name: 100 * weight / self._total for name, weight in self.weights.items()}

    def sticky(self, value: bytes) -> str:
        """Return the pool that ``value`` always gets."""
        best, chosen = float("inf"), ""
        for name, weight, salt in self._salts:
            point = int.from_bytes(blake2b(salt + value, digest_size=8).digest(), "big") >> 11
            score = -log((point + 0.5) / _SPAN) / weight
            if score < best or (score == best and name < chosen):
                best, chosen = score, name
        return chosen

    def __repr__(self) -> str:
        shares = ", ".join(f"{name}: {weight:g}" for name, weight in self.weights.items())
        keeping = f" by {self.key}" if self.key is not None else ""
        return f"<Split {shares}{keeping}{f' ({self.note})' if self.note else ''}>"
