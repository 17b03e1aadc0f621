"""A probe: the server speaks first, as SMTP, FTP or SSH servers do, and says the right thing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pydantic import Field
from twisted.internet.defer import Deferred
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from balancer.hooks.interfaces import IProbe, IServer
from balancer.hooks.settings import Settings

_LONGEST = 1024


class BannerSettings(Settings):
    """What a healthy server says first."""

    expect: str = Field(min_length=1, description="What the first line begins with.")


class _Listen(Protocol):
    def __init__(self, expect: bytes) -> None:
        self._expect = expect
        self._heard = b""
        # Cancelled when the time is up: then the connection must go too.
        self.outcome: Deferred[str] = Deferred(lambda _: self._close())

    def dataReceived(self, data: bytes) -> None:
        self._heard += data
        if b"\n" in self._heard or len(self._heard) > _LONGEST:
            outcome, line = self.outcome, self._heard.partition(b"\n")[0]
            self._close()
            if outcome.called:
                return
            if line.startswith(self._expect):
                outcome.callback(line.decode("latin-1").strip())
            else:
                outcome.errback(ValueError(f"it said {line[:60]!r}"))

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if not self.outcome.called:
            self.outcome.errback(reason)

    def _close(self) -> None:
        if self.transport is not None:
            self.transport.abortConnection()  # type: ignore[attr-defined]


@implementer(IProbe)
class Banner:
    """Connects and listens."""

    def __init__(self, settings: BannerSettings) -> None:
        self._expect = settings.expect.encode()

    def probe(self, connect: Callable[[Any], Deferred[Any]], server: IServer) -> Deferred[str]:
        """Return what the server said; fails if it said something else, or nothing."""
        listen = _Listen(self._expect)
        return connect(listen).addCallback(lambda _: listen.outcome)
