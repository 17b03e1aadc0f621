"""A client that has WebSockets on the streams of one HTTP/2 connection (RFC 8441): the libraries ``h2`` and ``websockets`` put together."""

from __future__ import annotations

import socket
import ssl
from typing import Any

import h2.config
import h2.connection
import h2.events
from websockets.frames import Frame, Opcode
from websockets.protocol import Protocol, Side, State

__all__ = ["Streams", "WebSocket"]

_PATIENCE = 60.0


class _Connection(h2.connection.H2Connection):
    """One on which streams go on after a GOAWAY, as RFC 9113 section 6.8 has it."""

    def _receive_goaway_frame(self, frame: Any) -> tuple[list[Any], list[Any]]:
        return [], [h2.events.ConnectionTerminated()]


class Streams:
    """A connection; ``goaways`` counts what it was told, ``lost`` that it is closed."""

    def __init__(self, port: int, tls: ssl.SSLContext | None = None, window: int = 1 << 20) -> None:
        self.skt: socket.socket = socket.create_connection(("127.0.0.1", port), _PATIENCE)
        if tls is not None:
            self.skt = tls.wrap_socket(self.skt, server_hostname="shop.example")
            assert self.skt.selected_alpn_protocol() == "h2"
        self.scheme = "http" if tls is None else "https"
        self.h2 = _Connection(h2.config.H2Configuration(header_encoding="utf-8", validate_outbound_headers=False))
        self.h2.local_settings.initial_window_size = window
        self.h2.initiate_connection()
        self.h2.increment_flow_control_window(1 << 28)
        self.sockets: dict[int, WebSocket] = {}
        self.goaways = 0
        self.lost = False
        self.h2.update_settings({h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: window})
        self.flush()
        while not self.h2.remote_settings.enable_connect_protocol:
            self.read()

    def ask(self, path: str = "/chat", *more: tuple[str, str], protocol: str = "websocket") -> WebSocket:
        """Ask for a WebSocket, without waiting for the answer."""
        stream = self.h2.get_next_available_stream_id()
        fields = [(":method", "CONNECT"), (":protocol", protocol), (":scheme", self.scheme), (":path", path)]
        fields += [(":authority", "shop.example"), ("sec-websocket-version", "13"), *more]
        self.h2.send_headers(stream, fields)
        found = self.sockets[stream] = WebSocket(self, stream)
        self.flush()
        return found

    def open(self, path: str = "/chat", *more: tuple[str, str]) -> WebSocket:
        """Return a WebSocket that was agreed to."""
        found = self.ask(path, *more)
        found.answered()
        assert found.status == 200, found.head
        return found

    def get(self, path: str) -> WebSocket:
        """Ask for a page; the answer's body is in ``received``."""
        stream = self.h2.get_next_available_stream_id()
        fields = [(":method", "GET"), (":scheme", self.scheme), (":path", path), (":authority", "shop.example")]
        self.h2.send_headers(stream, fields, end_stream=True)
        found = self.sockets[stream] = WebSocket(self, stream)
        found.plain = True
        self.flush()
        return found

    def flush(self) -> None:
        """Send what there is to send."""
        for each in self.sockets.values():
            each.push()
        data = self.h2.data_to_send()
        if data and not self.lost:
            self.skt.sendall(data)

    def read(self) -> None:
        """Read once; EOFError where the connection is closed."""
        try:
            data = self.skt.recv(1 << 18)
        except ConnectionResetError:
            data = b""
        if not data:
            self.lost = True
            raise EOFError("the connection was closed")
        for event in self.h2.receive_data(data):
            if isinstance(event, h2.events.ConnectionTerminated):
                self.goaways += 1
            found = self.sockets.get(getattr(event, "stream_id", None) or 0)
            if found is not None:
                found.came(event)
        self.flush()

    def close(self) -> None:
        self.skt.close()


class WebSocket:
    """One stream: ``head`` and ``status`` of the answer, ``received`` all bytes, ``messages``, ``frames`` that are none; how it ended."""

    def __init__(self, streams: Streams, stream: int) -> None:
        self.streams = streams
        self.stream = stream
        self.protocol = Protocol(Side.CLIENT, state=State.OPEN, max_size=None)
        self.head: dict[str, str] = {}
        self.received = b""
        self.messages: list[str | bytes] = []
        self.controls: list[tuple[int, bytes]] = []
        self.plain = False
        self.reads = True
        self.ended = False
        self.reset: int | None = None
        self._parts: list[bytes] = []
        self._opcode = 0
        self._unsent = bytearray()
        self._ending = self._has_ended = False
        self._owed = 0

    @property
    def status(self) -> int:
        return int(self.head.get(":status", 0))

    @property
    def closed(self) -> tuple[int, str] | None:
        """Code and reason of the close frame that came."""
        found = self.protocol.close_rcvd
        return None if found is None else (int(found.code), found.reason)

    # What comes.

    def came(self, event: Any) -> None:
        if isinstance(event, h2.events.ResponseReceived):
            self.head = dict(event.headers)
        elif isinstance(event, h2.events.DataReceived):
            self._owed += event.flow_controlled_length
            if self.reads:
                self.read_on()
            if self.plain or self.status != 200:
                self.received += event.data
                return
            self.protocol.receive_data(event.data)
            for frame in self.protocol.events_received():
                self._take(frame)
        elif isinstance(event, h2.events.StreamEnded):
            self.ended = True
            if not self.plain and self.status == 200:
                self.end()  # as browsers do
        elif isinstance(event, h2.events.StreamReset):
            self.reset = int(event.error_code)

    def read_on(self) -> None:
        """Take what came, and give room for as much."""
        self.reads = True
        owed, self._owed = self._owed, 0
        if owed:
            self.streams.h2.acknowledge_received_data(owed, self.stream)

    def _take(self, frame: Any) -> None:
        if frame.opcode >= 8:
            self.controls.append((int(frame.opcode), frame.data))
            return
        self._opcode = frame.opcode or self._opcode
        self._parts.append(frame.data)
        if frame.fin:
            data = b"".join(self._parts)
            self._parts.clear()
            self.messages.append(data.decode() if self._opcode == Opcode.TEXT else data)

    # What goes.

    def send(self, message: str | bytes, parts: int = 1) -> None:
        """Send a message, in so many frames."""
        data = message.encode() if isinstance(message, str) else message
        first = Opcode.TEXT if isinstance(message, str) else Opcode.BINARY
        size = max(1, -(-len(data) // parts))
        for number in range(parts):
            piece = data[number * size : (number + 1) * size]
            self.raw(Frame(first if not number else Opcode.CONT, piece, number == parts - 1).serialize(mask=True))

    def ping(self, data: bytes) -> None:
        self.raw(Frame(Opcode.PING, data).serialize(mask=True))

    def close(self, code: int = 1000, reason: str = "") -> None:
        """Say goodbye."""
        self.protocol.send_close(code, reason)
        self.flush()

    def raw(self, data: bytes) -> None:
        """Send bytes."""
        self._unsent += data
        self.flush()

    def end(self) -> None:
        """Say END_STREAM, once all is sent."""
        self._ending = True

    def cancel(self) -> None:
        """Reset the stream."""
        self.streams.h2.reset_stream(self.stream, 8)
        self.reset = 8
        self.flush()

    def flush(self) -> None:
        self.streams.flush()

    def push(self) -> None:
        """Give the connection what the windows allow."""
        self._unsent += b"".join(self.protocol.data_to_send())  # answers to pings and goodbyes
        connection = self.streams.h2
        if self.reset is not None:
            return
        while self._unsent and not self._has_ended:
            room = min(connection.local_flow_control_window(self.stream), connection.max_outbound_frame_size)
            if room <= 0:
                return
            connection.send_data(self.stream, bytes(self._unsent[:room]))
            del self._unsent[:room]
        if self._ending and not self._has_ended:
            self._has_ended = True
            connection.end_stream(self.stream)

    @property
    def unsent(self) -> int:
        return len(self._unsent)

    # Waiting.

    def answered(self) -> None:
        while not self.head and self.reset is None:
            self.streams.read()

    def recv(self) -> str | bytes:
        """Return the next message."""
        while not self.messages:
            self.streams.read()
        return self.messages.pop(0)

    def finish(self) -> WebSocket:
        """Wait until nothing more comes."""
        while not self.ended and self.reset is None:
            self.streams.read()
        self.flush()
        return self
