"""Walking over the frames of one direction of a WebSocket: what a frame holds is counted, never looked at or kept.

::

    0                   1                   2                   3
    |F|R|R|R| opcode|M| length (7)  | length (16 or 64), if 126 or 127 | mask (32), if M | payload …

What arrives is passed on as it is, but for a header that is not complete yet: that waits, so that what has been passed on
ends inside a frame only while its payload is on its way. Of a close frame the first two bytes of the payload, the
code, belong to what must be complete; of a pong that may be the answer to a ping of the balancer's own, all of it.

In the middle of a large frame a piece costs one comparison and one subtraction, whatever its size; where frames begin, less
than a microsecond for each.
"""

from __future__ import annotations

from balancer.model.frames import FrameCounts
from balancer.wire.websocket.codes import BAD_PROTOCOL, NO_CODE, TOO_BIG, may_be_sent
from balancer.wire.websocket.encode import xored

__all__ = ["OWN_SIZE", "FrameReader"]

_CLOSE = 8
_PONG = 10
OWN_SIZE = 12
"""Bytes of the payload of the balancer's own pings."""


class FrameReader:
    """Reads what one side of a WebSocket sends; :meth:`feed` may be given any split of the bytes.

    Args:
        counts: what is added to.
        masked: whether this side must mask its frames: a client must, a server must not.
        extended: whether the two sides have agreed on extensions, to which reserved bits may mean something.
        max_frame: the longest payload of a frame in bytes, None for no limit.
        strict: stop at the first frame that the RFC forbids, instead of counting it.

    ``boundary`` says where, in what the last :meth:`feed` returned, the last frame begins or, if nothing is on its way, the
    last one has ended: there, and only there, another frame may be put in; -1 if there is no such place. ``closed`` turns
    true with a close frame. ``fault`` is the close code and the words for why nothing more is passed on. ``news`` turns true
    with either. ``own`` is what the payload of the balancer's own pings begins with, None if there were none.
    """

    __slots__ = (
        "_extended",
        "_held",
        "_in_message",
        "_left",
        "_mask_bit",
        "_max_frame",
        "_strict",
        "boundary",
        "closed",
        "counts",
        "fault",
        "news",
        "own",
    )

    def __init__(
        self,
        counts: FrameCounts,
        *,
        masked: bool,
        extended: bool = False,
        max_frame: int | None = None,
        strict: bool = False,
    ) -> None:
        self.counts = counts
        self._mask_bit = 0x80 if masked else 0
        self._extended = extended
        self._max_frame = max_frame
        self._strict = strict
        self._left = 0  # bytes of a payload still to come
        self._held = b""  # a header that is not complete
        self._in_message = False
        self.boundary = 0
        self.closed = False
        self.fault: tuple[int, str] | None = None
        self.news = False
        self.own: bytes | None = None

    @property
    def at_boundary(self) -> bool:
        """Whether what has been passed on ends with a whole frame."""
        return not self._left or self.fault is not None

    def feed(self, data: bytes) -> bytes:
        """Take what arrived, and return what is to be passed on. Hand-tuned: it runs for every piece."""
        left = self._left
        if left > len(data):
            self._left = left - len(data)
            self.boundary = -1
            return data if self.fault is None else b""
        return self._walk(data, left)

    def rest(self) -> bytes:
        """Return, and forget, the part of a header that waits for the rest: nothing more will come."""
        held, self._held = self._held, b""
        return held

    def _walk(self, data: bytes, pos: int) -> bytes:
        """Pass the frames that begin in ``data``, the first at ``pos``."""
        if self._held:
            data = self._held + data
            self._held = b""
        counts = self.counts
        frames = counts.frames
        mask_bit = self._mask_bit
        size = len(data)
        begins = pos
        stop = (
            -1 if self.fault is None else 0
        )  # what comes from there on is walked over, for the close frame, and not passed on
        kept: list[bytes] | None = None  # what is passed on of data before ``since``
        since = 0
        while pos < size:
            begins = pos
            at = pos + 2
            if at > size:
                break
            first, second = data[pos], data[pos + 1]
            length = second & 0x7F
            if length > 125:
                at += 2 if length == 126 else 8
                if at > size:
                    break
                length = int.from_bytes(data[pos + 2 : at], "big")
            if second & 0x80:
                at += 4
                if at > size:
                    break
            opcode = first & 0x0F
            # What is usual needs no closer look: a text or binary message in one frame, rightly masked.
            if (
                first not in (0x81, 0x82)
                or second & 0x80 != mask_bit
                or self._in_message
                or self.closed
                or at - pos > 8  # a length of 64 bits
                or (length < 126 and second & 0x7F > 125)
            ):
                code = 0
                if opcode == _CLOSE and length:
                    if at + 2 > size and length > 1:
                        break
                    code = _code(data, at, second) if length > 1 else 1
                elif opcode == _PONG and self.own is not None and length == OWN_SIZE:
                    if at + OWN_SIZE > size:
                        break
                    if self._is_own(data, at, second):
                        if kept is None:
                            kept = []
                        kept.append(data[since:pos])
                        pos = since = begins = at + OWN_SIZE
                        continue
                wrong = self._judge(first, second, length, code)
                if wrong:
                    counts.violations += 1
                    if self._strict and stop < 0:
                        self._stop(BAD_PROTOCOL, wrong)
                        stop = pos
                if opcode == _CLOSE and not self.closed:
                    self.closed = self.news = True
                    counts.close_code = code or NO_CODE
                if opcode < _CLOSE:
                    self._in_message = first < 0x80
            if self._max_frame is not None and length > self._max_frame and stop < 0:
                self._stop(TOO_BIG, f"a frame of {length} bytes")
                stop = pos
            frames[opcode] += 1
            if first & 0x80 and opcode < _CLOSE:
                counts.messages += 1
            pos = at + length
        if pos < size:  # a header that is not complete
            self._held = data[pos:]
            data = data[:pos]
            size = begins = pos
        elif pos == size:
            begins = size
        self._left = pos - size
        if stop >= 0:
            begins = stop
            data = data[:stop]
            since = min(since, stop)
        if kept is None:
            self.boundary = begins
            return data
        removed = since - sum(map(len, kept))
        self.boundary = begins - removed
        kept.append(data[since:])
        return b"".join(kept)

    def _stop(self, code: int, words: str) -> None:
        self.fault = (code, words)
        self.news = True

    def _is_own(self, data: bytes, at: int, second: int) -> bool:
        payload = data[at : at + OWN_SIZE]
        if second & 0x80:
            payload = xored(payload, data[at - 4 : at])
        assert self.own is not None
        return payload.startswith(self.own)

    def _judge(self, first: int, second: int, length: int, code: int) -> str:
        """Return what is wrong with a frame, ``""`` if nothing is (RFC 6455 sections 5.1 to 5.5)."""
        opcode = first & 0x0F
        if self.closed:
            return "a frame after the close frame"
        if second & 0x80 != self._mask_bit:
            return "a frame that is not masked" if self._mask_bit else "a frame that is masked"
        if first & 0x70 and not self._extended:
            return "a reserved bit"
        if opcode in (3, 4, 5, 6, 7) or opcode > _PONG:
            return f"opcode {opcode}"
        if opcode >= _CLOSE:
            if not first & 0x80:
                return "a control frame in parts"
            if second & 0x7F > 125:
                return "a control frame of more than 125 bytes"
            if opcode == _CLOSE and length and not may_be_sent(code):
                return f"close code {code}" if length > 1 else "half a close code"
            return ""
        if self._in_message and opcode:
            return "a new message within another"
        if not self._in_message and not opcode:
            return "a continuation of nothing"
        short = second & 0x7F
        if (short == 126 and length < 126) or (short == 127 and length < 65536):
            return "a length in more bytes than it takes"
        return "a length of more than 63 bits" if length >> 63 else ""

    def __repr__(self) -> str:
        state = self.fault[1] if self.fault is not None else f"{self._left} bytes to come" if self._left else "idle"
        return f"<FrameReader {state}, {self.counts!r}>"


def _code(data: bytes, at: int, second: int) -> int:
    payload = data[at : at + 2]
    if second & 0x80:
        payload = xored(payload, data[at - 4 : at])
    return int.from_bytes(payload, "big")
