"""Where a client's connection really comes from, and how it is protected: what is known before its first byte is read.

Made by the layers below a protocol (:mod:`balancer.listeners`): the socket says who connects; a PROXY header, which a load
balancer in front has sent, may say better; TLS adds what its handshake came to.
"""

from __future__ import annotations

from balancer.model.address import Peer
from balancer.model.tls import TLSInfo

__all__ = ["Origin"]


class Origin:
    """The two ends of a client's connection, and its TLS.

    ``peer`` is the client and ``local`` the address it meant to reach: those of the socket, or of the PROXY header; ``tls`` is None
    on a plain connection; ``scheme`` is ``"https"`` or ``"http"``, by default what ``tls`` says; ``by_proxy`` says whether a PROXY header has told, and ``tlvs`` what else was in it, by type.
    """

    __slots__ = ("by_proxy", "local", "peer", "scheme", "tls", "tlvs")

    def __init__(
        self,
        peer: Peer,
        local: Peer,
        tls: TLSInfo | None = None,
        *,
        scheme: str = "",
        by_proxy: bool = False,
        tlvs: tuple[tuple[int, bytes], ...] = (),
    ) -> None:
        self.peer = peer
        self.local = local
        self.tls = tls
        self.scheme = scheme or ("http" if tls is None else "https")
        self.by_proxy = by_proxy
        self.tlvs = tlvs

    def over(self, tls: TLSInfo | None) -> Origin:
        """Return the same ends, with ``tls`` between us and who connects."""
        return Origin(
            self.peer,
            self.local,
            tls,
            scheme=self.scheme if tls is None else "",
            by_proxy=self.by_proxy,
            tlvs=self.tlvs,
        )

    def __repr__(self) -> str:
        return f"<Origin {self.peer} to {self.local} {'plain' if self.tls is None else self.tls.version}>"
