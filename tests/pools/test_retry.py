"""Tests of the retry policy."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import TestCase

from balancer import errors
from balancer.errors import Reason, Side
from balancer.hooks.settings import StringMatch
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

    def test_named_conditions(self) -> None:
        """Names stand for statuses, and for failures."""
        for name, statuses, others in (
            ("gateway_error", (502, 503, 504), (500, 429)),
            ("5xx", (500, 503, 599), (429,)),
            ("retriable_4xx", (409, 429), (404, 503)),
        ):
            policy = self.policy(on=(name,), minimum=100)
            for status in statuses + others:
                reason = Reason(f"http_response_{status}", status, Side.SERVER, True, "")
                self.assertEqual(policy.allow("GET", reason, 1), status in statuses, (name, status))
                self.assertTrue(status >= policy.floor or status not in statuses)
        policy = self.policy(on=("5xx",))
        for reason in (errors.HTTP_RESPONSE_TIMEOUT, errors.CONNECTION_TERMINATED, errors.CONNECTION_REFUSED):
            self.assertTrue(policy.allow("GET", reason, 1))
        self.assertTrue(self.policy(on=("timeout",)).allow("GET", errors.HTTP_RESPONSE_TIMEOUT, 1))

    def test_refused_streams(self) -> None:
        """Those alone, where resets are not retried."""
        policy = self.policy(on=("refused_stream",))
        self.assertTrue(policy.allow("POST", errors.STREAM_REFUSED, 1))
        self.assertFalse(policy.allow("GET", errors.CONNECTION_TERMINATED, 1))

    def test_methods(self) -> None:
        """Those that may be repeated can be chosen."""
        policy = self.policy(methods=frozenset({"POST"}))
        self.assertTrue(policy.allow("POST", ANSWERED_503, 1))
        self.assertFalse(policy.allow("GET", ANSWERED_503, 1))

    def test_headers(self) -> None:
        """A header of the response may be the reason, whatever its status."""
        policy = self.policy(headers={"x-retry": StringMatch(exact="yes")})
        self.assertTrue(policy.covers([(b"X-Retry", b"yes")]))
        self.assertFalse(policy.covers([(b"X-Retry", b"no")]))
        answered = Reason("http_response_200", 200, Side.SERVER, True, "")
        self.assertTrue(policy.allow("GET", answered, 1, covered=True))
        self.assertFalse(policy.allow("GET", answered, 1))
        self.assertEqual((policy.floor, self.policy().floor, self.policy(on=(409,)).floor), (200, 500, 409))

    def test_backoff(self) -> None:
        """Waits are drawn from a span that doubles up to the longest; none by default."""
        self.assertEqual(self.policy().delay(1), 0.0)
        settings = RetrySettings(backoff=0.1, backoff_max=0.3)
        policy = RetryPolicy(settings, self.clock.seconds, draw=lambda: 0.5)
        self.assertEqual([policy.delay(attempts) for attempts in (1, 2, 3, 9)], [0.05, 0.1, 0.15, 0.15])

    def test_retry_after(self) -> None:
        """What a server asks for is heard up to a bound, as seconds or as a date; what is neither is not."""

        def asked(value: bytes, longest: float = 10.0) -> float | None:
            return self.policy(retry_after=longest).asked_delay([(b"Retry-After", value)])

        self.assertEqual([asked(b"3"), asked(b"11"), asked(b"3", 0.0), asked(b"soon")], [3.0, None, 0.0, 0.0])
        self.assertEqual(asked(b"Sun, 06 Nov 1994 08:49:37 GMT"), 0.0)
        self.assertIsNone(asked(b"Sun, 06 Nov 2094 08:49:37 GMT"))
        self.assertEqual(self.policy(retry_after=10.0).asked_delay([]), 0.0)

    def test_otherwise(self) -> None:
        """Policies of the same pool share its budget."""
        policy = self.policy()
        other = policy.otherwise(RetrySettings(attempts=5))
        self.assertEqual(sum(other.allow("GET", ANSWERED_503, 1) for _ in range(20)), 10)
        self.assertFalse(policy.allow("GET", ANSWERED_503, 1))

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
