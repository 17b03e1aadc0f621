"""What was good, for a process that starts while files are broken: certificates and authorities, as another last read them.

::

    master: shelves ──Kept.of──> plain ──to a worker──> Kept.from_plain ──Shelf.fill──> in the place of what cannot be read

Keys are in it. It goes from a process to its own child and nowhere else, and is never written down.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from balancer.tls.authorities import Authorities, read_authorities
from balancer.tls.cabinet import Entry
from balancer.tls.identity import Identity
from balancer.tls.reading import Source

if TYPE_CHECKING:
    from balancer.tls.shelf import Shelf

__all__ = ["NOTHING", "Kept"]

Found = tuple[tuple[Source, Identity], ...]


class Kept:
    """Certificates by the entry of the configuration that they are of, authorities by the paths of ``ca`` and ``crl``."""

    def __init__(
        self,
        certificates: Mapping[Entry, Found] | None = None,
        authorities: Mapping[tuple[str, str], Authorities] | None = None,
    ) -> None:
        self.certificates = dict(certificates or {})
        self.authorities = dict(authorities or {})

    @classmethod
    def of(cls, shelves: Iterable[Shelf], *, awaited: bool = False) -> Kept:
        """Return what is on ``shelves``; with ``awaited`` only the certificates that we have had issued."""
        kept = cls()
        for shelf in shelves:
            wanted = shelf.wanted
            for at, source, identity in shelf.found:
                entry = wanted.entries[at]
                if entry.awaited or not awaited:
                    found = kept.certificates.get(entry, ())
                    if (source, identity) not in found:
                        kept.certificates[entry] = (*found, (source, identity))
            if shelf.authorities is not None and not awaited:
                kept.authorities[wanted.ca, wanted.crl] = shelf.authorities
        return kept

    def plain(self) -> dict[str, Any]:
        """Return the same as plain values."""
        return {
            "certificates": [
                [asdict(entry), [[_plain_source(source), _plain_identity(identity)] for source, identity in found]]
                for entry, found in self.certificates.items()
            ],
            "authorities": [
                [ca, crl, b"".join(each.certificates).decode("ascii"), b"".join(each.crls).decode("ascii")]
                for (ca, crl), each in self.authorities.items()
            ],
        }

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> Kept:
        """Return what :meth:`plain` was made of."""
        return cls(
            {
                Entry(**entry): tuple((_source(source), _identity(identity)) for source, identity in found)
                for entry, found in plain.get("certificates", ())
            },
            {
                (ca, crl): read_authorities(texts.encode("ascii"), lists.encode("ascii"))
                for ca, crl, texts, lists in plain.get("authorities", ())
            },
        )

    def __repr__(self) -> str:
        return f"<Kept {sum(map(len, self.certificates.values()))} certificates, {len(self.authorities)} authorities>"


NOTHING = Kept()


def _plain_source(source: Source) -> list[str | None]:
    return [source.name, *(None if path is None else str(path) for path in (source.cert, source.key, source.chain))]


def _source(plain: list[Any]) -> Source:
    name, cert, key, chain = plain
    return Source(name, Path(cert), None if key is None else Path(key), None if chain is None else Path(chain))


def _plain_identity(identity: Identity) -> dict[str, Any]:
    return {
        **asdict(identity),
        "chain": identity.chain.decode("latin-1"),
        "key": identity.key.decode("latin-1"),
        "names": list(identity.names),
        "staple": None,  # goes another way
    }


def _identity(plain: dict[str, Any]) -> Identity:
    return Identity(
        **plain
        | {
            "chain": plain["chain"].encode("latin-1"),
            "key": plain["key"].encode("latin-1"),
            "names": tuple(plain["names"]),
        }
    )
