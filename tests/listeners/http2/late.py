"""What a client may do wrong on a stream whose answer it has got before it had said all: frames behind the head of stream 1.

Each is the frames, and what is to come of them: ``reset CODE`` of the stream, or ``goaway CODE``; a reset may be a GOAWAY as well.
"""

from __future__ import annotations

from balancer.wire.http2.frames import (
    DATA,
    END_HEADERS,
    END_STREAM,
    HEADERS,
    HIGHEST,
    PADDED,
    frame,
    reset,
    window_update,
)
from balancer.wire.http2.interface import FLOW_CONTROL_ERROR, FRAME_SIZE_ERROR, PROTOCOL_ERROR, STREAM_CLOSED

__all__ = ["LATE"]

_TRAILERS = b"\x00\x06x-test\x02ok"
_METHOD = b"\x83"
_GET = b"\x82\x86\x84\x41\x01a"
_RESET = reset(1, 8)

LATE: dict[str, tuple[bytes, str]] = {
    "DATA behind RST_STREAM": (_RESET + frame(DATA, END_STREAM, 1, b"test"), f"reset {STREAM_CLOSED}"),
    "HEADERS behind RST_STREAM": (_RESET + frame(HEADERS, 5, 1, _GET), f"reset {STREAM_CLOSED}"),
    "a window opened by nothing": (window_update(1, 0), f"reset {PROTOCOL_ERROR}"),
    "a window too large": (window_update(1, HIGHEST) * 2, f"reset {FLOW_CONTROL_ERROR}"),
    "too much padding": (frame(DATA, END_STREAM | PADDED, 1, b"\x06Test"), f"goaway {PROTOCOL_ERROR}"),
    "too large": (frame(DATA, END_STREAM, 1, bytes(16385)), f"goaway {FRAME_SIZE_ERROR}"),
    "HEADERS that do not end it": (
        frame(DATA, 0, 1, b"test") + frame(HEADERS, END_HEADERS, 1, _TRAILERS),
        f"reset {PROTOCOL_ERROR}",
    ),
    "a pseudo-field in trailers": (
        frame(DATA, 0, 1, b"test") + frame(HEADERS, 5, 1, _METHOD),
        f"reset {PROTOCOL_ERROR}",
    ),
    "more than content-length": (frame(DATA, END_STREAM, 1, b"tests"), f"reset {PROTOCOL_ERROR}"),
    "less than content-length": (frame(DATA, END_STREAM, 1, b"tes"), f"reset {PROTOCOL_ERROR}"),
}
