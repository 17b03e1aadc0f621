"""Twisted's own tests of reactors, for the one on libuv."""

from __future__ import annotations

import socket
from typing import Any

from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.test import test_tcp

from tests.net.twisted_tests import BUILDERS, EVERYTHING_ELSE, NO_PREFIX, cases

_AT_ONCE = "written at once: nothing is queued while the kernel takes it, so nobody is paused and resumed"
_OTHERWISE = {
    "test_avoidLeakingFileDescriptors": "the kernel drops descriptors that nobody asked for; this wants them in the log",
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

    def getConnectedClientAndServer(self, reactor: Any, interface: str, addressFamily: int) -> Any:
        server: Any = test_tcp.MyServerFactory()
        client: Any = test_tcp.MyClientFactory()
        for factory in server, client:
            factory.protocolConnectionMade = Deferred()
            factory.protocolConnectionLost = Deferred()
        listening = socket.socket(addressFamily, socket.SOCK_STREAM)
        self.addCleanup(listening.close)
        listening.bind(socket.getaddrinfo(interface, 0, type=socket.SOCK_STREAM)[0][4])
        listening.listen()
        port = listening.getsockname()[1]

        def adopt() -> None:
            reactor.connectTCP(interface, port, client)
            reactor.callLater(0.01, accept)

        def accept() -> None:
            accepted, _ = listening.accept()
            accepted.setblocking(False)
            with accepted:
                reactor.adoptStreamConnection(accepted.fileno(), addressFamily, server)

        def stop(result: Any) -> Any:
            if reactor.running:
                reactor.stop()
            return result

        class Port:
            @staticmethod
            def getHost() -> Any:
                return type("Host", (), {"port": port})

        gatherResults([client.protocolConnectionLost, server.protocolConnectionLost]).addBoth(stop)
        made = gatherResults([client.protocolConnectionMade, server.protocolConnectionMade])
        reactor.callWhenRunning(adopt)
        return made.addCallback(lambda both: (*both, Port)).addErrback(stop)


class AdoptStreamConnectionTestsBuilder(_Adopted, test_tcp.AdoptStreamConnectionTestsBuilder):
    pass


_OURS = (AdoptStreamConnectionTestsBuilder,)
_INSTEAD_OF = (test_tcp.AdoptStreamConnectionTestsBuilder,)

globals().update(
    cases(
        "tests.net.whole.UVReactor",
        [*(each for each in BUILDERS + EVERYTHING_ELSE if each not in _INSTEAD_OF), *_OURS],
        _OTHERWISE,
        __name__,
    )
)
del AdoptStreamConnectionTestsBuilder, _OURS
