"""How the path of a request becomes another: the settings of ``path``, and the change itself.

========================================  ==================================================================================
``{prefix: /new}``                        what the route's ``/a/**`` matched is replaced; what lies below it stays as it was
                                          sent. ``/new`` and ``/new/`` are the same but for a request of ``/a`` itself.
``"/v2/{id}/x"``                          the whole path, with what the route's path captured and facts of the request
``"/v2/{id}/**"``                         the same as ``{prefix: "/v2/{id}"}``
``{regex: "^/a/(.*)$", with: "/b/\\1"}``  every place where it is found in the normalised, decoded path is replaced
========================================  ==================================================================================

Whatever is taken over from the request keeps the bytes that the client sent, its escapes above all. A path that the wire could
not carry, or that two readers could read in two ways, is never made (:class:`~balancer.model.target.BadTargetError`); nor one
that begins with ``//``, which would be read as a host.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Protocol
from urllib.parse import quote, unquote_to_bytes

from pydantic import Field, GetJsonSchemaHandler, model_validator
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from balancer.hooks.settings import Regex, Settings
from balancer.model.facts import RequestFacts
from balancer.model.patterns import PathPattern
from balancer.model.raw_path import RawPath
from balancer.model.target import BadTargetError, normalised_path
from balancer.model.template import Template
from balancer.rewriting.expansion import Expansion, byte_regex

__all__ = ["ChangedPath", "Matched", "PathChange", "PathSetting"]

_ASCII = "".join(map(chr, range(128)))
_UNSAFE = re.compile(r"[\x00-\x20\x7f\\\"<>^`|?#]")
_WHOLE = "_path_as_sent"
"""Stands for ``{path}``: that is no fact here, but what the client sent."""
_DOTS = (b".", b"..")
_ANY = (PathPattern.parse("/**"),)


class PathSetting(Settings):
    """What becomes of the path. A bare string is ``full``."""

    full: str | None = Field(
        default=None,
        description="The whole path; may hold {name} of the route's path and facts. Ending in '/**', it is a 'prefix'.",
        min_length=1,
    )
    prefix: str | None = Field(
        default=None, description="Instead of what the route's path, which ends in '/**', matched; may hold {name}."
    )
    regex: Regex | None = Field(
        default=None, description="RE2 expression, found anywhere in the normalised path; needs 'with'."
    )
    with_: str | None = Field(
        default=None, alias="with", description="What to put there; \\1 and \\g<name> stand for groups."
    )

    @model_validator(mode="before")
    @classmethod
    def _bare(cls, value: Any) -> Any:
        return {"full": value} if isinstance(value, str) else value

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return {"oneOf": [{"type": "string", "minLength": 1}, handler(schema)]}

    @model_validator(mode="after")
    def _one_form(self) -> PathSetting:
        if sum(form is not None for form in (self.full, self.prefix, self.regex)) != 1:
            raise ValueError("expected a path, or one of 'full', 'prefix' and 'regex'")
        if (self.regex is None) != (self.with_ is None):
            raise ValueError("expected 'regex' and 'with' together")
        PathChange(self)
        return self


class Matched(Protocol):
    """The route's path pattern that took a request (:class:`balancer.routing.matchers.CompiledPath`)."""

    @property
    def length(self) -> int | None:
        """How many segments the pattern itself takes."""

    def raw_captures(self, path: RawPath) -> dict[str, str]:
        """What it captures of the path, as it was sent."""


class ChangedPath:
    """What came of it: the new path, what the change itself captured, and which prefix stands for which (new, old)."""

    __slots__ = ("captures", "path", "prefixes")

    def __init__(
        self, path: str, captures: Mapping[str, str] | None = None, prefixes: tuple[str, str] | None = None
    ) -> None:
        self.path = path
        self.captures = captures or {}
        self.prefixes = prefixes


class PathChange:
    """One change, checked. ``captures`` are the names that only the route's path can give, ``gives`` those that it gives itself,
    and ``cuts`` says whether it needs the route's path to end in ``/**``, or to be any.

    Raises:
        ValueError: saying what was expected instead.
    """

    __slots__ = ("_expansion", "_regex", "_template", "captures", "cuts", "gives", "text")

    def __init__(self, setting: PathSetting) -> None:
        self._regex: Any = None
        self._template: Template | None = None
        self.cuts = False
        self.gives: frozenset[str] = frozenset()
        if setting.regex is not None:
            self._regex = byte_regex(setting.regex)
            self._expansion = Expansion(_literal(setting.with_ or ""), self._regex)
            self.gives = frozenset(name.decode() for name in self._regex.groupindex)
            self.captures: frozenset[str] = frozenset()
            self.text = f"{setting.regex} to {setting.with_ or 'nothing'}"
            return
        text = setting.full if setting.full is not None else setting.prefix or ""
        if setting.prefix is not None:
            self.cuts = True
            self.text = f"prefix to {text or '/'}"
            if text.endswith("/**"):
                raise ValueError(f"expected a prefix without '/**', got {text!r}")
        else:
            self.text = text
            if text.endswith("/**"):
                self.cuts, text = True, text[:-3]
            elif not text.startswith(("/", "{path}")):
                raise ValueError(f"expected a path that begins with '/', got {text!r}")
        if self.cuts and text and not text.startswith("/"):
            raise ValueError(f"expected a path that begins with '/', got {text!r}")
        if "**" in text:
            raise ValueError(f"expected '**' only as the last segment, got {text!r}")
        for hole in ("/{path}", "{path}", "/{target}"):
            text = text.replace(hole, f"{{{_WHOLE}}}")
        self._template = Template(_literal(text))
        self.captures = self._template.captures - {_WHOLE}
        if self._template.constant is not None:
            _sound(self._template.constant.decode())

    def apply(
        self,
        facts: RequestFacts,
        current: str,
        captures: Mapping[str, str],
        route: str,
        matched: Matched | None,
    ) -> ChangedPath | None:
        """Return the new path, None where it stays as it is.

        Args:
            facts: the request.
            current: the path as it is now, which an expression works on; all else begins with what the client sent.
            captures: of the route's path, decoded.
            route: its name.
            matched: the pattern that took the request, None for any path.

        Raises:
            BadTargetError: what would come of it is no path.
        """
        if self._regex is not None:
            return self._replaced(current)
        assert self._template is not None
        sent = RawPath(facts.parts[2])
        raw = matched.raw_captures(sent) if matched is not None and (self.captures or captures) else {}
        raw[_WHOLE] = sent.kept
        head = self._template.render(facts, captures, route, _piece, raw).decode("latin-1")
        if not self.cuts:
            return ChangedPath(_sound(head))
        depth = (matched.length or 0) if matched is not None else 0
        rest = sent.rest(depth)
        if self._template.constant is None:
            _sound(head or "/")
        path = head.rstrip("/") + rest if rest else head or "/"
        return ChangedPath(_one_slash(path), None, (_one_slash(head.rstrip("/")), sent.first(depth)))

    def keeps(self, paths: Sequence[PathPattern]) -> bool:
        """Whether it replaces by itself what each of ``paths`` matches."""
        if not self.cuts or self._template is None or self._template.constant is None:
            return False
        prefix = self._template.constant.decode().rstrip("/")
        return all(not path.names and "".join(f"/{each}" for each in path.segments) == prefix for path in paths or _ANY)

    def _replaced(self, current: str) -> ChangedPath | None:
        path = RawPath(current)
        text = normalised_path(current).encode("utf-8", "surrogateescape")
        pieces: list[str] = []
        end = 0
        groups: dict[str, str] = {}
        for found in self._regex.finditer(text):
            if not pieces:
                groups = {
                    name.decode(): (found.group(number) or b"").decode("utf-8", "surrogateescape")
                    for name, number in self._regex.groupindex.items()
                }
            pieces.append(path.span(end, found.start()))
            pieces.append(self._expansion.with_groups(lambda number, found=found: _group(path, found, number)))  # type: ignore[misc]
            end = found.end()
        if not pieces:
            return None
        pieces.append(path.span(end, len(text)))
        new = "".join(pieces)
        return ChangedPath(_sound(new if new.startswith("/") else "/" + new), groups)

    def __repr__(self) -> str:
        return f"<PathChange {self.text}>"


def _group(path: RawPath, found: Any, number: int) -> str:
    start, end = found.span(number)
    return path.span(start, end) if start >= 0 else ""


def _piece(value: bytes) -> bytes:
    """Return what is filled in as one segment."""
    return quote(value, safe=":@!$&'()*+,;=~").encode()


def _literal(text: str) -> str:
    """Return the text of a configuration as it goes into a path; raise ValueError for what cannot be there."""
    if _UNSAFE.search(_REFERENCE.sub("", text)) is not None:
        hint = " (the query is changed with 'query')" if "?" in text else ""
        raise ValueError(f"expected a path without blanks, query and fragment, got {text!r}{hint}")
    for escape in _ESCAPE.finditer(text):
        try:
            normalised_path("/" + escape[0])
        except BadTargetError as error:
            raise ValueError(f"expected a path, got {text!r}: {error}") from None
    return quote(text, safe=_ASCII)


_REFERENCE = re.compile(r"\\[0-9]{1,2}|\\g<[A-Za-z0-9_]+>|\\\\")
_ESCAPE = re.compile(r"%.{0,2}")


def _one_slash(path: str) -> str:
    return "/" + path.lstrip("/") if path.startswith("//") else path


def _sound(path: str) -> str:
    """Return a path that was put together, with one slash at its beginning.

    Raises:
        BadTargetError: it is none, or has dot segments, which came together by what was filled in.
    """
    normalised_path(path)
    if _UNSAFE.search(path):
        raise BadTargetError("a blank, '?' or '#' in the rewritten path")
    if any(unquote_to_bytes(segment) in _DOTS for segment in path.split("/")):
        raise BadTargetError("a dot segment in the rewritten path")
    return _one_slash(path)
