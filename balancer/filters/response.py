"""The ``response`` filter: status, fields by status, and the names in ``Location`` and ``Set-Cookie`` on the way to the client.

::

    response:
      status: {404: 410, 500-599: 503}                   # the server's, and what the client gets
      headers:
        - {status: 400-599, set: {Cache-Control: no-store}}
      location: true                                     # or {"http://internal:8000/app/": "/"}, before the server's own names
      cookies: {domain: {internal: shop.example}, path: true, secure: true, same_site: lax}

The body stays as it is: a new status does not make another page. Conditions are about the status that came, whatever it becomes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Self

from pydantic import BeforeValidator, Field, WithJsonSchema, model_validator
from zope.interface import implementer

from balancer.filters.cookie_rules import CookieRules, CookieSettings
from balancer.filters.headers import HeaderSteps, compiled, described
from balancer.filters.own_names import OwnNames
from balancer.hooks.interfaces import Factory, IFilter
from balancer.hooks.settings import Settings
from balancer.model.exchange import Exchange
from balancer.model.header_rules import header_value
from balancer.model.statuses import parse_statuses

__all__ = ["RESPONSE", "Response", "ResponseSettings"]

_FIXED = frozenset([*range(100, 200), 206, 304])
"""Statuses that say something about the body or the connection, and are not changed."""

_STATUSES = {"type": ["string", "integer", "array"], "examples": [404, "400-499", [500, 502]]}
Statuses = Annotated[frozenset[int], BeforeValidator(parse_statuses), WithJsonSchema(_STATUSES)]


def _status_map(value: Any) -> Any:
    if not isinstance(value, Mapping):
        raise ValueError("expected new statuses by those of the server, such as {404: 410}")
    found: dict[int, int] = {}
    for given, new in value.items():
        if not isinstance(new, int) or isinstance(new, bool) or not 200 <= new <= 599:
            raise ValueError(f"expected a status from 200 to 599 instead of {given}, got {new!r}")
        old = parse_statuses(given)
        fixed = sorted((old | {new}) & _FIXED)
        if fixed:
            raise ValueError(f"the status {fixed[0]} says how the body is to be read, and cannot be changed")
        for status in sorted(old):
            found.setdefault(status, new)
    return found


def _locations(value: Any) -> Any:
    if isinstance(value, bool):
        return {} if value else None
    if isinstance(value, Mapping):
        for old, new in value.items():
            if not isinstance(old, str) or not isinstance(new, str) or not old:
                raise ValueError("expected what URLs begin with, and what they are to begin with instead")
            header_value(new)
    return value


class StatusHeaders(HeaderSteps):
    """What to do with the fields of responses with some statuses."""

    status: Statuses = Field(description="Statuses of the server: 404, '400-499', or a list.")


class ResponseSettings(Settings):
    """Changes what the client is told about the response, but for its body."""

    status: Annotated[
        Mapping[int, int],
        BeforeValidator(_status_map),
        WithJsonSchema({"type": "object", "additionalProperties": {"type": "integer", "minimum": 200, "maximum": 599}}),
    ] = Field(default={}, description="New statuses, by those of the server: 404 or '500-599'; the first that fits.")
    headers: tuple[StatusHeaders, ...] = Field(
        default=(), description="Steps as those of 'headers', each for responses with a status."
    )
    location: Annotated[
        Mapping[str, str] | None,
        BeforeValidator(_locations),
        WithJsonSchema(
            {"oneOf": [{"type": "boolean"}, {"type": "object", "additionalProperties": {"type": "string"}}]}
        ),
    ] = Field(
        default=None,
        description="true: Location, Content-Location and Refresh with the server's own names are turned back into the client's; "
        "or what URLs begin with, and what instead, which is looked at before.",
    )
    cookies: CookieSettings | None = Field(default=None, description="Changes to the cookies that are set.")

    @model_validator(mode="after")
    def _something(self) -> Self:
        if not self.status and not self.headers and self.location is None and self.cookies is None:
            raise ValueError("expected at least one of 'status', 'headers', 'location' and 'cookies'")
        return self


@implementer(IFilter)
class Response:
    """The filter. ``captures`` are the names its values need from the route's path."""

    name = "response"
    body_limit = 0

    def __init__(self, settings: ResponseSettings) -> None:
        self.captures = frozenset[str]().union(*(steps.captures for steps in settings.headers))
        self._status = dict(settings.status)
        self._headers = tuple((steps.status, tuple(compiled(steps))) for steps in settings.headers)
        self._names = (
            OwnNames([(old.encode(), new.encode()) for old, new in settings.location.items()])
            if settings.location is not None
            else None
        )
        self._cookies = CookieRules(settings.cookies) if settings.cookies is not None else None
        self._words = "; ".join(
            [
                *([f"status: {_shown(self._status)}"] if self._status else []),
                *(f"with {_range(steps.status)}: {described(steps)}" for steps in settings.headers),
                *(["location: the server's names become the client's"] if self._names is not None else []),
                *([f"cookies: {self._cookies.text}"] if self._cookies is not None else []),
            ]
        )

    def request(self, exchange: Exchange) -> None:
        """Nothing: the request is as it is."""

    def response(self, exchange: Exchange) -> None:
        """Change the response's head."""
        status = exchange.status
        if self._names is not None:
            self._names.change(exchange)
        if self._cookies is not None:
            self._cookies.change(exchange)
        for statuses, changes in self._headers:
            if status in statuses:
                for change in changes:
                    change(exchange, exchange.response_headers)
        exchange.status = self._status.get(status, status)

    def describe(self, exchange: Exchange) -> str:
        """Return ``status: 404 to 410; cookies: secure``."""
        return self._words

    def __repr__(self) -> str:
        return f"<Response {self._words}>"


def _shown(statuses: Mapping[int, int]) -> str:
    by_new: dict[int, list[int]] = {}
    for old, new in statuses.items():
        by_new.setdefault(new, []).append(old)
    return ", ".join(f"{_range(old)} to {new}" for new, old in by_new.items())


def _range(statuses: Any) -> str:
    """Return ``404`` or ``500-599``; several ranges with commas."""
    runs: list[list[int]] = []
    for status in sorted(statuses):
        if runs and status == runs[-1][1] + 1:
            runs[-1][1] = status
        else:
            runs.append([status, status])
    return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in runs)


RESPONSE = Factory("response", Response, ResponseSettings)
"""The factory of the filter."""
