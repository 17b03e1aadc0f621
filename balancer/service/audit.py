"""The audit log: who changed what through the admin API, a JSON object a line.

Refused calls are in it too. It never stands in the way of a change: where the file cannot be written, the service's log has the line and why.
"""

from __future__ import annotations

import json
import os
import pwd
import socket
import struct
import time
from typing import Any

from twisted.logger import Logger

__all__ = ["Audit", "who"]

_log = Logger()
_CREDENTIALS = struct.Struct("3i")


class Audit:
    """Writes to ``path``; None: to the service's log alone."""

    def __init__(self, path: str | None = None) -> None:
        self.path = path

    def note(self, by: dict[str, Any], call: str, content: Any, status: int, answer: Any) -> None:
        """Note a call and what came of it.

        Args:
            by: whose it was, see :func:`who`.
            call: method and path.
            content: what was to be changed, as it was sent.
            status: 200, or that of a refusal.
            answer: what the caller was told.
        """
        found: dict[str, Any] = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            **by,
            "call": call,
            "content": content,
            "status": status,
        }
        if status == 200:
            found["now"] = answer
        elif isinstance(answer, dict):
            found["error"] = answer.get("error")
        line = json.dumps(found, default=str)
        if self.path is None:
            _log.info("admin: {line}", line=line)
            return
        try:
            descriptor = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                os.write(descriptor, line.encode() + b"\n")
            finally:
                os.close(descriptor)
        except OSError as error:
            _log.error(
                "audit log {path}: {error}; it lacks: {line}", path=self.path, error=error.strerror or error, line=line
            )


def who(transport: Any) -> dict[str, Any]:
    """Return who is at the other end: user and process of a unix socket (as the kernel says), or an address."""
    peer = transport.getPeer()
    host = getattr(peer, "host", None)
    if host is not None:
        return {"address": f"{host}:{peer.port}"}
    try:
        data = transport.getHandle().getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
        pid, uid, _ = _CREDENTIALS.unpack(data)
    except (AttributeError, OSError, struct.error):
        return {"address": "unix"}
    return {"user": _name(uid), "uid": uid, "pid": pid}


def _name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)
