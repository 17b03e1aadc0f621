"""Slots: one datagram or a train, in shared memory."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from balancer.net.slots import Slot, Slots, shared, slots_of


class SlotTests(SynchronousTestCase):
    """What is in a slot."""

    def test_one_datagram(self) -> None:
        """A datagram is itself, an empty one too."""
        for data in (b"", b"x", b"x" * 65507):
            (slot,) = slots_of(data)
            self.assertEqual((slot.count, slot.datagrams(), slot.last()), (1, [slot], data))

    def test_only_the_length_counts(self) -> None:
        """What lies behind the datagram is not part of it."""
        slot = Slot(memoryview(b"newold"), 3)
        self.assertEqual((slot.last(), repr(slot)), (b"new", "<Slot 3 bytes>"))

    @given(st.binary(min_size=2, max_size=200), st.integers(1, 199))
    def test_train(self, data: bytes, segment: int) -> None:
        """A train is its datagrams, one after another, all but the last of one length."""
        segment = min(segment, len(data) - 1)
        slot = Slot(memoryview(data + b"behind"), len(data))
        slot.segment = segment
        slot.address = 1000
        parts = [bytes(each.view[: each.length]) for each in slot.datagrams()]
        self.assertEqual(b"".join(parts), data)
        self.assertEqual((slot.count, slot.last()), (len(parts), parts[-1]))
        self.assertEqual({len(part) for part in parts[:-1]}, {segment})
        self.assertEqual([each.address for each in slot.datagrams()], list(range(1000, 1000 + len(data), segment)))
        self.assertEqual(repr(slot), f"<Slot {len(data)} bytes in datagrams of {segment}>")

    def test_memory(self) -> None:
        """Slots do not overlap, and there is one set of them."""
        slots = Slots(3, 8)
        for number, slot in enumerate(slots):
            slot.view[:] = bytes((number,)) * 8
        self.assertEqual([bytes(slot.view) for slot in slots], [b"\0" * 8, b"\1" * 8, b"\2" * 8])
        self.assertIs(shared(), shared())
        self.assertLess(len(shared().memory), 5 << 20)
