"""Which header fields a configuration may write: names and values that are safe on the wire, and names that are not ours to give.

Fields that frame the message or belong to one connection are worked out by the balancer for each side; setting them by
hand would let a configuration smuggle (RFC 9112 section 6, RFC 9110 section 7.6.1).
"""

from __future__ import annotations

import re

__all__ = ["MANAGED", "header_name", "header_value", "safe_value"]

MANAGED = frozenset(
    {
        b"connection",
        b"content-length",
        b"expect",
        b"keep-alive",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    }
)
"""Names, in lower case, that only the balancer itself writes."""

_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+\Z")
_CONTROL = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")


def header_name(text: str) -> bytes:
    """Return ``text`` as a field name that a configuration may write.

    Raises:
        ValueError: for what is not a token (RFC 9110 section 5.1), or a name in :data:`MANAGED`.
    """
    if not _TOKEN.match(text):
        raise ValueError(f"expected a header name, got {text!r}")
    name = text.encode("ascii")
    if name.lower() in MANAGED:
        raise ValueError(f"the header {text!r} belongs to the connection: only the balancer writes it")
    return name


def header_value(text: str) -> bytes:
    """Return ``text`` as a field value (UTF-8).

    Raises:
        ValueError: for a line break or any other control character but a tab, and for blanks at either end.
    """
    value = text.encode("utf-8")
    if _CONTROL.search(value):
        raise ValueError(f"expected a header value without line breaks or control characters, got {text!r}")
    if value != value.strip(b" \t"):
        raise ValueError(f"expected a header value without blanks at its ends, got {text!r}")
    return value


def safe_value(value: bytes) -> bytes:
    """Return ``value`` with every control character but tab percent-encoded, so that it stays within its field."""
    if _CONTROL.search(value):
        return _CONTROL.sub(lambda found: b"%%%02X" % found[0][0], value)
    return value
