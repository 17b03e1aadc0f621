"""The first line of a request, looked at before llhttp reads it: what that would wave through is refused here."""

from __future__ import annotations

import re

from balancer import errors
from balancer.errors import ExchangeError

__all__ = ["METHOD", "SIMPLE", "begin"]

METHOD = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]{1,64}) (?=[^ ])")
"""A method, which may be any token, and the blank behind it."""
SIMPLE = re.compile(rb"(GET|HEAD|POST|PUT|PATCH|DELETE|OPTIONS) (/[!\"$-~]*) HTTP/1\.1")
"""A whole line about which nothing is out of the ordinary; method and target."""

_BEGINNING = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,64}(?: [^\x00-\x20\x7f]*(?: [HTP/.0-9]*\r?)?)?\Z")
_VERSION = re.compile(rb" HTTP/(\d)\.\d\Z")
_BLANK_LINES = 4


def begin(data: bytes, longest_target: int) -> tuple[bytes, bytes]:
    """Look at the beginning of a message.

    Args:
        data: all that has come of it.
        longest_target: in bytes.

    Returns:
        What llhttp may read, and what must wait until the line is complete; one of them is empty.

    Raises:
        ExchangeError: it is no request line of HTTP/1, and will be none.
    """
    for _ in range(_BLANK_LINES):  # RFC 9112 section 2.2
        if not data.startswith(b"\r\n"):
            break
        data = data[2:]
    if data[:1] in (b"\n", b" ", b"\t", b"\r") and data != b"\r":
        raise ExchangeError(errors.HTTP_REQUEST_ERROR, "not a request line")
    end = data.find(b"\r\n")
    if end < 0:
        if len(data) > longest_target + 64:
            raise ExchangeError(errors.HTTP_URI_TOO_LONG)
        if data not in (b"", b"\r") and _BEGINNING.match(data) is None:
            raise ExchangeError(errors.HTTP_REQUEST_ERROR, "not a request line")
        return b"", data
    if data.find(b" HTTP/1.", end - 9, end) < 0 or data.count(b" ", 0, end) != 2:
        version = _VERSION.search(data[:end])
        if version and version[1] != b"1" and _BEGINNING.match(data[:end]):
            raise ExchangeError(errors.HTTP_VERSION_REFUSED, version[0].decode().strip())
        raise ExchangeError(errors.HTTP_REQUEST_ERROR, "not a request line")
    return data, b""
