"""h2spec's ``hpack`` group: header lists that cannot be decoded (RFC 7541)."""

from __future__ import annotations

from balancer.wire.http2.interface import COMPRESSION_ERROR
from tests.live.conformance.talk import Cases, connection_error

__all__ = ["HPACK"]

HPACK = Cases("hpack")
_STRING = b"\x00\x85\xf2\xb2\x4a\x84\xff"  # a literal called x-test

for _section, _title, _before, _behind in (
    ("2.3.3", "an index beyond the tables", b"", b"\xfe"),
    ("2.3.3", "a name's index beyond the tables", b"", b"\x7f\x0f\x01a"),
    ("4.2", "a change of the table's size at the end", b"", b"\x21"),
    ("5.2", "Huffman padding longer than seven bits", b"", _STRING + b"\x84\x49\x50\x9f\xff"),
    ("5.2", "Huffman padding of zeroes", b"", _STRING + b"\x83\x49\x50\x90"),
    ("5.2", "the end-of-string symbol in a string", b"", b"\x00\x85\xf2\xb2\x4a\x87\xff\xff\xff\xfd\x25\x42\x7f"),
    ("5.2", "the end-of-string symbol in a value", b"", _STRING + b"\x87\x49\x51\xff\xff\xff\xfa\x7f"),
    ("6.1", "index 0", b"", b"\x80"),
    ("6.3", "a table larger than allowed", b"\x3f\xe2\x1f", b""),
):
    HPACK.add(
        _section,
        _title,
        connection_error(COMPRESSION_ERROR),
        lambda talk, before=_before, behind=_behind: talk.head(block=before + talk.block(talk.request()) + behind),
    )
