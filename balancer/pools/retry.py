"""Whether a failed attempt may be repeated on another server, and after how long.

Three questions, all of which must be answered with yes: is this kind of failure to be retried, is it safe (a request
that may have had its effect is repeated only if its method is idempotent, RFC 9110 section 9.2.2; one that the server says it
has not looked at, RFC 9113 section 8.7, always), and is there budget left? The budget keeps retries from multiplying the load of servers that fail because of it.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import Any

from balancer import errors
from balancer.errors import Reason
from balancer.hooks.settings import StringMatch
from balancer.model.headers import RawHeaders, first
from balancer.pools.budget import Budget
from balancer.pools.limits import Limit
from balancer.wire.grpc.status import RETRIABLE

__all__ = ["GATEWAY_ERRORS", "IDEMPOTENT", "RETRIABLE_4XX", "RetryPolicy", "RetrySettings"]

IDEMPOTENT = frozenset(["GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"])
"""Methods that may be repeated (RFC 9110 section 9.2.2)."""

GATEWAY_ERRORS = frozenset([502, 503, 504])
"""Statuses that count against a server."""

RETRIABLE_4XX = frozenset([409, 429])
"""Statuses that say that the same request may do better later."""

_CONNECT_FAILURES = frozenset(
    reason.code
    for reason in (
        errors.DNS_ERROR,
        errors.DESTINATION_IP_UNROUTABLE,
        errors.CONNECTION_REFUSED,
        errors.CONNECTION_TIMEOUT,
        errors.TLS_PROTOCOL_ERROR,
        errors.TLS_CERTIFICATE_ERROR,
        errors.TLS_ALERT_RECEIVED,
    )
)
_GRPC_CODES = frozenset(f"grpc_{each}" for each in RETRIABLE)  # of their reasons
_UNREAD = (errors.STREAM_REFUSED, errors.SERVER_LEAVING)
_RESET = frozenset([errors.CONNECTION_TERMINATED.code])
_TIMEOUT = frozenset([errors.HTTP_RESPONSE_TIMEOUT.code])
_STATUS_PREFIX = "http_response_"
_FAILURES: Mapping[str, frozenset[str]] = {
    "connect_failure": _CONNECT_FAILURES,
    "reset": _RESET,
    "timeout": _TIMEOUT,
    "5xx": _CONNECT_FAILURES | _RESET | _TIMEOUT,
}
_STATUSES: Mapping[str, frozenset[int]] = {
    "gateway_error": GATEWAY_ERRORS,
    "5xx": frozenset(range(500, 600)),
    "retriable_4xx": RETRIABLE_4XX,
}


@dataclass(frozen=True, slots=True)
class RetrySettings:
    """How failures are retried.

    ``attempts`` is how many more there may be after the first; ``budget`` the most retries as a share of the requests
    of the last ten seconds, of which ``minimum`` are always allowed; ``on`` lists ``"connect_failure"``, ``"reset"``,
    ``"refused_stream"``, ``"timeout"``, ``"gateway_error"``, ``"5xx"``, ``"retriable_4xx"``, response statuses (503), and those of gRPC
    (``"unavailable"``); ``headers`` are conditions on the response, any of which is enough. ``methods`` may be repeated after they had
    their effect; ``replay`` bytes of a body are kept for that. Before the n-th retry there is a wait of ``backoff``, at most
    ``backoff_max``, doubled each time and multiplied with chance. ``retry_after`` is how long a server may ask to wait, 0: it is not heard.
    """

    attempts: int = 1
    budget: float = 0.2
    minimum: int = 10
    on: tuple[str | int, ...] = ("connect_failure", "reset", 503)
    headers: Mapping[str, StringMatch] = field(default_factory=dict)
    methods: frozenset[str] = IDEMPOTENT
    replay: int = 64 * 1024
    backoff: float = 0.0
    backoff_max: float = 0.0
    retry_after: float = 0.0

    def describe(self) -> dict[str, Any]:
        """Return the settings as plain values; if there are no retries, nothing but that."""
        if not self.attempts:
            return {"attempts": 0}
        found: dict[str, Any] = {
            "attempts": self.attempts,
            "on": list(self.on),
            "methods": sorted(self.methods),
            "budget": self.budget,
            "minimum": self.minimum,
            "replay": self.replay,
        }
        if self.headers:
            found["headers"] = sorted(self.headers)
        if self.backoff:
            found["backoff"] = [self.backoff, self.backoff_max]
        if self.retry_after:
            found["retry_after"] = self.retry_after
        return found


class RetryPolicy:
    """Answers :meth:`allow`, and counts.

    Args:
        settings: what is retried.
        now: returns monotonic seconds.
        budget: of the pool, where the policy is one of several; by default one of its own.
        draw: returns a float in [0, 1).

    ``retries`` counts those allowed, ``refused`` those that only the budget forbade; ``limit`` is on those in flight, which who makes them
    counts there. ``floor`` is the lowest status of a response that may have to be retried.
    """

    __slots__ = ("_codes", "_draw", "_headers", "_unread", "budget", "floor", "now", "refused", "retries", "settings")

    def __init__(
        self,
        settings: RetrySettings,
        now: Callable[[], float],
        budget: Budget | None = None,
        draw: Callable[[], float] = random.random,
    ) -> None:
        self.settings = settings
        self.budget = budget or Budget(now)
        self.retries = 0
        self.refused = 0
        self.now = now
        self._draw = draw
        codes: set[str] = set()
        statuses: set[int] = set()
        for condition in settings.on:
            if isinstance(condition, int):
                statuses.add(condition)
            elif condition in RETRIABLE:
                codes.add(f"grpc_{condition}")
            else:
                codes |= _FAILURES.get(condition, frozenset())
                statuses |= _STATUSES.get(condition, frozenset())
        codes |= {f"{_STATUS_PREFIX}{status}" for status in statuses}
        self._codes = frozenset(codes)
        self._unread = "refused_stream" in settings.on
        self._headers = [(name.encode("ascii"), match.compiled()) for name, match in settings.headers.items()]
        self.floor = 200 if self._headers else min(500, *statuses) if statuses else 500

    def otherwise(self, settings: RetrySettings) -> RetryPolicy:
        """Return another policy, which shares the budget."""
        return RetryPolicy(settings, self.now, self.budget, self._draw)

    @property
    def limit(self) -> Limit | None:
        """The limit on retries in flight, one for all policies with the same budget."""
        return self.budget.limit

    @limit.setter
    def limit(self, limit: Limit | None) -> None:
        self.budget.limit = limit

    def note_request(self) -> None:
        """Count a request, which adds to the budget."""
        self.budget.requests += 1

    def covers(self, headers: RawHeaders) -> bool:
        """Return whether the response with these ``headers`` is to be retried for one of them, whatever its status."""
        for name, matches in self._headers:
            value = first(headers, name)
            if matches(None if value is None else value.decode("latin-1")):
                return True
        return False

    def allow(self, method: str | None, reason: Reason, attempts: int, covered: bool = False) -> bool:
        """Return whether to try again, and if so take it from the budget.

        Args:
            method: the request's; None for a session of layer 4.
            reason: why the attempt failed. A response with a status counts as the code ``http_response_STATUS``.
            attempts: how many attempts have been made.
            covered: the response is one that :meth:`covers` has said to retry.
        """
        settings = self.settings
        if attempts > settings.attempts:
            return False
        if not covered and reason.code not in self._codes and not (self._unread and reason in _UNREAD):
            return False
        if (
            reason.code not in _CONNECT_FAILURES
            and method not in settings.methods
            and reason not in _UNREAD
            and reason.code not in _GRPC_CODES  # whoever lists one knows: every call is a POST
        ):
            return False
        limit = self.budget.limit
        if limit is not None and limit.full:
            limit.refused += 1
            return False
        if not self.spend():
            self.refused += 1
            return False
        self.retries += 1
        return True

    def spend(self) -> bool:
        """Take from the budget for what is repeated without being a retry; return whether there was enough."""
        return self.budget.take(self.settings.budget, self.settings.minimum)

    def delay(self, attempts: int) -> float:
        """Return how many seconds to wait before the next attempt, after so many: full jitter, up to twice as long each time."""
        settings = self.settings
        if not settings.backoff:
            return 0.0
        return self._draw() * min(settings.backoff_max, settings.backoff * 2.0 ** (attempts - 1))

    def asked_delay(self, headers: RawHeaders) -> float | None:
        """Return how long the server asks to wait (``Retry-After``, RFC 9110 section 10.2.3), 0.0 if it does not or is not heard.

        None: longer than it is waited for, so that there is nothing to retry.
        """
        longest = self.settings.retry_after
        value = first(headers, b"retry-after") if longest else None
        if value is None:
            return 0.0
        text = value.decode("latin-1").strip()
        if text.isascii() and text.isdigit():
            asked = float(text)
        else:
            try:
                asked = parsedate_to_datetime(text).timestamp() - time.time()
            except ValueError:
                return 0.0
        return max(0.0, asked) if asked <= longest else None

    def __repr__(self) -> str:
        return f"<RetryPolicy {self.retries} retries, {self.refused} over budget>"
