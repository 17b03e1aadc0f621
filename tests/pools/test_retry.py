"""Tests of the retry policy."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import TestCase

from balancer import errors
from balancer.errors import Reason, Side
from balancer.pools.retry import RetryPolicy, RetrySettings

ANSWERED_503 = Reason("http_response_503", 503, Side.SERVER, True, "The server answered 503.")


class RetryTests(TestCase):
    """What may be repeated."""

    def setUp(self) -> None:
        self.clock = Clock()

    def policy(self, **settings: object) -> RetryPolicy:
        """A policy on the test's clock."""
        return RetryPolicy(RetrySettings(**settings), self.clock.seconds)  # type: ignore[arg-type]

    def test_grpc(self) -> None:
        """Statuses of gRPC are retried where they are listed, though every call is a POST."""
        reason = Reason("grpc_unavailable", 200, Side.SERVER, True, "The server answered UNAVAILABLE.")
        self.assertFalse(self.policy().allow("POST", reason, 1))
        policy = self.policy(on=("unavailable",))
        self.assertTrue(policy.allow("POST", reason, 1))
        self.assertFalse(policy.allow("POST", reason, 2))
        self.assertFalse(policy.allow("POST", Reason("grpc_internal", 200, Side.SERVER, True, ""), 1))

    def test_once(self) -> None:
        """By default there is one more attempt, not two."""
        policy = self.policy()
        self.assertTrue(policy.allow("GET", errors.CONNECTION_REFUSED, 1))
        self.assertFalse(policy.allow("GET", errors.CONNECTION_REFUSED, 2))

    def test_more_attempts(self) -> None:
        """As many as configured; none if that is 0."""
        self.assertTrue(self.policy(attempts=3).allow("GET", errors.CONNECTION_REFUSED, 3))
        self.assertFalse(self.policy(attempts=0).allow("GET", errors.CONNECTION_REFUSED, 1))

    def test_conditions(self) -> None:
        """Connect failures, resets and 503 are retried; timeouts and broken answers are not."""
        for reason in (
            errors.CONNECTION_REFUSED,
            errors.CONNECTION_TIMEOUT,
            errors.DESTINATION_IP_UNROUTABLE,
            errors.DNS_ERROR,
            errors.CONNECTION_TERMINATED,
            ANSWERED_503,
        ):
            self.assertTrue(self.policy().allow("GET", reason, 1), reason.code)
        for reason in (
            errors.HTTP_RESPONSE_TIMEOUT,
            errors.HTTP_PROTOCOL_ERROR,
            errors.CONNECTION_READ_TIMEOUT,
            errors.CONNECTION_LIMIT_REACHED,
            errors.PROXY_INTERNAL_ERROR,
        ):
            self.assertFalse(self.policy().allow("GET", reason, 1), reason.code)

    def test_chosen_conditions(self) -> None:
        """Only what is listed is retried."""
        policy = self.policy(on=(502, "reset"))
        self.assertFalse(policy.allow("GET", ANSWERED_503, 1))
        self.assertFalse(policy.allow("GET", errors.CONNECTION_REFUSED, 1))
        self.assertTrue(policy.allow("GET", errors.CONNECTION_TERMINATED, 1))
        self.assertTrue(policy.allow("GET", Reason("http_response_502", 502, Side.SERVER, True, ""), 1))

    def test_idempotent_only(self) -> None:
        """What may have had its effect is not repeated; what never reached the server may always be."""
        for method in ("POST", "PATCH", "LOCK", "get"):
            self.assertFalse(self.policy().allow(method, errors.CONNECTION_TERMINATED, 1))
            self.assertFalse(self.policy().allow(method, ANSWERED_503, 1))
            self.assertTrue(self.policy().allow(method, errors.CONNECTION_REFUSED, 1))
        for method in ("GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"):
            self.assertTrue(self.policy().allow(method, errors.CONNECTION_TERMINATED, 1))

    def test_unread(self) -> None:
        """What the server says it has not looked at may be repeated whatever the method, where resets are retried."""
        for reason in (errors.STREAM_REFUSED, errors.SERVER_LEAVING):
            self.assertTrue(self.policy().allow("POST", reason, 1))
            self.assertFalse(self.policy(on=(503,)).allow("POST", reason, 1))
        self.assertFalse(self.policy().allow("POST", errors.STREAM_RESET, 1))
        self.assertTrue(self.policy().allow("GET", errors.STREAM_RESET, 1))

    def test_sessions(self) -> None:
        """At layer 4 only connecting is repeated."""
        self.assertTrue(self.policy().allow(None, errors.CONNECTION_REFUSED, 1))
        self.assertFalse(self.policy().allow(None, errors.CONNECTION_TERMINATED, 1))


class BudgetTests(TestCase):
    """How many."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.policy = RetryPolicy(RetrySettings(), self.clock.seconds)

    def spend(self) -> int:
        """How many retries are allowed in a row."""
        count = 0
        while self.policy.allow("GET", errors.CONNECTION_REFUSED, 1):
            count += 1
            self.assertLess(count, 100_000)
        return count

    def requests(self, count: int) -> None:
        """Count requests."""
        for _ in range(count):
            self.policy.note_request()

    def test_minimum(self) -> None:
        """With hardly any traffic ten retries in ten seconds are allowed."""
        self.requests(1)
        self.assertEqual(self.spend(), 10)
        self.clock.advance(10)
        self.assertEqual(self.spend(), 10)

    def test_share(self) -> None:
        """With traffic, a fifth of the requests may be retried."""
        self.requests(1000)
        self.assertEqual(self.spend(), 200)
        self.requests(100)
        self.assertEqual(self.spend(), 20)
        self.assertEqual((self.policy.retries, self.policy.refused), (220, 2))

    def test_window(self) -> None:
        """Requests count for about ten seconds."""
        self.requests(1000)
        self.clock.advance(10)
        self.assertEqual(self.spend(), 200)  # the window before this one
        self.clock.advance(5)
        self.assertEqual(self.spend(), 0)
        self.clock.advance(5)
        self.assertEqual(self.spend(), 10)

    def test_long_quiet(self) -> None:
        """The requests of a whole day are no budget for this minute."""
        self.requests(1000)
        self.clock.advance(1000)
        self.assertEqual(self.spend(), 10)

    def test_repr(self) -> None:
        """Operators see how much was retried."""
        self.spend()
        self.assertEqual(repr(self.policy), "<RetryPolicy 10 retries, 1 over budget>")
