"""A response that is here as a whole, and waits for a filter to let it go (:attr:`~balancer.model.exchange.Exchange.hold`).

::

    respond ──> send… (nothing goes out) ──> end ──> hold() ──┬── None, or its Deferred fires ──> all of it goes out
                                                             └── ExchangeError ──────────────────> an error page instead
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from balancer import errors
from balancer.errors import ExchangeError

if TYPE_CHECKING:
    from balancer.listeners.http.client_request import ClientRequest
    from balancer.model.headers import RawHeaders

__all__ = ["held"]

_log = Logger()


def held(request: ClientRequest, trailers: RawHeaders | None) -> bool:
    """Ask whoever holds the response that is to end now; return whether it does not end now, or not so."""
    hold = request.held_until
    assert hold is not None
    request.stop_streaming()  # the server's connection may serve others from now on
    try:
        waiting = hold()
    except Exception as error:
        _refuse(request, Failure(error))
        return True
    if waiting is None:
        request.held_until = None
        return False
    _Waiting(request, waiting, trailers)
    return True


def _refuse(request: ClientRequest, failure: Failure) -> None:
    request.held_until = None
    if isinstance(failure.value, ExchangeError):
        request.refuse(failure.value)
        return
    _log.failure("a filter failed on the response to {request}", failure, request=request)
    request.refuse(ExchangeError(errors.PROXY_INTERNAL_ERROR, "a filter failed on the response"))


class _Waiting:
    """Stands for the server meanwhile; the client may go away."""

    def __init__(self, request: ClientRequest, waiting: Deferred[Any], trailers: RawHeaders | None) -> None:
        self._request = request
        self._waiting: Deferred[Any] | None = waiting
        request.consumer = self
        waiting.addCallbacks(self._go_on, self._failed, callbackArgs=(trailers,))

    def body_came(self) -> None:
        """More of a body that nobody takes any more."""

    def client_went(self) -> None:
        """Nobody waits for the response."""
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            waiting.cancel()

    def _go_on(self, _: object, trailers: RawHeaders | None) -> None:
        if self._waiting is not None:
            self._waiting = None
            self._request.consumer = self._request.held_until = None
            self._request.end(trailers)

    def _failed(self, failure: Failure) -> None:
        if self._waiting is not None and not failure.check(CancelledError):
            self._waiting = None
            self._request.consumer = None
            _refuse(self._request, failure)
