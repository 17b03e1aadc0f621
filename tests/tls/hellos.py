"""What clients say that should not: ClientHellos damaged, cut into odd records, and followed by what has no place there."""

from __future__ import annotations

import random
import struct
from collections.abc import Iterator

__all__ = ["Hello", "cases", "damaged", "record"]

HANDSHAKE, ALERT, CHANGE, DATA, HEARTBEAT = 22, 21, 20, 23, 24


def record(kind: int, body: bytes, version: int = 0x0301, size: int | None = None) -> bytes:
    """Return a record; ``size`` is what it claims to hold."""
    return struct.pack(">BHH", kind, version, len(body) if size is None else size) + body


class Hello:
    """A ClientHello taken apart: ``message`` is the handshake message, without records."""

    def __init__(self, records: bytes) -> None:
        self.records = records
        self.message = records[5:]
        body = self.message[4:]
        at = 34
        self.head = body[:at]
        self.session, at = self._vector(body, at, 1)
        self.ciphers, at = self._vector(body, at, 2)
        self.compressions, at = self._vector(body, at, 1)
        extensions, _ = self._vector(body, at, 2)
        self.extensions: list[tuple[int, bytes]] = []
        at = 0
        while at < len(extensions):
            (kind,) = struct.unpack_from(">H", extensions, at)
            value, at = self._vector(extensions, at + 2, 2)
            self.extensions.append((kind, value))

    @staticmethod
    def _vector(data: bytes, at: int, size: int) -> tuple[bytes, int]:
        begin = at + size
        end = begin + int.from_bytes(data[at:begin], "big")
        return data[begin:end], end

    def made(
        self,
        *,
        head: bytes | None = None,
        session: bytes | None = None,
        ciphers: bytes | None = None,
        compressions: bytes | None = None,
        extensions: list[tuple[int, bytes]] | None = None,
        more: bytes = b"",
    ) -> bytes:
        """Return the message with something else in it."""
        listed = b"".join(
            struct.pack(">HH", kind, len(value)) + value
            for kind, value in (self.extensions if extensions is None else extensions)
        )
        session = self.session if session is None else session
        ciphers = self.ciphers if ciphers is None else ciphers
        compressions = self.compressions if compressions is None else compressions
        body = (self.head if head is None else head) + bytes([len(session)]) + session
        body += struct.pack(">H", len(ciphers)) + ciphers + bytes([len(compressions)]) + compressions
        body += struct.pack(">H", len(listed)) + listed + more
        return b"\x01" + len(body).to_bytes(3, "big") + body

    def without(self, *kinds: int) -> list[tuple[int, bytes]]:
        return [each for each in self.extensions if each[0] not in kinds]


def cases(hello: Hello) -> Iterator[tuple[str, bytes]]:
    """Yield what a client may send, each with its name; some of it is allowed."""
    message, whole = hello.message, hello.records
    yield "as it is", whole
    for size in (1, 2, 3, 7, 64):
        pieces = (message[at : at + size] for at in range(0, len(message), size))
        yield f"records of {size} bytes", b"".join(record(HANDSHAKE, piece) for piece in pieces)
    for kind in (HANDSHAKE, ALERT, CHANGE, DATA, HEARTBEAT):
        yield f"an empty record of kind {kind} first", record(kind, b"") + whole
        yield f"many empty records of kind {kind}", record(kind, b"") * 200 + whole
    middle = len(message) // 2
    halves = record(HANDSHAKE, message[:middle]), record(HANDSHAKE, message[middle:])
    for kind, body in (
        (HANDSHAKE, b""),
        (DATA, b"x"),
        (CHANGE, b"\x01"),
        (ALERT, b"\x01\x00"),
        (HEARTBEAT, b"\x01\0\1x"),
    ):
        yield f"a record of kind {kind} in the middle", halves[0] + record(kind, body) + halves[1]
    for size in (16384, 16385, 18432, 65535):
        yield f"a record that claims {size} bytes", record(HANDSHAKE, message, size=size) + bytes(size)
    for version in (0x0000, 0x0002, 0x0200, 0x0300, 0x0302, 0x0303, 0x0304, 0x0305, 0x03FF, 0x0400, 0x7F1C, 0xFFFF):
        yield f"a record of version {version:04x}", record(HANDSHAKE, message, version)
        head = struct.pack(">H", version) + hello.head[2:]
        yield f"a hello of version {version:04x}", record(HANDSHAKE, hello.made(head=head))
        yield f"version {version:04x} alone", record(HANDSHAKE, hello.made(head=head, extensions=hello.without(43)))
        only = [*hello.without(43), (43, struct.pack(">BH", 2, version))]
        yield f"supported: {version:04x}", record(HANDSHAKE, hello.made(extensions=only))
    yield "SSL 2", b"\x80\x2e\x01\x00\x02\x00\x15\x00\x00\x00\x10" + bytes(37)
    yield "SSL 2 for TLS 1.2", b"\x80\x2e\x01\x03\x03\x00\x15\x00\x00\x00\x10\x01\x00\x80" + bytes(34)
    for body in (b"\x01\x40\x00" + bytes(16), b"\x01\x00\x10" + bytes(32), b"\x02\xff\xff", b""):
        yield f"a heartbeat of {len(body)} bytes", record(HEARTBEAT, body, 0x0303)
    yield "a heartbeat extension", record(HANDSHAKE, hello.made(extensions=[*hello.extensions, (15, b"\x01")]))
    early = [*hello.without(41), (42, b"")]
    yield "early data", record(HANDSHAKE, hello.made(extensions=early)) + record(DATA, bytes(100), 0x0303)
    ticket = struct.pack(">HH", 38, 32) + bytes(32) + bytes(4) + struct.pack(">HB", 33, 32) + bytes(32)
    yield (
        "early data with a ticket of nobody's",
        record(HANDSHAKE, hello.made(extensions=[*early, (45, b"\x01\x01"), (41, ticket)]))
        + record(DATA, bytes(100), 0x0303),
    )
    yield "a ticket that is not last", record(HANDSHAKE, hello.made(extensions=[(41, ticket), *hello.without(41)]))
    yield (
        "early data without end",
        record(HANDSHAKE, hello.made(extensions=early)) + record(DATA, bytes(1000), 0x0303) * 100,
    )
    yield "no ciphers", record(HANDSHAKE, hello.made(ciphers=b""))
    yield "half a cipher", record(HANDSHAKE, hello.made(ciphers=b"\x13"))
    yield "ciphers of old", record(HANDSHAKE, hello.made(ciphers=b"\x00\x04\x00\x05\x00\x0a\x00\x2f"))
    yield "a thousand ciphers", record(HANDSHAKE, hello.made(ciphers=b"\x0a\x0a" * 1000 + hello.ciphers))
    yield "no compression method", record(HANDSHAKE, hello.made(compressions=b""))
    yield "compression", record(HANDSHAKE, hello.made(compressions=b"\x01"))
    yield "compression too", record(HANDSHAKE, hello.made(compressions=b"\x01\x00"))
    yield "a session of 33 bytes", record(HANDSHAKE, hello.made(session=bytes(33)))
    yield "something behind", record(HANDSHAKE, hello.made(more=b"more"))
    yield "no extensions", record(HANDSHAKE, hello.made(extensions=[]))
    for kind, value in hello.extensions:
        yield f"extension {kind} twice", record(HANDSHAKE, hello.made(extensions=[(kind, value), *hello.extensions]))
        for name, other in (
            ("empty", b""),
            ("cut", value[:-1]),
            ("long", value + b"\0"),
            ("ones", b"\xff" * len(value)),
        ):
            changed = [(each, other if each == kind else old) for each, old in hello.extensions]
            yield f"extension {kind} {name}", record(HANDSHAKE, hello.made(extensions=changed))
    yield (
        "an unknown extension of 60 kB",
        b"".join(
            record(HANDSHAKE, piece)
            for big in [hello.made(extensions=[*hello.extensions, (0xFAFA, bytes(60000))])]
            for piece in (big[at : at + 16000] for at in range(0, len(big), 16000))
        ),
    )
    yield (
        "a name with a zero",
        record(HANDSHAKE, hello.made(extensions=[(0, b"\0\x0d\0\0\x0ashop\0.evil."), *hello.without(0)])),
    )
    yield (
        "an endless message",
        record(HANDSHAKE, b"\x01\xff\xff\xff" + bytes(100)) + record(HANDSHAKE, bytes(16000)) * 40,
    )
    yield "another message first", record(HANDSHAKE, b"\x14\0\0\x0c" + bytes(12)) + whole
    yield "two hellos", whole + whole
    yield "a change of cipher too soon", whole + record(CHANGE, b"\x01") * 40
    yield "warnings", record(ALERT, b"\x01\x5a") * 40 + whole
    yield "an alert of 1 byte", record(ALERT, b"\x02") + whole
    yield "a fatal alert", record(ALERT, b"\x02\x28") + whole
    yield "data at once", record(DATA, b"GET / HTTP/1.1\r\n\r\n", 0x0303)
    yield "another protocol", b"SSH-2.0-OpenSSH_9.2\r\n"


def damaged(data: bytes, draw: random.Random) -> bytes:
    """Return ``data`` with something wrong somewhere."""
    at = draw.randrange(len(data))
    way = draw.randrange(6)
    if way == 0:
        return data[:at]
    if way == 1:
        return data[:at] + bytes([data[at] ^ 1 << draw.randrange(8)]) + data[at + 1 :]
    if way == 2:
        return data[:at] + draw.randbytes(draw.randrange(1, 40)) + data[at:]
    if way == 3:
        return data[:at] + data[at + draw.randrange(1, 40) :]
    if way == 4:
        return data[:at] + data[draw.randrange(len(data)) :]
    return data[:at] + draw.choice((b"\0\0", b"\xff\xff", b"\x40\0")) + data[at + 2 :]
