"""Tests of :mod:`balancer.routing.matchers.negotiated`."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from balancer.model.address import Peer
from balancer.model.facts import RequestFacts
from balancer.routing.matchers.negotiated import ACCEPTS, LANGUAGE


def _asks(factory: Any, settings: dict[str, Any], *values: tuple[str, str]) -> bool:
    peer = Peer("192.0.2.1", 1)
    headers = [(name.encode(), value.encode()) for name, value in values]
    built = factory.build(factory.settings.model_validate(settings))
    return bool(built.matches(RequestFacts("GET", "/", headers, peer, peer)))


class NegotiatedTests(SynchronousTestCase):
    def test_language(self) -> None:
        """Exactly one of what there is, is what a client wants most."""
        of = ["en", "de", "fr"]
        for wants, gets in (
            ("de-AT,en;q=0.7", "de"),
            ("it", None),
            ("fr;q=0.2,de;q=0.1", "fr"),
            (None, "en"),
            ("*", "en"),
        ):
            fields = [("Accept-Language", wants)] if wants is not None else []
            found = [tag for tag in of if _asks(LANGUAGE, {"tag": tag, "of": of}, *fields)]
            self.assertEqual(found, [gets] if gets else [], wants)

    def test_accepts(self) -> None:
        """It is enough that it is taken, or it must be wanted most; several fields are one."""
        self.assertTrue(
            _asks(ACCEPTS, {"type": "application/json"}, ("Accept", "text/html"), ("Accept", "application/*;q=0.1"))
        )
        self.assertFalse(_asks(ACCEPTS, {"type": "application/json"}, ("Accept", "text/html")))
        of = ["text/html", "application/json"]
        self.assertFalse(_asks(ACCEPTS, {"type": "application/json", "of": of}, ("Accept", "*/*")))
        self.assertTrue(
            _asks(ACCEPTS, {"type": "application/json", "of": of}, ("Accept", "application/json, */*;q=0.5"))
        )

    def test_words(self) -> None:
        settings = LANGUAGE.settings.model_validate({"tag": "de", "of": ["en", "de"]})
        self.assertEqual(LANGUAGE.build(settings).describe(), "language wanted most is de, of en, de")
        self.assertEqual(
            ACCEPTS.build(ACCEPTS.settings.model_validate({"type": "a/b"})).describe(), "media type a/b is accepted"
        )

    def test_refused(self) -> None:
        for factory, wrong in (
            (ACCEPTS, {"type": "json"}),
            (ACCEPTS, {"type": "text/*"}),
            (ACCEPTS, {"type": "a/b", "of": ["a/c"]}),
            (LANGUAGE, {"tag": "*"}),
            (LANGUAGE, {"tag": "de", "of": ["en"]}),
        ):
            with self.assertRaises(ValueError):
                factory.settings.model_validate(wrong)
