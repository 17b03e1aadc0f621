"""Tests of connecting to a server with one or several addresses."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.trial.unittest import TestCase

from balancer import errors
from balancer.errors import ExchangeError
from balancer.model.address import Address
from balancer.pools.dialing import dial
from balancer.pools.server import Server

ONE, TWO = Address("192.0.2.1", 80), Address("192.0.2.2", 80)


class DialTests(TestCase):
    """One attempt after another."""

    def setUp(self) -> None:
        self.attempts: list[tuple[Address, Deferred[Any]]] = []
        self.server = Server(Address("app.example", 80))
        self.server.resolved((ONE, TWO))

    def connect(self, address: Address, protocol: Any, timeout: float) -> Deferred[Any]:
        """Note the attempt."""
        self.attempts.append((address, Deferred()))
        return self.attempts[-1][1]

    def tried(self) -> list[Address]:
        """Which addresses were tried."""
        return [address for address, _ in self.attempts]

    def test_one_address(self) -> None:
        """A server with one address is tried once."""
        result = dial(self.connect, Server(ONE), "protocol", 3.0)
        self.attempts[0][1].errback(ExchangeError(errors.CONNECTION_REFUSED))
        self.failureResultOf(result, ExchangeError)
        self.assertEqual(self.tried(), [ONE])

    def test_next_address(self) -> None:
        """If one address cannot be connected to, the next is tried, and the first one rests."""
        result = dial(self.connect, self.server, "protocol", 3.0)
        self.attempts[0][1].errback(ExchangeError(errors.CONNECTION_REFUSED))
        self.attempts[1][1].callback("protocol")
        self.assertEqual(self.successResultOf(result), "protocol")
        self.assertEqual(self.tried(), [ONE, TWO])
        self.assertEqual([self.server.next_endpoint(), self.server.next_endpoint()], [TWO, TWO])

    def test_all_fail(self) -> None:
        """If none can be connected to, it fails as the last one did."""
        result = dial(self.connect, self.server, "protocol", 3.0)
        self.attempts[0][1].errback(ExchangeError(errors.CONNECTION_REFUSED))
        self.attempts[1][1].errback(ExchangeError(errors.CONNECTION_TIMEOUT))
        self.assertIs(self.failureResultOf(result, ExchangeError).value.reason, errors.CONNECTION_TIMEOUT)

    def test_given_up(self) -> None:
        """When it is cancelled no other address is tried, and none is blamed."""
        result = dial(self.connect, self.server, "protocol", 3.0)
        result.cancel()
        self.failureResultOf(result, CancelledError)
        self.assertEqual(self.tried(), [ONE])
        self.assertEqual([self.server.next_endpoint(), self.server.next_endpoint()], [TWO, ONE])

    def test_our_fault(self) -> None:
        """When this process has no descriptors left, other addresses would not help, and none is blamed."""
        result = dial(self.connect, self.server, "protocol", 3.0)
        self.attempts[0][1].errback(ExchangeError(errors.PROXY_INTERNAL_ERROR, "too many open files"))
        self.failureResultOf(result, ExchangeError)
        self.assertEqual(self.tried(), [ONE])
        self.assertEqual([self.server.next_endpoint(), self.server.next_endpoint()], [TWO, ONE])
