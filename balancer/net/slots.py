"""The memory into which datagrams are received: a fixed number of slots, shared by all sockets of the process.

A slot holds one datagram or, where the kernel joins what came together (``UDP_GRO``), a *train*: datagrams of
``segment`` bytes each, the last of them maybe shorter. Slots are handed on instead of the bytes, and sent from where
they lie; they are good until the socket that filled them has handed them on. Whoever keeps a datagram copies it.
"""

from __future__ import annotations

from functools import cache

__all__ = ["SLOTS", "Slot", "Slots", "shared", "slots_of"]

SLOTS = 64
SIZE = 65536
"""Bytes of a slot: more than any datagram has."""

_STRIDE = SIZE + 17 * 64
"""From one slot to the next. Not a power of two, or all would compete for the same lines of the processor's caches."""


class Slot:
    """One datagram, or a train of them."""

    __slots__ = ("address", "length", "segment", "view")

    def __init__(self, view: memoryview, length: int = 0) -> None:
        self.view = view
        """The memory; :attr:`length` bytes of it count."""
        self.length = length
        self.segment = 0
        """Size of a train's datagrams; 0 for a datagram that came alone."""
        self.address = 0
        """Where the memory lies, for system calls; 0 if nobody asked for it."""

    @property
    def count(self) -> int:
        """How many datagrams these are."""
        return -(-self.length // self.segment) if self.segment else 1

    def datagrams(self) -> list[Slot]:
        """Return the datagrams of a train, each as a slot over the same memory."""
        if not self.segment:
            return [self]
        found = []
        for start in range(0, self.length, self.segment):
            each = Slot(self.view[start : min(start + self.segment, self.length)])
            each.length = len(each.view)
            each.address = self.address and self.address + start
            found.append(each)
        return found

    def last(self) -> bytes:
        """Return a copy of the last datagram."""
        start = self.segment * (self.count - 1)
        return bytes(self.view[start : self.length])

    def __repr__(self) -> str:
        return f"<Slot {self.length} bytes{f' in datagrams of {self.segment}' if self.segment else ''}>"


class Slots(list[Slot]):
    """Slots in one block of memory, of which the system gives what is really used."""

    def __init__(self, count: int = SLOTS, size: int = SIZE) -> None:
        stride = size + _STRIDE - SIZE
        self.memory = bytearray(count * stride)
        view = memoryview(self.memory)
        super().__init__(Slot(view[start : start + size]) for start in range(0, count * stride, stride))


def slots_of(*datagrams: bytes) -> list[Slot]:
    """Return datagrams that lie in memory of their own, as slots."""
    return [Slot(memoryview(data), len(data)) for data in datagrams]


@cache
def shared() -> Slots:
    """Return the slots of this process."""
    return Slots()
