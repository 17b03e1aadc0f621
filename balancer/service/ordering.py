"""Orders certificates, and renews them: one at a time, in a thread, in one process of all.

::

    every 10 s ──> which is due? ──> a thread: lock the storage, note the attempt, converse with the authority, write the file
                                        │ proofs for http-01                                        │
                                        └──> all processes answer for the token                     └──> the files are looked at

An attempt is noted as failed before it begins: a process that dies in the middle of one does not try again at once. What is
wrong with one name lets others go on; what is wrong with the authority, or the way to it, makes all of its names wait.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from prometheus_client.metrics_core import Metric
from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from balancer.acme.conversation import OrderError, order, term_of
from balancer.acme.hook import run_hook
from balancer.acme.schedule import Attempts, Term, renewal
from balancer.acme.storage import BusyError, Storage, StorageError
from balancer.acme.wanted import Wanted
from balancer.model.units import format_duration
from balancer.net.timers import Entry, Wheel
from balancer.observe.metrics import counter, gauge
from balancer.tls.validity import moment

__all__ = ["EVERY", "Ordering", "Outcome", "order_metrics"]

EVERY = 10.0
"""Seconds between two looks at what is due."""
SOON = 1.0
"""Seconds until the first, and until the next after one that went well."""
AUTHORITY = ""
"""Under which the attempts of an authority as a whole are kept."""

Order = Callable[[Wanted, Storage, Callable[[str, str, bool], None]], bytes]

_log = Logger()


@dataclass(slots=True)
class _Known:
    """One certificate that is wanted: what there is of it."""

    wanted: Wanted
    storage: Storage
    term: Term | None
    attempts: Attempts

    @property
    def authority(self) -> str:
        """Which of all authorities is asked."""
        return str(self.storage.folder)

    @property
    def due(self) -> float:
        """When it is to be ordered; 0.0: it is not there."""
        return 0.0 if self.term is None else renewal(self.term, self.wanted.acme.renew_before)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of an attempt: ``error`` is None where it went well."""

    error: Exception | None
    attempts: Attempts
    authority: Attempts
    term: Term | None


class Ordering:
    """One per process; in workers it is given nothing to order.

    Args:
        wheel: the shared timer.
        in_thread: calls a function without making the reactor wait, one after the other.
        from_thread: calls a function in the reactor's thread, and waits for what it returns.
        draw: returns a float in [0, 1).
        wall: the time, in seconds since the epoch.
        converse: has one certificate issued.
    """

    def __init__(
        self,
        wheel: Wheel,
        in_thread: Callable[[Callable[[], Any]], Deferred[Any]],
        from_thread: Callable[..., Any],
        draw: Callable[[], float],
        wall: Callable[[], float] = time.time,
        converse: Order = order,
    ) -> None:
        self.proofs: dict[str, str] = {}
        """What authorities are to find by http-01: key authorizations by token. The same object for good: listeners look into it."""
        self.tell: Callable[[], Any] = lambda: None
        """Called when ``proofs`` have changed; may return a Deferred that fires when everybody knows."""
        self.changed: Callable[[], Any] = lambda: None
        """Called when there is a file that was not there."""
        self.is_ready: Callable[[], bool] = lambda: True
        """Whether listeners would answer an authority."""
        self._wheel = wheel
        self._in_thread = in_thread
        self._from_thread = from_thread
        self._draw = draw
        self._wall = wall
        self._converse = converse
        self._known: dict[str, _Known] = {}
        self._authorities: dict[str, Attempts] = {}
        self._timer: Entry | None = None
        self._under_way = ""
        self._stopped = False

    # What is wanted.

    def use(self, wanted: Sequence[Wanted]) -> None:
        """Order these from now on. What is in the storage is read; what failed is known again, and waits."""
        before, self._known, self._authorities = self._known, {}, {}
        kept: dict[str, dict[str, Attempts]] = {}
        for each in wanted:
            storage = Storage(each.acme.storage, each.acme.directory)
            authority = str(storage.folder)
            if authority not in kept:
                kept[authority] = _kept(storage)
                self._authorities[authority] = kept[authority].get(AUTHORITY, Attempts())
            attempts = kept[authority].get(each.name, Attempts())
            old = before.get(each.path)
            if old is not None and old.wanted != each:  # somebody has mended what was wrong, it may be
                attempts = replace(attempts, pause=0.0)
                self._authorities[authority] = replace(self._authorities[authority], pause=0.0)
            self._known[each.path] = _Known(each, storage, _term(each, storage), attempts)
        if self._known and not self._stopped:
            self._look_in(SOON)
        elif self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def stop(self) -> None:
        """Order nothing more. A conversation that is under way is not waited for."""
        self._stopped = True
        self._known = {}
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    # What is due.

    def _look_in(self, seconds: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._wheel.schedule(seconds, self._look)

    def _look(self) -> None:
        self._timer = None
        if self._stopped or not self._known:
            return
        self._look_in(EVERY if self.is_ready() else SOON)
        if self._under_way or not self.is_ready():
            return
        due = self._most_urgent()
        if due is not None:
            self._under_way = due.wanted.path
            _log.info(
                "certificate for {name}: {doing} at {directory}",
                name=due.wanted.name,
                doing="ordering" if due.term is None else "renewing",
                directory=due.wanted.acme.directory,
            )
            attempt = partial(self._attempt, due.wanted, due.storage, due.attempts, self._authorities[due.authority])
            self._in_thread(attempt).addCallbacks(self._over, self._broken, callbackArgs=(due,), errbackArgs=(due,))

    def _most_urgent(self) -> _Known | None:
        """Return what is to be ordered now: first what is not there at all, then what ends first."""
        now = self._wall()
        may = [
            each
            for each in self._known.values()
            if each.due <= now and not each.attempts.waits(now) and not self._authorities[each.authority].waits(now)
        ]
        return min(may, key=lambda each: (each.attempts.failures, each.due), default=None)

    # One attempt, in a thread.

    def _attempt(self, wanted: Wanted, storage: Storage, attempts: Attempts, authority: Attempts) -> Outcome:
        try:
            storage.prepare()
            with storage.lock():
                return self._locked(wanted, storage)
        except BusyError as error:
            later = replace(attempts, pause=self._wall() + 6 * EVERY)
            return Outcome(error, later, authority, _term(wanted, storage))
        except StorageError as error:
            now = self._wall()
            return Outcome(
                error,
                attempts.failed(now, self._draw(), str(error)),
                authority.failed(now, self._draw(), str(error)),
                _term(wanted, storage),
            )

    def _locked(self, wanted: Wanted, storage: Storage) -> Outcome:
        kept = storage.attempts()
        before, authority = kept.get(wanted.name, Attempts()), kept.get(AUTHORITY, Attempts())
        term, now = _term(wanted, storage), self._wall()
        if term is not None and renewal(term, wanted.acme.renew_before) > now:  # another process was faster
            return Outcome(None, before, authority, term)
        storage.note(wanted.name, before.failed(now, self._draw(), "it was broken off"))
        try:
            pem = self._converse(wanted, storage, partial(self._present, wanted))
            try:
                term = term_of(pem)
            except ValueError as error:
                raise OrderError(f"what the authority sent is no certificate: {error}") from error
            storage.write(wanted.file, pem)
        except OrderError as error:
            now = self._wall()
            after = before.failed(now, self._draw(), str(error), error.wait)
            storage.note(wanted.name, after)
            if not error.alone:
                authority = authority.failed(now, self._draw(), str(error), error.wait)
                storage.note(AUTHORITY, authority)
            return Outcome(error, after, authority, term)
        now = self._wall()
        after, authority = before.done(now, term), authority.done(now)
        storage.note(wanted.name, after)
        storage.note(AUTHORITY, authority)
        return Outcome(None, after, authority, term)

    def _present(self, wanted: Wanted, place: str, proof: str, there: bool) -> None:
        """Have the authority find ``proof``, or no more; in the thread."""
        if wanted.acme.challenge == "dns-01":
            try:
                run_hook(wanted.acme.dns_hook, "present" if there else "cleanup", place, proof)
            except OrderError as error:
                if there:
                    raise
                _log.warn("certificate for {name}: {error}", name=wanted.name, error=error)
        else:
            self._from_thread(self._show, place, proof, there)

    def _show(self, token: str, proof: str, there: bool) -> Any:
        if there:
            self.proofs[token] = proof
        else:
            self.proofs.pop(token, None)
        return self.tell()

    # What came of it.

    def _over(self, outcome: Outcome, known: _Known) -> None:
        self._under_way = ""
        known = self._known.get(known.wanted.path, known)  # a reload may have come in between
        known.term, known.attempts = outcome.term, outcome.attempts
        if known.authority in self._authorities:
            self._authorities[known.authority] = outcome.authority
        name, now = known.wanted.name, self._wall()
        if isinstance(outcome.error, BusyError):
            _log.info("certificate for {name}: {error}; it is looked at again later", name=name, error=outcome.error)
            return
        if outcome.error is None:
            assert outcome.term is not None
            _log.info(
                "certificate for {name}: issued, good until {until}, to be renewed from {due} on",
                name=name,
                until=moment(outcome.term.ends),
                due=moment(known.due),
            )
            self.changed()
            if self._timer is not None:
                self._look_in(SOON)
            return
        wait = max(outcome.attempts.pause, outcome.authority.pause) - now
        there = "there is none, and clients are shown something else" if known.term is None else ""
        if known.term is not None:
            there = f"the present one is good until {moment(known.term.ends)}"
            if known.term.ends <= now:
                there = f"the present one has expired on {moment(known.term.ends)}"
        _log.error(
            "certificate for {name}: {error}; next attempt in {wait}; {there}",
            name=name,
            error=outcome.error,
            wait=format_duration(max(1.0, round(wait))),
            there=there,
        )

    def _broken(self, failure: Failure, known: _Known) -> None:
        """A fault of ours."""
        self._under_way = ""
        _log.failure("certificate for {name}: the order failed in our own code", failure, name=known.wanted.name)
        known.attempts = known.attempts.failed(self._wall(), self._draw(), failure.getErrorMessage())

    # Looking.

    def report(self) -> list[dict[str, Any]]:
        """Return the state of each certificate as plain values."""
        now = self._wall()
        return [
            {
                "name": each.wanted.name,
                "directory": each.wanted.acme.directory,
                "challenge": each.wanted.acme.challenge,
                "state": self._state(each, now),
                "expires": moment(each.term.ends) if each.term is not None else "",
                "renewal": moment(each.due) if each.term is not None else "",
                "issued": moment(each.attempts.succeeded) if each.attempts.succeeded else "",
                "failures": each.attempts.failures,
                "error": each.attempts.error or self._authorities[each.authority].error,
                "next": moment(self._pause(each)) if each.due <= now < self._pause(each) else "",
            }
            for each in self._known.values()
        ]

    def _pause(self, known: _Known) -> float:
        return max(known.attempts.pause, self._authorities[known.authority].pause)

    def _state(self, known: _Known, now: float) -> str:
        if known.wanted.path == self._under_way:
            return "ordering"
        if known.due > now:
            return "good"
        return "waiting" if self._pause(known) > now else "due"

    def metrics(self) -> Iterator[Metric]:
        """Yield what is true at the moment of a scrape."""
        yield from order_metrics({each.wanted.name: (each.attempts, each.term) for each in self._known.values()})


def order_metrics(known: Mapping[str, tuple[Attempts, Term | None]]) -> Iterator[Metric]:
    """Yield the metrics of certificates by name."""
    succeeded = gauge(
        "acme_last_success_timestamp_seconds", "When the certificate was last issued, 0: not known.", ("name",)
    )
    failures = counter("acme_failures", "Orders of the certificate that came to nothing, restarts included.", ("name",))
    row = gauge("acme_failures_in_a_row", "Orders that came to nothing since the last that went well.", ("name",))
    for name, (attempts, _) in known.items():
        succeeded.add_metric((name,), attempts.succeeded)
        failures.add_metric((name,), attempts.total)
        row.add_metric((name,), attempts.failures)
    yield from (succeeded, failures, row)


def _kept(storage: Storage) -> dict[str, Attempts]:
    try:
        return storage.attempts()
    except StorageError as error:
        _log.error("{error}", error=error)
        return {}


def _term(wanted: Wanted, storage: Storage) -> Term | None:
    """Return for how long the certificate that is there is good; None where there is none that can be used."""
    try:
        found = storage.read(wanted.file)
        return None if found is None else term_of(found)
    except (StorageError, ValueError):
        return None
