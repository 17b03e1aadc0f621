"""Reads the header of either version from the beginning of a connection, in whatever pieces it arrives.

::

    nothing yet ──> could be one ──> begun: only a header can follow ──> a Header, and what comes behind it
                        │                          │
                        └──> NoHeaderError         └──> HeaderError

What is decided depends on the bytes alone, never on how they were cut.
"""

from __future__ import annotations

from balancer.wire.proxy_protocol import v1, v2
from balancer.wire.proxy_protocol.errors import TOO_LONG, HeaderError, NoHeaderError
from balancer.wire.proxy_protocol.header import Header

__all__ = ["Reader"]


class Reader:
    """Reads one header; give it what arrives until it returns one, or raises.

    ``begun`` says that what came begins as only a header can. ``rest`` is what came behind the header; before there is one, and
    after :class:`~.errors.NoHeaderError`, it is all that came.
    """

    __slots__ = ("_data", "_searched", "_size", "begun")

    def __init__(self) -> None:
        self._data = bytearray()
        self._searched = 0  # of a line, without its end
        self._size = 0  # of a header of version 2, once that is known
        self.begun = False

    @property
    def rest(self) -> bytes:
        """See the class."""
        return bytes(self._data)

    def feed(self, data: bytes) -> Header | None:
        """Take more, and return the header once it is whole.

        Raises:
            NoHeaderError: what came is something else.
            HeaderError: the header is not as the specification wants it.
        """
        held = self._data
        held += data
        if not self.begun:
            self.begun = held.startswith((v1.BEGINNING, v2.SIGNATURE))
            if not self.begun:
                if v1.BEGINNING.startswith(held) or v2.SIGNATURE.startswith(held):
                    return None
                raise NoHeaderError
        return self._line() if held[0] == v1.BEGINNING[0] else self._binary()

    def _line(self) -> Header | None:
        held = self._data
        end = held.find(b"\r\n", max(0, self._searched - 1), v1.LONGEST)
        if end < 0:
            if len(held) >= v1.LONGEST:
                raise HeaderError(f"no end of the line in {v1.LONGEST} bytes", TOO_LONG)
            self._searched = len(held)
            return None
        header = v1.parse(bytes(held[:end]))
        del held[: end + 2]
        return header

    def _binary(self) -> Header | None:
        held = self._data
        if not self._size:
            if len(held) < v2.FIXED:
                return None
            self._size = v2.size_of(held)
        if len(held) < self._size:
            return None
        header = v2.parse(bytes(held[: self._size]))
        del held[: self._size]
        return header

    def __repr__(self) -> str:
        return f"<Reader {'begun' if self.begun else 'nothing decided'}, {len(self._data)} bytes>"
