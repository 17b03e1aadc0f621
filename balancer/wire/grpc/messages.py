"""The messages of a gRPC stream: each has a byte of flags, four of length, and so many of payload.

::

    | flags: 1 compressed, 0x80 trailers (gRPC-Web only) | length (32 bits, big-endian) | payload …
"""

from __future__ import annotations

from balancer.errors import HTTP_PROTOCOL_ERROR, BalancerError

__all__ = ["COMPRESSED", "MOST", "TRAILERS", "Message", "MessageError", "MessageReader", "frame"]

COMPRESSED = 0x01
TRAILERS = 0x80
MOST = 4 * 1024 * 1024
"""Bytes of a message, where nothing else is said: the default of gRPC's own implementations."""

Message = tuple[int, bytes]
"""Flags and payload."""


class MessageError(BalancerError):
    """What came is no gRPC stream; the text says why."""

    reason = HTTP_PROTOCOL_ERROR


class MessageReader:
    """Reads messages; ``feed`` may be given any split of the bytes.

    Args:
        most: bytes that a message may have.
        allowed: flags that may be set.
    """

    __slots__ = ("_allowed", "_buffer", "_most", "_wanted", "count")

    def __init__(self, most: int = MOST, allowed: int = COMPRESSED) -> None:
        self._most = most
        self._allowed = allowed
        self._buffer = bytearray()
        self._wanted = 5  # bytes until there is more to know
        self.count = 0

    def feed(self, data: bytes) -> list[Message]:
        """Take what arrived, and return the messages that are complete.

        Raises:
            MessageError: flags that may not be set, or a message too long.
        """
        buffer = self._buffer
        buffer += data
        if len(buffer) < self._wanted:
            return []
        found: list[Message] = []
        at = 0
        while len(buffer) - at >= 5:
            flags = buffer[at]
            if flags & ~self._allowed:
                raise MessageError(f"a message with flags {flags:#04x}")
            length = int.from_bytes(buffer[at + 1 : at + 5], "big")
            if length > self._most:
                raise MessageError(f"a message of {length} bytes; {self._most} are the most")
            end = at + 5 + length
            if len(buffer) < end:
                self._wanted = end - at
                break
            found.append((flags, bytes(buffer[at + 5 : end])))
            at = end
        else:
            self._wanted = 5
        del buffer[:at]
        self.count += len(found)
        return found

    @property
    def pending(self) -> int:
        """Bytes of a message that is not complete."""
        return len(self._buffer)

    def end(self) -> None:
        """Note the end of the stream.

        Raises:
            MessageError: it comes within a message.
        """
        if self._buffer:
            raise MessageError(f"the stream ended within a message, after {len(self._buffer)} bytes of it")

    def __repr__(self) -> str:
        return f"<MessageReader {self.count} messages, {len(self._buffer)} bytes pending>"


def frame(payload: bytes, flags: int = 0) -> bytes:
    """Return a message as it goes onto the wire."""
    return bytes((flags,)) + len(payload).to_bytes(4, "big") + payload
