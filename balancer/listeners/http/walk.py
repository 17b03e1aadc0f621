"""The walk of one request: listener filters, the decision, route filters, the leaf of the resource tree.

On the plain path, without filters, this is a handful of calls; a filter that needs time or the body makes the walk
wait and go on in :class:`_Paused`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, cast

from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.iweb import IRequest

from balancer import errors
from balancer.errors import ExchangeError
from balancer.filters.chain import run_requests
from balancer.filters.redirect_https import CHALLENGES
from balancer.filters.trace import NOTE, Debugging, Trace
from balancer.forwarding.hops import SPECIAL, hop
from balancer.hooks.interfaces import IFilter
from balancer.listeners.http.looking import Look, look
from balancer.model.decision import Decision
from balancer.model.exchange import Exchange, Reply
from balancer.model.facts import BodyNeededError, RequestFacts
from balancer.model.target import BadTargetError
from balancer.routing.answer import answer
from balancer.routing.decide import decide
from balancer.routing.explain import candidates
from balancer.wire.grpc.status import is_grpc
from balancer.wire.http1.heads import RequestHead, is_host

if TYPE_CHECKING:
    from balancer.listeners.http.client_request import ClientRequest
    from balancer.listeners.http.rendering import RenderedRequest

__all__ = ["begin", "in_origin_form", "proof_of"]

_log = Logger()


def begin(request: ClientRequest) -> None:
    """Serve ``request``; raises ExchangeError for what is refused before anything began."""
    head, site, facts = request.head, request.site, request.facts
    if head.method == "POST" and is_grpc(head.headers):
        request.record.grpc = True
    if head.method in SPECIAL:
        if head.method == "CONNECT":
            request.be_the_last()  # what follows may be meant for the tunnel that does not come
        onward = hop(head)
        if isinstance(onward, Reply):
            request.answer(onward)
            return
        head = request.head = onward
    if site.body_size is not None and max(head.content_length or 0, request.body.received) > site.body_size:
        raise ExchangeError(errors.HTTP_BODY_TOO_LARGE)
    try:
        if not head.target.startswith("/"):
            request.target, request.host = in_origin_form(head, facts)
        if site.filters or site.proofs or site.debugging is not None:
            facts.path  # noqa: B018 - raises BadTargetError before anybody has acted; the decision does as well
            if site.debugging is not None:
                _trace(request, site.debugging)
            if site.proofs and (proof := proof_of(site.proofs, facts.path)) is not None:
                request.answer(proof)
                return
            if site.filters:
                _through(request, site.filters, _route)
                return
        _route(request)
    except BadTargetError as error:
        raise ExchangeError(errors.HTTP_REQUEST_ERROR, str(error)) from None


def proof_of(proofs: Mapping[str, str], path: str) -> Reply | None:
    """Return what an authority asks for, which is about to issue a certificate (RFC 8555 section 8.3); None for everything else."""
    proof = proofs.get(path.removeprefix(CHALLENGES)) if path.startswith(CHALLENGES) else None
    if proof is None:
        return None
    return Reply(200, ((b"Content-Type", b"application/octet-stream"),), proof.encode("ascii"))


def in_origin_form(head: RequestHead, facts: RequestFacts) -> tuple[str, bytes | None]:
    """Return the origin form of an absolute-form target, and its authority for ``Host`` (RFC 9112 section 3.2.2); ``*`` stays.

    Raises:
        BadTargetError: it is neither, or of no host.
    """
    if head.target == "*":
        if head.method != "OPTIONS":
            raise BadTargetError("'*' is for OPTIONS only")
        return "*", head.host
    scheme, authority, path, query = facts.parts
    host = authority.encode("latin-1")
    if not is_host(host):
        raise BadTargetError("the host of an absolute target")
    if head.method == "OPTIONS" and len(head.target) == len(scheme) + 3 + len(authority):
        return "*", host  # of a proxy, that is how the server as a whole is asked (RFC 9112 section 3.2.4)
    return f"{path}?{query}" if query else path, host


def _route(request: ClientRequest) -> None:
    site, record = request.site, request.record
    try:
        decision = request.decision = decide(site.table, request.facts, site.draw)
    except BodyNeededError as needed:
        _look_at_body(request, needed.limit)
        return
    record.route = decision.route
    entry = decision.entry
    exchange = request.exchange
    if exchange is not None and NOTE in exchange.notes:
        _note_decision(request, decision, exchange.notes[NOTE])
    if entry is None:
        raise ExchangeError(errors.DESTINATION_NOT_FOUND)
    if exchange is not None:
        exchange.route, exchange.pool, exchange.entry = decision.route, decision.pool, decision.entry
        exchange.captures = dict(decision.captures)
    if entry.filters:
        _through(request, entry.filters, _serve)
    elif entry.leaf is None or decision.action == "resource":
        _serve(request)
    else:
        entry.leaf.render(request)


def _look_at_body(request: ClientRequest, limit: int) -> None:
    """Decide again once the body is here, or more than ``limit`` bytes of it; in either case it is still to be forwarded."""
    body, facts = request.body, request.facts
    if body.ended and not body.received:
        facts.body = b""
        _route(request)
    elif (body.length or 0) > limit:
        facts.body_over = (body.length or 0) - 1
        _route(request)
    else:
        _Looked(request, limit)


def _serve(request: ClientRequest) -> None:
    decision = request.decision
    assert decision is not None
    leaf = decision.entry.leaf
    if leaf is None:
        request.answer(answer(decision, request.facts))
    elif decision.action == "resource":
        cast("RenderedRequest", IRequest(request)).serve(leaf)
    else:
        leaf.render(request)


# Filters.


def _through(request: ClientRequest, filters: tuple[IFilter, ...], then: Callable[[ClientRequest], None]) -> None:
    """Run ``filters``, waiting for the body first if one of them needs it, and go on with ``then``."""
    exchange = request.exchange
    if exchange is None:
        exchange = _exchange(request)
    elif NOTE in exchange.notes:
        filters = exchange.notes[NOTE].timed(filters)
    limit = max([each.body_limit for each in filters])
    if limit and exchange.body is None and not (request.body.ended and not request.body.received):

        def collected(body: bytes) -> None:
            assert exchange is not None
            exchange.request_transform = None  # it has done its work
            exchange.body = request.facts.body = body
            _run(request, filters, then)

        _Collected(request, limit, collected)
    else:
        _run(request, filters, then)


def _exchange(request: ClientRequest) -> Exchange:
    """Make what filters look at and change."""
    headers = request.outgoing_headers()
    exchange = request.exchange = Exchange(request.facts, headers)
    exchange.target = request.target
    exchange.draw, exchange.wait = request.site.draw, request.site.wait
    if request.body.received or not request.body.ended:
        exchange.look = partial(look, request)
    decision = request.decision
    if decision is not None:
        exchange.route, exchange.pool, exchange.entry = decision.route, decision.pool, decision.entry
        exchange.captures = dict(decision.captures)
    return exchange


def _trace(request: ClientRequest, debugging: Debugging) -> None:
    """Have the response say what was decided, if the request may ask for that; no server sees that it asked."""
    facts, site = request.facts, request.site
    asked = facts.header(debugging.asked.decode("ascii"))
    if asked is None:
        return
    exchange = _exchange(request)
    exchange.headers[:] = [pair for pair in exchange.headers if pair[0].lower() != debugging.asked]
    if debugging.allows(asked, facts.host, site.wall()):
        request.record.request_id = request.request_id
        trace = Trace(debugging.told, request.record, request.started_at, site.now)
        exchange.notes[NOTE] = trace
        exchange.ran.append(trace)


def _note_decision(request: ClientRequest, decision: Decision, trace: Trace) -> None:
    others = [
        (each.route.name, each.failed or "matches too, but a more specific route goes first")
        for each in candidates(request.site.table, request.facts)
        if each.route is not decision.entry
    ]
    trace.decided(request.site.listener, decision.route, decision.action, decision.pool, others)
    split = decision.entry.split if decision.entry is not None else None
    if split is not None:
        trace.side(split.why(request.facts), split.note)


def _run(request: ClientRequest, filters: tuple[IFilter, ...], then: Callable[[ClientRequest], None]) -> None:
    assert request.exchange is not None
    outcome = run_requests(filters, request.exchange)
    if isinstance(outcome, Deferred):
        _Paused(request, outcome, then)
    else:
        _after(request, outcome, then)


def _after(request: ClientRequest, reply: Reply | None, then: Callable[[ClientRequest], None]) -> None:
    exchange = request.exchange
    assert exchange is not None
    if not request.record.grpc and exchange.method == "POST" and is_grpc(exchange.headers):
        request.record.grpc = True  # a filter has made a call of it
    if reply is not None:
        request.answer(reply)
    else:
        then(request)


def _guarded(request: ClientRequest, call: Callable[[], None]) -> None:
    """Run a later part of the walk, outside the channel's own call."""
    try:
        call()
    except ExchangeError as error:
        request.fail(error)
    except BadTargetError as error:
        request.fail(ExchangeError(errors.HTTP_REQUEST_ERROR, str(error)))
    except Exception:
        _log.failure("serving {request} failed", request=request)
        request.fail(ExchangeError(errors.PROXY_INTERNAL_ERROR))


class _Paused:
    """A walk that waits for a filter; the client may go away meanwhile."""

    def __init__(
        self, request: ClientRequest, outcome: Deferred[Reply | None], then: Callable[[ClientRequest], None]
    ) -> None:
        self._request = request
        self._then = then
        self._outcome: Deferred[Reply | None] | None = outcome
        self.look = request.consumer if isinstance(request.consumer, Look) else None
        request.consumer = self
        outcome.addCallbacks(self._done, self._failed)

    def body_came(self) -> None:
        """The body waits in the request, past a limit the channel pauses the client; unless the filter looks at it."""
        if self.look is not None:
            self.look.body_came()

    def client_went(self) -> None:
        """Nobody waits for the filter any more."""
        outcome, self._outcome = self._outcome, None
        if outcome is not None:
            outcome.cancel()

    def _done(self, reply: Reply | None) -> None:
        if self._outcome is None:
            return
        self._outcome = None
        self._request.consumer = None
        _guarded(self._request, lambda: _after(self._request, reply, self._then))

    def _failed(self, failure: Failure) -> None:
        if self._outcome is None or failure.check(CancelledError):
            return
        self._outcome = None
        self._request.consumer = None
        _log.failure("a filter of {request} failed", failure=failure, request=self._request)
        self._request.fail(ExchangeError(errors.PROXY_INTERNAL_ERROR, "a filter failed"))


class _Looked:
    """Waits until the whole body is here, or more of it than ``limit``; leaves all of it there, and has the request routed."""

    def __init__(self, request: ClientRequest, limit: int) -> None:
        self._request = request
        self._limit = limit
        self._pieces: list[bytes] = []
        request.consumer = self
        request.invite_body()
        if request.body.pending or request.body.ended:
            self.body_came()

    def body_came(self) -> None:
        """More of the body, or its end."""
        request = self._request
        body, facts = request.body, request.facts
        self._pieces += body.take()
        if body.received > self._limit:
            facts.body_over = body.received - 1
        elif body.ended:
            facts.body = b"".join(self._pieces)
        else:
            return
        request.consumer = None
        body.put_back(self._pieces)
        _guarded(request, lambda: _route(request))

    def client_went(self) -> None:
        """Nothing was begun."""


class _Collected:
    """Waits until the whole body is here, at most ``limit`` bytes, then goes on with it."""

    def __init__(self, request: ClientRequest, limit: int, then: Callable[[bytes], None]) -> None:
        self._request = request
        self._limit = limit
        self._then = then
        self._pieces: list[bytes] = []
        if (request.body.length or 0) > limit:
            raise ExchangeError(errors.HTTP_BODY_TOO_LARGE)
        request.consumer = self
        request.invite_body()
        if request.body.pending or request.body.ended:
            self.body_came()

    def body_came(self) -> None:
        """More of the body, or its end."""
        request = self._request
        self._pieces += request.take_body()
        if request.body.received > self._limit:
            request.consumer = None
            request.fail(ExchangeError(errors.HTTP_BODY_TOO_LARGE))
        elif request.body.ended:
            request.consumer = None
            _guarded(request, lambda: self._then(b"".join(self._pieces)))

    def client_went(self) -> None:
        """Nothing was begun."""
