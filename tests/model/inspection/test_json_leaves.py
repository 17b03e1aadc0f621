"""Tests for :mod:`balancer.model.inspection.json_leaves`."""

from __future__ import annotations

import json

from twisted.trial.unittest import SynchronousTestCase

from balancer.model.inspection.json_leaves import json_leaves


class LeavesTests(SynchronousTestCase):
    def leaves(
        self, text: str | bytes, *, whole: bool = True, most: int = 100, depth: int = 10
    ) -> tuple[list[tuple[str, str]], list[str]]:
        body = text.encode() if isinstance(text, str) else text
        values, faults = json_leaves(body, whole, most, depth)
        return [(value.name, value.text) for value in values], [fault.code for fault in faults]

    def test_paths(self) -> None:
        """Each leaf goes by its path; numbers stand as they were written, empty things are leaves."""
        found, faults = self.leaves('{"a": {"b": [1.50, {"c": "x"}]}, "n": null, "t": true, "e": {}, "l": []}')
        self.assertEqual(
            found,
            [("a.b[0]", "1.50"), ("a.b[1].c", "x"), ("n", "null"), ("t", "true"), ("e", ""), ("l", "")],
        )
        self.assertEqual(faults, [])
        self.assertEqual(self.leaves('"only"'), ([("", "only")], []))

    def test_repeated_names(self) -> None:
        """All of them count: readers differ in which one they take."""
        self.assertEqual(self.leaves('{"a": "good", "a": "bad"}')[0], [("a", "good"), ("a", "bad")])

    def test_no_json(self) -> None:
        """Its text is one value."""
        for text in ("{", "{'a': 1}", "", "[1,]", "NaN x"):
            found, faults = self.leaves(text)
            self.assertEqual((found, faults), ([("", text)], ["invalid"]), text)
        self.assertEqual(self.leaves('{"a": 1', whole=False), ([("", '{"a": 1')], ["cut"]))
        self.assertEqual(self.leaves(b'"\xff"'), ([("", "\ufffd")], ["bad_text"]))

    def test_limits(self) -> None:
        """Of leaves, levels, and of what paths come to."""
        self.assertEqual(self.leaves("[1,2,3]", most=2), ([("[0]", "1"), ("[1]", "2")], ["too_many"]))
        self.assertEqual(self.leaves("[[[1]]]", depth=2), ([("", "[[[1]]]")], ["too_deep"]))
        self.assertEqual(self.leaves("[" * 100_000)[1], ["invalid"])
        found, _ = self.leaves(json.dumps({"k" * 100: {"x": "y"}}))
        self.assertEqual(found, [("", "k" * 100), (f"{'k' * 64}.x", "y")])

    def test_long_paths(self) -> None:
        """Long names above many leaves do not multiply; none is lost."""
        document: object = [0] * 1000
        for at in range(40):
            document = {f"{at:02}" + "n" * 60: document}
        found, _ = self.leaves(json.dumps(document), most=5000, depth=64)
        self.assertLess(sum(len(name) + len(text) for name, text in found), 1_000_000)
        everything = "".join(name + text for name, text in found)
        for at in range(40):
            self.assertIn(f"{at:02}nnn", everything)
