"""A queue in which some go before others, and some wait less long.

Who waits has a priority from 0 to :data:`HIGHEST`, of the route, or in the request, or by default, and perhaps a time within which the
answer is of use. Servers go to the highest priority first, and to those who came first within it. When the queue is full, who came last of the lowest priority
gives way to one of a higher, and is refused.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from twisted.internet.interfaces import IReactorTime

from balancer import errors
from balancer.errors import ExchangeError
from balancer.model.facts import RequestFacts, SessionFacts
from balancer.model.keys import Key
from balancer.model.queueing import HIGHEST, Queueing
from balancer.model.units import parse_duration
from balancer.pools.queue import Place, Queue, QueueSettings
from balancer.pools.server import Server

__all__ = ["PriorityQueue", "PrioritySettings"]

_NOTHING = Queueing()


@dataclass(frozen=True, slots=True)
class PrioritySettings:
    """Where a request says its ``priority``, and how long it waits at most (``deadline``, a duration); the ``default`` priority."""

    priority: Key | None = None
    deadline: Key | None = None
    default: int = 5


class PriorityQueue(Queue):
    """Clients waiting for a server with room, the most important first.

    Args:
        priorities: who goes before whom.
        others: as of :class:`~balancer.pools.queue.Queue`.

    ``shed`` counts those who gave way.
    """

    def __init__(
        self,
        priorities: PrioritySettings,
        settings: QueueSettings,
        clock: IReactorTime,
        choose: Callable[[RequestFacts | SessionFacts], Server | None],
    ) -> None:
        super().__init__(settings, clock, choose)
        self.priorities = priorities
        self._levels: tuple[OrderedDict[Place, None], ...] = tuple(OrderedDict() for _ in range(HIGHEST + 1))

    def priority(self, facts: RequestFacts | SessionFacts) -> int:
        """Return the priority of a request or session."""
        asked: Queueing = getattr(facts, "queueing", _NOTHING)
        if asked.priority is not None:
            return asked.priority
        said = self.priorities.priority.of(facts) if self.priorities.priority is not None else None
        if said and said.isdigit() and len(said) < 4:
            return min(int(said), HIGHEST)
        return self.priorities.default

    def patience(self, facts: RequestFacts | SessionFacts) -> float:
        """Return how many seconds a request or session may wait."""
        asked: Queueing = getattr(facts, "queueing", _NOTHING)
        longest = self.settings.timeout if asked.timeout is None else asked.timeout
        said = self.priorities.deadline.of(facts) if self.priorities.deadline is not None else None
        if said:
            try:
                return min(longest, max(0.0, parse_duration(said.decode("ascii"))))
            except ValueError:
                pass  # whatever it means, it is no time
        return longest

    def _make_room(self, facts: RequestFacts | SessionFacts) -> bool:
        for level in self._levels[: self.priority(facts)]:
            if level:
                place = next(reversed(level))
                self._remove(place)
                self.shed += 1
                place.result.errback(
                    ExchangeError(errors.CONNECTION_LIMIT_REACHED, "gave way in the queue to one of higher priority")
                )
                return len(self.waiting) < self.settings.size
        return False

    def _could_make_room(self, facts: RequestFacts | SessionFacts) -> bool:
        return any(self._levels[: self.priority(facts)]) and len(self.waiting) <= self.settings.size

    def _add(self, place: Place) -> None:
        super()._add(place)
        self._levels[self.priority(place.facts)][place] = None

    def _remove(self, place: Place) -> bool:
        for level in self._levels:
            level.pop(place, None)
        return super()._remove(place)

    def _in_order(self) -> Iterator[Place]:
        for level in reversed(self._levels):
            yield from level

    def _soonest(self) -> float:
        return min(place.due for place in self.waiting)

    def _late(self, now: float) -> list[Place]:
        return [place for place in self.waiting if place.due <= now]

    def _watch(self) -> None:
        timer = self._timer
        if timer is not None and self.waiting:
            newest = next(reversed(self.waiting))
            if newest.due < timer.getTime():
                timer.cancel()
                self._timer = None
        super()._watch()
