"""What a frame must be before anybody looks at what it means (RFC 9113 sections 3.4, 4 and 6), for libraries that leave that to us.

A :class:`Framing` is fed bytes, takes them apart, and calls the methods that it leaves to whoever inherits it: with header lists
that are complete, with payloads without padding, with numbers. Priorities (section 5.3) are read and forgotten.
"""

from __future__ import annotations

from typing import NoReturn

from balancer.wire.http2.frames import (
    ACK,
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    GOAWAY,
    HEAD,
    HEADERS,
    HIGHEST,
    LARGEST,
    PADDED,
    PING,
    PREFACE,
    PRIORITY,
    PRIORITY_FLAG,
    PUSH_PROMISE,
    RST_STREAM,
    SETTING,
    SETTINGS,
    WINDOW_UPDATE,
    frame,
)
from balancer.wire.http2.interface import FRAME_SIZE_ERROR, PROTOCOL_ERROR

__all__ = ["Framing"]


class Framing:
    """Takes the bytes of one connection apart. ``settled`` once the peer's SETTINGS have come."""

    def __init__(self, preface: bool) -> None:
        self.settled = False
        self._preface = preface
        self._rest = b""
        self._block: tuple[int, bool, list[bytes]] | None = None  # a header list that is not complete

    # What is left to whoever inherits.

    def _fail(self, code: int, words: str) -> NoReturn:
        """End the connection: the peer broke the protocol."""
        raise NotImplementedError

    def _write(self, data: bytes) -> None:
        """Send a frame."""
        raise NotImplementedError

    def _head(self, number: int, ended: bool, block: bytes) -> None:
        """Take a header list, as it was encoded."""
        raise NotImplementedError

    def _data(self, number: int, data: bytes, size: int, ended: bool) -> None:
        """Take a piece of a body; ``size`` is what it takes of the windows."""
        raise NotImplementedError

    def _window_came(self, number: int, increment: int) -> None:
        """Take a WINDOW_UPDATE; ``number`` 0 is the connection."""
        raise NotImplementedError

    def _reset_came(self, number: int, code: int) -> None:
        """Take a RST_STREAM."""
        raise NotImplementedError

    def _settings_came(self, values: list[tuple[int, int]]) -> None:
        """Take SETTINGS: identifiers and values, unknown ones as well."""
        raise NotImplementedError

    def _settings_acknowledged(self) -> None:
        """Take the acknowledgement of ours."""
        raise NotImplementedError

    def _ping_answered(self, data: bytes) -> None:
        """Take the answer to a PING of ours."""
        raise NotImplementedError

    def _goaway_came(self, last: int, code: int) -> None:
        """Take a GOAWAY."""
        raise NotImplementedError

    # What is done here.

    def _read(self, data: bytes) -> None:
        if self._rest:
            data = self._rest + data
        at = 0
        if self._preface:
            if data[:24] != PREFACE[: len(data)]:
                self._fail(PROTOCOL_ERROR, "not the preface of HTTP/2")
            if len(data) < 24:
                self._rest = data
                return
            self._preface = False
            at = 24
        end = len(data)
        while end - at >= 9:
            high, low, kind, flags, number = HEAD.unpack_from(data, at)
            length = high << 8 | low
            if length > LARGEST:
                self._fail(FRAME_SIZE_ERROR, f"a frame of {length} bytes")
            if at + 9 + length > end:
                break
            at += 9 + length
            self._frame(kind, flags, number & HIGHEST, data[at - length : at])
        self._rest = data[at:]

    def _frame(self, kind: int, flags: int, number: int, payload: bytes) -> None:
        if not self.settled and (kind != SETTINGS or flags & ACK):
            self._fail(PROTOCOL_ERROR, "the first frame is not SETTINGS")
        if self._block is not None:
            if kind != CONTINUATION or number != self._block[0]:
                self._fail(PROTOCOL_ERROR, "a frame inside a header list")
            self._block[2].append(payload)
            if flags & END_HEADERS:
                number, ended, pieces = self._block
                self._block = None
                self._head(number, ended, b"".join(pieces))
        elif kind in (HEADERS, DATA):
            if not number:
                self._fail(PROTOCOL_ERROR, "HEADERS or DATA on no stream")
            size = len(payload)
            if flags & PADDED:
                if not payload or payload[0] >= size:
                    self._fail(PROTOCOL_ERROR if payload else FRAME_SIZE_ERROR, "more padding than payload")
                payload = payload[1 : size - payload[0]]
            if kind == DATA:
                self._data(number, payload, size, bool(flags & END_STREAM))
            else:
                self._headers(number, flags, payload)
        elif kind == WINDOW_UPDATE:
            self._window_update(number, payload)
        elif kind == RST_STREAM:
            self._reset(number, payload)
        elif kind == SETTINGS:
            self._settings(number, flags, payload)
        elif kind == PING:
            self._ping(number, flags, payload)
        elif kind == GOAWAY:
            self._goaway(number, payload)
        elif kind == PRIORITY:
            self._priority(number, payload)
        elif kind in (PUSH_PROMISE, CONTINUATION):
            self._fail(PROTOCOL_ERROR, "PUSH_PROMISE" if kind == PUSH_PROMISE else "CONTINUATION of no header list")

    def _headers(self, number: int, flags: int, payload: bytes) -> None:
        depends = -1
        if flags & PRIORITY_FLAG:
            if len(payload) < 5:
                self._fail(FRAME_SIZE_ERROR, "HEADERS too short for a priority")
            depends = int.from_bytes(payload[:4], "big") & HIGHEST
            payload = payload[5:]
        if depends == number:
            self._fail(PROTOCOL_ERROR, "a stream that depends on itself")
        if flags & END_HEADERS:
            self._head(number, bool(flags & END_STREAM), payload)
        else:
            self._block = (number, bool(flags & END_STREAM), [payload])

    def _window_update(self, number: int, payload: bytes) -> None:
        if len(payload) != 4:
            self._fail(FRAME_SIZE_ERROR, "WINDOW_UPDATE")
        self._window_came(number, int.from_bytes(payload, "big") & HIGHEST)

    def _reset(self, number: int, payload: bytes) -> None:
        if not number or len(payload) != 4:
            self._fail(FRAME_SIZE_ERROR if number else PROTOCOL_ERROR, "RST_STREAM")
        self._reset_came(number, int.from_bytes(payload, "big"))

    def _settings(self, number: int, flags: int, payload: bytes) -> None:
        if number or (flags & ACK and payload) or len(payload) % 6:
            self._fail(PROTOCOL_ERROR if number else FRAME_SIZE_ERROR, "SETTINGS")
        if flags & ACK:
            self._settings_acknowledged()
            return
        self.settled = True
        self._settings_came(list(SETTING.iter_unpack(payload)))

    def _ping(self, number: int, flags: int, payload: bytes) -> None:
        if number or len(payload) != 8:
            self._fail(PROTOCOL_ERROR if number else FRAME_SIZE_ERROR, "PING")
        if flags & ACK:
            self._ping_answered(payload)
        else:
            self._write(frame(PING, ACK, 0, payload))

    def _goaway(self, number: int, payload: bytes) -> None:
        if number or len(payload) < 8:
            self._fail(PROTOCOL_ERROR if number else FRAME_SIZE_ERROR, "GOAWAY")
        self._goaway_came(int.from_bytes(payload[:4], "big") & HIGHEST, int.from_bytes(payload[4:8], "big"))

    def _priority(self, number: int, payload: bytes) -> None:
        if not number:
            self._fail(PROTOCOL_ERROR, "PRIORITY on no stream")
        if len(payload) != 5:
            self._fail(FRAME_SIZE_ERROR, "PRIORITY")
        if int.from_bytes(payload[:4], "big") & HIGHEST == number:
            self._fail(PROTOCOL_ERROR, "a stream that depends on itself")
