"""Redirects: where a request is sent instead, worked out from the route's ``to`` or parts and the request.

``to`` is a URL or a path, or the target is given in parts; what is not given stays as the client asked:

* ``to`` may hold ``{id}`` (what the path captured) and facts such as ``{host}`` (:mod:`balancer.model.template`).
* If the path of the target ends with ``/`` and the route matches a prefix (``/old/**``) or any path, what the client
  asked for below that prefix is appended: ``/old/a?x=1`` → ``https://shop.example/new/a?x=1``. Without the slash at
  its end the target is taken as it stands: everything below ``/old`` goes to that one page.
* The client's query is kept, after one that the target has itself; a target that ends with ``?`` drops it. ``query`` changes it.
* Parts: ``scheme``, ``host``, ``port``, ``path``. A new scheme without a port means that scheme's own port. ``path`` may also
  replace the prefix that the route matched, or what an expression finds (:mod:`balancer.rewriting.paths`).

What a client sends is percent-encoded where it goes into the target, or refused with 400 where it would become the
host. The target never begins with ``//``, which a browser would read as another host.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import quote

from balancer.errors import HTTP_REQUEST_ERROR
from balancer.model.exchange import Reply
from balancer.model.facts import RequestFacts
from balancer.model.raw_path import RawPath
from balancer.model.template import Template
from balancer.rewriting.paths import PathChange, PathSetting
from balancer.rewriting.queries import QueryChange, QuerySetting
from balancer.routing.matchers import CompiledPath

__all__ = ["REDIRECT_STATUSES", "Redirect"]

REDIRECT_STATUSES = (301, 302, 303, 307, 308)

_TARGET = re.compile(
    r"(?:(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*|\{scheme\})://(?P<authority>(?:(?!\{path\})[^/?#])+))?"
    r"(?P<path>[^?#]*)(?P<query>\?[^#]*)?(?P<fragment>#.*)?\Z"
)
_AUTHORITY = re.compile(r"(?:[A-Za-z0-9._-]|\{[a-z_A-Z0-9:-]+\})+(?::\d{1,5})?\Z|\[[0-9A-Fa-f:.]+\](?::\d{1,5})?\Z")
_HOST_BYTES = re.compile(rb"(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])\Z")
_HOST_PIECE = re.compile(rb"[A-Za-z0-9._-]+\Z")
_UNSAFE = re.compile(r"[\x00-\x20\x7f\\\"<>^`|]")
_OWN_QUERY = re.compile(r"(?:([?&])\{query\}&|[?&]\{query\}(?=#|\Z))")
_ASCII = "".join(map(chr, range(128)))
_OWN_PORT = {"http": 80, "https": 443}


class _NoHostError(Exception):
    """What would become the target's host is none."""


def _path_piece(value: bytes) -> bytes:
    return quote(value, safe="/:@!$&'()*+,;=~").encode()


def _as_sent(text: str) -> bytes:
    """Return a part of a path as the client sent it; bytes that no URL has are encoded."""
    return quote(text.encode("latin-1"), safe="/:@!$&'()*+,;=~%").encode()


def _query_piece(value: bytes) -> bytes:
    return quote(value, safe="/:@!$'()*,;~?").encode()


def _host_piece(value: bytes) -> bytes:
    if not _HOST_PIECE.match(value):
        raise _NoHostError
    return value


class Redirect:
    """One redirect, checked; :meth:`location` and :meth:`reply` apply it to a request.

    Give ``to``, or at least one of ``scheme``, ``host``, ``port``, ``path`` and ``query``; ``query`` goes with ``to`` as well.

    Raises:
        ValueError: saying what was expected instead.
    """

    __slots__ = (
        "_authority",
        "_change",
        "_fragment",
        "_host",
        "_path",
        "_port",
        "_query",
        "_query_change",
        "_scheme",
        "status",
        "text",
    )

    def __init__(
        self,
        to: str | None = None,
        status: int = 308,
        *,
        scheme: str | None = None,
        host: str | None = None,
        port: int | None = None,
        path: PathSetting | str | None = None,
        query: QuerySetting | None = None,
    ) -> None:
        if status not in REDIRECT_STATUSES:
            raise ValueError(f"expected a status of {', '.join(map(str, REDIRECT_STATUSES))}, got {status}")
        parts = [part for part in (scheme, host, port, path) if part is not None]
        self._change: PathChange | None = None
        self._query_change = QueryChange(query) if query is not None else None
        if isinstance(path, PathSetting):
            if path.full is not None and not path.full.endswith("/**"):
                path = path.full
            else:
                self._change = PathChange(path)
        if (to is None) == (not parts):
            if to is not None or query is None:
                raise ValueError("expected either 'to' or some of 'scheme', 'host', 'port', 'path' and 'query'")
        self.status = status
        self._authority: Template | None = None
        self._host = host
        self._port = port
        self._scheme = scheme
        self._path: Template | None = None
        self._query: Template | None = None
        self._fragment = b""
        if to is None:
            self._take_parts(scheme, host, port, path if isinstance(path, str) else None)
            self.text = " ".join(
                f"{name}={value}"
                for name, value in (
                    ("scheme", scheme),
                    ("host", host),
                    ("port", port),
                    ("path", path if self._change is None else self._change.text),
                    ("query", self._query_change and self._query_change.text),
                )
                if value is not None
            )
        else:
            self._take_url(to)
            self.text = to if self._query_change is None else f"{to} query={self._query_change.text}"

    def _take_parts(self, scheme: str | None, host: str | None, port: int | None, path: str | None) -> None:
        if scheme is not None and scheme not in _OWN_PORT:
            raise ValueError(f"expected the scheme 'http' or 'https', got {scheme!r}")
        if host is not None and not _HOST_BYTES.match(host.encode()):
            raise ValueError(f"expected a host name, got {host!r}")
        if port is not None and not 0 < port < 65536:
            raise ValueError(f"expected a port from 1 to 65535, got {port}")
        if path is not None:
            if not path.startswith("/") or _UNSAFE.search(path) or "?" in path or "#" in path:
                raise ValueError(f"expected a path that begins with '/', without query, got {path!r}")
            self._path = Template(path)

    def _take_url(self, to: str) -> None:
        # The query is kept anyway, so the raw target means the path, and naming the query adds nothing.
        plain = _OWN_QUERY.sub(r"\1", quote(to, safe=_ASCII).replace("{target}", "{path}"))
        found = _TARGET.match(plain)
        if found is None or _UNSAFE.search(plain) or "{query}" in plain:
            raise ValueError(f"expected a URL or a path, got {to!r}")
        authority, path, query = found["authority"], found["path"], found["query"]
        if authority is None and not plain.startswith("{path}") and (path[:1] != "/" or path[:2] == "//"):
            raise ValueError(f"expected a URL such as 'https://a.example/' or a path that begins with '/', got {to!r}")
        if authority is not None:
            if not _AUTHORITY.match(authority):
                raise ValueError(f"expected a host, with or without a port, after '://', got {authority!r}")
            self._scheme = found["scheme"]
            self._authority = Template(authority)
        self._path = Template(path)
        self._query = Template(query[1:]) if query is not None else None
        self._fragment = (found["fragment"] or "").encode()

    @property
    def captures(self) -> frozenset[str]:
        """The names in the target that only the route's path pattern can give."""
        templates = (self._authority, self._path, self._query)
        return frozenset().union(*(template.captures for template in templates if template is not None), self._changing)

    @property
    def cuts(self) -> bool:
        """Whether it replaces what a path that ends in ``/**`` matched."""
        return self._change is not None and self._change.cuts

    @property
    def _changing(self) -> frozenset[str]:
        """The names that the changes of path and query need from the route's path."""
        path, query = self._change, self._query_change
        wanted = query.captures if query is not None else frozenset[str]()
        return (wanted - path.gives) | path.captures if path is not None else wanted

    def check(self, captures: frozenset[str]) -> None:
        """Raise ValueError for a name in the target that is neither a fact nor among the route's ``captures``."""
        for template in (self._authority, self._path, self._query):
            if template is not None:
                template.check(captures)
        unknown = sorted(self._changing - captures)
        if unknown:
            raise ValueError(f"unknown name {{{unknown[0]}}} in the redirect to {self.text}")

    def location(
        self,
        facts: RequestFacts,
        captures: Mapping[str, str],
        route: str = "",
        matched: CompiledPath | None = None,
    ) -> bytes | None:
        """Return the value for ``Location``; None if the request's host cannot be put there.

        ``matched`` is the path pattern that matched, None for any path.
        """
        try:
            origin = self._origin(facts, captures, route)
        except _NoHostError:
            return None
        if self._change is None:
            path = self._path_of(facts, captures, route, matched)
        else:
            sent = facts.parts[2]
            changed = self._change.apply(facts, sent, captures, route, matched)
            path = _as_sent(changed.path if changed is not None else RawPath(sent).kept)
            if changed is not None and changed.captures:
                captures = {**captures, **changed.captures}
        return origin + path + self._query_of(facts, captures, route) + self._fragment

    def reply(
        self,
        facts: RequestFacts,
        captures: Mapping[str, str],
        route: str = "",
        matched: CompiledPath | None = None,
    ) -> Reply:
        """Return the redirect for this request, or 400 where its host cannot be put into the target."""
        location = self.location(facts, captures, route, matched)
        if location is None:
            return Reply(
                400,
                reason=HTTP_REQUEST_ERROR.code,
                detail="the request's host cannot be redirected to",
            )
        return Reply(self.status, ((b"Location", location),), b"")

    def _origin(self, facts: RequestFacts, captures: Mapping[str, str], route: str) -> bytes:
        """Return ``scheme://authority``, or nothing where neither changes."""
        if self._authority is not None:
            scheme = facts.scheme if self._scheme == "{scheme}" else self._scheme or ""
            return b"%b://%b" % (
                scheme.encode(),
                self._authority.render(facts, captures, route, _host_piece),
            )
        if self._scheme is None and self._host is None and self._port is None:
            return b""
        asked, asked_port = facts.authority
        host = (self._host or asked).encode("latin-1", "replace")
        if b":" in host and not host.startswith(b"["):
            host = b"[%b]" % host
        if not _HOST_BYTES.match(host):
            raise _NoHostError
        scheme = self._scheme or facts.scheme
        port = self._port
        if port is None and self._scheme is None:
            port = asked_port
        if port is None or port == _OWN_PORT.get(scheme):
            return b"%b://%b" % (scheme.encode(), host)
        return b"%b://%b:%d" % (scheme.encode(), host, port)

    def _path_of(
        self,
        facts: RequestFacts,
        captures: Mapping[str, str],
        route: str,
        matched: CompiledPath | None,
    ) -> bytes:
        if self._path is None:
            path = _as_sent(RawPath(facts.parts[2]).kept)
        else:
            path = self._path.render(facts, captures, route, _path_piece)
            if self._path.text.endswith("/"):
                sent = RawPath(facts.parts[2])
                if matched is None:
                    path += _as_sent(sent.below(0))
                elif matched.pattern.open_ended:
                    path += _as_sent(sent.below(len(matched.pattern.segments)))
        return b"/" + path.lstrip(b"/") if path.startswith(b"//") else path

    def _query_of(self, facts: RequestFacts, captures: Mapping[str, str], route: str) -> bytes:
        query = facts.raw_query
        if self._query_change is not None:
            query = self._query_change.apply(query, facts, captures, route)
        asked = quote(query.encode("latin-1"), safe="/:@!$&'()*+,;=~?%[]{}|^`").encode()
        if self._query is None:
            return b"?" + asked if asked else b""
        own = self._query.render(facts, captures, route, _query_piece)
        if not self._query.text:
            return b""
        return b"?" + own + (b"&" + asked if asked else b"")

    def __repr__(self) -> str:
        return f"<Redirect {self.status} {self.text}>"
