"""What forwarding needs from the server side of an exchange, whatever HTTP version the server speaks.

A connection that carries one exchange at a time is the server side of each (:class:`~.server_connection.ServerConnection`);
where exchanges share a connection, each has a server side of its own on it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from balancer.errors import ExchangeError
from balancer.forwarding.ends import TunnelEnd
from balancer.model.headers import RawHeaders
from balancer.wire.http1.body import Body
from balancer.wire.http1.heads import RequestHead
from balancer.wire.http1.responses import ResponseHead

if TYPE_CHECKING:
    from balancer.forwarding.tunnel import Tunnel
    from balancer.pools.server import Server

__all__ = ["Owner", "Response", "ServerSide"]


class Owner(Protocol):
    """What is told of an exchange's server side; :class:`~balancer.forwarding.exchange.Forward` is one."""

    def response_came(self) -> None:
        """More of the response is in :attr:`ServerSide.reader`."""

    def server_failed(self, error: ExchangeError) -> None:
        """The exchange cannot be completed."""

    def server_timed_out(self) -> None:
        """The time set by :meth:`ServerSide.limit` is up."""


class Response(Protocol):
    """A response as far as it has come.

    ``informational`` are 1xx heads, to be passed on and cleared by who reads them; ``head`` and ``body`` are there once the
    final head is. ``begun`` says whether anything of a response came, ``leftover`` is what came behind a 101;
    ``whole`` the bytes of a body that is there whole, where they were at hand as such, else None.
    """

    informational: list[ResponseHead]
    head: ResponseHead | None
    body: Body
    begun: bool
    leftover: bytes | None
    whole: bytes | None


class ServerSide(Protocol):
    """One exchange with a server.

    ``plain`` says whether requests may be given as bytes of HTTP/1.1 (:meth:`send_plain`). ``version`` is what it speaks:
    ``"http1"`` or ``"h2"``. ``used`` counts the exchanges that its connection carried, with this one; ``closed`` says that
    nothing can be sent any more, ``was_reset`` that it did not end in good order. ``owner`` is told what comes; there may be another in the course of an exchange.
    """

    plain: bool
    version: str
    server: Server
    owner: Owner | None
    used: int
    closed: bool
    was_reset: bool

    @property
    def reader(self) -> Response:
        """The response."""

    def gone(self) -> bool:
        """Whether the server has closed the connection, and the reactor did not report that yet."""

    def send_plain(self, owner: Owner, method: str, data: bytes) -> None:
        """Send a whole request of HTTP/1.1."""

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
        """Send a request, as far as it is there, in one write.

        Args:
            owner: is told what comes of it.
            method: its method.
            target: in origin form, or ``*``.
            headers: its fields but for framing, with ``Host``; from now on the server side's.
            head: what the client sent, for what it says of this hop.
            length: of the whole body in bytes, None if unknown.
            pieces: what is there of the body.
            body: where it comes from and whether it has ended; None where ``pieces`` are all of it.
        """

    def send_body(self, pieces: list[bytes], body: Body) -> None:
        """Send more of the body, and its trailers if it has ended."""

    def stream_from(self, producer: Any) -> None:
        """Have ``producer`` (IPushProducer) produce the body, as fast as the server takes it; until :meth:`streamed`."""

    def streamed(self) -> None:
        """The producer has nothing to produce any more."""

    @property
    def producer(self) -> Any:
        """The response's IPushProducer: it can be paused while the client takes no more."""

    def limit(self, seconds: float) -> None:
        """Allow ``seconds`` from now for what comes next."""

    def touch(self) -> None:
        """Start the present limit again from now."""

    def takes(self, head: RequestHead) -> bool:
        """Whether the server can be asked for the upgrade that ``head`` wants, if it wants one."""

    def become_tunnel(self, tunnel: Tunnel) -> tuple[TunnelEnd, bytes]:
        """Be the server's end of ``tunnel``, after a 101; return that end and what came behind the 101."""

    def finish(self, now: float, whole: bool) -> None:
        """The response is complete: let the connection go on to others; the request was not sent to its end unless ``whole``."""

    def close(self) -> None:
        """Give the exchange up; its owner is not told."""
