"""Which header lists are a message (RFC 9113 section 8): pseudo-fields, names, values, and what may not come at all.

Each function takes a list as it was decoded and returns what a session needs to know of it, or raises :class:`MalformedError`,
for which section 8.1.1 wants the stream reset. What HTTP means by a field is not looked at here: see :mod:`.heads`.
"""

from __future__ import annotations

import re

from balancer.model.headers import RawHeaders

__all__ = ["MalformedError", "authorities", "authority", "joined", "request", "response", "trailers"]

_NAME = re.compile(rb"[!#$%&'*+\-.^_`|~0-9a-z]+\Z")
_BAD_VALUE = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]|\A[ \t]|[ \t]\Z")
_METHOD = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+\Z")
_SCHEME = re.compile(rb"[A-Za-z][A-Za-z0-9+.\-]*\Z")
_PATH = re.compile(rb"/[^\x00-\x20\x7f]*\Z")
_AUTHORITY = re.compile(rb"(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._~!$&'()*+;=%,\-]+)(?::[0-9]*)?\Z")
_DIGITS = re.compile(rb"[0-9]{1,18}\Z")
_STATUS = re.compile(rb"[1-9][0-9]{2}\Z")

_HOP = frozenset([b"connection", b"proxy-connection", b"keep-alive", b"transfer-encoding", b"upgrade"])
_PSEUDO = frozenset([b":method", b":scheme", b":authority", b":path", b":protocol"])

_MEMO_SIZE = 4096
_plain: set[bytes] = set()
"""Names that were looked at and mean nothing here."""
authorities: set[bytes] = set()
"""Values of ``:authority`` that were looked at and are well."""
_LOOKED_AT = _HOP | {b"te", b"host", b"content-length", b"cookie"}


class MalformedError(Exception):
    """The message is malformed; the text says how."""


def request(headers: RawHeaders, connect_protocol: bool) -> tuple[int | None, bool, int]:
    """Judge a request's head.

    Args:
        headers: as decoded.
        connect_protocol: whether the extended CONNECT of RFC 8441 was announced.

    Returns:
        Its content length, None if it says none; whether it is a CONNECT; how many cookie crumbs there are.
    """
    pseudo: dict[bytes, bytes] = {}
    count = 0
    for name, value in headers:
        if name[:1] != b":":
            break
        if name not in _PSEUDO or name in pseudo:
            raise MalformedError("a pseudo-field that is unknown or there twice")
        if _BAD_VALUE.search(value):
            raise MalformedError("a pseudo-field's value")
        pseudo[name] = value
        count += 1
    method, named = pseudo.get(b":method"), pseudo.get(b":authority")
    if method is None or not _METHOD.match(method):
        raise MalformedError(":method")
    connect = method == b"CONNECT"
    if connect and b":protocol" not in pseudo:
        if b":scheme" in pseudo or b":path" in pseudo or not named:
            raise MalformedError("CONNECT has :authority, and neither :scheme nor :path")
    else:
        scheme, path = pseudo.get(b":scheme"), pseudo.get(b":path")
        if b":protocol" in pseudo and not (
            connect and connect_protocol and named and _NAMES.match(pseudo[b":protocol"])
        ):
            raise MalformedError(":protocol")
        if scheme is None or not _SCHEME.match(scheme):
            raise MalformedError(":scheme")
        if path is None or not (_PATH.match(path) or (path == b"*" and method == b"OPTIONS")):
            raise MalformedError(":path")
    length, host, cookies = _fields(headers, count)
    if host is not None or named not in authorities:
        authority(named, host)
    return (None if connect else length), connect, cookies


def authority(named: bytes | None, host: bytes | None) -> None:
    """Judge ``:authority`` and ``host`` (RFC 9113 section 8.3.1)."""
    if named is None and host is None:
        raise MalformedError("neither :authority nor host")
    if named is not None and host is not None and named.lower() != host.lower():
        raise MalformedError("host is not :authority")
    known = named if named is not None else host
    if known is None or not _AUTHORITY.match(known):
        raise MalformedError(":authority")
    if named is not None and len(authorities) < _MEMO_SIZE and len(named) <= 256:
        authorities.add(named)


_NAMES = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+(?:/[!#$%&'*+\-.^_`|~0-9A-Za-z]+)?\Z")


def response(headers: RawHeaders) -> tuple[int, int | None]:
    """Judge a response's head; return its status and its content length, None if it says none."""
    if not headers or headers[0][0] != b":status" or not _STATUS.match(headers[0][1]):
        raise MalformedError(":status")
    status = int(headers[0][1])
    if status == 101:
        raise MalformedError("101 is not of HTTP/2")
    length, _, _ = _fields(headers, 1)
    if length is not None and status < 200:
        raise MalformedError("content-length in a 1xx")
    return status, length


def trailers(headers: RawHeaders) -> None:
    """Judge a trailer section."""
    _fields(headers, 0)


def joined(headers: RawHeaders) -> RawHeaders:
    """Return ``headers`` with all cookie crumbs in the place of the first (RFC 9113 section 8.2.3)."""
    crumbs = b"; ".join([value for name, value in headers if name == b"cookie"])
    result: RawHeaders = []
    for pair in headers:
        if pair[0] != b"cookie":
            result.append(pair)
        elif crumbs:
            result.append((b"cookie", crumbs))
            crumbs = b""
    return result


def _fields(headers: RawHeaders, start: int) -> tuple[int | None, bytes | None, int]:
    """Judge what follows the pseudo-fields; return content length, host, and the number of cookie crumbs."""
    length: int | None = None
    host: bytes | None = None
    cookies = 0
    for name, value in headers[start:] if start else headers:
        if _BAD_VALUE.search(value):
            raise MalformedError(f"the value of {name.decode('latin-1')}")
        if name in _plain:
            continue
        if name not in _LOOKED_AT:
            if not _NAME.match(name):
                raise MalformedError(f"the name {name.decode('latin-1')!r}")
            if len(_plain) < _MEMO_SIZE and len(name) <= 64:
                _plain.add(name)
        elif name in _HOP:
            raise MalformedError(f"{name.decode()} is not of HTTP/2")
        elif name == b"te":
            if value.lower() != b"trailers":
                raise MalformedError("te other than trailers")
        elif name == b"host":
            if host is not None:
                raise MalformedError("more than one host")
            host = value
        elif name == b"cookie":
            cookies += 1
        else:
            if length is not None or not _DIGITS.match(value):
                raise MalformedError("content-length")
            length = int(value)
    return length, host, cookies
