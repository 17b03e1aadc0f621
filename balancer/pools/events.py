"""What happened to servers and pools: frozen values in the past tense, given to a pool's observer.

Each has the names of its pool and server and says in ``str()`` what an operator reads in the log.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

__all__ = [
    "BreakerClosed",
    "BreakerHalfOpened",
    "BreakerOpened",
    "NameDidNotResolve",
    "NameResolved",
    "Observer",
    "PanicBegan",
    "PanicEnded",
    "PoolEvent",
    "ServerCameUp",
    "ServerDisabled",
    "ServerDrained",
    "ServerEjected",
    "ServerEnabled",
    "ServerReturned",
    "ServerSuspected",
    "ServerUndrained",
    "ServerWentDown",
    "unobserved",
]


@dataclass(frozen=True, slots=True)
class PoolEvent:
    """Something happened in ``pool`` to ``server`` (``""``: to the pool itself); ``reason`` says why."""

    kind: ClassVar[str] = "pool_event"
    pool: str
    server: str = ""
    reason: str = ""

    def __str__(self) -> str:
        about = f"server {self.server} of pool {self.pool}" if self.server else f"pool {self.pool}"
        words = f"{about} {self._words()}"
        return f"{words}: {self.reason}" if self.reason else words

    def _words(self) -> str:
        return self.kind.partition("_")[2].replace("_", " ")


@dataclass(frozen=True, slots=True)
class ServerWentDown(PoolEvent):
    """Probes took the server out."""

    kind: ClassVar[str] = "server_went_down"


@dataclass(frozen=True, slots=True)
class ServerCameUp(PoolEvent):
    """Probes brought the server back."""

    kind: ClassVar[str] = "server_came_up"


@dataclass(frozen=True, slots=True)
class ServerEjected(PoolEvent):
    """The server failed real traffic and is left out for ``seconds``."""

    kind: ClassVar[str] = "server_ejected"
    seconds: float = 0.0

    def _words(self) -> str:
        return f"was ejected for {self.seconds:g} s"


@dataclass(frozen=True, slots=True)
class ServerSuspected(PoolEvent):
    """The server was found to fail, and is used all the same: that kind of finding is not enforced."""

    kind: ClassVar[str] = "server_suspected"

    def _words(self) -> str:
        return "is an outlier (not enforced)"


@dataclass(frozen=True, slots=True)
class ServerReturned(PoolEvent):
    """An ejected server takes traffic again."""

    kind: ClassVar[str] = "server_returned"


@dataclass(frozen=True, slots=True)
class ServerDrained(PoolEvent):
    """An operator asked that the server take no new clients."""

    kind: ClassVar[str] = "server_drained"

    def _words(self) -> str:
        return "is draining"


@dataclass(frozen=True, slots=True)
class ServerUndrained(PoolEvent):
    """An operator asked that the server take new clients again."""

    kind: ClassVar[str] = "server_undrained"

    def _words(self) -> str:
        return "takes new clients again"


@dataclass(frozen=True, slots=True)
class ServerDisabled(PoolEvent):
    """An operator asked that the server get nothing new."""

    kind: ClassVar[str] = "server_disabled"

    def _words(self) -> str:
        return "is disabled"


@dataclass(frozen=True, slots=True)
class ServerEnabled(PoolEvent):
    """An operator asked that the server be used again."""

    kind: ClassVar[str] = "server_enabled"

    def _words(self) -> str:
        return "is enabled again"


@dataclass(frozen=True, slots=True)
class BreakerOpened(PoolEvent):
    """Too much failed, or was slow: nothing goes there for ``seconds``."""

    kind: ClassVar[str] = "breaker_opened"
    seconds: float = 0.0

    def _words(self) -> str:
        return f"is cut off by its breaker for {self.seconds:.3g} s"


@dataclass(frozen=True, slots=True)
class BreakerHalfOpened(PoolEvent):
    """The breaker lets a few trials pass."""

    kind: ClassVar[str] = "breaker_half_opened"

    def _words(self) -> str:
        return "is tried by its breaker"


@dataclass(frozen=True, slots=True)
class BreakerClosed(PoolEvent):
    """The trials went well: everything passes again."""

    kind: ClassVar[str] = "breaker_closed"

    def _words(self) -> str:
        return "is trusted by its breaker again"


@dataclass(frozen=True, slots=True)
class NameResolved(PoolEvent):
    """The server's name has new addresses, listed in ``reason``."""

    kind: ClassVar[str] = "name_resolved"

    def _words(self) -> str:
        return "resolves to"


@dataclass(frozen=True, slots=True)
class NameDidNotResolve(PoolEvent):
    """The server's name could not be resolved."""

    kind: ClassVar[str] = "name_did_not_resolve"

    def _words(self) -> str:
        return "has a name that does not resolve"


@dataclass(frozen=True, slots=True)
class PanicBegan(PoolEvent):
    """No server of the pool is well, and so all of them are used."""

    kind: ClassVar[str] = "panic_began"

    def _words(self) -> str:
        return "has no healthy server and uses all of them"


@dataclass(frozen=True, slots=True)
class PanicEnded(PoolEvent):
    """A server of the pool is well again."""

    kind: ClassVar[str] = "panic_ended"

    def _words(self) -> str:
        return "has a healthy server again"


def unobserved(event: PoolEvent) -> None:
    """What is told of events if nobody listens."""


Observer = Callable[[PoolEvent], None]
"""Is told of each event, at once; must not raise."""
