"""Clients that are slow: to send a head or a body, or to take an answer. What happens when their time is up."""

from __future__ import annotations

from typing import TYPE_CHECKING

from balancer import errors
from balancer.errors import ExchangeError
from balancer.listeners.http import idle

if TYPE_CHECKING:
    from balancer.listeners.http.channel import HTTPChannel
    from balancer.listeners.http.request import Request

__all__ = ["timed_out"]

_SLOWEST_BODY = 1000
"""Bytes per second below which a body is given up."""


def timed_out(channel: HTTPChannel) -> None:
    """The time is up for what ``channel`` waits for."""
    request = channel._current
    if channel._ending is not None:
        channel._ending.timed_out()
    elif request is not None:
        if request is channel._watched:
            _answer_timed_out(channel, request)
        elif not request.body.ended:
            _body_timed_out(channel, request)
    elif channel._in_head and channel._reader.in_head:
        channel._in_head = False
        channel._refused = ExchangeError(errors.HTTP_REQUEST_TIMEOUT)
        channel._refuse(channel._refused)
    elif getattr(channel.transport, "queued", 0) or not idle.forgot(channel):
        channel._close()


def _answer_timed_out(channel: HTTPChannel, request: Request) -> None:
    """Give up a client that took nothing of the answer since the last look."""
    unsent = request.unsent()
    before, channel._seen = channel._seen, request.record.bytes_out - unsent
    if unsent and channel._seen == before:
        channel._cut(request, ExchangeError(errors.CLIENT_TOO_SLOW))
    else:
        channel._timer.reset(request.site.timeouts.body_idle)


def _body_timed_out(channel: HTTPChannel, request: Request) -> None:
    """Give up a client that sent too little of its body since the last look."""
    span = request.site.timeouts.body_idle
    received = request.body.received
    # An answer in progress has limits of its own; a client that reads it may have stopped its upload for it.
    if request.responded or channel._body_held or received - channel._seen >= _SLOWEST_BODY * span:
        channel._seen = received
        channel._timer.reset(span)
        return
    channel._cut(request, ExchangeError(errors.HTTP_REQUEST_TIMEOUT, "the body stopped arriving"))
