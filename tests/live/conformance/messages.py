"""h2spec's ``http2`` group, sections 7 and 8: error codes and messages."""

from __future__ import annotations

from typing import Any

from balancer.model.headers import RawHeaders
from balancer.wire.http2.frames import (
    DATA,
    END_HEADERS,
    END_STREAM,
    GOAWAY,
    PING,
    PUSH_PROMISE,
    frame,
    reset,
)
from balancer.wire.http2.interface import PROTOCOL_ERROR
from tests.live.conformance.talk import Cases, Talk, closed, connection_error, frame_of, stream_error

__all__ = ["MESSAGES"]

MESSAGES = Cases("http2")
_add, _case = MESSAGES.add, MESSAGES.case
_MALFORMED = stream_error(PROTOCOL_ERROR)
_PING = frame(PING, 0, 0, bytes(8))


def _post(talk: Talk, *more: tuple[bytes, bytes]) -> bytes:
    return talk.head(headers=talk.request(b"POST", *more), end=False)


_add("7", "GOAWAY with an unknown code", closed, frame(GOAWAY, 0, 0, b"\0\0\0\0\0\0\0\xff"))
_add("7", "RST_STREAM with an unknown code", frame_of(PING), lambda talk: (_post(talk), reset(1, 0xFF), _PING))


@_case("8.1", "HEADERS behind DATA that do not end the stream", _MALFORMED)
def _(talk: Talk) -> Any:
    return _post(talk), frame(DATA, 0, 1, b"test"), talk.head(headers=[(b"x-test", b"ok")], end=False)


def _list(section: str, title: str, change: Any) -> None:
    def says(talk: Talk) -> bytes:
        fields: RawHeaders = change(talk.request())
        return talk.head(headers=fields)

    _add(section, title, _MALFORMED, says)


_list("8.1.2", "a name in upper case", lambda fields: [*fields, (b"X-TEST", b"ok")])
_list("8.1.2.1", "an unknown pseudo-field", lambda fields: [*fields, (b":test", b"ok")])
_list("8.1.2.1", "a response's pseudo-field", lambda fields: [*fields, (b":status", b"200")])


@_case("8.1.2.1", "a pseudo-field in trailers that do not end the stream", _MALFORMED)
def _(talk: Talk) -> Any:
    return _post(talk), frame(DATA, 0, 1, b"test"), talk.head(headers=[(b":method", b"POST")], end=False)


@_case("8.1.2.1", "a pseudo-field in trailers", _MALFORMED)
def _(talk: Talk) -> Any:
    return _post(talk), frame(DATA, 0, 1, b"test"), talk.head(headers=[(b":method", b"POST")])


_list("8.1.2.1", "pseudo-fields behind others", lambda fields: [(b"x-test", b"ok"), *fields])
_list("8.1.2.2", "connection", lambda fields: [*fields, (b"connection", b"keep-alive")])
_list("8.1.2.2", "te", lambda fields: [*fields, (b"trailers", b"test"), (b"te", b"trailers, deflate")])
_list("8.1.2.3", "an empty :path", lambda fields: [*fields[:2], (b":path", b""), fields[3]])
for _index, _name in enumerate((":method", ":scheme", ":path")):
    _list("8.1.2.3", f"no {_name}", lambda fields, at=_index: fields[:at] + fields[at + 1 :])
    _list("8.1.2.3", f"{_name} twice", lambda fields, at=_index: [*fields, fields[at]])
    _list("8.1.2.3", f"{_name} twice on end", lambda fields, at=_index: [*fields[:at], fields[at], *fields[at:]])
_list("8.1.2.3", "neither :method nor :scheme", lambda fields: fields[2:])


@_case("8.1.2.6", "content-length that is not the body's", _MALFORMED)
def _(talk: Talk) -> Any:
    return _post(talk, (b"content-length", b"1")), frame(DATA, END_STREAM, 1, b"test")


@_case("8.1.2.6", "content-length that is not that of several DATA", _MALFORMED)
def _(talk: Talk) -> Any:
    last = frame(DATA, END_STREAM, 1, b"test")
    return _post(talk, (b"content-length", b"1")), frame(DATA, 0, 1, b"test"), last


_add(
    "8.2",
    "PUSH_PROMISE",
    connection_error(PROTOCOL_ERROR),
    lambda talk: frame(PUSH_PROMISE, END_HEADERS, 1, b"\0\0\0\3" + talk.block(talk.request())),
)
