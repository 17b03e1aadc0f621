"""Looks at what requests come to, now and then, while there are canaries."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from prometheus_client.metrics_core import Metric
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from twisted.python.failure import Failure

__all__ = ["EVERY", "CanaryWatch"]

EVERY = 5.0
"""Most seconds between two looks."""

_log = Logger()


class CanaryWatch:
    """Gathers metrics and passes them on.

    Args:
        clock: the reactor.
        look: judges by metrics.
    """

    def __init__(self, clock: Any, look: Callable[[Iterable[Metric]], None]) -> None:
        self.gather: Callable[[], Any] = tuple
        """Returns the metrics of all processes, or a Deferred of them."""
        self._look = look
        self._looking = LoopingCall(self._gather)
        self._looking.clock = clock

    def watch(self, interval: float | None) -> None:
        """Look at least four times in ``interval`` seconds from now on; None: there is nothing to look at."""
        looking = self._looking
        every = None if interval is None else min(EVERY, interval / 4)
        if looking.running:
            if looking.interval == every:
                return
            looking.stop()
        if every is not None:
            looking.start(every, now=False)

    def _gather(self) -> Deferred[None]:
        gathered: Deferred[Iterable[Metric]] = maybeDeferred(self.gather)
        return gathered.addCallback(self._look).addErrback(self._failed)

    @staticmethod
    def _failed(failure: Failure) -> None:
        _log.failure("canaries could not be looked at; the next look is soon", failure)
