"""The signals that a service listens to while it runs: each runs a call on the reactor."""

from __future__ import annotations

import signal
from collections.abc import Callable, Mapping
from typing import Any

__all__ = ["Signals"]


class Signals:
    """Handlers that are put in, and taken back.

    Args:
        reactor: runs the calls.
        calls: what to call, by signal.
    """

    def __init__(self, reactor: Any, calls: Mapping[Any, Callable[[], Any]]) -> None:
        self._reactor = reactor
        self._calls = dict(calls)
        self._before: dict[int, Any] = {}

    def listen(self) -> None:
        """Put the handlers in; outside the main thread, in somebody else's program, do nothing."""
        for number, call in self._calls.items():
            try:
                self._before[number] = signal.signal(number, lambda *_, call=call: self._reactor.callFromThread(call))
            except ValueError:
                return

    def leave(self) -> None:
        """Put back what was there before."""
        while self._before:
            signal.signal(*self._before.popitem())
