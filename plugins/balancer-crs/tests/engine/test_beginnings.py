"""Tests of beginnings of bodies: whatever is cut off, what has come is there."""

from __future__ import annotations

import json
from typing import Any

from balancer_crs.engine.beginnings import completed_json
from twisted.trial.unittest import SynchronousTestCase

WHOLE: Any = {
    "a": 'b\\c"é\u20ac\U0001f600',
    "list": [1, True, None, "x", {"y": ["z", []]}],
    "": {"deep": {"er": "\\"}},
    "n": -1.5e3,
}


def leaves(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [leaf for each in value.values() for leaf in leaves(each)]
    if isinstance(value, list):
        return [leaf for each in value for leaf in leaves(each)]
    return [value] if isinstance(value, str) else []


class JsonTests(SynchronousTestCase):
    def test_every_cut(self) -> None:
        """Cut anywhere, a text gives JSON whose strings are the beginning of those of the whole, the last one perhaps cut."""
        for ascii_only in (True, False):
            text = json.dumps(WHOLE, ensure_ascii=ascii_only).encode()
            every = leaves(WHOLE)
            for size in range(1, len(text) + 1):
                found = leaves(json.loads(completed_json(text[:size]).decode("utf-8", "surrogatepass")))
                self.assertEqual(found[:-1], every[: max(0, len(found) - 1)])
                if found:
                    last = found[-1].encode("utf-8", "ignore").decode()  # half of a pair of surrogates may have come
                    self.assertTrue(every[len(found) - 1].startswith(last), (text[:size], found))
            self.assertEqual(found, every)

    def test_one_long_string(self) -> None:
        """A string that is longer than what has come is there as far as it came."""
        self.assertEqual(json.loads(completed_json(b'{"q": "attack' + b"x" * 100)), {"q": "attack" + "x" * 100})
        self.assertEqual(completed_json(b'{"name'), b"{}")
        self.assertEqual(completed_json(b'["a", "b'), b'["a", "b"]')

    def test_no_json(self) -> None:
        """What is none does not become any."""
        for text in (b"]", b'{"a": 1]', b"{]"):
            self.assertRaises(ValueError, json.loads, completed_json(text))

    def test_no_text_takes_long(self) -> None:
        """Texts made to be slow are read as fast as others: this would not end otherwise."""
        for text in (
            b"[" * 131072,
            b'{"a":' * 26000,
            b'"' * 131072,
            b"\\" * 131072,
            b'["' + b"\\" * 131072,
            b'[""' + b',""' * 40000,
        ):
            self.assertLess(len(completed_json(text)), 2 * len(text) + 2)
