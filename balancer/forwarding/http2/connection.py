"""One HTTP/2 connection to a server, which many exchanges share.

::

    connected ──> preface sent, the server's SETTINGS awaited ──> ready: exchanges come and go ──┐
                    │ not in time                                   │ nothing came for long: PING  │ retired, or GOAWAY came
                    ▼                                               ▼ no answer                    ▼
                  closed: nobody's exchange                       closed: exchanges fail         closed after the last exchange

The session (:mod:`balancer.wire.http2`) knows the protocol; this passes bytes between it and the transport, finds the exchange that
each event is for, and limits what is waited for. All limits of a connection share one entry of the timer wheel, which
looks twice a second: so an exchange costs no timer of its own.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IPushProducer
from twisted.internet.protocol import Protocol, connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from balancer import errors
from balancer.errors import ExchangeError
from balancer.forwarding.http2.exchanges import Exchanges
from balancer.forwarding.http2.stream import ServerStream
from balancer.model.headers import RawHeaders
from balancer.net.gathering import Gathered, at_once
from balancer.net.timers import Entry, Wheel
from balancer.pools.shared import SharedConnections
from balancer.wire.http2 import sessions
from balancer.wire.http2.codes import name_of
from balancer.wire.http2.interface import NO_ERROR, Limits, SessionError

if TYPE_CHECKING:
    from balancer.pools.server import Server

__all__ = ["HTTP2Connection"]

_log = Logger()

_LOOK = 0.5
"""Seconds between two looks at what is waited for."""
_LAST_STREAM = 2**31 - 64
"""A stream with such a number is the last; a connection lives long before it comes to that."""
_GLANCE = 0.001
"""Seconds for which a look whether the server has closed is good: it costs a system call, and calls of gRPC are all POSTs."""
_LIMITS = Limits(
    stream_window=64 * 1024,
    head_size=64 * 1024,
    header_count=1000,
    resets=10_000,
    pings=1000,
    settings=200,
    empty_frames=10_000,
    priorities=10_000,
    crumbs=100_000,
    continuations=16,
)
"""What servers may do: heads are as large as in HTTP/1.1; what floods others may come of many answers here."""


@implementer(IPushProducer)
class HTTP2Connection(Protocol):
    """One connection. ``ready`` fires with it once exchanges may begin, or fails with :class:`~balancer.errors.ExchangeError`.

    Args:
        server: where it leads.
        shared: the server's connections, of which it becomes one once it is ready.
        wheel: the shared timer.
        secure: whether it is protected by TLS.
        gather: puts the connection down to be flushed at the end of the reactor's batch; see :mod:`balancer.net.gathering`.

    ``congested`` says that the connection takes no bytes for now; ``why`` is why it ended, in words for the log.
    """

    transport: Any
    expires = 0.0

    def __init__(
        self,
        server: Server,
        shared: SharedConnections,
        wheel: Wheel,
        *,
        secure: bool = False,
        gather: Callable[[Gathered], bool] = at_once,
    ) -> None:
        self.server = server
        self.wheel = wheel
        self.scheme = b"https" if secure else b"http"
        self.ready: Deferred[HTTP2Connection] = Deferred(lambda _: self.abort())
        self.capacity = 0
        self.streams = 0
        self.congested = False
        self.closed = False
        self.why = ""
        # Windows of all streams together: one whose client takes nothing must not hold up the others.
        window = max(1024 * 1024, shared.settings.streams * _LIMITS.stream_window)
        self._exchanges = Exchanges(self)
        self.session = sessions.client(self._exchanges, replace(_LIMITS, connection_window=window))
        self._shared = shared
        self._used = 0
        self._gather = gather
        self._gathered = False  # it will be flushed at the end of the batch
        self._busy = False  # in the hands of the session, or of exchanges that are told; who has output then sets this:
        self._more = False
        self._is_ready = False
        self._is_resting = False  # carries nothing, and is looked at again only when it has done so for long
        self._error: ExchangeError | None = None
        self._retired = False
        self._seen = 0.0  # when it was last looked whether the server has closed
        self._pinged = False
        self._heard = 0  # the tick at which something came last
        self._idle_since = 0
        self._timer: Entry | None = None

    # The transport.

    def connectionMade(self) -> None:
        """Begin to talk."""
        self.server.connections["h2"] += 1
        self.transport.registerProducer(self, True)
        self._timer = self.wheel.schedule(_LOOK, self._look)
        self.flush()

    def dataReceived(self, data: bytes) -> None:
        """Read what the server sent, and tell the exchanges that it is about."""
        if self.closed:
            return
        if not self._is_ready and data.startswith(b"HTTP/1"):
            self.give_up(ExchangeError(errors.HTTP_PROTOCOL_ERROR, "the server speaks HTTP/1.1, not HTTP/2"))
            return
        self._heard = self.wheel.ticks
        self._pinged = False
        session = self.session
        session.at(time.monotonic())
        self._busy = True
        self._more = False
        broken: SessionError | None = None
        try:
            session.feed(data)
        except SessionError as error:
            broken = error
        self._exchanges.tell()
        self._busy = False
        if broken is not None:
            self._broken(broken)
            return
        if self._more or session.pending:
            self.has_output()
        if not self.streams:
            self._carries_nothing()

    def _broken(self, error: SessionError) -> None:
        """The server broke the protocol."""
        self.why = f"the server broke HTTP/2: {error}"
        _log.warn("{server}: {why}", server=self.server.name, why=self.why)
        self._write()
        self._error = ExchangeError(errors.HTTP_PROTOCOL_ERROR, str(error))
        self._exchanges.fail(self._error)
        self._lose()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The server closed, or the network did, or we have."""
        self.server.connections["h2"] -= 1
        if not self.why:
            self.why = (
                "the server closed the connection" if reason.check(ConnectionDone) else "the connection was reset"
            )
        self._gone()

    def pauseProducing(self) -> None:
        """The connection takes no more bytes for now."""
        self.congested = True

    def resumeProducing(self) -> None:
        """It takes bytes again."""
        self.congested = False
        self.flush()
        self._exchanges.room()

    def stopProducing(self) -> None:
        """The connection is gone; :meth:`connectionLost` follows."""

    def has_output(self) -> None:
        """Write what the session has to say: at the end of the reactor's batch, if it serves one, else now.

        So what many exchanges say in one batch is framed, and encrypted, in one go.
        """
        if self._busy:
            self._more = True
        elif not self._gathered:
            if self._gather(self):
                self._gathered = True
            else:
                self.flush()

    def flush(self) -> None:
        """Write what the session has to say, unless the connection takes no bytes for now. Does not raise."""
        self._gathered = False
        if self._busy:
            self._more = True
            return
        self._write()
        if not self.streams:
            self._carries_nothing()

    def _write(self) -> None:
        self._busy = self._more = True
        try:
            while self._more and not self.congested and not self.closed:
                self._more = False
                data = self.session.output()
                if data:
                    self.transport.write(data)
                if self._exchanges.came:  # the session may have something to tell on the way
                    self._exchanges.tell()
                    self._more = True
        except Exception:
            _log.failure("a connection of HTTP/2 to {server} failed", server=self.server.name)
            self.abort()
        finally:
            self._busy = False

    def gone(self) -> bool:
        """Whether the server has closed, and the reactor did not report that yet; no new exchanges are begun then."""
        now = time.monotonic()
        if now - self._seen < _GLANCE:
            return False
        self._seen = now
        try:
            if self.transport.getHandle().recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT):
                return False
        except BlockingIOError:
            return False
        except OSError:
            pass
        self._retired = True
        self._shared.forget(self)
        return True

    # The session.

    def settings_came(self) -> None:
        """The server has said how many exchanges it takes."""
        self.capacity = min(self._shared.settings.streams, self.session.streams_allowed)
        if not self._is_ready:
            if self.capacity and not self._retired:
                self._is_ready = True
                self.ready.callback(self)
        elif self.streams < self.capacity:
            self._shared.has_room(self)

    def goaway_came(self, code: int) -> None:
        """The server takes no new exchanges."""
        self._retired = True
        self._shared.forget(self)
        if code:
            self.why = f"the server closed the connection with {name_of(code)}"
            _log.warn("{server}: {why}", server=self.server.name, why=self.why)

    # Exchanges.

    def exchange(self) -> ServerStream:
        """Begin an exchange, and return the server side of it."""
        self.streams += 1
        self._used += 1
        if self._is_resting and self._timer is not None:
            self._is_resting = False
            self._heard = self.wheel.ticks  # it was not asked for anything until now
            self._timer.reset(_LOOK)
        self._shared.began()
        return ServerStream(self, self._used)

    def begin(self, exchange: ServerStream, headers: RawHeaders, *, ended: bool) -> None:
        """Give ``exchange`` a stream, and send its request's head."""
        number = exchange.number = self.session.request(headers, ended=ended)
        self._exchanges.add(exchange)
        if number >= _LAST_STREAM and self._shared.forget(self):
            self._retired = True

    def left(self, exchange: ServerStream, code: int, owed: int) -> None:
        """``exchange`` is over: reset its stream if that is not, and give the server the room back that it took."""
        self.streams -= 1
        if self._exchanges.remove(exchange):
            number, session = exchange.number, self.session
            session.reset(number, code)
            if owed:
                session.took(number, owed)
            self.has_output()
        self._shared.ended(self, time.monotonic())
        if not self.streams:
            self._idle_since = self.wheel.ticks
            if not self._busy:
                self._carries_nothing()

    def _carries_nothing(self) -> None:
        if not self.closed and self._is_ready and (self._retired or not self.server.idle.settings.size):
            self._shut()

    def retire(self) -> None:
        """Take no new exchanges, and close when the last is over."""
        self._retired = True
        if not self.streams and not self._busy:
            self._shut()

    def _shut(self) -> None:
        """Say goodbye, and close."""
        if not self.closed:
            self._shared.forget(self)
            self.why = self.why or "closed by us"
            self.session.goaway(NO_ERROR)
            self.congested = False
            self._write()
            self.closed = True
            self.transport.unregisterProducer()
            self.transport.loseConnection()

    def _lose(self) -> None:
        """Close now: what is under way cannot be completed."""
        if not self.closed:
            self.transport.unregisterProducer()
            self.transport.loseConnection()  # what explains it, GOAWAY, goes out before
            self._gone()

    def give_up(self, error: ExchangeError) -> None:
        """Close now; ``error`` is why those who wait for it do so in vain."""
        self._error = error
        self.abort()

    def abort(self) -> None:
        """Close now, unsaid."""
        if not self.closed:
            self.why = self.why or "given up"
            self.transport.unregisterProducer()
            self.transport.abortConnection()
            self._gone()

    def _gone(self) -> None:
        self.closed = True
        self._shared.forget(self)
        if self._timer is not None:
            self._timer.end()
        if not self._is_ready:
            self._is_ready = True
            self.ready.errback(self._error or ExchangeError(errors.CONNECTION_TERMINATED, self.why))
        self._exchanges.lose()

    # Time.

    def ticks_of(self, seconds: float) -> int:
        """Return how many ticks of the wheel take longer than ``seconds``."""
        return int(seconds / self.wheel.tick) + 1

    def _look(self) -> None:
        """See whose time is up. What is awaited of a connection that is not ready yet, its maker limits."""
        now, tick = self.wheel.ticks, self.wheel.tick
        if self._exchanges:
            self._exchanges.time_out(now)
            quiet = (now - self._heard) * tick
            settings = self._shared.settings
            if settings.ping_interval and quiet >= settings.ping_interval and not self.closed:
                if not self._pinged:
                    self._pinged = True
                    self.session.ping(b"balancer")
                    self.has_output()
                elif quiet >= settings.ping_interval + settings.ping_timeout:
                    self.why = f"the server has been silent for {quiet:.0f} s, and did not answer a PING"
                    _log.warn("{server}: {why}", server=self.server.name, why=self.why)
                    self.abort()
        left = _LOOK
        if not self.streams and self._is_ready:
            left = self.server.idle.settings.idle - (now - self._idle_since) * tick
            if left <= 0:
                self._shut()
                return
            self._is_resting = left > _LOOK
        if not self.closed and self._timer is not None:
            self._timer.reset(left)

    def __repr__(self) -> str:
        state = "closed" if self.closed else "retired" if self._retired else "open" if self._is_ready else "new"
        return f"<HTTP2Connection to {self.server.name} {self.streams} of {self.capacity} exchanges, {state}>"
