"""Which pages of other origins may call: what browsers ask before they let them (CORS, the Fetch standard section 3.2).

A piece for filters, not one itself. Origins are ``https://shop.example``, ``https://*.shop.example`` (every name below it), with a
port where it is not the usual one, ``null``, or ``*`` for all.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Annotated, Any, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from balancer.errors import HTTP_REQUEST_DENIED
from balancer.hooks.settings import Duration, Settings
from balancer.model.exchange import Reply
from balancer.model.facts import RequestFacts
from balancer.model.headers import RawHeaders, without

__all__ = ["Cors", "CorsSetting", "CorsSettings", "asked_headers"]

_ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://(?:\*\.)?(?:[a-z0-9._-]+|\[[0-9a-f:.]+\])(?::[0-9]{1,5})?\Z")
_NAMES = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+(?:[ \t]*,[ \t]*[!#$%&'*+.^_`|~0-9A-Za-z-]+)*\Z")
_ALLOWED = (
    b"access-control-allow-origin",
    b"access-control-allow-credentials",
    b"access-control-expose-headers",
)
_NOT_EXPOSED = frozenset(
    b"access-control-allow-credentials access-control-allow-origin access-control-expose-headers alt-svc cache-control connection"
    b" content-language content-length content-type date expires keep-alive last-modified pragma server set-cookie"
    b" strict-transport-security transfer-encoding vary via".split()
)
"""What pages may read anyway, and what is none of their business."""


def _origin(text: str) -> str:
    text = text.lower().removesuffix("/")
    if text in ("*", "null") or _ORIGIN.match(text):
        return text
    raise ValueError(f"expected an origin like https://shop.example, https://*.shop.example, null or *, got {text!r}")


class CorsSettings(Settings):
    """Pages of which origins may call, and how."""

    origins: tuple[Annotated[str, AfterValidator(_origin)], ...] = Field(
        min_length=1, description="Where the pages come from: `https://shop.example`, `https://*.shop.example`, or `*`."
    )
    credentials: bool = Field(
        default=False, description="Whether calls may carry cookies and client certificates; not with the origin `*`."
    )
    max_age: Duration = Field(default=600.0, ge=0, description="How long browsers may remember that they may call.")

    @model_validator(mode="after")
    def _named(self) -> Self:
        if self.credentials and "*" in self.origins:
            raise ValueError("expected the origins by name where there are credentials, got '*'")
        return self


def _mapping(value: Any) -> Any:
    if isinstance(value, str):
        return {"origins": (value,)}
    return {"origins": value} if isinstance(value, (list, tuple)) else value


CorsSetting = Annotated[CorsSettings, BeforeValidator(_mapping)]
"""The settings, or only the origins: one or a list."""


class Cors:
    """The rules.

    Args:
        settings: as they are configured.
    """

    def __init__(self, settings: CorsSettings) -> None:
        self._all = "*" in settings.origins
        self._exact = frozenset(origin for origin in settings.origins if "//*." not in origin)
        self._below = tuple(
            (scheme + "//", "." + rest)
            for scheme, star, rest in (origin.partition("//*.") for origin in settings.origins)
            if star
        )
        self._credentials = settings.credentials
        self._max_age = int(settings.max_age)

    def admits(self, origin: str) -> bool:
        """Whether pages of ``origin`` may call."""
        if self._all:
            return True
        origin = origin.lower()
        return origin in self._exact or any(
            origin.startswith(scheme) and origin.endswith(rest) and len(origin) > len(scheme) + len(rest)
            for scheme, rest in self._below
        )

    def preflight(self, facts: RequestFacts, methods: bytes = b"POST") -> Reply:
        """Return the answer to a browser that asks whether a page may make a request with such headers."""
        origin = facts.header("origin") or ""
        names = facts.header("access-control-request-headers") or ""
        if not self.admits(origin) or not (not names or _NAMES.match(names)):
            return Reply(
                403,
                ((b"Vary", b"Origin"),),
                reason=HTTP_REQUEST_DENIED.code,
                detail="pages of this origin may not call",
            )
        fields: RawHeaders = [*self._origin_fields(origin), (b"Access-Control-Allow-Methods", methods)]
        if names:
            fields.append((b"Access-Control-Allow-Headers", names.encode("latin-1")))
        fields.append((b"Access-Control-Max-Age", b"%d" % self._max_age))
        return Reply(204, tuple(fields), b"")

    def allow(self, origin: str | None, headers: RawHeaders, exposed: Iterable[bytes] = ()) -> None:
        """Say in ``headers``, those of a response, that a page of ``origin`` may read it: all of it, and ``exposed``."""
        kept = without(headers, _ALLOWED)
        if origin is not None and self.admits(origin):
            names = dict.fromkeys([*exposed, *(name.lower() for name, _ in kept)])
            shown = b", ".join(name for name in names if name not in _NOT_EXPOSED)
            kept += [*self._origin_fields(origin), (b"Access-Control-Expose-Headers", shown)]
        elif not self._all:
            kept.append((b"Vary", b"Origin"))
        headers[:] = kept

    def _origin_fields(self, origin: str) -> RawHeaders:
        if self._all:
            return [(b"Access-Control-Allow-Origin", b"*")]
        fields: RawHeaders = [(b"Access-Control-Allow-Origin", origin.encode("latin-1"))]
        if self._credentials:
            fields.append((b"Access-Control-Allow-Credentials", b"true"))
        fields.append((b"Vary", b"Origin"))
        return fields

    def __repr__(self) -> str:
        origins = ["*"] if self._all else [*sorted(self._exact), *(f"{scheme}*{rest}" for scheme, rest in self._below)]
        return f"<Cors {', '.join(origins)}>"


def asked_headers(facts: RequestFacts) -> frozenset[str] | None:
    """Return the names, in lower case, of which a browser asks in a preflight; None if the request is none."""
    if facts.method != "OPTIONS" or not facts.header("origin") or not facts.header("access-control-request-method"):
        return None
    names = facts.header("access-control-request-headers") or ""
    return frozenset(name.strip().lower() for name in names.split(","))
