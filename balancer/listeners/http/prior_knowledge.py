"""Clients that begin a plain connection in HTTP/2, because they know that it is spoken here (RFC 9113 section 3.3).

Every connection begins in HTTP/1.1, whose reader refuses the first line of HTTP/2, ``PRI * HTTP/2.0``, as a version that it
does not speak. Only then is it looked at: connections of HTTP/1.1 pay nothing for it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from balancer.listeners.http.channel import HTTPChannel

__all__ = ["went_on"]

_BEGINNING = b"PRI * HTTP/2.0\r\n"


def went_on(channel: HTTPChannel, data: bytes) -> bool:
    """Hand the connection of ``channel`` on, if ``data``, which its reader refused, is the first of HTTP/2 on a new connection."""
    go_on = channel.prior_knowledge
    if go_on is None or channel._arrival is not None:
        return False
    data = channel._reader.begun_with(data)
    if not data.startswith(_BEGINNING):
        return False
    channel._timer.end()
    channel._reader.end()
    go_on(channel, data)
    return True
