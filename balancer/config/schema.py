"""The whole configuration as a tree of frozen values; attribute names are the keys of the file.

``Config`` is made by :func:`balancer.config.read`, which adds the checks between parts that a schema cannot hold.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, PlainValidator, PrivateAttr, ValidationInfo, WithJsonSchema, model_validator

from balancer.config.document import Document, Loc
from balancer.config.fields import (
    AccessLogFormat,
    BindAddress,
    Cidr,
    FlagSource,
    GivenName,
    HeaderName,
    Name,
    Positive,
    PositiveDuration,
)
from balancer.config.forms import Filled, Many, Switch
from balancer.config.listeners import AnyListener
from balancer.config.matches import Match
from balancer.config.pools import Pool
from balancer.config.routing_tests import RoutingTest
from balancer.errors import Problem
from balancer.hooks.settings import Duration, LocalPath, Settings, local_path

__all__ = ["MOST_WORKERS", "AccessLog", "Admin", "Config", "Limits", "Metrics", "Plugins", "cpus"]

MOST_WORKERS = 256
"""Most processes that share the work."""


def _workers(value: Any) -> int:
    if value == "auto":
        return min(cpus(), MOST_WORKERS)
    if isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= MOST_WORKERS:
        return value
    raise ValueError(f"expected a number from 1 to {MOST_WORKERS}, or 'auto', got {value!r}")


def cpus() -> int:
    """Return how many processors this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not Linux
        return os.cpu_count() or 1


def _log_path(value: Any, info: ValidationInfo) -> str:
    return "-" if value == "-" else local_path(value, info)


class AccessLog(Settings):
    """One line for each exchange and session."""

    format: AccessLogFormat = Field(
        default="json", validate_default=True, description="Format: name or {name: settings}."
    )
    path: Annotated[str, PlainValidator(_log_path), WithJsonSchema({"type": "string"})] = Field(
        default="-", description="File to append to; '-' is standard output."
    )


class Metrics(Settings):
    """Prometheus text at /metrics."""

    bind: Annotated[tuple[BindAddress, ...], Many()] = Field(description="Where to listen.")


class Admin(Settings):
    """The admin API."""

    bind: Annotated[tuple[BindAddress, ...], Many()] = Field(description="Where to listen; a unix socket for choice.")
    token: str | None = Field(
        default=None, description="Bearer token; required on TCP. Use !file or ${ENV}.", min_length=16, repr=False
    )
    audit_log: LocalPath | None = Field(
        default=None, description="File to append to what was changed, by whom; none: the service's log."
    )


class Debug(Settings):
    """Requests with a signed header are told, in the response, what was decided about them."""

    key: str = Field(
        description="Signs the header, see 'balancer debug-token'. Use !file or ${ENV}.", min_length=16, repr=False
    )
    header: HeaderName = Field(default="X-Balancer-Debug", description="The header that asks.")
    answer: HeaderName = Field(
        default="X-Balancer-Trace", description="The header of the response that tells, in JSON."
    )


class Plugins(Settings):
    """Installed plug-in packages."""

    disable: tuple[str, ...] = Field(default=(), description="Packages that are not loaded.")
    require: tuple[str, ...] = Field(default=(), description="Packages without which the balancer does not start.")
    on_error: Literal["allow", "deny"] = Field(
        default="allow", description="What becomes of a request in which a plug-in's filter or check raises."
    )
    trip_after: Positive = Field(default=10, description="Errors in a row that switch a plug-in's object off.")


class Limits(Settings):
    """Limits of the whole balancer."""

    connections: Positive | None = Field(
        default=None, description="Most connections; none: 80 % of half the descriptors."
    )
    connections_per_client: Positive = Field(default=1024, description="Most connections of one client address.")
    shed_after: Annotated[Duration, Field(ge=0, allow_inf_nan=False), Switch(off="0s", on="250ms")] = Field(
        default=0.25,
        description="Lag of the event loop from which on a share of what begins is turned away; false or 0s: never.",
    )


class Inspection(Settings):
    """Where WAF checks run that ask for a thread."""

    threads: Annotated[Positive, Field(le=64)] = Field(default=2, description="How many run at a time, in each worker.")
    waiting: Annotated[int, Field(ge=0, le=10_000)] = Field(
        default=64, description="How many more wait for a thread; beyond that a check counts as timed out."
    )


class Config(Settings):
    """A whole configuration."""

    workers: Annotated[
        int,
        PlainValidator(_workers),
        WithJsonSchema({"anyOf": [{"type": "integer", "minimum": 1, "maximum": MOST_WORKERS}, {"const": "auto"}]}),
    ] = Field(
        default=1,
        description="Processes that serve; 1: this one alone, auto: one for each processor that it may use.",
    )
    access_log: Annotated[AccessLog | None, Switch()] = Field(
        default={}, validate_default=True, description="The access log; false: none."
    )
    metrics: Metrics | None = Field(default=None, description="Prometheus text at /metrics.")
    admin: Admin | None = Field(default=None, description="The admin API.")
    plugins: Plugins = Field(default=Plugins(), description="Installed plug-in packages.")
    trusted_proxies: Annotated[tuple[Cidr, ...], Many(empty=True)] = Field(
        default=(), description="Peers whose forwarding headers are believed."
    )
    limits: Limits = Field(default=Limits(), description="Limits of the whole balancer.")
    waf: Inspection = Field(default=Inspection(), description="Where WAF checks run that ask for a thread.")
    graceful_timeout: PositiveDuration = Field(
        default=30.0, description="How long exchanges in flight may take at a stop."
    )
    secret: str | None = Field(
        default=None,
        description="Signs sticky cookies; none: random at each start. Use !file or ${ENV}.",
        min_length=16,
        repr=False,
    )
    debug: Debug | None = Field(
        default=None, description="Who may ask a request itself what became of it; none: nobody."
    )
    listeners: Annotated[Mapping[Name, AnyListener], Filled()] = Field(description="Listeners by name.")
    pools: Mapping[Name, Pool] = Field(default={}, description="Pools by name.")
    matches: Mapping[Name, Match] = Field(
        default={}, description="Conditions by name, for 'named' in the match of a route."
    )
    flags: FlagSource | None = Field(
        default=None,
        description="Where feature flags come from, for 'flag' in the match of a route: name or {name: settings}.",
    )
    tests: tuple[RoutingTest, ...] = Field(default=(), description="Routing tests, run by 'balancer test'.")

    _document: Document | None = PrivateAttr(default=None)

    def problem(self, loc: Loc, message: str, code: str = "invalid", *, key: bool = False) -> Problem:
        """Return a problem at ``loc``, such as ``("pools", "users", "algorithm")``, for what turns out in building.

        With file, line and column where the configuration came from a file and :meth:`forget_places` was not called.
        """
        document = self._document
        return (document or Document("configuration", "")).problem(loc, message, code, key=key)

    def holding(self, loc: Loc, text: str) -> Loc:
        """Return the first place below ``loc`` where the file says ``text``; ``loc`` itself where that is not known."""
        return loc if self._document is None else self._document.holding(loc, text)

    def remember_places(self, document: Document) -> None:
        """Keep ``document`` for :meth:`problem`."""
        self._document = document

    def forget_places(self) -> None:
        """Let go of the file's text and places, 1 to 2 kB for each route; for when all is built."""
        self._document = None

    @model_validator(mode="before")
    @classmethod
    def _name_routes(cls, value: Any) -> Any:
        """Give every route without a name ``listener[index]``, or the listener's name where ``pool`` is all there is."""
        if not isinstance(value, dict) or not isinstance(value.get("listeners"), dict):
            return value
        return {**value, "listeners": {name: _named(name, given) for name, given in value["listeners"].items()}}


def _named(name: str, listener: Any) -> Any:
    if not isinstance(listener, dict):
        return listener
    pool, routes = listener.get("pool"), listener.get("routes")
    if isinstance(pool, str) and "routes" not in listener:
        return {**listener, "routes": [{"pool": pool, "name": GivenName(name)}]}
    if not isinstance(routes, list):
        return listener
    named = [
        {**route, "name": GivenName(f"{name}[{at}]")} if isinstance(route, dict) and "name" not in route else route
        for at, route in enumerate(routes)
    ]
    return {**listener, "routes": named}
