"""Tests for :mod:`balancer.forwarding.mirroring.comparing`."""

from __future__ import annotations

import json
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from balancer.filters.mirror import CompareSettings
from balancer.forwarding.mirroring.comparing import Answer, Capture, Comparison, Difference, differences


def answer(settings: CompareSettings, body: Any = b"", status: int = 200, *headers: tuple[bytes, bytes]) -> Answer:
    capture = Capture(settings)
    capture.began(status, list(headers))
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    for at in range(0, len(data), 3):
        capture.feed(data[at : at + 3])
    return capture.answer()


class DifferencesTests(SynchronousTestCase):
    """What is not the same."""

    def differ(self, settings: dict[str, Any], one: tuple[Any, ...], other: tuple[Any, ...]) -> list[Difference]:
        wanted = CompareSettings.model_validate(settings)
        return differences(answer(wanted, *one), answer(wanted, *other), wanted)

    def json(self, one: Any, other: Any, *ignore: str) -> list[tuple[str, str, str]]:
        found = self.differ({"body": "json", "ignore": ignore}, (one,), (other,))
        return [(each.at, each.primary, each.mirrored) for each in found]

    def test_status(self) -> None:
        """Statuses, where they count."""
        self.assertEqual(self.differ({}, (b"a", 200), (b"b", 500)), [Difference("status", "", "200", "500")])
        self.assertEqual(self.differ({"status": False, "body": "hash"}, (b"a", 200), (b"a", 500)), [])

    def test_headers(self) -> None:
        """Headers by name, however it is written; those that repeat as a list."""
        one = (b"", 200, (b"X-A", b"1"), (b"x-a", b"2"), (b"Date", b"now"))
        settings = {"headers": ["x-A", "Content-Type"]}
        self.assertEqual(self.differ(settings, one, (b"", 200, (b"X-A", b"1"), (b"X-A", b"2"))), [])
        self.assertEqual(
            self.differ(settings, one, (b"", 200, (b"X-A", b"1"), (b"Content-Type", b"text/html"))),
            [Difference("header", "x-A", "1, 2", "1"), Difference("header", "Content-Type", "", "text/html")],
        )

    def test_hash(self) -> None:
        """Bodies byte for byte, of any length."""
        self.assertEqual(self.differ({"body": "hash"}, (b"a" * 100_000,), (b"a" * 100_000,)), [])
        [found] = self.differ({"body": "hash"}, (b"abc",), (b"abd",))
        self.assertEqual((found.kind, found.primary[:9]), ("body", "3 bytes, "))

    def test_json(self) -> None:
        """By what they say: order and spaces do not count, what is another type does."""
        self.assertEqual(self.json(b'{"a": 1, "b": [1, 2]}', b'{"b":[1,2],"a":1.0}'), [])
        self.assertEqual(
            self.json({"a": 1, "b": {"c/d": True}, "e": [1, 2]}, {"a": "1", "b": {"c/d": 1}, "e": [1]}),
            [("/a", "1", "1"), ("/b/c~1d", "true", "1"), ("/e/1", "2", "(not there)")],
        )
        self.assertEqual(self.json([1], {"0": 1}), [("", "[1]", '{"0": 1}')])

    def test_ignored(self) -> None:
        """Some places may differ; a star is every name or index."""
        one = {"at": 1, "items": [{"id": 1, "n": 1}, {"id": 2, "n": 2}], "a/b": {"~": 1}}
        other = {"at": 2, "items": [{"id": 3, "n": 1}, {"id": 4, "n": 9}], "a/b": {"~": 2}}
        self.assertEqual(self.json(one, other, "/at", "/items/*/id", "/a~1b/~0"), [("/items/1/n", "2", "9")])
        self.assertEqual(self.json(one, other, "/at", "/items", "/*/*"), [])

    def test_not_json(self) -> None:
        """What is not JSON is compared byte for byte, and never breaks anything."""
        self.assertEqual(self.json(b"oops", b"oops"), [])
        self.assertEqual(self.json(b"oops", b"{}"), [("", "oops", "{}")])
        deep = b"[" * 30_000
        self.assertEqual(len(self.json(deep, deep + b"1")), 1)
        nested = b"[" * 900 + b"]" * 900
        self.assertEqual(len(self.json(nested, nested.replace(b"[]", b"[1]"))), 1)

    def test_many(self) -> None:
        """Of many differences the first are told."""
        self.assertEqual(len(self.json(list(range(100)), list(range(1, 101)))), 10)

    def test_not_kept(self) -> None:
        """Bodies that are too long or compressed cannot be compared, unless they are the same bytes."""
        long = {"body": "json", "limit": 10}
        self.assertEqual(self.differ(long, (b"[1,    2,   3]",), (b"[1,    2,   3]",)), [])
        self.assertEqual([each.kind for each in self.differ(long, (b"[1,    2,   3]",), (b"[1]",))], ["unknown"])
        zipped = (b"\x1f\x8b1", 200, (b"Content-Encoding", b"gzip"))
        self.assertEqual([each.kind for each in self.differ({"body": "json"}, zipped, (b"[1]",))], ["unknown"])

    def test_values(self) -> None:
        """Reports have values, cut, or only places."""
        [found] = self.differ({"body": "json"}, ({"a": "x" * 500},), ({"a": 1},))
        told = found.as_json(values=True)
        self.assertEqual((told["at"], len(told["primary"]), told["mirror"]), ("/a", 100, "1"))
        self.assertEqual(found.as_json(values=False), {"kind": "body", "at": "/a"})


class ComparisonTests(SynchronousTestCase):
    """Waiting for both."""

    def setUp(self) -> None:
        self.told: list[Any] = []
        self.comparison = Comparison(CompareSettings(), self.told.append)

    def test_both(self) -> None:
        """In either order; told once."""
        self.comparison.mirrored(Answer(200))
        self.assertEqual(self.told, [])
        self.comparison.primary(Answer(200))
        self.comparison.primary(None)
        self.assertEqual(self.told, [[]])

    def test_one(self) -> None:
        """If one does not come there is nothing to compare."""
        self.comparison.primary(None)
        self.comparison.mirrored(Answer(200))
        self.assertEqual(self.told, [None])
