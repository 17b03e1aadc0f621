"""Asks filters whether they change bodies as they stream, and makes the head say so (:class:`~balancer.hooks.interfaces.IBodyFilter`).

What is asked for: whole bodies, as they are. Not parts of one (206), none (204, 304), nor one that is compressed. A response that
may be changed is another than the server's: its validator is weak (RFC 9110 section 8.8.1), there are no ranges of it, and digests
of it are wrong.
"""

from __future__ import annotations

from typing import Any

from balancer.model import headers as fields
from balancer.model.exchange import Exchange
from balancer.model.headers import RawHeaders

__all__ = ["ask_for_request", "ask_for_response", "is_plain", "weaken"]

_NOT_WHOLE = frozenset([*range(100, 200), 204, 205, 206, 304])
_VOID = frozenset([b"accept-ranges", b"content-md5", b"content-digest", b"repr-digest", b"digest"])


def is_plain(headers: RawHeaders) -> bool:
    """Whether a body with these fields is not compressed."""
    return all(coding.strip().lower() in (b"", b"identity") for coding in fields.values(headers, b"content-encoding"))


def weaken(headers: RawHeaders) -> None:
    """Make a strong ``ETag`` weak."""
    for at, (name, value) in enumerate(headers):
        if name.lower() == b"etag" and not value.startswith(b"W/"):
            headers[at] = (name, b"W/" + value)


def ask_for_request(each: Any, exchange: Exchange) -> None:
    """Have the filter ``each`` change the request's body, if it wants to.

    Raises:
        ExchangeError: the body is here, and not what the filter was told that it is.
    """
    ask = getattr(each, "request_body", None)
    if ask is None or not (_has_body(exchange) and is_plain(exchange.headers)):
        return
    transform = ask(exchange)
    if transform is None:
        return
    if exchange.body is None:
        exchange.change_request(transform)
    else:
        exchange.body = transform.feed(exchange.body) + transform.end(None)[0]
    exchange.headers = fields.without(exchange.headers, _VOID)


def _has_body(exchange: Exchange) -> bool:
    """Whether there is a body that could be changed; one of unknown length counts."""
    if exchange.body is not None:
        return bool(exchange.body)
    facts = exchange.facts
    length = facts.header("content-length")
    if length is not None:
        return length != "0"
    return facts.header("transfer-encoding") is not None or exchange.method in _WITH_BODY


_WITH_BODY = ("POST", "PUT", "PATCH")
"""Methods that may have a body which says nothing of its length: HTTP/2 needs none."""


def ask_for_response(each: Any, exchange: Exchange) -> None:
    """Have the filter ``each`` change the response's body, if it wants to."""
    ask = getattr(each, "response_body", None)
    if ask is None or exchange.status in _NOT_WHOLE or not is_plain(exchange.response_headers):
        return
    transform = ask(exchange)
    if transform is None:
        return
    exchange.change_response(transform)
    headers = exchange.response_headers = fields.without(exchange.response_headers, _VOID)
    weaken(headers)
