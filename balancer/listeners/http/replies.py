"""What the balancer itself answers: fields and body of fixed replies and of errors. Pure."""

from __future__ import annotations

from balancer.errors import ExchangeError, Side
from balancer.forwarding.hops import ALLOWED
from balancer.model.exchange import Reply
from balancer.model.headers import RawHeaders, without
from balancer.wire import answers
from balancer.wire.http1.dates import http_date

__all__ = ["ends_connection", "of_error", "of_error_to_call", "of_reply", "of_reply_to_call"]

_ENDING = frozenset([400, 408, 413, 414, 431, 501, 505])


def of_reply(reply: Reply, request_id: str, accept: str) -> tuple[RawHeaders, bytes]:
    """Return fields (but for framing) and body of ``reply``, a page in the form that ``accept`` prefers if it has none."""
    headers = list(reply.headers)
    body = reply.body
    headers.append((b"Proxy-Status", answers.proxy_status(reply.reason, reply.detail)))
    if body is None:
        text = reply.detail or f"{answers.status_phrase(reply.status)}."
        kind, body = answers.error_page(reply.status, text, reply.reason, request_id, accept)
        headers.append((b"Content-Type", kind))
    headers.append((b"Date", http_date()))
    return headers, body


def of_error(error: ExchangeError, request_id: str, accept: str) -> tuple[RawHeaders, bytes]:
    """Return fields (but for framing) and body of the error page for ``error``."""
    reason = error.reason
    headers: RawHeaders = []
    if reason.status == 503:
        headers.append((b"Retry-After", b"1"))
    elif reason.status == 405:
        headers.append((b"Allow", ALLOWED))
    elif reason.status == 426:  # RFC 6455 section 4.4, RFC 9110 section 15.5.22
        headers += [(b"Sec-WebSocket-Version", b"13"), (b"Upgrade", b"websocket"), (b"Connection", b"Upgrade")]
    kind, body = answers.error_page(reason.status, reason.text, reason.code, request_id, accept)
    headers.append((b"Content-Type", kind))
    headers.append((b"Proxy-Status", answers.proxy_status(reason.code, error.detail)))
    headers.append((b"Date", http_date()))
    return headers, body


def of_reply_to_call(reply: Reply, said: RawHeaders) -> RawHeaders:
    """Return the fields of ``reply`` to a call of gRPC, which ``said`` (status and message) tells: there is nothing but a head."""
    headers = without(reply.headers, (b"content-type", b"content-length", b"content-encoding"))
    headers.append((b"Proxy-Status", answers.proxy_status(reply.reason, reply.detail)))
    return _to_call(headers, said)


def of_error_to_call(error: ExchangeError, said: RawHeaders) -> RawHeaders:
    """Return the fields of the answer to a call of gRPC that failed with ``error``; see :func:`of_reply_to_call`."""
    return _to_call([(b"Proxy-Status", answers.proxy_status(error.reason.code, error.detail))], said)


def _to_call(headers: RawHeaders, said: RawHeaders) -> RawHeaders:
    return [(b"Content-Type", b"application/grpc"), *said, *headers, (b"Date", http_date())]


def ends_connection(error: ExchangeError) -> bool:
    """Whether what the client sent leaves no doubt-free place to read on from."""
    return error.reason.side is Side.CLIENT and error.reason.status in _ENDING
