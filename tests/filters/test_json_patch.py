"""Tests of JSON Patch: the examples of RFC 6902 appendix A, and what is ours."""

from __future__ import annotations

import json
from datetime import date
from typing import Any

from pydantic import ValidationError
from twisted.trial import unittest

from balancer.filters.json_change import JsonChange, JsonSetting, NoJsonError

_FAILS = None
_EXAMPLES: dict[str, tuple[Any, list[dict[str, Any]], Any]] = {
    "A.1": ({"foo": "bar"}, [{"op": "add", "path": "/baz", "value": "qux"}], {"baz": "qux", "foo": "bar"}),
    "A.2": ({"foo": ["bar", "baz"]}, [{"op": "add", "path": "/foo/1", "value": "qux"}], {"foo": ["bar", "qux", "baz"]}),
    "A.3": ({"baz": "qux", "foo": "bar"}, [{"op": "remove", "path": "/baz"}], {"foo": "bar"}),
    "A.4": ({"foo": ["bar", "qux", "baz"]}, [{"op": "remove", "path": "/foo/1"}], {"foo": ["bar", "baz"]}),
    "A.5": (
        {"baz": "qux", "foo": "bar"},
        [{"op": "replace", "path": "/baz", "value": "boo"}],
        {"baz": "boo", "foo": "bar"},
    ),
    "A.6": (
        {"foo": {"bar": "baz", "waldo": "fred"}, "qux": {"corge": "grault"}},
        [{"op": "move", "from": "/foo/waldo", "path": "/qux/thud"}],
        {"foo": {"bar": "baz"}, "qux": {"corge": "grault", "thud": "fred"}},
    ),
    "A.7": (
        {"foo": ["all", "grass", "cows", "eat"]},
        [{"op": "move", "from": "/foo/1", "path": "/foo/3"}],
        {"foo": ["all", "cows", "eat", "grass"]},
    ),
    "A.8": (
        {"baz": "qux", "foo": ["a", 2, "c"]},
        [{"op": "test", "path": "/baz", "value": "qux"}, {"op": "test", "path": "/foo/1", "value": 2}],
        {"baz": "qux", "foo": ["a", 2, "c"]},
    ),
    "A.9": ({"baz": "qux"}, [{"op": "test", "path": "/baz", "value": "bar"}], _FAILS),
    "A.10": (
        {"foo": "bar"},
        [{"op": "add", "path": "/child", "value": {"grandchild": {}}}],
        {"foo": "bar", "child": {"grandchild": {}}},
    ),
    "A.11": (
        {"foo": "bar"},
        [{"op": "add", "path": "/baz", "value": "qux", "xyz": 123}],
        {"foo": "bar", "baz": "qux"},
    ),
    "A.12": ({"foo": "bar"}, [{"op": "add", "path": "/baz/bat", "value": "qux"}], _FAILS),
    "A.14": ({"/": 9, "~1": 10}, [{"op": "test", "path": "/~01", "value": 10}], {"/": 9, "~1": 10}),
    "A.15": ({"/": 9, "~1": 10}, [{"op": "test", "path": "/~01", "value": "10"}], _FAILS),
    "A.16": (
        {"foo": ["bar"]},
        [{"op": "add", "path": "/foo/-", "value": ["abc", "def"]}],
        {"foo": ["bar", ["abc", "def"]]},
    ),
}
"""By section: the document, the patch, what comes of them. A.13 is a document that is no JSON Patch, as a member stands in it twice."""


def after(text: str, *patch: dict[str, Any]) -> str:
    return JsonChange(JsonSetting.model_validate({"patch": patch})).of_text(text.encode()).decode()


class JsonPatchTests(unittest.TestCase):
    def test_examples(self) -> None:
        """Those of the RFC."""
        for section, (document, patch, expected) in _EXAMPLES.items():
            if expected is _FAILS:
                self.assertRaisesRegex(NoJsonError, "the patch fails", after, json.dumps(document), *patch)
            else:
                self.assertEqual(json.loads(after(json.dumps(document), *patch)), expected, section)

    def test_numbers(self) -> None:
        """They keep their digits, and are compared by worth; neither texts nor truths are numbers."""
        test = {"op": "test", "path": "/a", "value": 1}
        for text in ('{"a":1}', '{"a":1.0}', '{"a":10e-1}'):
            self.assertEqual(after(text, test), text)
        for text in ('{"a":"1"}', '{"a":true}', '{"a":2}'):
            self.assertRaises(NoJsonError, after, text, test)
        self.assertRaises(NoJsonError, after, '{"a":1}', {**test, "value": True})
        self.assertRaises(NoJsonError, after, '{"a":1e99999999999999999999}', test)
        self.assertEqual(after('{"a":1.10}', {"op": "add", "path": "/b", "value": 2.50}), '{"a":1.10,"b":2.5}')

    def test_reveals_nothing(self) -> None:
        """What fails is named, and nothing of the document: that goes to logs, and to the other side."""
        error = self.assertRaises(NoJsonError, after, '{"a":"secret"}', {"op": "test", "path": "/a/b", "value": "x"})
        self.assertEqual(str(error), "the patch fails: test /a/b")

    def test_again(self) -> None:
        """A patch is the same for each document, whatever became of the values that it put into others."""
        change = JsonChange(
            JsonSetting.model_validate(
                {"patch": [{"op": "add", "path": "/a", "value": []}, {"op": "add", "path": "/a/-", "value": 1}]}
            )
        )
        for _ in range(3):
            self.assertEqual(change.of_text(b"{}"), b'{"a":[1]}')

    def test_whole(self) -> None:
        """The document as a whole may be replaced, and the other changes go before."""
        self.assertEqual(after('{"a":1}', {"op": "replace", "path": "", "value": [1]}), "[1]")
        setting = {"set": {"/b": 2}, "patch": [{"op": "move", "from": "/b", "path": "/c"}], "wrap": "d"}
        self.assertEqual(JsonChange(JsonSetting.model_validate(setting)).of_text(b"{}"), b'{"d":{"c":2}}')

    def test_refused(self) -> None:
        """What is no patch is said to be none."""
        for operation in (
            {},
            {"op": "add", "path": "/a"},
            {"op": "move", "path": "/a"},
            {"op": "invent", "path": "/a"},
            {"op": "remove", "path": "a"},
            {"op": "remove"},
            {"op": [], "path": "/a"},
            {"op": "remove", "path": None},
            {"op": "move", "path": "/a", "from": 1},
            {"op": "add", "path": "/a", "value": float("nan")},
            {"op": "add", "path": "/a", "value": date(2026, 1, 1)},
        ):
            self.assertRaises(ValidationError, JsonSetting.model_validate, {"patch": [operation]})
