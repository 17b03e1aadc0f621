"""Keys: which fact of a request decides where it sticks. Used by hashing algorithms and sticky splits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from balancer.model.facts import RequestFacts, SessionFacts

__all__ = ["Key", "KeyKind"]

KeyKind = Literal["client_ip", "client_port", "host", "path", "target", "method", "header", "cookie", "query"]
_NAMED = ("header", "cookie", "query")


@dataclass(frozen=True, slots=True)
class Key:
    """One fact of a request: ``client_ip``, ``host``, ``path``, … or a named header, cookie or query parameter."""

    kind: KeyKind = "client_ip"
    name: str = ""

    def __post_init__(self) -> None:
        if (self.kind in _NAMED) != bool(self.name):
            raise ValueError(f"a key of kind {self.kind!r} {'needs' if self.kind in _NAMED else 'takes no'} name")

    def of(self, facts: RequestFacts | SessionFacts) -> bytes | None:
        """Return the key's value for ``facts``, or None where the request does not have it (or layer 4 cannot)."""
        kind = self.kind
        if kind == "client_ip":
            return facts.peer.host.encode()
        if kind == "client_port":
            return f"{facts.peer.host}:{facts.peer.port}".encode()
        if isinstance(facts, SessionFacts):
            return None
        text: str | None
        if kind == "header":
            text = facts.header(self.name.lower())
        elif kind == "cookie":
            text = facts.cookies.get(self.name)
        elif kind == "query":
            text = next(iter(facts.query.get(self.name, ())), None)
        elif kind == "host":
            text = facts.host
        elif kind == "path":
            text = facts.path
        elif kind == "target":
            text = facts.target
        else:
            text = facts.method
        return None if text is None else text.encode("utf-8", "surrogateescape")

    def __str__(self) -> str:
        return f"{self.kind}:{self.name}" if self.name else self.kind
