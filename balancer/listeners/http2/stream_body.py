"""The body of a request on a stream: what of it waits here counts against the client's window."""

from __future__ import annotations

from typing import TYPE_CHECKING

from balancer.wire.http1.body import Body

if TYPE_CHECKING:
    from balancer.listeners.http2.request import StreamRequest

__all__ = ["StreamBody"]


class StreamBody(Body):
    """A body whose bytes count against the client's window until they are taken."""

    __slots__ = ("_given", "request")

    def __init__(self, length: int | None) -> None:
        super().__init__(length)
        self.request: StreamRequest | None = None
        self._given = 0  # bytes that are here again, for which the client has been given room

    def take(self) -> list[bytes]:
        """Return, and forget, the pieces that are here, and give the client room for as many bytes."""
        fresh, self._given = self.pending - self._given, 0
        if fresh and self.request is not None:
            self.request.taken(fresh)
        return super().take()

    def put_back(self, pieces: list[bytes]) -> None:
        """Let ``pieces``, which were taken, be taken again, before all others."""
        super().put_back(pieces)
        self._given += sum(map(len, pieces))
