"""The ``http`` probe: a server is well if it answers a request as expected."""

from __future__ import annotations

import re
from collections.abc import Callable
from http import HTTPStatus
from typing import Annotated, Any

import re2
from pydantic import BeforeValidator, Field, WithJsonSchema
from twisted.internet.defer import Deferred
from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from balancer.errors import ExchangeError
from balancer.hooks.interfaces import IProbe, IServer
from balancer.hooks.settings import Regex, Settings
from balancer.model.headers import RawHeaders
from balancer.model.statuses import parse_statuses
from balancer.pools.probes.conversation import Conversation, converse
from balancer.wire.http1 import encode
from balancer.wire.http1.body import Body
from balancer.wire.http1.responses import ResponseReader
from balancer.wire.http2 import sessions
from balancer.wire.http2.codes import name_of
from balancer.wire.http2.interface import Limits, SessionError

__all__ = ["HTTPProbe", "HTTPProbeSettings"]

BODY_LIMIT = 64 * 1024
"""Bytes of a body in which something is looked for; what comes after them is not read."""

_PHRASES = {status.value: status.phrase for status in HTTPStatus}
_NOT_IN_HTTP2 = frozenset(
    [b"host", b"connection", b"keep-alive", b"proxy-connection", b"transfer-encoding", b"upgrade"]
)
_METHOD = r"^[!#$%&'*+.^_`|~0-9A-Za-z-]+$"


def _headers(value: Any) -> Any:
    if isinstance(value, dict):
        for name, text in value.items():
            if not isinstance(name, str) or not re.fullmatch(_METHOD[1:-1], name):
                raise ValueError(f"expected the name of a header, got {name!r}")
            if not isinstance(text, str) or not text.isprintable() or not text.isascii():
                raise ValueError(f"expected {name} to have a value of printable ASCII on one line (quote a number)")
            if name.lower() in ("content-length", "transfer-encoding", "connection"):
                raise ValueError(f"expected no {name}: probes have no body, and close the connection")
    return value


class HTTPProbeSettings(Settings):
    """Settings of the ``http`` probe."""

    path: Annotated[str, Field(pattern=r"^/[\x21-\x7e]*$")] = Field(
        default="/", description="Path and query asked for."
    )
    method: Annotated[str, Field(pattern=_METHOD)] = Field(default="GET", description="The request's method.")
    host: Annotated[str, Field(pattern=r"^[\x21-\x7e]*$")] = Field(
        default="", description="The Host header; by default the server's address."
    )
    headers: Annotated[dict[str, str], BeforeValidator(_headers)] = Field(
        default_factory=dict, description="More headers to send."
    )
    status: Annotated[
        frozenset[int],
        BeforeValidator(parse_statuses),
        WithJsonSchema(
            {
                "anyOf": [
                    {"type": "integer"},
                    {"type": "string", "examples": ["200-299", "200,204"]},
                    {"type": "array", "items": {"type": ["integer", "string"]}},
                ]
            }
        ),
    ] = Field(default=frozenset(range(200, 300)), description="Statuses that are well: 200, '200-299' or a list.")
    contains: str | None = Field(default=None, description="Text that the body must contain.")
    regex: Regex | None = Field(default=None, description="RE2 expression that must be found in the body.")


@implementer(IProbe)
class HTTPProbe:
    """Sends one request on a connection of its own, and looks at status and body of the response."""

    def __init__(self, settings: HTTPProbeSettings | None = None) -> None:
        self.settings = settings or HTTPProbeSettings()
        self.contains = None if self.settings.contains is None else self.settings.contains.encode()
        self.regex = None if self.settings.regex is None else re2.compile(self.settings.regex.encode())

    @property
    def wants_body(self) -> bool:
        """Whether the status alone is not enough."""
        return self.contains is not None or self.regex is not None

    def probe(self, connect: Callable[[Any], Deferred[Any]], server: IServer) -> Deferred[str]:
        """Fire with the status line's end (``200 OK``), or fail with what was found instead; in the server's HTTP version."""
        headers = self._headers(server)
        if getattr(server, "protocol", "http1") == "h2":
            return converse(connect, _AskHTTP2(self, headers))
        headers.append((b"Connection", b"close"))
        return converse(connect, _AskHTTP1(self, headers))

    def _headers(self, server: IServer) -> RawHeaders:
        settings = self.settings
        address = getattr(server, "address", None)
        default = "localhost" if address is None or address.path else str(address)
        headers = [(b"Host", (settings.host or default).encode("ascii"))]
        given = {name.lower() for name in settings.headers}
        if "user-agent" not in given:
            headers.append((b"User-Agent", b"balancer-health-check"))
        if "accept" not in given:
            headers.append((b"Accept", b"*/*"))
        if "host" in given:
            del headers[0]
        headers += [(name.encode("ascii"), text.encode("ascii")) for name, text in settings.headers.items()]
        return headers

    def __repr__(self) -> str:
        return f"<HTTPProbe {self.settings.method} {self.settings.path}>"


class _Ask(Conversation):
    """One request and what is made of the response."""

    def __init__(self, probe: HTTPProbe, headers: RawHeaders) -> None:
        super().__init__()
        self._probe = probe
        self._headers = headers
        self._body = b""

    def _look(self, status: int, reason: bytes, body: Body) -> None:
        """Judge the response, once there is enough of it."""
        words = f"{status} {reason.decode('latin-1')}".rstrip()
        if status not in self._probe.settings.status:
            self.failed(words)
        elif not self._probe.wants_body:
            self.succeeded(words)
        else:
            self._body += b"".join(body.take())
            if body.ended or len(self._body) >= BODY_LIMIT:
                self._judge(words, self._body[:BODY_LIMIT])

    def _judge(self, words: str, body: bytes) -> None:
        probe = self._probe
        if probe.contains is not None and probe.contains not in body:
            self.failed(f"{words}, but the body does not contain {probe.settings.contains!r}")
        elif probe.regex is not None and probe.regex.search(body) is None:
            self.failed(f"{words}, but the body does not match {probe.settings.regex!r}")
        else:
            self.succeeded(words)


class _AskHTTP1(_Ask):
    """In HTTP/1.1."""

    def __init__(self, probe: HTTPProbe, headers: RawHeaders) -> None:
        super().__init__(probe, headers)
        self._reader = ResponseReader()

    def connectionMade(self) -> None:
        settings = self._probe.settings
        self._reader.expect(settings.method)
        self.transport.write(encode.request_head(settings.method, settings.path, self._headers))

    def dataReceived(self, data: bytes) -> None:
        try:
            self._reader.feed(data)
        except ExchangeError as error:
            self.failed(str(error))
            return
        self._reader.informational.clear()
        self._read()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if self._reader.eof():
            self._read()
        super().connectionLost(reason)

    def _read(self) -> None:
        head = self._reader.head
        if head is not None:
            self._look(head.status, head.reason, self._reader.body)


class _AskHTTP2(_Ask):
    """In HTTP/2, by prior knowledge or as TLS has agreed."""

    def __init__(self, probe: HTTPProbe, headers: RawHeaders) -> None:
        super().__init__(probe, headers)
        self._session = sessions.client(self, Limits())
        self._answer = Body()
        self._status = 0
        self._broken = ""

    def connectionMade(self) -> None:
        settings = self._probe.settings
        secure = getattr(self.transport, "TLS", False)
        fields = [(b":method", settings.method.encode("ascii")), (b":scheme", b"https" if secure else b"http")]
        fields += [(b":authority", value) for name, value in self._headers if name.lower() == b"host"]
        fields.append((b":path", settings.path.encode("ascii")))
        fields += [(name.lower(), value) for name, value in self._headers if name.lower() not in _NOT_IN_HTTP2]
        self._session.request(fields, ended=True)
        self.transport.write(self._session.output())

    def dataReceived(self, data: bytes) -> None:
        if self._ended:
            return
        try:
            self._session.feed(data)
        except SessionError as error:
            self.failed(f"not HTTP/2: {error}")
            return
        if self._status:
            phrase = _PHRASES.get(self._status, "")
            self._look(self._status, phrase.encode("ascii"), self._answer)
        if self._broken:
            self.failed(self._broken)
        if not self._ended:
            self.transport.write(self._session.output())

    # What the session tells.

    def response_came(self, stream: int, headers: RawHeaders, ended: bool) -> None:
        self._status = int(dict(headers)[b":status"])
        if ended:
            self._answer.end()

    def data_came(self, stream: int, data: bytes) -> None:
        self._answer.feed(data)
        self._session.took(stream, len(data))

    def stream_ended(self, stream: int, trailers: RawHeaders | None) -> None:
        self._answer.end()

    def stream_reset(self, stream: int, code: int) -> None:
        self._broken = f"the stream was reset: {name_of(code)}"

    def goaway_came(self, last_stream: int, code: int) -> None:
        if code or not last_stream:
            self._broken = f"the server closes the connection: {name_of(code)}"

    def request_came(self, stream: int, headers: RawHeaders, ended: bool) -> None:
        pass  # servers do not ask

    def informational_came(self, stream: int, headers: RawHeaders) -> None:
        pass  # the answer follows

    def room_came(self, stream: int) -> None:
        pass  # nothing waits: there is no body

    def settings_came(self) -> None:
        pass  # one stream is always allowed

    def ping_answered(self, data: bytes) -> None:
        pass  # nothing was asked
