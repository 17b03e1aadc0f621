"""Tests of paths as sent beside what routes match."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial import unittest

from balancer.model.raw_path import RawPath
from balancer.model.target import BadTargetError, normalised_path

_PIECES = st.sampled_from(["/", "/", "a", "b", "%61", "%2e", ".", "..", "%2E%2e", "%20", "%c3%a9", "\xe9", "%ff", "*"])


class RawPathTests(unittest.TestCase):
    def test_rest_is_as_it_was_sent(self) -> None:
        """What is behind the first segments keeps its escapes, doubled slashes and dots."""
        for raw, count, rest in (
            ("/a/b%20c", 1, "/b%20c"),
            ("/%61/b", 1, "/b"),
            ("/a", 1, ""),
            ("/a/", 1, "/"),
            ("/a//b/../c", 1, "//b/../c"),
            ("/x/../a/b", 1, "/b"),
            ("/a/b/../../a/c", 1, "/c"),
            ("//a/b", 1, "/b"),
            ("/a/b", 0, "/a/b"),
            ("/a/b/..", 1, "/b/.."),
            ("/a", 2, ""),
        ):
            self.assertEqual(RawPath(raw).rest(count), rest, raw)

    def test_first(self) -> None:
        """The segments themselves are those that count, as they were sent."""
        self.assertEqual(RawPath("/x/../%61//b/c").first(2), "/%61/b")
        self.assertEqual(RawPath("/a").first(0), "")

    def test_below(self) -> None:
        """The rest of the normalised path, escapes as they were sent."""
        for raw, count, below in (("/a//%62/./c/", 1, "%62/c/"), ("/a/", 1, ""), ("/a", 0, "a"), ("/", 0, "")):
            self.assertEqual(RawPath(raw).below(count), below, raw)

    def test_segment(self) -> None:
        """One segment, counted in the normalised path."""
        self.assertEqual(RawPath("/./a/%62").segment(1), "%62")
        self.assertEqual(RawPath("/a").segment(3), "")

    def test_span(self) -> None:
        """A stretch of decoded bytes is the raw bytes that they came from."""
        path = RawPath("/%61/b%20c")
        self.assertEqual(path.span(1, 2), "%61")
        self.assertEqual(path.span(3, 6), "b%20c")
        self.assertEqual(path.span(4, 4), "")

    @given(st.lists(_PIECES, max_size=12).map(lambda pieces: "/" + "".join(pieces)))
    def test_kept_is_the_normalised_path(self, raw: str) -> None:
        """Decoded, what is kept is what routes match; and so is any first part with the rest."""
        try:
            normal = normalised_path(raw)
        except BadTargetError:
            return
        path = RawPath(raw)
        self.assertEqual(normalised_path(path.kept), normal, path.kept)
        whole = len(normal.encode("utf-8", "surrogateescape"))
        self.assertEqual(path.span(0, whole), path.kept)
        for count in range(1, normal.count("/") + 1):
            if path.segment(count - 1):
                self.assertEqual(normalised_path(path.first(count) + path.rest(count)), normal)

    def test_repr(self) -> None:
        """For operators."""
        self.assertEqual(repr(RawPath("/a")), "<RawPath /a>")
