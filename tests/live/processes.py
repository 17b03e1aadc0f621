"""Running other people's programs beside the reactor."""

from __future__ import annotations

import socket
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred, inlineCallbacks
from twisted.internet.error import ProcessDone, ProcessExitedAlready
from twisted.internet.protocol import ProcessProtocol, connectionDone
from twisted.internet.task import deferLater
from twisted.python.failure import Failure
from twisted.trial.unittest import TestCase

from balancer.cli.free_ports import claim_port
from balancer.model.address import Address
from tests.live.programs import need


class Process(ProcessProtocol):
    """A program under way: ``output`` is what it printed, ``ended`` fires with its exit status."""

    transport: Any

    def __init__(self) -> None:
        self.output = b""
        self.ended: Deferred[int] = Deferred()

    def outReceived(self, data: bytes) -> None:
        self.output += data

    errReceived = outReceived

    def processEnded(self, reason: Failure = connectionDone) -> None:
        self.ended.callback(0 if reason.check(ProcessDone) else reason.value.status)

    def kill(self, signal: str = "KILL") -> Deferred[int]:
        """End the program now; fires when it is gone."""
        try:
            self.transport.signalProcess(signal)
        except ProcessExitedAlready:
            pass
        self.transport.loseConnection()  # children of its own may hold the pipes open
        return self.ended


def spawn(program: str, *arguments: str, directory: str | None = None) -> Process:
    """Start ``program`` with an open standard input."""
    process = Process()
    path = need(program)
    reactor.spawnProcess(
        process, path, [path, *arguments], env={"PATH": "/usr/bin:/bin", "LC_ALL": "C"}, path=directory
    )
    return process


@inlineCallbacks
def run(program: str, *arguments: str, stdin: bytes = b"") -> Any:
    """Run ``program`` to its end, and return ``(exit status, output)``."""
    process = spawn(program, *arguments)
    process.transport.write(stdin)
    process.transport.closeStdin()
    status = yield process.ended
    return status, process.output


def free_port() -> int:
    """Return a port that nobody has, neither for TCP nor for UDP, and that nobody else gets while this process runs."""
    return claim_port()


@inlineCallbacks
def serve(test: TestCase, address: Address, program: str, *arguments: str) -> Any:
    """Start a TCP server, wait until ``address`` answers, and end it with ``test``."""
    process = spawn(program, *arguments)
    test.addCleanup(process.kill)
    while True:
        skt = socket.socket(
            socket.AF_UNIX if address.path else socket.AF_INET6 if ":" in address.host else socket.AF_INET
        )
        with skt:
            if skt.connect_ex(address.path or (address.host, address.port)) == 0:
                return process
        if process.ended.called:
            raise AssertionError(f"{program} ended: {process.output.decode(errors='replace')}")
        yield deferLater(reactor, 0.02)
