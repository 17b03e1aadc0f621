"""What becomes of the cookies that servers set: domain, path and flags of ``Set-Cookie`` (RFC 6265 section 4.1).

Names, values, and attributes that no rule means keep their bytes and order.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from balancer.filters.own_names import path_for_client
from balancer.hooks.settings import Settings
from balancer.model.exchange import Exchange
from balancer.model.header_rules import header_value

__all__ = ["CookieRules", "CookieSettings"]

_SAME_SITE = {"lax": b"Lax", "strict": b"Strict", "none": b"None"}


def _attribute(text: str) -> str:
    header_value(text)
    if ";" in text or "," in text:
        raise ValueError(f"expected the value of one attribute, got {text!r}")
    return text


def _path(text: str) -> str:
    if not text.startswith("/"):
        raise ValueError(f"expected a path that begins with '/', got {text!r}")
    return _attribute(text)


Attribute = Annotated[str, AfterValidator(_attribute)]
Path = Annotated[str, AfterValidator(_path)]


class CookieSettings(Settings):
    """Changes the cookies that servers set."""

    only: tuple[str, ...] = Field(default=(), description="Cookies that are meant, '*' at the end; none: all.")
    domain: Mapping[Attribute, Attribute] = Field(
        default={}, description="New domains, by old one; '' takes the attribute out, so that only the host gets it."
    )
    path: Literal[True] | Mapping[Path, Path] = Field(
        default={},
        description="New paths, by what old ones begin with; true: turned back as 'rewrite' replaced a prefix.",
    )
    secure: bool | None = Field(default=None, description="Whether they are for https only.")
    http_only: bool | None = Field(default=None, description="Whether they are hidden from scripts.")
    same_site: Literal["lax", "strict", "none"] | None = Field(default=None, description="The SameSite attribute.")

    @model_validator(mode="after")
    def _sound(self) -> Self:
        if self.same_site == "none" and self.secure is False:
            raise ValueError("browsers drop a cookie with same_site: none that is not secure")
        return self


class CookieRules:
    """The rules, ready to be used."""

    def __init__(self, settings: CookieSettings) -> None:
        self._whole = frozenset(name.encode() for name in settings.only if not name.endswith("*"))
        self._begins = tuple(name[:-1].encode() for name in settings.only if name.endswith("*"))
        self._all = not settings.only
        self._domains = {old.lower().lstrip(".").encode(): new.encode() for old, new in settings.domain.items()}
        self._turned = settings.path is True
        paths = {} if settings.path is True else settings.path
        self._paths = tuple((old.rstrip("/").encode(), new.encode()) for old, new in paths.items())
        self._flags = {b"secure": (settings.secure, b"Secure"), b"httponly": (settings.http_only, b"HttpOnly")}
        self._same_site = _SAME_SITE[settings.same_site] if settings.same_site is not None else None
        named = ("only", "domain", "path", "secure", "http_only", "same_site")
        self.text = " ".join(name for name in named if name in settings.model_fields_set)

    def change(self, exchange: Exchange) -> None:
        """Change the cookies of the response of ``exchange``."""
        headers = exchange.response_headers
        for at, (name, value) in enumerate(headers):
            if name.lower() == b"set-cookie":
                headers[at] = (name, self._changed(value, exchange))

    def _changed(self, value: bytes, exchange: Exchange) -> bytes:
        pair, *attributes = value.split(b";")
        cookie = pair.partition(b"=")[0].strip()
        if not (self._all or cookie in self._whole or cookie.startswith(self._begins)):
            return value
        kept = [pair]
        for attribute in attributes:
            key, _, old = attribute.partition(b"=")
            name, old = key.strip().lower(), old.strip()
            if name == b"domain":
                new = self._domains.get(old.lower().lstrip(b"."))
                if new is not None:
                    if new:
                        kept.append(b" Domain=" + new)
                    continue
            elif name == b"path":
                path = path_for_client(old, exchange) if self._turned and exchange.origin else self._path(old)
                if path != old:
                    kept.append(b" Path=" + path)
                    continue
            elif (name in self._flags and self._flags[name][0] is not None) or (
                name == b"samesite" and self._same_site is not None
            ):
                continue
            kept.append(attribute)
        kept += [b" " + written for wanted, written in self._flags.values() if wanted]
        if self._same_site is not None:
            kept.append(b" SameSite=" + self._same_site)
        return b";".join(kept)

    def _path(self, path: bytes) -> bytes:
        for old, new in self._paths:
            if path == old or path.startswith(old + b"/"):
                rest = path[len(old) :]
                if rest in (b"", b"/"):
                    return new
                return new.rstrip(b"/") + rest
        return path

    def __repr__(self) -> str:
        return f"<CookieRules {self.text}>"
