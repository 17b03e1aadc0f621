"""Tests of :mod:`balancer.model.negotiation`."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from balancer.model.negotiation import best, language_quality, media_quality


class MediaTests(SynchronousTestCase):
    def test_examples(self) -> None:
        """The examples of RFC 9110 section 12.5.1."""
        accept = "text/*;q=0.3, text/plain;q=0.7, text/plain;format=flowed, text/plain;format=fixed;q=0.4, */*;q=0.5"
        for offered, quality in (
            ("text/plain;format=flowed", 1.0),
            ("text/plain", 0.7),
            ("text/html", 0.3),
            ("image/jpeg", 0.5),
            ("text/plain; format=fixed", 0.4),
            ("text/html;level=3", 0.3),
        ):
            self.assertEqual(media_quality(accept, offered), quality, offered)

    def test_missing(self) -> None:
        """Nothing, and what cannot be read, accepts everything; what is not named is not accepted; 0 refuses."""
        self.assertEqual(media_quality(None, "a/b"), 1.0)
        self.assertEqual(media_quality("", "a/b"), 1.0)
        self.assertEqual(media_quality("a/b;q=2", "c/d"), 1.0)
        self.assertEqual(media_quality("a/b", "c/d"), 0.0)
        self.assertEqual(media_quality("*/*, a/b;q=0", "a/b"), 0.0)
        self.assertEqual(media_quality("A/B;Q=0.5;ext=1", "a/b"), 0.5)

    def test_best(self) -> None:
        """The first of those wanted most; None where none is wanted."""
        browser = "text/html,application/xhtml+xml,application/xml;q=0.9,image/webp,*/*;q=0.8"
        offered = ("application/json", "text/html")
        self.assertEqual(best(media_quality, browser, offered), "text/html")
        self.assertEqual(best(media_quality, "application/json", offered), "application/json")
        self.assertEqual(best(media_quality, "*/*", offered), "application/json")
        self.assertEqual(best(media_quality, None, offered), "application/json")
        self.assertIsNone(best(media_quality, "image/png", offered))

    @given(st.text(max_size=60), st.text(max_size=20))
    def test_noise(self, accept: str, offered: str) -> None:
        """Whatever is sent, it is a number from 0 to 1."""
        self.assertTrue(0.0 <= media_quality(accept, offered) <= 1.0)
        self.assertTrue(0.0 <= language_quality(accept, offered) <= 1.0)


class LanguageTests(SynchronousTestCase):
    def test_ranges(self) -> None:
        """A range takes in what is more special than it; a more special one nearly takes in the general tag."""
        accept = "da, en-GB;q=0.8, en;q=0.7, *;q=0.1"
        for offered, quality in (
            ("da", 1.0),
            ("da-DK", 1.0),
            ("en-GB", 0.8),
            ("en-US", 0.7),
            ("en", 0.7),
            ("fr", 0.1),
        ):
            self.assertAlmostEqual(language_quality(accept, offered), quality, 5, offered)
        self.assertEqual(best(language_quality, "de-AT, en;q=0.5", ("en", "de")), "de")
        self.assertEqual(best(language_quality, "de-AT, en;q=0.5", ("en", "fr")), "en")
        self.assertEqual(best(language_quality, "dex", ("de", "dex-x")), "dex-x")
        self.assertIsNone(best(language_quality, "de", ("en", "fr")))
