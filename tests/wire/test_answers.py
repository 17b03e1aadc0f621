"""Tests for :mod:`balancer.wire.answers`."""

from __future__ import annotations

import json

from twisted.trial.unittest import SynchronousTestCase

from balancer.wire.answers import error_page, proxy_status, status_phrase


def _page(accept: str, text: str = "Gone.") -> tuple[bytes, bytes]:
    return error_page(503, text, "destination_unavailable", "id-1", accept)


class PageTests(SynchronousTestCase):
    def test_the_form(self) -> None:
        """HTML, JSON or text, by quality; text for whoever does not say."""
        for accept, kind in (
            ("", "text/plain"),
            ("*/*", "text/plain"),
            ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", "text/html"),
            ("application/json", "application/problem+json"),
            ("application/vnd.api+json", "application/problem+json"),
            ("text/html;q=0.1, application/json;q=0.9", "application/problem+json"),
            ("TEXT/HTML", "text/html"),
            ("text/html;q=x", "text/plain"),
            ("image/png", "text/plain"),
            (";;,,q=1", "text/plain"),
        ):
            self.assertTrue(_page(accept)[0].startswith(kind.encode()), accept)

    def test_all_say_the_same(self) -> None:
        """Status, words, reason and request id are in each."""
        for accept in ("text/plain", "text/html", "application/json"):
            body = _page(accept)[1].decode()
            for words in ("503", "Service Unavailable", "Gone.", "destination_unavailable", "id-1"):
                self.assertIn(words, body)
        self.assertEqual(json.loads(_page("application/json")[1])["status"], 503)

    def test_escapes(self) -> None:
        """What came from a client does not become markup."""
        self.assertNotIn(b"<script>", _page("text/html", "<script>")[1])

    def test_without_reason(self) -> None:
        self.assertEqual(error_page(404, "No.", "", "", "")[1], b"404 Not Found\nNo.\n")

    def test_phrases(self) -> None:
        self.assertEqual(
            [status_phrase(code) for code in (404, 499, 799)], ["Not Found", "Client Closed Request", "Unknown"]
        )


class ProxyStatusTests(SynchronousTestCase):
    def test_value(self) -> None:
        """RFC 9209; details are a valid sf-string whatever is in them."""
        self.assertEqual(proxy_status(""), b"balancer")
        self.assertEqual(proxy_status("dns_error"), b"balancer; error=dns_error")
        self.assertEqual(proxy_status("dns_error", 'a"b\\\r\né'), b'balancer; error=dns_error; details="a?b????"')
        self.assertLess(len(proxy_status("x", "y" * 10000)), 300)
