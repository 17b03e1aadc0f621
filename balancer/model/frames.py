"""What went over one direction of a WebSocket, in numbers: kept by whoever reads it, looked at by log and metrics."""

from __future__ import annotations

from collections.abc import Iterator

__all__ = ["OPCODES", "FrameCounts", "WebSocketRecord"]

OPCODES = {0: "continuation", 1: "text", 2: "binary", 8: "close", 9: "ping", 10: "pong"}
"""The kinds of frames by opcode (RFC 6455 section 5.2)."""


class FrameCounts:
    """Frames of one direction.

    ``frames`` is indexed by opcode, 0 to 15. ``messages`` counts those that are complete, be they in one frame or many.
    ``violations`` are frames that the RFC forbids. ``close_code`` is that of the first close frame: 1005 where it has
    none (RFC 6455 section 7.1.5), 0 where there was no such frame.
    """

    __slots__ = ("close_code", "frames", "messages", "violations")

    def __init__(self) -> None:
        self.frames = [0] * 16
        self.messages = 0
        self.violations = 0
        self.close_code = 0

    def kinds(self) -> Iterator[tuple[str, int]]:
        """Yield the name of each kind of frame that there was, with their number; opcodes without a meaning are ``other``."""
        other = 0
        for opcode, count in enumerate(self.frames):
            if count:
                kind = OPCODES.get(opcode)
                if kind is None:
                    other += count
                else:
                    yield kind, count
        if other:
            yield "other", other

    def __repr__(self) -> str:
        kinds = ", ".join(f"{count} {kind}" for kind, count in self.kinds())
        return f"<FrameCounts {kinds or 'nothing'}{f', closed {self.close_code}' if self.close_code else ''}>"


class WebSocketRecord:
    """What the record of an exchange that became a WebSocket has besides.

    ``received`` is what came from the client, ``sent`` what came from the server for it. ``closed_by`` is ``"client"``,
    ``"server"`` or ``"balancer"``: whose close frame was the first, with ``close_code``; ``""`` and 0 where there was none.
    ``pings`` counts those of the balancer's own.
    """

    __slots__ = ("close_code", "closed_by", "pings", "received", "sent")

    def __init__(self) -> None:
        self.received = FrameCounts()
        self.sent = FrameCounts()
        self.close_code = 0
        self.closed_by = ""
        self.pings = 0
