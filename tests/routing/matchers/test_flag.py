"""Tests of :mod:`balancer.routing.matchers.flag`."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer
from zope.interface.verify import verifyObject

from balancer.hooks.interfaces import IFlags
from balancer.hooks.settings import StringMatch
from balancer.model.facts import RequestFacts
from balancer.routing.matchers.flag import UNKNOWN, FlagMatcher
from tests.routing.making import facts


@implementer(IFlags)
class _Hosts:
    """A flag ``host`` that is the host asked for."""

    def value(self, name: str, facts: RequestFacts) -> str | None:
        return facts.host if name == "host" else None


class FlagTests(SynchronousTestCase):
    def test_matches(self) -> None:
        """What the source says is compared as a header would be; no flag is like no header."""
        for name, match, holds in (
            ("host", "a.example", True),
            ("host", "b.example", False),
            ("host", {"prefix": "a."}, True),
            ("other", "a.example", False),
            ("other", {"present": False}, True),
        ):
            matcher = FlagMatcher(_Hosts(), name, StringMatch.model_validate(match))
            self.assertEqual(matcher.matches(facts()), holds, (name, match))

    def test_describe(self) -> None:
        """Flag and what is wanted of it."""
        self.assertEqual(FlagMatcher(_Hosts(), "host", StringMatch.model_validate("a")).describe(), "flag host: 'a'")

    def test_unknown(self) -> None:
        """Where there is no source there are no flags."""
        verifyObject(IFlags, UNKNOWN)
        self.assertFalse(FlagMatcher(UNKNOWN, "x", StringMatch.model_validate("a")).matches(facts()))
