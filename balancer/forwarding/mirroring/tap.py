"""A client side that keeps of a request what a copy of it needs, while it goes by.

It stands between a client side and who forwards its request, and hands everything on: the one who forwards works as ever, and the
body is sent as it comes. The copy is begun when the request has gone, which is known by the last piece of the body being taken.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from twisted.internet.interfaces import IPushProducer
from zope.interface import implementer

from balancer.errors import ExchangeError
from balancer.forwarding.client_side import BodyConsumer, ClientSide
from balancer.forwarding.mirroring.comparing import Capture, Comparison
from balancer.model.headers import RawHeaders
from balancer.wire.http1.responses import ResponseHead

__all__ = ["Tapped"]

Whole = Callable[[bytes | None, str], None]


@implementer(IPushProducer)
class Tapped:
    """See the module. What is not here is the client side's own.

    Args:
        request: the client side.
        limit: bytes of its body that are kept; more is too long.
        done: is called once: with the whole body (None where there is none) and ``""``, or with None and what came between.
        comparisons: are told of the answer.
    """

    __slots__ = ("_captures", "_comparisons", "_done", "_forward", "_limit", "_pieces", "_request", "_size")

    def __init__(self, request: ClientSide, limit: int, done: Whole, comparisons: Sequence[Comparison] = ()) -> None:
        self._request = request
        self._limit = limit
        self._done: Whole | None = done
        self._comparisons = comparisons
        self._captures = [Capture(each.wanted) for each in comparisons]
        self._forward: BodyConsumer | None = None
        self._pieces: list[bytes] = []
        self._size = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._request, name)

    # The request.

    @property
    def consumer(self) -> BodyConsumer | None:
        """Who forwards the request."""
        return self._forward

    @consumer.setter
    def consumer(self, forward: BodyConsumer | None) -> None:
        self._forward = forward
        self._request.consumer = None if forward is None else self

    def body_came(self) -> None:
        """Tell who forwards."""
        if self._forward is not None:
            self._forward.body_came()

    def client_went(self) -> None:
        """The client gave up."""
        self._ended("client_gone", answered=False)
        forward, self._forward = self._forward, None
        if forward is not None:
            forward.client_went()

    def go_on(self) -> None:
        """The client takes more of the answer: see :meth:`.Attempts.go_on`."""
        forward: Any = self._forward
        if forward is not None:
            forward.go_on()

    def take_body(self) -> list[bytes]:
        """Take what is here of the body, and keep it."""
        request = self._request
        pieces = request.take_body()
        if self._done is not None:
            self._size += sum(map(len, pieces))
            if self._size > self._limit:
                self._tell(None, "body_too_long")
            else:
                self._pieces += pieces
                if request.body.ended:
                    self.whole(b"".join(self._pieces) if request.body.received else None)
        return pieces

    def whole(self, body: bytes | None) -> None:
        """The request is known to its end."""
        self._tell(body, "")

    def _tell(self, body: bytes | None, why: str) -> None:
        done, self._done = self._done, None
        self._pieces = []
        if done is not None:
            done(body, why)

    def pauseProducing(self) -> None:
        """Take no more of the body from the client for now."""
        self._request.pauseProducing()

    def resumeProducing(self) -> None:
        """Take more of the body."""
        self._request.resumeProducing()

    def stopProducing(self) -> None:
        """The server takes no more of the body."""
        self._request.stopProducing()

    # The response.

    def respond(
        self,
        status: int,
        reason: bytes | None,
        headers: RawHeaders,
        length: int | None,
        block: bytes | None = None,
        version: str = "1.1",
    ) -> None:
        """Begin the response."""
        for capture in self._captures:
            capture.began(status, headers)
        self._request.respond(status, reason, headers, length, block, version)

    def send(self, data: bytes) -> None:
        """Add to the response's body."""
        for capture in self._captures:
            capture.feed(data)
        self._request.send(data)

    def pass_on(self, head: ResponseHead, body: bytes, now: float) -> None:
        """Answer with a whole response."""
        for capture in self._captures:
            capture.began(head.status, head.plain)
            capture.feed(body)
        self._ended("unread", answered=True)
        self._request.pass_on(head, body, now)

    def end(self, trailers: RawHeaders | None = None) -> None:
        """Complete the response."""
        self._request.end(trailers)
        self._ended("unread", answered=True)

    def fail(self, error: ExchangeError) -> None:
        """The request cannot be answered by a server."""
        self._request.fail(error)
        self._ended("primary_failed", answered=False)

    def _ended(self, why: str, *, answered: bool) -> None:
        self._tell(None, why)
        captures, self._captures = self._captures, []
        for capture, comparison in zip(captures, self._comparisons, strict=bool(captures)):
            comparison.primary(capture.answer() if answered else None)

    def __repr__(self) -> str:
        return f"<Tapped {self._request!r}>"
