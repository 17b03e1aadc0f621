"""h2spec's ``generic`` group: what every server does."""

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
    PADDED,
    PING,
    PREFACE,
    PRIORITY,
    SETTINGS,
    frame,
    reset,
    settings,
    window_update,
)
from tests.live.conformance.talk import (
    Cases,
    Talk,
    closed,
    frame_of,
    headers_on,
    pong,
    settings_ack,
    stream_over,
)

__all__ = ["GENERIC"]

GENERIC = Cases("generic")
_add, _case = GENERIC.add, GENERIC.case
_PING = frame(PING, 0, 0, bytes(8))
_HEAVY = b"\0\0\0\0\xff"


def _first_is_settings(talk: Talk) -> str:
    came = talk.next()
    return "" if came is not None and came[0] == SETTINGS and not came[1] & ACK else f"{talk.seen} {talk.ended}"


def _pong_or_closed(talk: Talk) -> str:
    found = pong()(talk)
    return "" if talk.ended.startswith("closed") else found


_add("1", "the preface", _first_is_settings, PREFACE + settings((4, 65535)), raw=True)

_add("2", "PRIORITY on an idle stream", pong(), frame(PRIORITY, 0, 1, _HEAVY) + _PING)


@_case("2", "WINDOW_UPDATE on a half-closed stream", frame_of(DATA))
def _(talk: Talk) -> Any:
    return settings((4, 0)), talk.head(), window_update(1, 1)


@_case("2", "PRIORITY on a half-closed stream", frame_of(DATA))
def _(talk: Talk) -> Any:
    return settings((4, 0)), talk.head(), frame(PRIORITY, 0, 1, _HEAVY), window_update(1, 1)


@_case("2", "RST_STREAM on a half-closed stream", _pong_or_closed)
def _(talk: Talk) -> Any:
    return talk.head(), reset(1, 8), _PING


@_case("2", "PRIORITY on a closed stream", pong())
def _(talk: Talk) -> Any:
    talk.send(talk.head())
    return stream_over(talk) or (frame(PRIORITY, 0, 1, _HEAVY), _PING)


def _post(talk: Talk) -> bytes:
    return talk.head(headers=talk.request(b"POST"), end=False)


@_case("3.1", "DATA", headers_on(1))
def _(talk: Talk) -> Any:
    return _post(talk), frame(DATA, END_STREAM, 1, b"test")


@_case("3.1", "several DATA", headers_on(1))
def _(talk: Talk) -> Any:
    return _post(talk), frame(DATA, 0, 1, b"test"), frame(DATA, END_STREAM, 1, b"test")


@_case("3.1", "DATA with padding", headers_on(1))
def _(talk: Talk) -> Any:
    return _post(talk), frame(DATA, END_STREAM | PADDED, 1, b"\x06testpadded")


_add("3.2", "HEADERS", headers_on(1), lambda talk: talk.head())
_add("3.2", "HEADERS with padding", headers_on(1), lambda talk: talk.head(padding=8))
_add("3.2", "HEADERS with a priority", headers_on(1), lambda talk: talk.head(priority=_HEAVY))
for _title, _stream, _priority in (
    ("a priority of 1", 1, b"\0\0\0\0\0"),
    ("a priority of 256", 1, _HEAVY),
    ("a dependency", 3, b"\0\0\0\1\0"),
    ("an exclusive dependency", 1, b"\x80\0\0\0\0"),
    ("an idle stream above", 3, _HEAVY),
):
    _said = frame(PRIORITY, 0, _stream, _priority)
    _add("3.3", f"PRIORITY with {_title}", headers_on(1), lambda talk, said=_said: (said, talk.head()))


@_case("3.4", "RST_STREAM", pong())
def _(talk: Talk) -> Any:
    return talk.head(end=False), reset(1, 8), _PING


_add("3.5", "SETTINGS", settings_ack, settings((1, 4096), (2, 1), (3, 100), (4, 65535), (5, 16384), (6, 100)))
_add("3.7", "PING", pong(b"h2spec\0\0"), frame(PING, 0, 0, b"h2spec\0\0"))
_add("3.8", "GOAWAY", closed, frame(GOAWAY, 0, 0, bytes(8) + b"h2spec"))
_add("3.8", "GOAWAY, and a PING behind it", _pong_or_closed, frame(GOAWAY, 0, 0, bytes(8)) + _PING)
_add("3.9", "WINDOW_UPDATE of the connection", pong(), window_update(0, 1) + _PING)
_add("3.9", "WINDOW_UPDATE of a stream", frame_of(HEADERS), lambda talk: (talk.head(), window_update(1, 1)))


@_case("3.10", "CONTINUATION", headers_on(1))
def _(talk: Talk) -> Any:
    block = talk.block(talk.request())
    return talk.head(block=block[:5], whole=False), frame(CONTINUATION, END_HEADERS, 1, block[5:])


@_case("3.10", "several CONTINUATION", headers_on(1))
def _(talk: Talk) -> Any:
    block = talk.block(talk.request())
    return (
        talk.head(block=block[:5], whole=False),
        frame(CONTINUATION, 0, 1, block[5:10]),
        frame(CONTINUATION, END_HEADERS, 1, block[10:]),
    )


_add("4", "GET", headers_on(1), lambda talk: talk.head())
_add("4", "HEAD", headers_on(1), lambda talk: talk.head(headers=talk.request(b"HEAD")))
_add("4", "POST", headers_on(1), lambda talk: (_post(talk), frame(DATA, END_STREAM, 1, b"test")))


@_case("4", "POST with trailers", headers_on(1))
def _(talk: Talk) -> Any:
    return (
        talk.head(headers=talk.request(b"POST", (b"trailer", b"x-test")), end=False),
        frame(DATA, 0, 1, b"test"),
        talk.head(headers=[(b"x-test", b"ok")]),
    )


_AGENT, _AGENT_HUFFMAN = b"\x0auser-agent", b"\x87\xb5\x05\xb1\x61\xcc\x5a\x93"
_TEST, _TEST_HUFFMAN = b"\x06x-test", b"\x85\xf2\xb2\x4a\x84\xff"
_VALUE, _VALUE_HUFFMAN = b"\x06h2spec", b"\x84\x9c\x48\xac\xa4"
for _kind, _first, _indexed in (
    ("with indexing", b"\x40", b"\x7a"),
    ("without indexing", b"\x00", b"\x0f\x2b"),
    ("never indexed", b"\x10", b"\x1f\x2b"),
):
    for _title, _representation in (
        ("a name", _first + _AGENT + _VALUE),
        ("a name, Huffman", _first + _AGENT_HUFFMAN + _VALUE_HUFFMAN),
        ("a new name", _first + _TEST + _VALUE),
        ("a new name, Huffman", _first + _TEST_HUFFMAN + _VALUE_HUFFMAN),
        ("an indexed name", _indexed + _VALUE),
        ("an indexed name, Huffman", _indexed + _VALUE_HUFFMAN),
    ):
        _add(
            "5",
            f"literal {_kind}, {_title}",
            headers_on(1),
            lambda talk, said=_representation: talk.head(block=talk.block(talk.request()) + said),
        )
_add("5", "indexed field", headers_on(1), lambda talk: talk.head(block=talk.block(talk.request()) + b"\xba"))
_add("5", "a table emptied", headers_on(1), lambda talk: talk.head(block=b"\x20" + talk.block(talk.request())))
_add(
    "5",
    "a table emptied and filled",
    headers_on(1),
    lambda talk: talk.head(block=b"\x20\x3f\xe1\x1f" + talk.block(talk.request())),
)
