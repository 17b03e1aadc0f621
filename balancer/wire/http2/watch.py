"""What a peer sends too often or too much, seen in the headers of its frames before the library reads them.

A :class:`Watch` is given all that arrives, in any split, and looks at nothing but the nine bytes before each frame's payload. It
counts what costs a receiver more than it costs the sender, in windows of ``span`` seconds:

* RST_STREAM (CVE-2023-44487), together with the resets that the peer makes us send (CVE-2025-8671), see :meth:`Watch.provoked`
* PING and SETTINGS, acknowledgements nobody waits for as well (CVE-2019-9512, CVE-2019-9515)
* frames that carry nothing and end nothing, and frames of unknown types (CVE-2019-9518)
* PRIORITY and PRIORITY_UPDATE (CVE-2019-9513), and WINDOW_UPDATEs by a few bytes (:meth:`Watch.crumb`, CVE-2019-9511)
* CONTINUATION frames of one header list, which have no window (CVE-2024-27316)
"""

from __future__ import annotations

import struct

from balancer.wire.http2.interface import ENHANCE_YOUR_CALM, Limits

__all__ = ["PREFACE", "Watch"]

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_HEAD = struct.Struct(">HBBB")  # length, high and low; type; flags
_unpack = _HEAD.unpack_from

DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)
PRIORITY_UPDATE = 16
END_STREAM, ACK, END_HEADERS, PADDED = 1, 1, 4, 8

_FEW = 256
"""A WINDOW_UPDATE by fewer bytes is a crumb."""


class Watch:
    """Counts what one peer sends. ``words`` says what it did too often once :meth:`scan` or another method found it."""

    __slots__ = (
        "_continued",
        "_counts",
        "_head",
        "_left",
        "_limits",
        "_most",
        "_now",
        "_since",
        "words",
    )

    def __init__(self, limits: Limits, preface: bool) -> None:
        self._limits = limits
        self._left = len(PREFACE) if preface else 0  # bytes up to the next frame's header
        self._head = b""  # the beginning of a header that is not complete
        self._continued = 0
        self._now = self._since = 0.0
        self._counts: dict[str, int] = {}
        self._most = {
            "resets": limits.resets,
            "refusals": 10 * limits.resets,
            "PINGs": limits.pings,
            "SETTINGS": limits.settings,
            "empty frames": limits.empty_frames,
            "PRIORITY frames": limits.priorities,
            "tiny WINDOW_UPDATEs": limits.crumbs,
        }
        self.words = ""

    def at(self, now: float) -> None:
        """Note the time, in seconds."""
        self._now = now

    def scan(self, data: bytes) -> int:
        """Look at what arrived; return how many bytes of it may be read: all, or those before the frame that is one too many."""
        left = self._left
        end = len(data)
        if self._head:
            head = self._head + data[: 9 - len(self._head)]
            if len(head) < 9:
                self._head = head
                return end
            done = 9 - len(self._head)
            self._head = b""
            high, low, kind, flags = _unpack(head)
            length = high << 8 | low
            if kind > 1 or not flags & 4 or not length:
                padding = data[done] if length and done < end else 255
                if not self._weigh(kind, flags, length, padding):
                    return 0
            at = done + length
        else:
            at = left
        while at + 9 <= end:
            high, low, kind, flags = _unpack(data, at)
            length = high << 8 | low
            if kind > 1 or not flags & 4 or not length:  # most are HEADERS in one piece
                padding = data[at + 9] if length and at + 9 < end else 255
                if not self._weigh(kind, flags, length, padding):
                    return at
            at += 9 + length
        if at > end:
            self._left = at - end
        else:
            self._left = 0
            self._head = data[at:]
        return end

    def _weigh(self, kind: int, flags: int, length: int, padding: int) -> bool:
        """Count a frame; ``padding`` is its payload's first byte. Return whether it may come."""
        if kind == DATA:
            empty = not length or (flags & PADDED and padding >= length - 1)
            return bool(flags & END_STREAM or not empty) or self.count("empty frames")
        if kind == HEADERS:
            self._continued = 0
            return bool(length) or self.count("empty frames")
        if kind == CONTINUATION:
            self._continued += 1
            if self._continued > self._limits.continuations:
                self.words = f"more than {self._limits.continuations} CONTINUATION frames of one header list"
                return False
            return bool(length or flags & END_HEADERS) or self.count("empty frames")
        if kind == WINDOW_UPDATE or kind == GOAWAY:
            return True
        if kind == RST_STREAM:
            return self.count("resets")
        if kind == PING:
            return self.count("PINGs")
        if kind == SETTINGS:
            return self.count("SETTINGS")
        if kind == PRIORITY or kind == PRIORITY_UPDATE:
            return self.count("PRIORITY frames")
        return kind == PUSH_PROMISE or self.count("empty frames")

    def provoked(self) -> bool:
        """Count a stream that we reset because of what the peer did; return whether it may go on."""
        return self.count("resets")

    def refused(self) -> bool:
        """Count a stream beyond the limit that the peer may not know of yet; return whether it may go on."""
        return self.count("refusals")

    def crumb(self, increment: int) -> bool:
        """Count a WINDOW_UPDATE if it is by a few bytes only; return whether it may come."""
        return increment >= _FEW or self.count("tiny WINDOW_UPDATEs")

    def count(self, what: str) -> bool:
        """Count one; return whether it may come."""
        if self._now - self._since >= self._limits.span:
            self._since = self._now
            self._counts.clear()
        number = self._counts[what] = self._counts.get(what, 0) + 1
        if number > self._most[what]:
            self.words = f"more than {self._most[what]} {what} in {self._limits.span:g} s"
            return False
        return True

    code = ENHANCE_YOUR_CALM
