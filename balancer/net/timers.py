"""One coarse timer for everybody: deadlines by the thousand, without a ``callLater`` each.

A wheel has a slot for each tick to come. An entry lies in the slot of the tick at which it is due; one ``callLater``
per tick (and none while the wheel is empty) empties the slots that have come. :meth:`Entry.touch`, called for every
chunk of data, writes one number: the entry is moved when its old slot comes, not before.

An entry fires at most two ticks late, and never early, but for one that was touched while the reactor's loop hung: it
may fire early by as long as that one turn of the loop took.
"""

from __future__ import annotations

from collections.abc import Callable
from math import ceil
from typing import Any

from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

__all__ = ["Entry", "Wheel"]

_log = Logger()

_IDLE = -1
_IN_HAND = -2  # taken out of its slot, its turn comes in this very tick


def _nothing() -> None:
    """What an entry calls that has ended."""


class Entry:
    """A call due some time; made by :meth:`Wheel.schedule`.

    Used up once it has fired or is cancelled; :meth:`reset` brings it back to life.
    """

    __slots__ = ("_call", "_due", "_slot", "_span", "_wheel")

    def __init__(self, wheel: Wheel, call: Callable[[], Any]) -> None:
        self._wheel = wheel
        self._call = call
        self._span = 0
        self._due = 0
        self._slot = _IDLE

    @property
    def active(self) -> bool:
        """Whether the call is still to come."""
        return self._slot != _IDLE

    def touch(self) -> None:
        """Start the span again from now; for an entry that is active."""
        self._due = self._wheel.ticks + self._span

    def reset(self, seconds: float) -> None:
        """Make the call due ``seconds`` from now, whatever was before.

        Later than before, which is the rule, costs a quarter of a microsecond: the entry is moved when its slot comes.
        """
        wheel = self._wheel
        if self._slot >= 0:
            span = int(seconds * wheel._per_second) + 2
            due = wheel.ticks + span
            if self._slot <= due:
                self._span = span
                self._due = due
                return
        wheel._place(self, seconds)

    def cancel(self) -> None:
        """Forget the call; harmless if it has fired or was cancelled."""
        if self._slot >= 0:
            self._wheel._remove(self)
        self._slot = _IDLE

    def end(self) -> None:
        """Forget the call for good, and whoever it belongs to, so that both are freed at once."""
        self.cancel()
        self._call = _nothing

    def __repr__(self) -> str:
        if self._slot == _IDLE:
            return "<Entry idle>"
        left = (self._due - self._wheel.ticks) * self._wheel.tick
        return f"<Entry in {left:.1f} s>"


class Wheel:
    """The shared timer.

    Args:
        clock: where time comes from.
        tick: seconds between two looks at the slots; how coarse the wheel is.
    """

    def __init__(self, clock: IReactorTime, tick: float = 0.1) -> None:
        self.tick = tick
        self._per_second = 1.0 / tick
        self.ticks = 0
        """Ticks since the wheel was made; up to date (to one tick) while an entry is active."""
        self._clock = clock
        self._seconds = clock.seconds
        self._origin = clock.seconds()
        self._slots: dict[int, dict[Entry, None]] = {}
        self._call: IDelayedCall | None = None

    def schedule(self, seconds: float, call: Callable[[], Any]) -> Entry:
        """Call ``call()`` in ``seconds``, unless the entry returned is touched, reset or cancelled before."""
        entry = Entry(self, call)
        if self._call is None:
            self._place(entry, seconds)
            return entry
        # As _place and _put do it, in half the time: one is made for each session, and one for each attempt to connect.
        tick = self.tick
        entry._span = span = ceil(seconds / tick) + 1
        entry._slot = entry._due = due = int((self._seconds() - self._origin) / tick) + span
        entries = self._slots.get(due)
        if entries is None:
            entries = self._slots[due] = {}
        entries[entry] = None
        return entry

    def __len__(self) -> int:
        """How many calls are to come."""
        return sum(map(len, self._slots.values()))

    def _place(self, entry: Entry, seconds: float) -> None:
        now = self._now()
        # One tick more than the span, because the present one is partly over.
        entry._span = ceil(seconds / self.tick) + 1
        entry._due = now + entry._span
        if entry._slot >= 0:
            if entry._slot <= entry._due:
                return
            self._remove(entry)
        if self._call is None:
            self.ticks = now
            self._call_at_next_tick()
        self._put(entry)

    def _now(self) -> int:
        return int((self._clock.seconds() - self._origin) / self.tick)

    def _call_at_next_tick(self) -> None:
        left = self._origin + (self.ticks + 1) * self.tick - self._clock.seconds()
        # Not nearer than a fraction of a tick, lest rounding makes it come before the tick, again and again.
        self._call = self._clock.callLater(min(max(left, self.tick / 20), self.tick), self._turn)

    def _put(self, entry: Entry) -> None:
        slot = entry._slot = entry._due
        entries = self._slots.get(slot)
        if entries is None:
            entries = self._slots[slot] = {}
        entries[entry] = None

    def _remove(self, entry: Entry) -> None:
        entries = self._slots[entry._slot]
        del entries[entry]
        if not entries:
            del self._slots[entry._slot]
            if not self._slots and self._call is not None and self._call.active():
                self._call.cancel()
                self._call = None

    def _turn(self) -> None:
        before = self.ticks
        now = self.ticks = self._now()
        slots = self._slots
        if now - before <= len(slots):
            come = [tick for tick in range(before, now + 1) if tick in slots]
        else:
            come = sorted(tick for tick in slots if tick <= now)
        in_hand: list[Entry] = []
        for tick in come:
            for entry in slots.pop(tick):
                if entry._due > now:
                    self._put(entry)
                else:
                    entry._slot = _IN_HAND
                    in_hand.append(entry)
        for entry in in_hand:
            if entry._slot != _IN_HAND:
                continue  # cancelled or reset by a call before it
            if entry._due > now:
                self._put(entry)
                continue
            entry._slot = _IDLE
            try:
                entry._call()
            except Exception:
                _log.failure("a timer's call failed")
        if slots:
            self._call_at_next_tick()
        else:
            self._call = None
