"""The sample servers of the demo: three HTTP servers that say who they are, a TCP echo, a UDP echo."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from twisted.internet.interfaces import IHalfCloseableProtocol
from twisted.internet.protocol import DatagramProtocol, Factory, Protocol
from twisted.web.resource import Resource
from twisted.web.server import Request, Site
from zope.interface import implementer

__all__ = ["open_servers"]


class _Who(Resource):
    """Answers with its name and everything it was sent."""

    isLeaf = True

    def __init__(self, name: str) -> None:
        super().__init__()
        self._name = name

    def render(self, request: Request) -> bytes:
        """Return the request as text."""
        request.setHeader(b"content-type", b"text/plain; charset=utf-8")
        if request.path == b"/healthz":
            return b"ok\n"
        lines = [f"I am server {self._name}. I was sent:", f"{request.method.decode()} {request.uri.decode()}"]
        for name, values in request.requestHeaders.getAllRawHeaders():
            lines += [f"{name.decode()}: {value.decode('latin-1')}" for value in values]
        body = request.content.read() if request.content is not None else b""
        if body:
            lines.append(f"\n{body[:10000].decode('utf-8', 'replace')}")
        return "\n".join(lines).encode() + b"\n"


class _QuietSite(Site):
    """A site without an access log of its own."""

    def log(self, request: object) -> None:
        """The balancer logs."""


@implementer(IHalfCloseableProtocol)
class _Echo(Protocol):
    """Says what it hears, to the end: a client that sent FIN still gets its answer."""

    transport: Any

    def dataReceived(self, data: bytes) -> None:
        self.transport.write(data)

    def readConnectionLost(self) -> None:
        self.transport.loseConnection()

    def writeConnectionLost(self) -> None:
        """Nothing to do."""


class _DatagramEcho(DatagramProtocol):
    def datagramReceived(self, datagram: bytes, addr: Any) -> None:
        self.transport.write(datagram, addr)  # type: ignore[union-attr]


def open_servers(reactor: Any, ports: Mapping[str, int]) -> None:
    """Open the servers on 127.0.0.1 at ``ports``: ``one``, ``two``, ``three``, ``tcp_echo`` and ``udp_echo``."""
    for name in ("one", "two", "three"):
        site = _QuietSite(_Who(name))
        site.noisy = False
        reactor.listenTCP(ports[name], site, interface="127.0.0.1")
    echo = Factory.forProtocol(_Echo)
    echo.noisy = False
    reactor.listenTCP(ports["tcp_echo"], echo, interface="127.0.0.1")
    datagrams = _DatagramEcho()
    datagrams.noisy = False
    reactor.listenUDP(ports["udp_echo"], datagrams, interface="127.0.0.1")
