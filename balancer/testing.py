"""The kit for testing plug-ins without sockets.

Everything goes through the same doors as in the service: settings are validated, objects verified and guarded, requests
walk the real routes. A plug-in's module is handed over as it is; it need not be installed::

    import balancer_example
    from balancer import testing

    primary = testing.make(balancer_example, "algorithms", "primary")
    servers = testing.servers(a=1, b=1)
    assert testing.shares(primary, servers, 100) == {"a": 1.0, "b": 0.0}

    balancer = testing.Configured(TEXT, balancer_example)
    assert balancer.ask("/admin", client_ip="192.0.2.1").status == 403
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any, Literal

from pydantic import ValidationError
from twisted.internet.defer import Deferred
from zope.interface import implementer

from balancer.config.loading import load_text
from balancer.hooks.accounting import Account
from balancer.hooks.interfaces import Choice, IServer
from balancer.hooks.loading import offers_of
from balancer.hooks.plugged import plugged_settings
from balancer.hooks.registry import Package, Registry
from balancer.model.address import Peer
from balancer.model.exchange import Exchange
from balancer.model.facts import RequestFacts, SessionFacts
from balancer.model.inspection.subject import Subject
from balancer.model.inspection.terms import PHASES, Phase
from balancer.model.verdict import Finding, Verdict
from balancer.service.build import built, registry_for
from balancer.service.explaining import Explanation, Sample, explain

__all__ = [
    "Configured",
    "Server",
    "account_of",
    "body_after",
    "choice",
    "exchange",
    "facts",
    "inspect",
    "make",
    "moved",
    "registry",
    "servers",
    "session",
    "shares",
    "subject",
]

Headers = Mapping[str, str] | Iterable[tuple[str, str]]


def registry(*modules: ModuleType) -> Registry:
    """Return a registry of everything built in and what ``modules`` offer; installed packages are left out.

    Raises:
        PluginError: as the loader would report it for a package with such a module.
    """
    found = registry_for(installed=False)
    for module in modules:
        found.add(Package(module.__name__), offers_of(module.__name__, module))
    return found


def make(module: ModuleType | None, kind: str, name: str, settings: Any = None, *, clock: Any = None) -> Any:
    """Return what the factory ``name`` of ``module`` makes, verified and guarded as in the service.

    Args:
        module: the plug-in; None for what is built in.
        kind: ``algorithms``, ``matchers``, ``filters``, ``checks``, ``probes``, ``resources``, ``access_log_formats``.
        name: as in the configuration.
        settings: what stands after the name in the configuration: a mapping, a bare value, or None for nothing.
        clock: ``twisted.internet.task.Clock`` that bounds Deferreds, where the test wants one.

    Raises:
        PluginError: the module or the object breaks the contract.
        ValueError: the settings are not valid; the text is pydantic's.
    """
    found = registry() if module is None else registry(module)
    found.clock = clock
    try:
        (plugged,) = plugged_settings({name: settings}, found.factories(kind), {"registry": found})
    except ValidationError as error:
        raise ValueError(str(error)) from error
    return found.build(kind, name, plugged.settings)


def account_of(made: Any) -> Account:
    """Return the account of an object that :func:`make` returned: how many calls failed, and what was last wrong."""
    account: Account = made._account
    return account


def facts(
    url: str = "/",
    method: str = "GET",
    headers: Headers = (),
    *,
    client_ip: str = "192.0.2.1",
    body: bytes | None = None,
    version: str = "1.1",
) -> RequestFacts:
    """Return a request as matchers and keys see it; ``url`` is a path with query, or absolute."""
    pairs = _pairs(headers)
    if "://" in url:
        scheme, _, rest = url.partition("://")
        host, slash, path = rest.partition("/")
        url = slash + path or "/"
    else:
        scheme, host = "http", "localhost"
    if not any(name.lower() == b"host" for name, _ in pairs):
        pairs.insert(0, (b"Host", host.encode()))
    client = Peer(client_ip, 40000)
    return RequestFacts(method, url, pairs, client, Peer("192.0.2.254", 80), scheme, version, body)


def session(client_ip: str = "192.0.2.1", client_port: int = 40000, local_port: int = 5432) -> SessionFacts:
    """Return an L4 session as keys see it."""
    return SessionFacts(Peer(client_ip, client_port), Peer("192.0.2.254", local_port))


def exchange(
    url: str = "/",
    method: str = "GET",
    headers: Headers = (),
    *,
    client_ip: str = "192.0.2.1",
    body: bytes | None = None,
    route: str = "",
    captures: Mapping[str, str] | None = None,
    status: int = 0,
    response_headers: Headers = (),
) -> Exchange:
    """Return an exchange as filters and checks see it; ``status`` and ``response_headers`` for their response part."""
    found = facts(url, method, headers, client_ip=client_ip, body=body)
    made = Exchange(found, list(found.headers), route)
    made.body = body
    made.captures = dict(captures or {})
    made.status = status
    made.response_headers = _pairs(response_headers)
    return made


def subject(
    url: str = "/",
    method: str = "GET",
    headers: Headers = (),
    *,
    client_ip: str = "192.0.2.1",
    body: bytes = b"",
    body_whole: bool = True,
    route: str = "",
    status: int = 0,
    response_headers: Headers = (),
    response_body: bytes = b"",
) -> Subject:
    """Return what WAF checks look at: a request, and with a ``status`` the response to it."""
    made = Subject(facts(url, method, headers, client_ip=client_ip), route)
    made.body_is(body, body_whole)
    made.body_follows = bool(body)
    made.status, made.response_headers, made.response_body = status, _pairs(response_headers), response_body
    return made


def inspect(check: Any, subject: Subject, *phases: Phase) -> Verdict:
    """Return what a check of :func:`make` finds in ``phases``, in those that the filter would call if none are given; bodies are shown to it as one piece.

    Raises:
        AssertionError: the check failed, or returned what it must not; the text says how.
    """
    findings: list[Finding] = []
    demand = None
    for phase in phases or tuple(each for each in PHASES if each in check.terms.phases):
        if not phases and phase == "request_body" and not subject.body_follows:
            continue
        outcomes = []
        body = {"request_body": subject.body, "response_body": subject.response_body}.get(phase)
        if body and getattr(check.terms, phase) == "tap":
            outcomes.append(check.piece(subject, phase, body))
        outcomes.append(check.look(subject, phase, check.terms.seconds, in_place=True))
        for outcome in outcomes:
            if isinstance(outcome, Deferred):
                if not outcome.called:
                    raise AssertionError(f"{check.name} in {phase}: no answer yet; have the remote side answer first")
                came: list[Any] = []
                outcome.addBoth(came.append)
                (outcome,) = came
            if outcome.failed:
                raise AssertionError(f"{check.name} in {phase}: {outcome.words}")
            if outcome.verdict is not None:
                findings += outcome.verdict.findings
                demand = demand or outcome.verdict.demand
    return Verdict(tuple(findings), demand)


def body_after(
    filter_: Any, exchange: Exchange, body: bytes, *, of: Literal["request", "response"] = "response"
) -> bytes | None:
    """Return what a filter makes of ``body`` as it streams, None if it has it pass; the same for whatever pieces come.

    Args:
        filter_: what :func:`make` returned; it has ``response_body``, or ``request_body`` for ``of="request"``.
        exchange: as the filter sees it, with ``status`` and ``response_headers`` for a response.
        body: the whole of it; it is fed as it is, byte by byte, and at every split.
        of: whose body it is.

    Raises:
        AssertionError: what comes out depends on the pieces.
    """
    ask = getattr(filter_, f"{of}_body")
    ways = [
        [body],
        [body[at : at + 1] for at in range(len(body))],
        *([body[:at], body[at:]] for at in range(1, len(body))),
    ]
    found: set[bytes | None] = set()
    for pieces in ways:
        transform = ask(exchange)
        if transform is None:
            found.add(None)
        else:
            found.add(b"".join([transform.feed(piece) for piece in pieces]) + transform.end(None)[0])
    if len(found) != 1:
        raise AssertionError(
            f"what becomes of the body depends on the pieces in which it comes: {sorted(map(repr, found))}"
        )
    return found.pop()


def _pairs(headers: Headers) -> list[tuple[bytes, bytes]]:
    items = headers.items() if isinstance(headers, Mapping) else headers
    return [(name.encode("latin-1"), value.encode("latin-1")) for name, value in items]


@implementer(IServer)
@dataclass(eq=False)
class Server:
    """A server whose figures the test sets."""

    name: str
    weight: int = 1
    active: int = 0
    latency: float = 0.0


def servers(**weights: int) -> list[Server]:
    """Return servers by name and weight: ``servers(a=1, b=2)``."""
    return [Server(name, weight) for name, weight in weights.items()]


def choice(key: bytes | str | None = None, *, draw: Callable[[], float] | None = None, now: float = 0.0) -> Choice:
    """Return one selection: the hash key, the source of randomness (default: seeded), the monotonic time in seconds."""
    return Choice(key.encode() if isinstance(key, str) else key, draw or random.Random(0).random, now)


def shares(
    algorithm: Any,
    servers: Sequence[Server],
    requests: int = 10_000,
    *,
    keys: Iterable[bytes | str] | None = None,
    seed: int = 0,
) -> dict[str, float]:
    """Return which share of ``requests`` each server is the first choice of, by name.

    Args:
        algorithm: prepared here with ``servers``.
        servers: what it may choose from.
        requests: how many; with ``keys`` as many as there are keys.
        keys: a hash key for each request.
        seed: of the randomness.
    """
    algorithm.prepare(servers)
    draw = random.Random(seed).random
    wanted: Iterable[bytes | str | None] = [None] * requests if keys is None else list(keys)
    counts: Counter[str] = Counter()
    total = 0
    for at, key in enumerate(wanted):
        first = next(iter(algorithm.candidates(choice(key, draw=draw, now=at / 1000))))
        counts[first.name] += 1
        total += 1
    return {server.name: counts[server.name] / total for server in servers}


def moved(algorithm: Any, before: Sequence[Server], after: Sequence[Server], keys: Iterable[bytes | str]) -> float:
    """Return the share of ``keys`` whose server stayed in the pool but who are sent to another one after the change."""
    wanted = list(keys)

    def chosen(servers: Sequence[Server]) -> list[str]:
        algorithm.prepare(servers)
        return [next(iter(algorithm.candidates(choice(key)))).name for key in wanted]

    left = {server.name for server in after}
    pairs = list(zip(chosen(before), chosen(after), strict=True))
    return sum(old in left and old != new for old, new in pairs) / len(pairs)


class Configured:
    """A configuration that uses the plug-ins in ``modules``; nothing is opened.

    Raises:
        ConfigurationError: with every problem in the text, at its line and column.
    """

    def __init__(self, text: str, *modules: ModuleType) -> None:
        found = load_text(text, registry(*modules), {})
        self.snapshot = built(found)

    def ask(
        self,
        url: str = "/",
        method: str = "GET",
        headers: Headers = (),
        *,
        client_ip: str = "192.0.2.1",
        body: str | None = None,
        seed: int = 0,
    ) -> Explanation:
        """Return what would become of a request: route, action, pool, server, status, filters, request as sent."""
        pairs = list(headers.items() if isinstance(headers, Mapping) else headers)
        sample = Sample(url, method, pairs, client_ip, body)
        return explain(self.snapshot, sample, random.Random(seed).random)
