"""What a transaction is told of: the heads of a request and of a response, as bytes off the wire."""

from __future__ import annotations

from dataclasses import dataclass

Pairs = tuple[tuple[bytes, bytes], ...]


@dataclass(frozen=True, slots=True)
class Request:
    """The head of a request.

    Attributes:
        method: ``GET``.
        target: as in the request line, nothing decoded.
        protocol: ``HTTP/1.1``.
        headers: in order, nothing joined; the values without blanks around them.
        client, client_port, server, server_port: the two ends of the connection.
        unique_id: made up by the transaction where it is empty.
    """

    method: bytes
    target: bytes
    protocol: bytes = b"HTTP/1.1"
    headers: Pairs = ()
    client: str = "127.0.0.1"
    client_port: int = 0
    server: str = "127.0.0.1"
    server_port: int = 0
    unique_id: str = ""


@dataclass(frozen=True, slots=True)
class Response:
    """The head of a response."""

    status: int
    headers: Pairs = ()
    protocol: bytes = b"HTTP/1.1"
