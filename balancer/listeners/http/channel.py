"""The protocol of an HTTP listener: reads requests, has them served one at a time and in order.

::

    first byte ──> head ──> body? ──> served by the resource tree ──┐
        ▲                                                           │
        └── keep-alive (pipelined requests wait in the reader) ◄────┤
                                                                    └──> ending ──> closed

It is not :class:`twisted.web.http.HTTPChannel`, which walks the resource tree only after the whole body has arrived.
One entry of the shared timer wheel limits whatever is waited for; while a response is awaited the server side limits.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.interfaces import IHalfCloseableProtocol
from twisted.internet.protocol import connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import classImplements

from balancer import errors
from balancer.errors import ExchangeError
from balancer.forwarding.ends import TransportEnd, TunnelEnd
from balancer.forwarding.headers import (
    Arrival,
    HeaderPolicy,
    believed_client,
    believed_request_id,
    believed_scheme,
    facts_of,
)
from balancer.forwarding.session import to_peer
from balancer.forwarding.tunnel import Tunnel
from balancer.listeners.http import overloaded, prior_knowledge, slow, walk
from balancer.listeners.http.ending import Ending
from balancer.listeners.http.request import Request
from balancer.listeners.http.site import Site
from balancer.model.facts import RequestFacts
from balancer.model.origin import Origin
from balancer.net.bare import BareProtocol
from balancer.net.timers import Wheel
from balancer.wire.http1.body import Body
from balancer.wire.http1.heads import RequestHead
from balancer.wire.http1.requests import Incoming, RequestReader

__all__ = ["HTTPChannel"]

_log = Logger()

_MUCH = 64 * 1024
"""Bytes of an answer not yet sent that are worth an orderly ending, whether or not the client seems to send more."""
_HELD_BODY = 256 * 1024  # bytes of a body that may wait for a server before the client is asked to pause


class HTTPChannel(BareProtocol):
    """One client connection.

    Args:
        site: returns the site that a new request is served by.
        wheel: the shared timer.
        left: called once with the channel when the connection is gone.
        origin: who connects, where a layer below knows better than the socket.
        http2: goes on with the connection where it begins in HTTP/2; given the channel and all that has come.
    """

    def __init__(
        self,
        site: Callable[[], Site],
        wheel: Wheel,
        left: Callable[[Any], None],
        origin: Origin | None = None,
        http2: Callable[[HTTPChannel, bytes], None] | None = None,
    ) -> None:
        self._site_now = site
        self.origin, self.left, self.prior_knowledge = origin, left, http2
        self.wheel = wheel
        serving = site()
        self._timer = wheel.schedule(serving.timeouts.head, self._timed_out)
        self._reader = RequestReader(serving.limits, serving.known)
        self._arrival: Arrival | None = None
        self._policy: Any = None
        self._last: Incoming | None = None  # the request before, and what is known of it, for when it is repeated
        self._last_facts: RequestFacts | None = None
        self._current: Request | None = None
        self._watched: Request | None = None
        self._refused: ExchangeError | None = None
        self._tunnel: Tunnel | None = None
        self._first_byte = 0.0
        self._in_head = False
        self._advancing = False
        self._ending: Ending | None = None
        self.client_ended = False
        self._body_held = False
        self._pipeline_held = False
        self._seen = 0  # bytes of the body at the last look
        self.draining = False

    # From the transport.

    def dataReceived(self, data: bytes) -> None:
        """Read what the client sent."""
        if self._tunnel is not None:
            self._tunnel.from_client(data)
            return
        if self._ending is not None:
            self._ending.data_came()
            return
        if self._refused is not None:
            return
        reader = self._reader
        current = self._current
        if current is None and not self._in_head:
            self._first_byte = self._site_now().now()
        try:
            reader.feed(data)
        except ExchangeError as error:
            if error.reason is errors.HTTP_VERSION_REFUSED and prior_knowledge.went_on(self, data):
                return
            self._refused = error
            if current is not None and not current.body.ended:
                self._cut(current, error)
                return
        if current is None:
            if reader.ready or reader.in_head or self._refused is not None:  # not so after blank lines
                self._advance()
        elif not current.body.ended or current.body.pending:
            self._body_came(current)
        if (reader.ready or reader.held) and not self._pipeline_held and self._current is not None:
            self._pipeline_held = True
            self.transport.pauseProducing()

    def readConnectionLost(self) -> None:
        """The client sends no more; it may still want its answer."""
        if self._tunnel is not None:
            self._tunnel.client_ended()
            return
        self.client_ended = True
        current = self._current
        if self._ending is not None:
            self._ending.client_ended()
        elif current is None:
            self.transport.loseConnection()
        elif not current.body.ended or current.is_live:
            self.transport.abortConnection()

    def writeConnectionLost(self) -> None:
        """Our own half-close went through; the client's end is awaited."""

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The connection is gone."""
        self._timer.end()
        self._reader.end()
        if self._tunnel is not None:
            self._tunnel.client_lost(reason)
        elif self._current is not None:
            self._current.gone()
            self._current = None
        self.left(self)

    # Serving.

    def _advance(self) -> None:
        """Begin the next request that is there, or wait for one. A loop, not a recursion: requests may end at once."""
        if self._advancing:
            return
        self._advancing = True
        try:
            reader = self._reader
            while self._current is None and self._ending is None and self._tunnel is None:
                if reader.ready and (self._refused is None or reader.ready[0].body.ended):
                    self._begin(reader.ready.pop(0))
                elif self._refused is not None:
                    self._refuse(self._refused)
                    return
                elif reader.held is not None or reader.more:
                    self.resume_after_upgrade()
                elif reader.closed or self.client_ended or (self.draining and not reader.in_head):
                    self._close()
                    return
                else:
                    self._wait()
                    return
        finally:
            self._advancing = False

    def _wait(self) -> None:
        timeouts = self._site_now().timeouts
        if self._reader.in_head:
            if not self._in_head:
                self._in_head = True
                self._timer.reset(timeouts.head)
        else:
            self._in_head = False
            self._seen = 0
            self._timer.reset(timeouts.quick)
        if self._pipeline_held:
            self._read_on()

    def _read_on(self) -> None:
        if self._pipeline_held:
            self._pipeline_held = False
            if not self._body_held:
                self.transport.resumeProducing()

    def _begin(self, incoming: Incoming) -> None:
        in_head, self._in_head = self._in_head, False
        site = self._site_now()
        head = incoming.head
        policy = site.policy
        arrival = self._arrival
        if arrival is None or self._policy is not policy:
            if arrival is not None:  # a reload
                self._reader.use(site.limits, incoming)
                self._last = None
            self._policy = policy
            arrival = self._arrival = self._arrive(policy)
        if site.shedding.share and site.shedding.sheds(site.listener):
            overloaded.turn_away(self, incoming, arrival, site)
            return
        if arrival.trusted:
            peer, scheme = believed_client(head, arrival, policy), believed_scheme(head, arrival)
            request_id = believed_request_id(head, arrival) or site.new_id()
            facts = facts_of(head, arrival, peer, scheme)
        else:
            request_id = site.new_id()
            known = self._last_facts if incoming is self._last else None
            if known is not None:
                facts = known
            else:
                facts = self._last_facts = facts_of(head, arrival, arrival.peer, arrival.scheme)
                self._last = incoming
        started = self._first_byte
        request = self._current = Request(self, incoming, facts, arrival, site, request_id, started)
        request.record.head = site.now() - started if in_head else 0.0
        try:
            walk.begin(request)
        except Exception as error:
            self._failed(request, error)
        if not incoming.body.ended:
            self._read_on()  # what was held up behind the request before is this one's body
            if not request.finished:
                self._seen = 0
                self._timer.reset(site.timeouts.body_idle)

    def _arrive(self, policy: HeaderPolicy) -> Arrival:
        origin = self.origin
        if origin is None:
            origin = self.origin = Origin(to_peer(self.transport.getPeer()), to_peer(self.transport.getHost()))
        return Arrival(origin, policy)

    def _failed(self, request: Request, error: Exception) -> None:
        """The top of a connection: whatever was not foreseen ends this exchange, and only this one."""
        if isinstance(error, ExchangeError):
            request.fail(error)
            return
        _log.failure("serving {request} failed", request=request)
        consumer, request.consumer = request.consumer, None
        if consumer is not None:
            consumer.client_went()
        request.fail(ExchangeError(errors.PROXY_INTERNAL_ERROR))

    def request_ended(self, request: Request, abort: bool) -> None:
        """The response to ``request`` is complete (or, with ``abort``, cannot be completed)."""
        if request is not self._current:
            return
        self._current = None
        if self._body_held:
            self.release_body()
        if abort:
            self.transport.abortConnection()
            return
        reader = self._reader
        if request.keep_alive and self._tunnel is None:
            if reader.ready:  # its time begins when its turn has come
                self._first_byte = request.site.now()
            self._advance()
        else:
            self._close(linger=not request.body.ended or self._refused is not None)

    def _refuse(self, error: ExchangeError) -> None:
        """Answer what could not be read with an error, and close."""
        site = self._site_now()
        head = RequestHead("GET", "/", "1.1", [])
        head.keep_alive = False
        arrival = self._arrive(site.policy)
        facts = RequestFacts("", "", [], arrival.peer, arrival.local)
        began = self._first_byte
        self._current = Request(self, Incoming(head, Body()), facts, arrival, site, site.new_id(), began)
        self._current.fail(error)

    def watch_answer(self, request: Request) -> None:
        """Give up the client if it stops taking the answer that ``request`` gets here: no server side limits that."""
        self._watched = request
        self._seen = -1
        self._timer.reset(request.site.timeouts.body_idle)

    def _cut(self, request: Request, error: ExchangeError) -> None:
        """What ``request`` is about has become pointless: its body is not valid, or nobody takes its answer."""
        consumer, request.consumer = request.consumer, None
        if consumer is not None:
            consumer.client_went()
        request.fail(error)

    def _close(self, *, linger: bool = False) -> None:
        """Close once the client has taken what is queued; with ``linger``, or where it sent more, not before it is done."""
        transport = self.transport
        self._ending = ending = Ending(transport, self._timer, self._site_now().timeouts.body_idle)
        if self.client_ended or not (
            linger or self._pipeline_held or self._reader.ready or getattr(transport, "queued", 0) > _MUCH
        ):
            transport.loseConnection()
            return
        ending.half_close()
        if self._pipeline_held or self._body_held:
            self._pipeline_held = self._body_held = False
            transport.resumeProducing()

    # Bodies.

    def _body_came(self, request: Request) -> None:
        limit = request.site.body_size
        if limit is not None and request.body.received > limit:
            self._cut(request, ExchangeError(errors.HTTP_BODY_TOO_LARGE))
            return
        consumer = request.consumer
        if consumer is not None:
            try:
                consumer.body_came()
            except Exception as error:
                self._failed(request, error)
                return
        if request.body.pending > _HELD_BODY:
            self.hold_body()

    def hold_body(self) -> None:
        """Read no more from the client until :meth:`release_body`."""
        if not self._body_held:
            self._body_held = True
            if not self._pipeline_held:
                self.transport.pauseProducing()

    def release_body(self) -> None:
        """Read on."""
        if self._body_held:
            self._body_held = False
            if not self._pipeline_held:
                self.transport.resumeProducing()

    # Upgrades.

    def resume_after_upgrade(self) -> None:
        """No upgrade came of the request: read what follows as HTTP. Or of many requests in a row the next few."""
        if self._reader.held is not None or self._reader.more:
            self._first_byte = self._site_now().now()
            try:
                self._reader.resume()
            except ExchangeError as error:
                self._refused = error

    def become_tunnel(self, tunnel: Tunnel) -> tuple[TunnelEnd, bytes]:
        """Give the connection to ``tunnel``; return its end and what came behind the request."""
        self._tunnel = tunnel
        self._timer.cancel()
        early, self._reader.held = self._reader.held or b"", b""
        if self._pipeline_held or self._body_held:
            self._pipeline_held = self._body_held = False
            self.transport.resumeProducing()
        return TransportEnd(self.transport), early

    # Ending.

    def announce_end(self) -> None:
        """Let the next response say that it is the last."""
        self.draining = True

    def drain(self) -> None:
        """Close as soon as no request is in service; tunnels go on, for now."""
        self.draining = True
        if self._current is None and self._tunnel is None and not self._in_head and self._ending is None:
            self.transport.loseConnection()

    def drain_tunnel(self) -> None:
        """Let a tunnel, if the connection has become one, end in its own way."""
        if self._tunnel is not None:
            self._tunnel.drain()

    def abort(self) -> None:
        """Close now."""
        self.transport.abortConnection()

    def _timed_out(self) -> None:
        if self.transport is not None:
            slow.timed_out(self)


classImplements(HTTPChannel, IHalfCloseableProtocol)
