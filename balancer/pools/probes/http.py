"""The ``http`` probe: a server is well if it answers a request as expected."""

from __future__ import annotations

import re
from collections.abc import Callable
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
from balancer.pools.probes.conversation import Conversation, converse
from balancer.wire.http1 import encode
from balancer.wire.http1.responses import ResponseReader

__all__ = ["HTTPProbe", "HTTPProbeSettings"]

BODY_LIMIT = 64 * 1024
"""Bytes of a body in which something is looked for; what comes after them is not read."""

_METHOD = r"^[!#$%&'*+.^_`|~0-9A-Za-z-]+$"
_RANGE = re.compile(r"([1-5][0-9]{2})(?:-([1-5][0-9]{2}))?")


def _statuses(value: Any) -> frozenset[int]:
    if isinstance(value, frozenset):
        return value
    found: set[int] = set()
    for part in value if isinstance(value, (list, tuple)) else str(value).split(","):
        match = _RANGE.fullmatch(str(part).strip())
        if match is None or isinstance(part, bool):
            raise ValueError(f"expected a status such as 200, a range such as '200-299', or a list, got {value!r}")
        first, last = int(match[1]), int(match[2] or match[1])
        if last < first:
            raise ValueError(f"expected a range from low to high: did you mean '{last}-{first}'?")
        found.update(range(first, last + 1))
    if not found:
        raise ValueError("expected at least one status")
    return frozenset(found)


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
        BeforeValidator(_statuses),
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
        """Fire with the status line's end (``200 OK``), or fail with what was found instead."""
        return converse(connect, _Ask(self, self._request(server)))

    def _request(self, server: IServer) -> bytes:
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
        headers.append((b"Connection", b"close"))
        return encode.request_head(settings.method, settings.path, headers)

    def __repr__(self) -> str:
        return f"<HTTPProbe {self.settings.method} {self.settings.path}>"


class _Ask(Conversation):
    """One request and its response."""

    def __init__(self, probe: HTTPProbe, request: bytes) -> None:
        super().__init__()
        self._probe = probe
        self._request = request
        self._reader = ResponseReader()
        self._body = b""

    def connectionMade(self) -> None:
        self._reader.expect(self._probe.settings.method)
        self.transport.write(self._request)

    def dataReceived(self, data: bytes) -> None:
        try:
            self._reader.feed(data)
        except ExchangeError as error:
            self.failed(str(error))
            return
        self._reader.informational.clear()
        self._look()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if self._reader.eof():
            self._look()
        super().connectionLost(reason)

    def _look(self) -> None:
        head = self._reader.head
        if head is None:
            return
        words = f"{head.status} {head.reason.decode('latin-1')}".rstrip()
        if head.status not in self._probe.settings.status:
            self.failed(words)
        elif not self._probe.wants_body:
            self.succeeded(words)
        else:
            self._body += b"".join(self._reader.body.take())
            if self._reader.body.ended or len(self._body) >= BODY_LIMIT:
                self._judge(words, self._body[:BODY_LIMIT])

    def _judge(self, words: str, body: bytes) -> None:
        probe = self._probe
        if probe.contains is not None and probe.contains not in body:
            self.failed(f"{words}, but the body does not contain {probe.settings.contains!r}")
        elif probe.regex is not None and probe.regex.search(body) is None:
            self.failed(f"{words}, but the body does not match {probe.settings.regex!r}")
        else:
            self.succeeded(words)
