"""What forwarding needs from the client side of an exchange, whatever HTTP version the client speaks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from balancer.errors import ExchangeError
from balancer.forwarding.ends import TunnelEnd
from balancer.forwarding.tunnel import Tunnel
from balancer.model.exchange import Exchange
from balancer.model.facts import RequestFacts
from balancer.model.headers import RawHeaders
from balancer.observe.records import ExchangeRecord
from balancer.wire.http1.body import Body
from balancer.wire.http1.heads import RequestHead
from balancer.wire.http1.responses import ResponseHead

__all__ = ["BodyConsumer", "ClientSide", "Limit"]


class BodyConsumer(Protocol):
    """Takes a request's body as it arrives, and is told if the client goes away."""

    def body_came(self) -> None:
        """More of the body can be taken, or it has ended."""

    def client_went(self) -> None:
        """The client closed its connection; nothing more can be sent to it."""


class Limit(Protocol):
    """A call that is due some time."""

    def end(self) -> None:
        """Forget the call for good."""


class ClientSide(Protocol):
    """One request, waiting for its response. Responses are queued by the calls and go out with :meth:`flush`."""

    head: RequestHead
    body: Body
    facts: RequestFacts
    exchange: Exchange | None
    record: ExchangeRecord
    consumer: BodyConsumer | None

    target: str
    request_id: str

    @property
    def is_held_back(self) -> bool:
        """Whether the server is to wait with its answer until the client takes more; it is told to :meth:`.Attempts.go_on` then."""

    @property
    def ended(self) -> bool:
        """Whether the client has said (with FIN) that it sends no more."""

    def pauseProducing(self) -> None:
        """Take no more of the body from the client for now."""

    def resumeProducing(self) -> None:
        """Take more of the body."""

    def stopProducing(self) -> None:
        """The server takes no more of the body."""

    def take_body(self) -> list[bytes]:
        """Return, and forget, the pieces of the body that are here, as they go to the server; :attr:`body` knows whether it ended.

        Raises ExchangeError if it is not what a filter was told that it is.
        """

    def plain_bytes(self) -> bytes | None:
        """Return the whole request for a server, where nothing about it is out of the ordinary; else None."""

    def outgoing_headers(self) -> RawHeaders:
        """Return a new list of the fields for the server, but for framing."""

    def informational(self, status: int, headers: RawHeaders) -> None:
        """Pass on a 1xx."""

    def respond(
        self,
        status: int,
        reason: bytes | None,
        headers: RawHeaders,
        length: int | None,
        block: bytes | None = None,
        version: str = "1.1",
    ) -> None:
        """Begin the response; ``length`` of its body in bytes, None if unknown; ``block`` is ``headers`` as bytes.

        ``version`` is the one of HTTP in which it was received.
        """

    def pass_on(self, head: ResponseHead, body: bytes, now: float) -> None:
        """Answer with a whole response that says its length, and end the exchange; not where there are filters."""

    def send(self, data: bytes) -> None:
        """Add to the response's body."""

    def end(self, trailers: RawHeaders | None = None) -> None:
        """Complete the response, and send what is queued."""

    def flush(self) -> None:
        """Send what is queued."""

    def fail(self, error: ExchangeError) -> None:
        """Answer with an error page, or cut the connection if a response has begun."""

    def stream_from(self, producer: Any) -> None:
        """Let ``producer`` (IPushProducer) be paused while the client takes no more; until :meth:`end`."""

    def unsent(self) -> int:
        """Return how many bytes wait because the client does not take them."""

    def upgrade(self, protocol: bytes, headers: RawHeaders, tunnel: Tunnel) -> tuple[TunnelEnd, bytes]:
        """Agree to ``protocol`` and hand the connection to ``tunnel``; return its end and what the client sent already.

        Raises ExchangeError if a filter that must have its say on the response failed; nothing has begun then.
        """

    def limit(self, seconds: float, call: Callable[[], None]) -> Limit:
        """Call ``call()`` so many seconds after the request's first byte, at once if they are over, unless that is ended before."""

    def tunnel_ended(self) -> None:
        """The tunnel is done; its record can be written."""

    def live(self) -> None:
        """A client that closes its half from now on has left: it is not one that waits for the whole answer."""

    def no_upgrade(self) -> None:
        """The server did not switch protocols: go on with HTTP."""
