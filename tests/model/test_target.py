"""Tests for :mod:`balancer.model.target`."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from balancer.model.target import BadTargetError, normalised_path, split_target


class TargetTests(SynchronousTestCase):
    def test_forms(self) -> None:
        for target, parts in (
            ("/a?b?c", ("", "", "/a", "b?c")),
            ("*", ("", "", "*", "")),
            ("HTTP://a.example:80/x?y", ("http", "a.example:80", "/x", "y")),
            ("https://a.example?y", ("https", "a.example", "/", "y")),
            ("ws://a.example", ("ws", "a.example", "/", "")),
        ):
            self.assertEqual(split_target(target), parts)

    def test_refused(self) -> None:
        for target in (
            "",
            "a",
            "http://",
            "http:///x",
            "http://u@a/",
            "ftp://a/",
            "/a b",
            "/a#b",
            "/\x7f",
            "/\t",
        ):
            self.assertRaises(BadTargetError, split_target, target)

    @given(st.text(alphabet="/.%2eEfF\\a\0é", max_size=12))
    def test_paths(self, rest: str) -> None:
        """Whatever comes in, what comes out has no dot segment, backslash, NUL or empty segment, and stays as it is."""
        try:
            path = normalised_path("/" + rest)
        except BadTargetError:
            return
        self.assertTrue(path.startswith("/"))
        segments = path.split("/")[1:]
        self.assertFalse({".", ".."} & set(segments) or "" in segments[:-1] or "\\" in path or "\0" in path, path)
        if "%" not in path:
            self.assertEqual(normalised_path(path), path)
