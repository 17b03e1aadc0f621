"""What is known of a request or session when it is decided on: the only input of matchers, keys and algorithms.

Everything beyond the head is derived when first asked for, once. Treat instances as immutable; they are not
frozen dataclasses because one is made per request, and freezing costs a microsecond.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from functools import lru_cache
from urllib.parse import unquote_plus

from balancer.model.address import Peer
from balancer.model.headers import RawHeaders
from balancer.model.queueing import Queueing
from balancer.model.target import BadTargetError, normalised_path, split_target
from balancer.model.tls import TLSInfo

__all__ = ["BodyNeededError", "RequestFacts", "SessionFacts"]


class BodyNeededError(Exception):
    """A condition depends on the body, which is not known: it is to be read, up to ``limit`` bytes, and the decision made anew."""

    def __init__(self, limit: int) -> None:
        super().__init__(f"the first {limit} bytes of the body are needed")
        self.limit = limit


class SessionFacts:
    """What layer 4 knows: who connects, and to which of our addresses.

    ``sni`` and ``alpn`` are what a TLS ClientHello asked for, where it was looked at: a name in lower case (None: not looked at,
    ``""``: none was given), and protocols.
    """

    __slots__ = ("alpn", "local", "peer", "sni")

    def __init__(self, peer: Peer, local: Peer, sni: str | None = None, alpn: Sequence[str] = ()) -> None:
        self.peer = peer
        self.local = local
        self.sni = sni
        self.alpn = alpn

    @property
    def client_ip(self) -> str:
        """The client's address as text, ``""`` for a unix socket."""
        return self.peer.host


class RequestFacts:
    """The head of one request and the ends of its connection.

    ``method`` is text as sent; ``target`` the raw request target (latin-1 text, never rewritten); ``version`` is
    ``"1.1"`` or ``"1.0"``; ``headers`` the raw pairs as received; ``peer`` the client (after trusted forwarding
    headers were believed); ``local`` our end; ``scheme`` ``"http"`` or ``"https"``; ``body`` the whole body, only
    where a filter or a condition asked for it, ``body_over`` a length that it is known to exceed, -1 where none is; ``tls`` the connection's handshake, None where it is plain. ``noted`` is what the access log's format ``noted_by`` made of the request, for when it is
    repeated. ``at`` is when it is to be taken to come, in seconds since 1970; None: now.
    """

    queueing: Queueing
    """How the route has it wait for a server; not set where it says nothing."""
    subset: Mapping[str, str]
    """Labels that the route asks for of servers; not set where it asks for none, as it costs where it is not needed."""

    __slots__ = (
        "_authority",
        "_cookies",
        "_index",
        "_parts",
        "_path",
        "_query",
        "at",
        "body",
        "body_over",
        "headers",
        "local",
        "method",
        "noted",
        "noted_by",
        "peer",
        "queueing",
        "scheme",
        "subset",
        "target",
        "tls",
        "version",
    )

    def __init__(
        self,
        method: str,
        target: str,
        headers: RawHeaders,
        peer: Peer,
        local: Peer,
        scheme: str = "http",
        version: str = "1.1",
        body: bytes | None = None,
        tls: TLSInfo | None = None,
    ) -> None:
        self.method = method
        self.target = target
        self.headers = headers
        self.peer = peer
        self.local = local
        self.scheme = scheme
        self.version = version
        self.body = body
        self.tls = tls
        self._parts: tuple[str, str, str, str] | None = None
        self._path: str | None = None
        self._authority: tuple[str, int | None] | None = None
        self._index: dict[str, list[str]] | None = None
        self._query: dict[str, list[str]] | None = None
        self._cookies: dict[str, str] | None = None
        self.body_over = -1
        self.at: float | None = None
        self.noted_by: object = None
        self.noted = ""

    @property
    def client_ip(self) -> str:
        """The client's address as text, ``""`` for a unix socket."""
        return self.peer.host

    @property
    def wall(self) -> float:
        """When the request comes, in seconds since 1970."""
        return time.time() if self.at is None else self.at

    @property
    def parts(self) -> tuple[str, str, str, str]:
        """``(scheme, authority, path, query)`` of the target as sent; raises :class:`~.target.BadTargetError`."""
        parts = self._parts
        if parts is None:
            parts = self._parts = _split(self.target)
        return parts

    @property
    def path(self) -> str:
        """The normalised, decoded path that routes match; raises :class:`~.target.BadTargetError`."""
        path = self._path
        if path is None:
            path = self._path = _normalised(self.parts[2])
        return path

    @property
    def raw_query(self) -> str:
        """The query as sent, without ``?``."""
        return self.parts[3]

    @property
    def authority(self) -> tuple[str, int | None]:
        """Host (lower case, no trailing dot, IPv6 without brackets; ``""`` if absent) and port (None if absent).

        From an absolute-form target where there is one (RFC 9112 section 3.2.2), else from ``Host``.
        Raises :class:`~.target.BadTargetError` for a port that is none.
        """
        if self._authority is None:
            text = self.parts[1] or self.header("host") or ""
            self._authority = _split_authority(text)
        return self._authority

    @property
    def host(self) -> str:
        """The host asked for, as in :attr:`authority`."""
        return self.authority[0]

    @property
    def query(self) -> dict[str, list[str]]:
        """Query parameters, decoded, in order, blanks kept."""
        if self._query is None:
            found: dict[str, list[str]] = {}
            for part in self.raw_query.split("&"):
                if part:
                    name, _, value = part.partition("=")
                    found.setdefault(unquote_plus(name), []).append(unquote_plus(value))
            self._query = found
        return self._query

    @property
    def cookies(self) -> dict[str, str]:
        """Cookies by name; the first of a repeated name counts (RFC 6265 section 5.4)."""
        if self._cookies is None:
            found: dict[str, str] = {}
            for line in self.header_values("cookie"):
                for part in line.split(";"):
                    name, equals, value = part.strip().partition("=")
                    if equals and name not in found:
                        found[name] = value[1:-1] if len(value) > 1 and value[0] == value[-1] == '"' else value
            self._cookies = found
        return self._cookies

    def header(self, name: str) -> str | None:
        """The value of the first field called ``name`` (lower case), as latin-1 text, or None."""
        found = self.header_values(name)
        return found[0] if found else None

    def header_values(self, name: str) -> Sequence[str]:
        """The values of every field called ``name`` (lower case), in order, without blanks around them."""
        index = self._index
        if index is None:
            index = self._index = {}
            for key, value in self.headers:
                index.setdefault(key.lower().decode("latin-1"), []).append(value.decode("latin-1").strip(" \t"))
        return index.get(name, ())

    def __repr__(self) -> str:
        return f"<RequestFacts {self.method} {self.target} from {self.peer}>"


# The same few targets and hosts are asked for again and again: remembering them saves 2 µs per request.
_split = lru_cache(maxsize=2048)(split_target)
_normalised = lru_cache(maxsize=2048)(normalised_path)


@lru_cache(maxsize=2048)
def _split_authority(text: str) -> tuple[str, int | None]:
    text = text.strip().lower()
    if text.startswith("["):
        host, _, rest = text[1:].partition("]")
        port = rest.removeprefix(":")
    else:
        host, _, port = text.partition(":")
    if not port:
        return host.rstrip("."), None
    if not (port.isascii() and port.isdigit()) or int(port) > 65535:
        raise BadTargetError(f"the port {port!r} in the host")
    return host.rstrip("."), int(port)
