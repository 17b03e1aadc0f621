"""A message body on its way: pieces that have arrived and were not yet taken."""

from __future__ import annotations

from balancer.compiled import mypyc_attr
from balancer.model.headers import RawHeaders

__all__ = ["BULK", "Body"]

BULK = 16 * 1024
"""Bytes of a body of known length that are worth a new parser, to be counted instead of copied by llhttp."""


@mypyc_attr(allow_interpreted_subclasses=True)
class Body:
    """The pieces of one body, in order, between a reader that feeds and a consumer that takes.

    ``length`` is the declared length in bytes, None if unknown. ``received`` counts all bytes fed, ``pending`` those
    not yet taken.
    """

    __slots__ = ("_pieces", "ended", "length", "pending", "received", "trailers")

    def __init__(self, length: int | None = None, *, ended: bool = False) -> None:
        self.length = length
        self.ended = ended
        self.trailers: RawHeaders | None = None
        self.received = 0
        self.pending = 0
        self._pieces: list[bytes] | None = None

    def feed(self, data: bytes) -> None:
        """Add the next piece."""
        if self._pieces is None:
            self._pieces = [data]
        else:
            self._pieces.append(data)
        self.received += len(data)
        self.pending += len(data)

    def end(self, trailers: RawHeaders | None = None) -> None:
        """Mark the body complete."""
        self.ended = True
        self.trailers = trailers

    def take(self) -> list[bytes]:
        """Return, and forget, the pieces that are here."""
        pieces, self._pieces = self._pieces, None
        self.pending = 0
        return pieces or []

    def put_back(self, pieces: list[bytes]) -> None:
        """Let ``pieces``, which were taken, be taken again, before all others."""
        self._pieces = pieces + (self._pieces or [])
        self.pending += sum(map(len, pieces))

    @classmethod
    def none(cls) -> Body:
        """Return the body of a message that has none; always the same object."""
        return _NONE

    def __repr__(self) -> str:
        return (
            f"<Body {self.received} of {'?' if self.length is None else self.length} {'ended' if self.ended else ''}>"
        )


_NONE = Body(ended=True)
