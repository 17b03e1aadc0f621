"""One stream, as a session keeps it: what is still to come, and what waits to be sent."""

from __future__ import annotations

from collections import deque

from balancer.model.headers import RawHeaders

__all__ = ["Stream"]


class Stream:
    """One stream that is not over.

    ``receiving`` until the peer has said all; ``left`` are the bytes of a body of declared length still to come, None if it is not
    declared. ``queue`` are pieces to be sent, ``queued`` their bytes; ``ending`` once nothing more will be given, with ``trailers``
    behind them if there are any. ``moved`` is when something last went from the queue.
    """

    __slots__ = (
        "answered",
        "connect",
        "deferred",
        "ending",
        "head_request",
        "high",
        "left",
        "moved",
        "number",
        "owed",
        "queue",
        "queued",
        "receiving",
        "room",
        "sending",
        "trailers",
    )

    def __init__(self, number: int, room: int) -> None:
        self.number = number
        self.receiving = True
        self.sending = True
        self.answered = False  # client side: the final head has come
        self.head_request = False  # client side: no body can come
        self.connect = False
        self.left: int | None = None
        self.room = room  # bytes that the peer may still send
        self.owed = 0  # bytes that were taken and not yet given back to the peer's window
        self.queue: deque[bytes] = deque()
        self.queued = 0
        self.high = False  # more than LOW_WATER was queued, and room_came not called since
        self.deferred = False  # the library waits to be told that there is something queued
        self.ending = False
        self.trailers: RawHeaders | None = None
        self.moved = 0.0

    def put(self, data: bytes, now: float) -> None:
        """Queue a piece."""
        if not self.queued:
            self.moved = now
        self.queue.append(data)
        self.queued += len(data)

    def take(self, most: int, now: float) -> bytes:
        """Return the next ``most`` bytes of the queue, or all if there are not so many."""
        self.moved = now
        queue = self.queue
        piece = queue.popleft()
        size = len(piece)
        if size == most or (size < most and not queue):
            self.queued -= size
            return piece
        if size < most:
            pieces = [piece]
            while queue and size < most:
                piece = queue.popleft()
                pieces.append(piece)
                size += len(piece)
            piece = b"".join(pieces)
        if size > most:
            queue.appendleft(piece[most:])
            piece = piece[:most]
            size = most
        self.queued -= size
        return piece

    def __repr__(self) -> str:
        sides = f"{'receiving' if self.receiving else 'received'} {'sending' if self.sending else 'sent'}"
        return f"<Stream {self.number} {sides} queued={self.queued}>"
