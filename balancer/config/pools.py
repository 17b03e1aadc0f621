"""Pools: servers, how one is chosen, how their health is known, how long to wait for them."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, GetJsonSchemaHandler, model_validator
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from balancer.config.attempts import Hedge, PoolTimeouts, Retry
from balancer.config.breakers import Breaker
from balancer.config.concurrency import Concurrency
from balancer.config.cookies import StickyCookie
from balancer.config.fields import (
    Algorithm,
    Count,
    Flag,
    HeaderName,
    Name,
    Percent,
    Positive,
    PositiveDuration,
    Probe,
    Protocol,
    ServerAddress,
)
from balancer.config.forms import Filled, Many, Switch, one_of, short
from balancer.config.locality import Locality
from balancer.config.outliers import Passive
from balancer.config.proxy_protocol import SentProxyProtocol
from balancer.config.routes import QueuePriority
from balancer.config.slow_start import SlowStart
from balancer.config.subsets import Labels, Subset
from balancer.hooks.settings import KeySetting, LocalPath, Settings

__all__ = [
    "ClientCertificate",
    "Health",
    "KeepAlive",
    "Passive",
    "Ping",
    "Pool",
    "PoolHttp2",
    "PoolTimeouts",
    "PoolTls",
    "Queue",
    "Resolve",
    "Retry",
    "Server",
    "Sticky",
    "StickyCookie",
    "StickyHeader",
    "StickySourceIp",
]

Priority = Annotated[Count, Field(le=100)]


class Server(Settings):
    """One backend. A bare string is its address."""

    address: ServerAddress = Field(description="host:port, [v6]:port, name:port or unix:/path.")
    name: Name = Field(default="", description="Shown in logs and metrics; by default the address.")
    weight: Count = Field(default=1, description="Share of the traffic; 0 takes nothing new.")
    backup: Flag = Field(default=False, description="Used only while no other server can be.")
    max_connections: Positive | None = Field(default=None, description="Most exchanges and sessions at once.")
    priority: Priority = Field(
        default=0, description="Servers of higher numbers get what those of lower ones, failing, cannot take."
    )
    zone: Name = Field(default="", description="Where it is; see 'locality' of the pool.")
    labels: Labels = Field(default={}, description="What it is, such as {version: v2}; see 'subset' of the pool.")

    @model_validator(mode="before")
    @classmethod
    def _bare(cls, value: Any) -> Any:
        return {"address": value} if isinstance(value, str) else value

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return short(handler(schema), {"type": "string"})


class Health(Settings):
    """Active health checks."""

    probe: Probe = Field(default="tcp", validate_default=True, description="How to ask: name or {name: settings}.")
    interval: PositiveDuration = Field(default=5.0, description="Between two probes of a server.")
    timeout: PositiveDuration = Field(default=2.0, description="Longest wait for the answer to a probe.")
    rise: Positive = Field(default=2, description="Good probes in a row that bring a server back.")
    fall: Positive = Field(default=3, description="Bad probes in a row that take a server out.")
    jitter: Percent = Field(default=0.2, description="How far the interval is varied, up and down.")


class StickySourceIp(Settings):
    """The client's address decides."""


class StickyHeader(Settings):
    """A header of the request decides."""

    name: HeaderName = Field(description="The header's name.")


def _switched(value: Any) -> Any:
    return {} if value is True else None if value is False else value


def _named(value: Any) -> Any:
    return {} if value is None else value


class Sticky(Settings):
    """Keeps a client on its server: exactly one of cookie, source_ip and header."""

    cookie: Annotated[StickyCookie | None, BeforeValidator(_named)] = Field(
        default=None, description="By a cookie of ours."
    )
    source_ip: Annotated[StickySourceIp | None, BeforeValidator(_named)] = Field(
        default=None, description="By the client's address."
    )
    header: StickyHeader | None = Field(default=None, description="By a header of the request.")

    @model_validator(mode="before")
    @classmethod
    def _bare(cls, value: Any) -> Any:
        return {value: None} if value in ("cookie", "source_ip") else value

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        whole = one_of(handler(schema), "cookie", "source_ip", "header", null=("cookie", "source_ip"))
        return short(whole, {"enum": ["cookie", "source_ip"]})

    @model_validator(mode="after")
    def _one(self) -> Sticky:
        if [self.cookie, self.source_ip, self.header].count(None) != 2:
            raise ValueError("expected exactly one of cookie, source_ip and header")
        return self


class Queue(Settings):
    """Where requests wait while every server is at its max_connections; false: nobody waits."""

    size: Count = Field(default=100, description="Most that wait; beyond it they are refused with 503.")
    timeout: PositiveDuration = Field(default=5.0, description="Longest wait.")
    priority: KeySetting | None = Field(
        default=None, description="Where a request says its priority, 0 to 10, the highest first: {header: NAME}…"
    )
    default_priority: QueuePriority = Field(default=5, description="The priority of those that say none.")
    deadline: KeySetting | None = Field(
        default=None, description="Where a request says how long it may wait, as 250ms or seconds: {header: NAME}…"
    )


class KeepAlive(Settings):
    """Idle connections kept for the next request; false: none."""

    size: Count = Field(default=1024, description="Most idle connections to each server.")
    idle: PositiveDuration = Field(default=50.0, description="How long a connection may be idle.")
    max_age: PositiveDuration = Field(default=3600.0, description="How old a connection may become, with jitter.")


class Ping(Settings):
    """Asking a server that says nothing, while exchanges wait for it, for a sign of life; false: never."""

    interval: PositiveDuration = Field(default=30.0, description="How long a connection may be silent before.")
    timeout: PositiveDuration = Field(default=10.0, description="Longest wait for the answer; then it is closed.")


class PoolHttp2(Settings):
    """How connections of HTTP/2 to servers are used."""

    streams: Positive = Field(
        default=100, description="Most exchanges at a time on a connection; a server may allow fewer."
    )
    ping: Annotated[Ping | None, Switch()] = Field(
        default=Ping(), description="Asking silent servers for a sign of life; false: never."
    )


class Resolve(Settings):
    """Servers given by name."""

    interval: PositiveDuration = Field(default=30.0, description="Between two look-ups of a name.")


class ClientCertificate(Settings):
    """A certificate of ours, with its key."""

    cert: LocalPath = Field(description="PEM file: the certificate, then its chain.")
    key: LocalPath | None = Field(
        default=None, description="PEM file with the key; without it, it is in 'cert' too, or beside it."
    )


class PoolTls(Settings):
    """How TLS is spoken with servers."""

    verify: Flag = Field(
        default=True, description="Believe only servers whose certificate is good, and for their name. False: anybody."
    )
    ca: LocalPath | None = Field(
        default=None, description="PEM file with the authorities that are believed; by default the operating system's."
    )
    server_name: str = Field(
        default="",
        description="What servers are called, for SNI and their certificates; by default the name or address in 'servers'.",
    )
    certificate: ClientCertificate | None = Field(default=None, description="What is shown to servers that ask for it.")
    profile: Literal["intermediate", "modern"] = Field(
        default="intermediate", description="Mozilla's: intermediate is TLS 1.2 and 1.3, modern is TLS 1.3 alone."
    )
    alpn: Annotated[tuple[Protocol, ...], Many()] | None = Field(
        default=None,
        description="Protocols offered to servers, best first. By default what 'protocol' says for HTTP, and none for sessions of TCP.",
    )


class Pool(Settings):
    """A named set of servers."""

    servers: Annotated[tuple[Server, ...], Filled()] = Field(
        description="host:port, or {address, name, weight, backup, max_connections, priority, zone, labels}."
    )
    algorithm: Algorithm = Field(
        default="p2c", validate_default=True, description="How a server is chosen: name or {name: settings}."
    )
    health: Annotated[Health | None, Switch()] = Field(default=None, description="Active health checks.")
    passive: Annotated[Passive | None, Switch()] = Field(
        default=Passive(), description="Ejecting servers that fail real traffic; false: never."
    )
    breaker: Breaker | None = Field(
        default=None, description="Limits of what the pool takes on at a time, and cutting off servers that fail."
    )
    locality: Locality = Field(
        default=Locality(), description="Preferring servers of low priority number and of the balancer's own zone."
    )
    concurrency: Annotated[Concurrency | None, Switch()] = Field(
        default=None, description="Limiting what is in flight by how long answers take; what is over it waits."
    )
    subset: Subset | None = Field(default=None, description="Choosing among servers that have the labels asked for.")
    slow_start: SlowStart | None = Field(
        default=None, description="Traffic little by little for servers that are new or come back."
    )
    panic: Flag = Field(default=True, description="If no server is healthy, use all of them.")
    sticky: Sticky | None = Field(default=None, description="Keeping a client on its server.")
    queue: Annotated[Queue, Switch({"size": 0})] = Field(
        default=Queue(), description="Waiting for a server with room; false: nobody waits."
    )
    timeouts: PoolTimeouts = Field(default=PoolTimeouts(), description="How long servers may take.")
    keep_alive: Annotated[KeepAlive, Switch({"size": 0})] = Field(
        default=KeepAlive(), description="Idle connections kept for the next request; false: none."
    )
    retry: Annotated[Retry, Switch({"attempts": 0})] = Field(
        default=Retry(), description="Trying again on another server; false: never."
    )
    hedge: Annotated[Hedge | None, Switch()] = Field(
        default=None, description="Asking a second server while the first takes its time; true: with all defaults."
    )
    resolve: Resolve = Field(default=Resolve(), description="Servers given by name.")
    protocol: Literal["http1", "h2", "auto"] | None = Field(
        default=None,
        description="What the servers speak to HTTP listeners: http1, h2 (HTTP/2, without TLS by prior knowledge), or auto:"
        " what TLS agrees on, http1 without TLS. By default auto with TLS, else http1.",
    )
    tls: Annotated[PoolTls | None, BeforeValidator(_switched)] = Field(
        default=None, description="Speak TLS with the servers; true: with all defaults."
    )
    http2: PoolHttp2 = Field(default=PoolHttp2(), description="How connections of HTTP/2 are used.")

    proxy_protocol: SentProxyProtocol | None = Field(
        default=None,
        description="The PROXY header that connections to the servers begin with: v1, v2 or more settings. HTTP/1.1 only.",
    )

    @property
    def spoken(self) -> Literal["http1", "h2", "auto"]:
        """What the servers speak, the default filled in."""
        secure = self.tls is not None and self.proxy_protocol is None
        if self.protocol is None or self.protocol == "auto":
            return "auto" if secure else "http1"
        return self.protocol

    @model_validator(mode="after")
    def _agrees_with_alpn(self) -> Pool:
        alpn = None if self.tls is None else self.tls.alpn
        if alpn is not None and self.protocol == "h2" and alpn != ("h2",):
            raise ValueError("expected alpn: h2 alone beside protocol: h2: nothing else would be spoken")
        if alpn is not None and self.protocol == "http1" and "h2" in alpn:
            raise ValueError(
                "expected no h2 in alpn beside protocol: http1: a server that agrees on it would not be understood"
            )
        if alpn is not None and self.proxy_protocol is not None and "h2" in alpn and self.protocol is None:
            raise ValueError("expected no h2 in alpn beside proxy_protocol: a connection of HTTP/2 is of many clients")
        return self

    @model_validator(mode="after")
    def _uses_http2(self) -> Pool:
        if self.proxy_protocol is not None and self.protocol in ("h2", "auto"):
            raise ValueError(
                "expected protocol: http1 beside proxy_protocol: a connection of HTTP/2 is of many clients"
            )
        if "http2" in self.model_fields_set and self.spoken == "http1":
            raise ValueError("expected protocol: h2 (or auto, with tls) where http2 is set: this pool speaks HTTP/1.1")
        return self
