"""Where clients wait while every server of a pool is at its ``max_connections``: bounded, first come first served.

All wait equally long at most, so the order of arrival is the order of deadlines, and one delayed call, for whoever is
first in line, serves all of them.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import takewhile
from typing import TYPE_CHECKING

from twisted.internet.defer import Deferred, fail
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from balancer import errors
from balancer.compiled import mypyc_attr
from balancer.errors import ExchangeError
from balancer.model.facts import RequestFacts, SessionFacts

if TYPE_CHECKING:
    from balancer.pools.server import Server

__all__ = ["Place", "Queue", "QueueSettings"]


@dataclass(frozen=True, slots=True)
class QueueSettings:
    """At most ``size`` wait, each at most ``timeout`` seconds; ``size`` 0 means that nobody does."""

    size: int = 100
    timeout: float = 5.0


class Place:
    """One client's place in a queue; it may move to another queue at a reload."""

    __slots__ = ("due", "facts", "queue", "result")

    def __init__(self, queue: Queue, facts: RequestFacts | SessionFacts, due: float) -> None:
        self.queue = queue
        self.facts = facts
        self.due = due
        self.result: Deferred[Server] = Deferred(self._left)

    def _left(self, _result: Deferred[Server]) -> None:
        self.queue._drop(self)


@mypyc_attr(allow_interpreted_subclasses=True)
class Queue:
    """Clients waiting for a server with room.

    Args:
        settings: how many, how long.
        clock: the reactor's.
        choose: returns a server for those facts, already counted as begun, or None if there is none yet.

    ``timed_out``, ``refused`` and ``shed`` count those who got none. ``mixed`` says that they wait for different servers: then one whose
    servers are full does not keep those behind it waiting.
    """

    def __init__(
        self,
        settings: QueueSettings,
        clock: IReactorTime,
        choose: Callable[[RequestFacts | SessionFacts], Server | None],
    ) -> None:
        self.settings = settings
        self.timed_out = 0
        self.refused = 0
        self.shed = 0
        self.mixed = False
        self._clock = clock
        self._choose = choose
        self.waiting: OrderedDict[Place, None] = OrderedDict()
        self._timer: IDelayedCall | None = None
        self._serving = False

    def wait(self, facts: RequestFacts | SessionFacts) -> Deferred[Server]:
        """Wait for a server.

        Returns:
            Fires with a server, already begun. Fails with :class:`~balancer.errors.ExchangeError`:
            ``CONNECTION_LIMIT_REACHED`` at once if the queue is full, ``QUEUE_TIMEOUT`` when the time is up. Cancel it
            to leave the queue.
        """
        if len(self.waiting) >= self.settings.size and not self._make_room(facts):
            self.refused += 1
            return fail(self._refusal())
        place = Place(self, facts, self._clock.seconds() + self.patience(facts))
        self._add(place)
        self._watch()
        return place.result

    def fate(self, facts: RequestFacts | SessionFacts) -> ExchangeError | None:
        """Return what :meth:`wait` would fail with at once, None if it would not; nothing is changed."""
        full = len(self.waiting) >= self.settings.size and not self._could_make_room(facts)
        return self._refusal() if full else None

    def _refusal(self) -> ExchangeError:
        return ExchangeError(errors.CONNECTION_LIMIT_REACHED, f"{len(self.waiting)} waiting already")

    def serve(self) -> None:
        """Give servers to those who wait, in order, as long as there are any with room."""
        if self._serving:  # called back from within: the loop below goes on anyway
            return
        self._serving = True
        try:
            while self.waiting:
                for place in [*self._in_order()] if self.mixed else self._in_order():
                    server = self._choose(place.facts)
                    if server is not None or not self.mixed:
                        break
                if server is None:
                    break
                self._remove(place)
                place.result.callback(server)
        finally:
            self._serving = False
        self._watch()

    def take_over(self, other: Queue) -> None:
        """Let those who wait in ``other`` wait here, with the deadlines they have."""
        places = sorted([*other._take_all(), *self._take_all()], key=lambda place: place.due)
        self.timed_out, self.refused, self.shed = other.timed_out, other.refused, other.shed
        for place in places:
            place.queue = self
            self._add(place)
        self._watch()

    def _take_all(self) -> list[Place]:
        places = list(self.waiting)
        for place in places:
            self._remove(place)
        self._watch()
        return places

    # What a queue with another order does otherwise.

    def patience(self, facts: RequestFacts | SessionFacts) -> float:
        """Return how many seconds a request or session may wait."""
        return self.settings.timeout

    def _make_room(self, facts: RequestFacts | SessionFacts) -> bool:
        """Let somebody give way to ``facts``, if anybody must."""
        return False

    def _could_make_room(self, facts: RequestFacts | SessionFacts) -> bool:
        """Whether :meth:`_make_room` would."""
        return False

    def _add(self, place: Place) -> None:
        self.waiting[place] = None

    def _remove(self, place: Place) -> bool:
        """Take ``place`` out; False if it was not there any more."""
        return self.waiting.pop(place, self) is None

    def _in_order(self) -> Iterable[Place]:
        """Return those who wait, who is to be served first first."""
        return self.waiting

    def _soonest(self) -> float:
        """Return when the first of those who wait has waited enough; there are some."""
        return next(iter(self.waiting)).due

    def _late(self, now: float) -> list[Place]:
        return list(takewhile(lambda place: place.due <= now, self.waiting))

    def __len__(self) -> int:
        return len(self.waiting)

    def _drop(self, place: Place) -> None:
        self._remove(place)
        self._watch()

    def _watch(self) -> None:
        """Have one delayed call as long as anybody waits."""
        if self.waiting and self._timer is None:
            self._timer = self._clock.callLater(max(0.0, self._soonest() - self._clock.seconds()), self._expire)
        elif not self.waiting and self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _expire(self) -> None:
        self._timer = None
        for place in self._late(self._clock.seconds()):
            if self._remove(place):  # not served or cancelled by what came of those before
                self.timed_out += 1
                place.result.errback(ExchangeError(errors.QUEUE_TIMEOUT, "the queue's time limit"))
        self._watch()

    def __repr__(self) -> str:
        return f"<Queue {len(self.waiting)} of {self.settings.size}>"
