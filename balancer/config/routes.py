"""Routes: match → filters → exactly one action."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, GetJsonSchemaHandler, StrictInt, model_validator
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from balancer.config.attempts import Coalesce, Hedge, Retry, RouteTimeouts
from balancer.config.fields import Count, Filter, HeaderName, HeaderValue, Name, Port, PositiveDuration, Resource
from balancer.config.forms import Switch, given, one_of, short
from balancer.config.matches import Match, SessionMatch, StreamMatch
from balancer.config.splits import Split
from balancer.config.subsets import Labels
from balancer.hooks.settings import Settings
from balancer.model.queueing import HIGHEST
from balancer.rewriting.paths import PathSetting
from balancer.rewriting.queries import QuerySetting

__all__ = [
    "ACTIONS",
    "SERVER_KEYS",
    "QueuePriority",
    "Redirect",
    "Respond",
    "Route",
    "RouteQueue",
    "SessionRoute",
    "StreamRoute",
]

ACTIONS = ("pool", "split", "redirect", "respond", "resource")
"""The keys of a route of which it has exactly one."""

SERVER_KEYS = ("timeouts", "retry", "hedge", "coalesce")
"""The keys of a route that say how servers are dealt with: of one with ``pool`` or ``split``."""


class Redirect(Settings):
    """Sends the client elsewhere. A bare string is the target."""

    to: str | None = Field(
        default=None,
        description="URL or path; {name} inserts what the path captured. Ending in '/', what follows the prefix is appended.",
        min_length=1,
    )
    scheme: Literal["http", "https"] | None = Field(default=None, description="New scheme; instead of 'to'.")
    host: str | None = Field(default=None, description="New host; instead of 'to'.", min_length=1)
    port: Port | None = Field(default=None, description="New port; instead of 'to'.")
    path: PathSetting | None = Field(
        default=None, description="New path; instead of 'to'. A path, {prefix: /new}, or {regex: …, with: …}."
    )
    query: QuerySetting | None = Field(default=None, description="Steps that change the query; 'to' may hold another.")
    status: Literal[301, 302, 303, 307, 308] = Field(default=308, description="Status of the answer.")

    @model_validator(mode="before")
    @classmethod
    def _bare(cls, value: Any) -> Any:
        return {"to": value} if isinstance(value, str) else value

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        names = ("scheme", "host", "port", "path")
        parts = {"anyOf": [given(key) for key in names]}
        query = {"allOf": [given("query"), {"not": {"anyOf": [given(key) for key in ("to", *names)]}}]}
        return short({**handler(schema), "oneOf": [given("to"), parts, query]}, {"type": "string"})

    @model_validator(mode="after")
    def _one_form(self) -> Redirect:
        parts = [self.scheme, self.host, self.port, self.path]
        given_parts = any(part is not None for part in parts)
        if given_parts if self.to is not None else not given_parts and self.query is None:
            raise ValueError("expected either 'to', or one or more of 'scheme', 'host', 'port', 'path' and 'query'")
        return self


class Respond(Settings):
    """Answers with a fixed response. A bare number is the status."""

    status: Annotated[StrictInt, Field(ge=200, le=599)] = Field(default=200, description="Status of the answer.")
    body: str | None = Field(default=None, description="Body; none with an error status means the error page.")
    headers: Mapping[HeaderName, HeaderValue] = Field(default_factory=dict, description="Header fields by name.")
    content_type: HeaderValue = Field(default="text/plain; charset=utf-8", description="Content-Type of the body.")

    @model_validator(mode="before")
    @classmethod
    def _bare(cls, value: Any) -> Any:
        return {"status": value} if isinstance(value, int) and not isinstance(value, bool) else value

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return short(handler(schema), {"type": "integer", "minimum": 200, "maximum": 599})


QueuePriority = Annotated[Count, Field(le=HIGHEST)]


class RouteQueue(Settings):
    """What becomes of a route's requests that have to wait for a server. A bare number is the priority."""

    priority: QueuePriority | None = Field(
        default=None,
        description="0 to 10: the highest are served first, the lowest refused first; none: as the pool has it.",
    )
    timeout: PositiveDuration | None = Field(default=None, description="Longest wait; none: as the pool has it.")

    @model_validator(mode="before")
    @classmethod
    def _bare(cls, value: Any) -> Any:
        return {"priority": value} if isinstance(value, int) and not isinstance(value, bool) else value

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return short(handler(schema), {"type": "integer", "minimum": 0, "maximum": HIGHEST})


class Route(Settings):
    """One route of an HTTP listener. Exactly one of pool, split, redirect, respond and resource says where it leads."""

    name: Name = Field(default="", description="Shown in logs, metrics and explain; by default listener[index].")
    match: Match = Field(default=Match(), description="Conditions that must all hold; none: every request.")
    filters: tuple[Filter, ...] = Field(default=(), description="Filters, in order: name or {name: settings}.")
    priority: StrictInt = Field(default=0, description="Higher goes first, whatever is more specific.")
    pool: str | None = Field(default=None, description="Action: the pool that serves the request.")
    split: Split | None = Field(default=None, description="Action: pools that share the requests by weight.")
    redirect: Redirect | None = Field(default=None, description="Action: send the client elsewhere.")
    respond: Respond | None = Field(default=None, description="Action: a fixed response.")
    resource: Resource | None = Field(default=None, description="Action: a Twisted resource: name or {name: settings}.")
    timeouts: RouteTimeouts | None = Field(
        default=None, description="How long servers may take with these requests, where that differs from their pool."
    )
    retry: Annotated[Retry | None, Switch({"attempts": 0})] = Field(
        default=None, description="What of 'retry' differs from the pool for these requests; false: never."
    )
    hedge: Annotated[Hedge | None, Switch()] = Field(
        default=None,
        description="Asking a second server while the first takes its time, instead of what the pool has; false: never.",
    )
    coalesce: Annotated[Coalesce | None, Switch()] = Field(
        default=None, description="Requests that are alike share one answer; true: with all defaults."
    )

    queue: RouteQueue | None = Field(
        default=None, description="Priority and longest wait of those that wait for a server."
    )
    subset: Labels = Field(
        default={},
        description="Labels that servers must have, before what the request asks for; see 'subset' of pools.",
    )

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return one_of(handler(schema), *ACTIONS)

    @property
    def action(self) -> str:
        """Return which of :data:`ACTIONS` this route has; ``""`` where it has none (refused by checking)."""
        return next((action for action in ACTIONS if getattr(self, action) is not None), "")

    @property
    def pools(self) -> tuple[str, ...]:
        """Return the names of the pools that this route may lead to."""
        if self.pool is not None:
            return (self.pool,)
        return tuple(self.split.weights) if self.split is not None else ()


class SessionRoute(Settings):
    """One route of a UDP listener."""

    name: Name = Field(default="", description="Shown in logs and metrics; by default listener[index].")
    match: SessionMatch = Field(default=SessionMatch(), description="Conditions that must all hold; none: everything.")
    pool: str = Field(description="The pool that serves the session.")

    @property
    def pools(self) -> tuple[str, ...]:
        """Return the names of the pools that this route may lead to."""
        return (self.pool,)


class StreamRoute(SessionRoute):
    """One route of a TCP listener."""

    match: StreamMatch = Field(default=StreamMatch(), description="Conditions that must all hold; none: everything.")
