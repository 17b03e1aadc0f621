"""The ``match`` of a route: every condition must hold; an empty one holds for everything."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, GetCoreSchemaHandler, GetJsonSchemaHandler, ValidationInfo, model_validator
from pydantic_core import CoreSchema, core_schema

from balancer.config.fields import Cidr, HeaderName, Host, Ip, Method, Name, Path, Port, Protocol, ServerName
from balancer.config.forms import Filled, Many
from balancer.hooks.plugged import Plugged, invalid, plugged_settings
from balancer.hooks.settings import Settings, StringMatch

__all__ = ["MATCHERS", "OWN_KEYS", "Match", "SessionMatch", "StreamMatch"]

MATCHERS = "(matchers)"
"""The alias of the field that collects plug-in matchers; no key of a configuration file is called so."""


class _Matchers:
    """Marks the field that collects the plug-in matchers of a ``match``, given as a mapping of those known."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.with_info_plain_validator_function(_plugged)

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {"x-plugged-keys": "matchers"}


def _plugged(value: Any, info: core_schema.ValidationInfo) -> tuple[Plugged, ...]:
    context = info.context or {}
    return plugged_settings(value, context["registry"].factories("matchers"), context)


class Match(Settings):
    """Conditions on a request; all must hold. Matchers of plug-ins are further keys: ``geoip: DE``."""

    host: Annotated[tuple[Host, ...], Many()] = Field(
        default=(), description="Host asked for: exact or '*.example.org'; a list means any of them."
    )
    path: Annotated[tuple[Path, ...], Many()] = Field(
        default=(),
        description="Path: '/a' exact, '/a/**' prefix, '/users/{id}' template, {regex: …}; a list means any of them.",
    )
    method: Annotated[tuple[Method, ...], Many()] = Field(default=(), description="Method; a list means any of them.")
    headers: Mapping[HeaderName, StringMatch] = Field(
        default_factory=dict,
        description="Header fields by name: a string, or {prefix, suffix, contains, regex, present}.",
    )
    cookies: Mapping[str, StringMatch] = Field(
        default_factory=dict, description="Cookies by name: a string, or {prefix, suffix, contains, regex, present}."
    )
    query: Mapping[str, StringMatch] = Field(
        default_factory=dict,
        description="Query parameters by name: a string, or {prefix, suffix, contains, regex, present}.",
    )
    client: Annotated[tuple[Cidr, ...], Many()] = Field(
        default=(), description="Client's address: a network in CIDR notation, or a list of them."
    )
    scheme: Literal["http", "https"] | None = Field(default=None, description="How the client came: http or https.")
    named: Annotated[tuple[Name, ...], Many()] = Field(
        default=(),
        description="Names of 'matches' of the whole configuration that must hold; a list means all of them.",
    )
    flag: Mapping[str, StringMatch] = Field(
        default_factory=dict,
        description="Feature flags by name, of the source in 'flags': a string, or {prefix, suffix, contains, regex, present}.",
    )
    all: Annotated[tuple[Match, ...], Filled()] = Field(default=(), description="Conditions that must all hold.")
    any: Annotated[tuple[Match, ...], Filled()] = Field(default=(), description="Conditions of which one must hold.")
    not_: Match | None = Field(default=None, alias="not", description="Conditions that must not all hold.")
    matchers: Annotated[tuple[Plugged, ...], _Matchers()] = Field(default=(), alias="(matchers)")

    @model_validator(mode="before")
    @classmethod
    def _sort_out(cls, value: Any, info: ValidationInfo) -> Any:
        """Move the keys that are names of plug-in matchers into a field of their own."""
        if not isinstance(value, dict) or value.keys() <= OWN_KEYS:
            return value
        if MATCHERS in value:
            raise invalid(f"unknown key '{MATCHERS}'", MATCHERS, code="unknown")
        registry = (info.context or {}).get("registry")
        known = registry.factories("matchers") if registry is not None else {}
        extra = {key: item for key, item in value.items() if key not in OWN_KEYS and key in known}
        if not extra:
            return value
        return {**{key: item for key, item in value.items() if key not in extra}, MATCHERS: extra}


OWN_KEYS = frozenset(field.alias or name for name, field in Match.model_fields.items()) - {MATCHERS}
"""The keys of a ``match`` that are no plug-in's."""


class SessionMatch(Settings):
    """Conditions on a TCP session or UDP flow; all must hold."""

    client: Annotated[tuple[Cidr, ...], Many()] = Field(
        default=(), description="Client's address: a network in CIDR notation, or a list of them."
    )
    local_port: Annotated[tuple[Port, ...], Many()] = Field(
        default=(), description="Port that the client connected to; a list means any of them."
    )
    local_address: Annotated[tuple[Ip, ...], Many()] = Field(
        default=(), description="Address of ours that the client connected to; a list means any of them."
    )


class StreamMatch(SessionMatch):
    """Conditions on a TCP session; all must hold. For ``sni`` and ``alpn`` the client's TLS ClientHello is looked at."""

    sni: Annotated[tuple[ServerName, ...], Many()] = Field(
        default=(), description="Server name that a TLS client asks for: exact or '*.example.org'; a list means any."
    )
    alpn: Annotated[tuple[Protocol, ...], Many()] = Field(
        default=(), description="Protocol that a TLS client offers, such as h2 or http/1.1; a list means any of them."
    )
