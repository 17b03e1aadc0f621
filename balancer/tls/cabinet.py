"""Certificates as they were last read, each read again only where its files have changed.

::

    entries of the configuration ──patterns──> sources ──files──> identities
                                                  └── a source that cannot be used: a fault, at its entry and part

Reading parses, checks signatures of chains and tries keys, some milliseconds each: a reload, and the look at the files every
few seconds, must not do that for a thousand certificates that are as they were.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from balancer.tls.files import State, is_file, read_file, state_of
from balancer.tls.finding import found as sources_of
from balancer.tls.finding import has_key, is_pattern
from balancer.tls.identity import Identity
from balancer.tls.pem import UnusableError
from balancer.tls.reading import Source, UnusableCertificateError, read_identity
from balancer.tls.stand_in import stand_in

__all__ = ["Cabinet", "Entry", "Fault", "Reading", "read_all"]


@dataclass(frozen=True, slots=True)
class Entry:
    """What a configuration says of one certificate, or of a directory or pattern of them; paths absolute.

    ``awaited`` marks one that we have issued ourselves and that may not be there yet.
    """

    cert: str
    key: str | None = None
    chain: str | None = None
    awaited: bool = False


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong with the entry number ``at``: ``part`` is ``cert``, ``key`` or ``chain``."""

    at: int
    part: str
    text: str


@dataclass(frozen=True, slots=True)
class Reading:
    """What is in the files: each source with the number of its entry and its identity, None where that is at fault."""

    found: tuple[tuple[int, Source, Identity | None], ...]
    faults: tuple[Fault, ...]

    @property
    def identities(self) -> tuple[Identity, ...]:
        """Those that can be used."""
        return tuple(identity for _, _, identity in self.found if identity is not None)


class Cabinet:
    """Remembers what was read. May be used by several threads."""

    def __init__(self) -> None:
        self._known: dict[Source, tuple[tuple[State, ...], Identity | UnusableCertificateError]] = {}
        self._texts: dict[Path, tuple[State, bytes]] = {}
        self._keys: dict[Path, tuple[State, bool]] = {}
        self._stand_ins: dict[tuple[str, ...], Identity] = {}
        self._lock = threading.Lock()

    def identity(self, source: Source) -> Identity:
        """Return what is in the files of ``source``.

        Raises:
            UnusableCertificateError: saying why it cannot be used.
        """
        with self._lock:
            states = tuple(
                state_of(path) for path in source.files
            )  # before reading: a change meanwhile shows next time
            known = self._known.get(source)
            if known is None or known[0] != states or None in states:
                found: Identity | UnusableCertificateError
                try:
                    found = read_identity(source)
                except UnusableCertificateError as error:
                    found = error
                known = self._known[source] = (states, found)
        if isinstance(known[1], UnusableCertificateError):
            raise known[1]
        return known[1]

    def text(self, path: Path) -> bytes:
        """Return what is in the file at ``path``; raises :class:`~balancer.tls.pem.UnusableError`."""
        with self._lock:
            state = state_of(path)
            known = self._texts.get(path)
            if known is None or known[0] != state or state is None:
                known = self._texts[path] = (state, read_file(path)[0])
            return known[1]

    def has_key(self, path: Path) -> bool:
        """Return whether the file at ``path`` holds a key, as :func:`balancer.tls.finding.has_key` does."""
        with self._lock:
            state = state_of(path)
            known = self._keys.get(path)
            if known is None or known[0] != state or state is None:
                known = self._keys[path] = (state, has_key(path))
            return known[1]

    def stand_in(self, names: tuple[str, ...]) -> Identity:
        """Return the certificate that is shown for ``names`` as long as there is none."""
        with self._lock:
            found = self._stand_ins.get(names)
            if found is None:
                found = self._stand_ins[names] = stand_in(names)
            return found

    def forget_others(self, sources: Iterable[Source]) -> None:
        """Forget what is not of ``sources``: keys that nobody uses are not kept in memory."""
        kept = set(sources)
        with self._lock:
            self._known = {source: known for source, known in self._known.items() if source in kept}
            paths = {source.cert for source in kept}
            self._keys = {path: known for path, known in self._keys.items() if path in paths or not known[1]}


def read_all(entries: Sequence[Entry], directory: str, cabinet: Cabinet) -> Reading:
    """Return the certificates of ``entries``, each source once, in their order; with everything that is wrong."""
    seen: set[Source] = set()
    found: list[tuple[int, Source, Identity | None]] = []
    faults: list[Fault] = []
    for at, entry in enumerate(entries):
        if entry.awaited and not is_file(Path(entry.cert)):
            continue
        try:
            sources = _sources(entry, directory, cabinet)
        except UnusableError as error:
            faults.append(Fault(at, "cert", str(error)))
            continue
        for source in sources:
            if source in seen:
                continue
            seen.add(source)
            try:
                found.append((at, source, cabinet.identity(source)))
            except UnusableCertificateError as error:
                found.append((at, source, None))
                faults += [Fault(at, part, text) for part, text in error.problems]
    return Reading(tuple(found), tuple(faults))


def _sources(entry: Entry, directory: str, cabinet: Cabinet) -> list[Source]:
    if entry.key is None and entry.chain is None:
        return list(sources_of(entry.cert, directory, cabinet.has_key))
    if is_pattern(entry.cert):
        raise UnusableError(f"expected one file beside 'key' and 'chain', got the pattern or directory {entry.cert}")
    (source,) = sources_of(entry.cert, directory)
    key = Path(entry.key) if entry.key is not None else source.key
    return [Source(source.name, source.cert, key, Path(entry.chain) if entry.chain is not None else None)]
