"""Looks at a request's body, or its beginning, and leaves all of it there to be forwarded (:attr:`~balancer.model.exchange.Exchange.look`)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from twisted.internet.defer import Deferred

from balancer.model.exchange import Looked

if TYPE_CHECKING:
    from balancer.listeners.http.client_request import ClientRequest

__all__ = ["Look", "look"]


def look(request: ClientRequest, limit: int) -> Deferred[Looked]:
    """Return a Deferred of the body of ``request``, or of its first ``limit`` bytes; cancelled, it leaves the body there."""
    return Look(request, limit).answer


class Look:
    """One look, while the body comes. Others may be the request's consumer meanwhile, and pass on to it that more is here."""

    def __init__(self, request: ClientRequest, limit: int) -> None:
        self.answer: Deferred[Looked] = Deferred(self._cancelled)
        self._request = request
        self._limit = limit
        self._pieces: list[bytes] = []
        self._size = 0
        if request.consumer is None:
            request.consumer = self
        else:
            request.consumer.look = self  # type: ignore[attr-defined]  # it is the walk's, which waits for the filter that asks
        request.invite_body()
        self.body_came()

    def body_came(self) -> None:
        """More of the body, or its end."""
        body = self._request.body
        if body.pending:
            pieces = body.take()
            self._pieces += pieces
            self._size += sum(map(len, pieces))
        if not body.ended and self._size <= self._limit:
            return
        self._leave()
        whole = body.ended and self._size <= self._limit
        self.answer.callback(Looked(b"".join(self._pieces)[: self._limit], whole))

    def client_went(self) -> None:
        """Nothing was begun."""

    def _leave(self) -> None:
        consumer = self._request.consumer
        if consumer is self:
            self._request.consumer = None
        elif consumer is not None:
            consumer.look = None  # type: ignore[attr-defined]
        if self._pieces:
            self._request.body.put_back(self._pieces)

    def _cancelled(self, _: Deferred[Looked]) -> None:
        self._leave()
