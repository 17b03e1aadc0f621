"""Tests of changes to JSON."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from twisted.trial import unittest

from balancer.filters.json_change import JsonChange, JsonSetting, NoJsonError


def after(text: str, **steps: Any) -> str:
    return JsonChange(JsonSetting.model_validate(steps)).of_text(text.encode()).decode()


class JsonChangeTests(unittest.TestCase):
    def test_remove(self) -> None:
        """By pointer, in arrays too, and every one of them; what is not there is not missed."""
        self.assertEqual(
            after('{"a":{"b":1,"c":2},"d":[1,2,3]}', remove=["/a/b", "/d/1", "/x/y"]), '{"a":{"c":2},"d":[1,3]}'
        )
        self.assertEqual(after('[{"s":1,"k":2},{"s":3}]', remove=["/*/s"]), '[{"k":2},{}]')
        self.assertEqual(after('{"a/b~":1,"*":2}', remove=["/a~1b~0"]), '{"*":2}')
        self.assertEqual(after("[1,2]", remove=["/*"]), "[]")

    def test_rename(self) -> None:
        """The member stays in its place; another of the new name goes."""
        self.assertEqual(after('{"a":1,"b":2,"c":3}', rename={"/a": "c"}), '{"c":1,"b":2}')
        self.assertEqual(after('{"x":[{"a":1},{"b":2}]}', rename={"/x/*/a": "z"}), '{"x":[{"z":1},{"b":2}]}')

    def test_set(self) -> None:
        """Objects on the way are made; arrays take a number, or '-'."""
        self.assertEqual(after("{}", set={"/a/b": {"c": [1, None, True, 1.5]}}), '{"a":{"b":{"c":[1,null,true,1.5]}}}')
        self.assertEqual(after("[1,2]", set={"/0": "x", "/-": "y", "/9": "z"}), '["x",2,"y"]')
        self.assertEqual(after('{"a":[{},{}]}', set={"/a/*/k": 1}), '{"a":[{"k":1},{"k":1}]}')

    def test_merge(self) -> None:
        """The example of RFC 7396 section 3."""
        self.assertEqual(
            after(
                '{"title":"Goodbye!","author":{"givenName":"John","familyName":"Doe"},"tags":["example","sample"],"content":"x"}',
                merge={
                    "title": "Hello!",
                    "phoneNumber": "+01-123-456-7890",
                    "author": {"familyName": None},
                    "tags": ["example"],
                },
            ),
            '{"title":"Hello!","author":{"givenName":"John"},"tags":["example"],"content":"x","phoneNumber":"+01-123-456-7890"}',
        )

    def test_wrap_and_unwrap(self) -> None:
        """The whole into a member, or a member for the whole."""
        self.assertEqual(after("[1]", wrap="data"), '{"data":[1]}')
        self.assertEqual(after('{"d":{"a":1}}', unwrap="/d", set={"/b": 2}, wrap="e"), '{"e":{"a":1,"b":2}}')
        self.assertEqual(after('{"a":1}', unwrap="/d"), '{"a":1}')

    def test_what_is_not_meant_stays(self) -> None:
        """Digits of numbers, texts, order; blanks between do not."""
        text = '{"z":1.10,"a":12345678901234567890123,"e":1E400,"s":"\\u0000é","t":"\\ud800","n":-0}'
        self.assertEqual(after(text, remove=["/x"]), text)
        self.assertEqual(after('\ufeff{ "a" : [ ] }', remove=["/x"]), '{"a":[]}')

    def test_no_json(self) -> None:
        """What is none says so; what is too deep is none for us."""
        change = JsonChange(JsonSetting(wrap="a"))
        for text in (b"{", b"nope", b"\xff", b"[" * 100_000 + b"]" * 100_000):
            self.assertRaisesRegex(NoJsonError, "no JSON", change.of_text, text)

    def test_refused(self) -> None:
        """Pointers that are none, and changes that are none."""
        cases: tuple[dict[str, Any], ...] = (
            {},
            {"remove": ["a"]},
            {"remove": ["/~2"]},
            {"set": {"/a/*": 1}},
            {"set": {"": 1}},
        )
        for steps in cases:
            self.assertRaises(ValidationError, JsonSetting.model_validate, steps)

    @given(
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.text(max_size=4),
            lambda inner: (
                st.lists(inner, max_size=3) | st.dictionaries(st.text("ab*~/0", max_size=2), inner, max_size=3)
            ),
            max_leaves=10,
        ),
        st.text("ab*~/01", max_size=4),
    )
    def test_never_raises(self, value: Any, name: str) -> None:
        """Whatever pointers and values meet, something valid comes out."""
        pointer = "/" + name.replace("~", "~0")
        change = JsonChange(
            JsonSetting.model_validate(
                {"remove": [pointer], "rename": {pointer + "/a": "b"}, "set": {pointer + "/x": 1}}
            )
        )
        change.of(value)

    def test_repr(self) -> None:
        """For operators."""
        self.assertEqual(
            repr(JsonChange(JsonSetting.model_validate({"wrap": "a", "remove": ["/a"]}))), "<JsonChange remove wrap>"
        )
