"""One TCP session: a client's connection, a server's connection, and the bytes between them.

::

     PEEKING ──────────────────────────────────────────────────────────┐
        │ its hello was read (only where a route asks for it)          │
        ▼            client refused, nobody to take it, timed out, gone│
    CONNECTING ────────────────────────────────────────────────────────┐
        │ connected to a server (another is tried if one fails)        │
        ▼                                                              ▼
      OPEN ─────────────────────────────────────────────────────▶  CLOSING ────▶ ENDED
              both sides sent FIN; a side was reset;                       both connections gone:
              nothing moved for too long                                   one record, one call to ended()

While connecting, the first bytes of the client are kept, then reading stops: a client can wait but not flood. So they are
while its hello is read (:mod:`.peeking`), which is bounded in size and time.
Once open, each side pauses the other when its own queue is full. A FIN is passed on as a FIN when all before it is
written, and the other direction goes on; a reset is passed on as a reset.

The path of every byte is :mod:`.side`.
"""

from __future__ import annotations

import enum
import time
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure

from balancer import errors
from balancer.errors import ExchangeError
from balancer.forwarding.ends import to_peer
from balancer.forwarding.peeking import HelloPolicy, Peek
from balancer.forwarding.side import Side
from balancer.model.address import Address, Peer
from balancer.model.facts import SessionFacts
from balancer.model.origin import Origin
from balancer.net.splice import Pipes
from balancer.net.timers import Wheel
from balancer.observe.records import SessionRecord

if TYPE_CHECKING:
    from balancer.pools.pool import Pool
    from balancer.pools.server import Server

__all__ = ["CLIENT_RESET", "IDLE", "SERVER_RESET", "SHUTDOWN", "Session", "to_peer"]

IDLE = "session_idle_timeout"
CLIENT_RESET = "client_reset"
SERVER_RESET = errors.CONNECTION_TERMINATED.code
SHUTDOWN = "shutdown"

HELD = 16384
"""Bytes of a client that are kept while there is no server; then reading stops (after the chunk that reaches it)."""

LINGER = 30.0
"""Seconds that a connection closed for idleness has to take what is still queued for it."""

_log = Logger()


class _Phase(enum.Enum):
    PEEKING = enum.auto()
    CONNECTING = enum.auto()
    OPEN = enum.auto()
    CLOSING = enum.auto()
    ENDED = enum.auto()


class Session:
    """Connects a client to a server and forwards until both are done.

    Args:
        clock: the reactor; tells the time (seconds()).
        wheel: the shared timer.
        connect: ``connect(address, protocol, timeout)``, as :func:`balancer.net.connecting.connect` with its first and
            last arguments filled in.
        route: returns the name of the route that takes a session and the pool it leads to, or None.
        peer: the client.
        record: filled in as things happen; ``listener`` is set by the caller.
        idle: seconds without a byte in either direction after which the session is closed.
        ended: called once with the session when all is over and the record complete.
        pipes: for splicing; without them every byte is copied.
        hello: how the client's ClientHello is waited for; None where it is not looked at.
        origin: who connects, where a layer below knows better than the socket.

    Connect :attr:`client` to the transport that was accepted; everything else follows.
    """

    __slots__ = (
        "_clock",
        "_connect",
        "_connect_began",
        "_ended",
        "_held",
        "_idle",
        "_origin",
        "_peek",
        "_phase",
        "_pipes",
        "_route",
        "_started",
        "_taken",
        "_timer",
        "_tried",
        "_waiting",
        "client",
        "peer",
        "record",
        "server",
    )

    def __init__(
        self,
        clock: Any,
        wheel: Wheel,
        connect: Callable[[Address, Side, float], Deferred[Side]],
        route: Callable[[SessionFacts], tuple[str, Pool] | None],
        peer: Peer,
        record: SessionRecord,
        idle: float,
        ended: Callable[[Session], Any],
        pipes: Pipes | None = None,
        hello: HelloPolicy | None = None,
        origin: Origin | None = None,
    ) -> None:
        self._clock = clock
        self._connect = connect
        self._route = route
        self._idle = idle
        self._ended = ended
        self._pipes = pipes
        self._origin = origin
        self._phase = _Phase.CONNECTING if hello is None else _Phase.PEEKING
        self._peek = None if hello is None else Peek(self, hello, wheel)
        self._tried: list[Server] = []
        self._taken: tuple[Pool, Server] | None = None  # begun with the pool, and to be ended
        self._waiting: Deferred[Any] | None = None  # for room at the pool, or for a connection
        self._held: list[bytes] = []
        self._started = self._connect_began = clock.seconds()
        self._timer = wheel.schedule(idle, self._idled)
        self.peer = peer
        self.record = record
        self.client = Side(self, self._timer)
        self.server = Side(self, self._timer)
        record.started = time.time()
        record.client = peer.host
        record.client_port = peer.port

    def stands(self, side: Side) -> None:
        """``side`` is connected: if it is the client, look for a server, or first at what it says."""
        if side is not self.client:
            return
        origin = self._origin
        if origin is None:
            facts = SessionFacts(self.peer, to_peer(side.transport.getHost()))
        elif origin.tls is None:
            facts = SessionFacts(self.peer, origin.local)
        else:
            facts = SessionFacts(self.peer, origin.local, origin.tls.sni, (origin.tls.alpn,) if origin.tls.alpn else ())
        if self._peek is None:
            self._find_server(facts)
        else:
            side.forward = self._peek.take
            self._peek.begin(facts)

    def _find_server(self, facts: SessionFacts) -> None:
        routed = self._route(facts)
        if routed is None:
            self.refuse(errors.DESTINATION_NOT_FOUND.code, *(self._peek.no_route() if self._peek is not None else ()))
            return
        self.record.route, pool = routed
        self.record.pool = pool.name
        pool.retry.note_request()
        self._choose(pool, facts, None)

    def abort(self, reason: str = SHUTDOWN) -> None:
        """End now, resetting both connections."""
        if self._phase is _Phase.CLOSING:
            self.client.abort()
            self.server.abort()
        elif self._phase is not _Phase.ENDED:
            self._close(reason, abort=True)

    # Peeking

    def goes(self, facts: SessionFacts) -> None:
        """All that is asked for is known: look for a server."""
        self._phase = _Phase.CONNECTING
        self.client.forward = self.hold
        self._pause_if_much()
        self._find_server(facts)
        self._end_peek()

    def refuse(self, reason: str, detail: str = "", last_words: bytes = b"") -> None:
        """The client is closed without having seen a server, after ``last_words`` to it."""
        if last_words:
            self.client.transport.write(last_words)
        self._close(reason, detail)

    def _end_peek(self) -> None:
        peek, self._peek = self._peek, None
        if peek is not None:
            peek.end()

    # Connecting

    def _choose(self, pool: Pool, facts: SessionFacts, failed: Failure | None) -> None:
        sticky = pool.sticky
        server = pool.choose(facts, self._tried, None if sticky is None else sticky.server_for(facts))
        if server is not None:
            pool.begin(server)
            self._connect_to(pool, facts, server)
        elif pool.all_full:
            began = self._clock.seconds()
            self._waiting = waiting = pool.wait(facts)
            waiting.addCallbacks(self._granted, self._not_granted, (pool, facts, began), errbackArgs=(began,))
        elif failed is not None:
            self._give_up_after(failed)
        else:
            self._give_up_after(Failure(pool.refusal(facts)))

    def _granted(self, server: Server, pool: Pool, facts: SessionFacts, began: float) -> None:
        self._waiting = None
        self._note_queue(began)
        self._connect_to(pool, facts, server)

    def _not_granted(self, failure: Failure, began: float) -> None:
        self._waiting = None
        self._note_queue(began)
        if self._phase is _Phase.CONNECTING:
            self._give_up_after(failure)

    def _note_queue(self, began: float) -> None:
        self.record.queue = max(self.record.queue, 0.0) + self._clock.seconds() - began

    def _connect_to(self, pool: Pool, facts: SessionFacts, server: Server) -> None:
        self._taken = (pool, server)
        self.record.attempts += 1
        self.record.server = server.name
        self._connect_began = self._clock.seconds()
        try:
            wait = pool.session_connects(self.record.attempts > 1)
        except ExchangeError as error:
            self._close(error.reason.code, error.detail)
            return
        address = server.next_endpoint()
        connect: Any = self._connect
        introduction, encryption = pool.introduction, server.encryption
        if introduction is not None:
            connect = partial(connect, first=introduction.of_session(facts, self.record))
        if encryption is not None:
            connect = encryption.over(connect, server.address.host)
        self._waiting = connecting = connect(address, self.server, pool.timeouts.connect)
        if wait is not None:
            connecting.addBoth(wait.over)
        connecting.addCallbacks(self._connected, self._not_connected, errbackArgs=(pool, facts, server, address))

    def _not_connected(
        self, failure: Failure, pool: Pool, facts: SessionFacts, server: Server, address: Address
    ) -> None:
        self._waiting = self._taken = None
        reason = failure.value.reason if isinstance(failure.value, ExchangeError) else errors.PROXY_INTERNAL_ERROR
        # A client that went away meanwhile, or a full descriptor table, is no fault of the server.
        theirs = reason.side is errors.Side.SERVER
        if theirs:
            server.endpoint_failed(address)
        # The server outlives a reload: what is learnt goes to the pool it now belongs to.
        (server.owner or pool).end(server, -1.0, ok=not theirs, failed_connect=theirs)
        if self._phase is not _Phase.CONNECTING:
            return
        self._tried.append(server)
        if reason.retryable and pool.retry.allow(None, reason, self.record.attempts):
            self._choose(pool, facts, failure)
        else:
            self._give_up_after(failure)

    def _connected(self, _side: Side) -> None:
        self._waiting = None
        self.record.connect = self._clock.seconds() - self._connect_began
        self._phase = _Phase.OPEN
        self._timer.touch()
        self.client.start_to(self.server)
        self.server.start_to(self.client)
        if self._held:
            held = b"".join(self._held)
            self._held.clear()
            self.server.transport.write(held)
            if len(held) >= HELD:
                self.client.resumeProducing()
        if self.client.finished:
            self.server.finish()

    def pour(self, side: Side) -> None:
        """``side`` says a lot: splice it from now on, if that can be done."""
        if self._phase is _Phase.OPEN:
            side.pour_to(self.server if side is self.client else self.client, self._pipes, self._clock)

    def moved(self) -> None:
        """Somebody took bytes that waited; after a close for idleness that earns no more time."""
        if self.record.reason != IDLE:
            self._timer.touch()

    def hold(self, data: bytes) -> None:
        """Keep what the client says before there is a server, and stop listening to it when that is a lot."""
        self._held.append(data)
        self._pause_if_much()

    def _pause_if_much(self) -> None:
        if self.client.received >= HELD:
            self.client.transport.pauseProducing()

    # Closing

    def finished(self, side: Side) -> None:
        """``side``'s peer has sent FIN: it will say no more."""
        if self._phase is not _Phase.OPEN:
            if self._peek is not None and self._phase is _Phase.PEEKING:
                self._peek.cut_off()
            return
        self._timer.touch()
        other = self.server if side is self.client else self.client
        if other.finished:
            self._close("")
        else:
            other.finish()

    def lost(self, side: Side, reason: Failure) -> None:
        """``side``'s connection is gone."""
        other = self.server if side is self.client else self.client
        if other.pump is not None:  # what it said last has nowhere to go; what this side said last has
            other.pump.end()
            other.pump = None
        if self._phase in (_Phase.PEEKING, _Phase.CONNECTING, _Phase.OPEN):
            if isinstance(reason.value, ConnectionDone):
                # Orderly, but from a transport that knows no half-close.
                self._close("")
            else:
                code = CLIENT_RESET if side is self.client else SERVER_RESET
                self._close(code, reason.getErrorMessage(), abort=True)
        if self.client.lost and self.server.lost:
            self._end()

    def _give_up_after(self, failure: Failure) -> None:
        error = failure.value
        if isinstance(error, ExchangeError):
            self._close(error.reason.code, error.detail)
        else:
            _log.failure("a session from {peer} failed", failure, peer=self.peer)
            self._close(errors.PROXY_INTERNAL_ERROR.code, failure.getErrorMessage())

    def _idled(self) -> None:
        if self._phase is _Phase.CLOSING:
            self.abort()
            return
        self._close(IDLE, f"nothing moved for {self._idle:g} s", within=min(self._idle, LINGER))

    def _close(self, reason: str, detail: str = "", abort: bool = False, within: float | None = None) -> None:
        """Close both connections: when what they have is written, ``within`` so many seconds, or by a reset."""
        if self._phase is _Phase.CLOSING:
            return
        self._phase = _Phase.CLOSING
        self._end_peek()
        self.record.reason = reason
        self.record.detail = detail
        self._timer.reset(self._idle if within is None else within)
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            waiting.cancel()
        for side in (self.client, self.server):
            if abort:
                side.abort()
            else:
                side.close()
        if self.client.lost and self.server.lost:
            self._end()

    def _end(self) -> None:
        if self._phase is _Phase.ENDED:
            return
        self._phase = _Phase.ENDED
        self._timer.end()
        record = self.record
        record.bytes_in = self.client.received
        record.bytes_out = self.server.received
        record.total = self._clock.seconds() - self._started
        if self._taken is not None:
            pool, server = self._taken
            self._taken = None
            # A server that answers connections but resets them before it says a word is not well.
            (server.owner or pool).end(server, record.connect, ok=record.reason != SERVER_RESET or record.bytes_out > 0)
        self._ended(self)
        self.client.leave()
        self.server.leave()
