"""What rules do to a value before they judge it: ``t:lowercase`` and its kin, alone and in pipelines.

A :class:`Transformation` works on one value, and, where that gives the same as for each alone, on many values joined by
newlines, which is how the engine looks at hundreds of values at the price of a few::

    values  a, b, c  ──join──▶  a\\nb\\nc  ──joined──▶  t(a)\\nt(b)\\nt(c)     or None: do each alone
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass

from balancer_crs.engine import decoding
from balancer_crs.engine.paths import normalize_path, normalize_path_win, path_is_normal, path_is_normal_win

Change = Callable[[bytes], bytes]
Joined = Callable[[bytes, bool], bytes | None]


@dataclass(frozen=True, slots=True)
class Transformation:
    """One step.

    Attributes:
        name: as rules write it.
        apply: to one value.
        joined: to joined values; told whether each newline is a joint; None when it must be done one by one.
        by_line: whether that is no more than each line by itself.
    """

    name: str
    apply: Change
    joined: Joined
    by_line: bool = False

    def __repr__(self) -> str:
        return f"<t:{self.name}>"


_SPACES = b" \t\n\v\f\r"
_NO_LINES = _SPACES.replace(b"\n", b"")
_SPACE_RUN = re.compile(rb"[ \t\n\v\f\r]+")
_SPACE_RUN_IN_LINE = re.compile(rb"[ \t\v\f\r]+")
_COMMENT = re.compile(rb"/\*.*?(?:\*/|\Z)", re.DOTALL)
_COMMENT_START = re.compile(rb"/\*|<!--|--|#")
_COMMENT_END = re.compile(rb"\*/|-->")
_COMMENT_MARK = re.compile(rb"/\*|\*/|<!--|-->|--|#")
_SHELL_GAP = re.compile(rb"[ ,;\t\r\n]+")
_SHELL_GAP_IN_LINE = re.compile(rb"[ ,;\t\r]+")
_BEFORE_SLASH = re.compile(rb" ([/(])")
_UNSAFE = re.compile(rb"[^A-Za-z0-9*]")
_EVEN = bytes((code & 0x7F) | (0x80 if code.bit_count() % 2 else 0) for code in range(256))
_ODD = bytes((code & 0x7F) | (0 if code.bit_count() % 2 else 0x80) for code in range(256))
_ZERO = bytes(code & 0x7F for code in range(256))


def compress_whitespace(value: bytes) -> bytes:
    """Make one space of each run of white space."""
    return _SPACE_RUN.sub(b" ", value)


def remove_whitespace(value: bytes) -> bytes:
    """Leave out white space, and the space that does not break."""
    return value.translate(None, _SPACES + b"\xa0")


def replace_comments(value: bytes) -> bytes:
    """Make a space of each C comment, also of one without an end."""
    return _COMMENT.sub(b" ", value) if b"/*" in value else value


def remove_comments(value: bytes) -> bytes:
    """Leave out comments of C, HTML, SQL and the shell; the byte after the end of a comment is taken as it is."""
    found = _COMMENT_START.search(value)
    if found is None:
        return value
    pieces, at = [], 0
    while found is not None:
        pieces.append(value[at : found.start()])
        if found[0] in (b"--", b"#"):
            return b"".join(pieces)
        end = _COMMENT_END.search(value, found.end())
        if end is None:
            return b"".join((*pieces, b" "))
        pieces.append(value[end.end() : end.end() + 1] or b"\x00")
        at = end.end() + 1
        found = _COMMENT_START.search(value, at)
    pieces.append(value[at:])
    return b"".join(pieces)


def remove_comments_char(value: bytes) -> bytes:
    """Leave out the marks of comments, not what is in them."""
    return _COMMENT_MARK.sub(b"", value)


def cmd_line(value: bytes) -> bytes:
    """Undo what hides a command from a search and not from a shell."""
    value = _SHELL_GAP.sub(b" ", value.translate(None, b"\"'\\^"))
    return _BEFORE_SLASH.sub(rb"\1", value).lower()


def url_encode(value: bytes) -> bytes:
    """Write all but letters, digits and ``*`` as ``%2e``."""
    return _UNSAFE.sub(lambda found: b"+" if found[0] == b" " else b"%%%02x" % found[0][0], value)


def _cmd_line_joined(value: bytes, single: bool) -> bytes | None:
    if not single:
        return None
    value = _SHELL_GAP_IN_LINE.sub(b" ", value.translate(None, b"\"'\\^"))
    return _BEFORE_SLASH.sub(rb"\1", value).lower()


def _free(change: Change) -> Joined:
    """A change that never looks beyond a newline."""
    return lambda value, _single: change(value)


def _lines(change: Change) -> Joined:
    """A change that is done line by line, good when every newline is a joint."""
    return lambda value, single: b"\n".join(map(change, value.split(b"\n"))) if single else None


def _without(change: Change, mark: bytes) -> Joined:
    """A change that does not look beyond a newline unless the mark is there."""
    by_line = _lines(change)
    return lambda value, single: by_line(value, single) if mark in value else change(value)


def _in_lines(change: Change) -> Joined:
    """A change that is told not to touch newlines, good when every newline is a joint."""
    return lambda value, single: change(value) if single else None


def _unless(found: re.Pattern[bytes], change: Change) -> Joined:
    """A change that leaves values alone in which this is not found."""
    by_line = _lines(change)
    return lambda value, single: by_line(value, single) if found.search(value) else value


def _by_line(name: str, change: Change) -> Transformation:
    return Transformation(name, change, _lines(change), by_line=True)


def _same(value: bytes) -> bytes:
    return value


_ALL = (
    Transformation("lowercase", bytes.lower, _free(bytes.lower)),
    Transformation("uppercase", bytes.upper, _free(bytes.upper)),
    Transformation("urlDecode", decoding.url_decode, _free(decoding.url_decode)),
    Transformation("urlDecodeUni", decoding.url_decode_uni, _free(decoding.url_decode_uni)),
    _by_line("urlEncode", url_encode),
    Transformation("htmlEntityDecode", decoding.html_entity_decode, _free(decoding.html_entity_decode)),
    Transformation("jsDecode", decoding.js_decode, _without(decoding.js_decode, b"\\\n")),
    Transformation("cssDecode", decoding.css_decode, _without(decoding.css_decode, b"\\")),
    Transformation("escapeSeqDecode", decoding.escape_seq_decode, _without(decoding.escape_seq_decode, b"\\\n")),
    Transformation("utf8toUnicode", decoding.utf8_to_unicode, _free(decoding.utf8_to_unicode)),
    _by_line("base64Decode", decoding.base64_decode),
    _by_line("base64DecodeExt", decoding.base64_decode_ext),
    _by_line("base64Encode", decoding.base64_encode),
    _by_line("hexDecode", decoding.hex_decode),
    _by_line("hexEncode", decoding.hex_encode),
    Transformation("sqlHexDecode", decoding.sql_hex_decode, _free(decoding.sql_hex_decode)),
    Transformation(
        "compressWhitespace", compress_whitespace, _in_lines(lambda value: _SPACE_RUN_IN_LINE.sub(b" ", value))
    ),
    Transformation(
        "removeWhitespace", remove_whitespace, _in_lines(lambda value: value.translate(None, _NO_LINES + b"\xa0"))
    ),
    Transformation(
        "removeNulls", lambda value: value.replace(b"\x00", b""), _free(lambda value: value.replace(b"\x00", b""))
    ),
    Transformation(
        "replaceNulls", lambda value: value.replace(b"\x00", b" "), _free(lambda value: value.replace(b"\x00", b" "))
    ),
    Transformation("replaceComments", replace_comments, _without(replace_comments, b"/*")),
    Transformation("removeComments", remove_comments, _unless(_COMMENT_START, remove_comments)),
    Transformation("removeCommentsChar", remove_comments_char, _free(remove_comments_char)),
    Transformation("normalizePath", normalize_path, _unless(path_is_normal, normalize_path)),
    Transformation("normalizePathWin", normalize_path_win, _unless(path_is_normal_win, normalize_path_win)),
    Transformation("cmdLine", cmd_line, _cmd_line_joined),
    _by_line("length", lambda value: b"%d" % len(value)),
    _by_line("md5", lambda value: hashlib.md5(value, usedforsecurity=False).digest()),
    _by_line("sha1", lambda value: hashlib.sha1(value, usedforsecurity=False).digest()),
    _by_line("trim", lambda value: value.strip(_SPACES)),
    _by_line("trimLeft", lambda value: value.lstrip(_SPACES)),
    _by_line("trimRight", lambda value: value.rstrip(_SPACES)),
    _by_line("parityEven7bit", lambda value: value.translate(_EVEN)),
    _by_line("parityOdd7bit", lambda value: value.translate(_ODD)),
    _by_line("parityZero7bit", lambda value: value.translate(_ZERO)),
    Transformation("none", _same, _free(_same)),
)
BY_NAME = {each.name: each for each in _ALL}
_ALIASES = {"normalisePath": "normalizePath", "normalisePathWin": "normalizePathWin"}


def transformation(name: str) -> Transformation:
    """Return the step of that name (case does not count).

    Raises:
        KeyError: there is none.
    """
    return _FOLDED[name.lower()]


_FOLDED = {name.lower(): each for name, each in BY_NAME.items()}
_FOLDED |= {alias.lower(): BY_NAME[name] for alias, name in _ALIASES.items()}


class Pipeline:
    """Transformations in order, one object for each different order.

    Args:
        names: of the transformations.
        parent: the same without the last one, where that is known.
    """

    __slots__ = ("names", "parent", "steps")

    def __init__(self, names: tuple[str, ...], parent: Pipeline | None = None) -> None:
        self.names = names
        self.parent = parent
        self.steps = tuple(each for name in names if (each := transformation(name)).name != "none")

    def apply(self, value: bytes) -> bytes:
        """Return one value after all steps."""
        for step in self.steps:
            value = step.apply(value)
        return value

    def stages(self, value: bytes) -> list[bytes]:
        """Return the value, and what each step that changed it made of it (``multiMatch``)."""
        found = [value]
        for step in self.steps:
            changed = step.apply(value)
            if changed != value:
                found.append(changed)
            value = changed
        return found

    def joined(self, value: bytes, count: int) -> bytes | None:
        """Return joined values after all steps; None if that would not be what each alone gives."""
        for step in self.steps:
            changed = step.joined(value, value.count(b"\n") == count - 1)
            if changed is None:
                return None
            value = changed
        return value

    def __repr__(self) -> str:
        return f"<Pipeline {','.join(self.names) or 'none'}>"
