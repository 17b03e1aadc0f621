"""Tests for :mod:`balancer.filters.fault`: what is decided, and a listener in memory that does it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import h2.events
from pydantic import ValidationError
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from balancer.config.loading import load_text
from balancer.filters.fault import FAULT, Fault, FaultSettings, Plan
from balancer.hooks.interfaces import IFilter
from balancer.model.exchange import Exchange
from balancer.observe.metrics import Metrics
from balancer.service.build import built, registry_for
from balancer.service.explaining import Sample, explain
from balancer.wire.grpc.messages import frame
from tests.listeners.http2.conversation import Client, ConversationTestCase
from tests.routing.making import facts

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"


def fault(**settings: Any) -> Fault:
    made: Fault = FAULT.build(FaultSettings.model_validate(settings))
    verifyObject(IFilter, made)
    return made


def exchange(*headers: tuple[str, str], draw: float = 0.5, client: str = "10.0.0.1") -> Exchange:
    raw = [(name.encode(), value.encode()) for name, value in headers]
    made = Exchange(facts("/", headers=headers, client=client), raw)
    made.draw = lambda: draw
    return made


class PlanTests(SynchronousTestCase):
    """What is decided."""

    def plan(self, made: Fault, *headers: tuple[str, str], **more: Any) -> Plan:
        return made.plan(exchange(*headers, **more))

    def test_chance(self) -> None:
        """Each of both has its share."""
        made = fault(delay={"time": "200ms", "percent": 50}, abort={"status": 503, "percent": 10})
        self.assertEqual(self.plan(made, draw=0.6), Plan())
        self.assertEqual(self.plan(made, draw=0.3), Plan(0.2))
        self.assertEqual(self.plan(made, draw=0.05), Plan(0.2, 503))

    def test_span(self) -> None:
        """A delay between two is drawn."""
        made = fault(delay={"time": {"min": "100ms", "max": "300ms"}, "percent": 100})
        self.assertAlmostEqual(self.plan(made, draw=0.5).delay, 0.2)

    def test_headers(self) -> None:
        """Who may asks by header, up to the cap; nobody else can, and what makes no sense asks for nothing."""
        made = fault(headers={"from": ["10.0.0.0/8"]}, max_delay="1s")
        for headers, plan in (
            ({"X-Fault-Delay": "250ms"}, Plan(0.25)),
            ({"X-Fault-Delay": "1h", "X-Fault-Abort": "reset"}, Plan(1.0, -1)),
            ({"X-Fault-Abort": "404"}, Plan(0.0, 404)),
            ({"X-Fault-Abort": "200"}, Plan()),
            ({"X-Fault-Delay": "soon", "X-Fault-Abort": "999"}, Plan()),
        ):
            self.assertEqual(self.plan(made, *headers.items()), plan)
            for stranger in ("192.0.2.1", ""):
                self.assertEqual(self.plan(made, *headers.items(), client=stranger), Plan())
        self.assertEqual(self.plan(made, ("X-Fault-Abort", "404"), client="::ffff:10.1.1.1"), Plan(0.0, 404))

    def test_headers_and_shares(self) -> None:
        """Shares hold for what is not asked for."""
        made = fault(
            headers={"from": ["10.0.0.0/8"], "delay": "X-Slow"},
            abort={"status": "reset", "percent": 100},
            delay={"time": "5s", "percent": 100},
        )
        self.assertEqual(self.plan(made, ("X-Slow", "0")), Plan(0.0, -1))
        self.assertEqual(self.plan(made, ("X-Fault-Abort", "500")), Plan(5.0, 500))

    def test_words(self) -> None:
        """Plans and filters say what they are."""
        self.assertEqual(str(Plan(0.2, 503)), "delayed by 200ms, then answered with 503")
        self.assertEqual(str(Plan(0.0, -1)), "reset")
        made = fault(delay={"time": {"min": "1s", "max": "2s"}, "percent": 5}, headers={"from": ["10.0.0.0/8"]})
        self.assertEqual(repr(made), "<Fault a delay of 1s to 2s for 5 %, by header from 10.0.0.0/8>")
        self.assertEqual(
            made.describe(exchange()), "left alone (a delay of 1s to 2s for 5 %, by header from 10.0.0.0/8)"
        )

    def test_stripped(self) -> None:
        """No server sees that faults were asked for, whoever asked; nothing else changes."""
        made = fault(headers={"from": ["10.0.0.0/8"]})
        asked = exchange(("X-Fault-Delay", "1s"), ("X-Other", "1"), client="192.0.2.1")
        self.assertIsNone(made.request(asked))
        self.assertEqual((asked.headers, asked.notes), ([(b"X-Other", b"1")], {}))

    def test_settings(self) -> None:
        """Nothing is on by accident: what to do and to how many must be said."""
        for wrong, words in (
            ({}, "expected one or more of"),
            ({"delay": {"time": "1s"}}, "percent"),
            ({"abort": {}}, "percent"),
            ({"abort": {"percent": 0}}, "greater than 0"),
            ({"abort": {"percent": 101}}, "less than or equal to 100"),
            ({"abort": {"percent": 1, "status": 200}}, "400"),
            ({"delay": {"time": "1m", "percent": 1}}, "at most 'max_delay', 30s"),
            ({"delay": {"time": {"min": "2s", "max": "1s"}, "percent": 1}}, "not shorter than 'min'"),
            ({"headers": {}}, "from"),
            ({"headers": {"from": []}}, "at least 1"),
            ({"headers": {"from": ["nowhere"]}}, "expected an address or network"),
        ):
            error = self.assertRaises(ValidationError, FaultSettings.model_validate, wrong)
            self.assertIn(words, str(error), wrong)


def _listener(text: str) -> str:
    return f"routes: [{{name: web, pool: web, filters: [{{fault: {text}}}]}}]"


class FaultTests(ConversationTestCase):
    """What is done."""

    def ask(self, text: str, *more: tuple[bytes, bytes]) -> Client:
        self.listen(_listener(text))
        client = self.client()
        client.ask(b"/", b"GET", *more)
        return client

    def test_delay(self) -> None:
        """A delayed request goes on when its time has come."""
        client = self.ask("{delay: {time: 200ms, percent: 100}}")
        self.clock.advance(0.19)
        self.assertEqual(self.runtime.servers, [])
        self.clock.advance(0.02)
        self.say(client, OK)
        self.assertEqual(client.status(1), b"200")
        [record] = self.records
        self.assertEqual((record.fault, record.notes), ("delay", {"fault": {"delay": 0.2}}))

    def test_client_leaves(self) -> None:
        """A client that leaves meanwhile ends it: no server is asked."""
        client = self.ask("{delay: {time: 20s, percent: 100}}")
        client.h2.reset_stream(1)
        client.turn()
        self.clock.advance(30)
        self.assertEqual((self.runtime.servers, self.records[0].status), ([], 499))
        self.assertEqual(
            [call for call in self.clock.getDelayedCalls() if call.getTime() > self.clock.seconds() + 9], []
        )

    def test_abort(self) -> None:
        """An aborted request is answered here, says so, and is counted."""
        client = self.ask("{abort: {status: 503, percent: 100}}")
        head = client.head(1)
        self.assertEqual(head[b":status"], b"503")
        self.assertIn(b"proxy_internal_response", head[b"proxy-status"])
        self.assertIn(b"a fault was injected", head[b"proxy-status"])
        [record] = self.records
        self.assertEqual((record.fault, record.notes, self.runtime.servers), ("abort", {"fault": {"abort": 503}}, []))
        metrics = Metrics()
        metrics.exchange(record)
        self.assertIn(b'balancer_faults_injected_total{kind="abort",listener="web",route="web"} 1.0', metrics.text())

    def test_delayed_abort(self) -> None:
        """Both: it is answered when the time has come."""
        client = self.ask("{abort: {status: 500, percent: 100}, delay: {time: 1s, percent: 100}}")
        self.assertFalse(client.of(1, h2.events.ResponseReceived))
        self.clock.advance(1.1)
        client.turn()
        self.assertEqual((client.status(1), self.records[0].fault), (b"500", "delay+abort"))

    def test_reset(self) -> None:
        """A reset ends the stream without an answer."""
        client = self.ask("{abort: {status: reset, percent: 100}}")
        self.assertIsNotNone(client.was_reset(1))
        self.assertFalse(client.of(1, h2.events.ResponseReceived))
        self.assertEqual((self.records[0].status, self.records[0].reason), (444, "proxy_internal_response"))

    def test_calls(self) -> None:
        """A call of gRPC is told a status of gRPC: the one that is wanted, else the one that comes closest."""
        for text, code in (
            ("{abort: {status: 503, percent: 100}}", 14),
            ("{abort: {status: 503, grpc_status: 8, percent: 100}}", 8),
        ):
            self.listen(_listener(text))
            client = self.client()
            client.begin(b"/a.B/C", b"POST", (b"content-type", b"application/grpc"), (b"te", b"trailers"), ended=False)
            client.h2.send_data(1, frame(b"x"), end_stream=True)
            client.turn()
            head = client.head(1)
            self.assertEqual((head[b":status"], head[b"grpc-status"]), (b"200", b"%d" % code))
            self.assertEqual(self.records[0].grpc_status, code)


class AgreementTests(ConversationTestCase):
    """``balancer explain`` and the service."""

    def test_they_agree(self) -> None:
        """For the same draws both do the same, delays apart, which only the service waits for."""
        text = "{delay: {time: 1s, percent: 70}, abort: {status: 503, percent: 40}, headers: {from: [192.168.0.0/16]}}"
        for tenth in range(10):
            self.listen(_listener(text), lambda site, draw=tenth / 10: replace(site, draw=lambda: draw))  # type: ignore[misc]
            listener = f"listeners: {{web: {{bind: '127.0.0.1:1', {_listener(text)}}}}}"
            pools = "pools: {web: {servers: ['127.0.0.1:2']}}"
            snapshot = built(load_text(f"{listener}\n{pools}", registry_for(installed=False)))
            for more, client_ip in (((), "10.0.0.1"), ((("X-Fault-Abort", "418"),), "192.168.1.1")):
                found = explain(snapshot, Sample("/", headers=more, client_ip=client_ip), lambda: tenth / 10)  # noqa: B023
                client = self.client()
                client.ask(b"/", b"GET", *[(name.lower().encode(), value.encode()) for name, value in more])
                self.clock.advance(1.1)
                client.turn()
                if self.runtime.servers:
                    self.say(client, OK)
                live = int(client.status(1))
                self.assertEqual(live, found.status or 200, (tenth, more))
                self.runtime.servers.clear()


class ExplainTests(SynchronousTestCase):
    """What ``balancer explain`` says."""

    def test_explained(self) -> None:
        """Without waiting: what would be done, by the draws that it is given."""
        listener = _listener("{delay: {time: 2s, percent: 50}, abort: {status: 418, percent: 20}}")
        text = f"listeners: {{web: {{bind: '127.0.0.1:1', {listener}}}}}\npools: {{web: {{servers: ['127.0.0.1:2']}}}}"
        snapshot = built(load_text(text, registry_for(installed=False)))
        words = "(a delay of 2s for 50 %, 418 for 20 %)"
        for draw, status, does in (
            (0.6, 0, "left alone"),
            (0.3, 0, "delayed by 2s"),
            (0.1, 418, "delayed by 2s, then answered with 418"),
        ):
            found = explain(snapshot, Sample("http://a/"), lambda draw=draw: draw)  # type: ignore[misc]
            self.assertEqual((found.status, found.filters[0]["does"]), (status, f"{does} {words}"))
            self.assertEqual(found.pool, None if status else "web")
