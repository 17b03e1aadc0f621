"""Tests for :mod:`balancer.model.inspection.forms`."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from balancer.model.inspection.forms import cookie_pairs, form_pairs
from balancer.model.inspection.values import Value


class FormTests(SynchronousTestCase):
    def pairs(self, data: bytes, most: int = 10) -> tuple[list[tuple[str, str]], list[str]]:
        values, faults = form_pairs("form", data, most)
        return [(value.name, value.text) for value in values], [fault.code for fault in faults]

    def test_pairs(self) -> None:
        """Decoded once, in order, with blank and repeated ones."""
        found, faults = self.pairs(b"a=1&b=%32+%2B&a=&c&&=x&d=a=b")
        self.assertEqual(found, [("a", "1"), ("b", "2 +"), ("a", ""), ("c", ""), ("", "x"), ("d", "a=b")])
        self.assertEqual(faults, [])

    def test_malformed(self) -> None:
        """Noted, and read as far as that can be done."""
        self.assertEqual(self.pairs(b"a=%zz"), ([("a", "%zz")], ["bad_escape"]))
        self.assertEqual(self.pairs(b"a=%"), ([("a", "%")], ["bad_escape"]))
        self.assertEqual(self.pairs(b"a=%ff"), ([("a", "\ufffd")], ["bad_text"]))

    def test_limit(self) -> None:
        """What is behind the last pair stands there as it was sent."""
        self.assertEqual(self.pairs(b"a=1&b=2&c=3&d=4", 2), ([("a", "1"), ("b", "2"), ("c", "3&d=4")], ["too_many"]))

    def test_target(self) -> None:
        """A value says where it was."""
        (value,), _ = form_pairs("query", b"q=1", 5)
        self.assertEqual(value.target, "query:q")
        self.assertEqual(Value("body", "", "x").target, "body")


class CookieTests(SynchronousTestCase):
    def test_pairs(self) -> None:
        """As they were sent, repeated ones too, without quotes around them."""
        values, faults = cookie_pairs(['a=1; b="2" ;a=%33', "; junk;c=x=y"], 10)
        self.assertEqual(
            [(value.name, value.text) for value in values],
            [("a", "1"), ("b", "2"), ("a", "%33"), ("", "junk"), ("c", "x=y")],
        )
        self.assertEqual(faults, ())

    def test_limit(self) -> None:
        """The others are left out, which is noted."""
        values, faults = cookie_pairs(["a=1;b=2;c=3"], 2)
        self.assertEqual(len(values), 2)
        self.assertEqual([fault.code for fault in faults], ["too_many"])
