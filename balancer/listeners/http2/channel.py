"""The protocol of an HTTP/2 connection of a client: its bytes, its end, and whether there is room; its requests are in :mod:`.serving`.

::

    dataReceived ──> session.feed ──> request_came, data_came … ──> StreamRequest ──> walk ──> server
    transport.write <── session.output <── once for all that a batch of events brings ──┘

What the connection as a whole goes through::

    OPEN ── drain announced ──> ANNOUNCED ── its time is up ──> LEAVING ── last stream over ──> ENDING ──> closed
      └──── idle, or stalled ──────────────────────────────────────┘                              ▲
      └──── the client broke the protocol, or says that it leaves and has its answers ────────────┘

A GOAWAY that announces, then one that names the last stream (RFC 9113 section 6.8): a request that was on its way meanwhile is
served. While the transport is full nothing is made to be sent, nobody produces, and nothing more is read: who does not take
answers cannot ask for more of them. What all this may take is in :mod:`.patience`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from twisted.internet.interfaces import IHalfCloseableProtocol, IPushProducer
from twisted.internet.protocol import Protocol, connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from balancer.listeners.http.ending import Ending
from balancer.listeners.http.site import Site
from balancer.listeners.http2 import patience
from balancer.listeners.http2.backlog import Backlog
from balancer.listeners.http2.counts import Counts
from balancer.listeners.http2.over import OVER
from balancer.listeners.http2.reception import Reception
from balancer.listeners.http2.serving import ANNOUNCED, ENDING, LEAVING, LINGERING, OPEN, Serving
from balancer.model.origin import Origin
from balancer.net.gathering import Gathered
from balancer.net.timers import Entry, Wheel
from balancer.wire.http2.interface import NO_ERROR, Limits, SessionError
from balancer.wire.http2.sessions import server

__all__ = ["HTTP2Channel"]

_log = Logger()


_HEARD = 256 * 1024
"""Bytes that a client may still send, unheard, when its connection ends: to read them is what a flood is after."""


@implementer(IHalfCloseableProtocol, IPushProducer)
class HTTP2Channel(Serving, Protocol):
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
        super().__init__(site, counts, Reception(self, origin))
        self.is_full = False
        """Whether the transport takes no more for now."""
        self.client_ended = False
        self.backlog = Backlog(self)
        self.session = server(self, site().http2 or Limits())
        self._left = left
        self._gather = gather
        self.soon = soon
        self._busy = False  # in the session's hands; who has output then sets this:
        self._more = False
        self._gathered = False
        self._pulling = False
        self._ending: Ending | None = None
        self._heard = 0  # bytes that came since
        self._patience = patience.Patience(self)
        self.wheel = wheel
        self._timer = wheel.schedule(self._patience.span, self._timed_out)
        self._lingering: Entry | None = None  # for requests that were answered before they had come

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
            self._heard += len(data)
            if self._heard > _HEARD:
                self.abort()
            else:
                self._ending.data_came()
            return
        session = self.session
        now = self._now = self.site_now().now()
        session.at(now)
        self._busy = True
        try:
            session.feed(data)
        except SessionError as error:
            self._broken(error)
            return
        finally:
            self._busy = False
        if self._more or session.pending:
            self.has_output()
        if self.backlog.is_clogged:
            self.backlog.look_again()

    def readConnectionLost(self) -> None:
        """The client sends no more, nor can it take much: it does not say any more how much it takes."""
        self.client_ended = True
        if self._ending is not None:
            self._ending.client_ended()
            return
        self._all_gone(connectionDone)
        self._end()

    def writeConnectionLost(self) -> None:
        """Our own half-close went through; the client's end is awaited."""

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The connection is gone."""
        self.stage = ENDING
        self._timer.end()
        if self._lingering is not None:
            self._lingering.end()
        self._all_gone(reason)
        self.session = OVER  # and these, which refer to the channel as it does to them, are to be freed at once
        del self._reception, self._patience
        self.backlog.end()
        self._left(self)

    def pauseProducing(self) -> None:
        """The transport is full."""
        if not self.is_full and self._ending is None:
            self.is_full = True
            self.transport.pauseProducing()
            self.backlog.hold(self)

    def resumeProducing(self) -> None:
        """The transport has room again."""
        if self.is_full:
            self.is_full = False
            self.transport.resumeProducing()
            self.flush()
            self.backlog.look_again()
            self.backlog.let_go(self)

    def stopProducing(self) -> None:
        """The transport is gone; :meth:`connectionLost` says so as well."""

    # Writing.

    def has_output(self) -> None:
        """Write what the session has to say: at the end of the batch that the reactor serves, if it does, else now."""
        if self._busy:
            self._more = True
        elif not (self._gathered or self.is_full):
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

    def _write(self) -> None:
        session, transport = self.session, self.transport
        self._busy = True
        try:
            while True:
                self._more = False
                data = session.output()
                if data:
                    transport.write(data)
                    if self.is_full:
                        return
                leaving = self.client_left or self.stage == LEAVING
                if not (self._more or (leaving and self._unread and self._reset_unread(math.inf))):
                    break
        finally:
            self._busy = False
        if leaving and not session.open_streams and not self.requests:
            self._end()

    def unsent(self) -> int:
        """Return how many bytes are written that the client's machine has not taken."""
        return int(getattr(self.transport, "queued", 0))

    def pull_soon(self) -> None:
        """Ask the producers that want to be asked for more."""
        if not self._pulling:
            self._pulling = True
            self.soon(self._pull)

    def _pull(self) -> None:
        self._pulling = False
        if not self.is_full:
            for request in tuple(self.streaming):
                request.pull()
            self.has_output()

    def _lingers_until(self) -> float:
        if self._lingering is None:
            self._lingering = self.wheel.schedule(LINGERING, self._lingered)
        elif not self._lingering.active:
            self._lingering.reset(LINGERING)
        return self.site_now().now() + LINGERING

    def _lingered(self) -> None:
        if self.stage != ENDING and self._unread:
            if self._reset_unread(self.site_now().now()):
                self.has_output()
            if self._unread and self._lingering is not None:
                self._lingering.reset(LINGERING)

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
        self._all_gone(Failure(error))
        self._end()

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
        self.backlog.look_again()
        if self._ending is None:
            self._timer.reset(self._patience.span)
            self.has_output()

    def __repr__(self) -> str:
        return f"<HTTP2Channel {len(self.requests)} in service, {self.served} served>"
