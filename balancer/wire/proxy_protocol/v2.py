r"""Version 2, binary (section 2.2).

::

    \r\n\r\n\0\r\nQUIT\n │ 2, command │ family, transport │ length (2 bytes) │ addresses, ports │ optional vectors
         12 bytes            1 byte          1 byte            big-endian     └────────── length bytes ──────────┘
"""

from __future__ import annotations

import ipaddress
import struct
from collections.abc import Callable, Iterable

from balancer.model.address import IPAddress, Peer
from balancer.wire.proxy_protocol import tlvs
from balancer.wire.proxy_protocol.crc32c import crc32c
from balancer.wire.proxy_protocol.endpoints import as_peer, family_of
from balancer.wire.proxy_protocol.errors import CHECKSUM, TOO_LONG, HeaderError
from balancer.wire.proxy_protocol.header import Header

__all__ = ["FIXED", "LOCAL", "LONGEST", "SIGNATURE", "encode", "parse", "size_of"]

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
FIXED = 16
"""Bytes of the part that every header has."""
LONGEST = 16 * 1024
"""Bytes of the longest header that is taken: enough for the vectors of any sender, certificates included."""

_LOCAL, _PROXY = 0x20, 0x21
_UNSPEC, _INET, _INET6, _UNIX = 0, 1, 2, 3
_ADDRESSES: dict[int, tuple[struct.Struct, Callable[[bytes], IPAddress]]] = {
    _INET: (struct.Struct("!4s4sHH"), ipaddress.IPv4Address),
    _INET6: (struct.Struct("!16s16sHH"), ipaddress.IPv6Address),
}
_PATHS = struct.Struct("108s108s")
_TRANSPORTS = ("", "stream", "dgram")

LOCAL = SIGNATURE + bytes((_LOCAL, 0, 0, 0))
"""What probes say, and connections whose client has no address."""


def size_of(data: bytes | bytearray) -> int:
    """Return how many bytes the header has whose first :data:`FIXED` bytes begin ``data``.

    Raises:
        HeaderError: if there is no such header: of another version, or longer than :data:`LONGEST`.
    """
    if data[12] not in (_LOCAL, _PROXY):
        raise HeaderError(f"0x{data[12]:02x} is no command of version 2")
    if data[12] == _PROXY and (data[13] >> 4 > _UNIX or data[13] & 15 >= len(_TRANSPORTS)):
        raise HeaderError(f"0x{data[13]:02x} is no family and transport")
    size = FIXED + (data[14] << 8 | data[15])
    if size > LONGEST:
        raise HeaderError(f"a header of {size} bytes, {LONGEST} are taken", TOO_LONG)
    return size


def parse(data: bytes) -> Header:
    """Return what the whole header ``data`` says, which is one as far as :func:`size_of` knows.

    Raises:
        HeaderError: if there is less of it than its family needs, a vector is cut short, or the checksum is wrong.
    """
    if data[12] == _LOCAL:
        return Header(2, local=True)
    family, transport = data[13] >> 4, _TRANSPORTS[data[13] & 15]
    if family == _UNSPEC or not transport:
        return Header(2, tlvs=_unspecified(data) if data[13] == 0 else ())
    form = _PATHS if family == _UNIX else _ADDRESSES[family][0]
    behind = FIXED + form.size
    if len(data) < behind:
        raise HeaderError(f"{len(data) - FIXED} bytes of addresses, where {form.size} are needed")
    vectors = _vectors(data, behind)
    if family == _UNIX:
        source, destination = (path.rstrip(b"\0") for path in _PATHS.unpack_from(data, FIXED))
        return Header(2, transport=transport, paths=(source, destination), tlvs=vectors)
    here, there, port, other = form.unpack_from(data, FIXED)
    address = _ADDRESSES[family][1]
    return Header(2, as_peer(address(here), port), as_peer(address(there), other), transport, tlvs=vectors)


def _unspecified(data: bytes) -> tuple[tuple[int, bytes], ...]:
    """Return the vectors of a header without addresses; what is not made of vectors is to be skipped."""
    try:
        tlvs.pairs(data, FIXED)
    except HeaderError:
        return ()
    return _vectors(data, FIXED)


def _vectors(data: bytes, at: int) -> tuple[tuple[int, bytes], ...]:
    found = []
    checksum = -1
    for kind, place, value in tlvs.walk(data, at):
        tlvs.check(kind, value)
        if kind == tlvs.CRC32C:
            if checksum >= 0:
                raise HeaderError("two checksums")
            checksum = place
        found.append((kind, value))
    if checksum >= 0:
        told = int.from_bytes(data[checksum : checksum + 4], "big")
        if told != crc32c(b"%b\0\0\0\0%b" % (data[:checksum], data[checksum + 4 :])):
            raise HeaderError("the checksum does not fit the header", CHECKSUM)
    return tuple(found)


def encode(
    source: Peer, destination: Peer, vectors: Iterable[tuple[int, bytes]] = (), *, checksum: bool = False
) -> bytes:
    """Return the header for a client at ``source`` that reached ``destination`` by TCP.

    Args:
        source: the client; without an address (of a unix socket) the header is LOCAL, which every receiver must take.
        destination: our end.
        vectors: type and value of the optional vectors, but for the checksum.
        checksum: whether to add one (CRC-32C).
    """
    ends = family_of(source, destination)
    if ends is None:
        command, family, addresses = _LOCAL, 0, b""
    else:
        here, there = ends
        command, kind = _PROXY, _INET if here.version == 4 else _INET6
        family = kind << 4 | 1
        addresses = _ADDRESSES[kind][0].pack(here.packed, there.packed, source.port, destination.port)
    body = addresses + tlvs.encode(vectors)
    if checksum:
        body += tlvs.encode([(tlvs.CRC32C, bytes(4))])
    header = b"%b%c%c%b%b" % (SIGNATURE, command, family, len(body).to_bytes(2, "big"), body)
    return header[:-4] + crc32c(header).to_bytes(4, "big") if checksum else header
