"""What the HTTP/2 connections of one listener came to: counted here, asked for by the metrics."""

from __future__ import annotations

from collections import Counter

from balancer.wire.http2.codes import name_of

__all__ = ["Counts"]


class Counts:
    """Resets by ``(who, code)``, who being ``client`` or ``balancer``; GOAWAYs sent by reason.

    A reason is ``drain``, ``idle``, ``stalled``, or the error code of what the client did, such as ``enhance_your_calm``.
    """

    __slots__ = ("goaways", "resets")

    def __init__(self) -> None:
        self.resets: Counter[tuple[str, str]] = Counter()
        self.goaways: Counter[str] = Counter()

    def reset(self, who: str, code: int) -> None:
        """Count a stream that was reset."""
        self.resets[who, name_of(code).lower()] += 1

    def broken(self, code: int) -> None:
        """Count a connection that is ended for what its client did."""
        self.goaways[name_of(code).lower()] += 1

    def __repr__(self) -> str:
        return f"<Counts {self.resets.total()} resets, {self.goaways.total()} GOAWAYs>"
