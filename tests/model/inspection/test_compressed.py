"""Tests for :mod:`balancer.model.inspection.compressed`."""

from __future__ import annotations

import gzip
import zlib

from twisted.trial.unittest import SynchronousTestCase

from balancer.model.inspection.compressed import plain_body


class PlainBodyTests(SynchronousTestCase):
    def plain(self, body: bytes, *codings: str, whole: bool = True, limit: int = 1000) -> tuple[bytes, bool, list[str]]:
        plain, all_, faults = plain_body(body, whole, codings, limit)
        return plain, all_, [fault.code for fault in faults]

    def test_codings(self) -> None:
        """gzip, and deflate as the standard says and as some clients send it, even one in the other."""
        text = b"text " * 20
        raw = zlib.compressobj(wbits=-15)
        for body, codings in (
            (text, ()),
            (text, ("identity",)),
            (gzip.compress(text), ("GZIP",)),
            (zlib.compress(text), ("deflate",)),
            (raw.compress(text) + raw.flush(), ("deflate",)),
            (gzip.compress(zlib.compress(text)), ("deflate, gzip",)),
            (gzip.compress(zlib.compress(text)), ("deflate", "gzip")),
        ):
            self.assertEqual(self.plain(body, *codings), (text, True, []), codings)

    def test_faults(self) -> None:
        """What cannot be read stays as it is."""
        self.assertEqual(self.plain(b"x", "br"), (b"x", True, ["unknown_coding"]))
        self.assertEqual(self.plain(b"no gzip", "gzip"), (b"no gzip", True, ["bad_coding"]))
        twice = gzip.compress(b"a") + gzip.compress(b"b")
        self.assertEqual(self.plain(twice, "gzip"), (b"a", False, ["bad_coding"]))

    def test_limits(self) -> None:
        """A bomb goes off only as far as is allowed; of a body that is cut comes what there is."""
        self.assertEqual(self.plain(gzip.compress(bytes(10**7)), "gzip"), (bytes(1000), False, ["too_large"]))
        self.assertEqual(self.plain(gzip.compress(bytes(1000)), "gzip")[0], bytes(1000))
        cut = gzip.compress(b"hello")[:-9]
        self.assertEqual(self.plain(cut, "gzip")[1:], (False, []))
