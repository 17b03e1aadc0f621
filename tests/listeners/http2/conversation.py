"""An HTTP listener in memory, a client that speaks HTTP/2 with the pure library, and a server that is played by the test."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import h2.config
import h2.connection
import h2.events
import h2.settings
from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.trial.unittest import SynchronousTestCase

from balancer.config.loading import load_text
from balancer.forwarding.server_connection import ServerConnection
from balancer.listeners.accept import Gate
from balancer.listeners.http.listener import HTTPListener
from balancer.listeners.http.site import Site
from balancer.observe.records import ExchangeRecord
from balancer.pools.server import Server
from balancer.service.build import built, registry_for
from balancer.service.runtime import Runtime

__all__ = ["Client", "ConversationTestCase", "Pipe"]

Pair = tuple[bytes, bytes]
_PLAIN: list[Pair] = [(b":scheme", b"http"), (b":authority", b"a.example")]


class Pipe(StringTransport):
    """A connection that counts writes, and is full while it holds more than ``room`` bytes."""

    room = 1 << 30
    writes = 0
    aborted = False
    lost = False

    def write(self, data: bytes) -> None:
        self.writes += 1
        super().write(data)
        if self.producer is not None and self.queued > self.room:
            self.producer.pauseProducing()

    @property
    def queued(self) -> int:
        return len(self.value()) if len(self.value()) > self.room else 0

    def drain(self) -> bytes:
        """Take all that was written, after which there is room again."""
        data = self.value()
        self.clear()
        if self.producer is not None:
            self.producer.resumeProducing()
        return data

    def unregisterProducer(self) -> None:
        self.producer = None

    def abortConnection(self) -> None:
        self.aborted = True
        self.disconnecting = True

    def loseWriteConnection(self) -> None:
        self.lost = True

    def getHandle(self) -> Pipe:
        return self

    def fileno(self) -> int:
        raise OSError("not a socket")

    def recv(self, size: int, flags: int) -> bytes:
        """Say that the peer is there and silent."""
        raise BlockingIOError


class _Runtime(Runtime):
    """Connects to servers that are in memory."""

    def __init__(self, clock: Clock) -> None:
        super().__init__(clock)
        self.servers: list[ServerConnection] = []
        self.records: list[ExchangeRecord] = []
        self.observe_exchange = self.records.append

    def connect_http(self, server: Server, timeout: float, **_: Any) -> Deferred[Any]:
        connection = ServerConnection(server, self.wheel)
        connection.makeConnection(Pipe())
        connection.expires = float("inf")
        self.servers.append(connection)
        return succeed(connection)


class Client:
    """The client's end: ``events`` are what the library made of what came."""

    def __init__(self, channel: Any, pipe: Pipe, **settings: int) -> None:
        self.channel = channel
        self.pipe = pipe
        self.events: list[Any] = []
        config = h2.config.H2Configuration(header_encoding=None, validate_outbound_headers=False)
        self.h2 = h2.connection.H2Connection(config)
        if settings:
            values = {getattr(h2.settings.SettingCodes, name): value for name, value in settings.items()}
            self.h2.local_settings = h2.settings.Settings(client=True, initial_values=values)
        self.h2.initiate_connection()

    def turn(self) -> None:
        """Let bytes flow both ways until there are none."""
        while True:
            out = self.h2.data_to_send()
            if out:
                self.protocol.dataReceived(out)
            came = self.pipe.drain()
            if came:
                self.events += self.h2.receive_data(came)
            if not out and not came:
                return

    @property
    def protocol(self) -> Any:
        """Who has the connection now."""
        return getattr(self.pipe, "protocol", None) or self.channel

    def begin(self, path: bytes = b"/", method: bytes = b"GET", *more: Pair, ended: bool = True) -> int:
        """Send a request's head, and return its stream; nothing flows yet."""
        stream: int = self.h2.get_next_available_stream_id()
        self.h2.send_headers(stream, [(b":method", method), (b":path", path), *_PLAIN, *more], end_stream=ended)
        return stream

    def ask(self, path: bytes = b"/", method: bytes = b"GET", *more: Pair, ended: bool = True) -> int:
        """Send a request's head, and return its stream."""
        stream = self.begin(path, method, *more, ended=ended)
        self.turn()
        return stream

    def of(self, stream: int, kind: type) -> list[Any]:
        return [event for event in self.events if type(event) is kind and event.stream_id == stream]

    def head(self, stream: int) -> dict[bytes, bytes]:
        (event,) = self.of(stream, h2.events.ResponseReceived)
        return dict(event.headers)

    def status(self, stream: int) -> bytes:
        return self.head(stream)[b":status"]

    def body(self, stream: int) -> bytes:
        return b"".join(event.data for event in self.of(stream, h2.events.DataReceived))

    def ended(self, stream: int) -> bool:
        return bool(self.of(stream, h2.events.StreamEnded))

    def was_reset(self, stream: int) -> int | None:
        found = self.of(stream, h2.events.StreamReset)
        return int(found[0].error_code) if found else None

    def goaways(self) -> list[tuple[int, int]]:
        return [
            (int(event.error_code), event.last_stream_id)
            for event in self.events
            if isinstance(event, h2.events.ConnectionTerminated)
        ]


class ConversationTestCase(SynchronousTestCase):
    """Opens listeners, connections of clients to them, and looks at what comes to the servers."""

    def listen(self, listener: str = "pool: web", change: Callable[[Site], Site] = lambda site: site) -> HTTPListener:
        """Make the listener that the YAML ``listener`` describes, with a pool ``web``."""
        self.clock = Clock()
        self.runtime = _Runtime(self.clock)
        self.listener = HTTPListener(self.clock, "web", (), self.site(listener, change), Gate(), self.runtime.wheel)
        return self.listener

    def site(self, listener: str = "pool: web", change: Callable[[Site], Site] = lambda site: site) -> Site:
        text = f"listeners: {{web: {{bind: '127.0.0.1:1', protocol: http, {listener}}}}}\n" + self.pools()
        site: Any = built(load_text(text, registry_for(installed=False)), self.runtime).listeners["web"]
        return change(replace(site, now=self.clock.seconds))

    def pools(self) -> str:
        """Return what the configuration says of pools."""
        return "pools: {web: {servers: ['127.0.0.1:2'], retry: false, passive: false}}\n"

    def client(self, room: int = 1 << 30, **settings: int) -> Client:
        """Open a connection by prior knowledge."""
        pipe = Pipe()
        pipe.room = room
        channel: Any = self.listener.buildProtocol(pipe.getPeer())
        channel.makeConnection(pipe)
        client = Client(channel, pipe, **settings)
        client.turn()
        return client

    def asked(self, number: int = -1) -> bytes:
        """Return what was sent to a server, of those connected to in their order."""
        pipe: Any = self.runtime.servers[number].transport
        data: bytes = pipe.drain()
        return data

    def say(self, client: Client, data: bytes, number: int = -1) -> None:
        """Have a server say something."""
        self.runtime.servers[number].dataReceived(data)
        client.turn()

    def server_pipe(self, number: int = -1) -> Pipe:
        pipe: Any = self.runtime.servers[number].transport
        return pipe

    def passes(self, seconds: float) -> None:
        for _ in range(int(seconds * 10)):
            self.clock.advance(0.1)

    @property
    def records(self) -> list[ExchangeRecord]:
        return self.runtime.records
