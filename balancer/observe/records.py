"""The record of one exchange or session: made once at its end, given to the access log and the metrics.

Mutable and slotted: the forwarding stage fills it in as things happen, observers only read it. All times are in
seconds; ``started`` is wall-clock time since the epoch, the timers are spans (-1.0 where the phase did not happen).
"""

from __future__ import annotations

__all__ = ["ExchangeRecord", "SessionRecord"]


class ExchangeRecord:
    """One HTTP exchange."""

    __slots__ = (
        "attempts",
        "bytes_in",
        "bytes_out",
        "client",
        "client_port",
        "connect",
        "detail",
        "first_byte",
        "head",
        "headers",
        "host",
        "listener",
        "method",
        "notes",
        "pool",
        "queue",
        "reason",
        "request_id",
        "route",
        "server",
        "started",
        "status",
        "target",
        "total",
        "version",
    )

    def __init__(self) -> None:
        self.started = 0.0
        self.listener = ""
        self.client = ""
        self.client_port = 0
        self.method = ""
        self.target = ""
        self.version = "1.1"
        self.host = ""
        self.headers: list[tuple[bytes, bytes]] = []  # the request's, as received: formats pick Referer, User-Agent
        self.route = ""
        self.pool = ""
        self.server = ""
        self.status = 0
        self.reason = ""  # RFC 9209 error type, "" when all went well
        self.detail = ""
        self.request_id = ""
        self.attempts = 0  # connections tried or requests sent to servers; > 1 after a retry
        self.bytes_in = 0  # request body
        self.bytes_out = 0  # response body
        self.head = -1.0  # first byte of the request to end of its head ("accept" in the log)
        self.queue = -1.0  # waiting for a server with room
        self.connect = -1.0  # connecting; 0.0 for a reused connection
        self.first_byte = -1.0  # request sent to first byte of the response
        self.total = -1.0  # first byte of the request to last byte of the response
        self.notes: dict[str, object] | None = None  # Exchange.notes["log"], JSON format only


class SessionRecord:
    """One TCP session or UDP flow; ``bytes_in`` came from the client, ``bytes_out`` went to it."""

    __slots__ = (
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
        "started",
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
        self.reason = ""
        self.detail = ""
        self.attempts = 0
        self.bytes_in = 0
        self.bytes_out = 0
        self.datagrams_in = 0
        self.datagrams_out = 0
        self.queue = -1.0
        self.connect = -1.0
        self.total = -1.0
