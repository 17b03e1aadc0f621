"""Where a request would go, and why: the walk of a request without any I/O.

The same pure pieces as live: the wire reader, the header policy, the filter chain, ``routing.decide`` and the pool's own
selection. ``balancer explain`` prints what this returns, ``balancer test`` compares it with what is expected.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import partial
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

from twisted.internet.defer import Deferred, succeed

from balancer.errors import BalancerError, ExchangeError
from balancer.filters.chain import run_requests, run_responses
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
from balancer.model.address import Peer
from balancer.model.decision import Decision
from balancer.model.exchange import Exchange, Looked, Reply
from balancer.model.facts import RequestFacts
from balancer.model.headers import RawHeaders
from balancer.model.origin import Origin
from balancer.model.target import BadTargetError
from balancer.model.tls import ClientCertificate, TLSInfo
from balancer.routing import explain as routing_explain
from balancer.routing.answer import answer
from balancer.routing.decide import decide
from balancer.service.certificates import certificate_report
from balancer.service.snapshot import Snapshot
from balancer.tls.shelf import Shelf
from balancer.wire.http1 import encode
from balancer.wire.http1.heads import RequestHead
from balancer.wire.http1.requests import RequestReader

__all__ = ["Explanation", "Sample", "explain"]

_OWN_PORTS = {"http": 80, "https": 443}
_EXPLAINED_ID = "00000000-0000-7000-8000-000000000000"


@dataclass(frozen=True, slots=True)
class Sample:
    """A request to explain: ``url`` absolute or a path; headers as text pairs; the certificate that the client shows, if any;
    ``at`` is when it comes, in seconds since 1970, None: now."""

    url: str
    method: str = "GET"
    headers: Sequence[tuple[str, str]] = ()
    client_ip: str = "127.0.0.1"
    body: str | None = None
    listener: str | None = None
    client_certificate: ClientCertificate | None = None
    at: float | None = None


@dataclass(slots=True)
class Explanation:
    """What would become of one request. ``status`` is what the balancer itself would answer, 0 if a server answers; ``body``
    what is in that answer, None where it would be an error page.

    ``certificates`` are those that could be shown, one for each kind of key, with ``name``, ``names``, ``kind``, ``expires`` and ``days``.
    ``terms`` are those of the exchange with a server: ``value``, and ``from`` where it comes (default, pool, route).
    ``split`` says, where pools share the requests, ``because`` of what the pool was taken, the ``shares`` in percent, and in a ``note`` why
    these are not the file's.
    """

    listener: str
    route: str = ""
    action: str = "none"
    pool: str | None = None
    split: dict[str, Any] | None = None
    protocol: str | None = None
    server: str | None = None
    status: int = 0
    reason: str = ""
    location: str | None = None
    upgrade: str | None = None
    captures: Mapping[str, str] = field(default_factory=dict)
    request: dict[str, Any] | None = None
    response_headers: list[tuple[str, str]] = field(default_factory=list)
    body: str | None = None
    filters: list[dict[str, str]] = field(default_factory=list)
    candidates: list[dict[str, Any]] = field(default_factory=list)
    terms: dict[str, dict[str, Any]] = field(default_factory=dict)
    rejected: list[dict[str, str]] = field(default_factory=list)
    certificates: list[dict[str, Any]] = field(default_factory=list)
    sni: str | None = None
    hsts: str | None = None

    def as_json(self) -> dict[str, Any]:
        """Return the explanation as plain values, under the keys of ``balancer explain --json``."""
        return {
            "listener": self.listener,
            "route": self.route or None,
            "action": self.action,
            "pool": self.pool,
            "split": self.split,
            "protocol": self.protocol,
            "server": self.server,
            "status": self.status or None,
            "reason": self.reason or None,
            "location": self.location,
            "response_headers": [list(pair) for pair in self.response_headers],
            "body": self.body,
            "upgrade": self.upgrade,
            "captures": dict(self.captures),
            "request": self.request,
            "filters": self.filters,
            "candidates": self.candidates,
            "terms": self.terms,
            "rejected": self.rejected,
            "sni": self.sni,
            "certificates": self.certificates,
            "hsts": self.hsts,
        }

    @classmethod
    def of_json(cls, found: Mapping[str, Any]) -> Explanation:
        """Return the explanation that :meth:`as_json` made ``found`` of; what it does not know is passed over."""
        names = {each.name for each in fields(cls)}
        return cls(**{name: value for name, value in found.items() if name in names and value is not None})


def explain(snapshot: Snapshot, sample: Sample, draw: Callable[[], float]) -> Explanation:
    """Return where ``sample`` would go.

    Raises:
        BalancerError: if there is no such HTTP listener, or the URL is none.
    """
    name, site = _site(snapshot, sample)
    found = Explanation(name)
    try:
        _Walk(snapshot, site, found, draw).take(sample)
    except ExchangeError as error:
        found.status, found.reason = error.reason.status, str(error)
    except BadTargetError as error:
        found.status, found.reason = 400, str(error)
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
        facts.path  # noqa: B018 - raises BadTargetError
        onward = hop(head) if head.method in SPECIAL else head
        if isinstance(onward, Reply):
            self._replied(onward, Exchange(facts, []))
            return
        head = onward
        target, host = head.target, head.host
        if not target.startswith("/") and target != "*":
            _, authority, path, query = facts.parts
            host, target = authority.encode("latin-1"), f"{path}?{query}" if query else path
        request_id = believed_request_id(head, arrival) or _EXPLAINED_ID
        exchange = Exchange(facts, outgoing(head, host, arrival, policy, request_id))
        exchange.target, exchange.draw = target, self._draw
        if sample.body is not None:
            self._body = facts.body = sample.body.encode()
            exchange.look = partial(_look, self._body)
        else:
            facts.body = b""
        reply = self._run("listener", site.filters, exchange)
        if reply is not None:
            self._replied(reply, exchange)
            return
        decision = decide(site.table, facts, self._draw)
        self._explain_routes(facts, decision)
        found.route, found.action, found.captures = decision.route, decision.action, dict(decision.captures)
        exchange.route, exchange.pool, exchange.captures = decision.route, decision.pool, dict(decision.captures)
        exchange.entry = decision.entry
        split = decision.entry.split if decision.entry is not None else None
        if split is not None:
            found.split = {"because": split.why(facts), "shares": split.shares, "note": split.note}
        entry = decision.entry
        reply = self._run("route", entry.filters, exchange) if entry is not None else None
        if reply is None and decision.action in ("redirect", "respond", "none"):
            reply = answer(decision, facts)
        if reply is not None:
            self._replied(reply, exchange)
            return
        if decision.pool is not None:
            check(head)
            found.upgrade = None if head.upgrade is None else head.upgrade.decode("latin-1")
            leaf = getattr(entry, "leaf", None)
            if isinstance(leaf, AskingResource):
                leaf.ask(facts)
            self._explain_pool(decision.pool, facts)
            if isinstance(entry.leaf, ProxyResource):
                found.terms = entry.leaf.terms(decision.pool).describe()
                shares = entry.leaf.shares(exchange.method, exchange.headers)
                if shares is not None:
                    found.terms["coalesce"] = {"value": shares, "from": "route"}
        found.request = self._as_sent(exchange, head)

    def _as_sent(self, exchange: Exchange, head: RequestHead) -> dict[str, Any]:
        method, target, headers, version = exchange.method, exchange.target, list(exchange.headers), "1.1"
        body = self._body if exchange.body is None else exchange.body
        transform, chunked = exchange.request_transform, False
        if transform is not None and exchange.body is None and body is not None:
            body, chunked = transform.feed(body) + transform.end(None)[0], exchange.changes_request
        length = None if body is None or chunked else len(body)
        if self._found.protocol == "h2" and is_asked(head):
            method, version, headers = "CONNECT", "2", asking_fields(b"http", target, headers)
        elif self._found.protocol == "h2":
            version, headers = "2", outgoing_fields(method, b"http", target, headers, length)
        else:
            headers = with_framing(headers, head, length=length, chunked=chunked)
        fields = [[name.decode("latin-1"), value.decode("latin-1")] for name, value in headers]
        sent: dict[str, Any] = {"method": method, "target": target, "version": version, "headers": fields}
        if body is not None and body != self._body:
            sent["body"] = body.decode("utf-8", "replace")
        return sent

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
        before = len(exchange.ran)
        if self._body is not None and exchange.body is None and any(each.body_limit for each in filters):
            exchange.body = self._body
        outcome = run_requests(filters, exchange)
        for each in exchange.ran[before:]:
            self._found.filters.append({"at": place, "filter": _filter_name(each), "does": each.describe(exchange)})
        if isinstance(outcome, Deferred):
            outcome.addErrback(lambda _: None)
            outcome.cancel()
            self._found.filters.append(
                {"at": place, "filter": "", "does": "asks for time: what follows is without its effect"}
            )
            return None
        return outcome

    def _replied(self, reply: Reply, exchange: Exchange) -> None:
        found = self._found
        exchange.status, exchange.response_headers = reply.status, list(reply.headers)
        run_responses(exchange)
        found.status, found.reason = exchange.status, reply.detail or reply.reason
        found.body = None if reply.body is None else reply.body.decode("utf-8", "replace")
        found.response_headers = [
            (name.decode("latin-1"), value.decode("latin-1")) for name, value in exchange.response_headers
        ]
        found.location = next((value for name, value in found.response_headers if name.lower() == "location"), None)

    def _explain_routes(self, facts: RequestFacts, decision: Decision) -> None:
        for candidate in routing_explain.candidates(self._site.table, facts):
            if candidate.route is decision.entry:
                continue
            failed = candidate.failed or "matches too, but a more specific route goes first"
            self._found.rejected.append({"route": candidate.route.name, "because": failed})

    def _explain_pool(self, name: str, facts: RequestFacts) -> None:
        found, pool = self._found, self._snapshot.pools[name]
        found.pool, found.protocol = name, self._snapshot.config.pools[name].spoken
        for server, eligible, why in pool.explain(facts, self._draw):
            found.candidates.append(
                {"server": server.name, "address": str(server.address), "eligible": eligible, "because": why}
            )
            if eligible and found.server is None:
                found.server = server.name


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
