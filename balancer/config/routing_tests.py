"""Routing tests beside the configuration: ``balancer test`` decides each request and compares."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field, StrictInt, field_validator

from balancer.config.fields import HeaderName, HeaderValue, Ip, Method
from balancer.config.forms import Many
from balancer.hooks.settings import LocalPath, Settings, StringMatch

__all__ = ["ExpectedOutcome", "RoutingTest", "SampleRequest"]


class SampleRequest(Settings):
    """A request to be decided."""

    method: Method = Field(default="GET", description="Its method.")
    url: str = Field(description="Absolute URL, or a path (then the host comes from a Host header).")
    headers: Mapping[HeaderName, Annotated[tuple[HeaderValue, ...], Many()]] = Field(
        default_factory=dict, description="Header fields by name: a value or a list."
    )
    client_ip: Ip = Field(default="127.0.0.1", validate_default=True, description="Where it comes from.")
    body: str | None = Field(default=None, description="Its body.")
    client_certificate: LocalPath | None = Field(
        default=None, description="PEM file with the certificate that the client shows, taken for verified."
    )

    @field_validator("url")
    @classmethod
    def _absolute(cls, url: str) -> str:
        if not url.startswith(("/", "http://", "https://")) or any(ord(character) <= 32 for character in url):
            raise ValueError(
                f"expected 'http://host/path', 'https://host/path' or a path that begins with '/', got {url!r}"
            )
        return url


class ExpectedOutcome(Settings):
    """What must come of it; only what is given is compared."""

    route: str | None = Field(default=None, description="Name of the route.")
    pool: str | None = Field(default=None, description="Name of the pool.")
    action: Literal["pool", "split", "redirect", "respond", "resource", "none"] | None = Field(
        default=None, description="Kind of action; none: no route matches."
    )
    status: StrictInt | None = Field(default=None, description="Status that the balancer itself answers.")
    location: StringMatch | None = Field(default=None, description="Where a redirect leads.")
    server: str | None = Field(default=None, description="Name of the server, where it does not depend on chance.")
    request_headers: Mapping[HeaderName, StringMatch] = Field(
        default_factory=dict, description="Header fields of the request as it would be sent."
    )


class RoutingTest(Settings):
    """One routing test."""

    name: str = Field(description="What it shows.")
    listener: str | None = Field(default=None, description="The HTTP listener; by default the only one, or the first.")
    request: SampleRequest = Field(description="The request.")
    expect: ExpectedOutcome = Field(description="What must come of it.")
