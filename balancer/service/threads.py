"""A thread for what waits long for others, and the way from it back to the reactor."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from threading import Thread
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.threads import blockingCallFromThread, deferToThreadPool
from twisted.python.threadpool import ThreadPool

__all__ = ["from_thread", "own_thread"]


class _Daemon(Thread):
    """A thread that the end of the process does not wait for."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, daemon=True, **named)


def own_thread(reactor: Any, name: str) -> Callable[[Callable[[], Any]], Deferred[Any]]:
    """Return what calls functions in one thread of their own, one after the other.

    The thread is started when it is first needed. Not one of the reactor's: those are waited for when the process ends.
    """
    pool = ThreadPool(0, 1, name=name)
    pool.threadFactory = _Daemon

    def call(function: Callable[[], Any]) -> Deferred[Any]:
        if not pool.started:
            pool.start()
        return deferToThreadPool(reactor, pool, function)

    return call


def from_thread(reactor: Any) -> Callable[..., Any]:
    """Return what calls a function in the reactor's thread, and waits for what it returns."""
    return partial(blockingCallFromThread, reactor)
