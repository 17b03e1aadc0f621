"""Starting the process that takes over: the same command as ours, so that it runs whatever code is installed now."""

from __future__ import annotations

import json
import os
import signal
import sys
import tempfile
from collections.abc import Iterable, Mapping
from typing import IO, Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.internet.protocol import ProcessProtocol
from twisted.logger import Logger
from twisted.python.failure import Failure

from balancer.errors import BalancerError
from balancer.service.inheritance import DESCRIPTION, FIRST_SOCKET, REPORTS, VARIABLE, Left

__all__ = ["PATIENCE", "Successor"]

PATIENCE = 60.0
"""Seconds that a new process may take until it accepts connections."""

_FOLDER = os.getcwd()  # where the command's relative paths count from; a daemon may go elsewhere

_log = Logger()


def _nowhere() -> IO[bytes]:
    """Return a file without a name; in memory where the system has that, for keys are no good on a disk."""
    if hasattr(os, "memfd_create"):
        return os.fdopen(os.memfd_create("inheritance"), "w+b")
    return tempfile.TemporaryFile()


class Successor(ProcessProtocol):
    """A process that is to take over from this one.

    Args:
        reactor: spawns it.
        command: the command, by default the one that started this process.
    """

    def __init__(self, reactor: Any, command: list[str] | None = None) -> None:
        self.pid = 0
        self.result: Deferred[int] = Deferred()
        """Fires with its pid when it accepts connections; fails with BalancerError if it will not."""
        self._reactor = reactor
        self._command = command or [sys.executable, *sys.orig_argv[1:]]
        self._reports = b""
        self._limit: IDelayedCall | None = None

    def start(self, left: Iterable[Left], rest: Mapping[str, Any]) -> Deferred[int]:
        """Start it; ``left`` has descriptors of this process, and they stay open here. Returns ``result``.

        ``rest`` is what else it is told, as plain values; there are secrets in it.
        """
        inherited: dict[int, int | str] = {0: 0, 1: 1, 2: 2, REPORTS: "r"}
        sockets: list[Left] = []
        number = FIRST_SOCKET
        for name, bind, descriptors in left:
            theirs = list(range(number, number + len(descriptors)))
            inherited |= dict(zip(theirs, descriptors, strict=True))
            sockets.append((name, bind, theirs))
            number += len(descriptors)
        with _nowhere() as file:
            file.write(json.dumps({**rest, "sockets": sockets}).encode())
            file.flush()
            inherited[DESCRIPTION] = file.fileno()
            environment = os.environ | {VARIABLE: str(DESCRIPTION)}
            try:
                process = self._reactor.spawnProcess(
                    self, self._command[0], self._command, env=environment, path=_FOLDER, childFDs=inherited
                )
            except OSError as error:
                raise BalancerError(f"the new process cannot be started: {error.strerror}") from error
        self.pid = process.pid
        self._limit = self._reactor.callLater(PATIENCE, self._too_late)
        return self.result

    def childDataReceived(self, _descriptor: int, data: bytes) -> None:
        """It reports."""
        *lines, self._reports = (self._reports + data).split(b"\n")
        for line in lines:
            word, _, rest = line.decode("utf-8", "replace").partition(" ")
            if word == "pid" and rest.isdecimal():
                self.pid = int(rest)
            elif word == "ready":
                self._over(self.pid)
            elif word == "failed":
                self._over(Failure(BalancerError(f"the new process cannot take over: {rest}")))

    def childConnectionLost(self, _descriptor: int) -> None:
        """It reports no more: it is ready, or has ended."""
        self._over(
            Failure(
                BalancerError(
                    "the new process ended before it was ready; see its messages on standard error or in the log"
                )
            )
        )

    def _too_late(self) -> None:
        self._limit = None
        try:
            os.kill(self.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self._over(Failure(BalancerError(f"the new process was not ready within {PATIENCE:g} s, and was killed")))

    def _over(self, outcome: int | Failure) -> None:
        if self._limit is not None:
            self._limit.cancel()
            self._limit = None
        if not self.result.called:
            self.result.callback(outcome)
