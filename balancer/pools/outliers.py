"""Passive detection: a server that fails real traffic is left out for a while.

::

    failures in a row reach the limit ──> ejected ──(time is up)──> back, on probation ──(a success)──> as before
                                             ▲                             │
                                             └──────── one failure ────────┘   twice as long as the last time

At most a share of the pool is ejected at a time, so a fault that is ours, or everybody's, does not empty the pool.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from balancer.pools.events import ServerEjected, ServerReturned

if TYPE_CHECKING:
    from balancer.pools.pool import Pool
    from balancer.pools.server import Server

__all__ = ["Outliers", "Passive"]

_LONGEST = 300.0
"""Seconds to which repeated ejections grow, unless the first is longer already."""


@dataclass(frozen=True, slots=True)
class Passive:
    """``failures`` in a row, all within ``window`` seconds, eject a server for ``eject`` seconds the first time.

    ``max_ejected`` is the share of the pool's servers that may be ejected at a time, 0.0 to 1.0.
    """

    failures: int = 5
    window: float = 30.0
    eject: float = 10.0
    max_ejected: float = 0.5


class Outliers:
    """Ejects servers of ``pool`` and lets them return."""

    def __init__(self, settings: Passive, pool: Pool, clock: IReactorTime) -> None:
        self.settings = settings
        self._pool = pool
        self._clock = clock
        self._returns: dict[Server, IDelayedCall] = {}

    def failed(self, server: Server, connecting: bool) -> None:
        """Count one more failure in a row on ``server``; eject it if that is enough."""
        if server.ejected:
            return  # what was in flight when it was ejected says nothing new
        settings = self.settings
        now = self._clock.seconds()
        if server.failures_in_row and now - server.failures_since > settings.window:
            server.failures_in_row = 0
        if not server.failures_in_row:
            server.failures_since = now
        server.failures_in_row += 1
        if server.failures_in_row >= settings.failures and self._may_eject():
            what = "connecting failed" if connecting else "failed"
            self._eject(server, now, f"{what}, {server.failures_in_row} in a row")

    def _may_eject(self) -> bool:
        servers: Sequence[Server] = self._pool.servers
        ejected = sum(server.ejected for server in servers)
        return ejected + 1 <= self.settings.max_ejected * len(servers)

    def _eject(self, server: Server, now: float, reason: str) -> None:
        settings = self.settings
        quiet = int((now - server.returned) / settings.window)
        server.ejections = max(0, server.ejections - quiet) + 1
        seconds = min(settings.eject * 2.0 ** min(server.ejections - 1, 20), max(_LONGEST, settings.eject))
        server.ejected_until = now + seconds
        server.reason = reason
        self._returns[server] = self._clock.callLater(seconds, self._return, server)
        self._pool.observe(ServerEjected(self._pool.name, server.name, reason, seconds))
        self._pool.refresh()

    def _return(self, server: Server) -> None:
        del self._returns[server]
        server.ejected_until = 0.0
        server.reason = ""
        server.returned = server.failures_since = self._clock.seconds()
        server.failures_in_row = max(0, self.settings.failures - 1)  # on probation
        self._pool.observe(ServerReturned(self._pool.name, server.name, "on probation"))
        self._pool.refresh()

    def take_over(self) -> None:
        """Let the servers of the pool return that were ejected before they came to it."""
        now = self._clock.seconds()
        for server in self._pool.servers:
            if server.ejected and server not in self._returns:
                left = max(0.0, server.ejected_until - now)
                self._returns[server] = self._clock.callLater(left, self._return, server)

    def stop(self) -> None:
        """Forget whom to let return: another will, or nobody needs to."""
        returns, self._returns = self._returns, {}
        for call in returns.values():
            call.cancel()

    def __repr__(self) -> str:
        return f"<Outliers {len(self._returns)} ejected>"
