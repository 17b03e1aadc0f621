"""A request that asks, with a signed header, what was decided about it: the answer comes with the response.

::

    X-Balancer-Debug: 1764065000.6f0c…      until when (seconds since 1970), and an HMAC-SHA256 of that and the host, by 'debug.key'
    X-Balancer-Trace: {"listener": …}       JSON in ASCII, in the response

Nobody without the key can ask, nor anybody for another host; a server never sees the header. What :class:`Trace` notes is what has happened, not
what would.
"""

from __future__ import annotations

import hmac
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from twisted.internet.defer import Deferred
from zope.interface import implementer

from balancer.hooks.interfaces import IFilter
from balancer.model.exchange import Exchange, Reply
from balancer.observe.records import ExchangeRecord

__all__ = ["NOTE", "Debugging", "Trace", "signed"]

NOTE = "trace"
"""Where the trace of an exchange is, in its notes."""
_LONGEST = 6 * 1024
_MOST_ROUTES = 20


def signed(key: str, until: int, host: str) -> str:
    """Return the value of the header that asks for traces of requests for ``host`` until then, in seconds since 1970."""
    return f"{until}.{_signature(key, until, host)}"


def _signature(key: str, until: int, host: str) -> str:
    return hmac.digest(key.encode(), f"{until} {host}".encode(), "sha256").hex()


@dataclass(frozen=True, slots=True)
class Debugging:
    """Who may ask: with what header, signed by which key."""

    key: str
    asked: bytes
    told: bytes

    def allows(self, value: str, host: str, wall: float) -> bool:
        """Whether ``value`` of the header is good for a request for ``host`` at that time, in seconds since 1970."""
        until, _, signature = value.partition(".")
        if not (until.isascii() and until.isdigit() and len(until) < 16 and signature.isascii()):
            return False
        return hmac.compare_digest(signature, _signature(self.key, int(until), host)) and wall < int(until)


@implementer(IFilter)
class Trace:
    """What is noted of one exchange; as its first filter it is the last to see the response, and tells it there.

    Times are seconds since the first byte of the request.
    """

    name = "trace"
    body_limit = 0
    on_error = "allow"

    def __init__(self, told: bytes, record: ExchangeRecord, started: float, now: Callable[[], float]) -> None:
        self._told = told
        self._record = record
        self._started = started
        self._now = now
        self._found: dict[str, Any] = {"filters": [], "attempts": []}

    def _at(self) -> float:
        return round(self._now() - self._started, 6)

    def decided(
        self, listener: str, route: str, action: str, pool: str | None, others: Sequence[tuple[str, str]]
    ) -> None:
        """Note the decision, and which ``others`` were held against the request, with the first condition that failed."""
        self._found |= {"listener": listener, "route": route, "action": action, "pool": pool, "decided": self._at()}
        if others:
            self._found["rejected"] = [{"route": name, "because": why} for name, why in others[:_MOST_ROUTES]]

    def side(self, because: str, note: str) -> None:
        """Note what a side of a split was taken for, and why the shares are not the file's."""
        self._found["split"] = f"{because}; {note}" if note else because

    def pool(self, out: Sequence[tuple[str, str]]) -> None:
        """Note the servers that cannot be used, with why."""
        if out:
            self._found["out"] = [{"server": name, "because": why} for name, why in out]

    def attempt(self, server: str, why: str) -> None:
        """Note an attempt that failed and is followed by another."""
        self._found["attempts"].append({"server": server, "failed": why, "at": self._at()})

    def timed(self, filters: Sequence[IFilter]) -> tuple[IFilter, ...]:
        """Return ``filters``, each of them noted as it runs."""
        return tuple(_Timed(each, self) for each in filters)

    def ran(self, each: IFilter, exchange: Exchange, seconds: float) -> None:
        """Note what a filter has done with the request."""
        name = str(getattr(each, "name", "") or type(each).__name__)
        self._found["filters"].append({"filter": name, "does": each.describe(exchange), "seconds": round(seconds, 6)})

    def request(self, exchange: Exchange) -> None:
        """Part of the interface: what there is to note comes later."""

    def response(self, exchange: Exchange) -> None:
        """Tell what is known by now."""
        exchange.response_headers.append((self._told, self.text(exchange).encode("ascii")))

    def text(self, exchange: Exchange) -> str:
        """Return the trace as JSON; of one that is too long for a header field, the beginning of its lists."""
        record, found = self._record, self._found
        told = {"time": self._at(), "request_id": record.request_id} | found
        told |= {"method": exchange.method, "target": exchange.target, "status": exchange.status}
        if record.server:
            told |= {"server": record.server, "server_protocol": record.server_protocol}
        for name in ("queue", "connect", "first_byte"):
            seconds = getattr(record, name)
            if seconds >= 0:
                told[name] = round(seconds, 6)
        if record.reason:
            told |= {"reason": record.reason, "detail": record.detail}
        told = {name: value for name, value in told.items() if value not in (None, "", [])}
        for longest in (_MOST_ROUTES, 5, 1, 0):
            text = json.dumps(
                {name: value[:longest] if isinstance(value, list) else value for name, value in told.items()},
                separators=(",", ":"),
            )
            if len(text) <= _LONGEST:
                break
        return text

    def describe(self, exchange: Exchange) -> str:
        """Part of the interface."""
        return "tells what was decided"


@implementer(IFilter)
class _Timed:
    """A filter that is watched."""

    def __init__(self, inner: IFilter, trace: Trace) -> None:
        self._inner = inner
        self._trace = trace
        self.body_limit = inner.body_limit
        self.on_error = getattr(inner, "on_error", "deny")

    def request(self, exchange: Exchange) -> Reply | Deferred[Reply | None] | None:
        """Run it, and note how long that took."""
        began = self._trace._now()
        outcome = self._inner.request(exchange)

        def done(reply: Reply | None) -> Reply | None:
            self._trace.ran(self._inner, exchange, self._trace._now() - began)
            return reply

        if isinstance(outcome, Deferred):
            return outcome.addCallback(done)
        return done(outcome)

    def response(self, exchange: Exchange) -> None:
        """Run it."""
        self._inner.response(exchange)

    def describe(self, exchange: Exchange) -> str:
        """Return what it says of itself."""
        return self._inner.describe(exchange)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)
