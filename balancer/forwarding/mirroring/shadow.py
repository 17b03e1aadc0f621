"""A copy of a request on its way to a server, and the client side for which its answer is dropped.

It is forwarded as any other, but: it does not wait for a server with room, nothing is tried twice, all of it has one time limit,
and an answer is read up to a limit. How it ended is told once, in a word.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from twisted.logger import Logger

from balancer import errors
from balancer.errors import ExchangeError, Reason
from balancer.forwarding.attempts import Connector
from balancer.forwarding.client_side import BodyConsumer
from balancer.forwarding.ends import TunnelEnd
from balancer.forwarding.exchange import Forward
from balancer.forwarding.mirroring.comparing import Capture
from balancer.forwarding.tunnel import Tunnel
from balancer.forwarding.upgrades import Upgrades
from balancer.model.exchange import Exchange
from balancer.model.facts import RequestFacts
from balancer.model.headers import RawHeaders
from balancer.net.timers import Entry, Wheel
from balancer.observe.records import ExchangeRecord
from balancer.wire.http1.body import Body
from balancer.wire.http1.heads import RequestHead
from balancer.wire.http1.responses import ResponseHead

if TYPE_CHECKING:
    from balancer.pools.pool import Pool

__all__ = ["Shadow", "ShadowForward"]

_log = Logger()


class ShadowForward(Forward):
    """Brings a copy to a server; tries once."""

    __slots__ = ()

    def start(self) -> None:
        """Choose a server and begin. Nothing is added to the budget of retries of those who have some."""
        self._request.consumer = self
        self._choose()

    def _choose(self) -> None:
        pool = self._pool
        server = pool.choose(self._request.facts, self._tried)
        if server is None:
            self._fail(pool.refusal(self._request.facts))
            return
        pool.begin(server)
        self._use(server)

    def _may_retry(self, reason: Reason, covered: bool = False) -> bool:
        return False


class Shadow:
    """The client side of a copy, for a :class:`ShadowForward`.

    Args:
        head: the request's.
        exchange: method, target, headers and body as they are sent.
        request_id: the request's name in logs.
        answer_limit: bytes of the answer that are read.
        capture: keeps of the answer what is compared, None: nothing is.
        done: is called once with how it ended: ``2xx`` or the like, ``timeout``, ``answer_too_long``, ``dropped``, or the code of an error.
    """

    __slots__ = (
        "_answer_limit",
        "_done",
        "_forward",
        "_read",
        "_timer",
        "body",
        "capture",
        "consumer",
        "exchange",
        "facts",
        "head",
        "record",
        "request_id",
        "status",
        "target",
    )

    is_held_back = False
    ended = False

    def __init__(
        self,
        head: RequestHead,
        exchange: Exchange,
        request_id: str,
        answer_limit: int,
        capture: Capture | None,
        done: Callable[[Shadow, str], None],
    ) -> None:
        self.head = head
        self.body = Body.none()
        self.facts: RequestFacts = exchange.facts
        self.exchange: Exchange | None = exchange
        self.record = ExchangeRecord()
        self.consumer: BodyConsumer | None = None
        self.target = exchange.target
        self.request_id = request_id
        self.capture = capture
        self.status = 0
        self._answer_limit = answer_limit
        self._read = 0
        self._done: Callable[[Shadow, str], None] | None = done
        self._forward: ShadowForward | None = None
        self._timer: Entry | None = None

    def start(self, pool: Pool, connect: Connector, upgrades: Upgrades, wheel: Wheel, timeout: float) -> None:
        """Begin; it may end at once. Nothing is raised."""
        self._timer = wheel.schedule(timeout, self._too_late)
        forward = self._forward = ShadowForward(self, pool, connect, upgrades, pool.terms)
        try:
            forward.start()
        except Exception:
            _log.failure("a copy for pool {pool} could not be sent", pool=pool.name)
            self._break_off(errors.PROXY_INTERNAL_ERROR.code)

    def drop(self) -> None:
        """Give it up."""
        self._break_off("dropped")

    def _too_late(self) -> None:
        self._break_off("timeout")

    def _break_off(self, why: str) -> None:
        forward = self._forward
        if self._done is not None and forward is not None:
            forward.client_went()
        self._ended(why)

    def _ended(self, how: str) -> None:
        done, self._done = self._done, None
        self._forward = self.consumer = None  # both are freed at once then, and not by the garbage collector
        if self._timer is not None:
            self._timer.end()
        if done is not None:
            done(self, how)

    # The client side: nobody is there.

    def pauseProducing(self) -> None:
        """The whole body is in the exchange."""

    def resumeProducing(self) -> None:
        """The whole body is in the exchange."""

    def stopProducing(self) -> None:
        """The whole body is in the exchange."""

    def take_body(self) -> list[bytes]:
        """Return nothing: the whole body is in the exchange."""
        return []

    def plain_bytes(self) -> bytes | None:
        """Return None: a copy is not what the client sent."""
        return None

    def outgoing_headers(self) -> RawHeaders:
        """Return a new list of the fields."""
        assert self.exchange is not None
        return list(self.exchange.headers)

    def informational(self, status: int, headers: RawHeaders) -> None:
        """Nobody is told."""

    def respond(
        self,
        status: int,
        reason: bytes | None,
        headers: RawHeaders,
        length: int | None,
        block: bytes | None = None,
        version: str = "1.1",
    ) -> None:
        """The answer begins."""
        self.status = status
        if self.capture is not None:
            self.capture.began(status, headers)

    def pass_on(self, head: ResponseHead, body: bytes, now: float) -> None:
        """The whole answer came."""
        self.respond(head.status, head.reason, head.plain, head.content_length)
        self.send(body)
        self.end()

    def send(self, data: bytes) -> None:
        """Drop a part of the answer."""
        self._read += len(data)
        if self.capture is not None:
            self.capture.feed(data)

    def end(self, trailers: RawHeaders | None = None) -> None:
        """The answer is complete."""
        self._ended(f"{self.status // 100}xx")

    def flush(self) -> None:
        """Break off an answer that is too long."""
        if self._read > self._answer_limit:
            self._break_off("answer_too_long")

    def fail(self, error: ExchangeError) -> None:
        """There is no answer, or not all of it."""
        self._ended(error.reason.code)

    def stream_from(self, producer: Any) -> None:
        """Whatever comes is taken."""

    def unsent(self) -> int:
        """Return 0: nothing waits."""
        return 0

    def upgrade(self, protocol: bytes, headers: RawHeaders, tunnel: Tunnel) -> tuple[TunnelEnd, bytes]:
        """Refuse: upgrades are not mirrored.

        Raises:
            ExchangeError: always.
        """
        raise ExchangeError(errors.HTTP_UPGRADE_FAILED, "an upgrade of a copy")

    def limit(self, seconds: float, call: Callable[[], None]) -> Entry:
        """Not for copies, whose time is limited as a whole.

        Raises:
            NotImplementedError: always.
        """
        raise NotImplementedError

    def tunnel_ended(self) -> None:
        """There is no tunnel."""

    def live(self) -> None:
        """Nobody leaves."""

    def no_upgrade(self) -> None:
        """None was asked for."""

    def __repr__(self) -> str:
        return f"<Shadow of {self.request_id} {self.exchange!r}>"
