"""A balancer in memory: its clients speak HTTP/1.1, its servers HTTP/2 with the ``h2`` library, and nothing moves unasked."""

from __future__ import annotations

from typing import Any

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import DataReceived, Event, RequestReceived
from h2.settings import SettingCodes, Settings
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionAborted, ConnectionDone
from twisted.internet.testing import MemoryReactorClock, StringTransport
from twisted.python.failure import Failure

from balancer.config.loading import load_text
from balancer.errors import ExchangeError, Reason
from balancer.listeners.http.channel import HTTPChannel
from balancer.model.address import Address
from balancer.observe.records import ExchangeRecord
from balancer.service.build import built, registry_for
from balancer.service.runtime import Runtime

__all__ = ["Balancer", "Client", "Peer"]

_CONFIGURATION = """
listeners: {web: {bind: "127.0.0.1:1", protocol: http, pool: web}}
pools: {web: {servers: [%s], protocol: h2, algorithm: round_robin, %s}}
"""
_NO_WINDOW_AT_ALL = 65535


class Peer:
    """A server: one connection of the balancer. What it receives is in ``events``, what it says goes out with :meth:`turn`.

    Args:
        protocol: the balancer's.
        settings: what the server allows.
        taking: whether it gives room for what it received at once.
    """

    def __init__(self, protocol: Any, settings: dict[int, int], taking: bool) -> None:
        self.events: list[Event] = []
        self.closed = self.aborted = False
        self.h2 = H2Connection(H2Configuration(client_side=False, header_encoding="utf-8"))
        self.h2.local_settings = Settings(
            client=False,
            initial_values={
                SettingCodes.MAX_CONCURRENT_STREAMS: 100,
                SettingCodes.INITIAL_WINDOW_SIZE: _NO_WINDOW_AT_ALL,
                **settings,
            },
        )
        self._inbox = b""
        self._taking = taking
        self._protocol = protocol
        self.producer: Any = None
        protocol.makeConnection(self)

    def speak(self) -> Peer:
        """Say what is allowed."""
        self.h2.initiate_connection()
        return self.turn()

    def turn(self) -> Peer:
        """Exchange bytes until nobody has anything to say."""
        while True:
            if self._inbox:
                data, self._inbox = self._inbox, b""
                for event in self.h2.receive_data(data):
                    self.events.append(event)
                    if self._taking and isinstance(event, DataReceived) and event.flow_controlled_length:
                        self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            said = self.h2.data_to_send()
            if said and not self.closed:
                self._protocol.dataReceived(said)
            elif not self._inbox:
                return self

    def say(self, data: bytes) -> None:
        """Say something else than HTTP/2."""
        self._protocol.dataReceived(data)

    def requests(self) -> list[int]:
        """Return the streams that began."""
        return [event.stream_id for event in self.events if isinstance(event, RequestReceived)]

    def request(self, number: int = -1) -> dict[str, str]:
        """Return the fields of a request."""
        return dict([event for event in self.events if isinstance(event, RequestReceived)][number].headers)

    def body(self, stream: int = 1) -> bytes:
        """Return what came of a request's body."""
        return b"".join(
            event.data for event in self.events if isinstance(event, DataReceived) and event.stream_id == stream
        )

    def found(self, kind: type[Event]) -> list[Any]:
        """Return the events of a kind."""
        return [event for event in self.events if isinstance(event, kind)]

    def answer(self, stream: int, body: bytes = b"ok", status: int = 200, **fields: str) -> None:
        """Answer a request."""
        headers = [(":status", str(status)), ("content-length", str(len(body))), *fields.items()]
        self.h2.send_headers(stream, headers)
        for start in range(0, len(body), 16_384):
            self.h2.send_data(stream, body[start : start + 16_384])
        self.h2.end_stream(stream)
        self.turn()

    def end(self, why: type[Exception] = ConnectionDone) -> None:
        """Close the connection."""
        self.closed = True
        self._protocol.connectionLost(Failure(why()))

    # The transport of the balancer's protocol.

    def write(self, data: bytes) -> None:
        self._inbox += data

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        self.producer = producer

    def unregisterProducer(self) -> None:
        self.producer = None

    def loseConnection(self) -> None:
        self.turn()
        self.end()

    def abortConnection(self) -> None:
        self.aborted = True
        self.end(ConnectionAborted)

    def getHandle(self) -> Any:
        return self

    def recv(self, size: int, flags: int) -> bytes:
        """Be looked at before use: the connection is there, and silent, or gone."""
        if self.closed:
            return b""
        raise BlockingIOError


class Client(StringTransport):
    """A client: one connection to the balancer."""

    def __init__(self, site: Any, wheel: Any) -> None:
        super().__init__()
        self.channel = HTTPChannel(lambda: site, wheel, lambda _: None)
        self.channel.makeConnection(self)

    def ask(self, method: str = "GET", path: str = "/", body: bytes | None = None, *lines: str) -> Client:
        """Send a request."""
        head = [f"{method} {path} HTTP/1.1", "Host: a.example", *lines]
        if body is not None and not any(line.startswith("Content-Length") for line in lines):
            head.append(f"Content-Length: {len(body)}")
        self.channel.dataReceived("\r\n".join([*head, "", ""]).encode() + (body or b""))
        return self

    def send(self, data: bytes) -> None:
        """Send more."""
        self.channel.dataReceived(data)

    def loseWriteConnection(self) -> None:
        """The balancer says no more; this one goes on."""

    def unregisterProducer(self) -> None:
        self.producer = None

    def leave(self) -> None:
        """Go away."""
        self.channel.connectionLost(Failure(ConnectionDone()))

    @property
    def status(self) -> int:
        """The status of the answer, 0 while there is none."""
        return int(self.value()[9:12] or 0)

    @property
    def body(self) -> bytes:
        """The body of the answer, as it was sent."""
        return self.value().partition(b"\r\n\r\n")[2]


class Balancer(Runtime):
    """The balancer: ``records`` are those of exchanges that ended. Connections wait in ``dials`` to be accepted or refused."""

    def __init__(self, servers: str = "'127.0.0.1:2'", pool: str = "timeouts: {}") -> None:
        self.clock = MemoryReactorClock()
        super().__init__(self.clock)
        self.dials: list[tuple[Address, Any, Deferred[Any]]] = []
        self.records: list[ExchangeRecord] = []
        self.observe_exchange = self.records.append
        self.snapshot = built(load_text(_CONFIGURATION % (servers, pool), registry_for(installed=False)), self)
        self.site: Any = self.snapshot.listeners["web"]
        self.servers = self.snapshot.pools["web"].servers

    def connect(
        self, address: Address, protocol: Any, timeout: float, *, spliced: bool = False, first: bytes = b""
    ) -> Deferred[Any]:
        connecting: Deferred[Any] = Deferred()
        self.dials.append((address, protocol, connecting))
        return connecting

    def accept(self, *, silent: bool = False, taking: bool = True, **settings: int) -> Peer:
        """Accept the connection that was asked for first; the settings are called as in ``SettingCodes``."""
        _, protocol, connecting = self.dials.pop(0)
        peer = Peer(protocol, {SettingCodes[name.upper()]: value for name, value in settings.items()}, taking)
        connecting.callback(protocol)
        return peer if silent else peer.speak()

    def refuse(self, reason: Reason) -> None:
        """Refuse it."""
        self.dials.pop(0)[2].errback(Failure(ExchangeError(reason)))

    def client(self) -> Client:
        """Let a client connect."""
        return Client(self.site, self.wheel)

    def pass_time(self, seconds: float) -> None:
        """Let time pass, a tenth of a second at a time."""
        for _ in range(round(seconds * 10)):
            self.clock.advance(0.1)
