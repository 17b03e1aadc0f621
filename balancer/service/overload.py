"""Overload: the lag of the loop measured, who is turned away decided by it, both said to the operator.

The decision is :class:`~balancer.listeners.shedding.Shedding`, the measurement :class:`~balancer.net.lag.LoopLag`; this
joins them, and writes to the log when shedding begins and when it has been over for a while.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import accumulate
from typing import Any

from prometheus_client.metrics_core import HistogramMetricFamily, Metric
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from balancer.listeners.shedding import Shedding
from balancer.net.lag import BOUNDS, LoopLag
from balancer.observe.metrics import counter, gauge

__all__ = ["QUIET", "Overload"]

QUIET = 5.0
"""Seconds without shedding after which it is said to be over."""

_log = Logger()


class Overload:
    """One per service.

    Args:
        clock: the reactor.
        draw: returns a float in [0, 1).

    ``shedding`` is what listeners ask, ``lag`` what measures.
    """

    def __init__(self, clock: IReactorTime, draw: Callable[[], float]) -> None:
        self.shedding = Shedding(0.0, draw)
        self.lag = LoopLag(clock, self._measured)
        if hasattr(clock, "look_after_batches"):
            clock.look_after_batches(self.look)
        self._clock = clock
        self._began = 0.0
        self._last = 0.0
        self._turned_away = 0
        self._said = False

    def use(self, limit: float) -> None:
        """Shed from a lag of ``limit`` seconds on; 0: never."""
        self.shedding.limit = limit

    def look(self) -> None:
        """Measure in the middle of a turn, if it is too long already; cheap, for now and then."""
        limit = self.shedding.limit
        if limit:
            self.lag.look(limit)

    def _measured(self, lag: float) -> None:
        shedding = self.shedding
        shedding.measured(lag)
        if shedding.share:
            now = self._last = self._clock.seconds()
            if not self._said:
                self._said = True
                self._began = now
                self._turned_away = shedding.turned_away.total()
                _log.warn(
                    "overloaded: the event loop lags {lag} ms, more than {limit} ms; turning requests away",
                    lag=round(lag * 1000),
                    limit=round(shedding.limit * 1000),
                )
        elif self._said and self._clock.seconds() - self._last >= QUIET:
            self._said = False
            _log.info(
                "no longer overloaded: {count} turned away in {span} s",
                count=shedding.turned_away.total() - self._turned_away,
                span=f"{self._last - self._began:.1f}",
            )

    def report(self) -> dict[str, Any]:
        """Return the state as plain values: seconds, a share from 0 to 1, counts since the start."""
        shedding = self.shedding
        return {
            "lag": shedding.lag,
            "limit": shedding.limit,
            "share": shedding.share,
            "turned_away": dict(shedding.turned_away),
        }

    def metrics(self) -> Iterator[Metric]:
        """Yield what is true at the moment of a scrape."""
        lag = HistogramMetricFamily("balancer_loop_lag_seconds", "How late the event loop was, 20 times a second.")
        counts = accumulate(self.lag.buckets)
        lag.add_metric((), list(zip([*map(str, BOUNDS), "+Inf"], counts, strict=True)), self.lag.total)
        share = gauge("shedding_share", "Share of new requests, sessions and flows that is turned away now.", ())
        share.add_metric((), self.shedding.share)
        shed = counter("requests_shed", "Requests, sessions and flows turned away for overload.", ("listener",))
        for listener, count in self.shedding.turned_away.items():
            shed.add_metric((listener,), count)
        yield from (lag, share, shed)
