"""Which side of a split a request asks for: by a signed cookie that an earlier answer set, or by naming the pool."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from balancer.model.cookies import token
from balancer.model.facts import RequestFacts
from balancer.routing.matchers.client import Networks

__all__ = ["Override", "SideCookie"]

Headers = tuple[tuple[bytes, bytes], ...]


class SideCookie:
    """A signed cookie names the pool; a value that is none of ours is as good as none.

    Tokens depend on secret, cookie and pool alone: routes that split between the same pools by the same cookie keep a client on the same
    side, and so does every balancer with the same secret.

    Args:
        secret: the key of the HMAC; the same on all balancers that share clients.
        name: the cookie's.
        pools: those of the split.
        attributes: what follows the value in ``Set-Cookie``.
    """

    __slots__ = ("_fields", "_pools", "_tokens", "name")

    def __init__(self, secret: bytes, name: str, pools: Iterable[str], attributes: str) -> None:
        self.name = name
        self._tokens = {pool: token(secret, "side", name, pool) for pool in pools}
        self._pools = {made: pool for pool, made in self._tokens.items()}
        self._fields: dict[str, Headers] = {
            pool: ((b"Set-Cookie", f"{name}={made}; {attributes}".encode("latin-1")),)
            for pool, made in self._tokens.items()
        }

    def pool_of(self, facts: RequestFacts) -> str | None:
        """Return the pool that the request's cookie names, if it brings one of ours."""
        brought = facts.cookies.get(self.name)
        return None if brought is None else self._pools.get(brought)

    def response_headers(self, facts: RequestFacts, pool: str) -> Headers:
        """Return the fields that keep the client at ``pool``; none where it has brought this very cookie."""
        return () if facts.cookies.get(self.name) == self._tokens[pool] else self._fields[pool]


@dataclass(frozen=True, slots=True)
class Override:
    """A header, or cookie, whose value names the pool; believed of clients in ``only``, or of all where that is None."""

    header: str | None = None
    cookie: str | None = None
    only: Networks | None = None

    def pool_of(self, facts: RequestFacts, pools: Mapping[str, object]) -> tuple[str, str] | None:
        """Return which of ``pools`` the request asks for, and by what (``header x-version``)."""
        if self.only is not None and facts.peer.ip not in self.only:
            return None
        wanted = facts.header(self.header) if self.header is not None else None
        if wanted is not None and wanted in pools:
            return wanted, f"header {self.header}"
        wanted = facts.cookies.get(self.cookie) if self.cookie is not None else None
        if wanted is not None and wanted in pools:
            return wanted, f"cookie {self.cookie}"
        return None
