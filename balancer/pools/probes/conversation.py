"""What probes that talk share: a connection whose protocol says how the talk ended, closed in any case."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure

from balancer.errors import BalancerError

__all__ = ["Conversation", "ProbeError", "converse"]


class ProbeError(BalancerError):
    """The server is not well; the text says what was found."""


class Conversation(Protocol):
    """A protocol that ends by :meth:`succeeded` or :meth:`failed`, whichever is called first, and then closes."""

    transport: Any

    def __init__(self) -> None:
        self.outcome: Deferred[str] = Deferred(self._cancelled)
        self._ended = False

    def succeeded(self, words: str) -> None:
        """End well."""
        if self._end(abort=False):
            self.outcome.callback(words)

    def failed(self, words: str) -> None:
        """End badly."""
        if self._end(abort=True):
            self.outcome.errback(ProbeError(words))

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The server closed before all was said."""
        self.failed("the connection was closed")

    def _end(self, *, abort: bool) -> bool:
        if self._ended:
            return False
        self._ended = True
        if self.transport is not None:
            (self.transport.abortConnection if abort else self.transport.loseConnection)()
        return True

    def _cancelled(self, _outcome: Deferred[str]) -> None:
        self._end(abort=True)


def converse(connect: Callable[[Any], Deferred[Any]], conversation: Conversation) -> Deferred[str]:
    """Connect ``conversation`` and return how it ends."""
    return connect(conversation).addCallback(lambda _: conversation.outcome)
