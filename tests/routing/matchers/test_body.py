"""Tests of :mod:`balancer.routing.matchers.body`."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from balancer.model.address import Peer
from balancer.model.facts import BodyNeededError, RequestFacts
from balancer.routing.matchers.body import BODY, BodySettings, pointed

_PEER = Peer("192.0.2.1", 1)
_FORM = "application/x-www-form-urlencoded; charset=utf-8"


def holds(settings: dict[str, Any], body: bytes | None, kind: str = "", **more: str) -> bool:
    headers = [(b"Content-Type", kind.encode())] if kind else []
    headers += [(name.replace("_", "-").encode(), value.encode()) for name, value in more.items()]
    facts = RequestFacts("POST", "/", headers, _PEER, _PEER)
    facts.body = body
    return bool(BODY.build(BodySettings.model_validate(settings)).matches(facts))


class BodyTests(SynchronousTestCase):
    def test_form(self) -> None:
        """Fields as they were meant, one of several values is enough; only in forms."""
        settings = {"form": {"plan": "gold+", "b c": {"regex": "^x"}}}
        self.assertTrue(holds(settings, b"plan=silver&plan=gold%2B&b+c=xy", _FORM))
        self.assertFalse(holds(settings, b"plan=gold%2B", _FORM))
        self.assertFalse(holds(settings, b"plan=gold%2B&b+c=xy", "text/plain"))
        self.assertTrue(holds({"form": {"plan": {"present": False}}}, b"", _FORM))

    def test_json(self) -> None:
        """Values by pointer; those that are no strings as JSON writes them."""
        body = b'{"order": {"total": 1200, "paid": true, "items": ["a", {"~/": null}]}, "": "empty"}'
        for pointer, match in (
            ("/order/total", 1200),
            ("/order/total", {"regex": "^[0-9]{4}$"}),
            ("/order/paid", "true"),
            ("/order/items/0", "a"),
            ("/order/items/1/~0~1", "null"),
            ("/", "empty"),
            ("/order/nothing", {"present": False}),
            ("/order/items/2", {"present": False}),
            ("/order/items/01", {"present": False}),
            ("/order/items/-", {"present": False}),
        ):
            self.assertTrue(holds({"json": {pointer: match}}, body), pointer)
        for damaged in (b"", b"{", b"\xff", b"[" * 100_000):
            self.assertFalse(holds({"json": {"/a": {"present": False}}}, damaged), damaged[:9])

    def test_bytes(self) -> None:
        """Text and expressions over the bytes as they are."""
        self.assertTrue(holds({"contains": "é"}, "caf\u00e9".encode()))
        self.assertTrue(holds({"regex": "^<\\?xml"}, b"<?xml \xff\xfe"))
        self.assertFalse(holds({"contains": "é", "regex": "^x"}, "caf\u00e9".encode()))

    def test_not_looked_at(self) -> None:
        """Compressed, longer than the limit: does not match. Not known yet: it is asked for."""
        self.assertFalse(holds({"contains": "a"}, b"aaa", Content_Encoding="gzip"))
        self.assertTrue(holds({"contains": "a"}, b"aaa", Content_Encoding="identity"))
        self.assertFalse(holds({"contains": "a", "limit": "2B"}, b"aaa"))
        with self.assertRaises(BodyNeededError) as caught:
            holds({"contains": "a", "limit": "2KiB"}, None)
        self.assertEqual(caught.exception.limit, 2048)

    def test_settings(self) -> None:
        for wrong in (
            {},
            {"json": {"a": "b"}},
            {"regex": "("},
            {"contains": "a", "limit": "2MiB"},
            {"contains": "a", "limit": "0B"},
        ):
            with self.assertRaises(ValueError):
                BodySettings.model_validate(wrong)
        settings = BodySettings.model_validate(
            {"form": {"plan": "gold"}, "json": {"": {"prefix": "x"}}, "contains": "y", "regex": "z"}
        )
        self.assertEqual(
            BODY.build(settings).describe(),
            "body has form field plan 'gold' and JSON value whole prefix 'x' and text 'y' and bytes like 'z'",
        )

    @given(st.binary(max_size=200))
    def test_noise(self, body: bytes) -> None:
        """Whatever is sent, it holds or it does not."""
        settings: Any
        for settings in ({"form": {"a": "b"}}, {"json": {"/a": "b"}}, {"regex": "a"}):
            self.assertIn(holds(settings, body, _FORM), (True, False))

    @given(
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.text(max_size=5),
            lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
        ),
        st.text(max_size=12),
    )
    def test_pointers(self, document: Any, pointer: str) -> None:
        """Whatever is pointed at, it is text or nothing."""
        found = pointed(document, "/" + pointer)
        self.assertTrue(found is None or isinstance(found, str))
