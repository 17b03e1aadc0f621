"""Whether a running peer does what the others do: what it sends to the server, to the client, and writes to its log.

``/show`` makes the server answer with the head of the request as it came.
"""

from __future__ import annotations

import http.client
import time
from pathlib import Path

__all__ = ["TO_CLIENT", "TO_SERVER", "Unequal", "compare"]

TO_SERVER = (
    "X-Forwarded-For",
    "X-Forwarded-Proto",
    "X-Forwarded-Host",
    "X-Forwarded-Port",
    "X-Request-Id",
    "Via",
    "Host",
)
"""Fields that every peer sends to the server."""
TO_CLIENT = ("X-Request-Id", "Via")
"""Fields that every peer adds for the client."""
_PATIENCE = 5.0


class Unequal(Exception):  # noqa: N818
    """A peer does less work than the others."""


def compare(port: int, log: Path) -> None:
    """Ask the peer on ``port`` once, and look.

    Raises:
        Unequal: naming what it left out.
    """
    before = _size(log)
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_PATIENCE)
    try:
        connection.request("GET", "/show", headers={"Host": "bench.example"})
        response = connection.getresponse()
        shown = response.read().decode("latin-1")
    finally:
        connection.close()
    fields = dict(line.split(": ", 1) for line in shown.strip().split("\r\n")[1:] if ": " in line)
    sent = {name.lower(): value for name, value in fields.items()}
    missing = [f"{name} for the server" for name in TO_SERVER if not sent.get(name.lower())]
    missing += [f"{name} for the client" for name in TO_CLIENT if not response.getheader(name)]
    if response.getheader("X-Request-Id") != sent.get("x-request-id"):
        missing.append("the same request id for client and server")
    if sent.get("connection", "keep-alive").lower() != "keep-alive":
        missing.append("kept connections to the server")
    until = time.monotonic() + _PATIENCE
    while _size(log) == before:
        if time.monotonic() > until:
            missing.append("a line in its access log")
            break
        time.sleep(0.02)
    if missing:
        raise Unequal(f"without {', '.join(missing)}:\n{shown}{response.headers}")


def _size(file: Path) -> int:
    return file.stat().st_size if file.exists() else 0
