"""Addresses: where a server or listener is, and who is at the other end of a connection."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass

__all__ = ["Address", "IPAddress", "Peer"]

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address

_NAME = re.compile(r"(?=.{1,253}\.?\Z)(?!-)[A-Za-z0-9_-]{1,63}(?<!-)(\.(?!-)[A-Za-z0-9_-]{1,63}(?<!-))*\.?\Z")
_PORT = re.compile(r"[0-9]{1,10}\Z")


@dataclass(frozen=True, slots=True, order=True)
class Address:
    """Where to connect or bind: an IP literal or DNS name with a port, or a unix socket's path.

    ``host`` is the literal without brackets, the name, or ``""`` for a unix socket; ``path`` is set for those only.
    """

    host: str
    port: int
    path: str = ""

    @classmethod
    def parse(cls, text: str) -> Address:
        """Read ``10.0.0.1:80``, ``[::1]:80``, ``db.example:5432`` or ``unix:/run/app.sock``.

        Raises:
            ValueError: saying what was expected instead.
        """
        if text.startswith("unix:"):
            path = text[5:]
            if not path or "\0" in path:
                raise ValueError("expected 'unix:/path/to/socket'")
            return cls("", 0, path)
        scheme, slashes, _ = text.partition("://")
        if slashes:
            raise ValueError(f"expected 'host:port' without '{scheme}://', got {text!r}")
        host, colon, port_text = text.rpartition(":")
        if not colon or (host.startswith("[") and "]" not in host):
            raise ValueError(f"expected 'host:port' or 'unix:/path', got {text!r}")
        if not _PORT.match(port_text) or int(port_text) > 65535:
            raise ValueError(f"expected a port from 0 to 65535, got {port_text!r}")
        if host.startswith("[") and host.endswith("]"):
            host = host[1:-1]
            try:
                ipaddress.IPv6Address(host)
            except ValueError:
                raise ValueError(f"expected an IPv6 address between the brackets, got {host!r}") from None
        elif ":" in host:
            raise ValueError(f"expected an IPv6 address in brackets, '[{host}]:{port_text}'")
        elif not _NAME.match(host):
            raise ValueError(f"expected an IP address or a host name, got {host!r}")
        elif re.fullmatch(r"[0-9.]+", host):
            try:
                ipaddress.IPv4Address(host)
            except ValueError:
                raise ValueError(f"expected an IPv4 address, got {host!r}") from None
        return cls(host, int(port_text))

    @property
    def ip(self) -> IPAddress | None:
        """The IP address, or None for a name or a unix socket."""
        try:
            return ipaddress.ip_address(self.host)
        except ValueError:
            return None

    @property
    def is_name(self) -> bool:
        """Whether this is a DNS name that must be resolved before connecting."""
        return not self.path and self.ip is None

    def __str__(self) -> str:
        if self.path:
            return f"unix:{self.path}"
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class Peer:
    """One end of an accepted connection or flow. ``host`` is an IP literal; ``""`` for a unix socket."""

    __slots__ = ("_ip", "host", "port")

    def __init__(self, host: str, port: int) -> None:
        self.host = host
        self.port = port
        self._ip: IPAddress | None = None

    @property
    def ip(self) -> IPAddress | None:
        """The parsed address (IPv4-mapped IPv6 as IPv4), or None for a unix socket; parsed once, when first asked."""
        if self._ip is None and self.host:
            ip = ipaddress.ip_address(self.host.partition("%")[0])
            if isinstance(ip, ipaddress.IPv6Address) and ip.ipv4_mapped is not None:
                ip = ip.ipv4_mapped
            self._ip = ip
        return self._ip

    def __str__(self) -> str:
        if not self.host:
            return "unix"
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    def __repr__(self) -> str:
        return f"<Peer {self}>"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Peer) and (self.host, self.port) == (other.host, other.port)

    def __hash__(self) -> int:
        return hash((self.host, self.port))
