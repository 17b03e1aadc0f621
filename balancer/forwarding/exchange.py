"""Forwarding one request to a server of a pool, and its response back.

::

    choosing ──> waiting (all full) ──┐
       │  ▲                           │
       │  └── retry: another server ──┼──────────────┐
       ▼                              ▼              │
    connecting ───────────────────> sending ──> responding ──> done
                                   (until the head came)

Nothing is given up to the client before the final head is there, so up to then a failure may be retried on another
server, as far as the terms and the body allow: pieces of the body that were sent are kept up to
``retry.replay`` bytes. From the first byte of the response on, a failure cuts the client's connection.
"""

from __future__ import annotations

import time
from functools import lru_cache
from typing import TYPE_CHECKING

from balancer import errors
from balancer.compiled import mypyc_attr
from balancer.errors import ExchangeError, Reason
from balancer.filters.trace import NOTE
from balancer.forwarding.attempts import DONE, RESPONDING, SENDING, Attempts, Connector
from balancer.forwarding.client_side import ClientSide, Limit
from balancer.forwarding.headers import is_event_stream
from balancer.forwarding.server_side import ServerSide
from balancer.forwarding.tunnel import Tunnel
from balancer.forwarding.upgrades import Upgrades, check
from balancer.pools.retry import GATEWAY_ERRORS, IDEMPOTENT
from balancer.wire.http1.body import Body
from balancer.wire.http1.dates import http_date
from balancer.wire.http1.responses import ResponseHead

if TYPE_CHECKING:
    from balancer.pools.pool import Pool
    from balancer.pools.terms import Cancellable, Terms

__all__ = ["Forward"]


@mypyc_attr(allow_interpreted_subclasses=True)
class Forward(Attempts):
    """One exchange on its way through a pool. Made per request: slotted, no Deferred on the plain path."""

    _trying: Cancellable | None  # this and the next are of exchanges with limits alone (:mod:`.limited`), which …
    _whole: Limit | None  # … have no slots of their own: calls are among them

    __slots__ = ("_excuses", "_trying", "_unsent_before", "_upgrades", "_whole")

    def __init__(self, request: ClientSide, pool: Pool, connect: Connector, upgrades: Upgrades, terms: Terms) -> None:
        Attempts.__init__(self, request, pool, connect, terms)  # super() is a call more
        self._upgrades = upgrades
        self._unsent_before = 0
        self._excuses = 2

    def start(self) -> None:
        """Choose a server and begin; raises ExchangeError for an upgrade that no server can agree to."""
        request, pool = self._request, self._pool
        if request.head.upgrade is not None:
            check(request.head)
        request.consumer = self
        self._record.pool = pool.name
        exchange = request.exchange
        if exchange is not None and NOTE in exchange.notes:
            exchange.notes[NOTE].pool(pool.explain_out())
        self._terms.retry.budget.requests += 1
        self._choose()

    # Sending the request.

    def _send(self, connection: ServerSide, now: float) -> None:
        request = self._request
        head = request.head
        self._connection = connection
        self._phase = SENDING
        self._since = now
        self._record.server_protocol = connection.version
        if head.upgrade is not None and not connection.takes(head):
            self._leave_server(ok=True)
            self._fail(
                ExchangeError(
                    errors.HTTP_UPGRADE_FAILED, "the server has not announced WebSockets over HTTP/2 (RFC 8441)"
                )
            )
            return
        data = request.plain_bytes() if connection.plain else None
        if data is not None:
            connection.limit(self._terms.timeouts.first_byte)
            connection.send_plain(self, head.method, data)
            if request.is_held_back:
                self.hold()
            return
        body = request.body
        exchange = request.exchange
        whole, length = None, head.content_length
        if exchange is None:
            method, target = head.method, request.target
        else:
            method, target, whole = exchange.method, exchange.target, exchange.body
            if exchange.changes_request:
                length = None
        headers = request.outgoing_headers()
        connection.limit(self._terms.timeouts.first_byte if body.ended else self._terms.timeouts.write)
        if whole is not None:
            connection.send(self, method, target, headers, head, len(whole), [whole], None)
        else:
            if head.expect_continue and not body.received and not body.ended:
                headers.append((b"Expect", b"100-continue"))
            try:
                pieces = self._take_body(replay=True)
            except ExchangeError as error:
                self._body_refused(error)
                return
            connection.send(self, method, target, headers, head, length, pieces, body)
        if not body.ended:
            self._streaming = True
            connection.stream_from(request)
        if request.is_held_back:
            self.hold()

    def _take_body(self, *, replay: bool = False) -> list[bytes]:
        """Return what there is of the body, and keep it for a retry while it is small enough."""
        body = self._request.body
        fresh = self._request.take_body()
        pieces = fresh
        if self._replay is not None:
            if replay:
                pieces = self._replay + fresh
            if body.received <= self._terms.retry.settings.replay:
                self._replay += fresh
            else:
                self._replay = None
        return pieces

    def body_came(self) -> None:
        """More of the request's body is here."""
        connection = self._connection
        if connection is None or not self._streaming:
            return  # kept by the client side until there is a connection
        body = self._request.body
        try:
            pieces = self._take_body()
        except ExchangeError as error:
            self._body_refused(error)
            return
        connection.send_body(pieces, body)
        if body.ended:
            self._streaming = False
            connection.streamed()
            if self._phase == SENDING:
                self._since = time.monotonic()
                connection.limit(self._terms.timeouts.first_byte)
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
            if (
                head.content_length is not None
                and head.status < self._terms.retry.floor
                and head.dated
                and not self._streaming
                and self._pool.sticky is None
                and request.exchange is None
                and request.head.upgrade is None
            ):
                whole = reader.whole
                if whole is None and reader.body.ended and reader.body.trailers is None:
                    whole = b"".join(reader.body.take())
                if whole is not None:
                    self._part(head.status, now)
                    request.pass_on(head, whole, now)
                    return
            if head.status == 101:
                self._switch(head)
                return
            if head.status >= self._terms.retry.floor and self._tries_again(head):
                return
            try:
                self._begin_response(head, reader.body)
            except ExchangeError as error:  # of a filter, on the response
                self._leave_server(ok=True)
                self._fail(error)
                return
        for piece in reader.body.take():
            request.send(piece)
        if self._phase == DONE:  # a filter has refused the body
            return
        if reader.body.ended:
            self._complete()
        else:
            connection.touch()
            request.flush()

    def _tries_again(self, head: ResponseHead) -> bool:
        """Leave an answer that is not good enough for another try, if there may be one; return whether that was done."""
        retry = self._terms.retry
        asked = retry.asked_delay(head.plain)
        if asked is None or not self._may_retry(_answered(head.status), retry.covers(head.plain)):
            return False
        self._retry(
            failed_connect=False,
            ok=head.status not in GATEWAY_ERRORS,
            status=head.status if head.status >= 500 else 0,
            asked=asked,
        )
        return True

    def _begin_response(self, head: ResponseHead, body: Body) -> None:
        self._phase = RESPONDING
        if self._held:  # its beginning had been read before; who it streams to may pause the rest
            self.go_on()
        self._replay = None
        request = self._request
        if request.head.upgrade is not None:
            request.no_upgrade()
        length = head.content_length
        if length is None and body.ended and not head.chunked and request.facts.method != "HEAD":
            length = body.received
        headers = head.plain
        if request.exchange is not None and self._server is not None:
            server = self._server
            request.exchange.origin = f"{'http' if server.encryption is None else 'https'}://{server.address}"
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
            connection.limit(self._terms.timeouts.idle)
            request.stream_from(connection.producer)
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
        if self._held:  # its answer had been read before
            self.go_on()
        connection.finish(now, not self._streaming)
        self._streaming = False
        record = self._record
        record.attempts = self._attempts
        self._request.consumer = None
        if self._retrying:
            self._retry_is_over()
        if status < 500:
            self._pool.end(server, record.first_byte, True)
        else:
            self._pool.end(server, record.first_byte, status not in GATEWAY_ERRORS, False, status)

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
        if self._retrying:
            self._retry_is_over()
        self._pool.end(self._server, record.first_byte, True)
        self._request.tunnel_ended()

    # What can go wrong.

    def _body_refused(self, error: ExchangeError) -> None:
        """A filter that changes the request's body cannot read it."""
        self._leave_server(ok=True)
        self._fail(error)

    def server_failed(self, error: ExchangeError) -> None:
        """The server connection broke, or said what is not HTTP, or the server gave up this exchange."""
        if self._phase == SENDING:
            connection = self._connection
            assert connection is not None
            if connection.reader.begun:
                self._attempt_failed(error)
            elif error.reason is errors.SERVER_LEAVING:
                self._kept_connection_was_gone(error, unread=True)
            elif connection.used > 1 and error.reason is errors.CONNECTION_TERMINATED:
                self._kept_connection_was_gone(error, unread=False)
            else:
                self._attempt_failed(error)
        elif self._phase == RESPONDING:
            self._leave_server(ok=False)
            self._fail(error)

    def _kept_connection_was_gone(self, error: ExchangeError, *, unread: bool) -> None:
        """The server had closed a kept connection before it read our request; no fault of the server.

        ``unread`` where it has said so. A connection of HTTP/1.1 is followed by a new one, for which there is no excuse: a server that
        resets all it is asked would else be asked on each that was kept; where it was reset, the request may have been read, and the
        budget of retries pays. Of those that are shared there are ever new: these excuses are counted.
        """
        server, connection = self._server, self._connection
        assert server is not None
        assert connection is not None
        if not connection.plain:
            self._excuses -= 1
        elif connection.was_reset and not self._terms.retry.spend():
            self._excuses = -1
        if self._excuses >= 0 and (unread or self._method in IDEMPOTENT) and self._can_replay():
            self._drop_connection()
            self._repeat(server, anew=connection.plain)
        else:
            self._attempt_failed(ExchangeError(error.reason, error.detail or "a kept connection was closed"))

    def server_timed_out(self) -> None:
        """The server took too long: to take the request, to answer, or to go on."""
        request = self._request
        if self._phase == RESPONDING:
            unsent = request.unsent()
            if unsent and unsent != self._unsent_before:  # the client is slow, but it moves
                self._unsent_before = unsent
                assert self._connection is not None
                self._connection.limit(self._terms.timeouts.idle)
                return
            self._leave_server(ok=bool(unsent))
            self._fail(ExchangeError(errors.CLIENT_TOO_SLOW if unsent else errors.CONNECTION_READ_TIMEOUT))
        elif self._phase == SENDING:
            if self._held:  # who knows what the server has said
                assert self._connection is not None
                self._connection.limit(self._terms.timeouts.first_byte)
            elif not self._streaming:
                self._attempt_failed(ExchangeError(errors.HTTP_RESPONSE_TIMEOUT))
            else:
                self._attempt_failed(ExchangeError(errors.CONNECTION_WRITE_TIMEOUT))


@lru_cache(maxsize=100)
def _answered(status: int) -> Reason:
    return Reason(f"http_response_{status}", status, errors.Side.SERVER, True, f"The server answered {status}.")
