"""h2spec's ``http2`` group, sections 3 to 5: beginning, frames as such, the states of streams."""

from __future__ import annotations

from typing import Any

from balancer.wire.http2.frames import (
    ACK,
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    HEADERS,
    PING,
    PREFACE,
    PRIORITY,
    SETTINGS,
    frame,
    reset,
    settings,
    window_update,
)
from balancer.wire.http2.interface import (
    COMPRESSION_ERROR,
    FRAME_SIZE_ERROR,
    PROTOCOL_ERROR,
    REFUSED_STREAM,
    STREAM_CLOSED,
)
from tests.live.conformance.talk import (
    Cases,
    Talk,
    closed,
    connection_error,
    frame_of,
    goaway,
    pong,
    stream_error,
    stream_over,
)

__all__ = ["STREAMS"]

STREAMS = Cases("http2")
_add, _case = STREAMS.add, STREAMS.case
_PROTOCOL, _CLOSED = connection_error(PROTOCOL_ERROR), connection_error(STREAM_CLOSED)
_PING = frame(PING, 0, 0, bytes(8))
_UNKNOWN = frame(0x16, 0, 0, bytes(8))
_HEAVY = b"\0\0\0\0\xff"


def _settings(talk: Talk) -> str:
    return talk.until(lambda came: came[0] == SETTINGS and not came[1] & ACK)


_add("3.5", "the preface", _settings, PREFACE + settings((4, 65535)), raw=True)
_add("3.5", "no preface", closed, b"INVALID CONNECTION PREFACE\r\n\r\n", raw=True)

_add("4.1", "a frame of an unknown type", pong(), _UNKNOWN + _PING)
_add("4.1", "flags without a meaning", frame_of(PING), frame(PING, 0x16, 0, bytes(8)))
_add("4.1", "the reserved bit", frame_of(PING), frame(PING, 0x16, 0x80000000, bytes(8)))


def _post(talk: Talk) -> bytes:
    return talk.head(headers=talk.request(b"POST"), end=False)


@_case("4.2", "DATA as large as allowed", frame_of(HEADERS))
def _(talk: Talk) -> Any:
    return _post(talk), frame(DATA, END_STREAM, 1, b"x" * talk.settings.get(5, 16384))


@_case("4.2", "DATA larger than allowed", stream_error(FRAME_SIZE_ERROR))
def _(talk: Talk) -> Any:
    return _post(talk), frame(DATA, END_STREAM, 1, b"x" * (talk.settings.get(5, 16384) + 1))


@_case("4.2", "HEADERS larger than allowed", connection_error(FRAME_SIZE_ERROR))
def _(talk: Talk) -> Any:
    return talk.head(block=talk.block(talk.request()) + talk.dummies(5))


_add("4.3", "a header list cut short", connection_error(COMPRESSION_ERROR), frame(HEADERS, 5, 1, b"\x40"))


@_case("4.3", "PRIORITY inside a header list", _PROTOCOL)
def _(talk: Talk) -> Any:
    return (
        talk.head(end=False, whole=False),
        frame(PRIORITY, 0, 1, _HEAVY),
        frame(CONTINUATION, END_HEADERS, 1, talk.dummies(1)),
    )


@_case("4.3", "another stream's HEADERS inside a header list", _PROTOCOL)
def _(talk: Talk) -> Any:
    return (
        talk.head(end=False, whole=False),
        talk.head(3),
        frame(CONTINUATION, END_HEADERS, 1, talk.dummies(1)),
    )


_add("5.1", "idle: DATA", _PROTOCOL, frame(DATA, END_STREAM, 1, b"test"))
_add("5.1", "idle: RST_STREAM", _PROTOCOL, reset(1, 8))
_add("5.1", "idle: WINDOW_UPDATE", _PROTOCOL, window_update(1, 100))
_add(
    "5.1",
    "idle: CONTINUATION",
    _PROTOCOL,
    lambda talk: frame(CONTINUATION, END_HEADERS, 1, talk.block(talk.request())),
)


def _continuation(talk: Talk) -> bytes:
    return frame(CONTINUATION, END_HEADERS, 1, talk.dummies(1))


_LAST = frame(DATA, END_STREAM, 1, b"test")
_STREAM_CLOSED = stream_error(STREAM_CLOSED)
_EITHER = stream_error(STREAM_CLOSED, PROTOCOL_ERROR)
_add("5.1", "half-closed: DATA", _STREAM_CLOSED, lambda talk: (talk.head(), _LAST))
_add("5.1", "half-closed: HEADERS", _STREAM_CLOSED, lambda talk: (talk.head(), talk.head()))
_add("5.1", "half-closed: CONTINUATION", _EITHER, lambda talk: (talk.head(), _continuation(talk)))

_RESET = reset(1, 8)
_add("5.1", "reset: DATA", _STREAM_CLOSED, lambda talk: (talk.head(end=False), _RESET, _LAST))
_add("5.1", "reset: HEADERS", _STREAM_CLOSED, lambda talk: (talk.head(end=False), _RESET, talk.head()))
_add("5.1", "reset: CONTINUATION", _EITHER, lambda talk: (talk.head(end=False), _RESET, _continuation(talk)))


def _answered(talk: Talk, *, end: bool = True) -> str:
    """Ask, and wait for all of the answer."""
    talk.send(talk.head(end=end))
    return stream_over(talk)


_add("5.1", "closed: DATA", _CLOSED, lambda talk: _answered(talk) or _LAST)
_add("5.1", "closed: HEADERS", _CLOSED, lambda talk: _answered(talk) or talk.head())
_add(
    "5.1",
    "closed: CONTINUATION",
    connection_error(STREAM_CLOSED, PROTOCOL_ERROR),
    lambda talk: _answered(talk) or _continuation(talk),
)

_add("5.1.1", "an even number", _PROTOCOL, lambda talk: talk.head(2))
_add("5.1.1", "a lower number", _PROTOCOL, lambda talk: (talk.head(5), talk.head(3)))
_add("5.1.1", "HEADERS on a half-closed stream", _STREAM_CLOSED, lambda talk: (talk.head(5), talk.head(5)))


@_case("5.1.2", "more streams than allowed", stream_error(PROTOCOL_ERROR, REFUSED_STREAM))
def _(talk: Talk) -> Any:
    block = talk.block(talk.request())
    streams = range(1, 2 * talk.settings[3] + 2, 2)
    return settings((4, 0)), *[talk.head(each, block=block) for each in streams]


_SELF = b"\0\0\0\1\xff"
_add("5.3.1", "HEADERS that depend on themselves", stream_error(PROTOCOL_ERROR), lambda talk: talk.head(priority=_SELF))
_add("5.3.1", "PRIORITY that depends on itself", stream_error(PROTOCOL_ERROR), frame(PRIORITY, 0, 1, _SELF))
_add("5.4.1", "PING on a stream closes the connection", closed, frame(PING, 0, 3, bytes(8)))
_add("5.4.1", "PING on a stream is told by GOAWAY (strict)", goaway(PROTOCOL_ERROR), frame(PING, 0, 3, bytes(8)))
_add("5.5", "an unknown frame", pong(), _UNKNOWN + _PING)
_add("5.5", "an unknown frame inside a header list", _PROTOCOL, lambda talk: (talk.head(whole=False), _UNKNOWN))
