"""What can go wrong, in words an operator can act on.

Two families:

* :class:`ConfigurationError` — a configuration cannot be used; carries every :class:`Problem` found.
* :class:`ExchangeError` — an exchange or session ended early; carries a :class:`Reason`, which knows whose
  side failed, whether another server may be tried, which status the client gets and which RFC 9209
  (``Proxy-Status``) error type goes on the wire and into the log.

Foreign errors are converted to these once, at the boundary where they appear.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["BalancerError", "ConfigurationError", "ExchangeError", "PluginError", "Problem", "Reason", "Side"]


class BalancerError(Exception):
    """Something this balancer raises on purpose; its text is meant for the operator."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong (or, for lint, doubtful) in a configuration, at its place in the file.

    ``line`` and ``column`` count from 1; both are 0 where no place is known. ``path`` is the dotted path in the
    configuration (``listeners.web.routes[2].pool``). ``code`` names the kind of problem for tools.
    """

    file: str
    line: int
    column: int
    path: str
    message: str
    code: str = "invalid"

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}:{self.column}" if self.line else self.file
        return f"{place}: {self.path}: {self.message}" if self.path else f"{place}: {self.message}"


class ConfigurationError(BalancerError):
    """The configuration cannot be used; every problem found is listed, a line each."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))


class PluginError(BalancerError):
    """A plug-in package breaks its contract; the text names the package and what it must mend."""


class Side(enum.Enum):
    """Who failed."""

    CLIENT = "client"
    SERVER = "server"
    US = "us"


@dataclass(frozen=True, slots=True)
class Reason:
    """Why an exchange or session ended early: the RFC 9209 error type with what it means for us."""

    code: str
    status: int
    side: Side
    retryable: bool
    text: str


class ExchangeError(BalancerError):
    """An exchange or session cannot go on; ``reason`` says why, ``detail`` adds what the log needs."""

    def __init__(self, reason: Reason, detail: str = "") -> None:
        self.reason = reason
        self.detail = detail
        super().__init__(f"{reason.text} ({detail})" if detail else reason.text)

    def __repr__(self) -> str:
        return f"<ExchangeError {self.reason.code} {self.reason.status} side={self.reason.side.value}>"


# The vocabulary of reasons: RFC 9209 section 2.3, with the statuses this balancer answers.
DNS_ERROR = Reason("dns_error", 502, Side.SERVER, True, "The server's name does not resolve.")
DESTINATION_NOT_FOUND = Reason("destination_not_found", 404, Side.CLIENT, False, "No route matches this request.")
DESTINATION_UNAVAILABLE = Reason(
    "destination_unavailable", 503, Side.SERVER, False, "No server of the pool can take this request."
)
DESTINATION_IP_UNROUTABLE = Reason(
    "destination_ip_unroutable", 502, Side.SERVER, True, "There is no route to the server's address."
)
CONNECTION_REFUSED = Reason("connection_refused", 502, Side.SERVER, True, "The server refused the connection.")
CONNECTION_TERMINATED = Reason(
    "connection_terminated", 502, Side.SERVER, True, "The server closed the connection before it answered."
)
SERVER_LEAVING = Reason(
    "connection_terminated", 502, Side.SERVER, True, "The server closed the connection before it looked at the request."
)
STREAM_REFUSED = Reason("connection_terminated", 502, Side.SERVER, True, "The server refused the request unread.")
STREAM_RESET = Reason("connection_terminated", 502, Side.SERVER, True, "The server gave the request up.")
CONNECTION_TIMEOUT = Reason("connection_timeout", 504, Side.SERVER, True, "The server did not accept in time.")
CONNECTION_READ_TIMEOUT = Reason(
    "connection_read_timeout", 504, Side.SERVER, False, "The server stopped sending in the middle of its answer."
)
CONNECTION_WRITE_TIMEOUT = Reason(
    "connection_write_timeout", 504, Side.SERVER, False, "The server stopped taking the request's body."
)
CONNECTION_LIMIT_REACHED = Reason(
    "connection_limit_reached", 503, Side.US, False, "A connection limit is reached and the queue is full."
)
QUEUE_TIMEOUT = Reason("connection_limit_reached", 503, Side.US, False, "No server became free in time.")
POOL_LIMIT_REACHED = Reason(
    "connection_limit_reached", 503, Side.US, False, "A limit of the pool's breaker is reached."
)
TLS_PROTOCOL_ERROR = Reason(
    "tls_protocol_error", 502, Side.SERVER, True, "The server and the balancer do not agree on TLS."
)
TLS_CERTIFICATE_ERROR = Reason(
    "tls_certificate_error", 502, Side.SERVER, True, "The server's certificate is not the right one."
)
TLS_ALERT_RECEIVED = Reason("tls_alert_received", 502, Side.SERVER, True, "The server refused TLS.")
HTTP_REQUEST_ERROR = Reason("http_request_error", 400, Side.CLIENT, False, "The request is not valid HTTP.")
HTTP_REQUEST_TIMEOUT = Reason("http_request_error", 408, Side.CLIENT, False, "The request did not arrive in time.")
HTTP_REQUEST_DENIED = Reason("http_request_denied", 403, Side.US, False, "The request was refused by a rule.")
HTTP_BODY_TOO_LARGE = Reason("http_request_error", 413, Side.CLIENT, False, "The request's body is too large.")
HTTP_URI_TOO_LONG = Reason("http_request_error", 414, Side.CLIENT, False, "The request's target is too long.")
HTTP_HEADERS_TOO_LARGE = Reason("http_request_error", 431, Side.CLIENT, False, "The request's head is too large.")
HTTP_METHOD_REFUSED = Reason("http_request_denied", 405, Side.CLIENT, False, "This method is not served here.")
HTTP_NOT_IMPLEMENTED = Reason("http_request_error", 501, Side.CLIENT, False, "The request asks for what is not here.")
HTTP_VERSION_REFUSED = Reason("http_request_error", 505, Side.CLIENT, False, "This HTTP version is not spoken here.")
HTTP_UPGRADE_REQUIRED = Reason(
    "http_request_error", 426, Side.CLIENT, False, "Only WebSocket version 13 is spoken here."
)
HTTP_EXPECTATION_FAILED = Reason("http_request_error", 417, Side.CLIENT, False, "The expectation cannot be met.")
HTTP_RESPONSE_INCOMPLETE = Reason(
    "http_response_incomplete", 502, Side.SERVER, False, "The server's answer ended before it was complete."
)
HTTP_RESPONSE_TIMEOUT = Reason("http_response_timeout", 504, Side.SERVER, False, "The server did not answer in time.")
HTTP_RESPONSE_HEADER_SECTION_SIZE = Reason(
    "http_response_header_section_size", 502, Side.SERVER, False, "The head of the server's answer is too large."
)
HTTP_RESPONSE_BODY_SIZE = Reason(
    "http_response_body_size", 502, Side.SERVER, False, "The body of the server's answer is too large."
)
HTTP_PROTOCOL_ERROR = Reason("http_protocol_error", 502, Side.SERVER, False, "The server's answer is not valid HTTP.")
HTTP_UPGRADE_FAILED = Reason("http_upgrade_failed", 502, Side.SERVER, False, "The server's upgrade is not valid.")
PROXY_INTERNAL_ERROR = Reason("proxy_internal_error", 500, Side.US, False, "The balancer failed; see its log.")
OUT_OF_RESOURCES = Reason(
    "proxy_internal_error", 503, Side.US, False, "The balancer has no descriptors or memory left for a connection."
)
OVERLOADED = Reason("proxy_internal_response", 503, Side.US, False, "The balancer is overloaded; try again.")
FAULT_INJECTED = Reason(
    "proxy_internal_response", 503, Side.US, False, "A fault was injected, as the configuration says."
)
CLIENT_TOO_SLOW = Reason("http_request_error", 408, Side.CLIENT, False, "The client stopped taking its answer.")
CLIENT_GONE = Reason("http_request_error", 499, Side.CLIENT, False, "The client went away before its answer was sent.")
