"""Tests of walking over frames."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from balancer.model.frames import FrameCounts
from balancer.wire.websocket.frames import OWN_SIZE, FrameReader
from tests.wire.websocket.framing import MASK, frame


def reader(
    *, masked: bool = True, extended: bool = False, max_frame: int | None = None, strict: bool = False
) -> FrameReader:
    return FrameReader(FrameCounts(), masked=masked, extended=extended, max_frame=max_frame, strict=strict)


def seen(made: FrameReader) -> tuple[object, ...]:
    counts = made.counts
    return (dict(counts.kinds()), counts.messages, counts.violations, counts.close_code, made.fault, made.at_boundary)


CONVERSATION = [
    frame(1, b"hello", mask=MASK),
    frame(2, bytes(300), mask=MASK),
    frame(1, b"frag", mask=MASK, fin=False),
    frame(9, b"between", mask=MASK),
    frame(0, b"ment", mask=MASK, fin=False),
    frame(10, mask=MASK),
    frame(0, mask=MASK),
    frame(2, bytes(70000), mask=MASK),
    frame(2, mask=MASK),
    frame(8, (1001).to_bytes(2, "big") + b"bye", mask=MASK),
]
STREAM = b"".join(CONVERSATION)
SUM = ({"continuation": 2, "text": 2, "binary": 3, "close": 1, "ping": 1, "pong": 1}, 5, 0, 1001, None, True)


class CountingTests(SynchronousTestCase):
    def test_whole(self) -> None:
        """Frames are counted by kind, messages once however many frames they have; the bytes pass."""
        made = reader()
        self.assertEqual(made.feed(STREAM), STREAM)
        self.assertEqual(seen(made), SUM)
        self.assertEqual(made.boundary, len(STREAM))
        self.assertTrue(made.closed)
        self.assertTrue(made.news)

    def test_byte_by_byte(self) -> None:
        """The same, whatever the pieces: each byte alone."""
        made = reader()
        self.assertEqual(b"".join(made.feed(STREAM[at : at + 1]) for at in range(len(STREAM))), STREAM)
        self.assertEqual(seen(made), SUM)

    def test_every_split(self) -> None:
        """The same at each place where the stream may be torn in two, but for the middle of large payloads."""
        short = [each for each in CONVERSATION if len(each) < 1000]
        stream = b"".join(short)
        want = reader()
        want.feed(stream)
        for at in range(len(stream) + 1):
            made = reader()
            self.assertEqual(made.feed(stream[:at]) + made.feed(stream[at:]), stream)
            self.assertEqual(seen(made), seen(want))

    @settings(deadline=None, max_examples=200)
    @given(st.lists(st.integers(1, len(STREAM) - 1), max_size=8))
    def test_any_split(self, places: list[int]) -> None:
        """The same for any pieces; and what has been passed on when a boundary is named ends, up to there, with a whole frame."""
        made = reader()
        ends = {0}
        for each in CONVERSATION:
            ends.add(max(ends) + len(each))
        cuts = [0, *sorted(places), len(STREAM)]
        passed = b""
        for begin, end in zip(cuts, cuts[1:], strict=False):
            piece = made.feed(STREAM[begin:end])
            if made.boundary >= 0:
                self.assertIn(len(passed) + made.boundary, ends)
            passed += piece
            self.assertEqual(made.at_boundary, len(passed) in ends)
        self.assertEqual(passed, STREAM)
        self.assertEqual(seen(made), SUM)

    def test_large_frames_are_not_copied(self) -> None:
        """A piece within a payload is handed back as it is, and is no place for another frame."""
        made = reader(masked=False)
        head = frame(2, bytes(1_000_000))[:10]
        made.feed(head)
        self.assertEqual((made.boundary, made.at_boundary), (0, False))
        piece = bytes(65536)
        self.assertIs(made.feed(piece), piece)
        self.assertEqual((made.boundary, made.at_boundary), (-1, False))

    def test_unfinished_head(self) -> None:
        """A header that is not complete waits, and can be had when nothing more comes."""
        made = reader()
        self.assertEqual(made.feed(frame(1, b"hello", mask=MASK)[:4]), b"")
        self.assertTrue(made.at_boundary)
        self.assertEqual(made.rest(), frame(1, b"hello", mask=MASK)[:4])
        self.assertEqual(made.rest(), b"")

    def test_close_codes(self) -> None:
        """The code of the first close frame is remembered, 1005 for one without."""
        for payload, code in ((b"", 1005), (b"\x03\xe8", 1000), (b"\x0f\xa0late", 4000)):
            for masked in (True, False):
                made = reader(masked=masked)
                made.feed(frame(8, payload, mask=MASK if masked else None))
                made.feed(frame(8, b"\x03\xea", mask=MASK if masked else None))
                self.assertEqual((made.counts.close_code, made.counts.violations), (code, 1))


WRONG = {
    "a frame that is not masked": frame(1, b"x"),
    "a reserved bit": frame(1, b"x", mask=MASK, bits=4),
    "opcode 3": frame(3, b"x", mask=MASK),
    "opcode 7": frame(7, b"x", mask=MASK),
    "opcode 11": frame(11, b"x", mask=MASK),
    "a control frame in parts": frame(9, b"x", mask=MASK, fin=False),
    "a control frame of more than 125 bytes": frame(9, bytes(126), mask=MASK),
    "close code 1005": frame(8, (1005).to_bytes(2, "big"), mask=MASK),
    "close code 999": frame(8, (999).to_bytes(2, "big"), mask=MASK),
    "half a close code": frame(8, b"\x03", mask=MASK),
    "a continuation of nothing": frame(0, b"x", mask=MASK),
    "a length in more bytes than it takes": frame(1, b"x", mask=MASK, wide=2),
}


class ViolationTests(SynchronousTestCase):
    def test_counted(self) -> None:
        """What the RFC forbids is counted, and passes."""
        for name, bad in WRONG.items():
            made = reader()
            self.assertEqual(made.feed(bad), bad, name)
            self.assertEqual((made.counts.violations, made.fault), (1, None), name)

    def test_strict(self) -> None:
        """Or, where that is wanted, nothing is passed on from there, at any split; the place is a boundary."""
        good = frame(1, b"hello", mask=MASK)
        for name, bad in WRONG.items():
            for at in range(len(good), len(good + bad) + 1):
                made = reader(strict=True)
                stream = good + bad
                self.assertEqual(made.feed(stream[:at]) + made.feed(stream[at:]) + made.feed(good), good, name)
                self.assertEqual(made.fault, (1002, name))
                self.assertTrue(made.at_boundary)
                self.assertTrue(made.news)

    def test_what_comes_in_pairs(self) -> None:
        """A new message within another; anything after a close; a masked frame of a server; an endless length."""
        for name, masked, frames in (
            ("a new message within another", True, [frame(1, fin=False, mask=MASK), frame(2, mask=MASK)]),
            ("a frame after the close frame", True, [frame(8, mask=MASK), frame(1, mask=MASK)]),
            ("a frame that is masked", False, [frame(1), frame(1, mask=MASK)]),
            ("a length in more bytes than it takes", False, [frame(1), frame(2, bytes(200), wide=8)]),
            ("a length of more than 63 bits", False, [frame(1), b"\x82\x7f" + b"\xff" * 8]),
        ):
            made = reader(masked=masked, strict=True)
            self.assertEqual(made.feed(b"".join(frames)), frames[0], name)
            self.assertEqual(made.fault, (1002, name))

    def test_extensions(self) -> None:
        """Reserved bits are all right once extensions were agreed upon."""
        made = reader(extended=True, strict=True)
        made.feed(frame(1, b"x", mask=MASK, bits=4))
        self.assertIsNone(made.fault)

    def test_large(self) -> None:
        """A frame longer than may be is stopped at its header."""
        made = reader(max_frame=100)
        good = frame(2, bytes(100), mask=MASK)
        self.assertEqual(made.feed(good + frame(2, bytes(101), mask=MASK)), good)
        self.assertEqual(made.fault, (1009, "a frame of 101 bytes"))
        self.assertEqual(made.feed(b"more"), b"")


class OwnPongTests(SynchronousTestCase):
    def test_swallowed(self) -> None:
        """The answer to our own ping is taken out, at every split; other pongs, and all that is around, pass."""
        own = b"ourselves" + b"\0\0\1"
        for mask in (MASK, None):
            before, after = frame(1, b"before", mask=mask), frame(2, b"after", mask=mask)
            other = frame(10, b"x" * OWN_SIZE, mask=mask)
            stream = before + frame(10, own, mask=mask) + other + frame(10, own, mask=mask) + after
            for at in range(len(stream) + 1):
                made = reader(masked=mask is not None)
                made.own = b"ourselves"
                first = made.feed(stream[:at])
                self.assertLessEqual(made.boundary, len(first))
                second = made.feed(stream[at:])
                self.assertEqual(first + second, before + other + after)
                self.assertEqual(dict(made.counts.kinds()), {"text": 1, "pong": 1, "binary": 1})
                if at <= len(stream) - len(after):
                    self.assertEqual(made.boundary, len(second))

    def test_nothing_to_look_for(self) -> None:
        """Where nothing was asked, such a pong passes."""
        made = reader(masked=False)
        self.assertEqual(made.feed(frame(10, bytes(OWN_SIZE))), frame(10, bytes(OWN_SIZE)))
