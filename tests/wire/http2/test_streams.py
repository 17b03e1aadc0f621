from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from balancer.wire.http2.streams import Stream


class QueueTests(SynchronousTestCase):
    @given(st.lists(st.binary(min_size=1, max_size=40), max_size=20), st.lists(st.integers(1, 50), min_size=1))
    def test_pieces_come_out_as_they_went_in(self, pieces: list[bytes], takes: list[int]) -> None:
        """Whatever is asked for at a time: no more, and as much as there is."""
        stream = Stream(1, 0)
        for piece in pieces:
            stream.put(piece, 0.0)
        whole = b"".join(pieces)
        self.assertEqual(stream.queued, len(whole))
        got = b""
        turn = 0
        while stream.queued:
            most = takes[turn % len(takes)]
            turn += 1
            queued = stream.queued
            piece = stream.take(most, float(turn))
            self.assertEqual(len(piece), min(most, queued))
            self.assertEqual(stream.queued, queued - len(piece))
            got += piece
        self.assertEqual(got, whole)
        self.assertEqual(stream.moved, float(turn))

    def test_waiting_begins_with_the_first_piece(self) -> None:
        """What is put behind others does not make them younger."""
        stream = Stream(1, 0)
        stream.put(b"a", 5.0)
        stream.put(b"b", 7.0)
        self.assertEqual(stream.moved, 5.0)
        self.assertEqual(repr(stream), "<Stream 1 receiving sending queued=2>")
