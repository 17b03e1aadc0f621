"""How the request came in: our port it was sent to, and the HTTP version. Registered like a plug-in's matchers.

``match: {local_port: 8443}`` tells apart what one listener receives on several addresses; ``match: {http_version:
"1.0"}`` finds old clients.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, WithJsonSchema
from zope.interface import implementer

from balancer.hooks.interfaces import Factory, IMatcher
from balancer.hooks.settings import Settings
from balancer.model.facts import RequestFacts

__all__ = ["HTTP_VERSION", "LOCAL_PORT", "LocalPortMatcher", "VersionMatcher"]


def _many(value: Any) -> Any:
    return value if isinstance(value, (list, tuple)) else (value,)


Port = Annotated[int, Field(ge=1, le=65535)]


class LocalPortSettings(Settings):
    """Our port that the client connected to; a list means any of them."""

    ports: Annotated[
        tuple[Port, ...],
        BeforeValidator(_many),
        Field(min_length=1),
        WithJsonSchema({"oneOf": [{"type": "integer"}, {"type": "array", "items": {"type": "integer"}}]}),
    ] = Field(description="Port, or a list of ports, that the client connected to.")


@implementer(IMatcher)
@dataclass(frozen=True, slots=True)
class LocalPortMatcher:
    """Holds where the client connected to one of ``ports``."""

    ports: tuple[int, ...]

    def matches(self, facts: RequestFacts) -> bool:
        """Return whether the connection came in on one of the ports."""
        return facts.local.port in self.ports

    def describe(self) -> str:
        """Return ``local port is 8080 or 8443``."""
        return f"local port is {' or '.join(map(str, self.ports))}"


class VersionSettings(Settings):
    """The HTTP version of the request."""

    version: Literal["1.0", "1.1"] = Field(description="Version that the client speaks, in quotes.")


@implementer(IMatcher)
@dataclass(frozen=True, slots=True)
class VersionMatcher:
    """Holds where the request is of HTTP ``version``."""

    version: str

    def matches(self, facts: RequestFacts) -> bool:
        """Return whether the request is of that version."""
        return facts.version == self.version

    def describe(self) -> str:
        """Return ``HTTP version is 1.0``."""
        return f"HTTP version is {self.version}"


LOCAL_PORT = Factory("local_port", lambda settings: LocalPortMatcher(settings.ports), LocalPortSettings, "ports")
HTTP_VERSION = Factory("http_version", lambda settings: VersionMatcher(settings.version), VersionSettings, "version")
