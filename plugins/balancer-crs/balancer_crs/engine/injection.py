"""libinjection, which reads SQL and HTML as their parsers do: from the system's libmodsecurity, where it is installed.

Debian's ``libmodsecurity3`` exports it; so does a ``libinjection`` library of its own. Without either, :func:`library` says None
and the rules that ask for it are reported as disabled.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

NAMES = ("libinjection.so.1", "libinjection.so", "libmodsecurity.so.3")

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
        self._ffi = ffi
        self._sqli = library.libinjection_sqli
        self._xss = library.libinjection_xss

    def sqli(self, value: bytes) -> bytes | None:
        """Return the fingerprint of the SQL that is in the value; None if none is."""
        fingerprint = self._ffi.new("char[16]")
        if self._sqli(self._ffi.from_buffer("char[]", value) if value else b"", len(value), fingerprint) == 1:
            return self._ffi.string(fingerprint)  # type: ignore[no-any-return]
        return None

    def xss(self, value: bytes) -> bool:
        """Return whether a browser could find a script in the value."""
        return bool(self._xss(self._ffi.from_buffer("char[]", value) if value else b"", len(value)) == 1)


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
