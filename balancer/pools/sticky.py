"""Keeping a client on its server: by a cookie of ours, or by remembering a fact of its requests.

A cookie holds a token, not a name or an address: 128 bits of an HMAC over the names of pool and server. Nobody without
the secret can make one for another server, or learn anything from it, and every balancer with the same secret
understands it. A value that is none of ours is as good as none.

A table remembers which server was last chosen for a client address or a header's value; it is bounded (the ones unused
for longest go first), and an entry unused for its time to live is forgotten.

A client stays on a server that drains or has weight 0, but not on one that is disabled, down, ejected or full.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import Protocol

from balancer.model.cookies import SameSite, attributes, token
from balancer.model.facts import RequestFacts, SessionFacts
from balancer.model.keys import Key
from balancer.pools.server import Server

__all__ = ["Sticky", "StickyCookie", "StickyTable"]

Facts = RequestFacts | SessionFacts
Headers = tuple[tuple[bytes, bytes], ...]

_LONG_KEY = 32


class Sticky(Protocol):
    """What a pool asks of either kind."""

    def bind(self, servers: Iterable[Server]) -> None:
        """Know these servers from now on, and no others."""

    def server_for(self, facts: Facts, *, used: bool = True) -> Server | None:
        """Return the server that this client was on, or None; whether it may be used is for the pool to say. ``used``: that keeps it known."""

    def remember(self, facts: Facts, server: Server) -> None:
        """Take note that ``server`` was chosen for this client."""

    def response_headers(self, facts: Facts, server: Server) -> Headers:
        """Return the fields to add to the response of ``server``, so that the client comes back to it."""

    def adopt(self, old: Sticky) -> None:
        """Take over what ``old``, of the configuration before, remembers, as far as it is of the same kind."""

    def describe(self) -> str:
        """Return what makes clients stick, in a few words."""


class StickyCookie:
    """A signed cookie names the server.

    Args:
        secret: the key of the HMAC; the same on all balancers that share clients.
        pool: the pool's name, so that a token is good for one pool only.
        name: the cookie's.
        ttl: seconds for which the browser keeps it, None for its session.
        path: the cookie's path.
        secure: whether it is sent over HTTPS only.
        same_site: the ``SameSite`` attribute, None for none.
    """

    def __init__(
        self,
        secret: bytes,
        pool: str,
        name: str = "lb",
        *,
        ttl: float | None = None,
        path: str = "/",
        secure: bool = False,
        same_site: SameSite | None = "lax",
    ) -> None:
        self.name = name
        self._secret = secret
        self._pool = pool
        self._attributes = attributes(path, ttl, secure=secure, same_site=same_site)
        self._servers: dict[str, Server] = {}
        self._fields: dict[Server, tuple[str, Headers]] = {}

    def token(self, server: str) -> str:
        """Return the token for the server of that name."""
        return token(self._secret, "sticky", self._pool, server)

    def bind(self, servers: Iterable[Server]) -> None:
        """Make the tokens of ``servers``."""
        self._servers = {}
        self._fields = {}
        for server in servers:
            made = self.token(server.name)
            field = (b"Set-Cookie", f"{self.name}={made}; {self._attributes}".encode("latin-1"))
            self._servers[made] = server
            self._fields[server] = (made, (field,))

    def server_for(self, facts: Facts, *, used: bool = True) -> Server | None:
        """Return the server whose token the request brings."""
        if isinstance(facts, SessionFacts):
            return None
        brought = facts.cookies.get(self.name)
        return None if brought is None else self._servers.get(brought)

    def remember(self, facts: Facts, server: Server) -> None:
        """The browser does that."""

    def response_headers(self, facts: Facts, server: Server) -> Headers:
        """Return the ``Set-Cookie`` field, unless the request brought this very cookie."""
        made, headers = self._fields.get(server, ("", ()))
        if isinstance(facts, SessionFacts) or facts.cookies.get(self.name) == made:
            return ()
        return headers

    def adopt(self, old: Sticky) -> None:
        """Tokens are computed, not remembered."""

    def describe(self) -> str:
        """Return ``cookie lb``."""
        return f"cookie {self.name}"


class StickyTable:
    """A bounded table from a fact of the request to the server last chosen for it.

    Args:
        key: the fact: ``Key("client_ip")``, ``Key("header", "x-user")``.
        now: returns monotonic seconds.
        size: most entries.
        ttl: seconds after its last use in which an entry is forgotten.
    """

    def __init__(self, key: Key, now: Callable[[], float], *, size: int = 100_000, ttl: float = 1800.0) -> None:
        self.key = key
        self.size = size
        self.ttl = ttl
        self._now = now
        self._servers: dict[str, Server] = {}
        # Entries move to the end when used, so that the first is both the oldest and the next to expire.
        self._entries: OrderedDict[bytes, tuple[str, float]] = OrderedDict()

    def bind(self, servers: Iterable[Server]) -> None:
        """Know ``servers`` by name."""
        self._servers = {server.name: server for server in servers}

    def server_for(self, facts: Facts, *, used: bool = True) -> Server | None:
        """Return the server chosen last for this value of the key, if that was not too long ago."""
        key = self._key(facts)
        entry = None if key is None else self._entries.get(key)
        if key is None or entry is None:
            return None
        name, expires = entry
        now = self._now()
        if expires <= now:
            del self._entries[key]
            return None
        if used:
            self._entries[key] = (name, now + self.ttl)
            self._entries.move_to_end(key)
        return self._servers.get(name)

    def remember(self, facts: Facts, server: Server) -> None:
        """Remember ``server`` for this value of the key."""
        key = self._key(facts)
        if key is None:
            return
        entries, now = self._entries, self._now()
        entries[key] = (server.name, now + self.ttl)
        entries.move_to_end(key)
        for _ in range(2):  # more than come in, so that the expired ones go in the end
            oldest, (_, expires) = next(iter(entries.items()))
            if oldest == key or (len(entries) <= self.size and expires > now):
                break
            del entries[oldest]

    def _key(self, facts: Facts) -> bytes | None:
        value = self.key.of(facts)
        if not value:
            return None
        return value if len(value) < _LONG_KEY else hashlib.blake2b(value, digest_size=_LONG_KEY).digest()

    def response_headers(self, facts: Facts, server: Server) -> Headers:
        """Nothing need be told to the client."""
        return ()

    def adopt(self, old: Sticky) -> None:
        """Take over the entries of a table for the same key."""
        if isinstance(old, StickyTable) and old.key == self.key:
            self._entries = old._entries
            while len(self._entries) > self.size:
                self._entries.popitem(last=False)

    def describe(self) -> str:
        """Return ``client_ip`` or ``header:x-user``."""
        return str(self.key)

    def __len__(self) -> int:
        return len(self._entries)

    def __repr__(self) -> str:
        return f"<StickyTable by {self.key} {len(self._entries)} of {self.size}>"
