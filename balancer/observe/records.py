"""The record of one exchange or session: made once at its end, given to the access log and the metrics.

Mutable and slotted: the forwarding stage fills it in as things happen, observers only read it. All times are in
seconds; ``started`` is wall-clock time since the epoch, the timers are spans (-1.0 where the phase did not happen).
"""

from __future__ import annotations

from collections.abc import Sequence

from balancer.model.facts import RequestFacts
from balancer.model.frames import WebSocketRecord
from balancer.model.tls import TLSInfo

__all__ = ["ExchangeRecord", "SessionRecord"]


class ExchangeRecord:
    """One HTTP exchange. Defaults stand in the class, so that making one costs next to nothing."""

    started: float = 0.0
    listener: str = ""
    client: str = ""
    client_port: int = 0
    method: str = ""
    target: str = ""
    version: str = "1.1"
    h2_stream: int = 0  # the request's stream where the client speaks HTTP/2
    host: str = ""
    headers: Sequence[tuple[bytes, bytes]] = ()  # the request's, as received
    route: str = ""
    pool: str = ""
    server: str = ""
    server_protocol: str = ""  # "http1" or "h2", what the request was sent in; "" if it was sent nowhere
    status: int = 0
    grpc: bool = False  # whether it is a gRPC call …
    grpc_status: int = -1  # … and how that ended
    reason: str = ""  # RFC 9209 error type, "" when all went well
    detail: str = ""
    request_id: str = ""
    attempts: int = 0  # connections tried or requests sent to servers; > 1 after a retry
    hedged: int = 0  # whether a second server was asked meanwhile: 1, it was slower; 2, it answered
    coalesced: bool = False  # its answer is the one to another's request
    bytes_in: int = 0  # request body
    bytes_out: int = 0  # response body
    head: float = -1.0  # first byte of the request to end of its head ("accept" in the log)
    queue: float = -1.0  # waiting for a server with room
    connect: float = -1.0  # connecting; 0.0 for a reused connection
    first_byte: float = -1.0  # request sent to first byte of the response
    total: float = -1.0  # first byte of the request to last byte of the response
    fault: str = ""  # what was injected: "delay", "abort" or "delay+abort"
    notes: object = None  # Exchange.notes["log"], JSON format only
    websocket: WebSocketRecord | None = None  # of one that became a WebSocket
    facts: RequestFacts | None = (
        None  # what the fields about the request come from; requests that are repeated share it
    )


class SessionRecord:
    """One TCP session or UDP flow; ``bytes_in`` came from the client, ``bytes_out`` went to it."""

    __slots__ = (
        "alpn",
        "attempts",
        "bytes_in",
        "bytes_out",
        "client",
        "client_port",
        "connect",
        "datagrams_in",
        "datagrams_out",
        "detail",
        "listener",
        "pool",
        "protocol",
        "queue",
        "reason",
        "route",
        "server",
        "session_id",
        "sni",
        "started",
        "tls",
        "total",
    )

    def __init__(self, protocol: str) -> None:
        self.protocol = protocol  # "tcp" or "udp"
        self.started = 0.0
        self.listener = ""
        self.client = ""
        self.client_port = 0
        self.route = ""
        self.pool = ""
        self.server = ""
        self.session_id = ""  # where a server was told it
        self.reason = ""
        self.detail = ""
        self.sni: str | None = None  # the name that a TLS client asked for, "" if none; None: not looked at, or not TLS
        self.alpn: Sequence[str] = ()  # protocols that it offered, the first of them
        self.attempts = 0
        self.bytes_in = 0
        self.bytes_out = 0
        self.datagrams_in = 0
        self.datagrams_out = 0
        self.queue = -1.0
        self.connect = -1.0
        self.total = -1.0
        self.tls: TLSInfo | None = None  # of the client's side
