"""The protocol of an HTTP/2 connection of a client: many requests at a time, each served like any other.

::

    dataReceived ──> session.feed ──> request_came, data_came … ──> StreamRequest ──> walk ──> server
    transport.write <── session.output <── once for all that a batch of events brings ──┘

What the connection as a whole goes through::

    OPEN ── drain announced ──> ANNOUNCED ── its time is up ──> LEAVING ── last stream over ──> ENDING ──> closed
      └──── idle, or stalled ──────────────────────────────────────┘                              ▲
      └──── the client broke the protocol ────────────────────────────────────────────────────────┘

A GOAWAY that announces, then one that names the last stream (RFC 9113 section 6.8): a request that was on its way meanwhile is
served. While the transport is full nothing is made to be sent, nobody produces, and nothing more is read: who does not take
answers cannot ask for more of them. What all this may take is in :mod:`.patience`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.interfaces import IHalfCloseableProtocol, IPushProducer
from twisted.internet.protocol import Protocol, connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from balancer import errors
from balancer.errors import ExchangeError
from balancer.forwarding.headers import Arrival
from balancer.listeners.http import walk
from balancer.listeners.http.ending import Ending
from balancer.listeners.http.site import Site
from balancer.listeners.http2 import patience
from balancer.listeners.http2.counts import Counts
from balancer.listeners.http2.reception import Reception
from balancer.listeners.http2.request import StreamRequest
from balancer.model.headers import RawHeaders
from balancer.model.origin import Origin
from balancer.net.gathering import Gathered
from balancer.net.timers import Wheel
from balancer.wire.http1 import fields
from balancer.wire.http2.interface import INTERNAL_ERROR, NO_ERROR, Limits, SessionError
from balancer.wire.http2.sessions import server

__all__ = ["ANNOUNCED", "ENDING", "LEAVING", "OPEN", "HTTP2Channel"]

_log = Logger()

OPEN, ANNOUNCED, LEAVING, ENDING = range(4)
"""How far a connection is on its way to its end."""


@implementer(IHalfCloseableProtocol, IPushProducer)
class HTTP2Channel(Protocol):
    """One client connection that speaks HTTP/2, and what its session tells.

    Args:
        site: returns the site that a new request is served by.
        wheel: the shared timer.
        left: called once with the channel when the connection is gone.
        gather: puts the channel down to be flushed at the end of the reactor's batch; see :mod:`balancer.net.gathering`.
        soon: calls something in the reactor's next turn.
        counts: what is counted for the listener.
        origin: who connects, where a layer below knows better than the socket.
    """

    transport: Any

    def __init__(
        self,
        site: Callable[[], Site],
        wheel: Wheel,
        left: Callable[[Any], None],
        gather: Callable[[Gathered], bool],
        soon: Callable[[Callable[[], None]], Any],
        counts: Counts,
        origin: Origin | None = None,
    ) -> None:
        self.site_now = site
        self.counts = counts
        self.requests: dict[int, StreamRequest] = {}
        """Those whose response is not complete, by stream."""
        self.streaming: set[StreamRequest] = set()
        """Those whose response somebody produces, who can be paused."""
        self.is_full = False
        """Whether the transport takes no more for now."""
        self.stage = OPEN
        self.client_ended = False
        self.served = 0
        limits = site().http2 or Limits()
        self.session = server(self, limits)
        self._limits = limits
        self._origin = origin
        self._left = left
        self._gather = gather
        self._soon = soon
        self._reception = Reception(self, origin)
        self._now = 0.0
        self._reading = False
        self._gathered = False
        self._pulling = False
        self._unread: list[int] = []  # answered before their bodies had come: to be reset once the answer is sent
        self._ending: Ending | None = None
        self._patience = patience.Patience(self)
        self._timer = wheel.schedule(self._patience.span, self._timed_out)

    # From the transport.

    def connectionMade(self) -> None:
        """Say what clients may do here."""
        self._now = self.site_now().now()
        self.session.at(self._now)
        self._patience.begin(self._now)
        self.transport.registerProducer(self, True)
        self.has_output()

    def dataReceived(self, data: bytes) -> None:
        """Read what the client sent."""
        if self._ending is not None:
            self._ending.data_came()
            return
        session = self.session
        now = self._now = self.site_now().now()
        session.at(now)
        self._reading = True
        try:
            session.feed(data)
        except SessionError as error:
            self._broken(error)
            return
        finally:
            self._reading = False
        self.has_output()

    def readConnectionLost(self) -> None:
        """The client sends no more, nor can it take much: it does not say any more how much it takes."""
        self.client_ended = True
        if self._ending is not None:
            self._ending.client_ended()
            return
        self._all_gone()
        self._end()

    def writeConnectionLost(self) -> None:
        """Our own half-close went through; the client's end is awaited."""

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The connection is gone."""
        self.stage = ENDING
        self._timer.end()
        self._all_gone()
        self._left(self)

    def pauseProducing(self) -> None:
        """The transport is full."""
        if not self.is_full and self._ending is None:
            self.is_full = True
            self.transport.pauseProducing()
            for request in tuple(self.streaming):
                request.pause()

    def resumeProducing(self) -> None:
        """The transport has room again."""
        if self.is_full:
            self.is_full = False
            self.transport.resumeProducing()
            self.flush()
            for request in tuple(self.streaming):
                if self.is_full:
                    return
                request.room_came()

    def stopProducing(self) -> None:
        """The transport is gone; :meth:`connectionLost` says so as well."""

    # Writing.

    def has_output(self) -> None:
        """Write what the session has to say: at the end of the batch that the reactor serves, if it does, else now."""
        if not (self._reading or self._gathered or self.is_full):
            if self._gather(self):
                self._gathered = True
            else:
                self.flush()

    def flush(self) -> None:
        """Write what the session has to say."""
        self._gathered = False
        if self.is_full or self.stage == ENDING:
            return
        try:
            self._write()
        except Exception:
            _log.failure("an HTTP/2 connection failed")
            self.abort()

    _flush = flush

    def _failed(self) -> None:
        self.abort()

    def _write(self) -> None:
        session, transport = self.session, self.transport
        while True:
            data = session.output()
            if data:
                transport.write(data)
                if self.is_full:
                    return
            elif not self._unread or not self._reset_unread():
                break
        if self.stage == LEAVING and not session.open_streams and not self.requests:
            self._end()

    def _reset_unread(self) -> bool:
        """Reset the streams whose answer is out, and whose request is not wanted any more (RFC 9113 section 8.1)."""
        session = self.session
        done = [stream for stream in self._unread if not session.queued(stream)]
        for stream in done:
            self._unread.remove(stream)
            session.reset(stream, NO_ERROR)
        return bool(done)

    def unsent(self) -> int:
        """Return how many bytes are written that the client's machine has not taken."""
        return int(getattr(self.transport, "queued", 0))

    def make_small(self) -> None:
        """Let go of what makes repeated requests cheap: nothing was asked for a while."""
        self._reception.forget()

    def pull_soon(self) -> None:
        """Ask the producers that want to be asked for more."""
        if not self._pulling:
            self._pulling = True
            self._soon(self._pull)

    def _pull(self) -> None:
        self._pulling = False
        if not self.is_full:
            for request in tuple(self.streaming):
                request.pull()
            self.has_output()

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
            self.session.took(stream, len(data))
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
            if stream in self._unread:
                self._unread.remove(stream)
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
        if stream in self._unread:
            self._unread.remove(stream)
        request = self.requests.pop(stream, None)
        if request is not None:
            request.gone()
            request.release()

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
        """The client begins nothing more, and closes when it has its answers."""

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
        elif not request.body.ended:
            self._unread.append(stream)
        if request.body.pending or not request.body.ended:
            request.release()
        self.has_output()

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

    # Ending.

    def announce_end(self) -> None:
        """Say that the connection is going to end; requests that come now are still served."""
        if self.stage == OPEN:
            self.stage = ANNOUNCED
            self.counts.goaways["drain"] += 1
            self.session.goaway(gracefully=True)
            self.has_output()

    def drain(self) -> None:
        """Take no more requests, and close when those under way are answered."""
        self.announce_end()
        self.leave(NO_ERROR)

    def leave(self, code: int) -> None:
        """Take no more requests, which is said with ``code``, and close when those under way are answered."""
        if self.stage < LEAVING:
            self.stage = LEAVING
            self.session.goaway(code)
            self.has_output()

    def abort(self) -> None:
        """Close now."""
        self.transport.abortConnection()

    def _broken(self, error: SessionError) -> None:
        _log.debug("HTTP/2 client {peer}: {error}", peer=self.transport.getPeer(), error=error)
        self.counts.broken(error.code)
        self._all_gone()
        self._end()

    def _all_gone(self) -> None:
        requests, self.requests = self.requests, {}
        for request in requests.values():
            request.gone()

    def _end(self) -> None:
        """Close once the client has taken what is queued."""
        if self.stage == ENDING:
            return
        self.stage = ENDING
        transport = self.transport
        transport.unregisterProducer()
        data = self.session.output()
        if data:
            transport.write(data)
        if self.is_full:
            self.is_full = False
            transport.resumeProducing()
        self._ending = ending = Ending(transport, self._timer, self.site_now().timeouts.body_idle)
        if self.client_ended:
            transport.loseConnection()
        else:
            ending.half_close()

    def _timed_out(self) -> None:
        if self._ending is not None:
            self._ending.timed_out()
            return
        self._now = now = self.site_now().now()
        self.session.at(now)
        try:
            self.session.feed(b"")  # SETTINGS are to be acknowledged in time
        except SessionError as error:
            self._broken(error)
            return
        self._patience.look(now)
        if self._ending is None:
            self._timer.reset(self._patience.span)
            self.has_output()

    def __repr__(self) -> str:
        return f"<HTTP2Channel {len(self.requests)} in service, {self.served} served>"
