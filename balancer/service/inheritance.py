"""What a process leaves to the one that takes over from it: listening sockets, the secret, what is known of servers.

::

    old                                            new
     │ spawns the same command, BALANCER_INHERIT=3   │
     │ ── descriptor 3: sockets, secret, state, … ─> │  reads, builds, adopts the sockets, accepts
     │ <── descriptor 4: "pid", then "ready" ─────── │  or "failed" and why, or just the end
     │ stops accepting, drains, ends                 │

Both serve for a moment, from the same sockets: no connection is refused or lost in between.
"""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterable, Iterator, MutableMapping
from contextlib import contextmanager
from typing import Any

from balancer.errors import BalancerError

__all__ = ["DESCRIPTION", "FIRST_SOCKET", "REPORTS", "VARIABLE", "Inheritance", "Left", "telling"]

VARIABLE = "BALANCER_INHERIT"
DESCRIPTION = 3
"""The descriptor from which the new process reads what it inherits."""
REPORTS = 4
"""The descriptor on which it says how it goes."""
FIRST_SOCKET = 5

Left = tuple[str, str, list[int]]
"""Name of the listener (``:admin`` and ``:metrics`` for those ports), text of the bind, descriptors."""


class Inheritance:
    """What the process before has left to this one; for a process that takes over from none, nothing.

    Args:
        left: the sockets, with descriptors of this process.
        rest: ``secret``, ``state``, and for TLS ``tls``, the keys of session tickets and the answers of authorities; ``splits``, the weights
            in force and where canaries stand.
        reports: where the process before listens.
    """

    def __init__(self, left: Iterable[Left] = (), rest: dict[str, Any] | None = None, reports: int = -1) -> None:
        self._sockets = {(name, bind): descriptors for name, bind, descriptors in left}
        self._reports = reports
        self.secret: str | None = (rest or {}).get("secret")
        self.state: list[Any] = (rest or {}).get("state", [])
        self.tls: dict[str, Any] = (rest or {}).get("tls", {})
        self.splits: list[Any] = (rest or {}).get("splits", [])

    @classmethod
    def of_environment(cls, environment: MutableMapping[str, str]) -> Inheritance:
        """Return what the variable in ``environment`` leads to, and remove it: our children inherit nothing by it."""
        if environment.pop(VARIABLE, None) is None:
            return cls()
        with os.fdopen(DESCRIPTION, "rb") as file:
            file.seek(0)
            found = json.loads(file.read())
        left: list[Left] = [(name, bind, list(descriptors)) for name, bind, descriptors in found.pop("sockets")]
        for descriptor in (REPORTS, *(each for _, _, descriptors in left for each in descriptors)):
            os.set_inheritable(descriptor, False)
        return cls(left, found, REPORTS)

    def take(self, name: str, bind: str, kind: int = socket.SOCK_STREAM) -> list[int]:
        """Return the descriptors left for ``bind`` of the listener ``name``, ours from now on; none is an empty list.

        A listener may have another name than before: then its text of the bind decides.
        """
        exact = (name, bind)
        for key in [exact] if exact in self._sockets else [key for key in self._sockets if key[1] == bind]:
            if _kind(self._sockets[key][0]) == kind:
                return self._sockets.pop(key)
        return []

    def began(self) -> None:
        """Say which process this is."""
        self._report(f"pid {os.getpid()}")

    def ready(self) -> None:
        """Say that this process accepts connections; what it did not take is closed."""
        self._report("ready")
        self._end()

    def failed(self, why: str) -> None:
        """Say that this process cannot take over."""
        self._report(f"failed {' '.join(why.split())}")
        self._end()

    def _report(self, words: str) -> None:
        if self._reports >= 0:
            try:
                os.write(self._reports, f"{words}\n".encode())
            except OSError:  # the process before is gone, and does not care
                pass

    def _end(self) -> None:
        for descriptors in self._sockets.values():
            for descriptor in descriptors:
                os.close(descriptor)
        self._sockets = {}
        if self._reports >= 0:
            os.close(self._reports)
            self._reports = -1

    def __repr__(self) -> str:
        return f"<Inheritance of {len(self._sockets)} sockets>"


@contextmanager
def telling(inheritance: Inheritance) -> Iterator[None]:
    """Tell the process before of errors that keep this one from taking over."""
    try:
        yield
    except BalancerError as error:
        inheritance.failed(str(error))
        raise


def _kind(descriptor: int) -> int:
    with socket.socket(fileno=os.dup(descriptor)) as skt:
        return skt.type
