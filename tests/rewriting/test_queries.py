"""Tests of how a query becomes another."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from twisted.trial import unittest

from balancer.rewriting.queries import QueryChange, QuerySetting
from tests.routing.making import facts


def change(**steps: Any) -> QueryChange:
    return QueryChange(QuerySetting.model_validate(steps))


def after(query: str, captures: dict[str, str] | None = None, **steps: Any) -> str:
    return change(**steps).apply(query, facts(f"/?{query}", headers=(("X-A", "a&b=\xe9"),)), captures or {}, "r")


class StepTests(unittest.TestCase):
    def test_keep(self) -> None:
        """Only those stay; nothing at all where nothing is named."""
        self.assertEqual(after("b=1&a=2&b=%33&f_x", keep=["b", "f_*"]), "b=1&b=%33&f_x")
        self.assertEqual(after("a=1", keep=[]), "")

    def test_remove(self) -> None:
        """By name or beginning, decoded; the others keep bytes and order."""
        self.assertEqual(after("utm_a=1&b=%7E&%75tm_b=2&c=+&b", remove=["utm_*"]), "b=%7E&c=+&b")
        self.assertEqual(after("a=1", remove=["*"]), "")

    def test_rename(self) -> None:
        """The value keeps its bytes, or stays missing."""
        self.assertEqual(after("q=%7E+x&q&b=1", rename={"q": "s ö"}), "s%20%C3%B6=%7E+x&s%20%C3%B6&b=1")

    def test_swap(self) -> None:
        """Names can be exchanged."""
        self.assertEqual(after("a=1&b=2", rename={"a": "b", "b": "a"}), "b=1&a=2")

    def test_set(self) -> None:
        """Once, where the first stood; a new one at the end."""
        self.assertEqual(after("a=1&b=2&a=3", set={"a": "x&y", "n": 7}), "a=x%26y&b=2&n=7")

    def test_add(self) -> None:
        """One more, or several; those that are there stay."""
        self.assertEqual(after("a=1", add={"a": ["2", "3"], "b": "{route}"}), "a=1&a=2&a=3&b=r")
        self.assertEqual(after("", add={"a": "1"}), "a=1")

    def test_values_are_safe(self) -> None:
        """What is filled in stays one value."""
        self.assertEqual(after("", {"id": "ä/b"}, set={"x": "{header:X-A}", "i": "{id}"}), "x=a%26b%3D%E9&i=%C3%A4/b")

    def test_order(self) -> None:
        """What is removed can be set anew, and what is renamed can be replaced."""
        self.assertEqual(after("a=1&b=2", remove=["a"], rename={"b": "a"}, set={"a": "3"}, add={"a": "4"}), "a=3&a=4")

    def test_untouched(self) -> None:
        """A query that no step means keeps every byte."""
        for query in ("", "&&a", "a=%zz&=&==", "a;b?c"):
            self.assertEqual(after(query, remove=["x"]), query)

    def test_names(self) -> None:
        """What only the route's path can give is known."""
        self.assertEqual(change(set={"a": "{id}{host}"}, add={"b": ["{x}"]}).captures, {"id", "x"})

    def test_refusals(self) -> None:
        """What cannot work is refused when it is read."""
        cases: tuple[dict[str, Any], ...] = (
            {"set": {"": "x"}},
            {"set": {"a": "{"}},
            {"set": {"a": True}},
            {"add": {"a": []}},
            {"keep": "a"},
        )
        for steps in cases:
            self.assertRaises(ValidationError, QuerySetting.model_validate, steps)

    def test_repr(self) -> None:
        """For operators."""
        self.assertEqual(
            repr(change(keep=[], remove=["a"], rename={"b": "c"}, set={"d": "1"}, add={"e": "2"})),
            "<QueryChange keep nothing, remove a, rename b to c, set d, add e>",
        )

    @given(st.text("ab=&%2+", max_size=12), st.text(max_size=5))
    def test_no_bytes_of_others_change(self, query: str, value: str) -> None:
        """What is not named is there as it was, in its order."""
        parts = [part for part in query.split("&") if part] if query else []
        found = after(query, set={"new": value.replace("{", "{{").replace("}", "}}")})
        self.assertEqual([part for part in found.split("&") if part][:-1], parts)
