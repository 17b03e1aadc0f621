"""Metrics of WebSockets: a connection may last for days, so those that are open count as well as those that have ended."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric

from balancer.model.frames import FrameCounts, WebSocketRecord
from balancer.observe.records import ExchangeRecord

__all__ = ["WebSocketMeter"]

_Where = tuple[str, str, str]
"""Listener, route, pool."""
_LABELS = ("listener", "route", "pool")


class _Sums:
    """What has gone through the WebSockets of one place."""

    __slots__ = ("closed", "frames", "messages", "open", "pings", "violations")

    def __init__(self) -> None:
        self.open = 0
        self.pings = 0
        self.frames: dict[tuple[str, str], int] = {}
        self.messages = {"in": 0, "out": 0}
        self.violations = {"in": 0, "out": 0}
        self.closed: dict[tuple[str, int], int] = {}

    def add(self, counts: WebSocketRecord) -> None:
        self.pings += counts.pings
        self._add("in", counts.received)
        self._add("out", counts.sent)

    def _add(self, direction: str, counts: FrameCounts) -> None:
        for kind, count in counts.kinds():
            self.frames[direction, kind] = self.frames.get((direction, kind), 0) + count
        self.messages[direction] += counts.messages
        self.violations[direction] += counts.violations

    def plus(self, open_now: list[WebSocketRecord]) -> _Sums:
        """Return these with those of the open ones."""
        total = _Sums()
        total.open = len(open_now)
        total.pings = self.pings
        total.frames = dict(self.frames)
        total.messages = dict(self.messages)
        total.violations = dict(self.violations)
        total.closed = self.closed
        for counts in open_now:
            total.add(counts)
        return total


class WebSocketMeter:
    """Knows every WebSocket that is open, and sums up those that were."""

    def __init__(self) -> None:
        self._open: dict[WebSocketRecord, _Where] = {}
        self._sums: dict[_Where, _Sums] = {}

    def opened(self, listener: str, record: ExchangeRecord, counts: WebSocketRecord) -> None:
        """Count ``counts``, which go on growing, with those of the listener and of the exchange's route and pool."""
        where = (listener, record.route, record.pool)
        self._open[counts] = where
        if where not in self._sums:
            self._sums[where] = _Sums()

    def closed(self, counts: WebSocketRecord) -> None:
        """It has ended."""
        sums = self._sums[self._open.pop(counts)]
        sums.add(counts)
        if counts.closed_by:
            # A code that an application makes up is as good as any other, and there must not be a thousand series of them.
            code = counts.close_code if counts.close_code < 3000 else 3000 if counts.close_code < 4000 else 4000
            key = (counts.closed_by, code)
        else:
            key = ("nobody", 1006)
        sums.closed[key] = sums.closed.get(key, 0) + 1

    def collect(self) -> Iterator[Metric]:
        """Yield every metric family."""
        now: dict[_Where, list[WebSocketRecord]] = {}
        for counts, where in self._open.items():
            now.setdefault(where, []).append(counts)
        open_now = GaugeMetricFamily("balancer_websockets", "WebSockets open now.", labels=_LABELS)
        frames = CounterMetricFamily(
            "balancer_websocket_frames", "Frames passed on.", labels=(*_LABELS, "direction", "kind")
        )
        messages = CounterMetricFamily(
            "balancer_websocket_messages", "Messages passed on, complete ones.", labels=(*_LABELS, "direction")
        )
        violations = CounterMetricFamily(
            "balancer_websocket_violations", "Frames that RFC 6455 forbids.", labels=(*_LABELS, "direction")
        )
        pings = CounterMetricFamily("balancer_websocket_pings", "Pings of the balancer's own.", labels=_LABELS)
        closed = CounterMetricFamily(
            "balancer_websockets_closed",
            "WebSockets that ended, by whose close frame was the first, and its code.",
            labels=(*_LABELS, "by", "code"),
        )
        for where, sums in self._sums.items():
            total = sums.plus(now.get(where, []))
            open_now.add_metric(where, total.open)
            pings.add_metric(where, total.pings)
            for (direction, kind), count in total.frames.items():
                frames.add_metric((*where, direction, kind), count)
            for direction in ("in", "out"):
                messages.add_metric((*where, direction), total.messages[direction])
                violations.add_metric((*where, direction), total.violations[direction])
            for (who, code), count in total.closed.items():
                closed.add_metric((*where, who, str(code)), count)
        yield from (open_now, frames, messages, violations, pings, closed)
