"""The answer to requests that are turned away because the balancer is overloaded, made and sent with as little as can be.

No routing, no filters, no page in the client's taste: bytes that are nearly the same each time, and one record. On a
kept connection that is a fifth of the work of serving; a connection that is turned away before anything was made for it
costs a tenth of one that is served.
"""

from __future__ import annotations

import re
import socket
from typing import TYPE_CHECKING, Any

from twisted.logger import Logger

from balancer import errors
from balancer.errors import ExchangeError
from balancer.forwarding.headers import Arrival, believed_client
from balancer.listeners.http.request import Request
from balancer.listeners.http.site import Site
from balancer.model.address import Peer
from balancer.model.facts import RequestFacts
from balancer.net.transports import plain
from balancer.observe.records import ExchangeRecord
from balancer.wire import answers
from balancer.wire.http1.dates import http_date
from balancer.wire.http1.requests import Incoming

if TYPE_CHECKING:
    from balancer.listeners.http.channel import HTTPChannel

__all__ = ["DETAIL", "answer", "turn_away", "turned_away_at_once"]

_log = Logger()

DETAIL = "overloaded"
_REASON = errors.OVERLOADED
_BODY = f"503 Service Unavailable\n{_REASON.text}\nreason: {_REASON.code}\n".encode()
_HEAD = (
    b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: text/plain; charset=utf-8\r\nRetry-After: 1\r\n"
    b"Proxy-Status: " + answers.proxy_status(_REASON.code, DETAIL) + b"\r\nContent-Length: %d\r\n" % len(_BODY)
)
_WHOLE = re.compile(rb"(GET|HEAD) (/[!-~]*) HTTP/1\.([01])\r\n(?s:.*)\r\n\r\n\Z")
_BODY_FOLLOWS = re.compile(rb"\n(?:content-length|transfer-encoding|upgrade) *:", re.IGNORECASE)
_MOST = 16 * 1024


def answer(site: Site, request_id: str, *, close: bool, head_only: bool = False) -> bytes:
    """Return the whole response."""
    policy = site.policy
    return b"%bDate: %b\r\n%b%b%b%b\r\n%b" % (
        _HEAD,
        http_date(),
        b"Strict-Transport-Security: %b\r\n" % policy.hsts if policy.hsts else b"",
        b"Via: 1.1 balancer\r\n" if policy.via else b"",
        b"X-Request-Id: %b\r\n" % request_id.encode("ascii") if policy.request_id else b"",
        b"Connection: close\r\n" if close else b"",
        b"" if head_only else _BODY,
    )


def turn_away(channel: HTTPChannel, incoming: Incoming, arrival: Arrival, site: Site) -> None:
    """Answer a request on a connection that goes on; in the usual way where it takes more to be rid of it."""
    began = channel._first_byte
    head = incoming.head
    peer = believed_client(head, arrival, site.policy) if arrival.trusted else arrival.peer
    request_id = site.new_id()
    if head.version == "1.1" and head.keep_alive and incoming.body.ended and head.upgrade is None:
        head_only = head.method == "HEAD"
        close = channel.draining
        channel.transport.write(answer(site, request_id, close=close, head_only=head_only))
        record = _record(site, peer, request_id, head.method, head.target, head_only)
        record.total = site.now() - began
        record.headers = head.headers
        record.host = head.host.decode("latin-1") if head.host is not None else ""
        _observe(site, record)
        if channel._reader.ready:  # its time begins when its turn has come
            channel._first_byte = site.now()
        return
    facts = RequestFacts(head.method, head.target, head.headers, peer, arrival.local, arrival.scheme, head.version)
    request = channel._current = Request(channel, incoming, facts, arrival, site, request_id, began)
    request.fail(ExchangeError(_REASON, DETAIL))


def turned_away_at_once(descriptor: int, client: Any, site: Site) -> bool:
    """Answer a connection that was just accepted, if it is to be turned away and its whole request is there already.

    Nothing is made for it: no transport, no parser. What is not a plain request without a body takes the usual way.
    """
    skt = socket.socket(socket.AF_INET, socket.SOCK_STREAM, 0, descriptor)
    try:
        return _turned_away(skt, client, site)
    finally:
        skt.detach()


def _turned_away(skt: socket.socket, client: Any, site: Site) -> bool:
    try:
        data = skt.recv(_MOST, socket.MSG_PEEK | socket.MSG_DONTWAIT)
    except OSError:
        return False
    match = _WHOLE.match(data)
    if match is None or _BODY_FOLLOWS.search(data) or not site.shedding.sheds(site.listener):
        return False
    request_id = site.new_id()
    head_only = match[1] == b"HEAD"
    try:
        skt.recv(len(data), socket.MSG_DONTWAIT)
        skt.send(answer(site, request_id, close=True, head_only=head_only), socket.MSG_DONTWAIT)
    except OSError:
        pass  # it has gone away; the record is due all the same
    peer = Peer(plain(client[0]), client[1]) if isinstance(client, tuple) else Peer("", 0)  # that of a unix socket
    record = _record(site, peer, request_id, match[1].decode("ascii"), match[2].decode("ascii"), head_only)
    record.version = f"1.{match[3].decode('ascii')}"
    record.total = 0.0
    _observe(site, record)
    return True


def _record(site: Site, peer: Peer, request_id: str, method: str, target: str, head_only: bool) -> ExchangeRecord:
    record = ExchangeRecord()
    record.started = site.wall()
    record.listener = site.listener
    record.client = peer.host
    record.client_port = peer.port
    record.method = method
    record.target = target
    record.status = _REASON.status
    record.reason = _REASON.code
    record.detail = DETAIL
    record.request_id = request_id
    record.bytes_out = 0 if head_only else len(_BODY)
    return record


def _observe(site: Site, record: ExchangeRecord) -> None:
    try:
        site.observe(record)
    except Exception:  # whatever a log format does, the connection must live
        _log.failure("the record of request {request_id} could not be written", request_id=record.request_id)
