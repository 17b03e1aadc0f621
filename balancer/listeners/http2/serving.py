"""The requests of one HTTP/2 connection: what its session tells of them, and what they need of it in turn.

::

    request_came ──> served by the walk ──> answered ──> request_ended
         │ data_came, stream_ended            │            └── before its body had come: the stream is reset, with NO_ERROR,
         ▼                                    │                a moment after all of the answer is sent (RFC 9113 section 8.1)
      its consumer                            └── stream_reset, the connection lost: gone, at its server too

That moment (:data:`LINGERING`) is for clients that are about to end the stream by themselves, or to break its rules: a stream that
is reset at once hides from them, and from who looks for faults in them, what they did. What comes meanwhile of the body stays
counted against the stream's window.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from twisted.internet.error import ConnectionAborted
from twisted.logger import Logger
from twisted.python.failure import Failure

from balancer import errors
from balancer.errors import ExchangeError
from balancer.listeners.http import walk
from balancer.listeners.http.site import Site
from balancer.listeners.http2.backlog import Backlog
from balancer.listeners.http2.counts import Counts
from balancer.listeners.http2.reception import Reception
from balancer.listeners.http2.request import StreamRequest
from balancer.model.headers import RawHeaders
from balancer.wire.http1 import fields
from balancer.wire.http2.codes import name_of
from balancer.wire.http2.interface import INTERNAL_ERROR, NO_ERROR, Session

__all__ = ["ANNOUNCED", "ENDING", "LEAVING", "LINGERING", "OPEN", "Serving"]

_log = Logger()

OPEN, ANNOUNCED, LEAVING, ENDING = range(4)
"""How far a connection is on its way to its end."""

LINGERING = 0.5
"""Seconds that a client has to end a request by itself whose answer it has got."""


class Serving:
    """What a channel does for its requests.

    Args:
        site: returns the site that a new request is served by.
        counts: what is counted for the listener.
        reception: makes requests of header lists.
    """

    session: Session
    backlog: Backlog
    is_full: bool

    def __init__(self, site: Callable[[], Site], counts: Counts, reception: Reception) -> None:
        self.site_now = site
        self.counts = counts
        self.requests: dict[int, StreamRequest] = {}
        """Those whose response is not complete, by stream."""
        self.streaming: set[StreamRequest] = set()
        """Those whose response somebody produces, who can be paused."""
        self.served = 0
        self.stage = OPEN
        self.client_left = False
        """Whether the client has said that it begins nothing more."""
        self._reception = reception
        self._now = 0.0  # when the bytes came that are read
        self._unread: dict[int, float] = {}  # streams answered before their bodies had come, and when to reset them

    def has_output(self) -> None:
        """Write what the session has to say, soon."""
        raise NotImplementedError

    # What the session tells.

    def request_came(self, stream: int, headers: RawHeaders, ended: bool) -> None:
        """Serve a request."""
        self.served += 1
        request = self.requests[stream] = self._reception.request(stream, headers, ended, self._now)
        refused = self._reception.refused
        if refused is not None:
            request.fail(refused)
            return
        try:
            walk.begin(request)
        except Exception as error:
            self._failed_in(request, error)

    def data_came(self, stream: int, data: bytes) -> None:
        """Hand on a piece of a request's body."""
        request = self.requests.get(stream)
        if request is None or request.body.ended:
            if request is not None and request.end_of_tunnel is not None:
                self._safely(request, partial(request.end_of_tunnel.data_came, data))
            else:
                self.session.took(0 if stream in self._unread else stream, len(data))
            return
        body = request.body
        body.feed(data)
        limit = request.site.body_size
        if limit is not None and body.received > limit:
            self.give_up(request, ExchangeError(errors.HTTP_BODY_TOO_LARGE))
        else:
            self._body_came(request)

    def stream_ended(self, stream: int, trailers: RawHeaders | None) -> None:
        """A request is complete."""
        request = self.requests.get(stream)
        if request is None:
            self._unread.pop(stream, None)
            self._one_over()
            return
        if request.end_of_tunnel is not None:
            self._safely(request, request.end_of_tunnel.client_ended)
            return
        if trailers:  # RFC 9110 section 6.5.1: no routing, framing, forwarding there
            trailers = [pair for pair in trailers if fields.request_kind(pair[0]) == fields.PLAIN]
        request.body.end(trailers or None)
        self._body_came(request)

    def _body_came(self, request: StreamRequest) -> None:
        consumer = request.consumer
        if consumer is not None:
            try:
                consumer.body_came()
            except Exception as error:
                self._failed_in(request, error)

    def stream_reset(self, stream: int, code: int) -> None:
        """The client gave up a request, or broke the rules with it."""
        self.counts.reset("client", code)
        self._unread.pop(stream, None)
        request = self.requests.pop(stream, None)
        if request is not None:
            request.gone(Failure(ConnectionAborted(f"the stream was reset: {name_of(code)}")))
            request.release()
        self._one_over()

    def _one_over(self) -> None:
        """A stream has ended by what the client said; it may be the last that was waited for."""
        if self.stage == LEAVING:
            self.has_output()

    def room_came(self, stream: int) -> None:
        """The client takes more of a response."""
        request = self.requests.get(stream)
        if request is not None and not self.is_full:
            request.room_came()

    def settings_came(self) -> None:
        """What the client wants of us the session sees to."""

    def ping_answered(self, data: bytes) -> None:
        """No PINGs are sent to clients."""

    def goaway_came(self, last_stream: int, code: int) -> None:
        """The client begins nothing more: when it has its answers there is nothing to wait for."""
        self.client_left = True
        self.has_output()

    def response_came(self, stream: int, headers: RawHeaders, ended: bool) -> None:
        """Not on a client's connection."""

    def informational_came(self, stream: int, headers: RawHeaders) -> None:
        """Not on a client's connection."""

    # What requests need.

    def took(self, stream: int, size: int) -> None:
        """Give the client room for so many bytes more of a body."""
        if self.stage != ENDING:
            self.session.took(stream, size)
            self.has_output()

    def request_ended(self, request: StreamRequest, abort: bool) -> None:
        """The response to ``request`` is complete (or, with ``abort``, cannot be completed)."""
        stream = request.stream
        if self.requests.pop(stream, None) is None or self.stage == ENDING:
            return
        if abort:
            self.reset(stream, INTERNAL_ERROR)
        elif not request.body.ended or (request.end_of_tunnel is not None and not request.ended):
            self._unread[stream] = self._lingers_until()
        if request.body.pending or not request.body.ended:
            request.release()
        if self.backlog.is_clogged:
            self.backlog.look_again()
        self.has_output()

    def drain_tunnel(self) -> None:
        """Let the tunnels among the streams end, each in its own way."""
        for request in tuple(self.requests.values()):
            if request.tunnel is not None:
                request.tunnel.drain()

    def cut(self, request: StreamRequest) -> None:
        """End an exchange as it is."""
        if self.requests.pop(request.stream, None) is not None:
            self.reset(request.stream, INTERNAL_ERROR)
            request.gone()
            request.release()
            self.has_output()

    def give_up(self, request: StreamRequest, error: ExchangeError) -> None:
        """What ``request`` is about has become pointless."""
        consumer, request.consumer = request.consumer, None
        if consumer is not None:
            consumer.client_went()
        request.fail(error)

    def reset(self, stream: int, code: int) -> None:
        """Reset a stream."""
        self.counts.reset("balancer", code)
        self.session.reset(stream, code)

    def _failed_in(self, request: StreamRequest, error: Exception) -> None:
        """The top of a stream: whatever was not foreseen ends this exchange, and only this one."""
        if isinstance(error, ExchangeError):
            request.fail(error)
            return
        _log.failure("serving {request} failed", request=request)
        self.give_up(request, ExchangeError(errors.PROXY_INTERNAL_ERROR))

    def _safely(self, request: StreamRequest, call: Callable[[], None]) -> None:
        """Tell a tunnel something; what fails there is nothing to the others."""
        try:
            call()
        except Exception:
            _log.failure("the tunnel of {request} failed", request=request)
            self.reset(request.stream, INTERNAL_ERROR)
            del self.requests[request.stream]
            request.gone(Failure())

    def make_small(self) -> None:
        """Let go of what makes repeated requests cheap: nothing was asked for a while."""
        self._reception.forget()

    def _all_gone(self, reason: Failure) -> None:
        requests, self.requests = self.requests, {}
        for request in requests.values():
            request.gone(reason)

    def _lingers_until(self) -> float:
        """Return when a stream is to be reset that was answered now, and see to it that it will be."""
        raise NotImplementedError

    def _reset_unread(self, now: float) -> bool:
        """Reset the streams whose answer is out, and whose request is not wanted any more (RFC 9113 section 8.1)."""
        session = self.session
        done = [stream for stream, due in self._unread.items() if due <= now and not session.queued(stream)]
        for stream in done:
            del self._unread[stream]
            session.reset(stream, NO_ERROR)
        return bool(done)
