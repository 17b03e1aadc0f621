"""Tests of text replaced as it streams."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial import unittest

from balancer.filters.substitution import Across, ByLine, Literal
from balancer.model.exchange import Transform
from balancer.rewriting.expansion import Expansion, byte_regex


def literal(old: bytes, new: bytes) -> Literal:
    return Literal(old, new)


def by_line(expression: str, new: str, longest: int = 1000) -> ByLine:
    pattern = byte_regex(expression)
    return ByLine(pattern, Expansion(new, pattern), longest)


def across(expression: str, new: str, longest: int = 8) -> Across:
    pattern = byte_regex(expression)
    return Across(pattern, Expansion(new, pattern), longest)


def run(transform: Transform, *pieces: bytes) -> bytes:
    out = b"".join([transform.feed(piece) for piece in pieces])
    rest, trailers = transform.end([(b"a", b"b")])
    assert trailers == [(b"a", b"b")]
    return out + rest


_TEXTS = st.text("aab<>\n", max_size=30).map(str.encode)


class SubstitutionTests(unittest.TestCase):
    def check(self, make: object, body: bytes, expected: bytes) -> None:
        """Whole, byte by byte, and at every split."""
        assert callable(make)
        self.assertEqual(run(make(), body), expected)
        self.assertEqual(run(make(), *[body[at : at + 1] for at in range(len(body))]), expected)
        for at in range(len(body)):
            self.assertEqual(run(make(), body[:at], body[at:]), expected)

    def test_literal(self) -> None:
        """Every place, in any pieces."""
        self.check(lambda: literal(b"aab", b"X"), b"aaab aab aa", b"aX X aa")
        self.check(
            lambda: literal(b"http://in/", b"https://out/"),
            b"<a href=http://in/x>http://in",
            b"<a href=https://out/x>http://in",
        )
        self.check(lambda: literal(b"aa", b""), b"aaa", b"a")

    def test_holds_little(self) -> None:
        """No more is held back than may be the beginning of a match."""
        transform = literal(b"needle", b"x")
        self.assertEqual(transform.feed(b"hay need"), b"hay ")
        self.assertEqual(transform.feed(b"y"), b"needy")
        windowed = across("a+b", "x", 4)
        self.assertEqual(windowed.feed(b"0123456789"), b"012345")

    def test_by_line(self) -> None:
        """Each line by itself; ends stay as they are."""
        self.check(lambda: by_line("^a(.*)$", "<\\1>"), b"ab\r\nba\na\n\nac", b"<b>\r\nba\n<>\n\n<c>")

    def test_long_lines(self) -> None:
        """They are cut where they are too long, always at the same place."""
        self.check(lambda: by_line("ab", "X", 5), b"ababab\nab", b"XXab\nX")

    def test_across(self) -> None:
        """Over lines, with what stands before in sight."""
        self.check(lambda: across("(?s)<.*?>", "T"), b"a<b\nc>d<>", b"aTdT")
        self.check(lambda: across("\\bab", "X"), b"ab cab ab", b"X cab X")
        self.check(lambda: across("^a", "X"), b"aaa", b"Xaa")
        self.check(lambda: across("b$", "X"), b"abbb", b"abbX")

    def test_across_at_most(self) -> None:
        """What is longer than was said is no match."""
        self.check(lambda: across("(?s)<.*?>", "T", 5), b"<1234><123>", b"<1234>T")
        self.check(lambda: across("a+", "X", 3), b"aaaaaaab", b"XXXb")

    @given(_TEXTS, st.integers(0, 30), st.integers(0, 30))
    def test_pieces_do_not_matter(self, body: bytes, first: int, second: int) -> None:
        """What comes out is what Python's own means make of the whole body."""
        one, two = sorted((first, second))
        pieces = (body[:one], body[one:two], body[two:])
        self.assertEqual(run(literal(b"aab", b"<>"), *pieces), body.replace(b"aab", b"<>"))
        self.assertEqual(run(across("a{1,3}b", "<>"), *pieces), re.sub(rb"a{1,3}b", b"<>", body))
        self.assertEqual(
            run(by_line("a(b|<)", "\\1"), *pieces),
            b"\n".join(re.sub(rb"a(b|<)", rb"\1", line) for line in body.split(b"\n")),
        )
