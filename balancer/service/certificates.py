"""The certificates of every listener and pool of a process: read when a configuration is built, watched while it is in force.

::

    every 10 s ──> a thread looks at the files ──> what changed is shown: by new contexts, for handshakes that begin from then on

Nothing of this is on the way of a connection: those that there are go on as they are.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThreadPool
from twisted.logger import Logger
from twisted.python.failure import Failure

from balancer.acme.wanted import Wanted as Ordered
from balancer.config.pools import PoolTls
from balancer.config.tls import ListenerTls
from balancer.net.timers import Entry, Wheel
from balancer.tls.cabinet import Cabinet
from balancer.tls.cabinet import Entry as CertificateEntry
from balancer.tls.kept import NOTHING, Kept
from balancer.tls.shelf import Looked, Shelf, Wanted
from balancer.tls.validity import days_left, moment, standing

__all__ = ["EVERY", "Certificates", "certificate_report", "threads_of", "wanted_of", "wanted_of_pool"]

EVERY = 10.0
"""Seconds between two looks at the files."""

_log = Logger()

_Owner = tuple[str, str]
"""``listener`` or ``pool``, and its name."""


def wanted_of(settings: ListenerTls, directory: str, ordered: Sequence[Ordered] = ()) -> Wanted:
    """Return what ``settings`` say of certificates; names of files are told relative to ``directory``.

    ``ordered`` are those that are to be issued.
    """
    auth = settings.client_auth
    entries = [CertificateEntry(each.cert, each.key, each.chain) for each in settings.certificates]
    entries += [CertificateEntry(each.path, awaited=True) for each in ordered]
    return Wanted(
        tuple(entries),
        directory,
        settings.default,
        settings.strict_sni,
        auth.ca if auth is not None else "",
        (auth.crl or "") if auth is not None else "",
        tuple(dict.fromkeys(name for each in ordered for name in each.names)),
    )


def wanted_of_pool(settings: PoolTls, directory: str) -> Wanted:
    """Return what ``settings`` say of the certificate that is shown to servers, and of whom is believed."""
    shown = settings.certificate
    entries = () if shown is None else (CertificateEntry(shown.cert, shown.key),)
    return Wanted(entries, directory, ca=settings.ca or "", peers="servers")


def certificate_report(shelf: Shelf, now: float) -> list[dict[str, Any]]:
    """Return what operators want to know of each certificate on ``shelf``, as plain values."""
    return [
        {
            "name": identity.name,
            "names": list(identity.names),
            "kind": identity.kind,
            "expires": moment(identity.not_after),
            "days": days_left(identity, now),
            "wrong": standing(identity, now),
            "serial": identity.serial,
            "stapled": identity.staple is not None,
        }
        for identity in shelf.choice.identities
    ]


class Certificates:
    """One per process.

    Args:
        wheel: the shared timer.
        in_thread: calls a function without making the reactor wait for it.
        wall: the time, in seconds since the epoch.
    """

    def __init__(
        self,
        wheel: Wheel,
        in_thread: Callable[[Callable[[], Any]], Deferred[Any]],
        wall: Callable[[], float] = time.time,
    ) -> None:
        self.cabinet = Cabinet()
        self.staples: dict[str, bytes] = {}
        """Answers of authorities (DER) by the fingerprint of their certificate."""
        self.changed: Callable[[str], Any] = lambda _: None
        """Called with the name of a listener that has something else to show."""
        self.pool_changed: Callable[[str], Any] = lambda _: None
        """Called with the name of a pool that has something else to show, or believes others."""
        self.kept: Kept = NOTHING
        """What is shown for files that are broken when they are read for the first time."""
        self.tells = True
        """Whether changes are written to the log: where several processes look, one does."""
        self._wheel = wheel
        self._in_thread = in_thread
        self._wall = wall
        self._shelves: dict[_Owner, Shelf] = {}
        self._timer: Entry | None = None
        self._looking = False

    def shelf(self, settings: ListenerTls, directory: str, ordered: Sequence[Ordered] = ()) -> Shelf:
        """Return the shelf of a listener with ``settings``, to be filled; ``ordered`` as of :func:`wanted_of`."""
        return Shelf(wanted_of(settings, directory, ordered), self.cabinet)

    def shelf_of_pool(self, settings: PoolTls, directory: str) -> Shelf:
        """Return the shelf of a pool with ``settings``, to be filled."""
        return Shelf(wanted_of_pool(settings, directory), self.cabinet)

    def use(self, shelves: Mapping[str, Shelf], of_pools: Mapping[str, Shelf] | None = None) -> None:
        """Watch the files of ``shelves``, by listener, and those ``of_pools`` from now on."""
        self._shelves = {
            **{("listener", name): shelf for name, shelf in shelves.items()},
            **{("pool", name): shelf for name, shelf in (of_pools or {}).items()},
        }
        self._forget_others()
        if self.tells:
            for text in self._wrong():
                _log.warn("{text}", text=text)
        if self._shelves and self._timer is None:
            self._timer = self._wheel.schedule(EVERY, self.look)
        elif not self._shelves:
            self.stop()

    def _forget_others(self) -> None:
        self.cabinet.forget_others({source for shelf in self._shelves.values() for source in shelf.sources})

    def stop(self) -> None:
        """Watch no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _wrong(self) -> Iterable[str]:
        now = self._wall()
        for (kind, name), shelf in self._shelves.items():
            for identity in shelf.choice.identities:
                wrong = standing(identity, now)
                if wrong:
                    yield f"the certificate {identity.name} of {kind} {name} {wrong}"
            authorities = shelf.authorities
            if authorities is not None and authorities.until <= now:
                yield (
                    f"a list of revoked certificates of {kind} {name} is out of date since {moment(authorities.until)}:"
                    " no client of that authority is let in"
                )

    def look(self) -> None:
        """Look at the files now, in a thread."""
        if self._looking:
            return
        self._looking = True
        shelves = self._shelves
        looking = self._in_thread(lambda: {owner: shelf.look() for owner, shelf in shelves.items()})
        looking.addCallbacks(self._looked, self._failed, callbackArgs=(shelves,)).addBoth(self._again)

    def _looked(self, found: dict[_Owner, Looked], shelves: Mapping[_Owner, Shelf]) -> None:
        if shelves is not self._shelves:  # a reload came in between, and has read everything itself
            return
        for (kind, name), looked in found.items():
            changed, news, complaints = shelves[kind, name].take(looked, self.staples)
            if self.tells:
                for text in news:
                    _log.info("{kind} {name}: {text}", kind=kind, name=name, text=text)
                for text in complaints:
                    _log.error("{kind} {name}: {text}; what was there stays", kind=kind, name=name, text=text)
            if changed:
                (self.changed if kind == "listener" else self.pool_changed)(name)
        if not any(each.complaints for each in found.values()):
            self._forget_others()

    def _failed(self, failure: Failure) -> None:
        _log.failure("the files of certificates could not be looked at", failure)

    def _again(self, _: object) -> None:
        self._looking = False
        if self._timer is not None:
            self._timer.cancel()
            self._timer = self._wheel.schedule(EVERY, self.look)

    def staple(self, staples: Mapping[str, bytes]) -> None:
        """Show each certificate with its answer in ``staples``, and without where there is none."""
        self.staples = dict(staples)
        for (kind, name), shelf in self._shelves.items():
            if kind == "listener" and shelf.staple(self.staples):
                self.changed(name)


def threads_of(reactor: Any) -> Callable[[Callable[[], Any]], Deferred[Any]]:
    """Return what calls a function in one of ``reactor``'s threads."""
    return lambda call: deferToThreadPool(reactor, reactor.getThreadPool(), call)
