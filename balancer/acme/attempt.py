"""One attempt to have a certificate issued, from the lock on the storage to the file in it: to be run in a thread.

::

    lock ── somebody else has got it? ── noted as failed ── converse ── file ── noted as done
                                              └── a process that dies from here on does not try again at once

A certificate that was issued and could not be written is kept in memory, and written at the next attempt: the authority is not asked
for another one because a disk was full.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from balancer.acme.conversation import term_of
from balancer.acme.faults import OrderError
from balancer.acme.renewal_info import certificate_id
from balancer.acme.schedule import Attempts, Term, Window, renewal
from balancer.acme.storage import BusyError, Storage, StorageError
from balancer.acme.wanted import Wanted
from balancer.model.units import format_duration

__all__ = ["AUTHORITY", "BUSY", "Attempting", "Converse", "Outcome", "term_in"]

AUTHORITY = ""
"""Under which the attempts of an authority as a whole are kept."""
BUSY = 60.0
"""Seconds to wait for another process."""
_EARLY = 5 * 60.0
"""Seconds that the authority's clock may be ahead of ours."""
_WRONG = 86400.0
"""Seconds to wait where the clock is wrong: authorities allow a handful of certificates for the same names a week."""

Converse = Callable[[Wanted, Storage, Callable[[str, str, bool], None], str], bytes]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of an attempt: ``error`` is None where it went well."""

    error: Exception | None
    attempts: Attempts
    authority: Attempts
    term: Term | None


class Attempting:
    """Makes attempts, one after the other.

    Args:
        converse: has one certificate issued.
        draw: returns a float in [0, 1).
        wall: the time, in seconds since the epoch.
    """

    def __init__(self, converse: Converse, draw: Callable[[], float], wall: Callable[[], float]) -> None:
        self._converse = converse
        self._draw = draw
        self._wall = wall
        self._unwritten: dict[str, bytes] = {}

    def attempt(
        self,
        wanted: Wanted,
        storage: Storage,
        attempts: Attempts,
        authority: Attempts,
        present: Callable[[str, str, bool], None],
    ) -> Outcome:
        """Have ``wanted`` issued, and kept in ``storage``; ``attempts`` and ``authority`` are what is known of it so far."""
        try:
            storage.prepare()
            with storage.lock():
                return self._locked(wanted, storage, present)
        except BusyError as error:
            later = replace(attempts, pause=self._wall() + BUSY)
            return Outcome(error, later, authority, term_in(wanted, storage))
        except StorageError as error:
            now = self._wall()
            return Outcome(
                error,
                attempts.failed(now, self._draw(), str(error)),
                authority.failed(now, self._draw(), str(error)),
                term_in(wanted, storage),
            )

    def _locked(self, wanted: Wanted, storage: Storage, present: Callable[[str, str, bool], None]) -> Outcome:
        kept = storage.attempts()
        before, authority = kept.get(wanted.key, Attempts()), kept.get(AUTHORITY, Attempts())
        term, now = term_in(wanted, storage), self._wall()
        if term is not None and renewal(term, wanted.acme.renew_before, _window(wanted, storage)) > now:
            return Outcome(None, before, authority, term)  # another process was faster
        storage.note(wanted.key, before.failed(now, self._draw(), "it was broken off"))
        try:
            pem = self._unwritten.get(wanted.path)
            if pem is None:
                pem = self._converse(wanted, storage, present, _replaced(wanted, storage))
            try:
                term = term_of(pem)
            except ValueError as error:
                raise OrderError(f"what the authority sent is no certificate: {error}") from error
            self._unwritten[wanted.path] = pem
            storage.write(wanted.file, pem)
            del self._unwritten[wanted.path]
            _refuse_clock(term, wanted, self._wall())
        except OrderError as error:
            now = self._wall()
            after = before.failed(now, self._draw(), str(error), error.wait)
            storage.note(wanted.key, after)
            if not error.alone:
                authority = authority.failed(now, self._draw(), str(error), error.wait)
                storage.note(AUTHORITY, authority)
            return Outcome(error, after, authority, term)
        now = self._wall()
        after, authority = before.done(now, term), authority.done(now)
        storage.note(wanted.key, after)
        storage.note(AUTHORITY, authority)
        return Outcome(None, after, authority, term)


def _refuse_clock(term: Term, wanted: Wanted, now: float) -> None:
    """Raise OrderError where a certificate that has just been issued is to be renewed at once: ever more would be asked for.

    It is kept: that our clock is wrong need not be in the way of clients.
    """
    if term.begins > now + _EARLY:
        wrong = f"is good only in {format_duration(round(term.begins - now))}"
    elif renewal(term, wanted.acme.renew_before) <= now:
        wrong = "is to be renewed already"
    else:
        return
    raise OrderError(
        f"the certificate that was issued just now {wrong}: this machine's clock must be wrong", wait=_WRONG
    )


def _replaced(wanted: Wanted, storage: Storage) -> str:
    """Return what the certificate is called whose place the next one takes; "" where there is none."""
    found = storage.read(wanted.file)
    try:
        return "" if found is None else certificate_id(found)
    except ValueError:
        return ""


def _window(wanted: Wanted, storage: Storage) -> Window | None:
    return storage.windows().get(wanted.key)


def term_in(wanted: Wanted, storage: Storage) -> Term | None:
    """Return for how long the certificate that is there is good; None where there is none that can be used."""
    try:
        found = storage.read(wanted.file)
        return None if found is None else term_of(found)
    except (StorageError, ValueError):
        return None
