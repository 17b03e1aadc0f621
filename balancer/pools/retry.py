"""Whether a failed attempt may be repeated on another server.

Three questions, all of which must be answered with yes: is this kind of failure to be retried, is it safe (a request
that may have had its effect is repeated only if its method is idempotent, RFC 9110 section 9.2.2; one that the server says it
has not looked at, RFC 9113 section 8.7, always), and is there budget left? The budget keeps retries from multiplying the load of servers that fail because of it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from balancer import errors
from balancer.errors import Reason
from balancer.pools.limits import Limit
from balancer.wire.grpc.status import RETRIABLE

__all__ = ["IDEMPOTENT", "RetryPolicy", "RetrySettings"]

IDEMPOTENT = frozenset(["GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"])
"""Methods that may be repeated (RFC 9110 section 9.2.2)."""

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
_STATUS_PREFIX = "http_response_"
_WINDOW = 10.0


@dataclass(frozen=True, slots=True)
class RetrySettings:
    """How failures are retried.

    ``attempts`` is how many more there may be after the first; ``budget`` the most retries as a share of the requests
    of the last ten seconds, of which ``minimum`` are always allowed; ``on`` lists ``"connect_failure"``, ``"reset"``
    and response statuses (503), and those of gRPC (``"unavailable"``).
    """

    attempts: int = 1
    budget: float = 0.2
    minimum: int = 10
    on: tuple[str | int, ...] = ("connect_failure", "reset", 503)


class RetryPolicy:
    """Answers :meth:`allow`, and counts.

    Args:
        settings: what is retried.
        now: returns monotonic seconds.

    ``retries`` counts those allowed, ``refused`` those that only the budget forbade; ``limit`` is on those in flight, which who makes them
    counts there.
    """

    __slots__ = (
        "_before",
        "_codes",
        "_now",
        "_requests",
        "_since",
        "_spent",
        "limit",
        "refused",
        "retries",
        "settings",
    )

    def __init__(self, settings: RetrySettings, now: Callable[[], float]) -> None:
        self.settings = settings
        self.retries = 0
        self.refused = 0
        self.limit: Limit | None = None
        codes: set[str] = set()
        for condition in settings.on:
            if condition == "connect_failure":
                codes |= _CONNECT_FAILURES
            elif condition == "reset":
                codes.add(errors.CONNECTION_TERMINATED.code)
            elif condition in RETRIABLE:
                codes.add(f"grpc_{condition}")
            else:
                codes.add(f"{_STATUS_PREFIX}{condition}")
        self._codes = frozenset(codes)
        self._now = now
        self._since = now()  # when the present window began
        self._requests = 0  # in the present window
        self._spent = 0  # retries in the present window
        self._before = 0.0  # requests in the window before

    def note_request(self) -> None:
        """Count a request, which adds to the budget."""
        self._requests += 1

    def allow(self, method: str | None, reason: Reason, attempts: int) -> bool:
        """Return whether to try again, and if so take it from the budget.

        Args:
            method: the request's; None for a session of layer 4.
            reason: why the attempt failed. A response with a status counts as the code ``http_response_STATUS``.
            attempts: how many attempts have been made.
        """
        settings = self.settings
        if attempts > settings.attempts or reason.code not in self._codes:
            return False
        if (
            reason.code not in _CONNECT_FAILURES
            and method not in IDEMPOTENT
            and reason not in _UNREAD
            and reason.code not in _GRPC_CODES  # whoever lists one knows: every call is a POST
        ):
            return False
        limit = self.limit
        if limit is not None and limit.full:
            limit.refused += 1
            return False
        now = self._now()
        age = now - self._since
        if age >= _WINDOW:
            self._before = self._requests * _WINDOW / age
            self._since, self._requests, self._spent, age = now, 0, 0, 0.0
        requests = self._before * (1.0 - age / _WINDOW) + self._requests
        if self._spent >= max(settings.minimum, settings.budget * requests):
            self.refused += 1
            return False
        self._spent += 1
        self.retries += 1
        return True

    def __repr__(self) -> str:
        return f"<RetryPolicy {self.retries} retries, {self.refused} over budget>"
