"""One worker as its master sees it: a process, the connection to it, and how far it is."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred, fail
from twisted.internet.error import ConnectionDone, ProcessDone, ProcessExitedAlready
from twisted.internet.protocol import Factory, ProcessProtocol
from twisted.logger import Logger, LogLevel
from twisted.protocols import amp
from twisted.python.failure import Failure

from balancer import __version__
from balancer.service.workers.protocol import Farewell, Hello, Prepare, Said, Stop

__all__ = ["READY", "STARTING", "STOPPING", "WorkerProcess"]

STARTING, READY, STOPPING, GONE = "starting", "ready", "stopping", "gone"

_log = Logger()


class _Connection(amp.AMP):
    """The master's end of the conversation."""

    def __init__(self, worker: WorkerProcess) -> None:
        super().__init__()
        self._worker = worker

    @Hello.responder
    def hello(self, version: str) -> dict[str, Any]:
        """Tell the worker who it is."""
        if version != __version__:
            _log.warn(
                "{worker} runs version {theirs}, the master version {ours}: 'balancer ctl upgrade' brings all to the new one",
                worker=self._worker.name,
                theirs=version,
                ours=__version__,
            )
        return {"settings": self._worker.greeted()}

    @Said.responder
    def said(self, level: str, text: str) -> dict[str, Any]:
        """Write a line of the worker's into the log."""
        self._worker.log(level, text)
        return {}

    @Farewell.responder
    def farewell(self, metrics: list[Any]) -> dict[str, Any]:
        """Keep the last numbers."""
        self._worker.said_farewell(metrics)
        return {}


class WorkerProcess(ProcessProtocol):
    """A process that serves.

    Args:
        reactor: spawns it.
        number: which of the workers it is, counted from 0: its share of the sockets.
        row: its row of the shared counts.
        greeted: called when it has started; returns what ``Hello`` is answered with.
        ended: called when it is gone.
        farewell: called with its last metrics.

    ``state`` is one of starting, ready, stopping and gone.
    """

    def __init__(
        self,
        reactor: Any,
        number: int,
        row: int,
        greeted: Callable[[WorkerProcess], dict[str, Any]],
        ended: Callable[[WorkerProcess, str], Any],
        farewell: Callable[[WorkerProcess, list[Any]], Any],
    ) -> None:
        self.number = number
        self.row = row
        self.state = STARTING
        self.pid = 0
        self.since = time.monotonic()
        self.gone: Deferred[None] = Deferred()
        """Fires when the process has ended."""
        self._reactor = reactor
        self._greeted = greeted
        self._ended = ended
        self._farewell = farewell
        self._connection = _Connection(self)
        self._errors = b""
        self.is_building = False
        """Whether it was asked to build a configuration, and has not answered: until it has, it answers nothing."""

    @property
    def name(self) -> str:
        """What it is called in the log: counted from 1."""
        return f"worker {self.number + 1}"

    def start(self, memory: int, file: str) -> None:
        """Start the process; ``memory`` is the descriptor of the shared counts, ``file`` is shown by ps."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        nothing = os.open(os.devnull, os.O_RDONLY)
        try:
            ours.setblocking(False)
            theirs.setblocking(False)
            arguments = [*_interpreter(), "-m", "balancer.cli.worker", self.name, file]
            environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
            process = self._reactor.spawnProcess(
                self,
                sys.executable,
                arguments,
                env=environment,
                childFDs={0: nothing, 1: 1, 2: "r", 3: theirs.fileno(), 4: memory},
            )
            self.pid = process.pid
            factory: Any = Factory()
            factory.noisy = False
            factory.buildProtocol = lambda _: self._connection
            self._reactor.adoptStreamConnection(ours.fileno(), socket.AF_UNIX, factory)
        finally:
            os.close(nothing)
            ours.close()
            theirs.close()

    def becomes_ready(self) -> None:
        """It serves."""
        if self.state == STARTING:
            self.state = READY

    # What it says.

    def greeted(self) -> dict[str, Any]:
        """It has started."""
        return self._greeted(self)

    def said_farewell(self, metrics: list[Any]) -> None:
        """It is about to end."""
        self._farewell(self, metrics)

    def log(self, level: str, text: str) -> None:
        """Write a line of its into the log."""
        _log.emit(LogLevel.lookupByName(level), "{worker}: {text}", worker=self.name, text=text)

    def errReceived(self, data: bytes) -> None:
        """It wrote to standard error: something that went past its log."""
        *lines, self._errors = (self._errors + data).split(b"\n")
        for line in lines:
            _log.warn("{worker}: {text}", worker=self.name, text=line.decode("utf-8", "replace"))
        self._errors = self._errors[-4096:]

    # What it is told.

    def call(self, command: type[amp.Command], limit: float, **arguments: Any) -> Deferred[Any]:
        """Say something, and return the answer; it fails after ``limit`` seconds."""
        if self._connection.transport is None or self.state is GONE:
            return fail(ConnectionDone())
        asked: Deferred[Any] = self._connection.callRemote(command, **arguments)
        if command is Prepare:
            self.is_building = True
            asked.addBoth(self._has_built)
        return asked.addTimeout(limit, self._reactor)

    def _has_built(self, answer: Any) -> Any:
        self.is_building = False
        return answer

    def stop(self, timeout: float, how: str) -> None:
        """Let it drain and end, as of ``Stop``; harmless if it is gone."""
        if self.state in (STARTING, READY):
            self.state = STOPPING
            if self._connection.transport is not None:
                self._connection.callRemote(Stop, timeout=timeout, how=how)
            else:
                self.signal("TERM")

    def signal(self, name: str) -> None:
        """Send it a signal; harmless if it is gone."""
        try:
            self.transport.signalProcess(name)  # type: ignore[union-attr]
        except (ProcessExitedAlready, AttributeError):
            pass

    def processEnded(self, reason: Failure) -> None:
        """It is gone."""
        self.state = GONE
        value: Any = reason.value
        if reason.check(ProcessDone):
            why = "it ended"
        elif value.signal is not None:
            why = f"it was ended by signal {value.signal}"
        else:
            why = f"it ended with status {value.exitCode}"
        self._ended(self, why)
        self.gone.callback(None)

    def __repr__(self) -> str:
        return f"<{self.name}, pid {self.pid}, {self.state}>"


def _interpreter() -> list[str]:
    """Return Python as it was called for us: with the same flags, but nothing added to its path."""
    flags = subprocess._args_from_interpreter_flags()  # type: ignore[attr-defined]  # as multiprocessing uses it
    return [sys.executable, *(flag for flag in flags if flag != "-P"), "-P"]
