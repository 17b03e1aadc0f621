"""The threads that checks run in: few, the WAF's own, with a limited number of calls that wait for them.

Not the reactor's pool, where name resolution and file reading would wait behind bodies that are inspected. Threads are started when
first needed, and the end of the process does not wait for a check that hangs in one.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from threading import Thread
from typing import Any

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure
from twisted.python.threadpool import ThreadPool

from balancer.hooks.check_guard import NoThreadError

__all__ = ["CheckThreads"]


_SWITCH = 0.001
"""Seconds after which a thread that computes lets the reactor go on, which with Python's 5 ms may wait so long for each of them."""

_PATIENCE = 1.0
"""Seconds that the end of the process waits for checks."""


class _Daemon(Thread):
    """A thread that the end of the process does not wait for."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, daemon=True, **named)


class CheckThreads:
    """A bounded pool.

    Args:
        reactor: where answers are given; has ``callFromThread``.
        threads: how many calls run at a time.
        waiting: how many more wait for a thread.
    """

    def __init__(self, reactor: Any, threads: int = 2, waiting: int = 64) -> None:
        self._reactor = reactor
        self._most = threads + waiting
        self._threads = threads
        self._pool: ThreadPool | None = None
        self._quiet_at: Deferred[None] | None = None
        self.under_way = 0

    def resize(self, threads: int, waiting: int) -> None:
        """Take other limits from now on."""
        self._most = threads + waiting
        if threads != self._threads:
            self._threads = threads
            if self._pool is not None:
                self._pool.adjustPoolsize(0, threads)

    def run(self, call: Callable[..., Any], *arguments: Any) -> Deferred[Any]:
        """Return a Deferred of what ``call(*arguments)`` returns in a thread.

        Raises:
            NoThreadError: there is no room.
        """
        if self.under_way >= self._most:
            raise NoThreadError
        pool = self._pool
        if pool is None:
            pool = self._pool = ThreadPool(0, self._threads, name="waf")
            pool.threadFactory = _Daemon
            pool.start()
            sys.setswitchinterval(min(sys.getswitchinterval(), _SWITCH))
            self._reactor.addSystemEventTrigger("before", "shutdown", self._quiet)
        self.under_way += 1
        answer: Deferred[Any] = Deferred(lambda _: None)  # a thread cannot be cancelled: its answer is thrown away

        def done(success: bool, found: Any) -> None:
            self._reactor.callFromThread(self._done, answer, success, found)

        pool.callInThreadWithCallback(done, call, *arguments)
        return answer

    def _quiet(self) -> Deferred[None]:
        """Return what fires when no call is under way, or soon: the interpreter should not end under one that is in a library."""
        quiet: Deferred[None] = Deferred()
        if not self.under_way:
            quiet.callback(None)
            return quiet
        self._quiet_at = quiet
        self._reactor.callLater(_PATIENCE, self._enough)
        return quiet

    def _enough(self) -> None:
        quiet, self._quiet_at = self._quiet_at, None
        if quiet is not None:
            quiet.callback(None)

    def _done(self, answer: Deferred[Any], success: bool, found: Any) -> None:
        self.under_way -= 1
        if not self.under_way:
            self._enough()
        if answer.called:
            return
        if success:
            answer.callback(found)
        else:
            answer.errback(found if isinstance(found, Failure) else Failure(found))

    def __repr__(self) -> str:
        return f"<CheckThreads {self._threads}, {self.under_way} of {self._most} calls>"
