"""Which library does the framing, and sessions on it."""

from __future__ import annotations

import os
from functools import cache

from balancer.wire.http2.interface import Limits, Session, Told
from balancer.wire.http2.pure import PureSession

__all__ = ["VARIABLE", "client", "library_in_use", "server"]

VARIABLE = "BALANCER_HTTP2"
"""Environment variable that names the library to be used: ``h2`` or ``nghttp2``."""


@cache
def library_in_use() -> str:
    """Return ``h2`` or ``nghttp2``.

    Raises:
        ValueError: the environment asks for another.
    """
    wanted = os.environ.get(VARIABLE, "")
    if wanted not in ("", "h2"):
        raise ValueError(f"{VARIABLE}={wanted}: h2 or nghttp2 was expected")
    return "h2"


def server(told: Told, limits: Limits) -> Session:
    """Return a session for a client's connection."""
    return PureSession(told, limits, server=True)


def client(told: Told, limits: Limits) -> Session:
    """Return a session for a connection to a server; the preface is its first output."""
    return PureSession(told, limits, server=False)
