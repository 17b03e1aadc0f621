"""HTTP/2 by hand: frames, and clients that do with them what no library would."""

from __future__ import annotations

import socket
import struct

from hpack import Encoder

__all__ = ["PREFACE", "RawClient", "frame", "head", "settings"]

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = 0, 1, 2, 3, 4, 6, 7, 8, 9
END_STREAM, END_HEADERS, ACK = 1, 4, 1
_WINDOW = 4


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    """Return a frame."""
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


def settings(window: int | None = None) -> bytes:
    """Return SETTINGS, with that window for each stream."""
    return frame(SETTINGS, 0, 0, b"" if window is None else struct.pack(">HI", _WINDOW, window))


def head(path: bytes = b"/", *more: tuple[bytes, bytes], method: bytes = b"GET") -> bytes:
    """Return a header list that may come at any time."""
    encoder = Encoder()
    encoder.header_table_size = 0
    fields = [(b":method", method), (b":scheme", b"http"), (b":authority", b"a"), (b":path", path), *more]
    return bytes(encoder.encode(fields))


class RawClient:
    """A connection that has begun; ``window`` is that of each stream, ``wide`` opens the connection's as far as can be."""

    def __init__(self, port: int, window: int | None = None, *, wide: bool = False) -> None:
        self.skt = socket.create_connection(("127.0.0.1", port), 20)
        self.skt.sendall(PREFACE + settings(window) + frame(SETTINGS, ACK, 0))
        if wide:
            self.skt.sendall(frame(WINDOW_UPDATE, 0, 0, struct.pack(">I", 2**31 - 1 - 65535)))
        self._data = b""

    def flood(self, *pieces: bytes, most: int = 20_000_000) -> None:
        """Send the first piece, then the last again and again, until nobody takes it any more; at most so many bytes."""
        try:
            self.skt.sendall(pieces[0])
            for _ in range(most // len(pieces[-1])):
                self.skt.sendall(pieces[-1])
        except OSError:
            return
        raise AssertionError(f"{most} bytes were taken")

    def frames(self) -> list[tuple[int, int, int, bytes]]:
        """Return type, flags, stream and payload of all that comes until the connection ends, orderly or not."""
        try:
            while data := self.skt.recv(65536):
                self._data += data
        except OSError:
            pass
        found = []
        at = 0
        while at + 9 <= len(self._data):
            size = int.from_bytes(self._data[at : at + 3], "big")
            kind, flags = self._data[at + 3], self._data[at + 4]
            stream = int.from_bytes(self._data[at + 5 : at + 9], "big")
            found.append((kind, flags, stream, self._data[at + 9 : at + 9 + size]))
            at += 9 + size
        return found

    def close(self) -> None:
        self.skt.close()
