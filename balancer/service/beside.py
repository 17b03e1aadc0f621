"""Long work beside the event loop: in a thread that lets go of the interpreter again and again.

A configuration of 20,000 routes takes a second to read and build. Done in the loop that second is everybody's; done in a thread
the two take turns, as Python has one interpreter for all threads. Its turns are short while this works: whoever serves asks for
the interpreter after each wait in the kernel, and would get it back 5 ms later as Python is set up.

What is done here must touch nothing of the loop: no reactor but for its clock, nothing that serves.

Two things hold the interpreter from their beginning to their end, and would be felt with a million objects: a collection of
garbage, and freeing a large tree. So there is no collection while there is work, and what a large configuration is made of is
kept from the collector afterwards (reference counts free it); and the configuration before is taken apart piece by piece.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, TypeVar

from twisted.internet.defer import Deferred

from balancer.config.loading import without_collecting
from balancer.service.snapshot import Snapshot
from balancer.service.threads import own_thread

__all__ = ["SLICE", "Beside", "pieces_of"]

SLICE = 0.0001
"""Seconds after which whoever wants the interpreter has it, while there is work."""

MANY = 200_000
"""Objects that the collector looks through in 50 ms; it is kept from more than that made by one piece of work."""

_OWN = ("balancer.config.", "balancer.model.", "balancer.routing.")
_CONTAINERS = (dict, list, tuple, set, frozenset)

T = TypeVar("T")


class Beside:
    """A thread for one piece of work after another.

    Args:
        reactor: runs the loop.
    """

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        self._call = own_thread(reactor, "beside")
        self._working = 0
        self._usual = sys.getswitchinterval()

    def do(self, work: Callable[[], T]) -> Deferred[T]:
        """Return what ``work()`` returns, or raises; in the loop and at once where that does not run."""
        if not self._reactor.running:
            done: Deferred[T] = Deferred()
            done.addCallback(lambda _: work())
            done.callback(None)  # type: ignore[arg-type]
            return done
        if not self._working:
            self._usual = sys.getswitchinterval()
            sys.setswitchinterval(SLICE)
        self._working += 1
        return self._call(partial(_without_stops, work)).addBoth(self._done)

    def forget(self, old: Snapshot | None) -> None:
        """Take the configuration of ``old`` apart, which nothing serves by any more."""
        if old is not None and self._reactor.running:
            tables = [getattr(each, "table", None) for each in old.listeners.values()]
            self.do(partial(_take_apart, [old.config, *tables]))

    def _done(self, result: Any) -> Any:
        self._working -= 1
        if not self._working:
            sys.setswitchinterval(self._usual)
        return result


def _without_stops(work: Callable[[], T]) -> T:
    """Return what ``work()`` returns; no garbage is collected meanwhile, nor later in what was made in large numbers."""
    with without_collecting():
        before = gc.get_count()[0]
        result = work()
        if gc.get_count()[0] - before > MANY:
            gc.freeze()
        return result


def _take_apart(roots: list[Any]) -> None:
    pieces = pieces_of(roots)
    roots.clear()
    for place in range(len(pieces)):  # whoever holds a piece comes before it, so that each is freed alone
        pieces[place] = None


def pieces_of(roots: Iterable[Any]) -> list[Any]:
    """Return what configurations and tables of routes are made of, whoever holds a piece before the piece."""
    found = list(roots)
    seen = set(map(id, found))
    for each in found:  # grows meanwhile
        for held in gc.get_referents(each):
            if id(held) not in seen and (held.__class__ in _CONTAINERS or held.__class__.__module__.startswith(_OWN)):
                seen.add(id(held))
                found.append(held)
    return found
