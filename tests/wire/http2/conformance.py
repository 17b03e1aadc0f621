"""What RFC 9113 and RFC 7541 want of a server for frames that are wrong, or odd and well: the cases that conformance suites try.

Each case is a section, what is sent, the frames (made by a function, as header lists are encoded for one connection), and the
outcomes that the section allows. ``reset`` is a stream error and may be a connection error instead (section 5.4.2 leaves it to the
receiver; libnghttp2 takes the liberty the other way once, in 6.9.2); ``alive`` means that nothing is refused and that a PING is
answered behind it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

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
    PRIORITY_FLAG,
    PUSH_PROMISE,
    RST_STREAM,
    SETTINGS,
    WINDOW_UPDATE,
    frame,
    goaway,
    reset,
    settings,
    window_update,
)
from balancer.wire.http2.interface import (
    CANCEL,
    COMPRESSION_ERROR,
    FLOW_CONTROL_ERROR,
    FRAME_SIZE_ERROR,
    PROTOCOL_ERROR,
    REFUSED_STREAM,
    STREAM_CLOSED,
)
from tests.wire.http2.peers import GET, POST, RawClient

__all__ = ["CASES", "Case"]

BOTH = END_HEADERS | END_STREAM


@dataclass(frozen=True)
class Case:
    section: str
    title: str
    bytes_of: Callable[[RawClient], bytes]
    outcomes: frozenset[str]
    answers: bool = True
    """Whether the server answers requests that are complete; else they stay open."""


def _connection(*codes: int) -> frozenset[str]:
    return frozenset(f"goaway {code}" for code in codes)


def _stream(number: int, *codes: int) -> frozenset[str]:
    return frozenset(f"reset {number} {code}" for code in codes) | _connection(*codes)


ALIVE = frozenset(["alive"])
CASES: list[Case] = []


def _case(section: str, title: str, outcomes: frozenset[str], *, answers: bool = True):  # type: ignore[no-untyped-def]
    def add(function: Callable[[RawClient], bytes]) -> Callable[[RawClient], bytes]:
        CASES.append(Case(section, title, function, outcomes, answers))
        return function

    return add


def _simple(section: str, title: str, data: bytes, outcomes: frozenset[str]) -> None:
    CASES.append(Case(section, title, lambda _: data, outcomes))


def _request(section: str, title: str, headers: list[tuple[bytes, bytes]], outcomes: frozenset[str]) -> None:
    CASES.append(Case(section, title, lambda peer: peer.headers(1, headers), outcomes))


def _block(section: str, title: str, block: bytes) -> None:
    _simple(section, title, frame(HEADERS, BOTH, 1, block), _connection(COMPRESSION_ERROR))


def _without(name: bytes) -> list[tuple[bytes, bytes]]:
    return [pair for pair in GET if pair[0] != name]


# 3, 4: frames as such.

_simple("4.1", "a frame of an unknown type is ignored", frame(0x16, 0, 0, b"12345678"), ALIVE)
_simple("4.1", "flags without a meaning are ignored", frame(PING, 0x16, 0, b"12345678"), ALIVE)
_simple("4.1", "the reserved bit is ignored", frame(PING, 0, 0x80000000, b"12345678"), ALIVE)
_simple("4.2", "SETTINGS larger than allowed", frame(SETTINGS, 0, 0, bytes(16386)), _connection(FRAME_SIZE_ERROR))


@_case("4.2", "DATA as large as allowed", ALIVE)
def _(peer: RawClient) -> bytes:
    return peer.headers(1, POST, flags=END_HEADERS) + frame(DATA, END_STREAM, 1, bytes(16384))


@_case("4.2", "DATA larger than allowed", _stream(1, FRAME_SIZE_ERROR))
def _(peer: RawClient) -> bytes:
    return peer.headers(1, POST, flags=END_HEADERS) + frame(DATA, END_STREAM, 1, bytes(16385))


_simple("4.2", "HEADERS larger than allowed", frame(HEADERS, BOTH, 1, bytes(16385)), _connection(FRAME_SIZE_ERROR))
_block("4.3", "a header list that cannot be decoded", b"\x40\x0axxxx")


@_case("4.3", "PRIORITY inside a header list", _connection(PROTOCOL_ERROR))
def _(peer: RawClient) -> bytes:
    return peer.headers(1, GET, flags=END_STREAM) + frame(PRIORITY, 0, 1, b"\0\0\0\0\xff")


@_case("4.3", "HEADERS of another stream inside a header list", _connection(PROTOCOL_ERROR))
def _(peer: RawClient) -> bytes:
    return peer.headers(1, GET, flags=END_STREAM) + peer.headers(3, GET)


# 5.1: the states of streams.

_simple("5.1", "idle: DATA", frame(DATA, END_STREAM, 1, b"test"), _connection(PROTOCOL_ERROR))
_simple("5.1", "idle: RST_STREAM", reset(1, CANCEL), _connection(PROTOCOL_ERROR))
_simple("5.1", "idle: WINDOW_UPDATE", window_update(1, 100), _connection(PROTOCOL_ERROR))
_simple("5.1", "idle: CONTINUATION", frame(CONTINUATION, END_HEADERS, 1, b"\x82"), _connection(PROTOCOL_ERROR))
_simple("5.1", "idle: PRIORITY is allowed", frame(PRIORITY, 0, 1, b"\0\0\0\0\xff"), ALIVE)


@_case("5.1", "half-closed (remote): DATA", _stream(1, STREAM_CLOSED), answers=False)
def _(peer: RawClient) -> bytes:
    return peer.headers(1, GET) + frame(DATA, END_STREAM, 1, b"test")


@_case("5.1", "half-closed (remote): HEADERS", _stream(1, STREAM_CLOSED), answers=False)
def _(peer: RawClient) -> bytes:
    return peer.headers(1, GET) + peer.headers(1, GET)


@_case("5.1", "half-closed (remote): CONTINUATION", _connection(STREAM_CLOSED, PROTOCOL_ERROR), answers=False)
def _(peer: RawClient) -> bytes:
    return peer.headers(1, GET) + frame(CONTINUATION, END_HEADERS, 1, peer.block(GET))


@_case("5.1", "half-closed (remote): WINDOW_UPDATE, PRIORITY and RST_STREAM are allowed", ALIVE, answers=False)
def _(peer: RawClient) -> bytes:
    return peer.headers(1, GET) + window_update(1, 1000) + frame(PRIORITY, 0, 1, b"\0\0\0\0\xff") + reset(1, CANCEL)


@_case("5.1", "closed by RST_STREAM: DATA", _stream(1, STREAM_CLOSED), answers=False)
def _(peer: RawClient) -> bytes:
    return peer.headers(1, POST, flags=END_HEADERS) + reset(1, CANCEL) + frame(DATA, END_STREAM, 1, b"test")


@_case("5.1", "closed by RST_STREAM: HEADERS", _stream(1, STREAM_CLOSED), answers=False)
def _(peer: RawClient) -> bytes:
    return peer.headers(1, POST, flags=END_HEADERS) + reset(1, CANCEL) + peer.headers(1, [(b"x", b"y")])


@_case("5.1", "closed by RST_STREAM: CONTINUATION", _connection(STREAM_CLOSED, PROTOCOL_ERROR), answers=False)
def _(peer: RawClient) -> bytes:
    return peer.headers(1, POST, flags=END_HEADERS) + reset(1, CANCEL) + frame(CONTINUATION, END_HEADERS, 1, b"\x82")


@_case("5.1", "closed by END_STREAM: DATA", _stream(1, STREAM_CLOSED))
def _(peer: RawClient) -> bytes:
    peer.send(peer.headers(1, GET))
    return frame(DATA, END_STREAM, 1, b"test")


@_case("5.1", "closed by END_STREAM: HEADERS", _connection(STREAM_CLOSED))
def _(peer: RawClient) -> bytes:
    peer.send(peer.headers(1, GET))
    return peer.headers(1, GET)


@_case("5.1", "closed by END_STREAM: CONTINUATION", _connection(STREAM_CLOSED, PROTOCOL_ERROR))
def _(peer: RawClient) -> bytes:
    peer.send(peer.headers(1, GET))
    return frame(CONTINUATION, END_HEADERS, 1, peer.block(GET))


@_case("5.1", "closed: WINDOW_UPDATE, RST_STREAM and PRIORITY are ignored", ALIVE)
def _(peer: RawClient) -> bytes:
    peer.send(peer.headers(1, GET))
    return window_update(1, 1000) + reset(1, CANCEL) + frame(PRIORITY, 0, 1, b"\0\0\0\0\xff")


@_case("5.1.1", "a stream with an even number", _connection(PROTOCOL_ERROR))
def _(peer: RawClient) -> bytes:
    return peer.headers(2, GET)


@_case("5.1.1", "a stream with a lower number than the one before", _connection(PROTOCOL_ERROR))
def _(peer: RawClient) -> bytes:
    return peer.headers(5, GET) + peer.headers(3, GET)


@_case("5.1.1", "DATA on a stream that was left out", _connection(PROTOCOL_ERROR, STREAM_CLOSED))
def _(peer: RawClient) -> bytes:
    return peer.headers(5, GET) + frame(DATA, 0, 3, b"test")


@_case("5.1.2", "more streams than allowed", _stream(201, PROTOCOL_ERROR, REFUSED_STREAM), answers=False)
def _(peer: RawClient) -> bytes:
    return b"".join(peer.headers(number, GET) for number in range(1, 203, 2))


# 5.3 to 5.5

_PRIORITIES = b"\0\0\0\1\xff"
_simple("5.3.1", "PRIORITY that depends on itself", frame(PRIORITY, 0, 1, _PRIORITIES), _stream(1, PROTOCOL_ERROR))


@_case("5.3.1", "HEADERS that depend on themselves", _stream(1, PROTOCOL_ERROR))
def _(peer: RawClient) -> bytes:
    return frame(HEADERS, BOTH | PRIORITY_FLAG, 1, _PRIORITIES + peer.block(GET))


_simple("5.4.1", "a PING too short ends the connection", frame(PING, 0, 0, b"1234"), _connection(FRAME_SIZE_ERROR))


@_case("5.5", "an unknown frame inside a header list", _connection(PROTOCOL_ERROR))
def _(peer: RawClient) -> bytes:
    block = peer.block(GET)
    return (
        frame(HEADERS, END_STREAM, 1, block[:2])
        + frame(0x16, 0, 0, b"12345678")
        + frame(CONTINUATION, END_HEADERS, 1, block[2:])
    )


# 6.1 DATA, 6.2 HEADERS

_simple("6.1", "DATA on no stream", frame(DATA, END_STREAM, 0, b"test"), _connection(PROTOCOL_ERROR))


@_case("6.1", "more padding than payload in DATA", _connection(PROTOCOL_ERROR))
def _(peer: RawClient) -> bytes:
    return peer.headers(1, POST, flags=END_HEADERS) + frame(DATA, END_STREAM | PADDED, 1, b"\x06Test")


@_case("6.1", "padding is left out of DATA", ALIVE)
def _(peer: RawClient) -> bytes:
    return peer.headers(1, POST, (b"content-length", b"4"), flags=END_HEADERS) + frame(
        DATA, END_STREAM | PADDED, 1, b"\x06Test" + bytes(6)
    )


@_case("6.1", "DATA of nothing but padding", ALIVE)
def _(peer: RawClient) -> bytes:
    return (
        peer.headers(1, POST, flags=END_HEADERS)
        + frame(DATA, PADDED, 1, b"\0")
        + frame(DATA, END_STREAM | PADDED, 1, b"\xff" + bytes(255))
    )


@_case("6.2", "HEADERS on no stream", _connection(PROTOCOL_ERROR))
def _(peer: RawClient) -> bytes:
    return peer.headers(0, GET)


@_case("6.2", "more padding than payload in HEADERS", _connection(PROTOCOL_ERROR))
def _(peer: RawClient) -> bytes:
    block = peer.block(GET)
    return frame(HEADERS, BOTH | PADDED, 1, bytes([len(block) + 1]) + block)


@_case("6.2", "padding and a priority in HEADERS", ALIVE)
def _(peer: RawClient) -> bytes:
    return frame(HEADERS, BOTH | PADDED | PRIORITY_FLAG, 1, b"\x03\x80\0\0\x05\x10" + peer.block(GET) + bytes(3))


_simple(
    "6.2",
    "HEADERS too short for its padding",
    frame(HEADERS, BOTH | PADDED, 1),
    _connection(PROTOCOL_ERROR, FRAME_SIZE_ERROR),
)
_simple(
    "6.2",
    "HEADERS too short for its priority",
    frame(HEADERS, BOTH | PRIORITY_FLAG, 1, b"\0\0\0"),
    _connection(PROTOCOL_ERROR, FRAME_SIZE_ERROR),
)

# 6.3 PRIORITY, 6.4 RST_STREAM

_simple("6.3", "PRIORITY on no stream", frame(PRIORITY, 0, 0, b"\0\0\0\1\xff"), _connection(PROTOCOL_ERROR))
_simple("6.3", "PRIORITY too short", frame(PRIORITY, 0, 1, b"\0\0\0\1"), _stream(1, FRAME_SIZE_ERROR))
_simple("6.4", "RST_STREAM on no stream", reset(0, CANCEL), _connection(PROTOCOL_ERROR))


@_case("6.4", "RST_STREAM too short", _connection(FRAME_SIZE_ERROR), answers=False)
def _(peer: RawClient) -> bytes:
    return peer.headers(1, GET) + frame(RST_STREAM, 0, 1, b"\0\0\0")


# 6.5 SETTINGS

_simple("6.5", "an acknowledgement with a payload", frame(SETTINGS, ACK, 0, b"\0"), _connection(FRAME_SIZE_ERROR))
_simple("6.5", "SETTINGS on a stream", frame(SETTINGS, 0, 1, b"\0\3\0\0\0\x64"), _connection(PROTOCOL_ERROR))
_simple("6.5", "SETTINGS cut short", frame(SETTINGS, 0, 0, b"\0\3\0"), _connection(FRAME_SIZE_ERROR))
_simple("6.5.2", "ENABLE_PUSH of 2", settings((2, 2)), _connection(PROTOCOL_ERROR))
_simple("6.5.2", "INITIAL_WINDOW_SIZE too large", settings((4, 1 << 31)), _connection(FLOW_CONTROL_ERROR))
_simple("6.5.2", "MAX_FRAME_SIZE too small", settings((5, 16383)), _connection(PROTOCOL_ERROR))
_simple("6.5.2", "MAX_FRAME_SIZE too large", settings((5, 1 << 24)), _connection(PROTOCOL_ERROR))
_simple("6.5.2", "an unknown setting is ignored", settings((0xFF, 1)), ALIVE)
_simple("6.5.3", "SETTINGS are taken in their order", settings((4, 100), (4, 1)), ALIVE)

# 6.6 PUSH_PROMISE, 6.7 PING, 6.8 GOAWAY


@_case("6.6", "PUSH_PROMISE from a client", _connection(PROTOCOL_ERROR), answers=False)
def _(peer: RawClient) -> bytes:
    return peer.headers(1, GET) + frame(PUSH_PROMISE, END_HEADERS, 1, b"\0\0\0\2" + peer.block(GET))


_simple("6.7", "an answer to no PING", frame(PING, ACK, 0, b"invalid!"), ALIVE)
_simple("6.7", "PING on a stream", frame(PING, 0, 1, b"12345678"), _connection(PROTOCOL_ERROR))
_simple("6.7", "PING too short", frame(PING, 0, 0, b"123456"), _connection(FRAME_SIZE_ERROR))
_simple("6.8", "GOAWAY on a stream", frame(GOAWAY, 0, 1, bytes(8)), _connection(PROTOCOL_ERROR))
_simple("6.8", "GOAWAY too short", frame(GOAWAY, 0, 0, bytes(7)), _connection(FRAME_SIZE_ERROR, PROTOCOL_ERROR))

# 6.9 WINDOW_UPDATE

_simple("6.9", "WINDOW_UPDATE of the connection by nothing", window_update(0, 0), _connection(PROTOCOL_ERROR))
_simple("6.9", "WINDOW_UPDATE too short", frame(WINDOW_UPDATE, 0, 0, b"\0\0\1"), _connection(FRAME_SIZE_ERROR))


@_case("6.9", "WINDOW_UPDATE of a stream by nothing", _stream(1, PROTOCOL_ERROR), answers=False)
def _(peer: RawClient) -> bytes:
    return peer.headers(1, GET) + window_update(1, 0)


_simple("6.9.1", "the connection's window too large", window_update(0, HIGHEST) * 2, _connection(FLOW_CONTROL_ERROR))


@_case("6.9.1", "a stream's window too large", _stream(1, FLOW_CONTROL_ERROR), answers=False)
def _(peer: RawClient) -> bytes:
    return peer.headers(1, GET) + window_update(1, HIGHEST) * 2


@_case("6.9.2", "a stream's window too large by SETTINGS", _stream(1, FLOW_CONTROL_ERROR), answers=False)
def _(peer: RawClient) -> bytes:
    return peer.headers(1, GET) + window_update(1, HIGHEST - 65535) + settings((4, 65536))


@_case("6.9", "more DATA than the stream's window", _stream(1, FLOW_CONTROL_ERROR), answers=False)
def _(peer: RawClient) -> bytes:
    return peer.headers(1, POST, flags=END_HEADERS) + frame(DATA, 0, 1, bytes(16384)) * 5


# 6.10 CONTINUATION


@_case("6.10", "several CONTINUATION frames", ALIVE)
def _(peer: RawClient) -> bytes:
    block = peer.block(GET, (b"x-long", b"a" * 100))
    return (
        frame(HEADERS, END_STREAM, 1, block[:5])
        + frame(CONTINUATION, 0, 1, block[5:10])
        + frame(CONTINUATION, END_HEADERS, 1, block[10:])
    )


@_case("6.10", "CONTINUATION, then DATA", _connection(PROTOCOL_ERROR))
def _(peer: RawClient) -> bytes:
    block = peer.block(POST)
    return frame(HEADERS, 0, 1, block[:3]) + frame(CONTINUATION, 0, 1, block[3:]) + frame(DATA, END_STREAM, 1, b"test")


@_case("6.10", "CONTINUATION on no stream", _connection(PROTOCOL_ERROR))
def _(peer: RawClient) -> bytes:
    block = peer.block(GET)
    return frame(HEADERS, END_STREAM, 1, block[:3]) + frame(CONTINUATION, END_HEADERS, 0, block[3:])


@_case("6.10", "CONTINUATION of a header list that is complete", _connection(PROTOCOL_ERROR), answers=False)
def _(peer: RawClient) -> bytes:
    return peer.headers(1, POST, flags=END_HEADERS) + frame(CONTINUATION, END_HEADERS, 1, b"\x82")


@_case("6.10", "CONTINUATION behind DATA", _connection(PROTOCOL_ERROR))
def _(peer: RawClient) -> bytes:
    return (
        peer.headers(1, POST, flags=END_HEADERS)
        + frame(DATA, 0, 1, b"test")
        + frame(CONTINUATION, END_HEADERS, 1, b"\x82")
    )


# 7: unknown error codes mean nothing special.

# The peer is leaving, and no stream is open: libnghttp2 says nothing any more, and the connection is to be closed.
_simple("7", "GOAWAY with an unknown code", goaway(0, 0xFF), ALIVE | {"silent"})


@_case("7", "RST_STREAM with an unknown code", ALIVE, answers=False)
def _(peer: RawClient) -> bytes:
    return peer.headers(1, GET) + reset(1, 0xFF)


# 8: messages.


@_case("8.1", "trailers that do not end the stream", _stream(1, PROTOCOL_ERROR))
def _(peer: RawClient) -> bytes:
    return peer.headers(1, POST, flags=END_HEADERS) + peer.headers(1, [(b"x", b"y")], flags=END_HEADERS)


_MALFORMED = _stream(1, PROTOCOL_ERROR)
_request("8.2", "a name in upper case", [*GET, (b"X-TEST", b"ok")], _MALFORMED)
_request("8.2.1", "a line's end in a value", [*GET, (b"x-test", b"a\r\nb: c")], _MALFORMED)
_request("8.2.1", "a line feed in a value", [*GET, (b"x-test", b"a\nb")], _MALFORMED)
_request("8.2.1", "NUL in a value", [*GET, (b"x-test", b"a\0b")], _MALFORMED)
_request("8.2.1", "a blank before a value", [*GET, (b"x-test", b" a")], _MALFORMED)
_request("8.2.1", "a tab behind a value", [*GET, (b"x-test", b"a\t")], _MALFORMED)
_request("8.2.1", "a blank in a name", [*GET, (b"x test", b"a")], _MALFORMED)
_request("8.2.1", "a colon in a name", [*GET, (b"x:test", b"a")], _MALFORMED)
_request("8.2.1", "a line's end in a name", [*GET, (b"x\r\ntest", b"a")], _MALFORMED)
_request("8.2.1", "an empty name", [*GET, (b"", b"a")], _MALFORMED)
_request("8.2.1", "an empty value is allowed", [*GET, (b"x-test", b"")], ALIVE)
for _name in (b"connection", b"keep-alive", b"proxy-connection", b"transfer-encoding", b"upgrade"):
    _request("8.2.2", f"{_name.decode()} is of HTTP/1", [*GET, (_name, b"close")], _MALFORMED)
_request("8.2.2", "te other than trailers", [*GET, (b"te", b"trailers, deflate")], _MALFORMED)
_request("8.2.2", "te: trailers is allowed", [*GET, (b"te", b"trailers")], ALIVE)
_request("8.3", "an unknown pseudo-field", [*GET, (b":test", b"ok")], _MALFORMED)
_request("8.3", "a pseudo-field of responses", [*GET, (b":status", b"200")], _MALFORMED)
_request("8.3", "a pseudo-field behind others", [*GET[:3], (b"x-test", b"ok"), GET[3]], _MALFORMED)


@_case("8.3", "a pseudo-field in trailers", _MALFORMED)
def _(peer: RawClient) -> bytes:
    return peer.headers(1, POST, flags=END_HEADERS) + peer.headers(1, [(b":method", b"GET")])


for _name in (b":method", b":scheme", b":path"):
    _request("8.3.1", f"no {_name.decode()}", _without(_name), _MALFORMED)
for _name, _value in GET:
    _request("8.3.1", f"{_name.decode()} twice", [*GET[:2], (_name, _value), *GET[2:]], _MALFORMED)
_request("8.3.1", "an empty :path", [*GET[:3], (b":path", b"")], _MALFORMED)
_request("8.3.1", "a :path without a slash", [*GET[:3], (b":path", b"index.html")], _MALFORMED)
_request("8.3.1", "a blank in :path", [*GET[:3], (b":path", b"/ HTTP/1.1")], _MALFORMED)
_request("8.3.1", "a line's end in :path", [*GET[:3], (b":path", b"/\r\nx: y")], _MALFORMED)
_request("8.3.1", "a blank in :method", [(b":method", b"GET /"), *GET[1:]], _MALFORMED)
_request("8.3.1", "a line's end in :method", [(b":method", b"GET\r\n"), *GET[1:]], _MALFORMED)
_request("8.3.1", "an empty :method", [(b":method", b""), *GET[1:]], _MALFORMED)
_request("8.3.1", ":path * of GET", [*GET[:3], (b":path", b"*")], _MALFORMED)
_request("8.3.1", ":path * of OPTIONS", [(b":method", b"OPTIONS"), *GET[1:3], (b":path", b"*")], ALIVE)
_request("8.3.1", "neither :authority nor host", _without(b":authority"), _MALFORMED)
_request("8.3.1", "host in place of :authority", [*_without(b":authority"), (b"host", b"shop.example")], ALIVE)
_request("8.3.1", "host besides :authority", [*GET, (b"host", b"shop.example")], ALIVE)
_request("8.3.1", "host that is not :authority", [*GET, (b"host", b"other.example")], _MALFORMED)
_request("8.3.1", "host twice", [*GET, (b"host", b"shop.example"), (b"host", b"shop.example")], _MALFORMED)
_request("8.3.1", "user information in :authority", [*GET[:2], (b":authority", b"me@shop.example"), GET[3]], _MALFORMED)
_request("8.3.1", "a line's end in :authority", [*GET[:2], (b":authority", b"a\r\nb"), GET[3]], _MALFORMED)
_request("8.3.1", "an empty :authority", [*GET[:2], (b":authority", b""), GET[3]], _MALFORMED)
_request("8.3.1", "a :scheme that is none", [GET[0], (b":scheme", b"ht tp"), *GET[2:]], _MALFORMED)
_request("8.5", "CONNECT", [(b":method", b"CONNECT"), (b":authority", b"a.example:443")], ALIVE)
_request(
    "8.5", "CONNECT with :path", [(b":method", b"CONNECT"), (b":authority", b"a:443"), (b":path", b"/")], _MALFORMED
)
_request("8.5", "CONNECT with :scheme", [(b":method", b"CONNECT"), (b":scheme", b"https"), GET[2]], _MALFORMED)
_request("8.5", "CONNECT without :authority", [(b":method", b"CONNECT")], _MALFORMED)
_request(
    "RFC 8441",
    ":protocol where it was not announced",
    [(b":method", b"CONNECT"), (b":protocol", b"websocket"), *GET[1:]],
    _MALFORMED,
)


@_case("8.1.1", "content-length, and no body", _MALFORMED)
def _(peer: RawClient) -> bytes:
    return peer.headers(1, POST, (b"content-length", b"1"))


@_case("8.1.1", "content-length that is not the body's", _MALFORMED)
def _(peer: RawClient) -> bytes:
    return peer.headers(1, POST, (b"content-length", b"1"), flags=END_HEADERS) + frame(DATA, END_STREAM, 1, b"test")


@_case("8.1.1", "content-length that is not that of several DATA", _MALFORMED)
def _(peer: RawClient) -> bytes:
    return (
        peer.headers(1, POST, (b"content-length", b"1"), flags=END_HEADERS)
        + frame(DATA, 0, 1, b"test")
        + frame(DATA, END_STREAM, 1, b"test")
    )


@_case("8.1.1", "less than content-length, then trailers", _MALFORMED)
def _(peer: RawClient) -> bytes:
    return (
        peer.headers(1, POST, (b"content-length", b"9"), flags=END_HEADERS)
        + frame(DATA, 0, 1, b"test")
        + peer.headers(1, [(b"x", b"y")])
    )


for _value in (b"", b"-1", b"+1", b"1 ", b"1,1", b"0x1", b"99999999999999999999999"):
    _request("8.1.1", f"content-length: {_value.decode()}", [*POST, (b"content-length", _value)], _MALFORMED)
_request("8.1.1", "content-length twice", [*POST, (b"content-length", b"0"), (b"content-length", b"0")], _MALFORMED)

# RFC 7541.

_WELL = b"\x82\x87\x84\x41\x01a"
_block("HPACK 2.3.3", "an index beyond the tables", _WELL + b"\xc6")
_block("HPACK 2.3.3", "a name's index beyond the tables", _WELL + b"\x7f\x0f\x01a")
_block("HPACK 4.2", "a change of the table's size behind a field", _WELL + b"\x20")
_block("HPACK 5.1", "a number that has no end", _WELL + b"\xff" + b"\xff" * 10)
_block(
    "HPACK 5.2", "Huffman padding longer than seven bits", _WELL + b"\x00\x85\xf2\xb2\x4a\x84\xff\x84\x49\x50\x9f\xff"
)
_block("HPACK 5.2", "Huffman padding of zeroes", _WELL + b"\x00\x85\xf2\xb2\x4a\x84\xff\x83\x49\x50\x90")
_block(
    "HPACK 5.2",
    "the end-of-string symbol in a string",
    _WELL + b"\x00\x85\xf2\xb2\x4a\x84\xff\x87\x49\x51\xff\xff\xff\xfa\x7f",
)
_block("HPACK 6.1", "index 0", _WELL + b"\x80")
_block("HPACK 6.3", "a table larger than allowed", b"\x3f\xe2\x1f" + _WELL)
_block("HPACK 5.2", "a string longer than the block", _WELL + b"\x00\x01x\x7f")


@_case("HPACK", "each way of writing a field", ALIVE)
def _(peer: RawClient) -> bytes:
    block = (
        b"\x20\x3f\xe1\x1f"  # the table emptied, and as large as it was
        + _WELL
        + b"\x40\x06x-name\x05value"  # a new name, to be kept
        + b"\xbe"  # the same again
        + b"\x0f\x2f\x01b"  # a name from the table, not to be kept
        + b"\x00\x02x1\x00"  # a new name, not to be kept
        + b"\x10\x02x2\x01v"  # never to be kept
        + b"\x00\x82\xf2\xb7\x81\x07"  # Huffman: "x1" and "0"
    )
    return frame(HEADERS, BOTH, 1, block)
