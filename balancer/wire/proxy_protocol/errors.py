"""What can be wrong with a PROXY header."""

from __future__ import annotations

__all__ = ["CHECKSUM", "MALFORMED", "MISSING", "REASONS", "TOO_LONG", "HeaderError", "NoHeaderError"]

MISSING = "missing"
MALFORMED = "malformed"
TOO_LONG = "too_long"
CHECKSUM = "checksum"

REASONS = (MISSING, MALFORMED, TOO_LONG, CHECKSUM)
"""Every ``reason`` of a :class:`HeaderError`."""


class HeaderError(ValueError):
    """A header that is none. ``reason`` is one of :data:`REASONS`, the text says what was found."""

    def __init__(self, text: str, reason: str = MALFORMED) -> None:
        super().__init__(text)
        self.reason = reason


class NoHeaderError(HeaderError):
    """What came is not the beginning of a header of either version: it may be something else, in its own right."""

    def __init__(self) -> None:
        super().__init__("the connection does not begin with a PROXY header", MISSING)
