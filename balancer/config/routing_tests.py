"""Routing tests beside the configuration: ``balancer test`` decides each request and compares."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from pydantic import Field, GetJsonSchemaHandler, StrictInt, WithJsonSchema, field_validator, model_validator
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from balancer.config.fields import HeaderName, HeaderValue, Ip, Method, Protocol, ServerName
from balancer.config.forms import Many, short
from balancer.hooks.settings import LocalPath, Settings, StringMatch

__all__ = ["ExpectedOutcome", "ExpectedRequest", "RoutingTest", "SampleRequest", "ServerAnswer"]


_SESSIONS = ("tcp://", "tls://", "udp://")


class SampleRequest(Settings):
    """A request, or session, to be decided."""

    method: Method = Field(default="GET", description="Its method.")
    url: str = Field(
        description="Absolute URL, or a path (then the host comes from a Host header); tcp://HOST:PORT or udp://HOST:PORT for a "
        "session, tls://NAME:PORT for one of a TLS client that asks for NAME."
    )
    headers: Mapping[HeaderName, Annotated[tuple[HeaderValue, ...], Many()]] = Field(
        default_factory=dict, description="Header fields by name: a value or a list."
    )
    client_ip: Ip = Field(default="127.0.0.1", validate_default=True, description="Where it comes from.")
    body: str | None = Field(default=None, description="Its body.")
    sni: ServerName | None = Field(default=None, description="Server name that a TLS client of tcp://… asks for.")
    alpn: Annotated[tuple[Protocol, ...], Many()] = Field(
        default=(), description="Protocols that a TLS client of tcp://… or tls://… offers."
    )
    at: Annotated[datetime | None, WithJsonSchema({"type": "string", "format": "date-time"})] = Field(
        default=None, description="When it comes, in ISO 8601; UTC unless it says otherwise. None: now."
    )
    client_certificate: LocalPath | None = Field(
        default=None, description="PEM file with the certificate that the client shows, taken for verified."
    )

    @field_validator("url")
    @classmethod
    def _absolute(cls, url: str) -> str:
        if not url.startswith(("/", "http://", "https://", *_SESSIONS)) or any(ord(each) <= 32 for each in url):
            raise ValueError(
                "expected 'http://host/path', 'https://host/path', a path that begins with '/', or a session's "
                f"'tcp://host:port', 'tls://name:port' or 'udp://host:port', got {url!r}"
            )
        return url

    @property
    def moment(self) -> float | None:
        """When it comes, in seconds since 1970."""
        at = self.at
        return None if at is None else (at if at.tzinfo is not None else at.replace(tzinfo=UTC)).timestamp()

    @model_validator(mode="after")
    def _of_a_session(self) -> SampleRequest:
        if (self.sni is not None or self.alpn) and not self.url.startswith(_SESSIONS[:2]):
            raise ValueError("expected 'sni' and 'alpn' only with a session's URL: tcp://host:port or tls://name:port")
        if self.sni is not None and self.sni.wildcard:
            raise ValueError(f"expected in 'sni' a name that a client may ask for, got '{self.sni}'")
        return self


class ServerAnswer(Settings):
    """What a server is taken to answer."""

    status: Annotated[StrictInt, Field(ge=200, le=599)] = Field(default=200, description="Its status.")
    headers: Mapping[HeaderName, Annotated[tuple[HeaderValue, ...], Many()]] = Field(
        default_factory=dict, description="Header fields by name, but for the body's framing: a value or a list."
    )
    body: str = Field(default="", description="Its body.")


class ExpectedRequest(Settings):
    """What a server must be sent; only what is given is compared. A bare string is the target."""

    method: Method | None = Field(default=None, description="Its method.")
    target: StringMatch | None = Field(default=None, description="Path and query as they would be sent.")
    host: StringMatch | None = Field(default=None, description="Host, or :authority.")
    headers: Mapping[HeaderName, StringMatch] = Field(default_factory=dict, description="Header fields by name.")
    body: StringMatch | None = Field(default=None, description="Its body, as filters leave it.")

    @model_validator(mode="before")
    @classmethod
    def _bare(cls, value: Any) -> Any:
        return {"target": value} if isinstance(value, str) else value

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return short(handler(schema), {"type": "string"})


class ExpectedOutcome(Settings):
    """What must come of it; only what is given is compared."""

    route: str | None = Field(default=None, description="Name of the route.")
    pool: str | None = Field(default=None, description="Name of the pool.")
    action: Literal["pool", "split", "redirect", "respond", "resource", "none"] | None = Field(
        default=None, description="Kind of action; none: no route matches."
    )
    status: StrictInt | None = Field(
        default=None,
        description="Status that the balancer itself answers, or what it makes of the 'answer' of a server.",
    )
    location: StringMatch | None = Field(default=None, description="Where a redirect leads.")
    server: str | None = Field(default=None, description="Name of the server, where it does not depend on chance.")
    request_headers: Mapping[HeaderName, StringMatch] = Field(
        default_factory=dict, description="Header fields of the request as it would be sent."
    )
    request: ExpectedRequest | None = Field(default=None, description="The request as it would be sent.")
    response_headers: Mapping[HeaderName, StringMatch] = Field(
        default_factory=dict,
        description="Header fields of what the balancer itself answers, or makes of the 'answer' of a server.",
    )
    response_body: StringMatch | None = Field(
        default=None,
        description="Body of a fixed response, of what a filter answers, or of what becomes of the 'answer' of a server.",
    )


class RoutingTest(Settings):
    """One routing test."""

    name: str = Field(description="What it shows.")
    listener: str | None = Field(
        default=None, description="The listener; by default the one on the URL's port, or the first of its protocol."
    )
    request: SampleRequest = Field(description="The request.")
    answer: ServerAnswer | None = Field(
        default=None, description="What a server is taken to answer; none: what becomes of that is not looked at."
    )
    expect: ExpectedOutcome = Field(description="What must come of it.")
