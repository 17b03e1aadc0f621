"""Which requests are alike enough to share one answer of a server, and which answers may be shared.

Alike are requests of the same method, host and target that say the same in the fields chosen. An answer is shared only if it is nobody's in
particular (RFC 9111 section 3: what a shared cache may not keep for others is not given to others), and if it does not depend on a field
in which the requests differ (``Vary``, section 4.1).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from balancer.model.headers import RawHeaders

__all__ = ["Key", "Sharing", "values"]

_ALONE = frozenset(
    [
        b"authorization",
        b"cookie",
        b"range",
        b"if-range",
        b"if-match",
        b"if-none-match",
        b"if-modified-since",
        b"if-unmodified-since",
        b"expect",
        b"cache-control",
        b"pragma",
    ]
)
"""Fields of a request that ask for something of its own, unless they are among those chosen."""

_PRIVATE = frozenset([b"private", b"no-store", b"no-cache"])

Key = tuple[str, str, str, tuple[bytes, ...]]


@dataclass(frozen=True, slots=True)
class Sharing:
    """What is shared: ``fields`` (lower case) that requests must have alike; ``buffer`` bytes are kept for a client that takes its answer more slowly than others."""

    fields: tuple[bytes, ...]
    buffer: int

    def alone(self, method: str, headers: RawHeaders) -> str:
        """Return why a request shares nothing, empty if it may."""
        if method not in ("GET", "HEAD"):
            return f"the method is {method}"
        for name, _ in headers:
            lower = name.lower()
            if lower in _ALONE and lower not in self.fields:
                return f"it has a field {name.decode('latin-1')}"
        return ""

    def key(self, method: str, host: str, target: str, headers: RawHeaders) -> Key:
        """Return what requests that are alike have alike."""
        return method, host, target, values(headers, self.fields)

    def varies(self, headers: RawHeaders) -> tuple[bytes, ...] | None:
        """Return the fields (lower case) on which a response depends; None if it is not to be shared at all."""
        names: set[bytes] = set()
        for name, value in headers:
            lower = name.lower()
            if lower == b"set-cookie":
                return None
            if lower == b"cache-control":
                if not _PRIVATE.isdisjoint(each.partition(b"=")[0] for each in _listed(value)):
                    return None
            elif lower == b"vary":
                names.update(_listed(value))
        return None if b"*" in names else tuple(sorted(names))


def values(headers: RawHeaders, names: Iterable[bytes]) -> tuple[bytes, ...]:
    """Return the values of each of the fields ``names`` (lower case), joined."""
    found: dict[bytes, list[bytes]] = {name: [] for name in names}
    for name, value in headers:
        listed = found.get(name.lower())
        if listed is not None:
            listed.append(value)
    return tuple(b"\n".join(each) for each in found.values())


def _listed(value: bytes) -> list[bytes]:
    return [each.strip().lower() for each in value.split(b",")]
