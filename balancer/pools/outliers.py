"""Passive detection: a server that fails real traffic is left out for a while.

::

    found to fail ──> ejected ──(time is up)──> back, on probation ──(a success)──> as before
                         ▲                             │
                         └──────── one failure ────────┘   twice as long as the last time

It is found to fail by one of four ways, the ``kinds``: ``failures`` in a row, ``consecutive_5xx``, and by comparison with the
others each interval, ``success_rate`` and ``latency``. (Only rows of failures lead to probation: who fails now and then is compared again.)

At most a share of the pool is ejected at a time, so a fault that is ours, or everybody's, does not empty the pool.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from balancer.pools.deviation import Deviation, least_value, most_value
from balancer.pools.events import ServerEjected, ServerReturned, ServerSuspected

if TYPE_CHECKING:
    from balancer.pools.pool import Pool
    from balancer.pools.server import Server

__all__ = ["KINDS", "Outliers", "Passive"]

KINDS = ("failures", "consecutive_5xx", "success_rate", "latency")
"""The ways to be found out."""


@dataclass(frozen=True, slots=True)
class Passive:
    """``failures`` in a row, all within ``window`` seconds, eject a server for ``eject`` seconds the first time, ``max_eject`` at most.

    ``max_ejected`` is the share of the pool's servers that may be ejected at a time, 0.0 to 1.0. ``consecutive_5xx``
    counts answers from 500 in a row; ``success_rate`` and ``latency`` compare servers every ``interval`` seconds; each None for no
    such detection. ``enforce`` has, by kind, the share of the findings that do eject; by default all.
    """

    failures: int = 5
    window: float = 30.0
    eject: float = 10.0
    max_ejected: float = 0.5
    max_eject: float = 300.0
    consecutive_5xx: int | None = None
    success_rate: Deviation | None = None
    latency: Deviation | None = None
    interval: float = 10.0
    enforce: Mapping[str, float] = field(default_factory=dict)

    @property
    def watches_all(self) -> bool:
        """Whether every exchange must be looked at, and not only failures."""
        return (self.consecutive_5xx, self.success_rate, self.latency) != (None, None, None)


class _Tally:
    """What one server did since the interval began, and how many answers from 500 in a row it gave."""

    __slots__ = ("ended", "failed", "in_row", "measured", "seconds")

    def __init__(self) -> None:
        self.in_row = 0
        self.clear()

    def clear(self) -> None:
        """Begin an interval."""
        self.ended = self.failed = self.measured = 0
        self.seconds = 0.0


class Outliers:
    """Ejects servers of ``pool`` and lets them return.

    ``found`` counts, by kind, how often one was found to fail, ``ejected`` how often that led to an ejection.
    """

    def __init__(self, settings: Passive, pool: Pool, clock: IReactorTime) -> None:
        self.settings = settings
        self.found = dict.fromkeys(KINDS, 0)
        self.ejected = dict.fromkeys(KINDS, 0)
        self._pool = pool
        self._clock = clock
        self._returns: dict[Server, IDelayedCall] = {}
        self._for: dict[Server, tuple[str, float]] = {}  # the kind for which it was ejected, and when
        self._tallies: dict[Server, _Tally] = {}
        self._comparison: IDelayedCall | None = None

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
        if server.failures_in_row >= settings.failures:
            what = "connecting failed" if connecting else "failed"
            if not self._find(server, "failures", f"{what}, {server.failures_in_row} in a row"):
                server.failures_in_row = 0

    def ended(self, server: Server, failed: bool, seconds: float) -> None:
        """Learn from an exchange or session; for those that ``watch all``.

        Args:
            server: where it was.
            failed: whether it failed, or was answered with a status from 500.
            seconds: to first byte; negative if there was none, which unless it failed says nothing.
        """
        if server.ejected or (not failed and seconds < 0.0):
            return
        tally = self._tallies.get(server)
        if tally is None:
            tally = self._tallies[server] = _Tally()
        tally.ended += 1
        if seconds >= 0.0:
            tally.measured += 1
            tally.seconds += seconds
        settings = self.settings
        if not failed:
            tally.in_row = 0
        else:
            tally.failed += 1
            tally.in_row += 1
            if settings.consecutive_5xx is not None and tally.in_row >= settings.consecutive_5xx:
                if not self._find(server, "consecutive_5xx", f"answered 5xx or not at all, {tally.in_row} in a row"):
                    tally.in_row = 0
                return
        if self._comparison is None and (settings.success_rate is not None or settings.latency is not None):
            self._comparison = self._clock.callLater(settings.interval, self._compare)

    def _compare(self) -> None:
        """An interval is over: eject those that did far worse than the others."""
        self._comparison = None
        settings, servers = self.settings, self._pool.servers
        if settings.success_rate is not None:
            wanted = settings.success_rate.min_requests
            rates = {
                server: 1.0 - tally.failed / tally.ended
                for server, tally in self._tallies.items()
                if server in servers and tally.ended >= wanted and not server.ejected
            }
            least = least_value(tuple(rates.values()), settings.success_rate)
            for server, rate in rates.items():
                if least is not None and rate < least:
                    self._find(server, "success_rate", f"{rate:.1%} went well, less than {least:.1%}")
        if settings.latency is not None:
            wanted = settings.latency.min_requests
            means = {
                server: tally.seconds / tally.measured
                for server, tally in self._tallies.items()
                if server in servers and tally.measured >= wanted and not server.ejected
            }
            most = most_value(tuple(means.values()), settings.latency)
            for server, mean in means.items():
                if most is not None and mean > most:
                    self._find(server, "latency", f"took {mean:.3g} s on average, more than {most:.3g} s")
        for tally in self._tallies.values():
            tally.clear()

    def _may_eject(self) -> bool:
        servers: Sequence[Server] = self._pool.servers
        ejected = sum(server.ejected for server in servers)
        return ejected + 1 <= self.settings.max_ejected * len(servers)

    def _find(self, server: Server, kind: str, reason: str) -> bool:
        """Eject ``server`` if that is allowed; False if it is not to be, though it might."""
        if not self._may_eject():
            return True
        self.found[kind] += 1
        share = self.settings.enforce.get(kind, 1.0)
        if share < 1.0 and self._pool.draw() >= share:
            self._pool.observe(ServerSuspected(self._pool.name, server.name, reason))
            return False
        self.ejected[kind] += 1
        now = self._clock.seconds()
        self._for[server] = kind, now
        self._eject(server, now, reason)
        return True

    def _eject(self, server: Server, now: float, reason: str) -> None:
        settings = self.settings
        quiet = int((now - server.returned) / settings.window)
        server.ejections = max(0, server.ejections - quiet) + 1
        seconds = min(settings.eject * 2.0 ** min(server.ejections - 1, 20), max(settings.max_eject, settings.eject))
        server.ejected_until = now + seconds
        server.reason = reason
        server.drop_idle()  # what is wrong may be wrong with them
        self._returns[server] = self._clock.callLater(seconds, self._return, server)
        self._pool.observe(ServerEjected(self._pool.name, server.name, reason, seconds))
        self._pool.refresh()

    def _return(self, server: Server) -> None:
        del self._returns[server]
        kind, _ = self._for.get(server, ("failures", 0.0))
        tally = self._forget(server)
        words = ""
        if kind == "failures":
            server.failures_in_row, words = max(0, self.settings.failures - 1), "on probation"
        elif kind == "consecutive_5xx" and tally is not None:
            tally.in_row, words = max(0, (self.settings.consecutive_5xx or 1) - 1), "on probation"
        self._pool.observe(ServerReturned(self._pool.name, server.name, words))
        self._pool.refresh()

    def _forget(self, server: Server) -> _Tally | None:
        """Let ``server`` be ejected no more, and have no failures; return its tally, if it has one."""
        self._for.pop(server, None)
        if server.ejected:
            server.ejected_until, server.reason = 0.0, ""
        server.returned = server.failures_since = self._clock.seconds()
        server.failures_in_row = 0
        tally = self._tallies.get(server)
        if tally is not None:
            tally.clear()
            tally.in_row = 0
        return tally

    def restore(self, server: Server, reason: str) -> bool:
        """Let ``server`` return now because of ``reason``, as one that has never been ejected; return whether it was."""
        call = self._returns.pop(server, None)
        if call is not None:
            call.cancel()
        was_ejected = server.ejected
        self._forget(server)
        server.ejections = 0
        if was_ejected:
            self._pool.observe(ServerReturned(self._pool.name, server.name, reason))
            self._pool.refresh()
        return was_ejected

    def report(self, server: Server) -> dict[str, Any]:
        """Return what is known of ``server`` as plain values: spans in seconds, ``failures`` and ``answered_5xx`` in a row."""
        now = self._clock.seconds()
        kind, since = self._for.get(server, ("", now))
        tally = self._tallies.get(server)
        return {
            "state": "ejected" if server.ejected else "in use",
            "kind": kind,
            "reason": server.reason if server.ejected else "",
            "since": now - since if server.ejected else None,
            "left": max(0.0, server.ejected_until - now) if server.ejected else None,
            "ejections": server.ejections,
            "failures": server.failures_in_row,
            "answered_5xx": 0 if tally is None else tally.in_row,
        }

    def take_over(self, old: Outliers | None) -> None:
        """Let the servers of the pool return that were ejected before they came to it; go on with the counts of ``old``."""
        now = self._clock.seconds()
        if old is not None:
            self.found, self.ejected, self._for = old.found, old.ejected, old._for
            servers = set(self._pool.servers)
            self._tallies = {server: tally for server, tally in old._tallies.items() if server in servers}
        for server in self._pool.servers:
            if server.ejected and server not in self._returns:
                left = max(0.0, server.ejected_until - now)
                self._returns[server] = self._clock.callLater(left, self._return, server)

    def stop(self) -> None:
        """Forget whom to let return: another will, or nobody needs to."""
        returns, self._returns = self._returns, {}
        for call in returns.values():
            call.cancel()
        if self._comparison is not None:
            self._comparison.cancel()
            self._comparison = None

    def __repr__(self) -> str:
        return f"<Outliers {len(self._returns)} ejected>"
