"""Tests for :mod:`balancer.filters.waf.bodies`."""

from __future__ import annotations

import gzip
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from balancer.errors import ExchangeError
from balancer.filters.waf.bodies import RequestCopy
from balancer.model.inspection.terms import Buffer
from tests.filters.waf.making import Check, exchange, found, waf

_BODY: dict[str, Any] = {"phases": ("request_body",), "request_body": Buffer(10)}
_OUT: dict[str, Any] = {"phases": ("response_body",), "response_body": Buffer(1000)}


class CopyTests(SynchronousTestCase):
    def copy(self, *checks: Check, **settings: Any) -> RequestCopy:
        it = exchange("/", "POST", body=b"x")
        self.assertIsNone(waf(*checks, streaming=True, **settings).request(it))
        transform = it.request_transform
        assert isinstance(transform, RequestCopy)
        return transform

    def test_limit(self) -> None:
        """However long the body, no more than the limit is kept; it is looked at as soon as that is here."""
        check = Check(**_BODY)
        copy = self.copy(check)
        piece = bytes(1000)
        for _ in range(1000):
            self.assertIs(copy.feed(piece), piece)
            self.assertLessEqual(sum(map(len, copy._kept)), 10)
        self.assertEqual(check.seen, [("request_body", bytes(10))])
        self.assertEqual(copy.end(None), (b"", None))
        self.assertEqual(len(check.seen), 1)

    def test_end(self) -> None:
        """A shorter one is looked at when it ends; what is found ends the exchange before its last byte is sent."""
        check = Check(found(5), **_BODY)
        copy = self.copy(check)
        self.assertEqual(copy.feed(b"short"), b"short")
        self.assertRaises(ExchangeError, copy.end, None)
        self.assertEqual(check.seen, [("request_body", b"short")])

    def test_taps(self) -> None:
        """See each piece, and the end; scores count then."""
        tap = Check(phases=("request_body",), request_body="tap")
        copy = self.copy(tap)
        self.assertEqual(copy.feed(b"an attack"), b"an attack")
        self.assertRaises(ExchangeError, copy.end, None)
        self.assertEqual((tap.pieces, len(tap.seen)), ([b"an attack"], 1))

    def test_detect(self) -> None:
        """Nothing is cut."""
        copy = self.copy(Check(found(5), **_BODY), mode="detect")
        copy.feed(b"x")
        self.assertEqual(copy.end(None), (b"", None))


class ResponseTests(SynchronousTestCase):
    def test_compressed(self) -> None:
        """Checks see a compressed response as what it is; the client gets it as it was."""
        check = Check(**_OUT)
        made, it = waf(check), exchange()
        self.assertIsNone(made.request(it))
        body = gzip.compress(b"plain text")
        it.status, it.response_length = 200, len(body)
        it.response_headers = [(b"content-encoding", b"gzip")]
        made.response(it)
        assert it.response_transform is not None
        assert it.hold is not None
        it.response_transform.feed(body)
        self.assertIsNone(it.hold())
        self.assertEqual(it.response_transform.end(None), (body, None))
        self.assertEqual(check.seen, [("response_body", b"plain text")])
