"""Posts a small request to a web server and returns its small answer; for OCSP."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from twisted.web.client import Agent, ResponseDone
from twisted.web.http_headers import Headers
from twisted.web.iweb import UNKNOWN_LENGTH, IBodyProducer, IResponse
from zope.interface import implementer

from balancer import __version__
from balancer.errors import BalancerError

__all__ = ["LARGEST", "posts"]

CONNECTING = 5.0
WHOLE = 15.0
"""Seconds that an answer may take."""
LARGEST = 64 * 1024
"""Bytes that it may have."""


def posts(reactor: Any, kind: str) -> Callable[[str, bytes], Deferred[bytes]]:
    """Return what posts a body of the media type ``application/KIND-request`` to a URL and returns the body of the answer.

    It fails with BalancerError for any status but 200 and for an answer that is too large, and with what Twisted says
    where there is no connection, or with TimeoutError.
    """
    agent = Agent(reactor, connectTimeout=CONNECTING)
    headers = Headers({b"Content-Type": [f"application/{kind}-request".encode()], b"User-Agent": [_NAME]})

    def post(url: str, body: bytes) -> Deferred[bytes]:
        asking: Deferred[Any] = agent.request(b"POST", url.encode("ascii"), headers, _Body(body))
        return asking.addCallback(_collected).addTimeout(WHOLE, reactor)

    return post


_NAME = f"balancer/{__version__}".encode()


@implementer(IBodyProducer)
class _Body:
    """A body that is there already."""

    def __init__(self, body: bytes) -> None:
        self._body = body
        self.length = len(body)

    def startProducing(self, consumer: Any) -> Deferred[None]:
        consumer.write(self._body)
        return succeed(None)

    def pauseProducing(self) -> None:
        """It is written already."""

    def resumeProducing(self) -> None:
        """It is written already."""

    def stopProducing(self) -> None:
        """It is written already."""


def _collected(response: IResponse) -> Deferred[bytes]:
    collecting = _Collecting()
    if response.code != 200:
        collecting.refuse(f"the server answers with status {response.code}")
    elif response.length is not UNKNOWN_LENGTH and response.length > LARGEST:
        collecting.refuse(f"the answer has {response.length} bytes")
    response.deliverBody(collecting)
    return collecting.done


class _Collecting(Protocol):
    """Takes in an answer, up to a limit."""

    transport: Any

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self._size = 0
        self._refused = ""
        self.done: Deferred[bytes] = Deferred(lambda _: self._cut())

    def refuse(self, why: str) -> None:
        """It is no answer, whatever follows."""
        self._refused = why

    def _cut(self) -> None:
        if self.transport is not None:
            self.transport.loseConnection()

    def dataReceived(self, data: bytes) -> None:
        """Keep a piece."""
        self._size += len(data)
        if self._size > LARGEST:
            self.refuse(self._refused or f"the answer has more than {LARGEST} bytes")
            self._cut()
        elif not self._refused:
            self._pieces.append(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The body has ended, or been cut off."""
        if self.done.called:
            return
        if self._refused:
            self.done.errback(Failure(BalancerError(self._refused)))
        elif reason.check(ResponseDone):
            self.done.callback(b"".join(self._pieces))
        else:
            self.done.errback(reason)
