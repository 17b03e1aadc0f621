"""The ``rewrite`` filter: another path, query, host or method for the server than the client asked for.

::

    rewrite:
      path: {prefix: /new}       # or "/v2/{id}", or {regex: …, with: …} (:mod:`balancer.rewriting.paths`)
      query: {remove: [utm_*]}   # (:mod:`balancer.rewriting.queries`)
      host: internal.example     # may hold {name}; with a port where the server wants one
      method: POST

Routes are chosen by what the client sent, and so nothing that is rewritten changes which route is taken. What an expression for
the path captures by name can be used in ``query`` and ``host``. ``X-Forwarded-Host`` still says what the client asked for.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Self

from pydantic import Field, field_validator, model_validator
from zope.interface import implementer

from balancer.errors import HTTP_REQUEST_ERROR
from balancer.hooks.interfaces import Factory, IFilter
from balancer.hooks.settings import Settings
from balancer.model import headers as fields
from balancer.model.exchange import Exchange, Reply
from balancer.model.patterns import PathPattern
from balancer.model.target import BadTargetError
from balancer.model.template import Template
from balancer.rewriting.paths import PathChange, PathSetting
from balancer.rewriting.queries import QueryChange, QuerySetting
from balancer.wire.http1.heads import is_host

__all__ = ["REWRITE", "Rewrite", "RewriteSettings", "prefixes_of"]

_NOTE = "rewrite"
_METHOD = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+\Z")
_OTHER_FRAMING = ("CONNECT", "HEAD", "TRACE")
"""Methods whose responses are read differently from all others."""


class RewriteSettings(Settings):
    """Changes what the server is asked for."""

    path: PathSetting | None = Field(
        default=None, description="Another path: '/v2/{id}', {prefix: /new}, or {regex: …, with: …}."
    )
    query: QuerySetting | None = Field(default=None, description="Steps that change the query.")
    host: str | None = Field(
        default=None, description="Another host, with or without a port; may hold {name}.", min_length=1
    )
    method: str | None = Field(default=None, description="Another method, but for requests with HEAD.")

    @field_validator("host")
    @classmethod
    def _is_host(cls, text: str | None) -> str | None:
        if text is not None:
            constant = Template(text).constant
            if constant is not None and not is_host(constant):
                raise ValueError(f"expected a host, with or without a port, got {text!r}")
        return text

    @field_validator("method")
    @classmethod
    def _is_method(cls, text: str | None) -> str | None:
        if text is not None and not _METHOD.match(text):
            raise ValueError(f"expected a method such as POST, got {text!r}")
        if text in _OTHER_FRAMING:
            raise ValueError(f"expected a method whose responses are read as those of GET, got {text!r}")
        return text

    @model_validator(mode="after")
    def _something(self) -> Self:
        if self.path is None and self.query is None and self.host is None and self.method is None:
            raise ValueError("expected at least one of 'path', 'query', 'host' and 'method'")
        return self


@implementer(IFilter)
class Rewrite:
    """The filter. ``captures`` are the names that it needs from the route's path; ``cuts`` says whether that has to end in ``/**``."""

    name = "rewrite"
    body_limit = 0

    def __init__(self, settings: RewriteSettings) -> None:
        self._path = PathChange(settings.path) if settings.path is not None else None
        self._query = QueryChange(settings.query) if settings.query is not None else None
        self._host = Template(settings.host) if settings.host is not None else None
        self._method = settings.method
        path, query, host = self._path, self._query, self._host
        self.cuts = path is not None and path.cuts
        wanted = (query.captures if query is not None else frozenset()) | (host.captures if host else frozenset())
        self.captures = (wanted - path.gives) | path.captures if path is not None else wanted
        self._words = "; ".join(
            [
                *([f"path: {path.text}"] if path is not None else []),
                *([f"query: {query.text or 'as it is'}"] if query is not None else []),
                *([f"host: {host.text}"] if host is not None else []),
                *([f"method: {self._method}"] if self._method is not None else []),
            ]
        )

    def changes_nothing(self, paths: Sequence[PathPattern]) -> bool:
        """Whether it can do nothing on a route with ``paths``: it but replaces a prefix by itself."""
        alone = self._query is None and self._host is None and self._method is None
        return alone and self._path is not None and self._path.keeps(paths)

    def request(self, exchange: Exchange) -> Reply | None:
        """Change the request; 400 where what comes of it could not be sent."""
        captures = exchange.captures
        if exchange.target != "*":
            path, mark, query = exchange.target.partition("?")
            if self._path is not None:
                entry = exchange.entry
                matched = entry.matched(exchange.facts) if entry is not None else None
                try:
                    changed = self._path.apply(exchange.facts, path, captures, exchange.route, matched)
                except BadTargetError as error:
                    return _refused(str(error))
                if changed is not None:
                    path = changed.path
                    if changed.captures:
                        captures = {**captures, **changed.captures}
                    if changed.prefixes is not None:
                        exchange.notes[_NOTE] = changed.prefixes
            if self._query is not None:
                before, query = query, self._query.apply(query, exchange.facts, captures, exchange.route)
                if query != before:
                    mark = "?" if query else ""
            exchange.target = path + mark + query
        if self._host is not None:
            host = self._host.render(exchange.facts, captures, exchange.route, bytes)
            if not is_host(host):
                return _refused("what the host would become is none")
            fields.replace(exchange.headers, b"Host", host)
        if self._method is not None and exchange.method != "HEAD":
            exchange.method = self._method
        return None

    def response(self, exchange: Exchange) -> None:
        """Nothing: what the server says of itself is turned back by the ``response`` filter."""

    def describe(self, exchange: Exchange) -> str:
        """Return ``path: prefix to /new; query: remove utm_*``."""
        return self._words

    def __repr__(self) -> str:
        return f"<Rewrite {self._words}>"


def prefixes_of(exchange: Exchange) -> tuple[str, str] | None:
    """Return by which prefix of a path another was replaced, as (new, old) raw text; None where none was."""
    found: tuple[str, str] | None = exchange.notes.get(_NOTE)
    return found


def _refused(detail: str) -> Reply:
    return Reply(400, reason=HTTP_REQUEST_ERROR.code, detail=detail)


REWRITE = Factory("rewrite", Rewrite, RewriteSettings)
"""The factory of the filter."""
