"""Orders certificates, and renews them: one at a time, in a thread, in one process of all.

::

    every 10 s ──> which is due? ──> a thread: lock the storage, note the attempt, converse with the authority, write the file
                                        │ proofs for http-01, tls-alpn-01                                │
                                        └──> all processes answer for the token                     └──> the files are looked at

An attempt is noted as failed before it begins: a process that dies in the middle of one does not try again at once. What is
wrong with one name lets others go on; what is wrong with the authority, or the way to it, makes all of its names wait.
Where nothing is due, authorities are asked when they would have their certificates renewed.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from prometheus_client.metrics_core import Metric
from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from balancer.acme.attempt import AUTHORITY, Attempting, Converse, Outcome, term_in
from balancer.acme.conversation import order
from balancer.acme.faults import OrderError
from balancer.acme.hook import run_hook
from balancer.acme.renewal_info import ask_window
from balancer.acme.schedule import Attempts, Window
from balancer.acme.storage import BusyError, Proofs, Storage, StorageError
from balancer.acme.wanted import Wanted
from balancer.model.units import format_duration
from balancer.net.timers import Entry, Wheel
from balancer.service.orders import Known, order_metrics
from balancer.tls.validity import moment

__all__ = ["EVERY", "Ordering"]

EVERY = 10.0
"""Seconds between two looks at what is due."""
SOON = 1.0
"""Seconds until the first, and until the next after one that went well."""
UNANSWERED = 3600.0
"""Seconds until an authority is asked again that did not say when it would have a certificate renewed."""

Ask = Callable[[str, str | None, bytes, str, float], Window]

_log = Logger()


class Ordering:
    """One per process; in workers it is given nothing to order.

    Args:
        wheel: the shared timer.
        in_thread: calls a function without making the reactor wait, one after the other.
        from_thread: calls a function in the reactor's thread, and waits for what it returns.
        draw: returns a float in [0, 1).
        wall: the time, in seconds since the epoch.
        converse: has one certificate issued.
        ask: asks an authority when it would have one renewed.
    """

    def __init__(
        self,
        wheel: Wheel,
        in_thread: Callable[[Callable[[], Any]], Deferred[Any]],
        from_thread: Callable[..., Any],
        draw: Callable[[], float],
        wall: Callable[[], float] = time.time,
        converse: Converse = order,
        ask: Ask = ask_window,
    ) -> None:
        self.proofs: dict[str, str] = {}
        """What authorities are to find by http-01: key authorizations by token. The same object for good: listeners look into it."""
        self.proofs_of_names: dict[str, str] = {}
        """What they are to be shown by tls-alpn-01: key authorizations by name. Likewise."""
        self.tell: Callable[[], Any] = lambda: None
        """Called when either has changed; may return a Deferred that fires when everybody knows."""
        self.changed: Callable[[], Any] = lambda: None
        """Called when there is a file that was not there."""
        self.is_ready: Callable[[], bool] = lambda: True
        """Whether listeners would answer an authority."""
        self._wheel = wheel
        self._in_thread = in_thread
        self._from_thread = from_thread
        self._draw = draw
        self._wall = wall
        self._attempting = Attempting(converse, draw, wall)
        self._ask = ask
        self._own: Proofs = ({}, {})
        self._known: dict[str, Known] = {}
        self._authorities: dict[str, Attempts] = {}
        self._timer: Entry | None = None
        self._under_way = ""
        self._asking = False
        self._stopped = False

    # What is wanted.

    def use(self, wanted: Sequence[Wanted]) -> None:
        """Order these from now on. What is in the storage is read; what failed is known again, and waits."""
        before, self._known, self._authorities = self._known, {}, {}
        kept: dict[str, dict[str, Attempts]] = {}
        windows: dict[str, dict[str, Window]] = {}
        for each in wanted:
            storage = Storage(each.acme.storage, each.acme.directory)
            authority = str(storage.folder)
            if authority not in kept:
                kept[authority], windows[authority] = _kept(storage)
                self._authorities[authority] = kept[authority].get(AUTHORITY, Attempts())
            attempts = kept[authority].get(each.key, Attempts())
            old = before.get(each.path)
            if old is not None and old.wanted != each:  # somebody has mended what was wrong, it may be
                attempts = replace(attempts, pause=0.0)
                self._authorities[authority] = replace(self._authorities[authority], pause=0.0)
            window = windows[authority].get(each.key)
            self._known[each.path] = Known(each, storage, term_in(each, storage), attempts, window)
        if self._known and not self._stopped:
            self._look_in(SOON)
            self._show_all()
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
        self._show_all()
        if self._under_way or self._asking or not self.is_ready():
            return
        due = self._most_urgent()
        if due is not None:
            self._begin(due)
            return
        now = self._wall()
        asked = next(
            (
                each
                for each in self._known.values()
                if each.is_to_be_asked(now) and not self._authorities[each.authority].waits(now)
            ),
            None,
        )
        if asked is not None:
            self._asking = True
            question = partial(self._question, asked.wanted, asked.storage)
            self._in_thread(question).addCallbacks(
                self._told, self._unasked, callbackArgs=(asked,), errbackArgs=(asked,)
            )

    def _begin(self, due: Known) -> None:
        self._under_way = due.wanted.path
        _log.info(
            "certificate for {name}: {doing} at {directory}",
            name=due.wanted.label,
            doing="ordering" if due.term is None else "renewing",
            directory=due.wanted.acme.directory,
        )
        attempt = partial(
            self._attempting.attempt,
            due.wanted,
            due.storage,
            due.attempts,
            self._authorities[due.authority],
            partial(self._present, due.wanted, due.storage),
        )
        self._in_thread(attempt).addCallbacks(self._over, self._broken, callbackArgs=(due,), errbackArgs=(due,))

    def _most_urgent(self) -> Known | None:
        """Return what is to be ordered now: first what is not there at all, then what ends first."""
        now = self._wall()
        may = [
            each
            for each in self._known.values()
            if each.due <= now and not each.attempts.waits(now) and not self._authorities[each.authority].waits(now)
        ]
        return min(may, key=lambda each: (each.attempts.failures, each.due), default=None)

    # Proofs.

    def _present(self, wanted: Wanted, storage: Storage, place: str, proof: str, there: bool) -> None:
        """Have the authority find ``proof``, or no more; in the thread."""
        if wanted.acme.challenge == "dns-01":
            try:
                run_hook(wanted.acme.dns_hook, "present" if there else "cleanup", place, proof)
            except OrderError as error:
                if there:
                    raise
                _log.warn("certificate for {name}: {error}", name=wanted.label, error=error)
            return
        shown = self._own[0 if wanted.acme.challenge == "http-01" else 1]
        if there:
            shown[place] = proof
        else:
            shown.pop(place, None)
        try:
            storage.note_proofs(*self._own, self._wall())
        except StorageError as error:
            if there:
                raise
            _log.warn("certificate for {name}: {error}", name=wanted.label, error=error)
        self._from_thread(self._show_all)

    def _show_all(self) -> Any:
        """Show what we prove, and what another process does that shares a storage with us: the one before us, it may be."""
        tokens, names = dict(self._own[0]), dict(self._own[1])
        for storage in {each.authority: each.storage for each in self._known.values()}.values():
            foreign = storage.proofs(self._wall())
            tokens |= foreign[0]
            names |= foreign[1]
        if (tokens, names) == (self.proofs, self.proofs_of_names):
            return None
        for shown, found in ((self.proofs, tokens), (self.proofs_of_names, names)):
            shown.clear()
            shown.update(found)
        return self.tell()

    # When authorities would have certificates renewed.

    def _question(self, wanted: Wanted, storage: Storage) -> Window | None:
        """Ask, and keep the answer; in the thread."""
        pem, term = storage.read(wanted.file), term_in(wanted, storage)
        if pem is None or term is None:
            return None
        try:
            window = self._ask(wanted.acme.directory, wanted.acme.ca, pem, term.fingerprint, self._wall())
        except OrderError as error:
            before = storage.windows().get(wanted.key)
            if before is None or before.fingerprint != term.fingerprint:
                before = Window(term.fingerprint)
            window = replace(before, again=self._wall() + max(UNANSWERED, error.wait) * (1 + 0.1 * self._draw()))
            _log.warn(
                "certificate for {name}: the authority was asked when to renew it: {error}",
                name=wanted.label,
                error=error,
            )
        with storage.lock():
            storage.note_window(wanted.key, window)
        return window

    def _told(self, window: Window | None, known: Known) -> None:
        self._asking = False
        known = self._known.get(known.wanted.path, known)
        before, known.window = known.due, window
        if window is not None and window.ends and known.due != before:
            _log.info(
                "certificate for {name}: the authority suggests to renew it between {begins} and {ends}{why}: it will be from {due} on",
                name=known.wanted.label,
                begins=moment(window.begins),
                ends=moment(window.ends),
                why=f" ({window.why})" if window.why else "",
                due=moment(known.due),
            )
        if self._timer is not None:
            self._look_in(SOON)

    def _unasked(self, failure: Failure, known: Known) -> None:
        """It could not be kept, or is a fault of ours: it is not asked again soon."""
        self._asking = False
        known = self._known.get(known.wanted.path, known)
        if known.term is not None:
            later = self._wall() + (UNANSWERED if failure.check(BusyError) is None else 6 * EVERY)
            known.window = replace(known.window or Window(""), fingerprint=known.term.fingerprint, again=later)
        if failure.check(BusyError):
            return
        if failure.check(StorageError):
            _log.error("certificate for {name}: {error}", name=known.wanted.label, error=failure.value)
        else:
            _log.failure("certificate for {name}: a question failed in our own code", failure, name=known.wanted.label)

    # What came of it.

    def _over(self, outcome: Outcome, known: Known) -> None:
        self._under_way = ""
        known = self._known.get(known.wanted.path, known)  # a reload may have come in between
        known.term, known.attempts = outcome.term, outcome.attempts
        if known.authority in self._authorities:
            self._authorities[known.authority] = outcome.authority
        name, now = known.wanted.label, self._wall()
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

    def _broken(self, failure: Failure, known: Known) -> None:
        """A fault of ours."""
        self._under_way = ""
        _log.failure("certificate for {name}: the order failed in our own code", failure, name=known.wanted.label)
        known.attempts = known.attempts.failed(self._wall(), self._draw(), failure.getErrorMessage())

    # Looking.

    def report(self) -> list[dict[str, Any]]:
        """Return the state of each certificate as plain values."""
        now = self._wall()
        return [
            each.report(self._authorities[each.authority], now, ordering=each.wanted.path == self._under_way)
            for each in self._known.values()
        ]

    def metrics(self) -> Iterator[Metric]:
        """Yield what is true at the moment of a scrape."""
        yield from order_metrics(self._known.values())


def _kept(storage: Storage) -> tuple[dict[str, Attempts], dict[str, Window]]:
    """Return what is in the storage; what cannot be read is told of."""
    found: list[Any] = []
    for read in (storage.attempts, storage.windows):
        try:
            found.append(read())
        except StorageError as error:
            _log.error("{error}", error=error)
            found.append({})
    return found[0], found[1]
