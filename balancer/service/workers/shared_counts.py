"""Counts that several processes keep together: a row for each in memory that all of them see.

::

    header │ row 0: columns… │ clients… │ row 1: columns… │ clients… │ …

A process writes to its own row alone, so no lock is needed; what all have together is the sum of a column. Who wants
to take something adds to its own row first and looks at the sum then: two that want the last place at the same moment may
both be refused, but a limit is never exceeded. The master clears the row of a process that died.

Clients are many and come and go, so they have no column. Each row has a table of them, places of key and count in buckets of
:data:`BUCKET`, and a client may have a place in either of two buckets. The key is 64 bits of a keyed hash, which two clients
share once in 10^19. A client for whom both buckets are full is not in the table: each process then counts it alone, and
it may have its limit once in each of them. With a table of twice as many places as there are clients that is
practically never.
"""

from __future__ import annotations

import mmap
import os
import tempfile
from dataclasses import dataclass
from hashlib import blake2b

__all__ = ["BUCKET", "Geometry", "Row", "SharedCounts", "shared_memory"]

BUCKET = 8
"""Clients that fit into a bucket."""
_WORD = 8
_PAGE = mmap.ALLOCATIONGRANULARITY
_HEADER = _PAGE // _WORD
_NONE = -1


@dataclass(frozen=True, slots=True)
class Geometry:
    """How many rows; how many columns and buckets of clients each has."""

    rows: int
    columns: int
    buckets: int

    @property
    def stride(self) -> int:
        """Words of a row: whole pages."""
        size = (self.columns + self.buckets * BUCKET * 2) * _WORD
        return -(-size // _PAGE) * _PAGE // _WORD

    @property
    def size(self) -> int:
        """Bytes of everything."""
        return (_HEADER + self.rows * self.stride) * _WORD


def shared_memory(geometry: Geometry) -> int:
    """Return the descriptor of fresh memory, all zeros; pages are taken from the system when they are written to."""
    if hasattr(os, "memfd_create"):
        descriptor = os.memfd_create("balancer-counts", os.MFD_CLOEXEC)
    else:  # not Linux
        with tempfile.TemporaryFile() as file:
            descriptor = os.dup(file.fileno())
    os.ftruncate(descriptor, geometry.size)
    return descriptor


class SharedCounts:
    """The counts of all processes.

    Args:
        descriptor: of the memory; the caller's, and not needed after this.
        geometry: of that memory.
        secret: hashes clients; the same in all processes.
    """

    def __init__(self, descriptor: int, geometry: Geometry, secret: bytes) -> None:
        self.geometry = geometry
        self._secret = secret[:64]
        self._memory = mmap.mmap(descriptor, geometry.size)
        self._words = memoryview(self._memory).cast("q")
        self._stride = geometry.stride
        self._taken: set[int] = set()

    @property
    def _end(self) -> int:
        """Behind the last row that was ever taken: the first word of the header counts them."""
        return _HEADER + self._words[0] * self._stride

    def total(self, column: int) -> int:
        """Return the sum of ``column`` over all rows."""
        return sum(self._words[_HEADER + column : self._end : self._stride])

    def key(self, column: int, client: str) -> int:
        """Return the key of ``client`` as counted for ``column``, never 0."""
        digest = blake2b(f"{column} {client}".encode(), digest_size=8, key=self._secret).digest()
        return int.from_bytes(digest, "little", signed=True) or 1

    def _places(self, key: int) -> tuple[int, int]:
        """Return where, within a row, the two buckets of ``key`` begin."""
        buckets, first = self.geometry.buckets, self.geometry.columns
        return first + key % buckets * BUCKET * 2, first + (key >> 32) % buckets * BUCKET * 2

    def clients(self, key: int) -> int:
        """Return what all rows together have for ``key``."""
        words, found = self._words, 0
        one, two = self._places(key)
        for row in range(_HEADER, self._end, self._stride):
            for bucket in (one, two) if one != two else (one,):
                place = words[row + bucket : row + bucket + BUCKET * 2].tolist()
                for at in range(BUCKET):
                    if place[at] == key:
                        found += place[BUCKET + at]
        return found

    # The master's part.

    def take_row(self) -> int:
        """Return the number of a row that nobody uses, cleared.

        Raises:
            ValueError: if all are taken.
        """
        for number in range(self.geometry.rows):
            if number not in self._taken:
                self._taken.add(number)
                self._clear(number)
                self._words[0] = max(self._words[0], number + 1)
                return number
        raise ValueError(f"all {self.geometry.rows} rows are taken")

    def give_row_back(self, number: int) -> None:
        """Clear the row of a process that has ended."""
        self._taken.discard(number)
        self._clear(number)

    def _clear(self, number: int) -> None:
        start, size = (_HEADER + number * self._stride) * _WORD, self._stride * _WORD
        try:
            self._memory.madvise(mmap.MADV_REMOVE, start, size)  # the pages go back, and read as zeros
        except (AttributeError, OSError, ValueError):
            self._memory[start : start + size] = bytes(size)

    def row(self, number: int) -> Row:
        """Return row ``number``, for who writes to it."""
        return Row(self, self._words, _HEADER + number * self._stride)


class Row:
    """What one process counts."""

    __slots__ = ("_start", "_words", "counts")

    def __init__(self, counts: SharedCounts, words: memoryview, start: int) -> None:
        self.counts = counts
        self._words = words
        self._start = start

    def put(self, column: int, value: int) -> None:
        """Say that we have ``value`` of ``column``."""
        self._words[self._start + column] = value

    def place(self, key: int) -> int:
        """Return a place for the client ``key``, to be freed by putting 0 there; -1 if there is none."""
        words, start = self._words, self._start
        for bucket in self.counts._places(key):
            at = start + bucket + BUCKET
            for place in range(at, at + BUCKET):
                if words[place] == 0:
                    words[place - BUCKET] = key
                    return place - start
        return _NONE

    def put_client(self, place: int, value: int) -> None:
        """Say that we have ``value`` of the client at ``place``."""
        if place != _NONE:
            self._words[self._start + place] = value

    def client(self, key: int, place: int, value: int) -> int:
        """Return what all have of a client of which we have ``value`` at ``place``."""
        return self.counts.clients(key) + (value if place == _NONE else 0)
