"""Every copy that is under way in this process, and what became of those that were.

Copies go first when there is too much to do: none is begun while the process turns requests away, or while a pool has as many
under way as its target allows; a mirror that does not answer is left alone for a while (:mod:`.rest`). They are begun in the reactor's next turn, when the request itself has gone. When the service stops,
those still under way at the end are given up; nothing waits for them.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from prometheus_client.metrics_core import Metric
from twisted.internet.interfaces import IReactorTime

from balancer.filters.mirror import MARK, NOTE, MirrorTarget, ReportSettings, Target
from balancer.forwarding.attempts import Connector
from balancer.forwarding.client_side import ClientSide
from balancer.forwarding.mirroring.comparing import Capture, Comparison, Difference
from balancer.forwarding.mirroring.rest import Rest
from balancer.forwarding.mirroring.shadow import Shadow
from balancer.forwarding.mirroring.tap import Tapped
from balancer.forwarding.upgrades import Upgrades
from balancer.model.exchange import Exchange
from balancer.model.headers import RawHeaders, replace
from balancer.net.timers import Wheel
from balancer.observe.metrics import counter, gauge

if TYPE_CHECKING:
    from balancer.pools.pool import Pool

__all__ = ["Mirroring", "Mirrors"]

_MINUTE = 60.0


class Mirrors:
    """One for a process; outlives configurations.

    Args:
        clock: the reactor.
        wheel: the shared timer.
        draw: returns a float in [0, 1).
        write: takes a line for the file at a path, None: for the service's log.
    """

    def __init__(
        self,
        clock: IReactorTime,
        wheel: Wheel,
        draw: Callable[[], float],
        write: Callable[[str | None, str], None],
    ) -> None:
        self.clock = clock
        self.wheel = wheel
        self.under_way: Counter[str] = Counter()
        """By pool, with those that wait for the rest of their request."""
        self.outcomes: Counter[tuple[str, str, str, str]] = Counter()
        """By listener, route, pool and how it ended."""
        self.compared: Counter[tuple[str, str, str, str]] = Counter()
        """By listener, route, pool, and ``same`` or a kind of difference."""
        self.unreported = 0
        self.rests: dict[str, Rest] = {}
        """By pool."""
        self._draw = draw
        self._write = write
        self._flying: set[Shadow] = set()
        self._minutes: dict[tuple[str, str, str], tuple[int, int]] = {}
        self._stopped = False

    def fly(self, shadow: Shadow) -> bool:
        """Take note of a copy that begins; return False if none may begin any more."""
        if not self._stopped:
            self._flying.add(shadow)
        return not self._stopped

    def landed(self, shadow: Shadow) -> None:
        """Take note of its end."""
        self._flying.discard(shadow)

    def drop(self) -> None:
        """Give up all of them, and begin no more: the service stops."""
        self._stopped = True
        for shadow in tuple(self._flying):
            shadow.drop()

    def report(self, place: tuple[str, str, str], settings: ReportSettings, told: Callable[[], dict[str, Any]]) -> None:
        """Write down what differs, if it is its turn and there is room in this minute."""
        if settings.percent < 100 and self._draw() * 100 >= settings.percent:
            return
        minute = int(self.clock.seconds() / _MINUTE)
        begun, count = self._minutes.get(place, (minute, 0))
        if begun != minute:
            count = 0
        if count >= settings.per_minute:
            self.unreported += 1
            return
        self._minutes[place] = (minute, count + 1)
        self._write(settings.path, json.dumps(told(), ensure_ascii=True, separators=(",", ":")))

    def metrics(self) -> Iterator[Metric]:
        """Yield what is counted."""
        labels = ("listener", "route", "pool")
        copies = counter(
            "mirrored_requests",
            "Copies for mirrors, by how they ended: the class of their status, the reason of a failure, or why there was none.",
            (*labels, "outcome"),
        )
        for where, count in self.outcomes.items():
            copies.add_metric(where, count)
        compared = counter(
            "mirror_comparisons", "Answers of mirrors compared, by `same` or kinds of difference.", (*labels, "result")
        )
        for where, count in self.compared.items():
            compared.add_metric(where, count)
        unreported = counter("mirror_reports_dropped", "Differences not written down because of too many.", ())
        unreported.add_metric((), self.unreported)
        under_way = gauge("mirrored_requests_under_way", "Copies under way now.", ("pool",))
        for pool, count in self.under_way.items():
            under_way.add_metric((pool,), count)
        yield from (copies, compared, unreported, under_way)

    def __repr__(self) -> str:
        return f"<Mirrors, {sum(self.under_way.values())} under way>"


class Mirroring:
    """What a listener's requests are copied by.

    Args:
        mirrors: counts them all.
        listener: its name.
        pools: every pool by name.
        connect: opens a connection to a server.
        upgrades: part of what forwards.
        busy: returns whether requests are being turned away.
    """

    def __init__(
        self,
        mirrors: Mirrors,
        listener: str,
        pools: Mapping[str, Pool],
        connect: Connector,
        upgrades: Upgrades,
        busy: Callable[[], bool],
    ) -> None:
        self._mirrors = mirrors
        self._listener = listener
        self._pools = pools
        self._connect = connect
        self._upgrades = upgrades
        self._busy = busy

    def tapped(self, request: ClientSide) -> ClientSide:
        """Return what is to be forwarded in place of ``request``, whose exchange has targets: itself if no copy can be made."""
        exchange = request.exchange
        assert exchange is not None
        if request.head.upgrade is not None:
            return request
        copies = []
        for target in exchange.notes[NOTE]:
            pool = target.settings.pool
            length = request.body.length if exchange.body is None else len(exchange.body)
            why = self._why_not(exchange, target.settings, length)
            if why:
                self._mirrors.outcomes[self._listener, exchange.route, pool, why] += 1
                exchange.notes["log"][NOTE][pool] = why
            else:
                copies.append(_Copy(self._mirrors, self._listener, request, exchange, target))
        if not copies:
            return request
        comparisons = [copy.comparison for copy in copies if copy.comparison is not None]
        limit = max(copy.settings.body_limit for copy in copies)

        def done(body: bytes | None, why: str) -> None:
            for copy in copies:
                too_long = len(body or b"") > copy.settings.body_limit
                if why or too_long:
                    copy.give_up(why or "body_too_long")
                else:
                    self._mirrors.clock.callLater(0, partial(self._begin, copy, request, body))

        tapped: Any = Tapped(request, limit, done, comparisons)
        body = exchange.body
        if body is not None:
            tapped.whole(body)
        elif request.body.ended and not request.body.received:
            tapped.whole(None)
        forwarded: ClientSide = tapped
        return forwarded

    def explain(self, exchange: Exchange, body: bytes | None) -> list[tuple[str, str]]:
        """Return the targets of an exchange by pool, each with why it gets no copy; ``body`` is what is sent."""
        found = []
        for target in exchange.notes[NOTE]:
            settings = target.settings
            why = self._why_not(exchange, settings, None)
            too_long = len(body or b"") > settings.body_limit
            found.append((settings.pool, why or ("body_too_long" if too_long else "")))
        return found

    def _why_not(self, exchange: Exchange, settings: MirrorTarget, known: int | None) -> str:
        if self._busy():
            return "overloaded"
        if self._mirrors.under_way[settings.pool] >= settings.concurrency:
            return "full"
        if not exchange.changes_request and (known or 0) > settings.body_limit:
            return "body_too_long"
        rest = self._mirrors.rests.get(settings.pool)
        if rest is not None and not rest.asks(self._mirrors.clock.seconds()):
            return "resting"
        return ""

    def _begin(self, copy: _Copy, request: ClientSide, body: bytes | None) -> None:
        """The request has gone: let its copy follow."""
        settings, mirrors = copy.settings, self._mirrors
        exchange = Exchange(request.facts, copy.headers, copy.exchange.route)
        exchange.method, exchange.target, exchange.body = copy.exchange.method, copy.exchange.target, body
        comparison = copy.comparison
        capture = Capture(comparison.wanted) if comparison is not None else None

        def done(shadow: Shadow, how: str) -> None:
            mirrors.landed(shadow)
            whole = how[1:] == "xx"
            copy.release(None if how == "dropped" else whole or how == "answer_too_long")
            copy.ended(how)
            if comparison is not None:
                comparison.mirrored(shadow.capture.answer() if whole and shadow.capture is not None else None)

        shadow = Shadow(request.head, exchange, request.request_id, settings.answer_limit, capture, done)
        if not mirrors.fly(shadow):
            copy.give_up("dropped")
            return
        pool = self._pools[settings.pool]
        shadow.start(pool, self._connect, self._upgrades, mirrors.wheel, settings.timeout)


class _Copy:
    """One copy that is to be made, counted as under way from now on, with what it needs of the request."""

    __slots__ = ("_mirrors", "_place", "_request_id", "comparison", "exchange", "headers", "settings")

    def __init__(
        self, mirrors: Mirrors, listener: str, request: ClientSide, exchange: Exchange, target: Target
    ) -> None:
        settings = self.settings = target.settings
        self._mirrors = mirrors
        self._place = (listener, exchange.route, settings.pool)
        self._request_id = request.request_id
        self.exchange = exchange
        self.headers = _marked(request.outgoing_headers(), settings.host_suffix)
        self.comparison = Comparison(settings.compare, self._differ) if settings.compare is not None else None
        mirrors.under_way[settings.pool] += 1
        self._log("sent")

    def release(self, answered: bool | None) -> None:
        """It is under way no more; ``answered`` says whether the mirror did, None: it was not asked, or given no time."""
        mirrors, pool = self._mirrors, self.settings.pool
        mirrors.under_way[pool] -= 1
        rest = mirrors.rests.get(pool)
        if rest is None:
            if answered is not False:
                return
            rest = mirrors.rests[pool] = Rest()
        rest.ended(answered, mirrors.clock.seconds())

    def give_up(self, why: str) -> None:
        """There will be no copy."""
        self.release(None)
        self.ended(why)
        if self.comparison is not None:
            self.comparison.mirrored(None)

    def ended(self, how: str) -> None:
        """Count how it ended."""
        self._mirrors.outcomes[(*self._place, how)] += 1
        self._log(how)

    def _log(self, word: str) -> None:
        log = self.exchange.notes["log"][NOTE]
        log[self.settings.pool] = word

    def _differ(self, found: list[Difference] | None) -> None:
        mirrors, settings = self._mirrors, self.settings.compare
        assert settings is not None
        if found is None:
            mirrors.compared[(*self._place, "unanswered")] += 1
            return
        for kind in {each.kind for each in found} or {"same"}:
            mirrors.compared[(*self._place, kind)] += 1
        if not found:
            return
        report = settings.report

        def told() -> dict[str, Any]:
            listener, route, pool = self._place
            return {
                "time": round(time.time(), 3),
                "request_id": self._request_id,
                "listener": listener,
                "route": route,
                "mirror": pool,
                "method": self.exchange.method,
                "target": self.exchange.target,
                "differences": [each.as_json(values=report.values) for each in found],
            }

        mirrors.report(self._place, report, told)


def _marked(headers: RawHeaders, suffix: str | None) -> RawHeaders:
    """Return the headers of a copy."""
    replace(headers, MARK, b"1")
    if suffix is not None:
        for at, (name, value) in enumerate(headers):
            if name.lower() == b"host":
                headers[at] = (name, _with_suffix(value, suffix.encode("ascii")))
    return headers


def _with_suffix(host: bytes, suffix: bytes) -> bytes:
    """Return a host with the suffix before its port; addresses in brackets stay as they are."""
    if host.startswith(b"["):
        return host
    name, colon, port = host.partition(b":")
    return name + suffix + colon + port
