from __future__ import annotations

from balancer_crs.engine.paths import _normalized, normalize_path, normalize_path_win, path_is_normal
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import TestCase


class PathTests(TestCase):
    def test_vectors(self) -> None:
        """Repeated slashes, the directory itself and its parent are resolved."""
        for value, expected in (
            (b"", b""),
            (b"/foo/bar/baz", b"/foo/bar/baz"),
            (b"/foo/bar\x00/baz", b"/foo/bar\x00/baz"),
            (b"x", b"x"),
            (b".", b""),
            (b"./", b""),
            (b"./..", b".."),
            (b"./../", b"../"),
            (b"..", b".."),
            (b"../", b"../"),
            (b"../.", b".."),
            (b"../../", b"../../"),
            (b"/dir/foo//bar", b"/dir/foo/bar"),
            (b"dir/foo//bar/", b"dir/foo/bar/"),
            (b"dir/../foo", b"foo"),
            (b"dir/../../foo", b"../foo"),
            (b"dir/./.././../../foo/bar", b"../../foo/bar"),
            (b"dir/./.././../../foo/bar/.", b"../../foo/bar"),
            (b"dir//.//..//.//..//..//foo//bar", b"../../foo/bar"),
            (b"/dir/../foo", b"/foo"),
            (b"/../../foo", b"/foo"),
            (b"/dir/subdir/subsubdir/subsubsubdir/../../../../../foo", b"/foo"),
            (b"/a/..", b""),
        ):
            self.assertEqual(normalize_path(value), expected, value)

    def test_backslashes(self) -> None:
        """On Windows a backslash parts names too."""
        self.assertEqual(normalize_path_win(rb"dir\foo\\bar"), b"dir/foo/bar")
        self.assertEqual(normalize_path_win(rb"\..\..\etc/passwd"), b"/etc/passwd")
        self.assertEqual(normalize_path(rb"dir\foo"), rb"dir\foo")

    @given(st.lists(st.sampled_from([b"a", b"/", b".", b"..", b"b."]), max_size=12).map(b"".join))
    @settings(max_examples=300, deadline=None)
    def test_quick_look(self, value: bytes) -> None:
        """A path with nothing to resolve is what it was."""
        if value and not path_is_normal.search(value):
            self.assertEqual(_normalized(value), value)
