"""Tests of :mod:`balancer.filters.trace`."""

from __future__ import annotations

import json

from twisted.trial.unittest import SynchronousTestCase

from balancer.filters.trace import Debugging, Trace, signed
from balancer.model.address import Peer
from balancer.model.exchange import Exchange
from balancer.model.facts import RequestFacts
from balancer.observe.records import ExchangeRecord


class DebuggingTests(SynchronousTestCase):
    def test_allows(self) -> None:
        """Who has the key may ask, for the host and until the time that were signed."""
        debugging = Debugging("a key", b"x-ask", b"X-Told")
        value = signed("a key", 1000, "a.example")
        self.assertTrue(debugging.allows(value, "a.example", 999.9))
        self.assertFalse(debugging.allows(value, "a.example", 1000.0))
        self.assertFalse(debugging.allows(value, "b.example", 0.0))
        self.assertFalse(Debugging("another", b"x-ask", b"X-Told").allows(value, "a.example", 0.0))
        for nonsense in ("", ".", "1000", "1000.", f"+{value}", value.replace("1000", "٣"), value + "\xff"):
            self.assertFalse(debugging.allows(nonsense, "a.example", 0.0), nonsense)


class TraceTests(SynchronousTestCase):
    def test_long(self) -> None:
        """What would not fit into a header field is cut down to the beginning of its lists."""
        peer = Peer("192.0.2.1", 1)
        exchange = Exchange(RequestFacts("GET", "/é", [], peer, peer), [])
        trace = Trace(b"X-Told", ExchangeRecord(), 0.0, lambda: 1.0)
        trace.decided("web", "r", "pool", "p", [("route", "x" * 400)] * 100)
        trace.response(exchange)
        (pair,) = exchange.response_headers
        self.assertEqual(pair[0], b"X-Told")
        self.assertLess(len(pair[1]), 7000)
        self.assertTrue(0 < len(json.loads(pair[1])["rejected"]) < 20)

    def test_side(self) -> None:
        """Why a side of a split was taken, and why the shares are what they are."""
        peer = Peer("192.0.2.1", 1)
        for note, expected in (("", "by chance"), ("canary at 5 %", "by chance; canary at 5 %")):
            exchange = Exchange(RequestFacts("GET", "/", [], peer, peer), [])
            trace = Trace(b"X-Told", ExchangeRecord(), 0.0, lambda: 1.0)
            trace.decided("web", "r", "split", "p", [])
            trace.side("by chance", note)
            self.assertEqual(json.loads(trace.text(exchange))["split"], expected)
