"""The certificates that one listener shows, or one pool, and how others take their place while it runs.

::

    look()  in a thread: reads what has changed ──> Looked ──take()──> choice, authorities: swapped whole, or not at all

Nothing that works is given up for something that does not: a file that is broken, half written or gone leaves what was read
from it before in its place, and is complained of once. What is taken off a directory or a pattern is taken off the shelf, as
long as something is left. A process that starts while a file is broken is given what was good by the one that starts it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from balancer.tls.authorities import Authorities, read_authorities
from balancer.tls.cabinet import Cabinet, Entry, Fault, Reading, read_all
from balancer.tls.choice import Choice, UnknownDefaultError
from balancer.tls.identity import Identity
from balancer.tls.kept import NOTHING, Kept
from balancer.tls.names import covers, normal_name
from balancer.tls.pem import UnusableError
from balancer.tls.reading import Source
from balancer.tls.validity import moment, standing

__all__ = ["Looked", "Shelf", "Wanted"]


Earlier = Sequence[tuple[int, Source, Identity]]


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a configuration says of certificates; ``ca`` and ``crl`` are paths, ``""`` for none.

    ``peers`` are those whose certificates the authorities sign, in words.
    """

    entries: tuple[Entry, ...]
    directory: str = ""
    default: str = ""
    strict: bool = False
    ca: str = ""
    crl: str = ""
    awaited: tuple[str, ...] = ()
    """Names that certificates are being issued for: as long as there is no certificate at all, a stand-in is shown for them."""
    peers: str = "clients"


@dataclass(frozen=True, slots=True)
class Looked:
    """What the files came to: ``found`` and ``authorities`` to be used, and the ``complaints``."""

    found: tuple[tuple[int, Source, Identity], ...]
    choice: Choice
    authorities: Authorities | None
    complaints: tuple[str, ...]


class Shelf:
    """The certificates of one listener. Nothing is read before :meth:`fill`.

    ``choice`` says which is shown to whom, with the staples that there are; ``authorities`` who may sign clients' certificates.
    """

    def __init__(self, wanted: Wanted, cabinet: Cabinet) -> None:
        self.wanted = wanted
        self._cabinet = cabinet
        self.found: tuple[tuple[int, Source, Identity], ...] = ()
        """Each certificate with its source and the number of its entry; without staples."""
        self._told: frozenset[str] = frozenset()
        self.choice = Choice(())
        self.authorities: Authorities | None = None

    def fill(self, kept: Kept = NOTHING) -> list[Fault]:
        """Read everything for the first time; return all that is wrong. ``part`` may be ``ca``, ``crl`` or ``default`` too.

        What cannot be read and is ``kept`` is taken from there, and no fault but one of the :attr:`complaints`.
        """
        wanted = self.wanted
        reading = read_all(wanted.entries, wanted.directory, self._cabinet)
        earlier = [
            (at, source, identity)
            for at, entry in enumerate(wanted.entries)
            for source, identity in kept.certificates.get(entry, ())
        ]
        self.found = tuple(self._kept(reading, earlier))
        there = {source.cert for _, source, _ in self.found}
        mended = {at for at, _, _ in self.found} - {at for at, source, _ in reading.found if source.cert not in there}
        told = {each.text for each in reading.faults if each.at in mended}
        # What we have had issued, and cannot be used, is issued again: no reason not to start.
        faults = [each for each in reading.faults if each.at not in mended and not wanted.entries[each.at].awaited]
        try:
            self.choice = self._choice(self.found)
        except UnknownDefaultError as error:
            if not faults:  # it may be what is broken
                faults.append(Fault(-1, "default", str(error)))
        try:
            self.authorities = self._read_authorities()
        except _AuthorityError as error:
            self.authorities = kept.authorities.get((wanted.ca, wanted.crl))
            if self.authorities is None:
                faults.append(Fault(-1, error.part, str(error)))
            else:
                told.add(str(error))
        self._told = frozenset(told)
        return faults

    @property
    def complaints(self) -> list[str]:
        """What is wrong with the files now, while what was good before is shown."""
        return sorted(self._told)

    def _choice(self, found: tuple[tuple[int, Source, Identity], ...]) -> Choice:
        identities = [identity for _, _, identity in found]
        if not identities and self.wanted.awaited:
            identities = [self._cabinet.stand_in(self.wanted.awaited)]
        return self._chosen(identities)

    def _chosen(self, identities: Sequence[Identity]) -> Choice:
        wanted = self.wanted
        try:
            return Choice(identities, wanted.default, strict=wanted.strict)
        except UnknownDefaultError:
            if not covers(wanted.awaited, normal_name(wanted.default)):
                raise
            return Choice(identities, strict=wanted.strict)  # until it comes

    def _read_authorities(self) -> Authorities | None:
        wanted = self.wanted
        if not wanted.ca:
            return None
        texts: dict[str, bytes] = {}
        for part, path in (("ca", wanted.ca), ("crl", wanted.crl)):
            try:
                texts[part] = self._cabinet.text(Path(path)) if path else b""
                found = read_authorities(texts["ca"], texts.get("crl", b""))
            except UnusableError as error:
                text = str(error)
                raise _AuthorityError(part, text if path in text else f"{path}: {text}") from None
        return found

    @property
    def sources(self) -> list[Source]:
        """Where the certificates come from."""
        return [source for _, source, _ in self.found]

    # While the listener runs.

    def look(self) -> Looked:
        """Return what the files come to now; changes nothing, and may run in a thread."""
        reading = read_all(self.wanted.entries, self.wanted.directory, self._cabinet)
        complaints = [fault.text for fault in reading.faults]
        complaints += [f"{self.wanted.entries[at].cert} is gone" for at in self._gone(reading, self.found)]
        found = tuple(self._kept(reading, self.found)) or self.found
        choice = self.choice
        try:
            choice = self._choice(found)
        except UnknownDefaultError as error:
            complaints.append(str(error))
            found = self.found
        authorities = self.authorities
        try:
            authorities = self._read_authorities()
        except _AuthorityError as error:
            complaints.append(str(error))
        return Looked(found, choice, authorities, tuple(complaints))

    def _gone(self, reading: Reading, earlier: Earlier) -> set[int]:
        """Return the entries of what we have had issued, and whose file is not there any more."""
        gone = {at for at, _, _ in earlier if self.wanted.entries[at].awaited}
        return gone - {at for at, _, _ in reading.found} - {fault.at for fault in reading.faults}

    def _kept(self, reading: Reading, earlier: Earlier) -> Iterator[tuple[int, Source, Identity]]:
        """Yield what is to be shown: what was read, and what was read ``earlier`` where that is at fault now."""
        before = {source.cert: identity for _, source, identity in earlier}
        whole = {fault.at for fault in reading.faults} - {at for at, _, _ in reading.found}
        whole |= self._gone(reading, earlier)
        yield from (
            (at, source, identity or before[source.cert])
            for at, source, identity in reading.found
            if identity is not None or source.cert in before
        )
        yield from (each for each in earlier if each[0] in whole)  # a directory that is gone, say

    def take(self, looked: Looked, staples: Mapping[str, bytes]) -> tuple[bool, list[str], list[str]]:
        """Show what was found.

        Returns:
            Whether anything changed, what did in words, and complaints that are new.
        """
        fresh = [text for text in looked.complaints if text not in self._told]
        self._told = frozenset(looked.complaints)
        news = list(self._news(looked))
        changed = bool(news)
        self.found = looked.found
        if looked.authorities != self.authorities:
            self.authorities, changed = looked.authorities, True
            lists = ", or their lists of revoked ones," if self.wanted.crl else ""
            news.append(f"the authorities of {self.wanted.peers}' certificates{lists} have changed")
        if changed:
            self.choice = looked.choice
            self.staple(staples)
        return changed, news, fresh

    def _news(self, looked: Looked) -> Iterator[str]:
        old = {source.cert: identity for _, source, identity in self.found}
        new = {source.cert: identity for _, source, identity in looked.found}
        for path, identity in new.items():
            before = old.get(path)
            if before is None:
                yield f"the certificate {identity.name} is new: {_described(identity)}"
            elif before.chain != identity.chain or before.key != identity.key:
                yield f"the certificate {identity.name} is replaced: {_described(identity)}"
        for path, identity in old.items():
            if path not in new:
                yield f"the certificate {identity.name} is gone"

    def staple(self, staples: Mapping[str, bytes]) -> bool:
        """Show each certificate with its answer in ``staples`` (by fingerprint), or without; return whether one changed."""
        identities = [
            identity
            if (staple := staples.get(identity.fingerprint)) == identity.staple
            else replace(identity, staple=staple)
            for identity in self.choice.identities
        ]
        if all(new is old for new, old in zip(identities, self.choice.identities, strict=True)):
            return False
        self.choice = self._chosen(identities)
        return True

    def __repr__(self) -> str:
        return f"<Shelf {self.choice!r}>"


class _AuthorityError(ValueError):
    def __init__(self, part: str, text: str) -> None:
        super().__init__(text)
        self.part = part


def _described(identity: Identity) -> str:
    wrong = standing(identity, identity.not_before)
    until = wrong or f"good until {moment(identity.not_after)}"
    return f"{identity.kind} for {', '.join(identity.names) or 'nobody'}, {until}, serial {identity.serial}"
