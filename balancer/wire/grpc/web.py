"""gRPC-Web, which browsers can speak: trailers travel in the body, and the body may be base64 (``PROTOCOL-WEB.md``).

Each transform takes one direction of one call, in any pieces, and holds no more than it must: three bytes of base64, a header
of five bytes, and the trailers.
"""

from __future__ import annotations

import base64
import binascii
import re

from balancer.model.headers import RawHeaders
from balancer.wire.grpc.messages import COMPRESSED, TRAILERS, MessageError, frame

__all__ = [
    "BINARY",
    "TEXT",
    "FromBase64",
    "ToBase64",
    "TrailersReader",
    "is_text",
    "is_web",
    "plain_type",
    "read_trailers",
    "trailers_frame",
    "web_type",
]

BINARY = b"application/grpc-web"
TEXT = b"application/grpc-web-text"

_MOST_TRAILERS = 64 * 1024
_TYPE = re.compile(rb"application/grpc-web(-text)?(?=\+|;|\s|\Z)", re.IGNORECASE)
_NAME = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")


def is_web(content_type: bytes) -> bool:
    """Whether a content type is one of gRPC-Web's."""
    return _TYPE.match(content_type) is not None


def is_text(content_type: bytes) -> bool:
    """Whether a body of this type is base64."""
    found = _TYPE.match(content_type)
    return found is not None and found[1] is not None


def plain_type(content_type: bytes) -> bytes:
    """Return gRPC's own type for one of gRPC-Web's, with the same ``+proto`` or the like."""
    return _TYPE.sub(b"application/grpc", content_type, count=1)


def web_type(content_type: bytes, *, text: bool) -> bytes:
    """Return gRPC-Web's type for one of gRPC's own."""
    if not content_type.lower().startswith(b"application/grpc"):
        return content_type
    return (TEXT if text else BINARY) + content_type[len(b"application/grpc") :]


def trailers_frame(trailers: RawHeaders) -> bytes:
    """Return ``trailers`` as the last message of a body: lines of HTTP/1.1, names in lower case."""
    lines = b"".join([b"%b: %b\r\n" % (name.lower(), value) for name, value in trailers])
    return frame(lines, TRAILERS)


def read_trailers(payload: bytes) -> RawHeaders:
    """Return the trailers in the payload of such a message.

    Raises:
        MessageError: a line that is no field.
    """
    fields: RawHeaders = []
    for line in payload.replace(b"\r\n", b"\n").split(b"\n"):
        if line:
            name, colon, value = line.partition(b":")
            if not colon or _NAME.fullmatch(name) is None or b"\r" in value or b"\0" in value:
                raise MessageError("trailers that are no fields")
            fields.append((name, value.strip(b" \t")))
    return fields


class TrailersReader:
    """Takes the trailers out of a response's body: gRPC-Web of a server to gRPC.

    Messages pass in the pieces in which they come. ``trailers`` are there once their message is complete.
    """

    __slots__ = ("_head", "_left", "_payload", "_size", "trailers")

    def __init__(self) -> None:
        self._head = b""
        self._left = 0  # bytes of a message's payload still to come
        self._payload: bytearray | None = None  # of the trailers, as far as they have come
        self._size = 0
        self.trailers: RawHeaders | None = None

    def feed(self, data: bytes) -> bytes:
        """Take a piece of the body, and return what of it are messages.

        Raises:
            MessageError: flags that mean nothing, trailers too long or no fields, anything after them.
        """
        passed: list[bytes] = []
        at, size = 0, len(data)
        while at < size:
            if self.trailers is not None:
                raise MessageError("something after the trailers")
            if self._payload is not None:
                at = self._collect(data, at)
            elif self._left:
                end = min(size, at + self._left)
                passed.append(data[at:end])
                self._left -= end - at
                at = end
            else:
                end = at + 5 - len(self._head)
                self._head += data[at:end]
                at = min(end, size)
                if len(self._head) == 5:
                    self._begin(passed)
        return b"".join(passed)

    def end(self) -> None:
        """Note the end of the body; raises MessageError within a message."""
        if self._head or self._left or self._payload is not None:
            raise MessageError("the stream ended within a message")

    def _begin(self, passed: list[bytes]) -> None:
        head, self._head = self._head, b""
        flags, length = head[0], int.from_bytes(head[1:], "big")
        if flags & TRAILERS:
            if length > _MOST_TRAILERS:
                raise MessageError(f"trailers of {length} bytes")
            self._payload, self._size = bytearray(), length
            if not length:
                self._collect(b"", 0)
        elif flags & ~COMPRESSED:
            raise MessageError(f"a message with flags {flags:#04x}")
        else:
            passed.append(head)
            self._left = length

    def _collect(self, data: bytes, at: int) -> int:
        payload = self._payload
        assert payload is not None
        end = min(len(data), at + self._size - len(payload))
        payload += data[at:end]
        if len(payload) == self._size:
            self._payload = None
            self.trailers = read_trailers(bytes(payload))
        return end


class ToBase64:
    """A body as ``-text`` has it."""

    __slots__ = ("_rest",)

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes, *, flush: bool = False) -> bytes:
        """Return ``data`` in base64, up to two bytes of it held back; with ``flush``, all of it, padded: a message's end."""
        data = self._rest + data
        whole = len(data) if flush else len(data) - len(data) % 3
        self._rest = data[whole:]
        return base64.b64encode(data[:whole])


class FromBase64:
    """A ``-text`` body as it was: base64 in any pieces, padded wherever a piece was flushed."""

    __slots__ = ("_rest",)

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> bytes:
        """Return what ``data`` stands for, as far as groups of four are complete.

        Raises:
            MessageError: it is no base64.
        """
        data = self._rest + data
        whole = len(data) - len(data) % 4
        self._rest = data[whole:]
        try:
            # Padding may stand at the end of any group of four, and a decoder stops there: piece by piece, then.
            pieces = re.findall(rb"[^=]*={0,2}", data[:whole])
            return b"".join([base64.b64decode(piece, validate=True) for piece in pieces if piece])
        except binascii.Error:
            raise MessageError("what is to be base64 is not") from None

    def end(self) -> None:
        """Note the end of the body; raises MessageError within a group of four."""
        if self._rest:
            raise MessageError("base64 that ends too soon")
