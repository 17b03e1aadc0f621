"""Exchanges that may last so long only: as a whole (``timeouts.request``), and each attempt (``timeouts.per_try``).

::

    choosing, connecting, sending ──> over: 504, or with per_try another attempt, where the terms allow it
    responding ─────────────────────> over: cut
    an event stream, or another protocol after a 101, that has begun ──> no limit but that of silence

Made only where such a limit is set: other exchanges know nothing of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from balancer import errors
from balancer.errors import ExchangeError
from balancer.forwarding.attempts import CONNECTING, DONE, RESPONDING, SENDING
from balancer.forwarding.call import Call
from balancer.forwarding.exchange import Forward
from balancer.forwarding.headers import is_event_stream
from balancer.wire.http1.body import Body
from balancer.wire.http1.responses import ResponseHead

if TYPE_CHECKING:
    from balancer.forwarding.tunnel import Tunnel
    from balancer.pools.server import Server

__all__ = ["LimitedCall", "LimitedForward"]

_WHOLE = "the time for the whole exchange is over (timeouts.request)"
_TRY = "the time for one attempt is over (timeouts.per_try)"


class LimitedForward(Forward):
    """One exchange with a limit on all of it, on each attempt, or on both. ``_whole`` and ``_trying`` are set while they run."""

    __slots__ = ()

    def start(self) -> None:
        """Choose a server and begin; the time runs from the request's first byte."""
        self._whole = self._trying = None
        super().start()
        seconds = self._terms.timeouts.request
        if seconds and self._phase != DONE:
            self._whole = self._request.limit(seconds, self._out_of_time)

    def _use(self, server: Server) -> None:
        seconds = self._terms.timeouts.per_try
        if seconds:
            self._end_try()
            self._trying = self._terms.later(seconds, self._try_out_of_time)
        super()._use(server)

    # The ends of the limits.

    def _end_try(self) -> None:
        trying, self._trying = self._trying, None
        if trying is not None:
            trying.cancel()

    def _end_limits(self) -> None:
        self._end_try()
        whole, self._whole = self._whole, None
        if whole is not None:
            whole.end()

    def _begin_response(self, head: ResponseHead, body: Body) -> None:
        super()._begin_response(head, body)
        if is_event_stream(head.plain):
            self._end_limits()

    def _switch(self, head: ResponseHead) -> None:
        super()._switch(head)
        if self._phase == RESPONDING:
            self._end_limits()

    def _tunnel_done(self, tunnel: Tunnel, code: str) -> None:
        self._end_limits()
        super()._tunnel_done(tunnel, code)

    def _part(self, status: int, now: float) -> None:
        self._end_limits()
        super()._part(status, now)

    def _leave_server(self, *, ok: bool, failed_connect: bool = False, status: int = 0) -> None:
        self._end_try()
        super()._leave_server(ok=ok, failed_connect=failed_connect, status=status)

    def client_went(self) -> None:
        """The client closed; the server need not go on."""
        self._end_limits()
        super().client_went()

    def _fail(self, error: ExchangeError) -> None:
        self._end_limits()
        super()._fail(error)

    # Too late.

    def _out_of_time(self) -> None:
        """The whole exchange has lasted too long. A server that got all of it, as the first, has let us wait."""
        self._whole = None
        slow = self._attempts == 1 and self._let_us_wait()
        pending, self._pending = self._pending, None
        if pending is not None:
            pending.cancel()
        self._leave_server(ok=not slow)
        self._fail(ExchangeError(errors.HTTP_RESPONSE_TIMEOUT, _WHOLE))

    def _try_out_of_time(self) -> None:
        """The attempt has lasted too long: another server may be faster."""
        self._trying = None
        error = ExchangeError(errors.HTTP_RESPONSE_TIMEOUT, _TRY)
        if self._phase == RESPONDING:
            self._leave_server(ok=not self._let_us_wait())
            self._fail(error)
        elif self._phase == CONNECTING:
            pending, self._pending = self._pending, None
            if pending is not None:
                pending.cancel()
            self._attempt_failed(error, connecting=True)
        elif self._phase == SENDING:
            self._attempt_failed(error)

    def _let_us_wait(self) -> bool:
        """Whether it is the server that takes its time, and not the client."""
        if self._phase == RESPONDING:
            return not self._request.unsent()
        return self._phase == SENDING and not self._streaming and not self._held


class LimitedCall(LimitedForward, Call):
    """A call with such limits; what its client says in ``grpc-timeout`` may only be shorter."""

    __slots__ = ()
