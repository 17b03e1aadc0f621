"""When a request comes, registered like a plug-in's matcher.

::

    match: {time: {days: mon-fri, from: "08:00", to: "18:00", zone: Europe/Berlin}}
    match: {time: {after: 2026-11-27T00:00:00+01:00, before: 2026-11-30T00:00:00+01:00}}

Days and hours are those of the zone's clocks, summer time and all; a window from 22:00 to 06:00 goes on past midnight, and belongs to the day on which it
began.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import BeforeValidator, Field, PlainValidator, WithJsonSchema, model_validator
from zope.interface import implementer

from balancer.hooks.interfaces import Factory, IMatcher
from balancer.hooks.settings import Settings
from balancer.model.facts import RequestFacts

__all__ = ["TIME", "TimeMatcher", "TimeSettings"]

_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_WHOLE_DAY = 24 * 60


def _days(value: Any) -> frozenset[int]:
    parts = value if isinstance(value, (list, tuple)) else (value,)
    found: set[int] = set()
    for part in parts:
        first, _, last = str(part).strip().lower().partition("-")
        if first not in _DAYS or (last and last not in _DAYS):
            raise ValueError(f"expected days such as 'mon', or 'mon-fri', got {part!r}")
        start, end = _DAYS.index(first), _DAYS.index(last or first)
        found.update(day % 7 for day in range(start, end + 1 if end >= start else end + 8))
    if not found:
        raise ValueError("expected at least one day")
    return frozenset(found)


def _minutes(value: Any) -> int:
    hour, colon, minute = str(value).partition(":")
    if not (colon and hour.isdigit() and minute.isdigit() and len(minute) == 2 and int(minute) < 60):
        raise ValueError(f'expected a time of day such as "08:00", in quotes, got {value!r}')
    found = int(hour) * 60 + int(minute)
    if found > _WHOLE_DAY:
        raise ValueError(f'expected a time of day from "00:00" to "24:00", got {value!r}')
    return found


def _moment(value: Any) -> float:
    try:
        found = value if isinstance(value, datetime) else datetime.fromisoformat(str(value))
    except ValueError:
        raise ValueError(f"expected a moment such as 2026-11-27T00:00:00+01:00, got {value!r}") from None
    return (found if found.tzinfo is not None else found.replace(tzinfo=UTC)).timestamp()


def _zone(value: Any) -> ZoneInfo:
    try:
        return ZoneInfo(str(value))
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(
            f"expected a time zone that this machine knows, such as 'Europe/Berlin', got {value!r}"
        ) from None


_DAY_SCHEMA = {"type": "string", "pattern": "^(mon|tue|wed|thu|fri|sat|sun)(-(mon|tue|wed|thu|fri|sat|sun))?$"}
Minutes = Annotated[int, PlainValidator(_minutes), WithJsonSchema({"type": "string", "examples": ["08:00"]})]
Moment = Annotated[float, PlainValidator(_moment), WithJsonSchema({"type": "string", "format": "date-time"})]


class TimeSettings(Settings):
    """When a request comes; all that is given must hold."""

    days: Annotated[
        frozenset[int],
        PlainValidator(_days),
        WithJsonSchema({"oneOf": [_DAY_SCHEMA, {"type": "array", "items": _DAY_SCHEMA, "minItems": 1}]}),
    ] = Field(
        default=frozenset(range(7)), description="Days of the week: mon, tue … or mon-fri; a list means any of them."
    )
    from_: Minutes = Field(default=0, alias="from", description="Time of day, in quotes, from which on.")
    to: Minutes = Field(
        default=_WHOLE_DAY, description="Time of day, in quotes, until which; before 'from': of the next day."
    )
    zone: Annotated[ZoneInfo, BeforeValidator(_zone), WithJsonSchema({"type": "string"})] = Field(
        default=ZoneInfo("UTC"), description="Whose clocks: Europe/Berlin and the like."
    )
    after: Moment | None = Field(
        default=None, description="Moment from which on, in ISO 8601; UTC unless it says otherwise."
    )
    before: Moment | None = Field(default=None, description="Moment until which.")

    @model_validator(mode="after")
    def _something(self) -> Self:
        if not self.model_fields_set - {"zone"}:
            raise ValueError("expected one of days, from, to, after, before")
        if self.from_ == self.to:
            raise ValueError("expected 'from' and 'to' to be different times of day")
        if self.after is not None and self.before is not None and self.after >= self.before:
            raise ValueError("expected 'after' to be earlier than 'before'")
        return self


@implementer(IMatcher)
@dataclass(frozen=True, slots=True)
class TimeMatcher:
    """Holds in a window of time."""

    settings: TimeSettings

    def matches(self, facts: RequestFacts) -> bool:
        """Return whether the request comes within it."""
        settings = self.settings
        wall = facts.wall
        if settings.after is not None and wall < settings.after:
            return False
        if settings.before is not None and wall >= settings.before:
            return False
        here = datetime.fromtimestamp(wall, settings.zone)
        minute, day = here.hour * 60 + here.minute, here.weekday()
        if settings.from_ <= settings.to:
            return settings.from_ <= minute < settings.to and day in settings.days
        if minute >= settings.from_:
            return day in settings.days
        return minute < settings.to and (here - timedelta(days=1)).weekday() in settings.days

    def describe(self) -> str:
        """Return ``time is mon, tue, 08:00 to 18:00 in Europe/Berlin``."""
        settings = self.settings
        said = []
        if len(settings.days) < 7:
            said.append(", ".join(_DAYS[day] for day in sorted(settings.days)))
        if (settings.from_, settings.to) != (0, _WHOLE_DAY):
            said.append(f"{_clock(settings.from_)} to {_clock(settings.to)}")
        if said:
            said.append(f"in {settings.zone.key}")
        if settings.after is not None:
            said.append(f"after {_iso(settings.after)}")
        if settings.before is not None:
            said.append(f"before {_iso(settings.before)}")
        return f"time is {' '.join(said)}"


def _clock(minutes: int) -> str:
    return f"{minutes // 60:02}:{minutes % 60:02}"


def _iso(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).isoformat().replace("+00:00", "Z")


TIME = Factory("time", TimeMatcher, TimeSettings)
