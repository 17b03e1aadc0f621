"""Listeners: an address, a protocol, its routes. Which keys there are depends on the protocol."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

from balancer.config.fields import (
    BindAddress,
    Cidr,
    Count,
    Filter,
    Flag,
    HeaderName,
    Positive,
    PositiveDuration,
    PositiveSize,
)
from balancer.config.forms import Many, Switch, given, one_of
from balancer.config.http2 import ListenerHttp2
from balancer.config.proxy_protocol import Introduced
from balancer.config.routes import Route, SessionRoute, StreamRoute
from balancer.config.tls import Hsts, ListenerTls, RedirectHttps
from balancer.config.websockets import WebSocketSettings
from balancer.hooks.settings import Settings, Size
from balancer.model.suggestions import did_you_mean

__all__ = [
    "LISTENERS",
    "PROTOCOLS",
    "AnyListener",
    "HttpListener",
    "HttpSettings",
    "HttpTimeouts",
    "ListenerLimits",
    "TcpListener",
    "TcpSettings",
    "TcpTimeouts",
    "UdpListener",
    "UdpSettings",
]


HelloSize = Annotated[Size, Field(ge=1024, le=64 * 1024)]
"""Bytes of a ClientHello."""

PROTOCOLS = ("http", "tcp", "udp")
"""What a listener may speak."""


_ONLY_REDIRECTS = {
    "required": ["redirect_https"],
    "properties": {"redirect_https": {"not": {"enum": [None, False]}}},
    "not": {"anyOf": [{"required": ["routes"]}, given("pool")]},
}
"""In the JSON Schema, a listener that has no routes because it redirects everything."""


class ListenerLimits(Settings):
    """Limits of one listener, below those of the whole balancer."""

    connections: Positive | None = Field(default=None, description="Most connections at once.")
    connections_per_client: Positive | None = Field(default=None, description="Most connections of one client address.")
    shed: Flag = Field(default=True, description="Turn clients away while the balancer is overloaded.")


class HttpTimeouts(Settings):
    """How long HTTP clients may take."""

    head: PositiveDuration = Field(default=10.0, description="From the first byte of a request to the end of its head.")
    body_idle: PositiveDuration = Field(default=30.0, description="Between two pieces of a request's body.")
    keep_alive: PositiveDuration = Field(default=75.0, description="Between two requests of a connection.")
    idle: PositiveDuration = Field(default=300.0, description="Silence of a tunnel, such as a WebSocket.")


class TcpTimeouts(Settings):
    """How long TCP sessions may be silent."""

    idle: PositiveDuration = Field(default=600.0, description="Silence in both directions that ends a session.")
    hello: PositiveDuration = Field(
        default=5.0, description="From the connection to the end of the TLS ClientHello, where a route asks for it."
    )


class TcpSettings(Settings):
    """What is looked at of TCP sessions."""

    hello_size: HelloSize = Field(
        default=16 * 1024,
        description="Most bytes in which a TLS ClientHello must be complete, where a route asks for it.",
    )


class HttpSettings(Settings):
    """What HTTP requests may be like, and what is added to them."""

    head_size: PositiveSize = Field(default=32 * 1024, description="Largest head of a request; beyond it 431.")
    header_count: Positive = Field(default=100, description="Most header fields; beyond it 431.")
    header_size: PositiveSize = Field(default=8 * 1024, description="Largest header field; beyond it 431.")
    uri_size: PositiveSize = Field(default=8 * 1024, description="Longest request target; beyond it 414.")
    body_size: Size | None = Field(default=None, description="Largest body; beyond it 413. None: no limit.")
    via: Flag = Field(default=True, description="Add Via to requests and responses.")
    request_id: Flag = Field(default=True, description="Add X-Request-Id to requests and responses.")
    allow_underscores: Annotated[tuple[HeaderName, ...], Many(empty=True)] = Field(
        default=(), description="Header names with '_' or '.' that are not dropped."
    )


class UdpSettings(Settings):
    """How datagrams make flows."""

    session_timeout: PositiveDuration = Field(default=30.0, description="Silence that ends a flow.")
    max_sessions: Positive = Field(default=10000, description="Most flows at once.")
    responses: Count | None = Field(
        default=None,
        description="End a flow after so many answers (1 for DNS): each datagram is balanced anew. None: by time.",
    )


class _Listener(Settings):
    """What listeners of every protocol have."""

    bind: Annotated[tuple[BindAddress, ...], Many()] = Field(
        description="Where to listen: host:port, *:port, unix:/path, a Twisted endpoint description, or a list."
    )
    pool: str | None = Field(default=None, description="Short for one route that leads everything to this pool.")
    limits: ListenerLimits = Field(default=ListenerLimits(), description="Limits of this listener.")

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        found = one_of(handler(schema), "routes", "pool", null=("routes",))
        if "redirect_https" in cls.model_fields:
            found["oneOf"].append(_ONLY_REDIRECTS)
        return found


def _protocol(value: Any) -> Any:
    if value not in PROTOCOLS:
        hint = did_you_mean(value, PROTOCOLS) if isinstance(value, str) else ""
        raise ValueError(f"expected http, tcp or udp, got {value!r}{hint if 'mean' in hint else ''}")
    return value


class HttpListener(_Listener):
    """A listener for HTTP."""

    protocol: Annotated[Literal["http"], BeforeValidator(_protocol)] = Field(
        default="http", description="What is spoken here: http, tcp or udp."
    )
    filters: tuple[Filter, ...] = Field(default=(), description="Filters before routing: name or {name: settings}.")
    routes: tuple[Route, ...] = Field(default=(), description="Routes; the most specific that matches wins.")
    backlog: Positive = Field(default=4096, description="Connections that may wait to be accepted.")
    trusted_proxies: Annotated[tuple[Cidr, ...], Many(empty=True)] | None = Field(
        default=None, description="Peers whose forwarding headers are believed; none: those of the whole balancer."
    )
    timeouts: HttpTimeouts = Field(default=HttpTimeouts(), description="How long clients may take.")
    websocket: WebSocketSettings = Field(
        default=WebSocketSettings(), description="What is done about WebSockets besides passing them on."
    )
    http: HttpSettings = Field(default=HttpSettings(), description="What requests may be like.")
    http2: Annotated[ListenerHttp2 | None, Switch()] = Field(
        default=ListenerHttp2(), description="Speak HTTP/2 with clients that want to; false: HTTP/1.1 only."
    )
    proxy_protocol: Introduced = Field(
        default=None, description="Whose PROXY header tells who the client is; true: that of the trusted_proxies."
    )
    tls: ListenerTls | None = Field(default=None, description="Speak TLS; none: plain.")
    redirect_https: Annotated[RedirectHttps | None, Switch()] = Field(
        default=None, description="Send every client to the same address by https; routes are not needed then."
    )
    hsts: Annotated[Hsts | None, Switch()] = Field(
        default=None, description="Strict-Transport-Security with every answer, where there is 'tls'."
    )


class TcpListener(_Listener):
    """A listener for TCP."""

    protocol: Annotated[Literal["tcp"], BeforeValidator(_protocol)] = Field(
        description="What is spoken here: http, tcp or udp."
    )
    routes: tuple[StreamRoute, ...] = Field(default=(), description="Routes; the most specific that matches wins.")
    backlog: Positive = Field(default=4096, description="Connections that may wait to be accepted.")
    timeouts: TcpTimeouts = Field(default=TcpTimeouts(), description="How long sessions may be silent.")
    tcp: TcpSettings = Field(default=TcpSettings(), description="What is looked at of sessions.")
    proxy_protocol: Introduced = Field(
        default=None, description="Whose PROXY header tells who the client is; true: that of the trusted_proxies."
    )
    tls: ListenerTls | None = Field(default=None, description="Speak TLS with clients; servers get plain bytes.")


class UdpListener(_Listener):
    """A listener for UDP."""

    protocol: Annotated[Literal["udp"], BeforeValidator(_protocol)] = Field(
        description="What is spoken here: http, tcp or udp."
    )
    routes: tuple[SessionRoute, ...] = Field(default=(), description="Routes; the most specific that matches wins.")
    udp: UdpSettings = Field(default=UdpSettings(), description="How datagrams make flows.")


LISTENERS: dict[str, type[HttpListener | TcpListener | UdpListener]] = {
    "http": HttpListener,
    "tcp": TcpListener,
    "udp": UdpListener,
}
"""The listener model of each protocol."""


class _ByProtocol:
    """Validates a listener with the model that its ``protocol`` names, so that errors speak of that one only."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.with_info_wrap_validator_function(self._validate, handler(source))

    def _validate(self, value: Any, _: Any, info: core_schema.ValidationInfo) -> Any:
        protocol = value.get("protocol", "http") if isinstance(value, dict) else "http"
        model = LISTENERS.get(protocol, HttpListener) if isinstance(protocol, str) else HttpListener
        return value if isinstance(value, model) else model.model_validate(value, context=info.context)


AnyListener = Annotated[HttpListener | TcpListener | UdpListener, _ByProtocol()]
"""A listener of any protocol."""
