"""Active health checks: each server is asked regularly whether it is well.

One probe of a server at a time; the next begins an interval (varied by the jitter, so that balancers and servers do not
fall into step) after the last began, never before it has ended. ``rise`` good answers in a row bring a server up,
``fall`` bad ones take it down; the very first answer decides alone. Until then a server counts as well.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from balancer.model.units import counted
from balancer.pools.dialing import Connect, dial, is_ours
from balancer.pools.server import Server

__all__ = ["HealthChecks", "HealthSettings", "Verdict"]

_log = Logger()

_SOON = 1.0
"""Seconds within which every server is asked for the first time."""

Verdict = Callable[[Server, bool, str], None]
"""``verdict(server, well, reason)``: told when a server comes up or goes down."""


@dataclass(frozen=True, slots=True)
class HealthSettings:
    """Times in seconds; ``jitter`` is the share of the interval by which it is varied, up and down."""

    interval: float = 5.0
    timeout: float = 2.0
    rise: int = 2
    fall: int = 3
    jitter: float = 0.2


class HealthChecks:
    """Probes servers.

    Args:
        settings: how often, how long.
        probe: an ``IProbe``.
        clock: the reactor's.
        draw: returns a float in [0, 1).
        verdict: is told when a server comes up or goes down; ``server.healthy`` is set already.
    """

    def __init__(
        self,
        settings: HealthSettings,
        probe: Any,
        clock: IReactorTime,
        draw: Callable[[], float],
        verdict: Verdict,
    ) -> None:
        self.settings = settings
        self.probe = probe
        self.clock = clock
        self.draw = draw
        self.verdict = verdict
        self._watches: list[_Watch] = []

    def start(self, servers: Sequence[Server], connect: Connect) -> None:
        """Begin to probe ``servers``, each at its own time within the first second or interval."""
        self._watches = [_Watch(self, server, connect) for server in servers]
        for watch in self._watches:
            watch.start()

    def stop(self) -> None:
        """Cancel the probes that are under way, and begin no more."""
        watches, self._watches = self._watches, []
        for watch in watches:
            watch.stop()

    def __repr__(self) -> str:
        return f"<HealthChecks of {counted(len(self._watches), 'server')} every {self.settings.interval:g} s>"


class _Watch:
    """The probes of one server, one after another."""

    def __init__(self, checks: HealthChecks, server: Server, connect: Connect) -> None:
        self._checks = checks
        self._server = server
        self._connect = connect
        self._in_row = 0  # answers that contradict the present state
        self._next: IDelayedCall | None = None
        self._limit: IDelayedCall | None = None
        self._asking: Deferred[str] | None = None
        self._asked = 0.0

    def start(self) -> None:
        checks = self._checks
        first = checks.draw() * min(checks.settings.interval, _SOON)
        self._next = checks.clock.callLater(first, self._ask)

    def stop(self) -> None:
        for call in (self._next, self._limit):
            if call is not None:
                call.cancel()
        self._next = self._limit = None
        asking, self._asking = self._asking, None
        if asking is not None:
            _cancel(asking)

    def _ask(self) -> None:
        checks = self._checks
        settings = checks.settings
        self._asked = checks.clock.seconds()
        self._next = None
        if not self._server.endpoints:  # nowhere to ask; the resolver has taken it out
            self._schedule()
            return
        self._limit = checks.clock.callLater(settings.timeout, self._too_late)
        # Whoever gave up an answer no longer wants it, whenever it comes.
        asking = self._asking = maybeDeferred(checks.probe.probe, self._dial, self._server)
        asking.addCallbacks(self._well, self._ill, callbackArgs=(asking,), errbackArgs=(asking,))

    def _dial(self, protocol: Any) -> Deferred[Any]:
        server, connect = self._server, self._connect
        if server.encryption is not None:
            # A probe of HTTP/1.1 must not have HTTP/2 agreed on.
            offered = tuple(name for name in server.encryption.settings.alpn if name != "h2")
            connect = server.encryption.over(
                connect, server.address.host, ("h2",) if server.protocol == "h2" else offered
            )
        return dial(connect, server, protocol, self._checks.settings.timeout)

    def _well(self, words: str, asked: Deferred[str]) -> None:
        if self._asking is asked:
            self._answered(True, str(words))

    def _ill(self, failure: Failure, asked: Deferred[str]) -> None:
        if self._asking is not asked:
            return
        if is_ours(failure):
            _log.warn("{server} could not be probed: {why}", server=self._server.name, why=failure.getErrorMessage())
            self._ended()
        else:
            self._answered(False, failure.getErrorMessage() or type(failure.value).__name__)

    def _too_late(self) -> None:
        self._limit = None
        asking, self._asking = self._asking, None
        if asking is not None:
            _cancel(asking)
        self._answered(False, f"no answer within {self._checks.settings.timeout:g} s")

    def _ended(self) -> None:
        self._asking = None
        if self._limit is not None:
            self._limit.cancel()
            self._limit = None
        self._schedule()

    def _answered(self, well: bool, reason: str) -> None:
        self._ended()
        server, settings = self._server, self._checks.settings
        first, server.probed = not server.probed, True
        if well == server.healthy:
            self._in_row = 0
            return
        self._in_row += 1
        if first or self._in_row >= (settings.rise if well else settings.fall):
            self._in_row = 0
            server.healthy = well
            server.reason = "" if well else reason
            if not well:
                server.drop_idle()  # once it is back they may lead to what is no more
            self._checks.verdict(server, well, reason)

    def _schedule(self) -> None:
        checks = self._checks
        settings = checks.settings
        interval = settings.interval * (1.0 + settings.jitter * (2.0 * checks.draw() - 1.0))
        self._next = checks.clock.callLater(
            max(0.0, self._asked + interval - checks.clock.seconds()),
            self._ask,
        )


def _cancel(asking: Deferred[str]) -> None:
    try:
        asking.cancel()
    except Exception:  # a plug-in's canceller
        _log.failure("a probe could not be cancelled")
