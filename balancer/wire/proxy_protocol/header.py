"""The value that a PROXY header comes to, and the optional parts that are read further."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from balancer.model.address import Peer
from balancer.wire.proxy_protocol import tlvs

__all__ = ["ClientTLS", "Header"]


@dataclass(frozen=True, slots=True)
class ClientTLS:
    """What the sender says of the client's TLS (section 2.2.6).

    ``flags`` are bits (``tlvs.CLIENT_…``), ``verify`` is 0 where the client showed a certificate that was found good; ``tlvs`` are
    the vectors inside, by type, in order.
    """

    flags: int
    verify: int
    tlvs: tuple[tuple[int, bytes], ...] = ()

    @property
    def encrypted(self) -> bool:
        """Whether the client came by TLS."""
        return bool(self.flags & tlvs.CLIENT_SSL)

    @property
    def version(self) -> str:
        """The version as the sender calls it (``TLSv1.3``), ``""`` where it does not say."""
        return _text(self.tlvs, tlvs.SSL_VERSION)

    @property
    def cipher(self) -> str:
        """The cipher's name, ``""`` where it is not said."""
        return _text(self.tlvs, tlvs.SSL_CIPHER)

    @property
    def common_name(self) -> str:
        """The common name in the client's certificate, ``""`` where it is not said."""
        return _text(self.tlvs, tlvs.SSL_CN)


@dataclass(frozen=True, slots=True)
class Header:
    """One header.

    ``version`` is 1 or 2. ``local`` means that the sender itself is the client: a health check. ``source`` and ``destination`` are
    the client and the address it meant to reach, None where the header does not say, or says paths of unix sockets (``paths``,
    in that order, without the zeros behind them). ``transport`` is ``"stream"``, ``"dgram"``, or ``""`` where it is not said.
    ``tlvs`` are the optional vectors of version 2, known or not, by type, in order.
    """

    version: int
    source: Peer | None = None
    destination: Peer | None = None
    transport: str = ""
    local: bool = False
    paths: tuple[bytes, bytes] | None = None
    tlvs: tuple[tuple[int, bytes], ...] = ()

    @property
    def alpn(self) -> str:
        """The protocol agreed on inside TLS, ``""`` where it is not said."""
        return _text(self.tlvs, tlvs.ALPN)

    @property
    def authority(self) -> str:
        """The name that the client asked for (SNI), ``""`` where it is not said."""
        return _text(self.tlvs, tlvs.AUTHORITY)

    @property
    def unique_id(self) -> bytes:
        """What the sender calls the connection, ``b""`` where it is not said."""
        return _first(self.tlvs, tlvs.UNIQUE_ID)

    @property
    def namespace(self) -> str:
        """The sender's network namespace, ``""`` where it is not said."""
        return _text(self.tlvs, tlvs.NETNS)

    @property
    def tls(self) -> ClientTLS | None:
        """What is said of the client's TLS; None: nothing."""
        value = _first(self.tlvs, tlvs.SSL)
        return ClientTLS(value[0], int.from_bytes(value[1:5], "big"), tlvs.pairs(value, 5)) if value else None

    def __str__(self) -> str:
        if self.local:
            said = "LOCAL"
        elif self.source is None:
            said = "of an unknown client"
        else:
            said = f"{self.source} to {self.destination}"
        return f"version {self.version} {said}"


def _first(found: Iterable[tuple[int, bytes]], kind: int) -> bytes:
    return next((value for each, value in found if each == kind), b"")


def _text(found: Iterable[tuple[int, bytes]], kind: int) -> str:
    return _first(found, kind).decode("utf-8", "replace")
