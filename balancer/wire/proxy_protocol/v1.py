r"""Version 1, one line of text (section 2.1).

::

    PROXY TCP4 198.51.100.22 203.0.113.7 35646 443\r\n
    PROXY TCP6 2001:db8::1 2001:db8::2 35646 443\r\n
    PROXY UNKNOWN …\r\n
"""

from __future__ import annotations

import ipaddress
import re

from balancer.model.address import Peer
from balancer.wire.proxy_protocol.endpoints import as_peer, family_of
from balancer.wire.proxy_protocol.errors import HeaderError
from balancer.wire.proxy_protocol.header import Header

__all__ = ["BEGINNING", "LONGEST", "UNKNOWN", "encode", "parse"]

BEGINNING = b"PROXY "
LONGEST = 107
"""Bytes of the longest line, its end included."""
UNKNOWN = b"PROXY UNKNOWN\r\n"
"""What is said of a client that cannot be named, and by probes."""

_LINE = re.compile(rb"PROXY (TCP4|TCP6) ([0-9A-Fa-f.:]+) ([0-9A-Fa-f.:]+) (0|[1-9][0-9]{0,4}) (0|[1-9][0-9]{0,4})")


def parse(line: bytes) -> Header:
    """Return what ``line`` says, which is without its ``\\r\\n``.

    Raises:
        HeaderError: for what the specification does not allow: other blanks, leading zeros, addresses of another family.
    """
    if line == UNKNOWN[:-2] or line.startswith(b"PROXY UNKNOWN "):
        return Header(1)
    match = _LINE.fullmatch(line)
    if match is None:
        raise HeaderError(f"the line {_shown(line)} is none of TCP4, TCP6 or UNKNOWN with two addresses and two ports")
    kind = ipaddress.IPv4Address if match[1] == b"TCP4" else ipaddress.IPv6Address
    ends = []
    for host, port in ((match[2], match[4]), (match[3], match[5])):
        number = int(port)
        try:
            address = kind(host.decode("ascii"))
        except ValueError:
            raise HeaderError(f"{_shown(host)} is no address for {match[1].decode()}") from None
        if number > 65535:
            raise HeaderError(f"{number} is no port")
        ends.append(as_peer(address, number))
    return Header(1, ends[0], ends[1], "stream")


def encode(source: Peer, destination: Peer) -> bytes:
    """Return the line for a client at ``source`` that reached ``destination``; UNKNOWN where the client has no address."""
    ends = family_of(source, destination)
    if ends is None:
        return UNKNOWN
    here, there = ends
    line = f"PROXY TCP{here.version} {here} {there} {source.port} {destination.port}\r\n"
    return line.encode("ascii")


def _shown(text: bytes) -> str:
    return repr(text[:60])[1:] + ("…" if len(text) > 60 else "")
