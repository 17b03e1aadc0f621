from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from balancer.wire.http2 import frames
from balancer.wire.http2.interface import ENHANCE_YOUR_CALM, PROTOCOL_ERROR, Limits
from balancer.wire.http2.watch import Watch

PING = frames.frame(frames.PING, 0, 0, bytes(8))
LIMITS = Limits(pings=2, resets=2, span=10)


class WatchTests(SynchronousTestCase):
    def test_what_is_one_too_many_is_found(self) -> None:
        """All before it may be read; the words say what it was."""
        watch = Watch(LIMITS, preface=False)
        self.assertEqual(watch.scan(PING), 17)
        self.assertEqual(watch.scan(PING + PING + PING), 17)
        self.assertEqual((watch.code, watch.words), (ENHANCE_YOUR_CALM, "more than 2 PINGs in 10 s"))

    def test_counts_end_with_their_time(self) -> None:
        """After ``span`` seconds it begins anew."""
        watch = Watch(LIMITS, preface=False)
        watch.scan(PING * 2)
        watch.at(9.9)
        self.assertEqual(watch.scan(PING), 0)
        watch = Watch(LIMITS, preface=False)
        watch.scan(PING * 2)
        watch.at(10.0)
        self.assertEqual(watch.scan(PING * 2), 34)

    def test_resets_are_counted_together(self) -> None:
        """Those of the peer, and those that it makes us send."""
        watch = Watch(LIMITS, preface=True)
        self.assertEqual(watch.scan(frames.PREFACE + frames.reset(1, 8)), 24 + 13)
        self.assertTrue(watch.provoked())
        self.assertFalse(watch.provoked())
        self.assertEqual(watch.words, "more than 2 resets in 10 s")

    def test_servers_may_reset_as_they_like(self) -> None:
        """One that sheds load is not to lose the connection for it, nor one that gives windows in crumbs."""
        watch = Watch(Limits(resets=2, crumbs=2), preface=False)
        data = frames.reset(1, 7) * 10
        self.assertEqual(watch.scan(data), len(data))
        self.assertTrue(all(watch.crumb(1, lambda: 1) and watch.provoked() for _ in range(10)))

    def test_old_streams_may_be_given_up(self) -> None:
        """Those of clients whose deadlines pass are not of floods; ten times as many may come."""
        watch = Watch(Limits(resets=2), preface=True)
        watch.scan(frames.PREFACE)
        for now in (1.0, 2.0, 3.0):
            watch.at(now)
            numbers = range(int(now) * 40 - 39, int(now) * 40, 2)
            watch.scan(b"".join(frames.frame(frames.HEADERS, 5, number, b"\x82") for number in numbers))
        resets = [frames.reset(number, 8) for number in range(1, 121, 2)]
        self.assertEqual(watch.scan(b"".join(resets[:20])), 20 * 13)
        self.assertEqual(watch.scan(b"".join(resets[50:])), 2 * 13)
        watch = Watch(Limits(resets=2), preface=True)
        watch.scan(frames.PREFACE + frames.frame(frames.HEADERS, 5, 1, b"\x82"))
        watch.at(5.0)
        self.assertEqual(watch.scan(frames.reset(1, 8) * 30), 20 * 13)

    def test_what_goes_with_traffic(self) -> None:
        """PINGs, and crumbs of windows that are wide open, are counted beyond four for each HEADERS and DATA, in each span anew."""
        for preface in (True, False):
            watch = Watch(Limits(pings=2, crumbs=2), preface=preface)
            watch.scan((frames.PREFACE if preface else b"") + frames.frame(frames.HEADERS, 4, 1, b"\x82"))
            watch.scan(frames.frame(frames.DATA, 0, 1, b"x"))
            watch.traffic += 1
            self.assertEqual(watch.scan(PING * 15), 14 * 17)
        watch = Watch(Limits(pings=2, crumbs=2), preface=True)
        watch.scan(frames.PREFACE + frames.frame(frames.HEADERS, 4, 1, b"\x82"))
        for window in (lambda: 60000, lambda: -1):
            self.assertEqual([watch.crumb(1, window) for _ in range(3)], [True] * 3)
        self.assertFalse(watch.crumb(1, lambda: 60000))
        watch.at(10.0)
        self.assertEqual(watch.scan(PING * 3), 34)

    def test_left_out_streams_are_closed(self) -> None:
        """A stream with a lower number than one before it, which was never begun; of a client."""
        headers = [frames.frame(frames.HEADERS, 5, number, b"\x82") for number in (1, 7, 5, 1)]
        for preface, good in ((True, 20), (False, 30)):
            watch = Watch(LIMITS, preface=preface)
            data = b"".join(headers[:3])
            begin = frames.PREFACE if preface else b""
            self.assertEqual(watch.scan(begin + data), len(begin) + good)
        watch = Watch(LIMITS, preface=True)
        watch.scan(frames.PREFACE + headers[0] + headers[1])
        self.assertEqual(watch.scan(headers[3]), 10)
        self.assertEqual(watch.scan(headers[2]), 0)
        self.assertEqual(watch.code, PROTOCOL_ERROR)

    @given(st.lists(st.integers(1, 60), max_size=30), st.integers(1, 12))
    def test_any_split_counts_the_same(self, cuts: list[int], pings: int) -> None:
        """Payloads that look like frames are not taken for them, wherever the bytes are cut."""
        mixed = frames.frame(frames.DATA, 0, 1, PING * 3) + frames.frame(frames.HEADERS, 5, 1, PING)
        data = frames.PREFACE + mixed + (PING + mixed) * pings
        whole = Watch(Limits(pings=5), preface=True).scan(data)
        watch = Watch(Limits(pings=5), preface=True)
        read = at = 0
        for size in [*cuts, len(data)]:
            piece = data[at : at + size]
            at += size
            good = watch.scan(piece)
            read += good
            if good != len(piece):
                break
        # The header of the frame that is one too many may have been read, as it came in pieces.
        self.assertTrue(whole <= read < whole + 9 or (read == whole == len(data)), (whole, read))
