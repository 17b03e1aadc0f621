"""How connections to the servers of a pool begin, where those want a PROXY header: who the client is.

One header belongs to one client, and so does a connection that began with it: connections to these servers are kept for the
client that they were opened for (:class:`~.idle.IdleConnections`), and carry nobody else's requests.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from balancer.model.facts import RequestFacts, SessionFacts
from balancer.model.tls import TLSInfo
from balancer.observe.records import SessionRecord
from balancer.wire.ids import new_id
from balancer.wire.proxy_protocol import tlvs, v1, v2

__all__ = ["TLVS", "Introduction"]

TLVS = ("authority", "alpn", "ssl", "unique_id")
"""What may be said besides the addresses, in version 2."""


@dataclass(frozen=True, slots=True)
class Introduction:
    """What is said.

    ``version`` is 1 or 2; of version 2 are ``tlvs``, some of :data:`TLVS`, and ``checksum``, whether a CRC-32C is added.
    """

    version: int
    tlvs: frozenset[str] = frozenset()
    checksum: bool = False

    @property
    def of_probes(self) -> bytes:
        """The header of a connection that is nobody's but ours."""
        return v1.UNKNOWN if self.version == 1 else v2.LOCAL

    def of(self, facts: RequestFacts | SessionFacts, tls: TLSInfo | None) -> bytes:
        """Return the header for the client of ``facts``, who uses ``tls``, without id and checksum: the same for the same client."""
        return self._header(facts, tls, [], checksum=False)

    def marked(self, facts: RequestFacts | SessionFacts, tls: TLSInfo | None, unique_id: str) -> bytes:
        """Return the header with the id of the connection, or of its first request, where one is wanted."""
        wanted = "unique_id" in self.tlvs
        vectors = [(tlvs.UNIQUE_ID, unique_id.encode()[: tlvs.MOST_UNIQUE_ID])] if wanted else []
        return self._header(facts, tls, vectors, checksum=self.checksum)

    def of_session(self, facts: SessionFacts, record: SessionRecord) -> bytes:
        """Return the header for a session of layer 4; an id that is told is in its ``record`` from then on, the same for every server."""
        if "unique_id" in self.tlvs and not record.session_id:
            record.session_id = new_id()
        return self.marked(facts, record.tls, record.session_id)

    def _header(
        self,
        facts: RequestFacts | SessionFacts,
        tls: TLSInfo | None,
        vectors: list[tuple[int, bytes]],
        *,
        checksum: bool,
    ) -> bytes:
        if self.version == 1:
            return v1.encode(facts.peer, facts.local)
        if self.tlvs:
            name = tls.sni if tls is not None else getattr(facts, "sni", None)  # of a session that is passed through
            vectors = [*self._vectors(tls, name or ""), *vectors]
        return v2.encode(facts.peer, facts.local, vectors, checksum=checksum)

    def _vectors(self, tls: TLSInfo | None, name: str) -> list[tuple[int, bytes]]:
        found: list[tuple[int, bytes]] = []
        if name and "authority" in self.tlvs:
            found.append((tlvs.AUTHORITY, name.encode()))
        if tls is not None and tls.alpn and "alpn" in self.tlvs:
            found.append((tlvs.ALPN, tls.alpn.encode()))
        if tls is not None and "ssl" in self.tlvs:
            found.append((tlvs.SSL, _ssl(tls)))
        return found


def _ssl(tls: TLSInfo) -> bytes:
    vectors = [(tlvs.SSL_VERSION, tls.version.encode()), (tlvs.SSL_CIPHER, tls.cipher.encode())]
    if tls.client is not None:
        name = _common_name(tls.client.subject)
        if name:
            vectors.append((tlvs.SSL_CN, name.encode()))
    return tlvs.encode_ssl(vectors, certificate=tls.client is not None)


@lru_cache(maxsize=1024)
def _common_name(subject: str) -> str:
    """Return the common name in a subject as in RFC 4514, ``""`` if it has none or is no such name."""
    from cryptography.x509 import Name  # not before somebody wants it: it takes 10 MB
    from cryptography.x509.oid import NameOID

    try:
        names = Name.from_rfc4514_string(subject).get_attributes_for_oid(NameOID.COMMON_NAME)
    except ValueError:
        return ""
    return str(names[0].value) if names else ""
