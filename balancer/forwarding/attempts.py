"""The attempts that a request has: choosing a server, waiting for one, connecting, trying another.

What is done on a connection once it is there, :class:`~.exchange.Forward` adds.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Protocol

from twisted.internet.defer import CancelledError, Deferred
from twisted.python.failure import Failure

from balancer import errors
from balancer.compiled import mypyc_attr
from balancer.errors import ExchangeError, Reason
from balancer.filters.trace import NOTE
from balancer.forwarding.client_side import ClientSide
from balancer.forwarding.server_side import ServerSide
from balancer.pools.another import another
from balancer.pools.retry import IDEMPOTENT

if TYPE_CHECKING:
    from balancer.pools.introduction import Introduction
    from balancer.pools.limits import Wait
    from balancer.pools.pool import Pool
    from balancer.pools.server import Server
    from balancer.pools.terms import Cancellable, Terms

__all__ = ["CHOOSING", "CONNECTING", "DONE", "RESPONDING", "SENDING", "WAITING", "Attempts", "Connector"]


class Connector(Protocol):
    """Finds, or makes, a connection where none is kept; :class:`~.connector.ServerConnector` is one."""

    def __call__(
        self, server: Server, timeout: float, *, alone: bool = False, first: bytes = b"", whom: bytes = b""
    ) -> Deferred[ServerSide]:
        """Return what fires with the server side of an exchange, within so many seconds; fails with ExchangeError.

        ``alone``: the exchange wants a connection of its own, of HTTP/1.1; that begins with the bytes ``first`` (a PROXY header),
        and is kept for ``whom`` only.
        """


CHOOSING, WAITING, CONNECTING, SENDING, RESPONDING, DONE = range(6)
"""How far an exchange has come."""


@mypyc_attr(allow_interpreted_subclasses=True)
class Attempts:
    """Brings one request to a server of a pool, to another one where that fails.

    Args:
        request: the client's side.
        pool: whose servers are tried.
        connect: opens a connection where none is kept.
        terms: how long that may take, and how often it is tried.
    """

    __slots__ = (
        "_attempts",
        "_connect",
        "_connection",
        "_held",
        "_pending",
        "_phase",
        "_pool",
        "_record",
        "_replay",
        "_request",
        "_retrying",
        "_server",
        "_since",
        "_streaming",
        "_terms",
        "_tried",
    )

    def __init__(self, request: ClientSide, pool: Pool, connect: Connector, terms: Terms) -> None:
        self._request = request
        self._record = request.record
        self._pool = pool
        self._terms = terms
        self._connect = connect
        self._phase = CHOOSING
        self._attempts = 0
        self._tried: list[Server] = []
        self._server: Server | None = None
        self._connection: ServerSide | None = None
        self._pending: Deferred[ServerSide] | Deferred[Server] | Cancellable | None = None
        self._replay: list[bytes] | None = []
        """The pieces of the body sent so far, None when there were too many to keep."""
        self._streaming = False
        """Whether the body is not all there yet, and goes to the connection as it comes."""
        self._since = 0.0
        self._retrying = False
        """Whether this counts as a retry in flight there."""
        self._held = False
        """Whether the server has to wait with its answer."""

    @property
    def _method(self) -> str:
        """The method that servers are sent, which says whether that may be done again; filters may have made another of the client's."""
        exchange = self._request.exchange
        return self._request.facts.method if exchange is None else exchange.method

    def hold(self) -> None:
        """Read nothing of the answer for now; for one that has not begun."""
        connection = self._connection
        if not self._held and self._phase == SENDING and connection is not None:
            self._held = True
            connection.producer.pauseProducing()

    def go_on(self) -> None:
        """Read the answer."""
        if self._held:
            self._held = False
            connection = self._connection
            if connection is not None:
                connection.producer.resumeProducing()

    def _send(self, connection: ServerSide, now: float) -> None:
        """Send the request on a connection that is there; ``now`` is monotonic."""
        raise NotImplementedError

    # Choosing and connecting.

    def _choose(self) -> None:
        pool = self._pool
        facts, tried = self._request.facts, self._tried
        server = another(pool, facts, tried) if tried else pool.choose(facts)
        if server is not None:
            pool.begin(server)
            self._use(server)
        elif pool.all_full:
            self._phase = WAITING
            self._since = time.monotonic()
            self._pending = waiting = pool.wait(facts)
            waiting.addCallbacks(self._got_server, self._got_none)
        else:
            self._fail(pool.refusal(facts))

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
        if self._pool.introduction is not None:
            self._use_introduced(server, self._pool.introduction, now)
            return
        connection: ServerSide | None = server.idle.take(now)  # type: ignore[assignment]  # cast() is a call
        alone = False
        if connection is None and server.shared is not None:
            alone = server.protocol == "auto" and self._request.head.upgrade is not None
            if not alone:
                connection = server.shared.take(now)
        if connection is not None and self._fit(connection):
            self._record.connect = 0.0
            self._send(connection, now)
            return
        self._open(server, alone)

    def _use_introduced(self, server: Server, introduction: Introduction, now: float) -> None:
        """Use a connection that began with the PROXY header of this client, and of nobody else."""
        facts = self._request.facts
        connection: ServerSide | None = server.idle.take_for(introduction.of(facts, facts.tls), now)  # type: ignore[assignment]
        if connection is not None and self._fit(connection):
            self._record.connect = 0.0
            self._send(connection, now)
            return
        self._open(server, True)

    def _open(self, server: Server, alone: bool) -> None:
        """Have a connection made, or room found on a shared one."""
        introduction = self._pool.introduction
        wait = None
        if self._pool.guarded and (wait := self._may_connect(server, alone or introduction is not None)) is None:
            return
        self._phase = CONNECTING
        timeout = self._terms.timeouts.connect
        if introduction is None:
            self._pending = connecting = self._connect(server, timeout, alone=alone)
        else:
            facts = self._request.facts
            whom = introduction.of(facts, facts.tls)
            first = introduction.marked(facts, facts.tls, self._request.request_id)
            self._pending = connecting = self._connect(server, timeout, alone=True, first=first, whom=whom)
        if wait is not None:
            connecting.addBoth(wait.over)
        connecting.addCallbacks(self._connected, self._not_connected)

    def _repeat(self, server: Server, *, anew: bool) -> None:
        """Send to ``server`` what a kept connection did not bring to it; ``anew``: on a new one, as the others may be gone as well."""
        if anew:
            self._since = time.monotonic()
            self._open(server, server.shared is not None)
        else:
            self._attempts -= 1
            self._use(server)

    def _may_connect(self, server: Server, alone: bool) -> Wait | None:
        """Return what a guarded pool counts while the connection is made; None: it must not be, and this is over."""
        try:
            return self._pool.connects(server, alone)
        except ExchangeError as error:
            self._leave_server(ok=True)
            self._fail(error)
            return None

    def _fit(self, connection: ServerSide) -> bool:
        """Whether a kept connection may carry this request: one that cannot be repeated wants a closer look."""
        if self._method in IDEMPOTENT or not connection.gone():
            return True
        connection.close()
        return False

    def _connected(self, connection: ServerSide) -> None:
        self._pending = None
        now = time.monotonic()
        self._record.connect = now - self._since
        self._send(connection, now)

    def _not_connected(self, failure: Failure) -> None:
        self._pending = None
        self._record.connect = time.monotonic() - self._since
        if not failure.check(CancelledError):
            self._attempt_failed(_converted(failure), connecting=True)

    # What can go wrong.

    def client_went(self) -> None:
        """The client closed; the server need not go on."""
        self._record.attempts = self._attempts
        if self._pending is not None:
            self._pending.cancel()
            if self._phase == CONNECTING:
                self._leave_server(ok=True)
        elif self._phase in (SENDING, RESPONDING):
            self._leave_server(ok=True)
        self._phase = DONE
        if self._retrying:
            self._retry_is_over()

    def _attempt_failed(self, error: ExchangeError, *, connecting: bool = False) -> None:
        if self._may_retry(error.reason):
            self._retry(failed_connect=connecting)
            return
        self._leave_server(ok=error.reason.side is not errors.Side.SERVER, failed_connect=connecting)
        self._fail(error)

    def _may_retry(self, reason: Reason, covered: bool = False) -> bool:
        if not self._can_replay():
            return False
        if not self._terms.retry.allow(self._method, reason, self._attempts, covered):
            return False
        exchange = self._request.exchange
        if exchange is not None and NOTE in exchange.notes and self._server is not None:
            exchange.notes[NOTE].attempt(self._server.name, reason.code)
        return True

    def _can_replay(self) -> bool:
        exchange = self._request.exchange
        return self._replay is not None or (exchange is not None and exchange.body is not None)

    def _retry(self, *, failed_connect: bool, ok: bool = False, status: int = 0, asked: float = 0.0) -> None:
        """Leave the server and try again, after the back-off, or as long as the server has ``asked`` to wait."""
        assert self._server is not None
        self._tried.append(self._server)
        self._leave_server(ok=ok, failed_connect=failed_connect, status=status)
        self._phase = CHOOSING
        limit = self._terms.retry.limit
        if limit is not None:
            self._retrying = True
            limit.add(1)
        wait = max(asked, self._terms.retry.delay(self._attempts))
        if wait:
            self._pending = self._terms.later(wait, self._go_on_choosing)
        else:
            self._go_on_choosing()

    def _go_on_choosing(self) -> None:
        self._pending = None
        self._choose()

    def _retry_is_over(self) -> None:
        self._retrying = False
        limit = self._terms.retry.limit
        assert limit is not None
        limit.add(-1)

    def _leave_server(self, *, ok: bool, failed_connect: bool = False, status: int = 0) -> None:
        if self._retrying:
            self._retry_is_over()
        server, self._server = self._server, None
        if server is None:
            return
        self._drop_connection()
        self._pool.end(server, self._record.first_byte, ok, failed_connect, status)

    def _drop_connection(self) -> None:
        connection, self._connection = self._connection, None
        self._held = False
        if connection is None:
            return
        if self._streaming:
            self._streaming = False
            connection.streamed()
        connection.close()

    def _fail(self, error: ExchangeError) -> None:
        self._phase = DONE
        if self._retrying:
            self._retry_is_over()
        self._record.attempts = self._attempts
        self._request.consumer = None
        self._request.fail(error)


def _converted(failure: Failure) -> ExchangeError:
    error = failure.value
    if isinstance(error, ExchangeError):
        return error
    return ExchangeError(errors.PROXY_INTERNAL_ERROR, f"{type(error).__name__}: {error}")
