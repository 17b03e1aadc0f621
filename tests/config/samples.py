"""A small set of plug-ins to validate configurations with, and short ways to load text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field

from balancer.config import Config, load_text
from balancer.errors import ConfigurationError, Problem
from balancer.hooks.interfaces import Factory
from balancer.hooks.plugged import Pluggable, Plugged
from balancer.hooks.settings import Duration, LocalPath, Settings


class P2cSettings(Settings):
    """Settings of the sample algorithm."""

    choices: int = Field(default=2, ge=2, description="Servers drawn.")
    decay: Duration = Field(default=10.0, description="How long the past counts.")


class CountrySettings(Settings):
    """Settings of the sample matcher."""

    country: str | tuple[str, ...] = Field(description="Country codes.")


class WafSettings(Settings):
    """Settings of a filter that holds plug-ins of its own."""

    checks: tuple[Annotated[Plugged, Pluggable("checks")], ...] = Field(default=(), description="What is checked.")


class RuleSettings(Settings):
    """Settings of the sample check."""

    file: LocalPath = Field(description="Where the rules are.")
    level: int = Field(default=1, description="How strict.")


class HeaderSettings(Settings):
    """Settings of the sample filter."""

    set: dict[str, str] = Field(default_factory=dict, description="Fields to set.")


class DirectorySettings(Settings):
    """Settings of the sample resource."""

    directory: LocalPath = Field(description="What is served.")


def _itself(settings: Any) -> Any:
    return settings


class Samples:
    """Factories by kind and name."""

    def __init__(self) -> None:
        self._kinds: dict[str, list[Factory]] = {
            "algorithms": [Factory("p2c", _itself, P2cSettings), Factory("round_robin", _itself)],
            "matchers": [Factory("geoip", _itself, CountrySettings, bare="country")],
            "filters": [Factory("headers", _itself, HeaderSettings), Factory("waf", _itself, WafSettings)],
            "checks": [Factory("rules", _itself, RuleSettings, bare="file"), Factory("size", _itself)],
            "probes": [Factory("tcp", _itself), Factory("http", _itself)],
            "resources": [Factory("static", _itself, DirectorySettings)],
            "access_log_formats": [Factory("json", _itself), Factory("clf", _itself)],
            "flags": [Factory("file", _itself)],
        }

    def factories(self, kind: str) -> Mapping[str, Factory]:
        return {factory.name: factory for factory in self._kinds[kind]}


SERVED = """
listeners:
  web:
    bind: 127.0.0.1:8080
    pool: app
pools:
  app:
    servers: [127.0.0.1:8000]
"""


def config_of(text: str, environment: Mapping[str, str] | None = None, **more: Any) -> Config:
    """Return the configuration in ``text``."""
    return load_text(text, Samples(), environment, file="b.yaml", **more).config


def problems_in(text: str, environment: Mapping[str, str] | None = None) -> list[Problem]:
    """Return the problems of ``text``; an empty list if it is valid."""
    try:
        config_of(text, environment or {})
    except ConfigurationError as error:
        return list(error.problems)
    return []


def lines_of(text: str) -> list[str]:
    """Return the problems of ``text`` as they are printed, without the name of the file."""
    return [str(problem).removeprefix("b.yaml:") for problem in problems_in(text)]


def route_problems(route: str) -> list[str]:
    """Return what is said of one HTTP route, written in flow style, without places."""
    text = f"listeners: {{web: {{bind: '*:80', routes: [{route}]}}}}\npools: {{app: {{servers: ['a:1']}}}}\n"
    return [
        f"{problem.path.removeprefix('listeners.web.routes[0].')}: {problem.message}" for problem in problems_in(text)
    ]


def pool_problems(pool: str) -> list[str]:
    """Return what is said of one pool with a server and the keys ``pool``, in flow style, without places."""
    text = f"listeners: {{web: {{bind: '*:80', pool: app}}}}\npools: {{app: {{servers: ['a:1'], {pool}}}}}\n"
    return [f"{problem.path.removeprefix('pools.app.')}: {problem.message}" for problem in problems_in(text)]
