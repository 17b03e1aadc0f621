"""h2spec's ``http2`` group, section 6: each type of frame."""

from __future__ import annotations

from typing import Any

from balancer.wire.http2.frames import (
    ACK,
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    GOAWAY,
    HEADERS,
    HIGHEST,
    PADDED,
    PING,
    PRIORITY,
    RST_STREAM,
    SETTINGS,
    WINDOW_UPDATE,
    frame,
    settings,
    window_update,
)
from balancer.wire.http2.frames import reset as reset_frame
from balancer.wire.http2.interface import FLOW_CONTROL_ERROR, FRAME_SIZE_ERROR, PROTOCOL_ERROR, STREAM_CLOSED
from tests.live.conformance.talk import (
    Cases,
    Talk,
    connection_error,
    data_of,
    frame_of,
    goaway,
    pong,
    reset,
    settings_ack,
    stream_error,
)

__all__ = ["DEFINITIONS"]

DEFINITIONS = Cases("http2")
_add, _case = DEFINITIONS.add, DEFINITIONS.case
_PROTOCOL, _SIZE = connection_error(PROTOCOL_ERROR), connection_error(FRAME_SIZE_ERROR)
_HEAVY = b"\0\0\0\0\xff"


def _post(talk: Talk, *more: tuple[bytes, bytes], end: bool = False, whole: bool = True) -> bytes:
    return talk.head(headers=talk.request(b"POST", *more), end=end, whole=whole)


_LAST = frame(DATA, END_STREAM, 1, b"test")

_add("6.1", "DATA on no stream", _PROTOCOL, frame(DATA, END_STREAM, 0, b"test"))
_add("6.1", "DATA on a half-closed stream", stream_error(STREAM_CLOSED), lambda talk: (_post(talk, end=True), _LAST))
_add(
    "6.1",
    "DATA with too much padding",
    _PROTOCOL,
    lambda talk: (_post(talk, (b"content-length", b"4")), frame(DATA, END_STREAM | PADDED, 1, b"\x06Test")),
)


def _continued(talk: Talk, stream: int = 1, flags: int = END_HEADERS) -> bytes:
    return frame(CONTINUATION, flags, stream, talk.dummies(1))


@_case("6.2", "PRIORITY inside a header list", _PROTOCOL)
def _(talk: Talk) -> Any:
    return talk.head(end=False, whole=False), frame(PRIORITY, 0, 1, _HEAVY), _continued(talk)


@_case("6.2", "another stream's HEADERS inside a header list", _PROTOCOL)
def _(talk: Talk) -> Any:
    return talk.head(end=False, whole=False), talk.head(3), _continued(talk)


_add("6.2", "HEADERS on no stream", _PROTOCOL, lambda talk: talk.head(0))


@_case("6.2", "HEADERS with too much padding", stream_error(PROTOCOL_ERROR))
def _(talk: Talk) -> Any:
    block = talk.block(talk.request())
    return frame(HEADERS, END_STREAM | END_HEADERS | PADDED, 1, bytes([len(block) + 2]) + block)


_add("6.3", "PRIORITY on no stream", _PROTOCOL, frame(PRIORITY, 0, 0, _HEAVY))
_add(
    "6.3",
    "PRIORITY too short",
    stream_error(FRAME_SIZE_ERROR),
    lambda talk: (talk.head(), frame(PRIORITY, 0, 1, b"\x80\0\0\1")),
)
_add(
    "6.3",
    "PRIORITY of an idle stream, then a lower one (strict)",
    frame_of(HEADERS),
    lambda talk: (frame(PRIORITY, 0, 3, _HEAVY), talk.head()),
)

_add("6.4", "RST_STREAM on no stream", _PROTOCOL, reset_frame(0, 8))
_add("6.4", "RST_STREAM on an idle stream", _PROTOCOL, reset_frame(1, 8))
_add(
    "6.4",
    "RST_STREAM too short",
    stream_error(FRAME_SIZE_ERROR),
    lambda talk: (talk.head(), frame(RST_STREAM, 0, 1, b"\0\0\0")),
)

_add("6.5", "an acknowledgement with a payload", _SIZE, frame(SETTINGS, ACK, 0, b"\0"))
_add("6.5", "SETTINGS on a stream", _PROTOCOL, frame(SETTINGS, 0, 1, b"\0\3\0\0\0\x64"))
_add("6.5", "SETTINGS cut short", stream_error(PROTOCOL_ERROR, FRAME_SIZE_ERROR), frame(SETTINGS, 0, 0, b"\0\3\0\0\0"))
_add("6.5.2", "ENABLE_PUSH of 2", _PROTOCOL, settings((2, 2)))
_add("6.5.2", "INITIAL_WINDOW_SIZE too large", connection_error(FLOW_CONTROL_ERROR), settings((4, 1 << 31)))
_add("6.5.2", "MAX_FRAME_SIZE too small", _PROTOCOL, settings((5, 16383)))
_add("6.5.2", "MAX_FRAME_SIZE too large", _PROTOCOL, settings((5, 1 << 24)))
_add("6.5.2", "an unknown setting", pong(), settings((0xFF, 1)) + frame(PING, 0, 0, bytes(8)))


def _set(talk: Talk, *values: tuple[int, int]) -> str:
    """Say SETTINGS, and wait for their acknowledgement."""
    talk.send(settings(*values))
    return settings_ack(talk)


_add("6.5.3", "values are taken in their order", data_of(1), lambda talk: _set(talk, (4, 100), (4, 1)) or talk.head())
_add("6.5.3", "SETTINGS are acknowledged", settings_ack, settings((2, 0)))


_add("6.7", "PING", pong(b"h2spec\0\0"), frame(PING, 0, 0, b"h2spec\0\0"))


@_case("6.7", "an answer to no PING is not answered", pong(b"h2spec\0\0"))
def _(talk: Talk) -> Any:
    talk.send(frame(PING, ACK, 0, b"invalid\0"), frame(PING, 0, 0, b"h2spec\0\0"))
    came = talk.next()
    while came is not None and came[0] != PING:
        came = talk.next()
    if came is None or came[3] != b"h2spec\0\0":
        return f"{came} {talk.ended}"
    return frame(PING, 0, 0, b"h2spec\0\0")


_add("6.7", "PING on a stream", _PROTOCOL, frame(PING, 0, 1, bytes(8)))
_add("6.7", "PING too short", _SIZE, frame(PING, 0, 0, bytes(6)))
_add("6.8", "GOAWAY on a stream", _PROTOCOL, frame(GOAWAY, 0, 1, bytes(8)))
_add("6.9", "WINDOW_UPDATE of the connection by nothing", _PROTOCOL, window_update(0, 0))
_add(
    "6.9",
    "WINDOW_UPDATE of a stream by nothing",
    stream_error(PROTOCOL_ERROR),
    lambda talk: (talk.head(end=False), window_update(1, 0)),
)
_add("6.9", "WINDOW_UPDATE too short", _SIZE, frame(WINDOW_UPDATE, 0, 0, b"\0\0\1"))
_add("6.9.1", "a window of 1", data_of(1), lambda talk: _set(talk, (4, 1)) or talk.head())
_add(
    "6.9.1", "the connection's window too large", goaway(FLOW_CONTROL_ERROR), lambda _: (window_update(0, HIGHEST),) * 2
)
_add(
    "6.9.1",
    "a stream's window too large",
    reset(1, FLOW_CONTROL_ERROR),
    lambda talk: (talk.head(end=False), window_update(1, HIGHEST), window_update(1, HIGHEST)),
)


@_case("6.9.2", "a window that opens behind HEADERS", data_of(1))
def _(talk: Talk) -> Any:
    return _set(talk, (4, 0)) or talk.send(talk.head()) or _set(talk, (4, 1))


@_case("6.9.2", "a window that becomes negative", data_of(1))
def _(talk: Talk) -> Any:
    found = _set(talk, (4, 3))
    if not found:
        talk.send(talk.head())
        found = frame_of(DATA)(talk) or _set(talk, (4, 2))
    return found or window_update(1, 2)


_add("6.9.2", "a window too large", connection_error(FLOW_CONTROL_ERROR), settings((4, 1 << 31)))


@_case("6.10", "several CONTINUATION", frame_of(HEADERS))
def _(talk: Talk) -> Any:
    return talk.head(whole=False), _continued(talk, flags=0), _continued(talk)


@_case("6.10", "CONTINUATION, then DATA", _PROTOCOL)
def _(talk: Talk) -> Any:
    return _post(talk, whole=False), _continued(talk, flags=0), _LAST


_add("6.10", "CONTINUATION on no stream", _PROTOCOL, lambda talk: (talk.head(whole=False), _continued(talk, 0)))
_add("6.10", "CONTINUATION behind HEADERS that are whole", _PROTOCOL, lambda talk: (talk.head(), _continued(talk)))


@_case("6.10", "CONTINUATION behind one that is the last", _PROTOCOL)
def _(talk: Talk) -> Any:
    return talk.head(whole=False), _continued(talk), _continued(talk)


@_case("6.10", "CONTINUATION behind DATA", _PROTOCOL)
def _(talk: Talk) -> Any:
    return _post(talk, whole=False), _LAST, _continued(talk, flags=0), _continued(talk, 0)
