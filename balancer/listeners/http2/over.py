"""The session of a connection that is gone: to those who still have something to say it is one on which every stream is over."""

from __future__ import annotations

from balancer.model.headers import RawHeaders
from balancer.wire.http2.interface import NO_ERROR, Session

__all__ = ["OVER"]


class _Over:
    """See :class:`balancer.wire.http2.interface.Session`; nothing comes of anything."""

    streams_allowed = 0
    connect_allowed = False
    settled = True
    open_streams = 0
    pending = False
    backlog = 0

    def at(self, _: float) -> None: ...

    def feed(self, _: bytes) -> None: ...

    def output(self) -> bytes:
        return b""

    def request(self, headers: RawHeaders, *, ended: bool) -> int:
        raise RuntimeError("the connection is gone")

    def inform(self, stream: int, headers: RawHeaders) -> None: ...

    def respond(
        self, stream: int, headers: RawHeaders, *, ended: bool = False, last: tuple[bytes, bytes] | None = None
    ) -> None: ...

    def send(self, stream: int, data: bytes, *, ended: bool = False) -> None: ...

    def end(self, stream: int, trailers: RawHeaders | None = None) -> None: ...

    def queued(self, _: int) -> int:
        return 0

    def took(self, stream: int, size: int) -> None: ...

    def took_of_connection(self, _: int) -> None: ...

    def took_of_stream(self, stream: int, size: int) -> None: ...

    def reset(self, stream: int, code: int) -> None: ...

    def ping(self, _: bytes) -> None: ...

    def goaway(self, code: int = NO_ERROR, *, gracefully: bool = False) -> None: ...

    def stalled(self, _: float) -> list[int]:
        return []


OVER: Session = _Over()
