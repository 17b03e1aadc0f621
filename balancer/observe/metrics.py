"""Metrics: plain integer cells that the hot path adds to, turned into Prometheus text when somebody asks.

A cell is one combination of listener, route, pool, server and status class, so the number of cells is bounded by the
configuration. Gauges (who is connected, which servers are up) are not kept: they are read from the service's own
objects at each scrape, through a callable.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator
from itertools import accumulate

from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector
from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request

from balancer.observe.calls import CallMeter
from balancer.observe.records import ExchangeRecord, SessionRecord
from balancer.observe.websockets import WebSocketMeter

__all__ = ["BUCKETS", "Gauges", "Metrics", "MetricsResource", "counter", "gauge"]

BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
"""Upper bounds in seconds of the latency histograms."""

Gauges = Callable[[], Iterable[Metric]]
"""Returns what the service knows at the moment of a scrape."""

_log = Logger()

_LABELS = ("listener", "route", "pool", "server")


class _Cell:
    """Exchanges of one combination of labels."""

    __slots__ = ("buckets", "bytes_in", "bytes_out", "coalesced", "count", "hedges", "hedges_won", "retries", "seconds")

    def __init__(self) -> None:
        self.count = 0
        self.seconds = 0.0
        self.bytes_in = 0
        self.bytes_out = 0
        self.retries = 0
        self.coalesced = 0
        self.hedges = 0
        self.hedges_won = 0
        self.buckets = [0] * (len(BUCKETS) + 1)


class _SessionCell:
    """Sessions of one combination of labels."""

    __slots__ = ("bytes_in", "bytes_out", "count", "datagrams_in", "datagrams_out", "seconds")

    def __init__(self) -> None:
        self.count = 0
        self.seconds = 0.0
        self.bytes_in = 0
        self.bytes_out = 0
        self.datagrams_in = 0
        self.datagrams_out = 0


def _nothing_waits() -> None:
    """Where every record is counted at once."""


class Metrics(Collector):
    """Counts exchanges and sessions; a Prometheus collector.

    Args:
        catch_up: called before each scrape, to count what waits to be counted.
    """

    def __init__(self, catch_up: Callable[[], None] = _nothing_waits) -> None:
        self._catch_up = catch_up
        self._exchanges: dict[tuple[str, str, str, str, int], _Cell] = {}
        self._sessions: dict[tuple[str, str, str, str, str], _SessionCell] = {}
        self._reasons: dict[tuple[str, str], int] = {}
        self._faults: dict[tuple[str, str, str], int] = {}
        self.websockets = WebSocketMeter()
        self._calls = CallMeter()
        self._reloads = {"ok": 0, "refused": 0}
        self._gauges: Gauges = tuple
        self._registry = CollectorRegistry()
        for standard in (ProcessCollector, PlatformCollector, GCCollector):
            standard(registry=self._registry)
        self._registry.register(self)

    def exchange(self, record: ExchangeRecord) -> None:
        """Count a finished exchange. Runs for every request: one look-up and plain additions."""
        key = (record.listener, record.route, record.pool, record.server, record.status // 100)
        cell = self._exchanges.get(key)
        if cell is None:
            cell = self._exchanges[key] = _Cell()
        total = record.total
        cell.count += 1
        cell.seconds += total
        cell.buckets[bisect_left(BUCKETS, total)] += 1
        cell.bytes_in += record.bytes_in
        cell.bytes_out += record.bytes_out
        if record.attempts != 1:
            self._count_attempts(cell, record)
        if record.reason:
            self._count_reason(record.listener, record.reason)
        if record.grpc:
            self._calls.count(record)
        if record.fault:
            at = (record.listener, record.route, record.fault)
            self._faults[at] = self._faults.get(at, 0) + 1

    @staticmethod
    def _count_attempts(cell: _Cell, record: ExchangeRecord) -> None:
        """Count what is not one attempt, as it is of most."""
        if record.attempts > 1:
            cell.retries += record.attempts - 1
            if record.hedged:
                cell.retries -= 1
                cell.hedges += 1
                cell.hedges_won += record.hedged == 2
        elif record.coalesced:
            cell.coalesced += 1

    def session(self, record: SessionRecord) -> None:
        """Count a finished session or flow."""
        key = (record.listener, record.route, record.pool, record.server, record.protocol)
        cell = self._sessions.get(key)
        if cell is None:
            cell = self._sessions[key] = _SessionCell()
        cell.count += 1
        cell.seconds += record.total
        cell.bytes_in += record.bytes_in
        cell.bytes_out += record.bytes_out
        cell.datagrams_in += record.datagrams_in
        cell.datagrams_out += record.datagrams_out
        if record.reason:
            self._count_reason(record.listener, record.reason)

    def _count_reason(self, listener: str, reason: str) -> None:
        self._reasons[listener, reason] = self._reasons.get((listener, reason), 0) + 1

    def reloaded(self) -> None:
        """Count a reload that went through."""
        self._reloads["ok"] += 1

    def reload_refused(self) -> None:
        """Count a reload that was refused for errors in the configuration."""
        self._reloads["refused"] += 1

    def watch(self, gauges: Gauges) -> None:
        """Ask ``gauges`` at each scrape from now on."""
        self._gauges = gauges

    def text(self) -> bytes:
        """Return everything in Prometheus' text format."""
        return generate_latest(self._registry)

    def collect(self) -> Iterator[Metric]:
        """Yield every metric family; called by prometheus_client."""
        self._catch_up()
        yield from self._collect_exchanges()
        yield from self._collect_sessions()
        yield from self.websockets.collect()
        yield from self._calls.collect()
        reasons = CounterMetricFamily(
            "balancer_errors",
            "Exchanges and sessions that ended early, by RFC 9209 error type.",
            labels=("listener", "reason"),
        )
        for labels, count in self._reasons.items():
            reasons.add_metric(labels, count)
        yield reasons
        faults = counter("faults_injected", "Exchanges that a fault was injected into.", ("listener", "route", "kind"))
        for where, count in self._faults.items():
            faults.add_metric(where, count)
        yield faults
        reloads = CounterMetricFamily("balancer_reloads", "Reloads of the configuration.", labels=("outcome",))
        for outcome, count in self._reloads.items():
            reloads.add_metric((outcome,), count)
        yield reloads
        yield from self._gauges()

    def _collect_exchanges(self) -> Iterator[Metric]:
        requests = CounterMetricFamily("balancer_http_requests", "Finished exchanges.", labels=(*_LABELS, "status"))
        received = CounterMetricFamily("balancer_http_request_bytes", "Bytes of request bodies.", labels=_LABELS)
        sent = CounterMetricFamily("balancer_http_response_bytes", "Bytes of response bodies.", labels=_LABELS)
        retries = CounterMetricFamily("balancer_http_retries", "Attempts after the first failed.", labels=_LABELS)
        hedges = CounterMetricFamily(
            "balancer_http_hedges", "Attempts beside one that took its time.", labels=(*_LABELS, "outcome")
        )
        coalesced = CounterMetricFamily(
            "balancer_http_coalesced", "Exchanges answered with the answer to another.", labels=_LABELS
        )
        hedged: dict[tuple[str, str, str, str], list[int]] = {}
        seconds = HistogramMetricFamily(
            "balancer_http_request_duration_seconds",
            "From the first byte of a request to the last of its response.",
            labels=("listener", "route", "pool"),
        )
        shared: dict[tuple[str, str, str, str], int] = {}
        sums: dict[tuple[str, str, str, str], list[int]] = {}
        durations: dict[tuple[str, ...], tuple[list[int], float]] = {}
        for (listener, route, pool, server, status), cell in self._exchanges.items():
            requests.add_metric((listener, route, pool, server, f"{status}xx"), cell.count)
            labels = (listener, route, pool, server)
            before = sums.get(labels, [0, 0, 0])
            sums[labels] = [a + b for a, b in zip(before, (cell.bytes_in, cell.bytes_out, cell.retries), strict=True)]
            if cell.coalesced:
                shared[labels] = shared.get(labels, 0) + cell.coalesced
            if cell.hedges:
                others = hedged.setdefault(labels, [0, 0])
                others[0] += cell.hedges_won
                others[1] += cell.hedges - cell.hedges_won
            counts, total = durations.get((listener, route, pool), ([0] * len(cell.buckets), 0.0))
            durations[listener, route, pool] = (
                [a + b for a, b in zip(counts, cell.buckets, strict=True)],
                total + cell.seconds,
            )
        for labels, (bytes_in, bytes_out, again) in sums.items():
            received.add_metric(labels, bytes_in)
            sent.add_metric(labels, bytes_out)
            retries.add_metric(labels, again)
        for labels, (won, lost) in hedged.items():
            hedges.add_metric((*labels, "won"), won)
            hedges.add_metric((*labels, "lost"), lost)
        for labels, count in shared.items():
            coalesced.add_metric(labels, count)
        bounds = [*map(str, BUCKETS), "+Inf"]
        for keys, (counts, total) in durations.items():
            seconds.add_metric(keys, list(zip(bounds, accumulate(counts), strict=True)), total)
        yield from (requests, received, sent, retries, hedges, coalesced, seconds)

    def _collect_sessions(self) -> Iterator[Metric]:
        labels = (*_LABELS, "protocol")
        families = {
            "count": CounterMetricFamily("balancer_sessions", "Finished TCP sessions and UDP flows.", labels=labels),
            "seconds": CounterMetricFamily(
                "balancer_session_seconds", "Time that they lasted, summed up.", labels=labels
            ),
            "bytes_in": CounterMetricFamily("balancer_session_received_bytes", "Bytes from clients.", labels=labels),
            "bytes_out": CounterMetricFamily("balancer_session_sent_bytes", "Bytes to clients.", labels=labels),
            "datagrams_in": CounterMetricFamily("balancer_session_received_datagrams", "From clients.", labels=labels),
            "datagrams_out": CounterMetricFamily("balancer_session_sent_datagrams", "To clients.", labels=labels),
        }
        for key, cell in self._sessions.items():
            for name, family in families.items():
                family.add_metric(key, getattr(cell, name))
        yield from families.values()


def counter(name: str, text: str, labels: tuple[str, ...]) -> CounterMetricFamily:
    """Return an empty counter family called ``balancer_NAME``."""
    return CounterMetricFamily(f"balancer_{name}", text, labels=labels)


def gauge(name: str, text: str, labels: tuple[str, ...]) -> GaugeMetricFamily:
    """Return an empty gauge family called ``balancer_NAME``."""
    return GaugeMetricFamily(f"balancer_{name}", text, labels=labels)


class MetricsResource(Resource):
    """Serves ``/metrics``: what ``text()`` returns, at once or later."""

    def __init__(self, text: Callable[[], bytes | Deferred[bytes]]) -> None:
        super().__init__()
        self.putChild(b"metrics", _Text(text))
        self.putChild(b"", _Pointer())


class _Text(Resource):
    isLeaf = True

    def __init__(self, text: Callable[[], bytes | Deferred[bytes]]) -> None:
        super().__init__()
        self._text = text

    def render_GET(self, request: Request) -> bytes | int:
        """Return the metrics of the moment."""
        request.setHeader(b"content-type", CONTENT_TYPE_LATEST.encode())
        text = self._text()
        if isinstance(text, bytes):
            return text

        def answer(text: bytes) -> None:
            if not request._disconnected:
                request.write(text)
                request.finish()

        def failed(failure: Failure) -> None:
            _log.failure("the metrics could not be collected", failure)
            request.setResponseCode(500)
            answer(b"")

        text.addCallbacks(answer, failed)
        return NOT_DONE_YET


class _Pointer(Resource):
    isLeaf = True

    def render_GET(self, request: Request) -> bytes:
        """Say where the metrics are."""
        return b'<a href="/metrics">metrics</a>\n'
