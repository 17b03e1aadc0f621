"""Twisted's own tests of reactors, for the one on libuv."""

from __future__ import annotations

import socket
import tempfile
from typing import Any

from twisted.internet.abstract import FileDescriptor
from twisted.internet.address import IPv4Address, UNIXAddress
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.test import test_tcp, test_unix

from tests.net.twisted_tests import BUILDERS, EVERYTHING_ELSE, NO_PREFIX, cases

_AT_ONCE = "written at once: nothing is queued while the kernel takes it, so nobody is paused and resumed"
_OTHERWISE = {
    "test_avoidLeakingFileDescriptors": "the kernel drops descriptors that nobody asked for; this wants them in the log",
    "test_changeUID": "needs an interpreter that every user may run",
    "test_closePeerOnEMFILE": "clients wait in the backlog until there are descriptors again",
    "test_logPrefix": NO_PREFIX,
    "test_lostFileDescriptor": "as with Twisted's EPollReactor, which this test knows by name: epoll forgets closed descriptors",
    "test_resumeProducingAbort": _AT_ONCE,
    "test_resumeProducingAbortLater": _AT_ONCE,
    "test_resumeProducingThrows": _AT_ONCE,
    "test_sendFileDescriptorTriggersPauseProducing": _AT_ONCE,
    "test_streamingProducer": _AT_ONCE,
}
"""Tests of what is done differently on purpose, and how."""


class _Adopted:
    """Adopts what a plain socket has accepted; Twisted's takes a connection out of the reactor to have one."""

    addCleanup: Any

    def getConnectedClientAndServer(self, reactor: Any, interface: Any, addressFamily: Any) -> Any:
        server: Any = test_tcp.MyServerFactory()
        client: Any = test_tcp.MyClientFactory()
        for factory in server, client:
            factory.protocolConnectionMade = Deferred()
            factory.protocolConnectionLost = Deferred()
        family = addressFamily or socket.AF_UNIX
        listening = socket.socket(family, socket.SOCK_STREAM)
        self.addCleanup(listening.close)
        if family == socket.AF_UNIX:
            listening.bind(tempfile.mktemp(suffix=".sock", dir="."))
            host: Any = UNIXAddress(listening.getsockname())
        else:
            listening.bind(socket.getaddrinfo(interface, 0, type=socket.SOCK_STREAM)[0][4])
            host = IPv4Address("TCP", interface, listening.getsockname()[1])
        listening.listen()

        def adopt() -> None:
            if family == socket.AF_UNIX:
                reactor.connectUNIX(listening.getsockname(), client)
            else:
                reactor.connectTCP(interface, host.port, client)
            reactor.addReader(accepting)

        class Accepting(FileDescriptor):
            def fileno(self) -> int:
                return listening.fileno()

            def doRead(self) -> None:
                reactor.removeReader(self)
                accepted, _ = listening.accept()
                accepted.setblocking(False)
                with accepted:
                    reactor.adoptStreamConnection(accepted.fileno(), family, server)

        accepting = Accepting(reactor)

        def stop(result: Any) -> Any:
            if reactor.running:
                reactor.stop()
            return result

        class Port:
            @staticmethod
            def getHost() -> Any:
                return host

        gatherResults([client.protocolConnectionLost, server.protocolConnectionLost]).addBoth(stop)
        made = gatherResults([client.protocolConnectionMade, server.protocolConnectionMade])
        reactor.callWhenRunning(adopt)
        return made.addCallback(lambda both: (*both, Port)).addErrback(stop)


class AdoptStreamConnectionTestsBuilder(_Adopted, test_tcp.AdoptStreamConnectionTestsBuilder):
    pass


class UNIXAdoptStreamConnectionTestsBuilder(_Adopted, test_unix.UNIXAdoptStreamConnectionTestsBuilder):
    pass


_OURS = (AdoptStreamConnectionTestsBuilder, UNIXAdoptStreamConnectionTestsBuilder)
_INSTEAD_OF = (test_tcp.AdoptStreamConnectionTestsBuilder, test_unix.UNIXAdoptStreamConnectionTestsBuilder)

globals().update(
    cases(
        "tests.net.whole.UVReactor",
        [*(each for each in BUILDERS + EVERYTHING_ELSE if each not in _INSTEAD_OF), *_OURS],
        _OTHERWISE,
        __name__,
    )
)
del AdoptStreamConnectionTestsBuilder, UNIXAdoptStreamConnectionTestsBuilder, _OURS
