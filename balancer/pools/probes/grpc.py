"""The ``grpc`` probe: a server is well if gRPC's health service (``grpc.health.v1.Health/Check``) says that it serves.

HTTP/2 by prior knowledge, or as TLS has agreed, whatever the pool's ``protocol``. The two messages are so small that they are
made and read here::

    HealthCheckRequest  {service: field 1, string}
    HealthCheckResponse {status: field 1, enum: 0 UNKNOWN, 1 SERVING, 2 NOT_SERVING, 3 SERVICE_UNKNOWN}
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

from pydantic import Field
from twisted.internet.defer import Deferred
from zope.interface import implementer

from balancer.hooks.interfaces import IProbe, IServer
from balancer.hooks.settings import Settings
from balancer.model.headers import RawHeaders, first
from balancer.pools.probes.conversation import Conversation, converse
from balancer.wire.grpc.messages import MessageError, MessageReader, frame
from balancer.wire.grpc.status import Status, decode_message, of_response
from balancer.wire.http2 import sessions
from balancer.wire.http2.codes import name_of
from balancer.wire.http2.interface import Limits, SessionError

__all__ = ["GRPCProbe", "GRPCProbeSettings", "asked", "status_in"]

_STATUSES = {0: "UNKNOWN", 1: "SERVING", 2: "NOT_SERVING", 3: "SERVICE_UNKNOWN"}
_SERVING = 1
_ANSWER_SIZE = 1024
"""Bytes that the answer may have: two are enough."""


class GRPCProbeSettings(Settings):
    """Settings of the ``grpc`` probe."""

    service: Annotated[str, Field(max_length=1024)] = Field(
        default="", description="The service asked about; '' is the server as a whole."
    )
    authority: Annotated[str, Field(pattern=r"^[\x21-\x7e]*$")] = Field(
        default="", description="The :authority; by default the server's address."
    )


def asked(service: str) -> bytes:
    """Return a ``HealthCheckRequest``."""
    name = service.encode()
    return b"\x0a" + _varint(len(name)) + name if name else b""


def status_in(message: bytes) -> int:
    """Return the status of a ``HealthCheckResponse``; fields that are not known are skipped.

    Raises:
        ValueError: it is none.
    """
    status, at = 0, 0
    while at < len(message):
        key, at = _read_varint(message, at)
        kind = key & 7
        if kind == 0:
            value, at = _read_varint(message, at)
            if key >> 3 == 1:
                status = value
        elif kind == 2:
            length, at = _read_varint(message, at)
            at += length
        elif kind in (1, 5):
            at += 8 if kind == 1 else 4
        else:
            raise ValueError(f"a field of kind {kind}")
        if at > len(message):
            raise ValueError("a field that is cut off")
    return status


def _varint(number: int) -> bytes:
    found = bytearray()
    while number > 127:
        found.append(number & 127 | 128)
        number >>= 7
    found.append(number)
    return bytes(found)


def _read_varint(data: bytes, at: int) -> tuple[int, int]:
    number = shift = 0
    while at < len(data) and shift < 64:
        byte = data[at]
        at += 1
        number |= (byte & 127) << shift
        if byte < 128:
            return number, at
        shift += 7
    raise ValueError("a number that is cut off")


@implementer(IProbe)
class GRPCProbe:
    """Asks on a connection of its own."""

    def __init__(self, settings: GRPCProbeSettings | None = None) -> None:
        self.settings = settings or GRPCProbeSettings()

    def probe(self, connect: Callable[[Any], Deferred[Any]], server: IServer) -> Deferred[str]:
        """Fire with ``SERVING``, or fail with what was said instead."""
        address = getattr(server, "address", None)
        default = "localhost" if address is None or address.path else str(address)
        return converse(connect, _Ask(self.settings.service, self.settings.authority or default))

    def __repr__(self) -> str:
        return f"<GRPCProbe {self.settings.service!r}>"


class _Ask(Conversation):
    """One call."""

    def __init__(self, service: str, authority: str) -> None:
        super().__init__()
        self._service = service
        self._authority = authority
        self._session = sessions.client(self, Limits())
        self._messages = MessageReader(_ANSWER_SIZE)
        self._status = -1
        self._head: RawHeaders = []

    def connectionMade(self) -> None:
        scheme = b"https" if getattr(self.transport, "TLS", False) else b"http"
        stream = self._session.request(
            [
                (b":method", b"POST"),
                (b":scheme", scheme),
                (b":authority", self._authority.encode("ascii")),
                (b":path", b"/grpc.health.v1.Health/Check"),
                (b"content-type", b"application/grpc"),
                (b"te", b"trailers"),
                (b"user-agent", b"balancer-health-check"),
            ],
            ended=False,
        )
        self._session.send(stream, frame(asked(self._service)), ended=True)
        self.transport.write(self._session.output())

    def dataReceived(self, data: bytes) -> None:
        if self._ended:
            return
        try:
            self._session.feed(data)
        except SessionError as error:
            self.failed(f"not HTTP/2: {error}")
        if not self._ended:
            self.transport.write(self._session.output())

    def _judge(self, trailers: RawHeaders | None) -> None:
        """The call is over."""
        status = int(first(self._head, b":status") or 0)
        code = of_response(status, self._head, trailers)
        if code:
            name = Status(code).name if code in Status._value2member_map_ else str(code)
            message = first(trailers or self._head, b"grpc-message")
            said = "" if status == 200 else f" (HTTP status {status})"
            self.failed(f"{name}{said}: {decode_message(message)}" if message else f"{name}{said}")
        elif self._status == _SERVING:
            self.succeeded("SERVING")
        else:
            self.failed(_STATUSES.get(self._status, "no status that is known"))

    # What the session tells.

    def response_came(self, stream: int, headers: RawHeaders, ended: bool) -> None:
        self._head = headers
        if ended:
            self._judge(None)

    def data_came(self, stream: int, data: bytes) -> None:
        self._session.took(stream, len(data))
        if (first(self._head, b"content-type") or b"").startswith(b"application/grpc"):
            try:
                for _, message in self._messages.feed(data):
                    self._status = status_in(message)
            except (MessageError, ValueError) as error:
                self.failed(f"the answer cannot be read: {error}")

    def stream_ended(self, stream: int, trailers: RawHeaders | None) -> None:
        self._judge(trailers)

    def stream_reset(self, stream: int, code: int) -> None:
        self.failed(f"the stream was reset: {name_of(code)}")

    def goaway_came(self, last_stream: int, code: int) -> None:
        if code or not last_stream:
            self.failed(f"the server closes the connection: {name_of(code)}")

    def request_came(self, stream: int, headers: RawHeaders, ended: bool) -> None:
        pass  # servers do not ask

    def informational_came(self, stream: int, headers: RawHeaders) -> None:
        pass  # the answer follows

    def room_came(self, stream: int) -> None:
        pass  # the session sends what waits

    def settings_came(self) -> None:
        pass  # one stream is always allowed

    def ping_answered(self, data: bytes) -> None:
        pass  # nothing was asked
