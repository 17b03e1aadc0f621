"""The access log: lines are collected and written together, and never in the way of traffic.

A disk that is full, a pipe nobody reads, a file that cannot be opened: nothing is raised towards the exchange. Lines
wait, up to :data:`MOST_WAITING` bytes, and are tried again with the next flush; beyond that the newest are dropped
and counted. Trouble is said once, and once more when it is over.
"""

from __future__ import annotations

import os
import stat
from select import PIPE_BUF
from typing import Any

from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from zope.interface import implementer

from balancer.hooks.interfaces import IAccessLogFormat

__all__ = ["FLUSH_AFTER", "MOST_WAITING", "AccessLog", "AsItIs"]

FLUSH_AFTER = 0.1
"""Seconds after which collected lines are written."""
FLUSH_SIZE = 64 * 1024
"""Bytes of collected lines that are written at once."""
MOST_WAITING = 4 * 1024 * 1024
"""Bytes of lines that may wait while the file cannot be written."""

_log = Logger()


@implementer(IAccessLogFormat)
class AsItIs:
    """For lines that somebody else has made."""

    def exchange(self, record: str) -> str:
        """Return the line."""
        return record

    def session(self, record: str) -> str:
        """Return the line."""
        return record


class AccessLog:
    """Writes a line for each exchange and session.

    Args:
        clock: for the flush.
        path: the file to append to, ``"-"`` for standard output.
        form: makes the lines.
    """

    def __init__(self, clock: IReactorTime, path: str, form: IAccessLogFormat) -> None:
        self.path = path
        self.dropped = 0
        self._clock = clock
        self.use(form)
        self._lines: list[str] = []
        self._size = 0
        self._waiting = b""
        self._descriptor: int | None = None
        self._is_file = True
        self._call: IDelayedCall | None = None
        self._troubled = False

    def use(self, form: IAccessLogFormat) -> None:
        """Let ``form`` make the lines from now on."""
        self._exchange = form.exchange
        self._session = form.session

    def exchange(self, record: Any) -> None:
        """Log an exchange (:class:`~.records.ExchangeRecord`). Runs for every request."""
        line = self._exchange(record)
        self._lines.append(line)
        size = self._size = self._size + len(line)
        if self._call is None or size > FLUSH_SIZE:
            self._schedule()

    def session(self, record: Any) -> None:
        """Log a session (:class:`~.records.SessionRecord`)."""
        line = self._session(record)
        self._lines.append(line)
        self._size += len(line)
        self._schedule()

    def _schedule(self) -> None:
        """Write soon; at once where there is much to write."""
        if self._call is None:
            self._call = self._clock.callLater(FLUSH_AFTER, self._tick)
        if self._size > FLUSH_SIZE:
            self._write()

    def _tick(self) -> None:
        self._call = None
        self._write()
        if self._waiting:
            self._call = self._clock.callLater(1.0, self._tick)

    def _write(self) -> None:
        lines, self._lines, self._size = self._lines, [], 0
        if lines:
            text = "\n".join(lines) + "\n"
            fresh = text.encode("utf-8", "backslashreplace")
            if len(self._waiting) + len(fresh) > MOST_WAITING:
                self.dropped += len(lines)
            else:
                self._waiting += fresh
        try:
            descriptor = self._opened()
            while self._waiting:
                written = os.write(descriptor, self._waiting if self._is_file else self._whole_lines())
                self._waiting = self._waiting[written:]
        except BlockingIOError:
            return  # a pipe that is full for the moment
        except OSError as error:
            self._trouble(error)
            return
        if self._troubled:
            self._troubled = False
            _log.info(
                "access log {path}: writing again, {dropped} lines were lost", path=self.path, dropped=self.dropped
            )

    def _whole_lines(self) -> bytes:
        """Return as many lines as the kernel takes in one piece, so that those of several processes do not mix."""
        waiting = self._waiting
        if len(waiting) <= PIPE_BUF:
            return waiting
        end = waiting.rfind(b"\n", 0, PIPE_BUF) + 1 or waiting.index(b"\n") + 1
        return waiting[:end]

    def _trouble(self, error: OSError) -> None:
        self._close()
        if not self._troubled:
            self._troubled = True
            _log.error("access log {path}: {error}; lines wait", path=self.path, error=error.strerror or str(error))

    def _opened(self) -> int:
        if self._descriptor is None:
            if self.path == "-":
                self._descriptor = 1
                self._is_file = stat.S_ISREG(os.fstat(1).st_mode)
            else:
                flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
                self._descriptor = os.open(self.path, flags | os.O_NONBLOCK, 0o640)
                self._is_file = stat.S_ISREG(os.fstat(self._descriptor).st_mode)
                if self._is_file:
                    os.set_blocking(self._descriptor, True)
        return self._descriptor

    def _close(self) -> None:
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None and self.path != "-":
            os.close(descriptor)

    def reopen(self) -> None:
        """Write what is collected, then open the file anew at its path, after it was moved away."""
        self._write()
        self._close()
        self.open()

    def open(self) -> None:
        """Open the file if it is not open, and say at once if that is not possible."""
        try:
            self._opened()
        except OSError as error:
            self._trouble(error)

    def close(self) -> None:
        """Write what is collected, and close."""
        if self._call is not None:
            self._call.cancel()
            self._call = None
        self._write()
        self._close()

    def __repr__(self) -> str:
        return f"<AccessLog {self.path}, {self.dropped} lines dropped>"
