"""Tests for :mod:`balancer.config.forms`."""

from __future__ import annotations

from typing import Annotated

from pydantic import TypeAdapter, ValidationError
from twisted.trial.unittest import SynchronousTestCase

from balancer.config.forms import Filled, Many, Switch, short
from balancer.hooks.settings import Settings


class _Section(Settings):
    size: int = 5


class FormTests(SynchronousTestCase):
    """Short forms, read and described."""

    def test_many(self) -> None:
        """One value is a list of one; an empty list is refused unless allowed."""
        some = TypeAdapter(Annotated[tuple[int, ...], Many()])
        self.assertEqual(some.validate_python(5), (5,))
        self.assertEqual(some.validate_python([5, 6]), (5, 6))
        self.assertRaises(ValidationError, some.validate_python, [])
        self.assertEqual(TypeAdapter(Annotated[tuple[int, ...], Many(empty=True)]).validate_python([]), ())
        self.assertEqual(
            some.json_schema(),
            {"anyOf": [{"type": "integer"}, {"type": "array", "items": {"type": "integer"}, "minItems": 1}]},
        )

    def test_switch(self) -> None:
        """``false`` is off, ``true`` the defaults, a mapping itself."""
        maybe = TypeAdapter(Annotated[_Section | None, Switch()])
        self.assertIsNone(maybe.validate_python(False))
        self.assertEqual(maybe.validate_python(True), _Section())
        self.assertEqual(maybe.validate_python({"size": 1}), _Section(size=1))
        self.assertEqual(TypeAdapter(Annotated[_Section, Switch({"size": 0})]).validate_python(False).size, 0)
        self.assertEqual(maybe.json_schema()["anyOf"][0], {"type": "boolean"})

    def test_filled(self) -> None:
        """What must not be empty is refused if it is, and only then."""
        lists = TypeAdapter(Annotated[tuple[int, ...], Filled()])
        mappings = TypeAdapter(Annotated[dict[str, int], Filled()])
        self.assertEqual(lists.validate_python([1]), (1,))
        for kind, value in [(lists, []), (mappings, {})]:
            self.assertIn("at least one entry", str(self.assertRaises(ValidationError, kind.validate_python, value)))
        self.assertEqual(self.assertRaises(ValidationError, lists.validate_python, ["x"]).error_count(), 1)
        self.assertEqual(lists.json_schema()["minItems"], 1)
        self.assertEqual(mappings.json_schema()["minProperties"], 1)

    def test_short(self) -> None:
        """Short forms stand beside the long one; null is none of them."""
        self.assertEqual(
            short({"anyOf": [{"type": "object"}, {"type": "null"}]}, {"type": "string"}),
            {"anyOf": [{"type": "string"}, {"type": "object"}]},
        )
