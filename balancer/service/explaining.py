"""Where a request would go, and why: the walk of a request without any I/O.

The same pure pieces as live: the wire reader, the header policy, the filter chain, ``routing.decide`` and the pool's own
selection. ``balancer explain`` prints what this returns, ``balancer test`` compares it with what is expected.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

from twisted.internet.defer import Deferred, succeed

from balancer import errors
from balancer.errors import BalancerError, ExchangeError
from balancer.filters.chain import run_requests
from balancer.forwarding.headers import (
    Arrival,
    believed_client,
    believed_request_id,
    believed_scheme,
    facts_of,
    outgoing,
    with_framing,
)
from balancer.forwarding.hops import SPECIAL, hop
from balancer.forwarding.http2.heads import asking_fields, outgoing_fields
from balancer.forwarding.http2.stream_end import is_asked
from balancer.forwarding.proxy import AskingResource, ProxyResource
from balancer.forwarding.upgrades import check
from balancer.hooks.interfaces import IFilter
from balancer.listeners.http.site import Site
from balancer.listeners.http.walk import in_origin_form, proof_of
from balancer.model.address import Peer
from balancer.model.decision import Decision
from balancer.model.exchange import Exchange, Looked, Reply
from balancer.model.facts import RequestFacts
from balancer.model.headers import RawHeaders, without
from balancer.model.origin import Origin
from balancer.model.target import BadTargetError
from balancer.model.tls import TLSInfo
from balancer.pools.guarded import GuardedPool
from balancer.routing import explain as routing_explain
from balancer.routing.answer import answer
from balancer.routing.decide import decide
from balancer.service.certificates import certificate_report
from balancer.service.explaining_answers import Answering
from balancer.service.explanation import Explanation, Sample, SampleAnswer
from balancer.service.snapshot import Snapshot
from balancer.tls.shelf import Shelf
from balancer.wire.grpc.status import is_grpc
from balancer.wire.http1 import encode
from balancer.wire.http1.heads import RequestHead
from balancer.wire.http1.requests import RequestReader

__all__ = ["EXPLAINED_ID", "Explanation", "Sample", "SampleAnswer", "explain"]

_OWN_PORTS = {"http": 80, "https": 443}
EXPLAINED_ID = "00000000-0000-7000-8000-000000000000"
"""Stands for the request's name, which is another each time."""


def explain(snapshot: Snapshot, sample: Sample, draw: Callable[[], float]) -> Explanation:
    """Return where ``sample`` would go.

    Raises:
        BalancerError: if there is no such HTTP listener, or the URL is none.
    """
    name, site = _site(snapshot, sample)
    found = Explanation(name)
    try:
        _Walk(snapshot, site, found, draw).take(sample)
    except ExchangeError as error:  # of a head that is no request
        found.status, found.reason = error.reason.status, str(error)
    return found


def _site(snapshot: Snapshot, sample: Sample) -> tuple[str, Site]:
    sites = {name: settings for name, settings in snapshot.listeners.items() if isinstance(settings, Site)}
    if sample.listener is not None:
        if sample.listener not in sites:
            known = ", ".join(sites) or "none"
            raise BalancerError(f"there is no HTTP listener {sample.listener!r}; HTTP listeners: {known}")
        return sample.listener, sites[sample.listener]
    if not sites:
        raise BalancerError("the configuration has no HTTP listener to explain a request for")
    if "://" not in sample.url:
        return next(iter(sites.items()))
    parts = urlsplit(sample.url)
    port = parts.port or _OWN_PORTS.get(parts.scheme.lower())
    for name in sites:
        if port in _ports(snapshot, name):
            return name, sites[name]
    encrypted = parts.scheme.lower() == "https"
    for name in sites:
        if (name in snapshot.shelves) == encrypted:
            return name, sites[name]
    return next(iter(sites.items()))


def _ports(snapshot: Snapshot, name: str) -> list[int]:
    ports = []
    for bind in snapshot.config.listeners[name].bind:
        _, _, port = str(bind).rpartition(":")
        if port.isdigit():
            ports.append(int(port))
    return ports


class _Walk:
    def __init__(self, snapshot: Snapshot, site: Site, found: Explanation, draw: Callable[[], float]) -> None:
        self._snapshot = snapshot
        self._site = site
        self._found = found
        self._draw = draw
        self._body: bytes | None = None

    def take(self, sample: Sample) -> None:
        found, site, policy = self._found, self._site, self._site.policy
        scheme, head = _head(sample, site)
        ip_address(sample.client_ip)  # raises ValueError
        shelf = self._snapshot.shelves.get(found.listener)
        tls = None
        if shelf is not None and ("://" not in sample.url or scheme == "https"):
            scheme = "https"
            tls = self._handshake(shelf, sample, head)
            if tls is None:
                return
        peer = Peer(sample.client_ip, 0)
        local = Peer("127.0.0.1", (_ports(self._snapshot, found.listener) or [0])[0])
        arrival = Arrival(Origin(peer, local, tls, scheme=scheme), policy)
        facts = facts_of(head, arrival, believed_client(head, arrival, policy), believed_scheme(head, arrival))
        facts.at = sample.at
        request_id = believed_request_id(head, arrival) or EXPLAINED_ID
        client = self._client = Answering(site, facts, request_id, found)
        try:
            self._begin(head, arrival, facts, request_id, sample)
        except BadTargetError as error:
            client.fail(ExchangeError(errors.HTTP_REQUEST_ERROR, str(error)))
        except ExchangeError as error:
            client.fail(error)

    def _begin(self, head: RequestHead, arrival: Arrival, facts: RequestFacts, request_id: str, sample: Sample) -> None:
        """As :func:`balancer.listeners.http.walk.begin`."""
        site, client = self._site, self._client
        onward = hop(head) if head.method in SPECIAL else head
        if isinstance(onward, Reply):
            client.reply(onward)
            return
        head = onward
        if site.body_size is not None and (head.content_length or 0) > site.body_size:
            raise ExchangeError(errors.HTTP_BODY_TOO_LARGE)
        target, host = (head.target, head.host) if head.target.startswith("/") else in_origin_form(head, facts)
        proof = proof_of(site.proofs, facts.path)  # the path raises BadTargetError
        if proof is not None:
            client.reply(proof)
            return
        exchange = Exchange(facts, outgoing(head, host, arrival, site.policy, request_id))
        exchange.target, exchange.draw, exchange.wait = target, self._draw, lambda _: succeed(None)
        if site.debugging is not None:
            exchange.headers[:] = without(exchange.headers, (site.debugging.asked,))
        client.exchange = exchange
        self._body = None if sample.body is None else sample.body.encode()
        facts.body = self._body or b""
        if self._body is not None:
            exchange.look = partial(_look, self._body)
        reply = self._run("listener", site.filters, exchange)
        if reply is not None:
            client.reply(reply)
        else:
            self._route(head, exchange, sample)

    def _route(self, head: RequestHead, exchange: Exchange, sample: Sample) -> None:
        found, facts, client = self._found, exchange.facts, self._client
        decision = decide(self._site.table, facts, self._draw)
        self._explain_routes(facts, decision)
        found.route, found.action, found.captures = decision.route, decision.action, dict(decision.captures)
        entry = decision.entry
        if entry is None:
            raise ExchangeError(errors.DESTINATION_NOT_FOUND)
        exchange.route, exchange.pool, exchange.captures = decision.route, decision.pool, dict(decision.captures)
        exchange.entry = entry
        if entry.split is not None:
            split = entry.split
            found.split = {"because": split.why(facts), "shares": split.shares, "note": split.note}
        reply = self._run("route", entry.filters, exchange)
        if reply is None and decision.action in ("redirect", "respond"):
            reply = answer(decision, facts)
        if reply is not None:
            client.reply(reply)
        elif decision.pool is not None:
            self._forward(head, decision.pool, entry.leaf, exchange, sample)
        else:
            found.request = self._as_sent(exchange, head, *self._sent_body(exchange))

    def _forward(self, head: RequestHead, name: str, leaf: Any, exchange: Exchange, sample: Sample) -> None:
        """As :class:`~balancer.forwarding.proxy.ProxyResource` and what it makes."""
        found, facts = self._found, exchange.facts
        check(head)
        found.upgrade = None if head.upgrade is None else head.upgrade.decode("latin-1")
        if isinstance(leaf, AskingResource):
            leaf.ask(facts)
        pool = self._snapshot.pools[name]
        found.pool, found.protocol = name, self._snapshot.config.pools[name].spoken
        server = None
        for each, eligible, why in pool.explain(facts, self._draw):
            found.candidates.append(
                {"server": each.name, "address": str(each.address), "eligible": eligible, "because": why}
            )
            if eligible and server is None:
                server, found.server = each, each.name
        if isinstance(leaf, ProxyResource):
            found.terms = leaf.terms(name).describe()
            if isinstance(pool, GuardedPool) and pool.subsets is not None and (subset := pool.subsets.asked(facts)):
                found.terms["subset"] = {"value": subset, "from": "pool"}
            if isinstance(leaf, AskingResource):
                found.terms |= {name: {"value": value, "from": "route"} for name, value in leaf.asks().items()}
            shares = leaf.shares(exchange.method, exchange.headers)
            if shares is not None:
                found.terms["coalesce"] = {"value": shares, "from": "route"}
        fate, sent = pool.fate(facts, server), self._body
        if fate is None:
            try:
                sent, _ = body = self._sent_body(exchange)
                found.request = self._as_sent(exchange, head, *body)
            except ExchangeError as error:
                fate = None if server is None else error  # of one that waits, nobody has looked at it yet
        else:
            found.server = None
        if isinstance(leaf, ProxyResource):
            taken = fate is None or exchange.body is not None or not self._body
            found.copies = [self._copy(*copy, facts, taken) for copy in leaf.copies(exchange, head, sent)]
        if fate is not None:
            raise fate
        if sample.answer is not None and server is not None:
            origin = f"{'http' if server.encryption is None else 'https'}://{server.address}"
            self._client.server(sample.answer, origin, pool.sticky, server)

    def _copy(self, name: str, why: str, facts: RequestFacts, taken: bool) -> dict[str, Any]:
        """Return what becomes of a copy for the pool ``name`` that is made, or not because of ``why``; ``taken``: the request's body is."""
        pool = self._snapshot.pools[name]
        if not why and not taken:
            why = "the request's body is not taken"
        if not why and not any(eligible for _, eligible, _ in pool.explain(facts, self._draw)):
            fate = pool.fate(facts, None)
            why = "it waits for a server" if fate is None else str(fate)
        return {"pool": name, "sent": not why, "because": why}

    def _as_sent(self, exchange: Exchange, head: RequestHead, body: bytes | None, chunked: bool) -> dict[str, Any]:
        method, target, headers, version = exchange.method, exchange.target, list(exchange.headers), "1.1"
        length = None if body is None or chunked else len(body)
        found = self._found
        secure = found.pool is not None and self._snapshot.config.pools[found.pool].tls is not None
        scheme = b"https" if secure else b"http"
        if found.protocol == "h2" and is_asked(head):
            method, version, headers = "CONNECT", "2", asking_fields(scheme, target, headers)
        elif found.protocol == "h2":
            version, headers = "2", outgoing_fields(method, scheme, target, headers, length)
        else:
            headers = with_framing(headers, head, length=length, chunked=chunked)
        fields = [[name.decode("latin-1"), value.decode("latin-1")] for name, value in headers]
        sent: dict[str, Any] = {"method": method, "target": target, "version": version, "headers": fields}
        if body is not None and body != self._body:
            sent["body"] = body.decode("utf-8", "replace")
        return sent

    def _sent_body(self, exchange: Exchange) -> tuple[bytes | None, bool]:
        """Return the body as filters leave it, and whether nobody knows its length; raises ExchangeError where they refuse it."""
        transform = exchange.request_transform
        if exchange.body is not None or transform is None:
            return self._body if exchange.body is None else exchange.body, False
        body = b"" if self._body is None else transform.feed(self._body)
        body += transform.end(None)[0]
        return (None, False) if self._body is None and not body else (body, exchange.changes_request)

    def _handshake(self, shelf: Shelf, sample: Sample, head: RequestHead) -> TLSInfo | None:
        """Return what a handshake for the sample would come to; None where it would be refused."""
        found = self._found
        host = RequestFacts(head.method, head.target, head.headers, Peer("", 0), Peer("", 0)).host
        sni = found.sni = "" if _is_address(host) else host
        shown = {identity.fingerprint for identity in shelf.choice.of(sni)}
        found.certificates = [
            report
            for report, identity in zip(certificate_report(shelf, time.time()), shelf.choice.identities, strict=True)
            if identity.fingerprint in shown
        ]
        settings = getattr(self._snapshot.config.listeners[found.listener], "tls", None)
        auth = settings.client_auth if settings is not None else None
        if not shown:
            found.reason = (
                f"the handshake is refused: no certificate is for {sni or 'a client that names no host'} (strict_sni)"
            )
            return None
        if auth is not None and auth.mode == "require" and sample.client_certificate is None:
            found.reason = "the handshake is refused: the client has to show a certificate (client_auth)"
            return None
        found.hsts = self._site.policy.hsts.decode("ascii") or None
        client = sample.client_certificate if auth is not None else None
        return TLSInfo("TLSv1.3", "TLS_AES_256_GCM_SHA384", sni, "http/1.1", client=client)

    def _run(self, place: str, filters: Sequence[IFilter], exchange: Exchange) -> Reply | None:
        """Run the request's part of ``filters``, with the body where one of them wants it; raises ExchangeError for one that is too long."""
        before, body = len(exchange.ran), self._body
        limit = max([each.body_limit for each in filters], default=0)
        if limit and body and exchange.body is None:
            if len(body) > limit:
                raise ExchangeError(errors.HTTP_BODY_TOO_LARGE)
            exchange.body, _ = self._sent_body(exchange)
            exchange.facts.body, exchange.request_transform = exchange.body, None
        outcome: Any = run_requests(filters, exchange)
        if isinstance(outcome, Deferred) and outcome.called:
            outcome = outcome.result  # of a filter that would only have waited
        for each in exchange.ran[before:]:
            self._found.filters.append({"at": place, "filter": _filter_name(each), "does": each.describe(exchange)})
        if exchange.method == "POST" and is_grpc(exchange.headers):
            self._client.is_call = True
        if isinstance(outcome, Deferred):
            outcome.addErrback(lambda _: None)
            outcome.cancel()
            self._found.filters.append(
                {"at": place, "filter": "", "does": "asks for time: what follows is without its effect"}
            )
            return None
        reply: Reply | None = outcome
        return reply

    def _explain_routes(self, facts: RequestFacts, decision: Decision) -> None:
        for candidate in routing_explain.candidates(self._site.table, facts):
            if candidate.route is decision.entry:
                continue
            failed = candidate.failed or "matches too, but a more specific route goes first"
            self._found.rejected.append({"route": candidate.route.name, "because": failed})


def _look(body: bytes, limit: int) -> Deferred[Looked]:
    return succeed(Looked(body[:limit], len(body) <= limit))


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def _filter_name(each: IFilter) -> str:
    return str(getattr(each, "name", "") or type(each).__name__)


def _head(sample: Sample, site: Site) -> tuple[str, RequestHead]:
    """Read the sample as the wire would: what a listener refuses is refused here."""
    url = sample.url
    scheme, netloc, target = "http", "localhost", url
    if "://" in url:
        parts = urlsplit(url)
        scheme, netloc = parts.scheme.lower(), parts.netloc
        if scheme not in ("http", "https") or not netloc:
            raise BalancerError(f"expected an http or https URL, or a path, got {url!r}")
        target = url[len(parts.scheme) + 3 + len(netloc) :] or "/"
        if not target.startswith("/"):
            target = "/" + target
    target = target.partition("#")[0]
    headers: RawHeaders = []
    if not any(name.lower() == "host" for name, _ in sample.headers):
        headers.append((b"Host", netloc.encode("idna" if not netloc.isascii() else "ascii")))
    headers += [(name.encode("latin-1"), value.encode("latin-1")) for name, value in sample.headers]
    if sample.body is not None:
        headers.append((b"Content-Length", b"%d" % len(sample.body.encode())))
    reader = RequestReader(site.limits)
    reader.feed(encode.request_head(sample.method, target, headers))
    if not reader.ready:
        raise BalancerError("the request is not complete: a header holds a line break?")
    return scheme, reader.ready[0].head
