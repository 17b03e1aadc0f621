"""Telling the system's service manager how it goes (sd_notify(3)); where there is none, nothing is told."""

from __future__ import annotations

import os
import socket

__all__ = ["notify"]


def notify(*words: str) -> None:
    """Send assignments such as ``READY=1`` to the socket that ``NOTIFY_SOCKET`` names, if it does."""
    name = os.environ.get("NOTIFY_SOCKET", "")
    if not name.startswith(("/", "@")):
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as skt:
        try:
            skt.sendto("\n".join(words).encode(), "\0" + name[1:] if name[0] == "@" else name)
        except OSError:  # a service manager that does not listen is none of our business
            pass
