"""What a client would get, without any I/O: the balancer's own answers, error pages, and what filters make of a server's answer.

As live (:mod:`balancer.listeners.http.client_request`): the same fields and pages, through the same filters and transforms. Left out is what
is different each time, or of the connection: ``Date``, ``X-Request-Id``, ``Via`` and the body's framing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from balancer.errors import ExchangeError
from balancer.filters.chain import run_responses
from balancer.forwarding.headers import with_hsts
from balancer.listeners.http import replies
from balancer.listeners.http.client_request import NO_BODY
from balancer.listeners.http.site import Site
from balancer.model.exchange import Exchange, Reply
from balancer.model.facts import RequestFacts
from balancer.model.headers import RawHeaders
from balancer.pools.sticky import Sticky
from balancer.service.explanation import Explanation, SampleAnswer
from balancer.wire.grpc.status import is_grpc, of_error, of_reply, trailers
from balancer.wire.http1 import encode
from balancer.wire.http1.responses import ResponseReader

__all__ = ["Answering"]


@dataclass(frozen=True, slots=True)
class _Got:
    status: int
    headers: RawHeaders
    body: bytes

    @property
    def fields(self) -> list[tuple[str, str]]:
        return [
            (name.decode("latin-1"), value.decode("latin-1")) for name, value in self.headers if name.lower() != b"date"
        ]


class Answering:
    """Answers one request.

    Args:
        site: of the listener.
        facts: of the request.
        request_id: its name.
        found: is told what the client gets.

    ``exchange`` is that of the filters, None before there is one; ``is_call`` whether the request is a call of gRPC.
    """

    def __init__(self, site: Site, facts: RequestFacts, request_id: str, found: Explanation) -> None:
        self._site = site
        self._facts = facts
        self._request_id = request_id
        self._found = found
        self.exchange: Exchange | None = None
        self._is_servers = False  # it is a server's answer of which something becomes
        self.is_call = facts.method == "POST" and is_grpc(facts.headers)

    def reply(self, reply: Reply) -> None:
        """Say what one of our own replies comes to."""
        found = self._found
        found.reason = reply.detail or reply.reason
        if reply.cut:
            found.status = reply.status
            return
        accept = self._facts.header("accept") or ""
        if self.is_call and not is_grpc(reply.headers):
            said = trailers(*of_reply(reply.status, reply.detail))
            self._answer(200, replies.of_reply_to_call(reply, said), b"", shown=False)
            return
        headers, body = replies.of_reply(reply, self._request_id, accept)
        self._answer(reply.status, headers, body, shown=reply.body is not None)

    def fail(self, error: ExchangeError) -> None:
        """Say what an error comes to."""
        if not self._is_servers:
            self._found.reason = str(error)
        if self.is_call:
            said = trailers(*of_error(error))
            self._answer(200, replies.of_error_to_call(error, said), b"", shown=False)
            return
        accept = self._facts.header("accept") or ""
        self._answer(error.reason.status, *replies.of_error(error, self._request_id, accept), shown=False)

    def server(self, answer: SampleAnswer, origin: str, sticky: Sticky | None, server: Any) -> None:
        """Say what comes of ``answer`` from ``server``, which is at ``origin``; ``sticky`` keeps clients there.

        Raises:
            ExchangeError: it is no answer of HTTP.
        """
        reader = ResponseReader()
        reader.expect(self.exchange.method if self.exchange is not None else self._facts.method)
        pairs = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in answer.headers]
        body = answer.body.encode()
        length = b"" if answer.status in NO_BODY else b"Content-Length: %d\r\n" % len(body)
        reader.feed(encode.response_head(answer.status, None, pairs, length + b"\r\n"))
        headers = list(reader.head.plain) if reader.head is not None else []
        if sticky is not None:
            headers += sticky.response_headers(self._facts, server)
        if self.exchange is not None:
            self.exchange.origin = origin
        self._is_servers = True
        self._answer(answer.status, headers, body, shown=True)

    def _answer(self, status: int, headers: RawHeaders, body: bytes, *, shown: bool) -> None:
        try:
            got = self._filtered(status, headers, body)
        except ExchangeError as error:  # each filter has its say once, so that this ends
            self.fail(error)
            return
        found = self._found
        text = got.body.decode("utf-8", "replace") if shown or got.body != body else None
        if self._is_servers:
            found.response = {"status": got.status, "headers": [list(pair) for pair in got.fields], "body": text}
            return
        found.status, found.response_headers, found.body = got.status, got.fields, text
        found.location = next((value for name, value in got.fields if name.lower() == "location"), None)

    def _filtered(self, status: int, headers: RawHeaders, body: bytes) -> _Got:
        exchange, transform = self.exchange, None
        if exchange is not None:
            exchange.status, exchange.response_headers = status, list(headers)
            run_responses(exchange)
            status, headers = exchange.status, exchange.response_headers
            transform, exchange.response_transform = exchange.response_transform, None
        if self._site.policy.hsts:
            headers = with_hsts(headers, self._site.policy.hsts)
        if status in NO_BODY or self._facts.method == "HEAD":
            body = b""
        elif transform is not None:
            body = transform.feed(body) + transform.end(None)[0]
        return _Got(status, headers, body)
