"""Tests of what is known of TX."""

from __future__ import annotations

from balancer_crs.folding.state import ABSENT, UNKNOWN, State, integer, resolved
from balancer_crs.lang.macros import parse_text
from balancer_crs.lang.model import SetVar, Text, Where
from twisted.trial.unittest import SynchronousTestCase


def text(written: str) -> Text:
    return parse_text(written, lambda index: Where("f", index))


class StateTests(SynchronousTestCase):
    def test_nothing_is_there_at_first(self) -> None:
        """What was not written is absent, but for captures."""
        state = State()
        self.assertIs(state.get("a"), ABSENT)
        self.assertIs(state.get("0"), UNKNOWN)

    def test_effects(self) -> None:
        """Assignments, sums, names and values with macros."""
        state = State()
        self.assertTrue(state.apply(SetVar("TX", text("A"), "set", text("2")), certain=True))
        self.assertTrue(state.apply(SetVar("TX", text("b%{tx.a}"), "add", text("%{tx.a}")), certain=True))
        self.assertTrue(state.apply(SetVar("TX", text("b2"), "subtract", text("5x")), certain=True))
        self.assertEqual((state.get("a"), state.get("B2")), ("2", "-3"))
        self.assertTrue(state.apply(SetVar("TX", text("a"), "unset"), certain=True))
        self.assertIs(state.get("a"), ABSENT)
        self.assertFalse(state.apply(SetVar("TX", text("c"), "set", text("%{REQUEST_URI}")), certain=True))
        self.assertIs(state.get("c"), UNKNOWN)

    def test_uncertain(self) -> None:
        """What may happen, or more than once, makes unknown what it would change."""
        state = State({"a": "1"})
        self.assertTrue(state.apply(SetVar("TX", text("a"), "set", text("1")), certain=False))
        self.assertFalse(state.apply(SetVar("TX", text("a"), "add", text("0")), certain=False))

    def test_names_that_are_not_known(self) -> None:
        """An assignment to a name made of a request may be to any that begins so."""
        state = State({"n_a": "1", "m": "1"})
        self.assertFalse(state.apply(SetVar("TX", text("N_%{REQUEST_URI}"), "set", text("1")), certain=True))
        self.assertIs(state.get("n_a"), UNKNOWN)
        self.assertIs(state.get("n_z"), UNKNOWN)
        self.assertEqual(state.get("m"), "1")
        self.assertIs(state.get("z"), ABSENT)

    def test_joined(self) -> None:
        """Known is what is known on both ways."""
        joined = State({"a": "1", "b": "1", "c": "1"}).joined(State({"a": "1", "b": "2"}))
        self.assertEqual([joined.get(key) for key in "abcd"], ["1", UNKNOWN, UNKNOWN, ABSENT])
        self.assertEqual(State({"a": "1"}).joined(None).get("a"), "1")

    def test_resolved(self) -> None:
        """A text whose macros are known is one."""
        state = State({"a": "1"})
        self.assertEqual(resolved(text("x%{tx.A}y"), state), "x1y")
        self.assertIsNone(resolved(text("%{tx.b}"), state))
        self.assertEqual(resolved(Text(), state), "")

    def test_integers(self) -> None:
        """A text counts as the number it begins with."""
        self.assertEqual(
            [integer(each) for each in ("12", " -3x", "+4", "x", "", "-", "1.5", "٣")], [12, -3, 4, 0, 0, 0, 1, 0]
        )
