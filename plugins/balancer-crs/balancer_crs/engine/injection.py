"""libinjection, which reads SQL and HTML as their parsers do: from the system's libmodsecurity, where it is installed.

Debian's ``libmodsecurity3`` exports it; so does a ``libinjection`` library of its own. Without either, :func:`library` says None
and the rules that ask for it are reported as disabled.
"""

from __future__ import annotations

import re
from functools import lru_cache, partial
from typing import Any

NAMES = ("libinjection.so.1", "libinjection.so", "libmodsecurity.so.3")

_ONE_WORD = re.compile(rb"(?:[0-9]*|[A-Za-z][A-Za-z0-9._]*)\Z")
"""A number or a word: no SQL is made of one alone, and most values are."""

_SHORT = 64
_MOST = 8192
"""Values up to so long, and so many of them, whose answers are kept: four words take 40 microseconds."""

_DECLARATIONS = """
int libinjection_sqli(const char *s, size_t slen, char fingerprint[]);
int libinjection_xss(const char *s, size_t slen);
"""


class Injection:
    """The library, loaded.

    Args:
        ffi, library: of cffi.
    """

    def __init__(self, ffi: Any, library: Any) -> None:
        self._string = ffi.string
        self._new = partial(ffi.new, ffi.typeof("char[16]"))
        self._sqli = library.libinjection_sqli
        self._xss = library.libinjection_xss
        self._short = lru_cache(maxsize=_MOST)(self._fingerprint)

    def sqli(self, value: bytes) -> bytes | None:
        """Return the fingerprint of the SQL that is in the value; None if none is."""
        if _ONE_WORD.match(value):
            return None
        return self._short(value) if len(value) <= _SHORT else self._fingerprint(value)

    def _fingerprint(self, value: bytes) -> bytes | None:
        fingerprint = self._new()
        return self._string(fingerprint) if self._sqli(value, len(value), fingerprint) == 1 else None

    def xss(self, value: bytes) -> bool:
        """Return whether a browser could find a script in the value: there is none without a tag or an attribute's value."""
        return (b"<" in value or b"=" in value) and self._xss(value, len(value)) == 1


@lru_cache(maxsize=1)
def library() -> Injection | None:
    """Return the library of this system, or None."""
    try:
        from cffi import FFI
    except ImportError:
        return None
    ffi = FFI()
    ffi.cdef(_DECLARATIONS)
    for name in NAMES:
        try:
            return Injection(ffi, ffi.dlopen(name))
        except (OSError, AttributeError):
            continue
    return None
