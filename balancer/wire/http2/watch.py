"""What a peer sends too often or too much, seen in the headers of its frames before the library reads them.

A :class:`Watch` is given all that arrives, in any split, and looks at nothing but the nine bytes before each frame's payload. It
counts what costs a receiver more than it costs the sender, in windows of ``span`` seconds:

* RST_STREAM (CVE-2023-44487), together with the resets that the peer makes us send (CVE-2025-8671), see :meth:`Watch.provoked`;
  a stream may be given up after a second, as clients do whose patience ends: there can be only so many of those
* PING and SETTINGS, acknowledgements nobody waits for as well (CVE-2019-9512, CVE-2019-9515)
* frames that carry nothing and end nothing, and frames of unknown types (CVE-2019-9518)
* PRIORITY and PRIORITY_UPDATE (CVE-2019-9513), and WINDOW_UPDATEs by a few bytes (:meth:`Watch.crumb`, CVE-2019-9511)
* CONTINUATION frames of one header list, which have no window (CVE-2024-27316)

What a server resets or gives back in small pieces is its own affair: those are counted of clients only.
PINGs and small WINDOW_UPDATEs have their uses: gRPC's libraries measure a connection with a PING each time that something has come on
it, and give windows back message by message. So there may be :data:`_FOR_EACH` more of them for each HEADERS and DATA, of either side;
but WINDOW_UPDATEs that open a window by a crumb of which nothing is left are counted as they are.
Streams that were left out when a higher one was begun are closed; what comes on them is refused here as well.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

from balancer.wire.http2.frames import (
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    GOAWAY,
    HEAD,
    HEADERS,
    HIGHEST,
    PADDED,
    PING,
    PREFACE,
    PRIORITY,
    PRIORITY_UPDATE,
    PUSH_PROMISE,
    RST_STREAM,
    SETTINGS,
    WINDOW_UPDATE,
)
from balancer.wire.http2.interface import ENHANCE_YOUR_CALM, PROTOCOL_ERROR, Limits

__all__ = ["Watch"]

_unpack: Callable[[bytes, int], tuple[int, int, int, int, int]] = HEAD.unpack_from

_MORE, _TOO_MUCH = -1, -2
_GAPS = 64
_FEW = 256
"""A WINDOW_UPDATE by fewer bytes is a crumb."""
_ROOM = 4096
"""A window of so many bytes is not one that has us send crumbs."""
_AGE = 1.0
"""Seconds after which whoever gives up a stream is no longer suspected of having begun it for that."""
_FOR_EACH = 4
"""PINGs and crumbs that are not counted for each HEADERS and DATA."""


@lru_cache(maxsize=64)
def _most(limits: Limits, of_clients: bool) -> dict[str, int]:
    most = {
        "PINGs": limits.pings,
        "SETTINGS": limits.settings,
        "empty frames": limits.empty_frames,
        "PRIORITY frames": limits.priorities,
    }
    if of_clients:
        most |= {
            "resets": limits.resets,
            "resets of old streams": 10 * limits.resets,
            "refusals": 10 * limits.resets,
            "tiny WINDOW_UPDATEs": limits.crumbs,
        }
    return most


class Watch:
    """Counts what one peer sends. ``words`` says what it did too often once :meth:`scan` or another method found it.

    ``traffic`` counts HEADERS and DATA in the present span, those that are sent, too: by who sends them.
    """

    __slots__ = (
        "_continued",
        "_counts",
        "_gaps",
        "_head",
        "_left",
        "_limits",
        "_most",
        "_next",
        "_now",
        "_old",
        "_recent",
        "_recent_since",
        "_server",
        "_since",
        "_started",
        "code",
        "traffic",
        "words",
    )

    def __init__(self, limits: Limits, preface: bool) -> None:
        self._limits = limits
        self._server = preface
        self._left = len(PREFACE) if preface else 0  # bytes up to the next frame's header
        self._head = b""  # the beginning of a header that is not complete
        self._continued = 0
        self._next = 1  # the stream that HEADERS are to come on, if none is left out; what servers send does not count
        self._old = self._recent = 0  # streams with lower numbers are more than _AGE seconds old, or soon will be
        self._recent_since = 0.0
        self._started = 1  # the same at the beginning of this span
        self.traffic = 0
        self._gaps: list[tuple[int, int]] = []  # numbers left out, the last ones
        self._now = self._since = 0.0
        self._counts: dict[str, int] = {}
        self._most = _most(limits, preface)
        self.code = ENHANCE_YOUR_CALM
        self.words = ""

    def at(self, now: float) -> None:
        """Note the time, in seconds."""
        if now - self._recent_since >= _AGE:
            self._old = self._next if now - self._now >= _AGE else self._recent
            self._recent, self._recent_since = self._next, now
        self._now = now

    def scan(self, data: bytes) -> int:
        """Look at what arrived; return how many bytes of it may be read: all, or those before the frame that is one too many.

        If it is not all, ``code`` and ``words`` say why. Hand-tuned: most frames are HEADERS in one piece, of the next stream.
        """
        end = len(data)
        if self._head:
            at = self._rest_of_head(data)
            if at < 0:
                return end if at == _MORE else 0
        else:
            at = self._left
        while at + 9 <= end:
            high, low, kind, flags, number = _unpack(data, at)
            length = high << 8 | low
            if kind == 1 and flags & 4 and length and number == self._next:
                self._next = number + 2
            elif not self._weigh(kind, flags, number, length, data[at + 9] if length and at + 9 < end else 255):
                return at
            at += 9 + length
        if at > end:
            self._left = at - end
        else:
            self._left = 0
            self._head = data[at:]
        return end

    def _rest_of_head(self, data: bytes) -> int:
        """Go on with a header that came in pieces; return where the next frame begins, _MORE or _TOO_MUCH."""
        done = 9 - len(self._head)
        head = self._head + data[:done]
        if len(head) < 9:
            self._head = head
            return _MORE
        high, low, kind, flags, number = _unpack(head, 0)
        length = high << 8 | low
        if not self._weigh(kind, flags, number, length, data[done] if length and done < len(data) else 255):
            return _TOO_MUCH
        self._head = b""
        return done + length

    def _weigh(self, kind: int, flags: int, number: int, length: int, padding: int) -> bool:
        """Count a frame; ``padding`` is its payload's first byte. Return whether it may come."""
        if kind == DATA:
            self.traffic += 1
            if self._gaps and self._is_skipped(number & HIGHEST):
                return False
            empty = not length or (flags & PADDED and padding >= length - 1)
            return bool(flags & END_STREAM or not empty) or self.count("empty frames")
        if kind == HEADERS:
            self._continued = 0
            self.traffic += 1
            if not self._begun(number & HIGHEST):
                return False
            return bool(length) or self.count("empty frames")
        if kind == CONTINUATION:
            self._continued += 1
            if self._continued > self._limits.continuations:
                self.words = f"more than {self._limits.continuations} CONTINUATION frames of one header list"
                return False
            return bool(length or flags & END_HEADERS) or self.count("empty frames")
        if kind in (WINDOW_UPDATE, GOAWAY):
            return True
        if kind == RST_STREAM:
            return self.count("resets of old streams" if 0 < number < self._old else "resets")
        if kind == PING:
            return self._count_with_traffic("PINGs")
        if kind == SETTINGS:
            return self.count("SETTINGS")
        if kind in (PRIORITY, PRIORITY_UPDATE):
            return self.count("PRIORITY frames")
        return kind == PUSH_PROMISE or self.count("empty frames")

    def _begun(self, number: int) -> bool:
        """Note the stream that HEADERS come on; return whether they may."""
        behind = self._next
        if number < behind:
            return not (self._gaps and self._is_skipped(number))
        if self._server and number > behind and number & 1 and behind & 1:
            self._gaps.append((behind, number))
            if len(self._gaps) > _GAPS:
                del self._gaps[0]
        self._next = number + 2
        return True

    def _is_skipped(self, number: int) -> bool:
        """Whether a stream is closed because one with a higher number was begun before it (RFC 9113 section 5.1.1)."""
        for first, behind in self._gaps:
            if first <= number < behind:
                self.code, self.words = PROTOCOL_ERROR, "a stream with a lower number than the one before"
                return True
        return False

    def provoked(self) -> bool:
        """Count a stream that we reset because of what the peer did; return whether it may go on."""
        return self.count("resets")

    def refused(self) -> bool:
        """Count a stream beyond the limit that the peer may not know of yet; return whether it may go on."""
        return self.count("refusals")

    def crumb(self, increment: int, window: Callable[[], int]) -> bool:
        """Count a WINDOW_UPDATE if it is by a few bytes only; return whether it may come.

        ``window`` returns how large that makes the window, or less than 0 for one of a stream that has ended.
        """
        if increment >= _FEW:
            return True
        if 0 <= window() < _ROOM:
            return self.count("tiny WINDOW_UPDATEs")
        return self._count_with_traffic("tiny WINDOW_UPDATEs")

    def _count_with_traffic(self, what: str) -> bool:
        """Count one of what goes with traffic; return whether it may come."""
        self._refresh()
        free = f"{what} with traffic"
        number = self._counts.get(free, 0)
        # Requests in one piece are not counted one by one, but all begin a stream.
        if number < _FOR_EACH * (self.traffic + (self._next - self._started >> 1)):
            self._counts[free] = number + 1
            return True
        return self.count(what)

    def _refresh(self) -> None:
        """Begin to count anew once the span is over."""
        if self._now - self._since >= self._limits.span:
            self._since = self._now
            self._counts.clear()
            self._started = self._next
            self.traffic = 0

    def count(self, what: str) -> bool:
        """Count one; return whether it may come."""
        self._refresh()
        number = self._counts[what] = self._counts.get(what, 0) + 1
        most = self._most.get(what)
        if most is None or number <= most:
            return True
        self.words = f"more than {most} {what} in {self._limits.span:g} s"
        return False
