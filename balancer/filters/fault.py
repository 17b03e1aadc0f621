"""The ``fault`` filter: makes some requests slow, and some fail, on purpose.

::

    fault:
      delay: {time: 200ms, percent: 10}            # or time: {min: 100ms, max: 2s}
      abort: {status: 503, percent: 1}             # or status: reset
      key: {header: X-User}                        # the same users each time; else by chance
      headers: {from: [10.0.0.0/8]}                # X-Fault-Delay: 250ms and X-Fault-Abort: 503, from there only

What is done to a request is decided once, as a plain :class:`Plan`; then it is delayed, then aborted or sent on. A client that
leaves during the delay ends it. Requests that ask for faults by header get those asked for, and the configured shares for what
they do not ask for.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_address
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, StrictInt, WithJsonSchema, model_validator
from twisted.internet.defer import Deferred
from zope.interface import implementer

from balancer.errors import FAULT_INJECTED
from balancer.filters.percent import Percent
from balancer.hooks.interfaces import Factory, IFilter
from balancer.hooks.settings import Duration, KeySetting, Settings
from balancer.model.exchange import Exchange, Reply
from balancer.model.header_rules import header_name
from balancer.model.headers import without
from balancer.model.patterns import Network, parse_network
from balancer.model.units import format_duration, parse_duration
from balancer.wire.grpc.status import Status, is_grpc, trailers

__all__ = ["FAULT", "Fault", "FaultSettings", "Plan"]

NOTE = "fault"
_RESET = 444
"""What stands in the log as the status of an exchange whose connection was reset unanswered."""
_DETAIL = "a fault was injected"


def _header(text: str) -> str:
    header_name(text)
    return text


def _network(value: Any) -> Any:
    return parse_network(value) if isinstance(value, str) else value


HeaderName = Annotated[str, AfterValidator(_header)]
Networks = Annotated[
    tuple[Annotated[Network, BeforeValidator(_network), WithJsonSchema({"type": "string"})], ...],
    Field(min_length=1),
]
Share = Annotated[float, Field(gt=0, le=100)]


class Span(Settings):
    """A time between two."""

    min: Duration = Field(ge=0, description="The shortest.")
    max: Duration = Field(gt=0, description="The longest; every time between the two is as likely.")

    @model_validator(mode="before")
    @classmethod
    def _bare(cls, value: Any) -> Any:
        return {"min": value, "max": value} if isinstance(value, (str, int, float)) else value

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.min > self.max:
            raise ValueError("expected a 'max' that is not shorter than 'min'")
        return self

    def __str__(self) -> str:
        longest = format_duration(self.max)
        return longest if self.min == self.max else f"{format_duration(self.min)} to {longest}"


class DelaySettings(Settings):
    """Makes requests wait before they go on."""

    time: Annotated[Span, WithJsonSchema({"type": ["string", "object"]})] = Field(
        description="How long: a duration, or `{min, max}`, between which chance decides."
    )
    percent: Share = Field(description="How many of the requests, in per cent: from above 0 to 100.")


class AbortSettings(Settings):
    """Answers requests with an error, or not at all."""

    status: Annotated[StrictInt, Field(ge=400, le=599)] | Literal["reset"] = Field(
        default=503,
        description="What the client gets; `reset`: the connection (in HTTP/2 the stream) is reset without an answer.",
    )
    grpc_status: Annotated[StrictInt, Field(ge=1, le=16)] | None = Field(
        default=None,
        description="The status of gRPC that calls get; by default the one that comes closest to `status`.",
    )
    percent: Share = Field(description="How many of the requests, in per cent: from above 0 to 100.")


class HeaderSettings(Settings):
    """Lets certain clients ask for faults by header."""

    from_: Networks = Field(alias="from", description="Addresses and networks of the clients that may ask.")
    delay: HeaderName = Field(default="X-Fault-Delay", description="The header that asks for a delay, such as `250ms`.")
    abort: HeaderName = Field(
        default="X-Fault-Abort", description="The header that asks for an abort: a status from 400 to 599, or `reset`."
    )


class FaultSettings(Settings):
    """Injects faults: delays and aborts, into a share of the requests or those that ask for it."""

    delay: DelaySettings | None = Field(default=None, description="Makes requests wait: `{time, percent}`.")
    abort: AbortSettings | None = Field(default=None, description="Has requests fail: `{status, percent}`.")
    headers: HeaderSettings | None = Field(
        default=None, description="Clients in these networks may ask for faults by header; nobody else can: `{from}`."
    )
    key: KeySetting | None = Field(
        default=None,
        description="Whose hash decides who belongs to the shares, so that it is always the same; else chance.",
    )
    seed: str = Field(default="", description="Makes shares differ that go by the same key.")
    max_delay: Duration = Field(
        default=30.0, gt=0, le=600, description="No request is delayed for longer, whatever it asks for."
    )

    @model_validator(mode="after")
    def _something(self) -> Self:
        if self.delay is None and self.abort is None and self.headers is None:
            raise ValueError("expected one or more of 'delay', 'abort' and 'headers'")
        if self.delay is not None and self.delay.time.max > self.max_delay:
            raise ValueError(f"expected a delay of at most 'max_delay', {format_duration(self.max_delay)}")
        return self


@dataclass(frozen=True, slots=True)
class Plan:
    """What is done to one request: a delay in seconds (0.0: none), then an abort (0: none, -1: reset, else the status)."""

    delay: float = 0.0
    abort: int = 0

    @property
    def kind(self) -> str:
        """``""``, ``delay``, ``abort`` or ``delay+abort``, as in metrics."""
        return "+".join(word for word, there in (("delay", self.delay), ("abort", self.abort)) if there)

    def as_note(self) -> dict[str, Any]:
        """Return what the access log says of it."""
        note: dict[str, Any] = {}
        if self.delay:
            note["delay"] = round(self.delay, 6)
        if self.abort:
            note["abort"] = "reset" if self.abort < 0 else self.abort
        return note

    def __str__(self) -> str:
        words = []
        if self.delay:
            words.append(f"delayed by {format_duration(round(self.delay, 3))}")
        if self.abort:
            words.append("reset" if self.abort < 0 else f"answered with {self.abort}")
        return ", then ".join(words) or "left alone"


@implementer(IFilter)
class Fault:
    """The filter.

    Args:
        settings: as they are configured.
    """

    name = "fault"
    body_limit = 0
    on_error = "allow"

    def __init__(self, settings: FaultSettings) -> None:
        self._settings = settings
        key, seed = settings.key, settings.seed
        delay, abort, headers = settings.delay, settings.abort, settings.headers
        self._delayed = Percent(delay.percent, key, f"delay:{seed}") if delay is not None else None
        self._aborted = Percent(abort.percent, key, f"abort:{seed}") if abort is not None else None
        self._asked = () if headers is None else (headers.delay.lower().encode(), headers.abort.lower().encode())

    def plan(self, exchange: Exchange) -> Plan:
        """Return what is to be done to a request; nothing is changed."""
        settings, facts, draw = self._settings, exchange.facts, exchange.draw
        delay, abort = 0.0, 0
        asked_delay = asked_abort = None
        headers = settings.headers
        if headers is not None and _within(facts.client_ip, headers.from_):
            asked_delay = _delay_of(facts.header(headers.delay.lower()))
            asked_abort = _abort_of(facts.header(headers.abort.lower()))
        if asked_delay is not None:
            delay = min(asked_delay, settings.max_delay)
        elif settings.delay is not None and self._delayed is not None and self._delayed.takes(facts, draw):
            time = settings.delay.time
            delay = time.min if time.min == time.max else time.min + draw() * (time.max - time.min)
        if asked_abort is not None:
            abort = asked_abort
        elif settings.abort is not None and self._aborted is not None and self._aborted.takes(facts, draw):
            status = settings.abort.status
            abort = -1 if status == "reset" else status
        return Plan(delay, abort)

    def request(self, exchange: Exchange) -> Reply | Deferred[Reply | None] | None:
        """Do what the plan for this request says."""
        plan = self.plan(exchange)
        if self._asked:
            exchange.headers[:] = without(exchange.headers, self._asked)
        if not plan.kind:
            return None
        exchange.notes[NOTE] = plan
        exchange.notes.setdefault("log", {})[NOTE] = plan.as_note()
        reply = self._reply(plan, exchange) if plan.abort else None
        if plan.delay and exchange.wait is not None:
            waiting: Deferred[Reply | None] = exchange.wait(plan.delay)
            return waiting.addCallback(lambda _: reply)
        return reply

    def _reply(self, plan: Plan, exchange: Exchange) -> Reply:
        reason = FAULT_INJECTED.code
        if plan.abort < 0:
            return Reply(_RESET, reason=reason, detail=_DETAIL, cut=True)
        abort = self._settings.abort
        if abort is not None and abort.grpc_status is not None and is_grpc(exchange.headers):
            said = trailers(Status(abort.grpc_status), _DETAIL)
            return Reply(200, ((b"Content-Type", b"application/grpc"), *said), b"", reason=reason, detail=_DETAIL)
        return Reply(plan.abort, reason=reason, detail=_DETAIL)

    def response(self, exchange: Exchange) -> None:
        """Responses are not looked at."""

    def describe(self, exchange: Exchange) -> str:
        """Say what is done to this request, and to how many."""
        return f"{exchange.notes.get(NOTE) or Plan()} ({self._words()})"

    def _words(self) -> str:
        settings = self._settings
        words = []
        if settings.delay is not None:
            words.append(f"a delay of {settings.delay.time} for {self._delayed}")
        if settings.abort is not None:
            status = settings.abort.status
            words.append(f"{'a reset' if status == 'reset' else status} for {self._aborted}")
        if settings.headers is not None:
            words.append(f"by header from {', '.join(map(str, settings.headers.from_))}")
        return ", ".join(words)

    def __repr__(self) -> str:
        return f"<Fault {self._words()}>"


def _within(client: str, networks: tuple[Network, ...]) -> bool:
    try:
        address = ip_address(client.partition("%")[0])
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return any((mapped or address) in network for network in networks)


def _delay_of(text: str | None) -> float | None:
    """Return the seconds that a header asks for, None if it does not, or not in a way that is understood."""
    try:
        return None if text is None else parse_duration(text)
    except ValueError:
        return None


def _abort_of(text: str | None) -> int | None:
    if text == "reset":
        return -1
    if text is not None and text.isascii() and text.isdigit() and len(text) == 3 and 400 <= int(text) <= 599:
        return int(text)
    return None


FAULT = Factory("fault", Fault, FaultSettings)
"""The factory of the filter."""
