"""The terms on which exchanges are brought to the servers of a pool: how long they may take, and how often they may be tried.

A pool has its own; a route may have others with the same pool, made once when the configuration is built. What is counted for the
budgets is the pool's, whichever route it comes from.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Protocol

from balancer.pools.hedging import Hedging
from balancer.pools.retry import RetryPolicy
from balancer.pools.timeouts import PoolTimeouts

__all__ = ["Cancellable", "Later", "Terms"]


class Cancellable(Protocol):
    """What is waited for."""

    def cancel(self) -> None:
        """Wait no more; for what has not come yet."""


Later = Callable[[float, Callable[[], None]], Cancellable]
"""``later(seconds, call)``: calls ``call()`` after so many seconds."""


@dataclass(frozen=True, slots=True)
class Terms:
    """How the exchanges of a route with a pool are handled; ``hedge`` is when they are sent to a second server, None: never.

    ``said`` tells where a term comes from that is not the default: ``"pool"`` or ``"route"``, by its name (``"timeouts.request"``).
    """

    timeouts: PoolTimeouts
    retry: RetryPolicy
    later: Later
    hedge: Hedging | None = None
    said: Mapping[str, str] = field(default_factory=dict)

    @property
    def limited(self) -> bool:
        """Whether the exchange as a whole, or an attempt, may last so long only."""
        return bool(self.timeouts.request or self.timeouts.per_try)

    def describe(self) -> dict[str, dict[str, Any]]:
        """Return each term with its value and where it comes from, as ``balancer explain`` shows them."""
        found = {
            f"timeouts.{each.name}": value if (value := getattr(self.timeouts, each.name)) else None
            for each in fields(self.timeouts)
        }
        found |= {f"retry.{name}": value for name, value in self.retry.settings.describe().items()}
        if self.hedge is not None:
            found |= {f"hedge.{name}": value for name, value in self.hedge.settings.describe().items()}
        return {name: {"value": value, "from": self.said.get(name, "default")} for name, value in found.items()}
