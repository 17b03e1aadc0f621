"""The last of HTTP where it goes over to another protocol: the 101 as its client gets it."""

from __future__ import annotations

from balancer.filters.chain import run_responses
from balancer.model.exchange import Exchange
from balancer.model.headers import RawHeaders
from balancer.wire.http1 import encode

__all__ = ["agreed", "switching"]


def agreed(headers: RawHeaders, exchange: Exchange | None) -> RawHeaders:
    """Return the fields of a server's 101 as filters leave them, to whom it is a 101 whatever it is to the client.

    Raises:
        ExchangeError: if a filter that must have its say failed.
    """
    if exchange is None:
        return headers
    exchange.status = 101
    exchange.response_headers = list(headers)
    run_responses(exchange)
    return exchange.response_headers


def switching(protocol: bytes, headers: RawHeaders, exchange: Exchange | None, request_id: str) -> bytes:
    """Return a 101 that agrees to ``protocol``, its fields as filters leave them; ``request_id`` is "" for none.

    Raises:
        ExchangeError: if a filter that must have its say failed.
    """
    headers = agreed(headers, exchange)
    tail = b"Connection: Upgrade\r\nUpgrade: %b\r\n\r\n" % protocol
    if request_id:
        tail = b"X-Request-Id: %b\r\n%b" % (request_id.encode("ascii"), tail)
    return encode.response_head(101, None, headers, tail)
