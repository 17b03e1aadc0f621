"""The transformations that decode: bytes in, bytes out, as ModSecurity 3 decodes them, faults included.

Each begins with the cheapest look that says that there is nothing to decode. Bad escapes stay or go as ModSecurity lets them;
where that differs from the standard of the encoding, ModSecurity's way is what the rules were written for.
"""

from __future__ import annotations

import base64
import binascii
import re
import unicodedata
from functools import lru_cache

_HEX = b"0123456789abcdefABCDEF"
_PERCENT = {b"%%%c%c" % (high, low): bytes([int(bytes([high, low]), 16)]) for high in _HEX for low in _HEX} | {
    b"+": b" "
}
_URL = re.compile(rb"%[0-9a-fA-F]{2}|\+")
_URL_UNI = re.compile(rb"%(?:[0-9a-fA-F]{2}|[uU][0-9a-fA-F]{4})|\+")
_HTML = re.compile(rb"&(?:#(?:[xX]([0-9a-fA-F]+)|([0-9]+))|([A-Za-z0-9]+));?")
_ENTITIES = {b"quot": b'"', b"amp": b"&", b"lt": b"<", b"gt": b">", b"nbsp": b"\xa0"}
_JS = re.compile(rb"\\(?:u([0-9a-fA-F]{4})|x([0-9a-fA-F]{2})|([0-3][0-7]{0,2}|[4-7][0-7]?)|(.))", re.DOTALL)
_CSS = re.compile(rb"\\(?:([0-9a-fA-F]{1,6})[ \t\n\v\f\r]?|(.?))", re.DOTALL)
_ANSI = re.compile(rb"\\(?:[xX]([0-9a-fA-F]{2})|([0-7]{1,3})|(.))", re.DOTALL)
_CONTROLS = {b"a": b"\a", b"b": b"\b", b"f": b"\f", b"n": b"\n", b"r": b"\r", b"t": b"\t", b"v": b"\v"}
_BYTES = [bytes([number]) for number in range(256)]
_LONGEST = 2**63 - 1
_UTF8 = re.compile(rb"\x00|[\xc0-\xdf][\x80-\xbf]|[\xe0-\xef][\x80-\xbf]{2}|[\xf0-\xf7][\x80-\xbf]{3}|[\xc0-\xf7]")
_SQL_HEX = re.compile(rb"0[xX]((?:[0-9a-fA-F]{2})+)")
_NOT_BASE64 = re.compile(rb"[^A-Za-z0-9+/]")
_BASE64_HEAD = re.compile(rb"[A-Za-z0-9+/\r\n]*")


def url_decode(value: bytes) -> bytes:
    """Decode ``%41`` and ``+``; a bad escape stays."""
    if b"%" not in value and b"+" not in value:
        return value
    return _URL.sub(lambda found: _PERCENT[found[0]], value)


def url_decode_uni(value: bytes) -> bytes:
    """Decode ``%41``, ``+`` and ``%u0041``, the last to the letter that looks most like it."""
    if b"%" not in value and b"+" not in value:
        return value
    return _URL_UNI.sub(lambda found: _PERCENT.get(found[0]) or _wide(found[0]), value)


@lru_cache(maxsize=4096)
def _wide(escape: bytes) -> bytes:
    return best_fit(int(escape[2:].decode(), 16))


def best_fit(code: int) -> bytes:
    """Return the one byte that a server with code page 20127 (ASCII) takes for this character; ``x`` where it has none."""
    if code < 0x80:
        return _BYTES[code]
    if 0xFF01 <= code <= 0xFF5E:
        return _BYTES[code - 0xFEE0]
    if known := _LOOK_ALIKES.get(code):
        return known
    for letter in unicodedata.normalize("NFKD", chr(code)):
        if letter < "\x80":
            return letter.encode()
        break
    return b"x"


_LOOK_ALIKES = {
    **dict.fromkeys((0x2018, 0x2019, 0x201B, 0x2032, 0x2035, 0x02B9, 0x02BB, 0x02BC, 0x02C8, 0x0300, 0x0301), b"'"),
    **dict.fromkeys((0x201C, 0x201D, 0x201E, 0x201F, 0x2033, 0x02BA, 0x030E), b'"'),
    **dict.fromkeys((0x2010, 0x2011, 0x2012, 0x2013, 0x2014, 0x2015, 0x2212, 0x00AD), b"-"),
    **dict.fromkeys((0x2039, 0x2329, 0x27E8, 0x3008, 0x00AB), b"<"),
    **dict.fromkeys((0x203A, 0x232A, 0x27E9, 0x3009, 0x00BB), b">"),
    **dict.fromkeys((0x2044, 0x2215), b"/"),
    **dict.fromkeys((0x2216,), b"\\"),
    **dict.fromkeys((0x2223, 0x00A6), b"|"),
    **dict.fromkeys((0x2217, 0x2022, 0x00B7, 0x22C5), b"*"),
    0x00D8: b"O", 0x00F8: b"o", 0x0110: b"D", 0x0111: b"d", 0x0126: b"H", 0x0127: b"h", 0x0131: b"i", 0x0141: b"L", 0x0142: b"l",
    0x00D0: b"D", 0x00F0: b"d", 0x00DF: b"s", 0x00C6: b"A", 0x00E6: b"a", 0x0152: b"O", 0x0153: b"o", 0x00A2: b"c", 0x00A3: b"L",
    0x00A5: b"Y", 0x00A9: b"C", 0x00AE: b"R", 0x00B5: b"u", 0x2236: b":", 0x037E: b";", 0x2038: b"^", 0x02C6: b"^", 0x02DC: b"~",
    0x223C: b"~", 0x2768: b"(", 0x2769: b")",
}  # fmt: skip


def html_entity_decode(value: bytes) -> bytes:
    """Decode ``&#65;``, ``&#x41``, ``&lt;`` and the few names ModSecurity knows; of large numbers the lowest byte counts."""
    return _HTML.sub(_entity, value) if b"&" in value else value


def _entity(found: re.Match[bytes]) -> bytes:
    high, decimal, name = found.groups()
    if name is None:
        number = int(high, 16) if high is not None else _decimal(decimal)
        return _BYTES[min(number, _LONGEST) & 255]
    return _ENTITIES.get(name.lower()) or found[0]


def _decimal(digits: bytes) -> int:
    digits = digits.lstrip(b"0") or b"0"
    return int(digits) if len(digits) < 20 else _LONGEST


def js_decode(value: bytes) -> bytes:
    r"""Decode ``\u0041``, ``\x41``, ``\101``, ``\n``; another letter stands for itself; full-width letters become plain ones."""
    return _JS.sub(lambda found: _js(found[0]), value) if b"\\" in value else value


@lru_cache(maxsize=4096)
def _js(escape: bytes) -> bytes:
    found = _JS.match(escape)
    assert found is not None
    unicode, high, octal, letter = found.groups()
    if letter is not None:
        return _CONTROLS.get(letter, letter)
    if unicode is not None:
        return _BYTES[_narrow(int(unicode, 16) & 255, unicode[:2])]
    return _BYTES[int(high, 16) if high is not None else int(octal, 8)]


def _narrow(low: int, high: bytes) -> int:
    return low + 0x20 if 0 < low < 0x5F and high.lower() == b"ff" else low


def css_decode(value: bytes) -> bytes:
    r"""Decode ``\41``, ``\000041`` and the blank after it; ``\`` before a line's end or the text's end goes."""
    return _CSS.sub(lambda found: _css(found[0]), value) if b"\\" in value else value


@lru_cache(maxsize=4096)
def _css(escape: bytes) -> bytes:
    found = _CSS.match(escape)
    assert found is not None
    digits, letter = found.groups()
    if digits is None:
        return b"" if letter == b"\n" else letter
    low, length = int(digits[-2:], 16), len(digits)
    if length == 4 or (length == 5 and digits[:1] == b"0") or (length == 6 and digits[:2] == b"00"):
        low = _narrow(low, digits[-4:-2])
    return _BYTES[low]


def escape_seq_decode(value: bytes) -> bytes:
    r"""Decode what ANSI C escapes: ``\n``, ``\x41``, ``\101``; another letter stands for itself."""
    return _ANSI.sub(lambda found: _ansi(found[0]), value) if b"\\" in value else value


@lru_cache(maxsize=4096)
def _ansi(escape: bytes) -> bytes:
    found = _ANSI.match(escape)
    assert found is not None
    high, octal, letter = found.groups()
    if letter is not None:
        return _CONTROLS.get(letter, letter)
    return _BYTES[int(high, 16) if high is not None else int(octal, 8) & 255]


def utf8_to_unicode(value: bytes) -> bytes:
    """Write characters beyond ASCII as ``%u0105``; a sequence cut short goes, one longer than need be leaves its first byte too."""
    if value.isascii() and b"\x00" not in value:
        return value
    return _UTF8.sub(lambda found: _character(found[0]), value)


@lru_cache(maxsize=4096)
def _character(piece: bytes) -> bytes:
    first, size = piece[0], len(piece)
    head = piece[:1] if first >= 0xF5 else b""
    if size == 1:
        return head
    code = first & (0xFF >> (size + 1))
    for each in piece[1:]:
        code = code << 6 | each & 0x3F
    text = head + b"%%u%04x" % code
    if 0xD800 <= code <= 0xDFFF:
        text += piece[:1]
    if code < (0, 0, 0x80, 0x800, 0x10000)[size]:
        text += piece[:1]
    return text


def hex_decode(value: bytes) -> bytes:
    """Decode pairs of hexadecimal digits; what is none counts as ModSecurity's arithmetic has it."""
    if not value:
        return value
    pairs = zip(value[::2], value[1::2], strict=False)
    return bytes((_digit(high) * 16 + _digit(low)) & 255 for high, low in pairs)


def _digit(code: int) -> int:
    return (code & 0xDF) - 0x37 if code >= 0x41 else code - 0x30


def hex_encode(value: bytes) -> bytes:
    """Two digits for each byte."""
    return value.hex().encode()


def sql_hex_decode(value: bytes) -> bytes:
    """Decode ``0x414243`` wherever it stands."""
    if b"0x" not in value and b"0X" not in value:
        return value
    return _SQL_HEX.sub(lambda found: bytes.fromhex(found[1].decode()), value)


def base64_decode(value: bytes) -> bytes:
    """Decode up to the first byte that cannot be: strict."""
    found = _BASE64_HEAD.match(value)
    assert found is not None
    head = found[0]
    return _base64(head.translate(None, b"\r\n") if b"\n" in head or b"\r" in head else head)


def base64_decode_ext(value: bytes) -> bytes:
    """Decode what can be, and leave out the rest."""
    return _base64(_NOT_BASE64.sub(b"", value.translate(_URL_SAFE)))


_URL_SAFE = bytes.maketrans(b"-_", b"+/")


def _base64(letters: bytes) -> bytes:
    over = len(letters) % 4
    if over == 1:
        return binascii.a2b_base64(letters[:-1])
    return binascii.a2b_base64(letters + _PADDING[over])


_PADDING = (b"", b"", b"==", b"=")


def base64_encode(value: bytes) -> bytes:
    """As everybody does."""
    return base64.b64encode(value)
