"""Which library does the framing, and sessions on it.

libnghttp2 where it is found, which costs a fifth; else the pure ``h2``. Both are the same to their users.
"""

from __future__ import annotations

import os
from functools import cache

from balancer.wire.http2 import native
from balancer.wire.http2.interface import Limits, Session, Told
from balancer.wire.http2.library import library
from balancer.wire.http2.pure import PureSession

__all__ = ["LIBRARIES", "VARIABLE", "client", "description", "library_in_use", "server"]

VARIABLE = "BALANCER_HTTP2"
"""Environment variable that names the library to be used: ``h2`` or ``nghttp2``."""
LIBRARIES = ("nghttp2", "h2")


@cache
def library_in_use() -> str:
    """Return ``nghttp2`` or ``h2``.

    Raises:
        ValueError: the environment asks for one that is not here.
    """
    wanted = os.environ.get(VARIABLE, "")
    if wanted not in ("", *LIBRARIES):
        raise ValueError(f"{VARIABLE}={wanted}: h2 or nghttp2 was expected")
    if wanted != "h2":
        found = library()
        if found is not None:
            native.prepare(found)
            return "nghttp2"
        if wanted:
            raise ValueError(f"{VARIABLE}={wanted}: libnghttp2 is not found, or too old")
    return "h2"


def description() -> str:
    """Return which library is in use, and its version, in words for the operator."""
    if library_in_use() == "nghttp2":
        found = library()
        return f"libnghttp2 {found.version if found else ''}"
    from h2 import __version__

    return (
        f"the pure library h2 {__version__}, as libnghttp2 is not installed or not wanted: it takes five times the CPU"
    )


def server(told: Told, limits: Limits) -> Session:
    """Return a session for a client's connection."""
    return _session(told, limits, server=True)


def client(told: Told, limits: Limits) -> Session:
    """Return a session for a connection to a server; the preface is its first output."""
    return _session(told, limits, server=False)


def _session(told: Told, limits: Limits, *, server: bool) -> Session:
    if library_in_use() == "nghttp2":
        return native.NativeSession(told, limits, server=server)
    return PureSession(told, limits, server=server)
