"""How long an exchange with a pool's servers may take, and how often it is tried; of the pool, and of a route that wants it otherwise.

What a route says goes before what its pool says, key by key.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field, PlainValidator, WithJsonSchema, model_validator

from balancer.config.fields import Count, HeaderName, Method, Percent, PositiveDuration
from balancer.config.forms import Many, Switch
from balancer.hooks.settings import Duration, Settings, Size, StringMatch
from balancer.model.units import parse_duration
from balancer.wire.grpc.status import RETRIABLE

__all__ = ["Backoff", "Coalesce", "Hedge", "PoolTimeouts", "Retry", "RouteTimeouts"]

_RETRY_REASONS = (
    "connect_failure",
    "reset",
    "refused_stream",
    "timeout",
    "gateway_error",
    "5xx",
    "retriable_4xx",
    *RETRIABLE,
)
_QUANTILE = re.compile(r"p(\d\d(?:\.\d+)?)")
_REPLAY = 64 * 1024 * 1024

_REQUEST = (
    "The whole exchange, from the first byte of the request to the last of the response: 504 when it is over, and an answer that"
    " has begun is cut. Event streams and upgrades have it until they begin. 0s: no limit."
)
_PER_TRY = "One attempt, from choosing its server to the last byte of its answer. 0s: no limit."
_CONNECT = "Until a connection is there."
_FIRST_BYTE = "From the request sent to the first byte of the response."
_IDLE = "Between two pieces of the response."
_WRITE = "While the server takes nothing of the request's body."


def _in_order(request: float | None, per_try: float | None) -> None:
    if request and per_try and per_try > request:
        raise ValueError("expected 'per_try' no longer than 'request', of which it is a part")


class PoolTimeouts(Settings):
    """How long servers may take."""

    connect: PositiveDuration = Field(default=3.0, description=_CONNECT)
    first_byte: PositiveDuration = Field(default=60.0, description=_FIRST_BYTE)
    idle: PositiveDuration = Field(default=60.0, description=_IDLE)
    write: PositiveDuration = Field(default=30.0, description=_WRITE)
    request: Duration = Field(default=0.0, description=_REQUEST)
    per_try: Duration = Field(default=0.0, description=_PER_TRY)

    @model_validator(mode="after")
    def _ordered(self) -> PoolTimeouts:
        _in_order(self.request, self.per_try)
        return self


class RouteTimeouts(Settings):
    """How long servers may take with the requests of a route; what is not given is the pool's."""

    connect: PositiveDuration | None = Field(default=None, description=_CONNECT)
    first_byte: PositiveDuration | None = Field(default=None, description=_FIRST_BYTE)
    idle: PositiveDuration | None = Field(default=None, description=_IDLE)
    write: PositiveDuration | None = Field(default=None, description=_WRITE)
    request: Duration | None = Field(default=None, description=_REQUEST)
    per_try: Duration | None = Field(default=None, description=_PER_TRY)

    @model_validator(mode="after")
    def _ordered(self) -> RouteTimeouts:
        _in_order(self.request, self.per_try)
        return self


def _retry_on(value: Any) -> str | int:
    if value in _RETRY_REASONS:
        return str(value)
    if isinstance(value, int) and not isinstance(value, bool) and 400 <= value <= 599:
        return value
    raise ValueError(f"expected {', '.join(_RETRY_REASONS)} or a status from 400 to 599, got {value!r}")


class Backoff(Settings):
    """Waiting before another attempt: by chance up to ``base``, which is doubled each time up to ``max``; false: never."""

    base: PositiveDuration = Field(default=0.025, description="Longest wait before the first retry.")
    max: PositiveDuration = Field(default=0.25, description="Longest wait before any.")

    @model_validator(mode="after")
    def _ordered(self) -> Backoff:
        if self.max < self.base:
            raise ValueError("expected 'max' no shorter than 'base'")
        return self


class Retry(Settings):
    """Trying again on another server, before any byte of the response; false: never."""

    attempts: Annotated[Count, Field(le=10)] = Field(default=1, description="Most further attempts.")
    budget: Percent = Field(
        default=0.2, description="Most retries, as a share of the requests of the last ten seconds."
    )
    minimum: Count = Field(default=10, description="Retries in ten seconds that are allowed in any case.")
    on: tuple[
        Annotated[
            str | int,
            PlainValidator(_retry_on),
            WithJsonSchema(
                {"anyOf": [{"enum": list(_RETRY_REASONS)}, {"type": "integer", "minimum": 400, "maximum": 599}]}
            ),
        ],
        ...,
    ] = Field(
        default=("connect_failure", "reset", 503),
        description="What is retried: connect_failure, reset (closed before its answer; refused_stream among it), refused_stream"
        " (HTTP/2: unread), timeout (no answer within first_byte or per_try), gateway_error (502, 503, 504), 5xx (any, and all of these"
        " failures), retriable_4xx (409, 429), statuses of HTTP; and of gRPC, of calls without any message:"
        " unavailable, resource_exhausted, cancelled, deadline_exceeded, internal.",
    )
    headers: Mapping[HeaderName, StringMatch] = Field(
        default_factory=dict,
        description="Response headers by name, any of which is a reason too: a string, or {prefix, suffix, contains, regex, present}.",
    )
    methods: Annotated[tuple[Method, ...], Many()] = Field(
        default=("GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"),
        description="Methods that may be repeated after a server may have done what they ask for; by default the idempotent ones.",
    )
    replay: Annotated[Size, Field(ge=0, le=_REPLAY)] = Field(
        default=65536,
        description="Most of a request's body that is kept for another attempt; a longer one has no other.",
    )
    backoff: Annotated[Backoff | None, Switch()] = Field(
        default=None, description="Waiting before another attempt; false: none."
    )
    retry_after: Duration = Field(
        default=0.0,
        description="Longest Retry-After of a response that is waited for, where it is retried; one that asks for more is passed on."
        " 0s: it is not heard.",
    )


def _after(value: Any) -> float | str:
    if isinstance(value, str) and (found := _QUANTILE.fullmatch(value)) and 50 <= float(found[1]) < 100:
        return value
    try:
        seconds = parse_duration(value)
    except ValueError:
        raise ValueError(
            f"expected a duration such as '200ms', or a quantile from p50 to p99.9, got {value!r}"
        ) from None
    if not seconds >= 0.001:
        raise ValueError(f"expected a duration of 1ms or more, got {value!r}")
    return seconds


class Hedge(Settings):
    """Asking a second server while the first takes its time; who answers well first is heard. False: never."""

    after: Annotated[
        float | str,
        PlainValidator(_after),
        WithJsonSchema(
            {
                "type": "string",
                "pattern": r"^((\d+(\.\d+)?(us|ms|s|m|h|d))+|p\d\d(\.\d+)?)$",
                "examples": ["200ms", "p95"],
                "x-unit": "duration",
            }
        ),
    ] = Field(
        default="p95",
        description="Without a first byte for so long; p95: for longer than 95 % of the latest requests took.",
    )
    budget: Percent = Field(
        default=0.05, description="Most of them, as a share of the requests of the last ten seconds."
    )


class Coalesce(Settings):
    """Requests that are alike, and come while another of them waits for its answer, share that answer."""

    headers: Annotated[tuple[HeaderName, ...], Many(empty=True)] = Field(
        default=("accept", "accept-encoding"),
        description="Fields that requests must have alike, besides method, host and target. A request with Authorization, Cookie, Range,"
        " Cache-Control or a condition shares nothing, unless that field is among these.",
    )
    buffer: Annotated[Size, Field(ge=256 * 1024)] = Field(
        default=1024 * 1024,
        description="What is kept for a client that takes the answer more slowly than another; with more it is cut.",
    )
