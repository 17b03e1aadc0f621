"""Forwarding one request to a server of a pool, and its response back.

::

    choosing ──> waiting (all full) ──┐
       │  ▲                           │
       │  └── retry: another server ──┼──────────────┐
       ▼                              ▼              │
    connecting ───────────────────> sending ──> responding ──> done
                                   (until the head came)

Nothing is given up to the client before the final head is there, so up to then a failure may be retried on another
server, as far as the pool's policy and the body allow: pieces of the body that were sent are kept up to
:data:`REPLAY_SIZE` bytes. From the first byte of the response on, a failure cuts the client's connection.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING

from twisted.internet.defer import CancelledError, Deferred
from twisted.python.failure import Failure

from balancer import errors
from balancer.errors import ExchangeError, Reason
from balancer.forwarding.client_side import ClientSide
from balancer.forwarding.headers import with_framing
from balancer.forwarding.server_connection import ServerConnection
from balancer.forwarding.tunnel import Tunnel
from balancer.wire.http1 import encode
from balancer.wire.http1.body import Body
from balancer.wire.http1.dates import http_date
from balancer.wire.http1.responses import ResponseHead

if TYPE_CHECKING:
    from balancer.pools.pool import Pool
    from balancer.pools.server import Server

__all__ = ["REPLAY_SIZE", "Connector", "Forward"]

Connector = Callable[["Server", float], "Deferred[ServerConnection]"]
"""Opens a new connection to a server within so many seconds; fails with ExchangeError."""

REPLAY_SIZE = 64 * 1024
"""Bytes of a request body kept for a retry."""

_IDEMPOTENT = frozenset(["GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"])
_GATEWAY_ERRORS = frozenset([502, 503, 504])

_CHOOSING, _WAITING, _CONNECTING, _SENDING, _RESPONDING, _DONE = range(6)


class Forward:
    """One exchange on its way through a pool. Made per request: slotted, no Deferred on the plain path."""

    __slots__ = (
        "_attempts",
        "_chunked",
        "_connect",
        "_connection",
        "_pending",
        "_phase",
        "_pool",
        "_record",
        "_replay",
        "_request",
        "_server",
        "_since",
        "_streaming",
        "_tried",
        "_tunnel_idle",
        "_unsent_before",
    )

    def __init__(self, request: ClientSide, pool: Pool, connect: Connector, tunnel_idle: float) -> None:
        self._request = request
        self._record = request.record
        self._pool = pool
        self._connect = connect
        self._tunnel_idle = tunnel_idle
        self._phase = _CHOOSING
        self._attempts = 0
        self._tried: list[Server] = []
        self._server: Server | None = None
        self._connection: ServerConnection | None = None
        self._pending: Deferred[ServerConnection] | Deferred[Server] | None = None
        self._replay: list[bytes] | None = []
        self._chunked = False
        self._streaming = False
        self._since = 0.0
        self._unsent_before = 0

    def start(self) -> None:
        """Choose a server and begin."""
        self._request.consumer = self
        self._record.pool = self._pool.name
        self._pool.retry.note_request()
        self._choose()

    # Choosing and connecting.

    def _choose(self) -> None:
        pool = self._pool
        server = pool.choose(self._request.facts, self._tried)
        if server is not None:
            pool.begin(server)
            self._use(server)
        elif pool.all_full:
            self._phase = _WAITING
            self._since = time.monotonic()
            self._pending = waiting = pool.wait(self._request.facts)
            waiting.addCallbacks(self._got_server, self._got_none)
        else:
            self._fail(ExchangeError(errors.DESTINATION_UNAVAILABLE, pool.why_none()))

    def _got_server(self, server: Server) -> None:
        self._pending = None
        self._record.queue = time.monotonic() - self._since
        self._use(server)

    def _got_none(self, failure: Failure) -> None:
        self._pending = None
        self._record.queue = time.monotonic() - self._since
        if not failure.check(CancelledError):
            self._fail(_converted(failure))

    def _use(self, server: Server) -> None:
        self._server = server
        self._record.server = server.name
        self._attempts += 1
        now = self._since = time.monotonic()
        connection: ServerConnection | None = server.idle.take(now)  # type: ignore[assignment]  # cast() is a call
        if connection is not None and self._fit(connection):
            self._record.connect = 0.0
            self._send(connection)
            return
        self._phase = _CONNECTING
        self._pending = connecting = self._connect(server, self._pool.timeouts.connect)
        connecting.addCallbacks(self._connected, self._not_connected)

    def _fit(self, connection: ServerConnection) -> bool:
        """Whether a kept connection may carry this request: one that cannot be repeated wants a closer look."""
        if self._request.facts.method in _IDEMPOTENT or not connection.gone():
            return True
        connection.close()
        return False

    def _connected(self, connection: ServerConnection) -> None:
        self._pending = None
        now = time.monotonic()
        self._record.connect = now - self._since
        connection.expires = now + connection.server.idle.settings.max_age
        self._send(connection)

    def _not_connected(self, failure: Failure) -> None:
        self._pending = None
        self._record.connect = time.monotonic() - self._since
        if not failure.check(CancelledError):
            self._attempt_failed(_converted(failure), connecting=True)

    # Sending the request.

    def _send(self, connection: ServerConnection) -> None:
        request = self._request
        head = request.head
        body = request.body
        self._connection = connection
        self._phase = _SENDING
        connection.owner = self
        connection.used += 1
        exchange = request.exchange
        if exchange is None:
            method, target = head.method, request.target
        else:
            method, target = exchange.method, exchange.target
        whole = exchange.body if exchange is not None else None
        self._chunked = head.chunked and whole is None
        length = len(whole) if whole is not None else head.content_length
        headers = with_framing(request.outgoing_headers(), head, length=length, chunked=self._chunked)
        if head.expect_continue and whole is None and not body.received and not body.ended:
            headers.append((b"Expect", b"100-continue"))
        data = encode.request_head(method, target, headers)
        if whole is not None:
            data += whole
        elif self._replay is None or self._replay or body.pending or self._chunked:
            data += self._take_body(replay=True)
        connection.reader.expect(method)
        self._since = time.monotonic()
        connection.limit(self._pool.timeouts.first_byte if body.ended else self._pool.timeouts.write)
        transport = connection.transport
        transport.write(data)
        if not body.ended:
            self._streaming = True
            transport.registerProducer(request, True)
            request.resumeProducing()

    def _take_body(self, *, replay: bool = False) -> bytes:
        """Return what there is of the body, framed, and keep it for a retry while it is small enough."""
        body = self._request.body
        fresh = body.take()
        pieces = fresh
        if self._replay is not None:
            if replay:
                pieces = self._replay + fresh
            if body.received <= REPLAY_SIZE:
                self._replay += fresh
            else:
                self._replay = None
        if not self._chunked:
            return b"".join(pieces)
        framed = [encode.chunk(piece) for piece in pieces]
        if body.ended:
            framed.append(encode.last_chunk(body.trailers) if body.trailers else encode.LAST_CHUNK)
        return b"".join(framed)

    def body_came(self) -> None:
        """More of the request's body is here."""
        connection = self._connection
        if connection is None or not self._streaming:
            return  # kept by the client side until there is a connection
        connection.transport.write(self._take_body())
        if self._request.body.ended:
            self._streaming = False
            connection.transport.unregisterProducer()
            if self._phase == _SENDING:
                self._since = time.monotonic()
                connection.limit(self._pool.timeouts.first_byte)
        else:
            connection.touch()

    # The response.

    def response_came(self) -> None:
        """More of the response is in the reader."""
        connection = self._connection
        assert connection is not None
        reader = connection.reader
        if reader.informational:
            self._pass_informational(reader.informational)
        head = reader.head
        if head is None:
            return
        request = self._request
        if self._phase == _SENDING:
            self._record.first_byte = time.monotonic() - self._since
            if head.status == 101:
                self._switch(head)
                return
            if head.status >= 500 and self._may_retry(_answered(head.status)):
                self._retry(failed_connect=False)
                return
            self._begin_response(head, reader.body)
        for piece in reader.body.take():
            request.send(piece)
        if reader.body.ended:
            self._complete()
        else:
            connection.touch()
            request.flush()

    def _begin_response(self, head: ResponseHead, body: Body) -> None:
        self._phase = _RESPONDING
        self._replay = None
        request = self._request
        if request.head.upgrade is not None:
            request.no_upgrade()
        length = head.content_length
        if length is None and body.ended and not head.chunked and request.facts.method != "HEAD":
            length = body.received
        headers = head.plain
        if not head.dated:
            headers.append((b"Date", http_date()))
        sticky = self._pool.sticky
        if sticky is not None:
            assert self._server is not None
            headers += sticky.response_headers(request.facts, self._server)
        request.respond(head.status, head.reason, headers, length)
        if not body.ended:
            connection = self._connection
            assert connection is not None
            connection.limit(self._pool.timeouts.idle)
            request.stream_from(connection.transport)

    def _pass_informational(self, heads: list[ResponseHead]) -> None:
        request = self._request
        for head in heads:
            if head.status != 100 or request.head.expect_continue:
                request.informational(head.status, head.plain)
        heads.clear()

    def _complete(self) -> None:
        connection, server = self._connection, self._server
        assert connection is not None
        assert server is not None
        self._phase = _DONE
        reader = connection.reader
        status = reader.head.status if reader.head is not None else 0
        if reader.reusable and not self._streaming and not connection.closed:
            connection.owner = None
            now = time.monotonic()
            if server.idle.put(connection, now):
                connection.limit(server.idle.settings.idle)
            else:
                connection.close()
        else:
            if self._streaming:
                self._streaming = False
                connection.transport.unregisterProducer()
            connection.close()
        self._record.attempts = self._attempts
        self._pool.end(server, self._record.first_byte, status not in _GATEWAY_ERRORS)
        self._request.consumer = None
        self._request.end(reader.body.trailers)

    def _switch(self, head: ResponseHead) -> None:
        """The server agreed to another protocol."""
        request, connection = self._request, self._connection
        assert connection is not None
        if request.head.upgrade is None or head.upgrade is None:
            self._attempt_failed(ExchangeError(errors.HTTP_UPGRADE_FAILED, "101 without a request for it"))
            return
        self._phase = _RESPONDING
        tunnel = Tunnel(connection, self._tunnel_idle, self._tunnel_done)
        request.consumer = None
        headers = [*head.plain, (b"Connection", b"Upgrade"), (b"Upgrade", head.upgrade)]
        leftover = connection.reader.leftover or b""
        transport, early = request.upgrade(headers, tunnel)
        tunnel.join(transport, early, leftover)

    def _tunnel_done(self, bytes_in: int, bytes_out: int, code: str) -> None:
        self._phase = _DONE
        record = self._record
        record.bytes_in, record.bytes_out, record.reason, record.attempts = bytes_in, bytes_out, code, self._attempts
        assert self._server is not None
        self._pool.end(self._server, record.first_byte, True)
        self._request.tunnel_ended()

    # What can go wrong.

    def server_failed(self, error: ExchangeError) -> None:
        """The server connection broke, or said what is not HTTP."""
        if self._phase == _SENDING:
            connection = self._connection
            assert connection is not None
            if connection.used > 1 and error.reason is errors.CONNECTION_TERMINATED and not connection.reader.begun:
                self._kept_connection_was_gone()
                return
            self._attempt_failed(error)
        elif self._phase == _RESPONDING:
            self._leave_server(ok=False)
            self._fail(error)

    def _kept_connection_was_gone(self) -> None:
        """The server had closed a kept connection before it read our request; no fault of the server."""
        server = self._server
        assert server is not None
        if self._request.facts.method in _IDEMPOTENT and self._can_replay():
            self._drop_connection()
            self._attempts -= 1
            self._use(server)
        else:
            self._attempt_failed(ExchangeError(errors.CONNECTION_TERMINATED, "a kept connection was closed"))

    def server_timed_out(self) -> None:
        """The server took too long: to take the request, to answer, or to go on."""
        request = self._request
        if self._phase == _RESPONDING:
            unsent = request.unsent()
            if unsent and unsent != self._unsent_before:  # the client is slow, but it moves
                self._unsent_before = unsent
                assert self._connection is not None
                self._connection.touch()
                return
            self._leave_server(ok=bool(unsent))
            self._fail(ExchangeError(errors.CLIENT_TOO_SLOW if unsent else errors.CONNECTION_READ_TIMEOUT))
        elif self._phase == _SENDING:
            if not self._streaming:
                self._attempt_failed(ExchangeError(errors.HTTP_RESPONSE_TIMEOUT))
            else:
                self._attempt_failed(ExchangeError(errors.CONNECTION_WRITE_TIMEOUT))

    def client_went(self) -> None:
        """The client closed; the server need not go on."""
        self._record.attempts = self._attempts
        if self._pending is not None:
            self._pending.cancel()
            if self._phase == _CONNECTING:
                self._leave_server(ok=True)
        elif self._phase in (_SENDING, _RESPONDING):
            self._leave_server(ok=True)
        self._phase = _DONE

    def _attempt_failed(self, error: ExchangeError, *, connecting: bool = False) -> None:
        if self._may_retry(error.reason):
            self._retry(failed_connect=connecting)
            return
        self._leave_server(ok=error.reason.side is not errors.Side.SERVER, failed_connect=connecting)
        self._fail(error)

    def _may_retry(self, reason: Reason) -> bool:
        if not self._can_replay():
            return False
        return self._pool.retry.allow(self._request.facts.method, reason, self._attempts)

    def _can_replay(self) -> bool:
        exchange = self._request.exchange
        return self._replay is not None or (exchange is not None and exchange.body is not None)

    def _retry(self, *, failed_connect: bool) -> None:
        assert self._server is not None
        self._tried.append(self._server)
        self._leave_server(ok=False, failed_connect=failed_connect)
        self._phase = _CHOOSING
        if self._pool.choose(self._request.facts, self._tried) is None:
            self._tried.clear()  # no other server: the same one again is better than none
        self._choose()

    def _leave_server(self, *, ok: bool, failed_connect: bool = False) -> None:
        server, self._server = self._server, None
        if server is None:
            return
        self._drop_connection()
        self._pool.end(server, self._record.first_byte, ok, failed_connect)

    def _drop_connection(self) -> None:
        connection, self._connection = self._connection, None
        if connection is None:
            return
        if self._streaming:
            self._streaming = False
            if not connection.closed:
                connection.transport.unregisterProducer()
        connection.close()

    def _fail(self, error: ExchangeError) -> None:
        self._phase = _DONE
        self._record.attempts = self._attempts
        self._request.consumer = None
        self._request.fail(error)


@lru_cache(maxsize=100)
def _answered(status: int) -> Reason:
    return Reason(f"http_response_{status}", status, errors.Side.SERVER, True, f"The server answered {status}.")


def _converted(failure: Failure) -> ExchangeError:
    error = failure.value
    if isinstance(error, ExchangeError):
        return error
    return ExchangeError(errors.PROXY_INTERNAL_ERROR, f"{type(error).__name__}: {error}")
