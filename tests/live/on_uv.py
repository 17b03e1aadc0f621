"""Programs in the manner of Twisted's published examples, on the reactor of libuv: ``python -m tests.live.on_uv NAME``.

``echo``, ``tls`` and ``amp`` serve, print where, and end with their standard input; ``amp-client PORT`` prints what it is told.
"""

from __future__ import annotations

import sys
from typing import Any

from balancer.net.reactor import install

install()

from twisted.internet import reactor, ssl, stdio  # noqa: E402
from twisted.internet.defer import Deferred  # noqa: E402
from twisted.internet.endpoints import TCP4ClientEndpoint, TCP4ServerEndpoint, connectProtocol  # noqa: E402
from twisted.internet.protocol import Factory, Protocol  # noqa: E402
from twisted.internet.task import react  # noqa: E402
from twisted.protocols import amp  # noqa: E402
from twisted.protocols.tls import TLSMemoryBIOFactory  # noqa: E402
from twisted.python.filepath import FilePath  # noqa: E402


class Echo(Protocol):
    transport: Any

    def dataReceived(self, data: bytes) -> None:
        self.transport.write(data)


class StartsTLS(Protocol):
    """Speaks in the clear until told to go on encrypted."""

    transport: Any
    context: Any

    def dataReceived(self, data: bytes) -> None:
        if data == b"STARTTLS\r\n":
            self.transport.write(b"READY\r\n")
            self.transport.startTLS(self.context)
        else:
            self.transport.write(data)


class Divide(amp.Command):
    arguments = [(b"numerator", amp.Integer()), (b"denominator", amp.Integer())]
    response = [(b"result", amp.Float())]
    errors = {ZeroDivisionError: b"ZERO_DIVISION"}


class Calculator(amp.AMP):
    @Divide.responder
    def divide(self, numerator: int, denominator: int) -> dict[str, float]:
        return {"result": numerator / denominator}


class _Parent(Protocol):
    """Standard input: its end is the program's."""

    def __init__(self, ended: Deferred[None]) -> None:
        self._ended = ended

    def connectionLost(self, reason: Any = None) -> None:
        self._ended.callback(None)


async def serve(name: str, pem: str) -> None:
    factory = Factory.forProtocol(Calculator if name == "amp" else StartsTLS if name == "starttls" else Echo)
    if pem:
        context = ssl.PrivateCertificate.loadPEM(FilePath(pem).getContent()).options()
        if name == "tls":
            factory = TLSMemoryBIOFactory(context, False, factory)
        StartsTLS.context = context
    port = await TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1").listen(factory)
    print(port.getHost().port, flush=True)
    ended: Deferred[None] = Deferred()
    stdio.StandardIO(_Parent(ended))
    await ended


async def ask(port: int) -> None:
    calculator = await connectProtocol(TCP4ClientEndpoint(reactor, "127.0.0.1", port), amp.AMP())
    print((await calculator.callRemote(Divide, numerator=1234, denominator=2))["result"])
    try:
        await calculator.callRemote(Divide, numerator=1, denominator=0)
    except ZeroDivisionError:
        print("not by zero")
    calculator.transport.loseConnection()


def main(_reactor: Any, name: str, argument: str = "") -> Deferred[None]:
    return Deferred.fromCoroutine(ask(int(argument)) if name == "amp-client" else serve(name, argument))


if __name__ == "__main__":
    react(main, sys.argv[1:])
