"""What a client says first on a TLS connection: its ClientHello, read without taking part in the handshake.

:class:`HelloReader` is fed a connection's first bytes until it has a verdict::

    UNDECIDED ──▶ HELLO        a whole ClientHello was read: see ``hello``
              ├─▶ NOT_TLS      it is some other protocol, seen at the first byte where that says so
              ├─▶ MALFORMED    it began as TLS and is none (or is SSL 2.0, which nobody may speak: RFC 6176)
              └─▶ TOO_LARGE    the hello is longer than is waited for

A verdict depends on the bytes alone, never on how they were split, and is final. Nothing beyond the hello is looked at.
Records may be of any version that begins with 3 (RFC 8446 section 5.1), and a hello may be cut into records anywhere. What a client
puts in to keep servers tolerant (GREASE, RFC 8701; padding, RFC 7685) is passed over. With Encrypted Client Hello the name is that of
the outer hello.

This is no defence of the server behind: it only tells what the server will be asked, and refuses what can be read in two ways.
"""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass

__all__ = [
    "DECODE_ERROR",
    "NO_APPLICATION_PROTOCOL",
    "UNRECOGNIZED_NAME",
    "ClientHello",
    "HelloReader",
    "Verdict",
    "alert",
]

DECODE_ERROR = 50
UNRECOGNIZED_NAME = 112
NO_APPLICATION_PROTOCOL = 120
"""Descriptions of alerts (RFC 8446 section 6)."""

_HANDSHAKE = 22
_CLIENT_HELLO = 1
_RECORD_HEADER = 5
_MESSAGE_HEADER = 4
_LONGEST_RECORD = 16384
_SERVER_NAME, _ALPN, _SUPPORTED_VERSIONS, _ECH = 0, 16, 43, 0xFE0D
_VERSIONS = {0x0300: "SSLv3", 0x0301: "TLSv1", 0x0302: "TLSv1.1", 0x0303: "TLSv1.2", 0x0304: "TLSv1.3"}
_NAME = re.compile(rb"(?=.{1,253}\Z)[A-Za-z0-9_-]{1,63}(?:\.[A-Za-z0-9_-]{1,63})*\Z")


class Verdict(enum.Enum):
    """What the first bytes of a connection turned out to be."""

    UNDECIDED = "undecided"
    HELLO = "hello"
    NOT_TLS = "not TLS"
    MALFORMED = "malformed"
    TOO_LARGE = "too large"


@dataclass(frozen=True, slots=True)
class ClientHello:
    """What a client asks for.

    ``server_name`` is in lower case and without a final dot, in the form of the wire (IDNA: ``xn--…``), ``""`` if none was sent;
    ``alpn`` the protocols offered, in the client's order, bytes as Latin-1 text; ``versions`` the TLS versions offered, in the
    client's order and named as OpenSSL does, or only the highest where the client has no list of them; ``ech`` whether there may be another,
    encrypted hello in this one.
    """

    server_name: str = ""
    alpn: tuple[str, ...] = ()
    versions: tuple[str, ...] = ()
    ech: bool = False


class _BadHello(Exception):  # noqa: N818
    """The hello is not well-formed; says what is wrong."""


class HelloReader:
    """Reads a ClientHello from bytes as they come.

    Args:
        limit: most bytes of the connection, headers of records included, in which the hello must be complete.

    ``verdict`` says what is known so far; ``hello`` is the hello, once it is :attr:`Verdict.HELLO`; ``detail`` says what is wrong
    with it, for the log; ``size`` counts the bytes that were looked at.
    """

    __slots__ = ("_header", "_left", "_limit", "_message", "_total", "detail", "hello", "size", "verdict")

    def __init__(self, limit: int = 16384) -> None:
        self.verdict = Verdict.UNDECIDED
        self.hello: ClientHello | None = None
        self.detail = ""
        self.size = 0
        self._limit = limit
        self._header = bytearray()  # the first bytes of a record, until there are enough to read its header
        self._left = 0  # bytes of the present record that are still to come
        self._message = bytearray()
        self._total = 0  # bytes that the message will have, once its header is here

    def feed(self, data: bytes) -> Verdict:
        """Look at ``data``, which came next; returns the verdict."""
        at = 0
        end = min(len(data), self._limit - self.size)
        while self.verdict is Verdict.UNDECIDED and at < end:
            if self._left:
                # No more than the next judgement needs: then it is the same however the bytes come.
                piece = data[at : min(end, at + self._left, at + self._wanted)]
                self._left -= len(piece)
                self._message += piece
                self.size += len(piece)
                at += len(piece)
                self._look_at_message()
            else:
                self._header.append(data[at])
                self.size += 1
                at += 1
                self._look_at_header()
        if self.verdict is Verdict.UNDECIDED and self.size >= self._limit:
            self._decide(Verdict.TOO_LARGE, f"not complete within {self._limit} bytes")
        return self.verdict

    @property
    def _wanted(self) -> int:
        """How many bytes of the message are still needed to judge it next."""
        message = self._message
        return (self._total or (_MESSAGE_HEADER if message else 1)) - len(message)

    def _decide(self, verdict: Verdict, detail: str) -> None:
        self.verdict = verdict
        self.detail = detail

    def _look_at_header(self) -> None:
        header = self._header
        if not self._message and not self._begins_as_tls():
            return
        if header[0] != _HANDSHAKE:
            self._decide(Verdict.MALFORMED, f"a record of type {header[0]} in the middle of the hello")
        elif len(header) == _RECORD_HEADER:
            self._left = header[3] << 8 | header[4]
            if header[1] != 3:
                self._decide(
                    Verdict.MALFORMED, f"a record of version {header[1]}.{header[2]} in the middle of the hello"
                )
            elif not 0 < self._left <= _LONGEST_RECORD:
                self._decide(Verdict.MALFORMED, f"a record of {self._left} bytes")
            header.clear()

    def _begins_as_tls(self) -> bool:
        """Judge the first bytes of all; whether they may be, or are, those of a TLS record."""
        header = self._header
        first = header[0]
        if first == _HANDSHAKE:
            if len(header) > 1 and header[1] != 3:
                self._decide(Verdict.NOT_TLS, "")
        elif first & 0x80:
            # The header of SSL 2.0: two bytes of length, then the type of the message, then the version (0.2, or 3.x).
            if (len(header) == 3 and header[2] != _CLIENT_HELLO) or (len(header) == 4 and header[3] not in (0, 3)):
                self._decide(Verdict.NOT_TLS, "")
            elif len(header) == _RECORD_HEADER:
                old = header[3] == 3 or header[4] == 2
                self._decide(*((Verdict.MALFORMED, "an SSL 2.0 hello") if old else (Verdict.NOT_TLS, "")))
            return False
        else:
            self._decide(Verdict.NOT_TLS, "")
        return self.verdict is Verdict.UNDECIDED

    def _look_at_message(self) -> None:
        message = self._message
        if message[0] != _CLIENT_HELLO:
            self._decide(Verdict.MALFORMED, f"a handshake message of type {message[0]} where a hello belongs")
            return
        if not self._total and len(message) == _MESSAGE_HEADER:
            self._total = _MESSAGE_HEADER + int.from_bytes(message[1:4], "big")
            if self._total + _RECORD_HEADER > self._limit:
                self._decide(Verdict.TOO_LARGE, f"{self._total} bytes, more than fit into {self._limit}")
                return
        if len(message) == self._total:
            try:
                self.hello = _parsed(bytes(message[_MESSAGE_HEADER:]))
            except _BadHello as error:
                self._decide(Verdict.MALFORMED, str(error))
            else:
                self.verdict = Verdict.HELLO

    def __repr__(self) -> str:
        return f"<HelloReader {self.verdict.value}, {self.size} bytes{f': {self.detail}' if self.detail else ''}>"


def alert(description: int, hello: ClientHello | None = None) -> bytes:
    """Return the record of a fatal alert, in a version known to the client that sent ``hello`` (None: cannot be read)."""
    offered = [code for code, name in _VERSIONS.items() if hello is not None and name in hello.versions]
    version = min(max(offered, default=0x0303), 0x0303)  # no record is of a later version
    return bytes((21, 3, version & 0xFF, 0, 2, 2, description))


class _Cursor:
    """Takes values off the front of bytes, each of which must be there."""

    __slots__ = ("_at", "_data", "_what")

    def __init__(self, data: bytes, what: str) -> None:
        self._data = data
        self._at = 0
        self._what = what

    @property
    def is_at_end(self) -> bool:
        return self._at == len(self._data)

    def take(self, size: int) -> bytes:
        at = self._at
        self._at = at + size
        if self._at > len(self._data):
            raise _BadHello(f"{self._what} is cut short")
        return self._data[at : self._at]

    def number(self, size: int) -> int:
        return int.from_bytes(self.take(size), "big")

    def vector(self, size: int) -> bytes:
        """Take a length of ``size`` bytes, and so many bytes."""
        return self.take(self.number(size))

    def end(self) -> None:
        if self._at != len(self._data):
            raise _BadHello(f"{self._what} is longer than what is in it")


def _parsed(body: bytes) -> ClientHello:
    """Read the body of a ClientHello (RFC 8446 section 4.1.2)."""
    cursor = _Cursor(body, "the hello")
    version = cursor.number(2)
    if version >> 8 != 3:
        raise _BadHello(f"a hello of version {version >> 8}.{version & 0xFF}")
    cursor.take(32)
    if len(cursor.vector(1)) > 32:
        raise _BadHello("a session id of more than 32 bytes")
    suites = cursor.vector(2)
    if not suites or len(suites) % 2:
        raise _BadHello("no list of cipher suites")
    if not cursor.vector(1):
        raise _BadHello("no list of compression methods")
    extensions = {} if cursor.is_at_end else _extensions(cursor.vector(2))
    cursor.end()
    return ClientHello(
        _server_name(extensions.get(_SERVER_NAME)),
        _protocols(extensions.get(_ALPN)),
        _versions(version, extensions.get(_SUPPORTED_VERSIONS)),
        _ECH in extensions,
    )


def _extensions(data: bytes) -> dict[int, bytes]:
    """Return the extensions by type; without a cursor, as there are many of them."""
    found: dict[int, bytes] = {}
    at, size = 0, len(data)
    while at < size:
        begin = at + 4
        if begin > size:
            raise _BadHello("the list of extensions is cut short")
        kind = data[at] << 8 | data[at + 1]
        at = begin + (data[at + 2] << 8 | data[at + 3])
        if at > size:
            raise _BadHello("the list of extensions is cut short")
        if kind in found:
            raise _BadHello(f"extension {kind} twice")
        found[kind] = data[begin:at]
    return found


def _server_name(data: bytes | None) -> str:
    """Read the extension of RFC 6066 section 3: a list of names, of which one is a host's."""
    if data is None:
        return ""
    outer = _Cursor(data, "the extension server_name")
    names = _Cursor(outer.vector(2), "the list of server names")
    outer.end()
    host = None
    while not names.is_at_end:
        kind, name = names.number(1), names.vector(2)
        if kind == 0:
            if host is not None:
                raise _BadHello("two server names")
            host = name.removesuffix(b".")
    if host is None or not _NAME.match(host):
        raise _BadHello(
            "a server name that is no host name" if host is not None else "a list of server names without one"
        )
    return host.decode("ascii").lower()


def _protocols(data: bytes | None) -> tuple[str, ...]:
    """Read the extension of RFC 7301."""
    if data is None:
        return ()
    outer = _Cursor(data, "the extension ALPN")
    names = _Cursor(outer.vector(2), "the list of protocols")
    outer.end()
    if names.is_at_end:
        raise _BadHello("an empty list of protocols")
    found = []
    while not names.is_at_end:
        name = names.vector(1)
        if not name:
            raise _BadHello("a protocol without a name")
        if not (len(name) == 2 and name[0] == name[1] and name[0] & 0x0F == 0x0A):  # GREASE
            found.append(name.decode("latin-1"))
    return tuple(found)


def _versions(legacy: int, data: bytes | None) -> tuple[str, ...]:
    """Read the extension supported_versions (RFC 8446 section 4.2.1); without it the hello's own version is the highest."""
    if data is None:
        return (_VERSIONS.get(min(legacy, 0x0303), ""),)
    outer = _Cursor(data, "the extension supported_versions")
    versions = _Cursor(outer.vector(1), "the list of versions")
    outer.end()
    found = []
    while not versions.is_at_end:
        name = _VERSIONS.get(versions.number(2))
        if name is not None:
            found.append(name)
    return tuple(found)
