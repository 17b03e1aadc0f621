"""What the bench knows of a peer: how it is set up, started, checked, told to reload, and what it can do."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

__all__ = ["CALL", "CONNECTIONS", "PER_CLIENT", "Peer", "Place"]

CONNECTIONS = 16_000
"""Client connections that each peer is told to allow."""
PER_CLIENT = 15_000
"""Of one address."""
CALL = "/bench.Echo/Unary"
"""What leads to the server of gRPC, over TLS, with whatever is below ``/bench.Echo/``."""


@dataclass(frozen=True)
class Place:
    """Where everything is: a scratch directory, and ports on 127.0.0.1.

    ``http``, ``tcp`` and ``udp`` are the peer's, ``servers`` the ports of what is behind them, in this order; ``https`` is HTTP
    over TLS, with HTTP/2 by ALPN, with the certificate and key in ``certificate`` and ``key`` (``both`` has the two). The
    ``calls`` is the port of a server of gRPC for :data:`CALL`, of HTTP/2 without TLS. The configuration has ``routes`` routes ``/pN/…`` besides the one for all else, and one more that names its ``version``.
    """

    directory: Path
    http: int
    tcp: int
    udp: int
    servers: tuple[int, int, int]
    routes: int = 0
    version: int = 0
    https: int = 0
    identity: Path = Path()
    calls: int = 1

    @property
    def certificate(self) -> Path:
        """The certificate for TLS."""
        return self.identity / "cert.pem"

    @property
    def key(self) -> Path:
        """Its key."""
        return self.identity / "key.pem"

    @property
    def both(self) -> Path:
        """Certificate and key in one file."""
        return self.identity / "both.pem"

    def prefixes(self) -> list[str]:
        """Return the paths that have a route."""
        return [f"/version-{self.version}/", *(f"/p{number}/" for number in range(self.routes))]

    def file(self, name: str) -> Path:
        """Return the path of a file in the directory."""
        return self.directory / name

    def put(self, name: str, text: str) -> Path:
        """Write a file in the directory, whole or not at all for whoever reads it meanwhile; returns its path."""
        fresh, file = self.file(f"{name}.new"), self.file(name)
        fresh.write_text(text)
        return fresh.rename(file)


@dataclass(frozen=True)
class Peer:
    """One proxy.

    ``command`` writes the configuration of a place and returns what runs it; it raises Missing, saying what is not
    there. ``check`` is the peer's own way to say whether the configuration is valid, to be called after ``command``.
    ``reload`` gets the process id and the place with its new version. ``log`` is its access log in the directory.
    """

    name: str
    command: Callable[[Place], list[str]]
    check: Callable[[Place], list[str]]
    reload: Callable[[int, Place], None]
    log: str
    abilities: frozenset[str] = frozenset({"http", "https", "grpc", "tcp", "udp"})
    most_routes: int = 100_000
    environment: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_ours(self) -> bool:
        """Whether it is the balancer."""
        return self.name.startswith("balancer")

    def ports(self, place: Place) -> list[int]:
        """Return the TCP ports on which it answers once it is up."""
        return [place.http, place.tcp] if "tcp" in self.abilities else [place.http]
