"""The end of an exchange as it is written down: what the request knows goes into its record, and the record to its observers."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import DeferredList
from twisted.logger import Logger

from balancer import errors
from balancer.filters.fault import NOTE as FAULT
from balancer.wire.grpc.status import Status, of_response

if TYPE_CHECKING:
    from balancer.listeners.http.client_request import ClientRequest
    from balancer.observe.records import ExchangeRecord

__all__ = ["note", "note_gone"]

_log = Logger()


def note(request: ClientRequest, now: float) -> None:
    """Complete the record of ``request``, which has ended at ``now`` (of the site's clock), and hand it on."""
    record, facts, site = request.record, request.facts, request.site
    total = record.total = now - request.started_at
    record.started = site.wall() - total
    record.listener = site.listener
    peer = facts.peer
    record.client = peer.host
    record.client_port = peer.port
    record.method = facts.method
    record.target = facts.target
    record.version = facts.version
    host = request.host
    record.host = host.decode("latin-1") if host is not None else ""
    record.headers = facts.headers
    record.facts = facts
    record.request_id = request.request_id
    if record.status != 101 and record.websocket is None:
        record.bytes_in = request.body.received
    if record.grpc and record.grpc_status < 0:
        record.grpc_status = of_response(record.status, (), None)
    exchange = request.exchange
    if exchange is not None and exchange.at_end:
        waiting = [each for end in exchange.at_end if (each := _ended(request, end)) is not None]
        if waiting:
            DeferredList(waiting, consumeErrors=True).addCallback(lambda _: _hand_on(request))
            return
    _hand_on(request)


def _ended(request: ClientRequest, end: Callable[[], Any]) -> Any:
    """Tell a filter that all is over; return a Deferred if that is to be waited for."""
    try:
        return end()
    except Exception:
        _log.failure("a filter of {request} failed at its end", request=request)
        return None


def _hand_on(request: ClientRequest) -> None:
    record, exchange = request.record, request.exchange
    if exchange is not None and "log" in exchange.notes:
        record.notes = exchange.notes["log"]
        if FAULT in exchange.notes:
            record.fault = exchange.notes[FAULT].kind
    try:
        request.site.observe(record)
    except Exception:
        # Whatever a log format does, the connection must live.
        _log.failure("the record of {request} could not be written", request=request)


def note_gone(record: ExchangeRecord, responded: bool) -> None:
    """Note that the client went away, after the response had begun or before."""
    record.reason, record.detail = errors.CLIENT_GONE.code, "client went away"
    if not responded:
        record.status = errors.CLIENT_GONE.status
    if record.grpc:
        record.grpc_status = Status.CANCELLED
