"""Bodies on their way past the checks: shown to those that tap, copied up to a limit for those that buffer; passed on, or held.

======================  ===================================================================================
:class:`RequestCopy`    passes a request's body on; a ruling against it ends the exchange, whatever has gone out
:class:`ResponseCopy`   likewise for a response that is not held
:class:`HeldResponse`   keeps a response of known length until the checks have seen all of it
======================  ===================================================================================

What is kept is never more than the limit.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from twisted.internet.defer import Deferred

from balancer.filters.waf.inspection import Inspection
from balancer.model import headers as fields
from balancer.model.headers import RawHeaders
from balancer.model.inspection.compressed import plain_body
from balancer.model.inspection.inputs import InputLimits
from balancer.model.inspection.terms import Phase

__all__ = ["HeldResponse", "RequestCopy", "ResponseCopy"]


class _Copy:
    """A transform that gives back what it gets, and has it looked at.

    Args:
        run: the inspection.
        taps: the checks that are shown each piece.
        buffers: those that get the copy.
        limit: its length in bytes.
    """

    only_looks = True
    phase: Phase

    __slots__ = ("_buffers", "_kept", "_limit", "_room", "_run", "_taps")

    def __init__(self, run: Inspection, taps: Sequence[int], buffers: Sequence[int], limit: int) -> None:
        self._run = run
        self._taps = taps
        self._buffers = buffers
        self._kept: list[bytes] = []
        self._room = limit if buffers else 0

    def feed(self, data: bytes) -> bytes:
        """Return ``data``, once it has been looked at."""
        if self._taps:
            self._run.piece(self.phase, self._taps, data)
            self._run.refuse(self.phase, over=False)
        if self._room:
            self._kept.append(data[: self._room])
            self._room -= len(self._kept[-1])
            if not self._room:
                self._show(whole=False)
        return data

    def end(self, trailers: RawHeaders | None) -> tuple[bytes, RawHeaders | None]:
        """Return nothing more, once the checks have been told of the end."""
        if self._room:
            self._show(whole=True)
        self._run.look(self.phase, self._taps, hold=False)
        self._run.refuse(self.phase, over=True)
        return b"", trailers

    def _show(self, *, whole: bool) -> None:
        self._room = 0
        body, self._kept = b"".join(self._kept), []
        self._body_is(body, whole)
        self._run.look(self.phase, self._buffers, hold=False)
        self._run.refuse(self.phase, over=False)

    def _body_is(self, body: bytes, whole: bool) -> None:
        raise NotImplementedError


class RequestCopy(_Copy):
    """See the module."""

    phase: Phase = "request_body"

    __slots__ = ()

    def _body_is(self, body: bytes, whole: bool) -> None:
        self._run.subject.body_is(body, whole)


class ResponseCopy(_Copy):
    """See the module."""

    phase: Phase = "response_body"

    __slots__ = ()

    def _body_is(self, body: bytes, whole: bool) -> None:
        response_body_is(self._run, body, whole)


def response_body_is(run: Inspection, body: bytes, whole: bool) -> None:
    """Give the checks the response's body, without gzip or deflate."""
    subject = run.subject
    codings = [value.decode("latin-1") for value in fields.values(subject.response_headers, b"content-encoding")]
    plain, whole, _ = plain_body(body, whole, codings, InputLimits().decompressed)
    subject.response_body, subject.response_body_whole = plain, whole


class HeldResponse:
    """See the module; :meth:`decide` is what ``exchange.hold`` is to be.

    Args:
        run: the inspection; what of it is pending belongs to the response's head.
        heads: whether the head has checks that are still under way.
        taps, buffers: as in :class:`_Copy`.
    """

    only_looks = True

    __slots__ = ("_buffers", "_kept", "_run", "_taps")

    def __init__(self, run: Inspection, taps: Sequence[int], buffers: Sequence[int]) -> None:
        self._run = run
        self._taps = taps
        self._buffers = buffers
        self._kept: list[bytes] = []

    def feed(self, data: bytes) -> bytes:
        """Keep ``data``."""
        self._kept.append(data)
        return b""

    def end(self, trailers: RawHeaders | None) -> tuple[bytes, RawHeaders | None]:
        """Return all of it."""
        return b"".join(self._kept), trailers

    def decide(self) -> Deferred[None] | None:
        """Have everything looked at; return None, or a Deferred that fires once that is done.

        Raises:
            ExchangeError: the response is refused; the Deferred fails with it, too.
        """
        run = self._run
        body = b"".join(self._kept)
        self._kept = [body]
        waiting, run.pending = run.pending, []
        if not waiting:
            bodies = self._look(body)
            if not bodies:
                run.refuse("response_body", over=True)
                return None
            return Deferred.fromCoroutine(self._rest([], bodies))
        return Deferred.fromCoroutine(self._rest(waiting, None, body))

    def _look(self, body: bytes) -> Any:
        run = self._run
        if self._buffers or self._taps:
            response_body_is(run, body, whole=True)
            if body:
                run.piece("response_body", self._taps, body)
        return run.look("response_body", (*self._taps, *self._buffers))

    async def _rest(self, heads: Any, bodies: Any, body: bytes = b"") -> None:
        run = self._run
        if heads:
            await run.wait(heads, "response_head")
            run.refuse("response_head", over=False)
            bodies = self._look(body)
        if bodies:
            await run.wait(bodies, "response_body")
        run.refuse("response_body", over=True)
