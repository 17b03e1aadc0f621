"""The frames of HTTP/2 as bytes (RFC 9113 section 4): their numbers, their flags, and those that are written by hand."""

from __future__ import annotations

import struct

__all__ = [
    "ACK",
    "CONTINUATION",
    "DATA",
    "ENABLE_CONNECT_PROTOCOL",
    "ENABLE_PUSH",
    "END_HEADERS",
    "END_STREAM",
    "GOAWAY",
    "HEAD",
    "HEADERS",
    "HEADER_TABLE_SIZE",
    "HIGHEST",
    "INITIAL_WINDOW_SIZE",
    "LARGEST",
    "MAX_CONCURRENT_STREAMS",
    "MAX_FRAME_SIZE",
    "MAX_HEADER_LIST_SIZE",
    "PADDED",
    "PING",
    "PREFACE",
    "PRIORITY",
    "PRIORITY_FLAG",
    "PRIORITY_UPDATE",
    "PUSH_PROMISE",
    "RST_STREAM",
    "SETTING",
    "SETTINGS",
    "WINDOW_UPDATE",
    "frame",
    "goaway",
    "reset",
    "settings",
    "window_update",
]

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)
PRIORITY_UPDATE = 16  # RFC 9218

END_STREAM, ACK, END_HEADERS, PADDED, PRIORITY_FLAG = 1, 1, 4, 8, 32

HEADER_TABLE_SIZE, ENABLE_PUSH, MAX_CONCURRENT_STREAMS, INITIAL_WINDOW_SIZE = 1, 2, 3, 4
MAX_FRAME_SIZE, MAX_HEADER_LIST_SIZE, ENABLE_CONNECT_PROTOCOL = 5, 6, 8

HIGHEST = 0x7FFFFFFF
"""The highest stream, and the largest window."""
LARGEST = 16384
"""Bytes of a payload that may come: what nothing else is announced for."""

HEAD = struct.Struct(">HBBBL")
"""What is before a payload: its length, high and low; type; flags; stream."""
SETTING = struct.Struct(">HL")


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    """Return a frame."""
    size = len(payload)
    return HEAD.pack(size >> 8, size & 255, kind, flags, stream) + payload


def window_update(stream: int, increment: int) -> bytes:
    """Return a WINDOW_UPDATE."""
    return frame(WINDOW_UPDATE, 0, stream, increment.to_bytes(4, "big"))


def reset(stream: int, code: int) -> bytes:
    """Return a RST_STREAM."""
    return frame(RST_STREAM, 0, stream, code.to_bytes(4, "big"))


def goaway(last: int, code: int, words: str = "") -> bytes:
    """Return a GOAWAY; ``words`` are for who looks into the peer."""
    payload = last.to_bytes(4, "big") + code.to_bytes(4, "big") + words.encode("latin-1", "replace")[:128]
    return frame(GOAWAY, 0, 0, payload)


def settings(*values: tuple[int, int]) -> bytes:
    """Return SETTINGS of ``(identifier, value)``."""
    return frame(SETTINGS, 0, 0, b"".join([SETTING.pack(*each) for each in values]))
