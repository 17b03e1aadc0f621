"""Tests for :mod:`balancer.model.headers`."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from balancer.model.headers import RawHeaders, first, remove, replace, values, without


class HeadersTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.headers: RawHeaders = [(b"A", b"1"), (b"b", b"2"), (b"a", b"3")]

    def test_reading(self) -> None:
        self.assertEqual(list(values(self.headers, b"a")), [b"1", b"3"])
        self.assertEqual((first(self.headers, b"b"), first(self.headers, b"c")), (b"2", None))
        self.assertEqual(without(self.headers, [b"a"]), [(b"b", b"2")])

    def test_replace(self) -> None:
        """One field is left, where the first was; a new one comes last."""
        replace(self.headers, b"A", b"x")
        self.assertEqual(self.headers, [(b"A", b"x"), (b"b", b"2")])
        replace(self.headers, b"C", b"y")
        self.assertEqual(self.headers[-1], (b"C", b"y"))

    def test_remove(self) -> None:
        remove(self.headers, b"a")
        self.assertEqual(self.headers, [(b"b", b"2")])
