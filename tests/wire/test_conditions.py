"""Tests of conditional requests."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from balancer.wire.conditions import http_time, same_version, unmet

AT = 784111777
BEFORE = b"Sun, 06 Nov 1994 08:49:36 GMT"
EXACTLY = b"Sun, 06 Nov 1994 08:49:37 GMT"


class UnmetTests(SynchronousTestCase):
    def judge(self, **fields: bytes) -> int:
        return unmet(lambda name: fields.get(name.decode().replace("-", "_")), b'"now"', AT)

    def test_single(self) -> None:
        for fields, status in (
            ({}, 0),
            ({"if_match": b'"now"'}, 0),
            ({"if_match": b'"old", "now"'}, 0),
            ({"if_match": b"*"}, 0),
            ({"if_match": b'"old"'}, 412),
            ({"if_match": b'W/"now"'}, 412),
            ({"if_match": b"now"}, 412),
            ({"if_unmodified_since": EXACTLY}, 0),
            ({"if_unmodified_since": BEFORE}, 412),
            ({"if_unmodified_since": b"yesterday"}, 0),
            ({"if_none_match": b'"now"'}, 304),
            ({"if_none_match": b'"old",W/"now"'}, 304),
            ({"if_none_match": b" * "}, 304),
            ({"if_none_match": b'"old"'}, 0),
            ({"if_none_match": b'"a,\\"now"'}, 0),
            ({"if_modified_since": EXACTLY}, 304),
            ({"if_modified_since": BEFORE}, 0),
            ({"if_modified_since": b"0"}, 0),
        ):
            self.assertEqual(self.judge(**fields), status, fields)

    def test_order(self) -> None:
        """Tags go before dates, what is to be so before what is not to be so."""
        for fields, status in (
            ({"if_match": b'"now"', "if_unmodified_since": BEFORE}, 0),
            ({"if_match": b'"old"', "if_none_match": b'"now"'}, 412),
            ({"if_match": b'"now"', "if_none_match": b'"now"'}, 304),
            ({"if_unmodified_since": BEFORE, "if_modified_since": EXACTLY}, 412),
            ({"if_none_match": b'"old"', "if_modified_since": EXACTLY}, 0),
            ({"if_none_match": b'"now"', "if_modified_since": BEFORE}, 304),
        ):
            self.assertEqual(self.judge(**fields), status, fields)


class RangeTests(SynchronousTestCase):
    def test_version(self) -> None:
        """A range is of the same version by its strong tag, or by its very date."""
        for condition, same in (
            (b'"now"', True),
            (b'W/"now"', False),
            (b'"old"', False),
            (EXACTLY, True),
            (BEFORE, False),
            (b"nonsense", False),
        ):
            self.assertEqual(same_version(condition, b'"now"', AT), same, condition)


class DateTests(SynchronousTestCase):
    def test_forms(self) -> None:
        for value in (EXACTLY, b"Sunday, 06-Nov-94 08:49:37 GMT", b"Sun Nov  6 08:49:37 1994"):
            self.assertEqual(http_time(value), AT)
        for nothing in (None, b"", b"soon", b"Sun, 99 Nov 99999999999999 08:49:37 GMT"):
            self.assertIsNone(http_time(nothing))
