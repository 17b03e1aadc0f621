"""Persistent collections: what rules remember from one exchange to the next (``IP``, ``GLOBAL``, ``SESSION`` …), in memory.

Bounded: the record that was not looked at for the longest time goes first, and a record has so many members. Each worker
remembers for itself.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable

MOST_RECORDS = 10_000
MOST_MEMBERS = 256

Members = dict[bytes, bytes]


class Record:
    """The members of one record, and when each is forgotten."""

    __slots__ = ("_clock", "_expire", "expires", "members")

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._expire: dict[bytes, float] = {}
        self.members: Members = {}
        self.expires = 0.0

    def current(self) -> Members:
        """Return the members that are not forgotten yet."""
        if self._expire:
            now = self._clock()
            for name in [name for name, when in self._expire.items() if when <= now]:
                del self._expire[name]
                self.members.pop(name, None)
        return self.members

    def set(self, name: bytes, value: bytes) -> None:
        """Remember a member; one too many is not."""
        if name in self.members or len(self.members) < MOST_MEMBERS:
            self.members[name] = value

    def remove(self, name: bytes) -> None:
        """Forget a member."""
        self.members.pop(name, None)
        self._expire.pop(name, None)

    def expire(self, name: bytes, seconds: float) -> None:
        """Forget a member after so many seconds."""
        self._expire[name] = self._clock() + seconds


class Memory:
    """All records, by collection and key.

    Args:
        clock: gives seconds.
        timeout: seconds after which a record nobody looked at is forgotten.
        most: records that are kept.
    """

    def __init__(self, clock: Callable[[], float], timeout: float, most: int = MOST_RECORDS) -> None:
        self._clock = clock
        self._timeout = timeout
        self._most = most
        self._records: OrderedDict[tuple[str, bytes], Record] = OrderedDict()
        self._lock = threading.Lock()

    def record(self, collection: str, key: bytes) -> Record:
        """Return the record, a new one if there is none."""
        now, where = self._clock(), (collection, key)
        with self._lock:
            found = self._records.get(where)
            if found is None or found.expires <= now:
                found = self._records[where] = Record(self._clock)
            found.expires = now + self._timeout
            self._records.move_to_end(where)
            while len(self._records) > self._most:
                self._records.popitem(last=False)
        return found

    def __len__(self) -> int:
        return len(self._records)

    def __repr__(self) -> str:
        return f"<Memory of {len(self._records)} records>"
