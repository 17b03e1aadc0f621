"""Tests of rules that can be judged without a request."""

from __future__ import annotations

from balancer_crs.folding.deciding import decide
from balancer_crs.folding.state import UNKNOWN, State
from balancer_crs.lang.parsing import parse_string
from twisted.trial.unittest import SynchronousTestCase

STATE = State({"n": "5", "word": "Get", "list": "GET HEAD", "empty": "", "unknown": UNKNOWN})


def judged(variables: str, operator: str, actions: str = "") -> bool | None:
    [rule] = parse_string(f'SecRule {variables} "{operator}" "id:1{actions}"').rules
    return decide(rule, STATE)


class DecidingTests(SynchronousTestCase):
    def test_operators(self) -> None:
        """Numbers, texts, expressions; negated; arguments with macros."""
        for variables, operator, expected in (
            ("TX:n", "@eq 5", True),
            ("TX:n", "!@eq 5", False),
            ("TX:n", "@lt 5", False),
            ("TX:n", "@le 5", True),
            ("TX:n", "@gt 4", True),
            ("TX:n", "@ge 6", False),
            ("TX:word", "@eq 0", True),
            ("TX:word", "@within %{tx.list}", False),
            ("TX:word", "@streq Get", True),
            ("TX:list", "@contains HEAD", True),
            ("TX:list", "@beginsWith HEAD", False),
            ("TX:list", "@endsWith HEAD", True),
            ("TX:list", "@rx ^G.T", True),
            ("TX:list", "@rx (?=G)", None),
            ("TX:list", "@pm GET", None),
            ("TX:n", "@unconditionalMatch", True),
            ("TX:n", "@noMatch", False),
            ("&TX:n", "@eq 1", True),
            ("&TX:absent", "@eq 0", True),
            ("TX:absent", "@eq 0", False),
            ("TX:absent", "!@eq 0", False),
            ("TX:absent", "@eq %{tx.unknown}", False),
            ("TX:n", "@eq %{tx.absent}", None),
            ("TX:n", "@eq %{REQUEST_URI}", None),
            ("TX:unknown", "@eq 1", None),
            ("&TX:unknown", "@eq 1", None),
            ("TX:/n/", "@eq 5", None),
            ("TX", "@eq 5", None),
            ("TX:n|ARGS", "@eq 5", None),
            ("TX:n|TX:absent", "@eq 5", True),
            ("TX:n|TX:n", "@eq 5", None),
        ):
            self.assertIs(judged(variables, operator), expected, (variables, operator))

    def test_transformations(self) -> None:
        """Small letters and lengths are known; of others only that they change no plain text."""
        self.assertIs(judged("TX:word", "@streq get", ",t:lowercase"), True)
        self.assertIs(judged("TX:list", "@eq 8", ",t:length"), True)
        self.assertIs(judged("TX:word", "@streq Get", ",t:urlDecodeUni,t:removeNulls"), True)
        self.assertIsNone(judged("TX:list", "@streq x", ",t:urlDecodeUni"))
        self.assertIsNone(judged("TX:word", "@streq x", ",t:sha1"))
        self.assertIsNone(judged("TX:word", "@streq x", ",t:lowercase,multiMatch"))

    def test_effects_of_the_first_variable(self) -> None:
        """A rule with effects that matches one of two variables may match the other after them."""
        self.assertIsNone(judged("&TX:absent|TX:absent", "@ge 0", ",setvar:tx.absent=1"))
        self.assertIs(judged("&TX:absent|TX:absent", "@ge 1", ",setvar:tx.absent=1"), False)
