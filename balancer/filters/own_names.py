"""What a server says of its own names in a response, turned back into what the client calls them.

A server that was asked as ``http://internal:8000/app/x``, by a client that asked for ``https://shop.example/x``, redirects to
``http://internal:8000/app/login``; the client has to be told ``https://shop.example/login``. The server's names are the host that
it was asked as and its own address; the paths are those whose prefix ``rewrite`` has replaced. URLs of others stay as they are,
and so does the scheme where it is not that which the server is spoken to with: then it is meant.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from balancer.filters.rewrite import prefixes_of
from balancer.model import headers as fields
from balancer.model.exchange import Exchange

__all__ = ["FIELDS", "OwnNames", "path_for_client"]

FIELDS = frozenset([b"location", b"content-location", b"refresh"])
"""Fields, in lower case, that hold a URL of the server's."""

_URL = re.compile(rb"(?:([A-Za-z][A-Za-z0-9+.-]*):)?//([^/?#]*)(.*)\Z", re.DOTALL)
_REFRESH = re.compile(rb"""(\s*[0-9.]+\s*[;,]\s*(?:[Uu][Rr][Ll]\s*=\s*)?(["']?))(.*?)(\2\s*)\Z""", re.DOTALL)
_OWN_PORT = {b"http": b":80", b"https": b":443"}


class OwnNames:
    """Turns URLs back.

    Args:
        rules: beginnings of URLs and what to put there instead; looked at first, in order.
    """

    def __init__(self, rules: Sequence[tuple[bytes, bytes]] = ()) -> None:
        self._rules = tuple(rules)

    def change(self, exchange: Exchange) -> None:
        """Turn back what the fields of the response of ``exchange`` say."""
        headers = exchange.response_headers
        for at, (name, value) in enumerate(headers):
            lowered = name.lower()
            if lowered in FIELDS:
                if lowered == b"refresh":
                    found = _REFRESH.match(value)
                    if found is not None:
                        headers[at] = (name, found[1] + self.for_client(found[3], exchange) + found[4])
                else:
                    headers[at] = (name, self.for_client(value, exchange))

    def for_client(self, url: bytes, exchange: Exchange) -> bytes:
        """Return ``url`` as the client has to be told it."""
        for begin, instead in self._rules:
            if url.startswith(begin):
                rest = url[len(begin) :]
                return _one_slash(instead.rstrip(b"/") + rest if rest.startswith(b"/") else instead + rest)
        if not exchange.origin:
            return url
        found = _URL.match(url)
        if found is None:
            return path_for_client(url, exchange) if url.startswith(b"/") else url
        scheme, authority, rest = found[1], found[2].lower(), found[3]
        spoken, _, address = exchange.origin.encode("latin-1").partition(b"://")
        meant = scheme.lower() if scheme is not None else spoken
        if meant not in _OWN_PORT:
            return url
        sent = (fields.first(exchange.headers, b"host") or b"").lower()
        if _plain(authority, meant) not in (_plain(sent, spoken), _plain(address.lower(), spoken)):
            return url
        path = path_for_client(rest, exchange)
        facts = exchange.facts
        own = (facts.parts[1] or facts.header("host") or "").encode("latin-1")
        if scheme is None:
            return b"//" + own + path
        if meant == spoken:
            return facts.scheme.encode() + b"://" + own + path
        host = facts.host.encode("latin-1", "replace")
        return scheme + b"://" + (b"[%b]" % host if b":" in host else host) + path

    def __repr__(self) -> str:
        return f"<OwnNames {len(self._rules)} rules>"


def path_for_client(path: bytes, exchange: Exchange) -> bytes:
    """Return a path, with what follows it, under the prefix that the client used; as it is where none was replaced."""
    prefixes = prefixes_of(exchange)
    if prefixes is None:
        return path
    new, old = prefixes[0].encode("latin-1"), prefixes[1].encode("latin-1")
    if not path.startswith(new):
        return path
    rest = path[len(new) :]
    if rest and rest[:1] not in b"/?#":
        return path
    return _one_slash(old + rest) or b"/"


def _plain(authority: bytes, scheme: bytes) -> bytes:
    """Return an authority without the port that its scheme has anyway."""
    return authority.removesuffix(_OWN_PORT[scheme])


def _one_slash(path: bytes) -> bytes:
    return b"/" + path.lstrip(b"/") if path.startswith(b"//") else path
