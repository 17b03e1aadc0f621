"""The server side of one exchange on an HTTP/2 connection that others share: a stream.

::

    connection.exchange() ──> send ──> response_came, data_came, stream_ended ──> finish ──> over
                                │         (told to the owner once per read)
                                └──> stream_reset, or the connection broke: failed ──> close ──> over

Back-pressure towards the server: what came of a response is passed on at once, but the server is given room for more only when
the client has taken it (:meth:`ServerStream.resumeProducing`). Towards the client: while more than :data:`HIGH_WATER` bytes of
the request wait for the server's windows, or for the connection, the producer of the body is paused.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.python.failure import Failure

from balancer import errors
from balancer.errors import ExchangeError
from balancer.forwarding.ends import TunnelEnd
from balancer.forwarding.http2 import heads
from balancer.forwarding.http2.stream_end import ServerStreamEnd, agreed, is_asked
from balancer.forwarding.server_side import Owner
from balancer.forwarding.tunnel import Tunnel
from balancer.model.headers import RawHeaders
from balancer.wire.http1.body import Body
from balancer.wire.http1.heads import RequestHead
from balancer.wire.http1.responses import ResponseHead
from balancer.wire.http2.codes import name_of
from balancer.wire.http2.interface import CANCEL, HTTP_1_1_REQUIRED, NO_ERROR, PROTOCOL_ERROR, REFUSED_STREAM

if TYPE_CHECKING:
    from balancer.forwarding.http2.connection import HTTP2Connection
    from balancer.pools.server import Server

__all__ = ["HIGH_WATER", "ServerStream"]

HIGH_WATER = 64 * 1024
"""Bytes of a request that may wait to be sent before its producer is paused."""


class ServerStream:
    """One exchange: a :class:`~balancer.forwarding.server_side.ServerSide`, and the response to it as far as it has come.

    Made by the connection, which counts it from then on, until :meth:`finish` or :meth:`close`; ``number`` is the stream's,
    0 before the request is sent. ``due`` is the tick of the wheel at which its time is up.
    """

    plain = False
    was_reset = False
    version = "h2"
    leftover: bytes | None = None
    whole: bytes | None = None

    __slots__ = (
        "_asked",
        "_connection",
        "_failure",
        "_held",
        "_owed",
        "_paused",
        "_producer",
        "_queued_before",
        "_span",
        "begun",
        "body",
        "closed",
        "due",
        "head",
        "informational",
        "is_told",
        "number",
        "owner",
        "server",
        "tunnel",
        "used",
    )

    def __init__(self, connection: HTTP2Connection, used: int) -> None:
        self._connection = connection
        self.server: Server = connection.server
        self.used = used
        self.number = 0
        self.owner: Owner | None = None
        self.tunnel: Tunnel | None = None
        self._asked: RequestHead | None = None  # what the client asks for is a WebSocket
        self.closed = False
        self.begun = False
        self.head: ResponseHead | None = None
        self.body = Body()
        self.informational: list[ResponseHead] = []
        self.due = 0
        self._span = 0
        self._failure: ExchangeError | None = None
        self.is_told = True  # the owner knows all that came; kept by the connection
        self._owed = 0  # bytes that came, and for which the server was given no new room
        self._paused = False  # the client takes no more for now
        self._queued_before = 0  # bytes of the request that waited when the time was last up
        self._producer: Any = None
        self._held = False  # the producer is paused

    @property
    def reader(self) -> ServerStream:
        """The response."""
        return self

    def gone(self) -> bool:
        """Whether the server has closed the connection, and the reactor did not report that yet."""
        return self._connection.gone()

    # The request.

    def send_plain(self, owner: Owner, method: str, data: bytes) -> None:
        """Not for HTTP/2.

        Raises:
            NotImplementedError: always.
        """
        raise NotImplementedError

    def send(
        self,
        owner: Owner,
        method: str,
        target: str,
        headers: RawHeaders,
        head: RequestHead,
        length: int | None,
        pieces: list[bytes],
        body: Body | None,
    ) -> None:
        """Send a request, as far as it is there: see :meth:`.ServerSide.send`."""
        self.owner = owner
        connection = self._connection
        if is_asked(head):
            self._asked = head
            fields = heads.asking_fields(connection.scheme, target, headers)
            connection.begin(self, fields, ended=False)
            connection.has_output()
            return
        fields = heads.outgoing_fields(method, connection.scheme, target, headers, length)
        ended = body is None or body.ended
        trailers = body.trailers if body is not None and ended else None
        connection.begin(self, fields, ended=ended and not pieces and not trailers)
        if pieces or trailers:
            self._say(pieces, ended, trailers)
        connection.has_output()

    def send_body(self, pieces: list[bytes], body: Body) -> None:
        """Send more of the body, and its trailers if it has ended."""
        if self.closed or self._failure is not None:
            return
        self._say(pieces, body.ended, body.trailers if body.ended else None)
        self._connection.has_output()
        self.look_at_queue()

    def _say(self, pieces: list[bytes], ended: bool, trailers: RawHeaders | None) -> None:
        session = self._connection.session
        if trailers:
            if pieces:
                session.send(self.number, b"".join(pieces))
            session.end(self.number, heads.outgoing_trailers(trailers))
        elif pieces:
            session.send(self.number, pieces[0] if len(pieces) == 1 else b"".join(pieces), ended=ended)
        elif ended:
            session.end(self.number)
        self._queued_before = session.queued(self.number)

    def stream_from(self, producer: Any) -> None:
        """Have ``producer`` produce the body, as fast as the server takes it."""
        self._producer = producer
        self.look_at_queue()
        if not self._held:
            producer.resumeProducing()

    def streamed(self) -> None:
        """The producer has nothing to produce any more."""
        self._producer = None
        self._held = False

    def feed_from(self, producer: Any) -> None:
        """Have ``producer``, which produces already, do so as fast as the server takes it."""
        self._producer = producer
        self._held = False
        self.look_at_queue()

    def look_at_queue(self) -> None:
        """Pause the producer if too much waits to be sent."""
        if self._producer is None or self._held:
            return
        if self._connection.congested or self._connection.session.queued(self.number) > HIGH_WATER:
            self._held = True
            self._producer.pauseProducing()

    def room_came(self) -> None:
        """The server, or the connection, takes more of the request."""
        self.touch()
        if self._held and not self._connection.congested:
            self._held = False
            self._producer.resumeProducing()

    # The response, as the connection tells it. The owner is told of all that came in one read at once.

    def response_came(self, headers: RawHeaders, ended: bool) -> None:
        """The final head is here."""
        self.begun = True
        try:
            self.head = head = heads.response_head(headers, ended=ended)
        except ExchangeError as error:
            self.fail(error, PROTOCOL_ERROR)
            return
        if self._asked is not None and 200 <= head.status < 300:
            agreed(self._asked, head)
        self.body.length = head.content_length
        if ended:
            self.body.ended = True

    def informational_came(self, headers: RawHeaders) -> None:
        """A 1xx is here."""
        self.begun = True
        try:
            self.informational.append(heads.response_head(headers, ended=False))
        except ExchangeError as error:
            self.fail(error, PROTOCOL_ERROR)

    def data_came(self, data: bytes) -> None:
        """A piece of the body is here."""
        self._owed += len(data)
        self.body.feed(data)

    def stream_ended(self, trailers: RawHeaders | None) -> None:
        """That was all."""
        self.body.end(heads.response_trailers(trailers) if trailers else None)

    def stream_reset(self, code: int) -> None:
        """The server, or the session, ended the stream before its end."""
        if self._failure is not None or (self.body.ended and self.head is not None):
            return
        if code == REFUSED_STREAM:
            error = ExchangeError(errors.STREAM_REFUSED)
        elif self.head is not None:
            error = ExchangeError(errors.HTTP_RESPONSE_INCOMPLETE, f"the server reset the stream: {name_of(code)}")
        elif code == HTTP_1_1_REQUIRED:
            error = ExchangeError(errors.HTTP_PROTOCOL_ERROR, "the server wants HTTP/1.1 for this request")
        elif code == PROTOCOL_ERROR:
            error = ExchangeError(errors.HTTP_PROTOCOL_ERROR, "the stream was reset: PROTOCOL_ERROR")
        else:
            error = ExchangeError(errors.STREAM_RESET, name_of(code))
        self._failure = error

    def not_taken(self) -> None:
        """The server closes the connection, and has not looked at the request (RFC 9113 section 6.8)."""
        self._failure = ExchangeError(errors.SERVER_LEAVING)

    def failed(self, error: ExchangeError) -> None:
        """The connection is of no use any more."""
        self._failure = error

    def fail(self, error: ExchangeError, code: int) -> None:
        """End the stream with ``code``, because of what the server said; the owner is told with the rest."""
        self._failure = error
        self._connection.session.reset(self.number, code)
        self._connection.has_output()

    def lost(self) -> None:
        """The connection is gone, or useless."""
        if self._failure is None and not (self.body.ended and self.head is not None):
            self._failure = ExchangeError(
                errors.CONNECTION_TERMINATED if self.head is None else errors.HTTP_RESPONSE_INCOMPLETE,
                self._connection.why,
            )

    def tell(self) -> None:
        """Tell the owner what has come, and give the server room for as much, unless the client takes no more."""
        self.is_told = True
        owner = self.owner
        if self.tunnel is not None:
            self._tell_tunnel(self.tunnel)
        elif owner is not None and (self.head is not None or self.informational):
            owner.response_came()
            if self.tunnel is not None:  # it has begun
                self._tell_tunnel(self.tunnel)
        if self._failure is not None and self.owner is not None:  # else it was done with, or has given up
            self.owner.server_failed(self._failure)
        if self._owed and not self._paused and not self.closed:
            self._give_room()

    def _tell_tunnel(self, tunnel: Tunnel) -> None:
        pieces = self.body.take()
        if pieces:
            tunnel.from_server(b"".join(pieces))
        if not self.closed and (self.body.ended or self._failure is not None):
            self._connection.session.end(self.number)  # what is said to who has gone goes nowhere
            self._end(CANCEL)
            tunnel.server_lost(Failure(ConnectionDone() if self.body.ended else ConnectionLost(str(self._failure))))

    def become_tunnel(self, tunnel: Tunnel) -> tuple[TunnelEnd, bytes]:
        """Give the stream to ``tunnel``; return its end and what has come already."""
        self.owner = None
        self.tunnel = tunnel
        self._span = 1 << 40  # the tunnel has limits of its own
        self.touch()
        return ServerStreamEnd(self._connection, self), b"".join(self.body.take())

    def takes(self, head: RequestHead) -> bool:
        """Whether the server can be asked for an upgrade that a client wants."""
        return not is_asked(head) or self._connection.session.connect_allowed

    def broken(self) -> None:
        """What this exchange is for has failed in an unforeseen way: end it."""
        owner = self.owner
        if self.tunnel is not None:
            self.tunnel.server_lost(Failure(ConnectionLost("failed")))
        if owner is not None:
            owner.server_failed(ExchangeError(errors.PROXY_INTERNAL_ERROR))
        self.close()

    def _give_room(self) -> None:
        owed, self._owed = self._owed, 0
        connection = self._connection
        connection.session.took(self.number, owed)
        connection.has_output()

    # The client takes the response, or does not.

    @property
    def producer(self) -> ServerStream:
        """What can be paused while the client takes no more."""
        return self

    def pauseProducing(self) -> None:
        """Give the server no room for more, for now."""
        self._paused = True

    def resumeProducing(self) -> None:
        """Give the server room for what was taken meanwhile."""
        self._paused = False
        if self._owed and not self.closed:
            self._give_room()

    def stopProducing(self) -> None:
        """The client is gone; whoever owns the exchange hears it from the client's side."""

    # Time.

    def limit(self, seconds: float) -> None:
        """Allow ``seconds`` from now for what comes next."""
        self._span = self._connection.ticks_of(seconds)
        self.touch()

    def touch(self) -> None:
        """Start the present limit again from now."""
        self.due = self._connection.wheel.ticks + self._span

    def timed_out(self) -> None:
        """The time is up, unless the server has taken some more of the request meanwhile."""
        queued = self._connection.session.queued(self.number)
        if queued and queued != self._queued_before:
            self._queued_before = queued
            self.touch()
            return
        self._span = 1 << 40  # once is enough
        self.touch()
        if self.owner is not None:
            self.owner.server_timed_out()

    # The end.

    def finish(self, now: float, whole: bool) -> None:
        """The response is complete; what the server has not taken of the request is not sent."""
        self._end(NO_ERROR)

    def close(self) -> None:
        """Give the exchange up; its owner is not told. The connection lives on."""
        self._end(CANCEL)

    def _end(self, code: int) -> None:
        self.owner = None
        if not self.closed:
            self.closed = True
            self._producer = None
            self._connection.left(self, code, self._owed)
            self._owed = 0

    def __repr__(self) -> str:
        state = "over" if self.closed else "open" if self.number else "new"
        return f"<ServerStream {self.number} to {self.server.name} {state}>"
