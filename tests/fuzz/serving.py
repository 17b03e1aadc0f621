"""A whole configuration served in memory: the real channel, walk and pools, between transports that only remember."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import DataReceived, RequestReceived, ResponseReceived, StreamEnded, StreamReset
from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred, succeed
from twisted.internet.error import ConnectionDone
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from balancer.config.loading import load_text
from balancer.forwarding.server_connection import ServerConnection
from balancer.listeners.accept import Gate
from balancer.listeners.http.listener import HTTPListener
from balancer.model.headers import RawHeaders
from balancer.observe.records import ExchangeRecord
from balancer.pools.server import Server
from balancer.service.build import built
from balancer.service.explaining import Sample, SampleAnswer
from balancer.service.runtime import Runtime
from balancer.testing import registry
from balancer.wire.http1 import encode
from balancer.wire.http1.heads import HeadLimits
from balancer.wire.http1.requests import RequestReader
from balancer.wire.http1.responses import ResponseReader
from tests.forwarding.http2.peers import Peer
from tests.fuzz.vocabulary import FLAGS

__all__ = ["Answered", "Sent", "Served"]

_DONE = Failure(ConnectionDone())


class Transport:
    """Keeps what is written."""

    connected, disconnecting, queued = True, False, 0

    def __init__(self) -> None:
        self.data = b""
        self.protocol: Any = None
        self.closed = False

    def write(self, data: bytes) -> None:
        self.data += data

    def getPeer(self) -> IPv4Address:
        return IPv4Address("TCP", "192.0.2.7", 40000)

    def getHost(self) -> IPv4Address:
        return IPv4Address("TCP", "127.0.0.1", 8080)

    def getHandle(self) -> Any:
        return self

    def recv(self, size: int, flags: int) -> bytes:
        raise BlockingIOError

    def loseConnection(self) -> None:
        if not self.closed:
            self.closed = True
            if self.protocol is not None:
                self.protocol.connectionLost(_DONE)

    abortConnection = loseConnection

    def registerProducer(self, producer: Any, streaming: bool) -> None: ...
    def unregisterProducer(self) -> None: ...
    def pauseProducing(self) -> None: ...
    def resumeProducing(self) -> None: ...
    def loseWriteConnection(self) -> None: ...


@dataclass(slots=True)
class Sent:
    """What a server got."""

    server: str
    method: str
    target: str
    headers: list[tuple[str, str]]
    body: bytes


@dataclass(slots=True)
class Answered:
    """What came of a request: to which servers a connection was made, what they got, what the client got, and whether it was ``closed``."""

    asked: list[str] = field(default_factory=list)
    sent: list[Sent] = field(default_factory=list)
    closed: bool = False
    streams: bool = False
    status: int = 0
    headers: list[tuple[str, str]] = field(default_factory=list)
    body: bytes = b""
    record: ExchangeRecord | None = None

    @property
    def waits(self) -> bool:
        """Whether the client has got nothing, and may yet."""
        return not self.status and not self.closed


class _Runtime(Runtime):
    """Connects to servers that are not there, and notes to which."""

    def __init__(self, clock: Clock) -> None:
        super().__init__(clock)
        self.random = random.Random(0)
        self.draw = lambda: self.random.random()
        self.asked: list[tuple[str, Any]] = []
        self.records: list[ExchangeRecord] = []
        self.observe_exchange = self.records.append

    def _dial(
        self, server: Server, then: Any, alpn: tuple[str, ...], timeout: float, first: bytes = b""
    ) -> Deferred[Any]:
        connection = then(None)
        peer = _Peer1(connection) if isinstance(connection, ServerConnection) else _Peer2(connection)
        self.asked.append((server.name, peer))
        return succeed(connection)


class _Peer1:
    """A server that speaks HTTP/1.1."""

    def __init__(self, connection: ServerConnection) -> None:
        self._transport = Transport()
        self._transport.protocol = self._connection = connection
        connection.makeConnection(self._transport)

    def got(self, server: str) -> Sent | None:
        """Return what it was sent, None if that is not a whole request."""
        reader = RequestReader(HeadLimits(allow_odd_names=frozenset()))
        reader.feed(self._transport.data)
        if not reader.ready or not reader.ready[0].body.ended:
            return None
        head, body = reader.ready[0].head, reader.ready[0].body
        return Sent(server, head.method, head.target, _text(head.headers), b"".join(body.take()))

    def answer(self, method: str, answer: SampleAnswer) -> None:
        """Answer it."""
        has_body = answer.status not in (204, 304)
        body = answer.body.encode() if has_body else b""
        tail = b"Content-Length: %d\r\n\r\n" % len(body) if has_body else b"\r\n"
        said = encode.response_head(answer.status, None, _bytes(answer.headers), tail)
        self._connection.dataReceived(said + (b"" if method == "HEAD" else body))

    def close(self) -> None:
        """Close the connection."""
        self._transport.loseConnection()


class _Peer2:
    """A server that speaks HTTP/2."""

    def __init__(self, connection: Any) -> None:
        self._peer = Peer(connection, {}, True).speak()

    def got(self, server: str) -> Sent | None:
        """Return what it was sent, None if that is not a whole request."""
        self._peer.turn()
        if not self._peer.found(StreamEnded):
            return None
        (event,) = self._peer.found(RequestReceived)
        headers = [(str(name), str(value).encode().decode("latin-1")) for name, value in event.headers]
        said = dict(headers)
        return Sent(server, said[":method"], said[":path"], headers, self._peer.body())

    def answer(self, method: str, answer: SampleAnswer) -> None:
        """Answer it."""
        has_body = answer.status not in (204, 304)
        body = answer.body.encode() if has_body else b""
        length = [("content-length", str(len(body)))] if has_body else []
        fields = [(name.lower(), value) for name, value in answer.headers]
        body = b"" if method == "HEAD" else body
        h2 = self._peer.h2
        h2.send_headers(1, [(":status", str(answer.status)), *length, *fields], end_stream=not body)
        if body:
            h2.send_data(1, body, end_stream=True)
        self._peer.turn()

    def close(self) -> None:
        """Close the connection."""
        if not self._peer.closed:
            self._peer.end()


class _Client1:
    """A client that speaks HTTP/1.1."""

    def __init__(self, channel: Any) -> None:
        self._channel = channel
        self._transport = Transport()
        self._transport.protocol = channel
        self._method = ""
        channel.makeConnection(self._transport)

    def send(self, sample: Sample, cuts: int) -> None:
        """Send the request."""
        self._method = sample.method
        target, headers = _as_a_client(sample)
        pairs = _bytes(headers)
        if sample.body is not None:
            pairs.append((b"Content-Length", b"%d" % len(sample.body.encode())))
        self._channel.dataReceived(encode.request_head(sample.method, target, pairs))
        for piece in _pieces(sample, cuts):
            self._channel.dataReceived(piece)

    def read(self, found: Answered) -> None:
        """Read the answer."""
        transport = self._transport
        found.closed = transport.closed
        if not transport.data:
            return
        reader = ResponseReader()
        reader.expect(self._method)
        reader.feed(transport.data)
        if transport.closed:
            reader.eof()
        assert reader.head is not None, transport.data
        assert reader.body.ended, transport.data
        found.status = reader.head.status
        found.headers = _text(reader.head.headers)
        found.body = b"".join(reader.body.take())

    def close(self) -> None:
        """Leave."""
        self._transport.loseConnection()


class _Client2:
    """A client that speaks HTTP/2."""

    def __init__(self, channel: Any) -> None:
        self._channel = channel
        self._transport = Transport()
        self._transport.protocol = channel
        channel.makeConnection(self._transport)
        self._h2 = H2Connection(H2Configuration(header_encoding="latin-1", validate_outbound_headers=False))
        self._events: list[Any] = []

    def send(self, sample: Sample, cuts: int) -> None:
        """Send the request."""
        h2 = self._h2
        target, headers = _as_a_client(sample)
        host = next(value for name, value in headers if name == "Host")
        pseudo = {":method": sample.method, ":scheme": "http", ":authority": host, ":path": target}
        fields = [(name.lower(), value) for name, value in headers if name != "Host"]
        if sample.body is not None:
            fields.append(("content-length", str(len(sample.body.encode()))))
        h2.initiate_connection()
        pieces = list(_pieces(sample, cuts))
        h2.send_headers(1, [*pseudo.items(), *fields], end_stream=not pieces)
        for at, piece in enumerate(pieces):
            h2.send_data(1, piece, end_stream=at == len(pieces) - 1)
        self._turn()

    def _turn(self) -> None:
        while True:
            said, data = self._h2.data_to_send(), self._transport.data
            if not said and not data:
                return
            self._transport.data = b""
            if data:
                self._events += self._h2.receive_data(data)
            if said and not self._transport.closed:
                self._channel.dataReceived(said)

    def read(self, found: Answered) -> None:
        """Read the answer."""
        self._turn()
        for event in self._events:
            if isinstance(event, ResponseReceived):
                headers = [(str(name), str(value)) for name, value in event.headers]
                found.status = int(dict(headers)[":status"])
                found.headers = [pair for pair in headers if pair[0] != ":status"]
            elif isinstance(event, DataReceived):
                found.body += event.data
            elif isinstance(event, StreamReset) and not found.status:
                found.closed = True

    def close(self) -> None:
        """Leave."""
        self._transport.loseConnection()


class Served:
    """A configuration, in use; ``text`` is what it is written like."""

    def __init__(self, text: str) -> None:
        self.clock = Clock()
        self.runtime = _Runtime(self.clock)
        self.snapshot = built(load_text(text, registry(FLAGS), {}), self.runtime)
        self.runtime.use(self.snapshot)
        site: Any = self.snapshot.listeners["web"]
        self.listener = HTTPListener(self.clock, "web", (), site, Gate(), self.runtime.wheel)

    def ask(self, sample: Sample, seed: int, cuts: int = 1, *, streams: bool = False, stays: bool = False) -> Answered:
        """Send a request, its body in ``cuts`` pieces, and have whichever server gets it answer as the sample says.

        ``streams``: the client speaks HTTP/2; ``stays``: where it has to wait it does not leave.
        """
        runtime = self.runtime
        runtime.random.seed(seed)
        runtime.asked.clear()
        runtime.records.clear()
        channel: Any = self.listener.buildProtocol(IPv4Address("TCP", "192.0.2.7", 40000))
        client = (_Client2 if streams else _Client1)(channel)
        client.send(sample, cuts)
        for _ in range(2):  # for delays, and for copies, which follow
            self.clock.advance(0.02)
        found = Answered(streams=streams)
        answered = 0
        while answered < len(runtime.asked):
            server, peer = runtime.asked[answered]
            got = peer.got(server)
            answered += 1
            if got is not None:
                found.sent.append(got)
                assert sample.answer is not None
                peer.answer(got.method, sample.answer)
            if answered == len(runtime.asked):
                self.clock.advance(0.3)  # for tries that follow
        found.asked = [server for server, _ in runtime.asked]
        client.read(found)
        if not (stays and found.waits):
            client.close()
        if found.status or found.closed:
            found.record = runtime.records[0] if runtime.records else None
        for _, peer in runtime.asked:
            peer.close()
        return found

    def close(self) -> None:
        """End what would go on."""
        for pool in self.snapshot.pools.values():
            pool.close()


def _pieces(sample: Sample, cuts: int) -> Iterator[bytes]:
    """Yield the body in so many pieces."""
    body = (sample.body or "").encode()
    step = max(1, -(-len(body) // cuts))
    for at in range(0, len(body), step):
        yield body[at : at + step]


def _as_a_client(sample: Sample) -> tuple[str, list[tuple[str, str]]]:
    """Return target and fields as a client sends them that is given the sample's URL."""
    headers = [*sample.headers]
    scheme, separator, rest = sample.url.partition("://")
    if not separator:
        return sample.url, headers
    host, slash, path = rest.partition("/")
    if not any(name == "Host" for name, _ in headers):
        headers.insert(0, ("Host", host))
    return slash + path or "/", headers


def _text(headers: RawHeaders) -> list[tuple[str, str]]:
    return [(name.decode("latin-1"), value.decode("latin-1")) for name, value in headers]


def _bytes(headers: Sequence[tuple[str, str]]) -> RawHeaders:
    return [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers]
