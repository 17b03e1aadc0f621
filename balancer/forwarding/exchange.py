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
from functools import lru_cache
from typing import TYPE_CHECKING

from balancer import errors
from balancer.errors import ExchangeError, Reason
from balancer.forwarding.attempts import DONE, RESPONDING, SENDING, Attempts, Connector
from balancer.forwarding.client_side import ClientSide
from balancer.forwarding.headers import is_event_stream, with_framing
from balancer.forwarding.server_connection import ServerConnection
from balancer.forwarding.tunnel import Tunnel
from balancer.forwarding.upgrades import Upgrades, check
from balancer.pools.retry import IDEMPOTENT
from balancer.wire.http1 import encode
from balancer.wire.http1.body import Body
from balancer.wire.http1.dates import http_date
from balancer.wire.http1.responses import ResponseHead

if TYPE_CHECKING:
    from balancer.pools.pool import Pool

__all__ = ["REPLAY_SIZE", "Forward"]

REPLAY_SIZE = 64 * 1024
"""Bytes of a request body kept for a retry."""

_GATEWAY_ERRORS = frozenset([502, 503, 504])


class Forward(Attempts):
    """One exchange on its way through a pool. Made per request: slotted, no Deferred on the plain path."""

    __slots__ = ("_chunked", "_unsent_before", "_upgrades")

    def __init__(self, request: ClientSide, pool: Pool, connect: Connector, upgrades: Upgrades) -> None:
        super().__init__(request, pool, connect)
        self._upgrades = upgrades
        self._chunked = False
        self._unsent_before = 0

    def start(self) -> None:
        """Choose a server and begin; raises ExchangeError for an upgrade that no server can agree to."""
        if self._request.head.upgrade is not None:
            check(self._request.head)
        self._request.consumer = self
        self._record.pool = self._pool.name
        self._pool.retry.note_request()
        self._choose()

    # Sending the request.

    def _send(self, connection: ServerConnection, now: float) -> None:
        request = self._request
        head = request.head
        body = request.body
        self._connection = connection
        self._phase = SENDING
        connection.owner = self
        connection.used += 1
        data = request.plain_bytes()
        if data is not None:
            connection.reader.expect(head.method)
        else:
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
        self._since = now
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
            if self._phase == SENDING:
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
        if self._phase == SENDING:
            now = time.monotonic()
            self._record.first_byte = now - self._since
            body = reader.body
            if (
                body.ended
                and head.content_length is not None
                and head.status < 500
                and head.dated
                and not self._streaming
                and self._pool.sticky is None
                and request.exchange is None
                and request.head.upgrade is None
            ):
                self._part(head.status, now)
                request.pass_on(head, b"".join(body.take()), now)
                return
            if head.status == 101:
                self._switch(head)
                return
            if head.status >= 500 and self._may_retry(_answered(head.status)):
                self._retry(failed_connect=False)
                return
            try:
                self._begin_response(head, reader.body)
            except ExchangeError as error:  # of a filter, on the response
                self._leave_server(ok=True)
                self._fail(error)
                return
        for piece in reader.body.take():
            request.send(piece)
        if reader.body.ended:
            self._complete()
        else:
            connection.touch()
            request.flush()

    def _begin_response(self, head: ResponseHead, body: Body) -> None:
        self._phase = RESPONDING
        self._replay = None
        request = self._request
        if request.head.upgrade is not None:
            request.no_upgrade()
        length = head.content_length
        if length is None and body.ended and not head.chunked and request.facts.method != "HEAD":
            length = body.received
        headers = head.plain
        if not head.dated:
            headers = [*headers, (b"Date", http_date())]
        sticky = self._pool.sticky
        if sticky is not None:
            assert self._server is not None
            headers = [*headers, *sticky.response_headers(request.facts, self._server)]
        block = head.block if headers is head.plain else None
        request.respond(head.status, head.reason, headers, length, block, head.version)
        if not body.ended:
            connection = self._connection
            assert connection is not None
            connection.limit(self._pool.timeouts.idle)
            request.stream_from(connection.transport)
            if length is None and is_event_stream(headers):
                request.live()

    def _pass_informational(self, heads: list[ResponseHead]) -> None:
        request = self._request
        for head in heads:
            if head.status != 100 or request.head.expect_continue:
                request.informational(head.status, head.plain)
        heads.clear()

    def _complete(self) -> None:
        connection = self._connection
        assert connection is not None
        reader = connection.reader
        body = reader.body
        self._part(reader.head.status if reader.head is not None else 0, time.monotonic())
        self._request.end(body.trailers)

    def _part(self, status: int, now: float) -> None:
        """The response is here: let the server and the connection go on to others."""
        connection, server = self._connection, self._server
        assert connection is not None
        assert server is not None
        self._phase = DONE
        if connection.reader.reusable and not self._streaming and not connection.closed:
            connection.owner = None
            idle = server.idle
            if idle.put(connection, now):
                connection.limit(idle.settings.idle)
            else:
                connection.close()
        else:
            if self._streaming:
                self._streaming = False
                connection.transport.unregisterProducer()
            connection.close()
        record = self._record
        record.attempts = self._attempts
        self._request.consumer = None
        self._pool.end(server, record.first_byte, status not in _GATEWAY_ERRORS)

    def _switch(self, head: ResponseHead) -> None:
        """The server agreed to another protocol."""
        request, connection, server = self._request, self._connection, self._server
        assert connection is not None
        assert server is not None
        try:
            tunnel = self._upgrades.tunnel(request.head, head, self._record, self._tunnel_done)
        except ExchangeError as error:
            self._attempt_failed(error)
            return
        assert head.upgrade is not None
        headers = head.plain
        sticky = self._pool.sticky
        if sticky is not None:
            headers = [*headers, *sticky.response_headers(request.facts, server)]
        try:
            client, early = request.upgrade(head.upgrade, headers, tunnel)
        except ExchangeError as error:  # of a filter, on the response
            self._leave_server(ok=True)
            self._fail(error)
            return
        self._phase = RESPONDING
        request.consumer = None
        end, leftover = connection.become_tunnel(tunnel)
        tunnel.join(client, end, early, leftover)
        if request.ended:
            tunnel.client_ended()

    def _tunnel_done(self, tunnel: Tunnel, code: str) -> None:
        self._phase = DONE
        record = self._record
        record.bytes_in, record.bytes_out, record.attempts = tunnel.bytes_in, tunnel.bytes_out, self._attempts
        record.reason, record.detail = code, tunnel.detail
        assert self._server is not None
        self._pool.end(self._server, record.first_byte, True)
        self._request.tunnel_ended()

    # What can go wrong.

    def server_failed(self, error: ExchangeError) -> None:
        """The server connection broke, or said what is not HTTP."""
        if self._phase == SENDING:
            connection = self._connection
            assert connection is not None
            if connection.used > 1 and error.reason is errors.CONNECTION_TERMINATED and not connection.reader.begun:
                self._kept_connection_was_gone()
                return
            self._attempt_failed(error)
        elif self._phase == RESPONDING:
            self._leave_server(ok=False)
            self._fail(error)

    def _kept_connection_was_gone(self) -> None:
        """The server had closed a kept connection before it read our request; no fault of the server."""
        server = self._server
        assert server is not None
        if self._request.facts.method in IDEMPOTENT and self._can_replay():
            self._drop_connection()
            self._attempts -= 1
            self._use(server)
        else:
            self._attempt_failed(ExchangeError(errors.CONNECTION_TERMINATED, "a kept connection was closed"))

    def server_timed_out(self) -> None:
        """The server took too long: to take the request, to answer, or to go on."""
        request = self._request
        if self._phase == RESPONDING:
            unsent = request.unsent()
            if unsent and unsent != self._unsent_before:  # the client is slow, but it moves
                self._unsent_before = unsent
                assert self._connection is not None
                self._connection.limit(self._pool.timeouts.idle)
                return
            self._leave_server(ok=bool(unsent))
            self._fail(ExchangeError(errors.CLIENT_TOO_SLOW if unsent else errors.CONNECTION_READ_TIMEOUT))
        elif self._phase == SENDING:
            if not self._streaming:
                self._attempt_failed(ExchangeError(errors.HTTP_RESPONSE_TIMEOUT))
            else:
                self._attempt_failed(ExchangeError(errors.CONNECTION_WRITE_TIMEOUT))


@lru_cache(maxsize=100)
def _answered(status: int) -> Reason:
    return Reason(f"http_response_{status}", status, errors.Side.SERVER, True, f"The server answered {status}.")
