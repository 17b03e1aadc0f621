"""Cookies of ours that keep clients where they are."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from balancer.config.fields import Flag
from balancer.hooks.settings import Duration, Settings

__all__ = ["CookieName", "StickyCookie"]

CookieName = Annotated[str, Field(pattern=r"^[!#$%&'*+.^_`|~0-9A-Za-z-]+$")]
"""The name of a cookie."""


class StickyCookie(Settings):
    """A signed cookie of ours names the server, without revealing its address."""

    name: CookieName = Field(default="lb", description="The cookie's name.")
    ttl: Duration | None = Field(default=None, description="How long the browser keeps it; none: for its session.")
    path: Annotated[str, Field(pattern=r"^/[^;\x00-\x20\x7f]*$")] = Field(default="/", description="The cookie's path.")
    secure: Flag = Field(default=False, description="Send it over HTTPS only.")
    same_site: Literal["lax", "strict", "none"] | None = Field(default="lax", description="The SameSite attribute.")
