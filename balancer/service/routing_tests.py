"""Routing tests kept in the configuration: each request decided, and compared with what is expected."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from balancer.config.routing_tests import ExpectedOutcome, ExpectedRequest, RoutingTest, ServerAnswer
from balancer.hooks.settings import StringMatch
from balancer.listeners.http.site import Site
from balancer.service.explaining import Explanation, Sample, SampleAnswer, explain
from balancer.service.explaining_sessions import SessionSample, explain_session, is_session
from balancer.service.snapshot import Snapshot
from balancer.tls.clients import read_client_certificate
from balancer.tls.pem import UnusableError

__all__ = ["Report", "Result", "run_tests"]


@dataclass(frozen=True, slots=True)
class Result:
    """One test: what differed from what was expected, in words; nothing if it passed."""

    name: str
    differences: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Report:
    """Every result, and which of the routes (``listener/route``) the tests went through.

    Routes of TCP and UDP listeners count from the first test of a session on.
    """

    results: tuple[Result, ...]
    routes: tuple[str, ...]
    covered: frozenset[str]

    @property
    def uncovered(self) -> tuple[str, ...]:
        """The routes that no test went through, in file order."""
        return tuple(route for route in self.routes if route not in self.covered)

    @property
    def coverage(self) -> float:
        """Covered routes in percent; 100 where there are none to cover."""
        return 100 * len(self.covered) / len(self.routes) if self.routes else 100.0


def run_tests(snapshot: Snapshot, more: Sequence[RoutingTest] = ()) -> Report:
    """Run every routing test of the snapshot's configuration, and ``more``; what chance decides is decided the same each time."""
    tests = (*snapshot.config.tests, *more)
    sessions = any(is_session(test.request.url) for test in tests)
    routes = tuple(
        f"{name}/{route.name}"
        for name, settings in snapshot.listeners.items()
        if sessions or isinstance(settings, Site)
        for route in (settings.table.routes if isinstance(settings, Site) else settings.routes.routes)
    )
    results, covered = [], set()
    for test in tests:
        try:
            found = _explained(snapshot, test)
        except UnusableError as error:
            results.append(Result(test.name, (f"client_certificate: {error}",)))
            continue
        if found.route:
            covered.add(f"{found.listener}/{found.route}")
        results.append(Result(test.name, tuple(_differences(test.expect, found, test.request.body))))
    return Report(tuple(results), routes, frozenset(covered))


def _explained(snapshot: Snapshot, test: RoutingTest) -> Explanation:
    draw = random.Random(0).random
    request = test.request
    if not is_session(request.url):
        return explain(snapshot, _sample(test), draw)
    sni = None if request.sni is None else request.sni.name
    return explain_session(
        snapshot, SessionSample(request.url, str(request.client_ip), test.listener, sni, request.alpn), draw
    )


def _sample(test: RoutingTest) -> Sample:
    request = test.request
    headers = [(name, value) for name, values in request.headers.items() for value in values]
    path = request.client_certificate
    shown = read_client_certificate(Path(path)) if path is not None else None
    return Sample(
        request.url,
        request.method,
        headers,
        str(request.client_ip),
        request.body,
        test.listener,
        shown,
        request.moment,
        _answer(test.answer),
    )


def _answer(answer: ServerAnswer | None) -> SampleAnswer | None:
    if answer is None:
        return None
    headers = [(name, value) for name, values in answer.headers.items() for value in values]
    return SampleAnswer(answer.status, headers, answer.body)


def _differences(expect: ExpectedOutcome, found: Explanation, asked: str | None) -> list[str]:
    differences = []
    status, fields, body = found.status, found.response_headers, found.body
    if found.response is not None:
        status, fields, body = (found.response[name] for name in ("status", "headers", "body"))
    for name in ("route", "pool", "action", "status", "server"):
        wanted, got = getattr(expect, name), status if name == "status" else getattr(found, name)
        if wanted is not None and wanted != got:
            shown = "none" if got in ("", None, 0) else repr(got)
            if name == "pool" and found.split is not None:
                shown += f" ({found.split['because']})"
            differences.append(f"{name}: expected {wanted!r}, got {shown}")
    location = next((value for name, value in fields if name.lower() == "location"), None)
    if expect.location is not None and not expect.location.compiled()(location):
        differences.append(f"location: expected {expect.location}, got {location!r}")
    sent = found.request["headers"] if found.request is not None else []
    differences += _of_fields("request header", expect.request_headers, sent)
    if expect.request is not None:
        differences += _of_request(expect.request, found, asked)
    differences += _of_fields("response header", expect.response_headers, fields)
    if expect.response_body is not None and not expect.response_body.compiled()(body):
        differences.append(f"response body: expected {expect.response_body}, got {_shown(body)}")
    return differences


def _of_request(expect: ExpectedRequest, found: Explanation, asked: str | None) -> list[str]:
    sent = found.request
    if sent is None:
        return ["request: expected one to be sent, but none is"]
    differences = []
    if expect.method is not None and expect.method != sent["method"]:
        differences.append(f"request method: expected {expect.method!r}, got {sent['method']!r}")
    host = next((value for name, value in sent["headers"] if name.lower() in ("host", ":authority")), None)
    for name, match, got in (("target", expect.target, sent["target"]), ("host", expect.host, host)):
        if match is not None and not match.compiled()(got):
            differences.append(f"request {name}: expected {match}, got {_shown(got)}")
    body = sent.get("body", asked)
    if expect.body is not None and not expect.body.compiled()(body):
        differences.append(f"request body: expected {expect.body}, got {_shown(body)}")
    return differences + _of_fields("request header", expect.headers, sent["headers"])


def _of_fields(what: str, expect: Mapping[str, StringMatch], fields: Sequence[Sequence[str]]) -> list[str]:
    """Return what is wrong with ``fields``: pairs of name and value, of which one of a name must match."""
    differences = []
    for name, match in expect.items():
        values: list[str | None] = [value for key, value in fields if key.lower() == name.lower()]
        values = values or [None]
        compiled = match.compiled()
        if not any(compiled(value) for value in values):
            differences.append(f"{what} {name}: expected {match}, got {', '.join(map(_shown, values))}")
    return differences


def _shown(value: str | None) -> str:
    return "none" if value is None else repr(value)
