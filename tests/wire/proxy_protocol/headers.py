"""Headers of both versions, good and bad, as other programs write them."""

from __future__ import annotations

from typing import Any

from balancer.wire.proxy_protocol import tlvs, v2

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"


def binary(command: int, family: int, body: bytes, length: int | None = None) -> bytes:
    """Return a header of version 2 with these bytes, put together by hand."""
    return SIGNATURE + bytes((command, family)) + (len(body) if length is None else length).to_bytes(2, "big") + body


FOUR = bytes((198, 51, 100, 22, 203, 0, 113, 7)) + (35646).to_bytes(2, "big") + (443).to_bytes(2, "big")
SIX = bytes.fromhex("20010db800000000000000000000000120010db8000000000000000000000002") + FOUR[8:]
MAPPED = bytes(10) + b"\xff\xff" + FOUR[:4] + bytes(10) + b"\xff\xff" + FOUR[4:8] + FOUR[8:]
PATHS = b"/run/client".ljust(108, b"\0") + b"/run/server".ljust(108, b"\0")
CHECKED = binary(0x21, 0x11, FOUR + b"\x03\0\x04\x90\xd7\xcb\x2c")

# name: (header, source, destination)
GOOD: dict[str, tuple[bytes, str, str]] = {
    "tcp4": (
        b"PROXY TCP4 198.51.100.22 203.0.113.7 35646 443\r\n",
        "198.51.100.22:35646",
        "203.0.113.7:443",
    ),
    "longest tcp4": (
        b"PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n",
        "255.255.255.255:65535",
        "255.255.255.255:65535",
    ),
    "port 0": (b"PROXY TCP4 0.0.0.0 10.0.0.1 0 0\r\n", "0.0.0.0:0", "10.0.0.1:0"),
    "tcp6": (b"PROXY TCP6 2001:DB8::1 2001:db8:0::2 35646 443\r\n", "[2001:db8::1]:35646", "[2001:db8::2]:443"),
    "longest tcp6": (
        b"PROXY TCP6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n",
        "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535",
        "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535",
    ),
    "mapped tcp6": (b"PROXY TCP6 ::ffff:10.0.0.1 ::1 1 2\r\n", "10.0.0.1:1", "[::1]:2"),
    "unknown": (b"PROXY UNKNOWN\r\n", "None", "None"),
    "unknown, with what is to be ignored": (b"PROXY UNKNOWN \r \n TCP4 1.2.3.4\r\n", "None", "None"),
    "longest unknown": (b"PROXY UNKNOWN " + b"f" * 91 + b"\r\n", "None", "None"),
    "v2 tcp4": (binary(0x21, 0x11, FOUR), "198.51.100.22:35646", "203.0.113.7:443"),
    "v2 udp4": (binary(0x21, 0x12, FOUR), "198.51.100.22:35646", "203.0.113.7:443"),
    "v2 tcp6": (binary(0x21, 0x21, SIX), "[2001:db8::1]:35646", "[2001:db8::2]:443"),
    "v2 udp6": (binary(0x21, 0x22, SIX), "[2001:db8::1]:35646", "[2001:db8::2]:443"),
    "v2 mapped": (binary(0x21, 0x21, MAPPED), "198.51.100.22:35646", "203.0.113.7:443"),
    "v2 unix": (binary(0x21, 0x31, PATHS), "None", "None"),
    "v2 unix datagrams": (binary(0x21, 0x32, PATHS), "None", "None"),
    "v2 unspecified": (binary(0x21, 0x00, b""), "None", "None"),
    "v2 unspecified, with what is to be skipped": (binary(0x21, 0x00, b"\x01\xff\xff"), "None", "None"),
    "v2 unspecified transport": (binary(0x21, 0x10, FOUR), "None", "None"),
    "v2 unspecified family": (binary(0x21, 0x01, b"abc"), "None", "None"),
    "v2 local": (binary(0x20, 0x00, b""), "None", "None"),
    "v2 local, with what is to be skipped": (binary(0x20, 0x11, FOUR), "None", "None"),
    "v2 local, of no family there is": (binary(0x20, 0xFF, b"\x01\xff"), "None", "None"),
    "v2 checked": (CHECKED, "198.51.100.22:35646", "203.0.113.7:443"),
    "v2 with unknown vectors": (
        binary(0x21, 0x11, FOUR + b"\xe5\0\x01x" + b"\xe5\0\0" + b"\xff\0\x02yz"),
        "198.51.100.22:35646",
        "203.0.113.7:443",
    ),
    "v2 longest": (
        binary(0x21, 0x11, FOUR + b"\x04" + (v2.LONGEST - 16 - 12 - 3).to_bytes(2, "big") + bytes(v2.LONGEST - 31)),
        "198.51.100.22:35646",
        "203.0.113.7:443",
    ),
}

# name: (what comes, reason)
BAD: dict[str, tuple[bytes, str]] = {
    "http": (b"GET / HTTP/1.1\r\n\r\n", "missing"),
    "tls": (b"\x16\x03\x01\x02\x00", "missing"),
    "almost version 1": (b"PROXX TCP4", "missing"),
    "version 1 in small letters": (b"proxy TCP4 1.2.3.4 1.2.3.4 1 2\r\n", "missing"),
    "almost version 2": (SIGNATURE[:-1] + b"X", "missing"),
    "blank lines": (b"\r\n\r\nGET / HTTP/1.1\r\n\r\n", "missing"),
    "no protocol": (b"PROXY \r\n", "malformed"),
    "another protocol": (b"PROXY UDP4 1.2.3.4 1.2.3.4 1 2\r\n", "malformed"),
    "small protocol": (b"PROXY tcp4 1.2.3.4 1.2.3.4 1 2\r\n", "malformed"),
    "two blanks": (b"PROXY  TCP4 1.2.3.4 1.2.3.4 1 2\r\n", "malformed"),
    "two blanks within": (b"PROXY TCP4 1.2.3.4  1.2.3.4 1 2\r\n", "malformed"),
    "tabs": (b"PROXY TCP4\t1.2.3.4 1.2.3.4 1 2\r\n", "malformed"),
    "a blank at the end": (b"PROXY TCP4 1.2.3.4 1.2.3.4 1 2 \r\n", "malformed"),
    "too little": (b"PROXY TCP4 1.2.3.4 1.2.3.4 1\r\n", "malformed"),
    "too much": (b"PROXY TCP4 1.2.3.4 1.2.3.4 1 2 3\r\n", "malformed"),
    "leading zero in a port": (b"PROXY TCP4 1.2.3.4 1.2.3.4 01 2\r\n", "malformed"),
    "signed port": (b"PROXY TCP4 1.2.3.4 1.2.3.4 +1 2\r\n", "malformed"),
    "no digits": (b"PROXY TCP4 1.2.3.4 1.2.3.4 \xd9\xa1 2\r\n", "malformed"),
    "port too high": (b"PROXY TCP4 1.2.3.4 1.2.3.4 1 65536\r\n", "malformed"),
    "leading zero in an address": (b"PROXY TCP4 1.2.3.04 1.2.3.4 1 2\r\n", "malformed"),
    "short address": (b"PROXY TCP4 1.2.3 1.2.3.4 1 2\r\n", "malformed"),
    "number for an address": (b"PROXY TCP4 16909060 1.2.3.4 1 2\r\n", "malformed"),
    "address too high": (b"PROXY TCP4 1.2.3.256 1.2.3.4 1 2\r\n", "malformed"),
    "six in four": (b"PROXY TCP4 ::1 1.2.3.4 1 2\r\n", "malformed"),
    "four in six": (b"PROXY TCP6 1.2.3.4 ::1 1 2\r\n", "malformed"),
    "scope": (b"PROXY TCP6 fe80::1%eth0 ::1 1 2\r\n", "malformed"),
    "brackets": (b"PROXY TCP6 [::1] ::1 1 2\r\n", "malformed"),
    "name": (b"PROXY TCP4 localhost 1.2.3.4 1 2\r\n", "malformed"),
    "zero byte": (b"PROXY TCP4 1.2.3.4 1.2.3.4 1 2\0\r\n", "malformed"),
    "only lf": (b"PROXY TCP4 1.2.3.4 1.2.3.4 1 2\n" + b"x" * 80, "too_long"),
    "only cr": (b"PROXY TCP4 1.2.3.4 1.2.3.4 1 2\r" + b"x" * 80, "too_long"),
    "unknown of another sort": (b"PROXY UNKNOWNS\r\n", "malformed"),
    "one byte too long": (b"PROXY UNKNOWN " + b"f" * 92 + b"\r\n", "too_long"),
    "endless": (b"PROXY UNKNOWN " + b"f" * 500, "too_long"),
    "v2 version 1": (binary(0x11, 0x11, FOUR), "malformed"),
    "v2 version 3": (binary(0x31, 0x11, FOUR), "malformed"),
    "v2 command 2": (binary(0x22, 0x11, FOUR), "malformed"),
    "v2 family 4": (binary(0x21, 0x41, FOUR), "malformed"),
    "v2 transport 3": (binary(0x21, 0x13, FOUR), "malformed"),
    "v2 half of the addresses": (binary(0x21, 0x11, FOUR[:6]), "malformed"),
    "v2 four in six": (binary(0x21, 0x21, FOUR), "malformed"),
    "v2 short paths": (binary(0x21, 0x31, PATHS[:200]), "malformed"),
    "v2 no room for a vector": (binary(0x21, 0x11, FOUR + b"\x01\0"), "malformed"),
    "v2 vector too long": (binary(0x21, 0x11, FOUR + b"\x01\0\x02h"), "malformed"),
    "v2 short checksum": (binary(0x21, 0x11, FOUR + b"\x03\0\x03abc"), "malformed"),
    "v2 two checksums": (binary(0x21, 0x11, FOUR + b"\x03\0\x04abcd" * 2), "malformed"),
    "v2 long id": (binary(0x21, 0x11, FOUR + b"\x05\0\x81" + bytes(129)), "malformed"),
    "v2 short ssl": (binary(0x21, 0x11, FOUR + b"\x20\0\x04abcd"), "malformed"),
    "v2 vector too long within ssl": (binary(0x21, 0x11, FOUR + b"\x20\0\x09\x01\0\0\0\0\x21\0\x02T"), "malformed"),
    "v2 wrong checksum": (CHECKED[:-1] + b"\0", "checksum"),
    "v2 changed under its checksum": (CHECKED.replace(b"\x71\x07", b"\x71\x08"), "checksum"),
    "v2 wrong checksum of an unspecified": (binary(0x21, 0x00, b"\x03\0\x04abcd"), "checksum"),
    "v2 too long": (binary(0x21, 0x11, FOUR, v2.LONGEST - 15), "too_long"),
    "v2 much too long": (binary(0x21, 0x11, FOUR, 0xFFFF), "too_long"),
}

SSL: list[tuple[int, bytes]] = [
    (tlvs.SSL_VERSION, b"TLSv1.3"),
    (tlvs.SSL_CN, b"alice"),
    (tlvs.SSL_CIPHER, b"TLS_AES_256_GCM_SHA384"),
]


def shown(peer: Any) -> str:
    return str(peer)
