"""Tests for :mod:`balancer.observe.access_log`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from twisted.internet.task import Clock
from twisted.logger import formatEvent, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from balancer.observe.access_log import FLUSH_AFTER, AccessLog


class _Word:
    def __init__(self, word: str) -> None:
        self._word = word

    def exchange(self, record: Any) -> str:
        return f"{self._word} {record}"

    def session(self, record: Any) -> str:
        return f"{self._word} session {record}"


def _lines_of(descriptor: int) -> list[bytes]:
    return os.read(descriptor, 1 << 16).splitlines()


class AccessLogTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.path = Path(self.mktemp())
        self.log = AccessLog(self.clock, str(self.path), _Word("one"))
        self.addCleanup(self.log.close)

    def test_lines(self) -> None:
        """Lines are written together, shortly after the first."""
        self.log.exchange(1)
        self.log.session(2)
        self.assertFalse(self.path.exists())
        self.clock.advance(FLUSH_AFTER)
        self.assertEqual(self.path.read_text(), "one 1\none session 2\n")

    def test_whole_lines(self) -> None:
        """What goes to a pipe is cut between lines, in pieces that the kernel takes whole: others write there as well."""
        read, write = os.pipe()
        self.addCleanup(os.close, read)
        log = AccessLog(self.clock, f"/proc/self/fd/{write}", _Word("x" * 1500))
        os.set_blocking(read, False)
        for number in range(5):
            log.exchange(number)
        log.exchange("y" * 5000)
        log._write()
        os.close(write)
        log.close()
        self.assertEqual([len(each) for each in _lines_of(read)], [1502] * 5 + [6501])

    def test_another_format(self) -> None:
        """Another format makes the lines from then on, in the same file."""
        self.log.exchange(1)
        self.log.use(_Word("two"))
        self.log.exchange(2)
        self.log.session(3)
        self.clock.advance(FLUSH_AFTER)
        self.assertEqual(self.path.read_text(), "one 1\ntwo 2\ntwo session 3\n")

    def test_opened_before_the_first_line(self) -> None:
        """A path that cannot be written to is known when the log is opened, not when the first client comes."""
        self.log.open()
        self.assertTrue(self.path.exists())
        said: list[str] = []
        globalLogPublisher.addObserver(observer := lambda event: said.append(formatEvent(event)))
        self.addCleanup(globalLogPublisher.removeObserver, observer)
        AccessLog(self.clock, str(self.path / "below"), _Word("one")).open()
        self.assertEqual(said, [f"access log {self.path / 'below'}: Not a directory; lines wait"])

    def test_moved_away(self) -> None:
        """After the file was moved away, a new one is opened at its path; nothing is lost."""
        self.log.exchange(1)
        self.clock.advance(FLUSH_AFTER)
        moved = self.path.rename(self.path.with_suffix(".1"))
        self.log.exchange(2)
        self.log.reopen()
        self.log.exchange(3)
        self.clock.advance(FLUSH_AFTER)
        self.assertEqual((moved.read_text(), self.path.read_text()), ("one 1\none 2\n", "one 3\n"))
