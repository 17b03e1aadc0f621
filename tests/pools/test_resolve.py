"""Tests of servers given by name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.interfaces import IHostnameResolver
from twisted.trial.unittest import TestCase
from zope.interface import implementer

from balancer.model.address import Address
from balancer.pools.resolve import ResolveSettings
from balancer.pools.server import Server
from tests.pools.pieces import Watched, server


def unused(address: Any, protocol: Any, timeout: float) -> Any:
    """Nothing is probed here."""
    raise AssertionError("nothing was to be connected")


@implementer(IHostnameResolver)
class Zone:
    """A resolver with the answers that the test gives; None: it does not answer yet."""

    def __init__(self, **names: Sequence[str] | None) -> None:
        self.names = {name.replace("_", "."): found for name, found in names.items()}
        self.asked: list[str] = []
        self.unanswered: list[Any] = []

    def resolveHostName(
        self,
        resolutionReceiver: Any,
        hostName: str,
        portNumber: int = 0,
        addressTypes: Any = None,
        transportSemantics: str = "TCP",
    ) -> Any:
        """Answer at once, from the names."""
        self.asked.append(hostName)
        found = self.names.get(hostName, ())
        if found is None:
            self.unanswered.append(resolutionReceiver)
            return None
        resolutionReceiver.resolutionBegan(None)
        for literal in found:
            kind = IPv6Address if ":" in literal else IPv4Address
            resolutionReceiver.addressResolved(kind("TCP", literal, portNumber))
        resolutionReceiver.resolutionComplete()
        return None


class ResolveTests(TestCase):
    """Names and their addresses."""

    def setUp(self) -> None:
        self.zone = Zone(app_example=["192.0.2.1", "2001:db8::1", "192.0.2.1"])
        self.app = Server(Address("app.example", 80))
        self.watched = Watched(
            [self.app, server("b")], panic=False, resolve=ResolveSettings(interval=30.0), draw=lambda: 0.5
        )
        self.addCleanup(self.watched.pool.stop)

    def start(self) -> None:
        """Start the pool; every name is answered."""
        self.successResultOf(self.watched.pool.start(unused, self.zone))

    def test_resolved(self) -> None:
        """A name's addresses are used, each once; literals are not looked up."""
        self.start()
        self.assertEqual(self.app.endpoints, (Address("192.0.2.1", 80), Address("2001:db8::1", 80)))
        self.assertEqual(self.zone.asked, ["app.example"])
        self.assertEqual(
            str(self.watched.events[0]), "server app.example:80 of pool web resolves to: 192.0.2.1:80, [2001:db8::1]:80"
        )

    def test_unresolvable(self) -> None:
        """A name that does not resolve takes down its own server, and no other."""
        self.zone.names.clear()
        self.start()
        self.assertEqual(self.app.state, "down")
        self.assertEqual(self.app.reason, "app.example does not resolve")
        self.assertEqual(self.watched.chosen(), {"b"})
        self.assertEqual(self.watched.kinds(), ["name_did_not_resolve"])

    def test_told_once(self) -> None:
        """While nothing changes there is nothing to tell."""
        self.start()
        self.watched.clock.pump([30.0] * 20)
        self.assertEqual(self.watched.kinds(), ["name_resolved"])
        self.zone.names.clear()
        self.watched.clock.pump([30.0] * 30)
        self.assertEqual(self.watched.kinds(), ["name_did_not_resolve"])

    def test_resolves_later(self) -> None:
        """A server comes up when its name resolves at last."""
        self.zone.names.clear()
        self.start()
        self.zone.names["app.example"] = ["192.0.2.7"]
        self.watched.clock.advance(30.0)
        self.assertTrue(self.app.open)
        self.assertEqual(self.app.reason, "")

    def test_follows_changes(self) -> None:
        """New addresses are used from the next look-up on; idle connections to old ones are closed."""
        self.start()
        idle = self.app.idle
        self.zone.names["app.example"] = ["192.0.2.9"]
        self.watched.clock.advance(30.0)
        self.assertEqual(self.app.endpoints, (Address("192.0.2.9", 80),))
        self.assertTrue(idle.closed)
        self.assertFalse(self.app.idle.closed)

    def test_more_addresses_close_nothing(self) -> None:
        """When addresses only join, connections to the others stay."""
        self.zone.names["app.example"] = ["192.0.2.1"]
        self.start()
        idle = self.app.idle
        self.zone.names["app.example"] = ["192.0.2.1", "192.0.2.2"]
        self.watched.clock.advance(30.0)
        self.assertEqual(len(self.app.endpoints), 2)
        self.assertFalse(idle.closed)

    def test_resolver_ill(self) -> None:
        """When look-ups begin to fail, known addresses are kept for ten intervals."""
        self.start()
        self.zone.names.clear()
        self.watched.clock.pump([30.0] * 9)
        self.assertTrue(self.app.up)
        self.watched.clock.advance(30.0)
        self.assertFalse(self.app.up)

    def test_resolver_raises(self) -> None:
        """A resolver that raises is one that finds nothing."""
        self.zone.resolveHostName = lambda *arguments: 1 / 0  # type: ignore[assignment,method-assign]
        self.start()
        self.assertFalse(self.app.up)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_until_the_first_answer(self) -> None:
        """Until a name is answered, who connects resolves it; starting waits for the answer, if one wants to."""
        self.zone.names["app.example"] = None
        looked_up = self.watched.pool.start(unused, self.zone)
        self.assertNoResult(looked_up)
        self.assertTrue(self.app.up)
        self.assertEqual(self.app.next_endpoint(), self.app.address)
        self.zone.unanswered[0].resolutionComplete()
        self.successResultOf(looked_up)
        self.assertFalse(self.app.up)

    def test_one_at_a_time(self) -> None:
        """A slow resolver is not asked again before it has answered."""
        self.zone.names["app.example"] = None
        self.watched.pool.start(unused, self.zone)
        self.watched.clock.pump([30.0] * 5)
        self.assertEqual(len(self.zone.asked), 1)

    def test_stop(self) -> None:
        """A stopped pool asks no more, ignores late answers, and keeps nobody waiting."""
        self.zone.names["app.example"] = None
        looked_up = self.watched.pool.start(unused, self.zone)
        self.watched.pool.stop()
        self.successResultOf(looked_up)
        self.zone.unanswered[0].resolutionComplete()
        self.assertTrue(self.app.up)
        self.assertEqual(self.watched.clock.getDelayedCalls(), [])

    def test_failed_addresses_are_tried_again(self) -> None:
        """An address that rests because it could not be connected to is tried again after ten look-ups."""
        self.start()
        first = Address("192.0.2.1", 80)
        self.app.endpoint_failed(first)
        self.watched.clock.pump([30.0] * 5)
        self.assertNotIn(first, {self.app.next_endpoint() for _ in range(4)})
        self.watched.clock.pump([30.0] * 5)
        self.assertIn(first, {self.app.next_endpoint() for _ in range(4)})

    def test_absolute_name(self) -> None:
        """A dot at the end of a name is no part of the question."""
        watched = Watched([Server(Address("app.example.", 80))])
        watched.pool.start(unused, self.zone)
        self.addCleanup(watched.pool.stop)
        self.assertEqual(self.zone.asked, ["app.example"])
