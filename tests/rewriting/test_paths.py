"""Tests of how a path becomes another."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from twisted.trial import unittest

from balancer.model.patterns import PathPattern
from balancer.model.target import BadTargetError, normalised_path
from balancer.rewriting.paths import PathChange, PathSetting
from balancer.routing.matchers import CompiledPath
from tests.routing.making import facts


def change(setting: Any) -> PathChange:
    return PathChange(PathSetting.model_validate(setting))


def compiled(pattern: str | None) -> CompiledPath | None:
    if pattern is None:
        return None
    return CompiledPath(PathPattern.regex(pattern[1:]) if pattern.startswith("~") else PathPattern.parse(pattern))


def changed(setting: Any, target: str, pattern: str | None = None) -> str:
    request, matched = facts(target), compiled(pattern)
    captures = matched.captures(request.path) if matched is not None else {}
    found = change(setting).apply(request, request.parts[2], captures, "route", matched)
    return found.path if found is not None else request.parts[2]


class PrefixTests(unittest.TestCase):
    """What the route's path matched is replaced."""

    def check(self, pattern: str | None, prefix: str, cases: dict[str, str]) -> None:
        for target, expected in cases.items():
            self.assertEqual(changed({"prefix": prefix}, target, pattern), expected, (target, pattern, prefix))

    def test_table_of_the_gateway_api(self) -> None:
        """Every line of the table that documents ReplacePrefixMatch (HTTPPathModifier)."""
        for target, prefix, expected in (
            ("/foo/bar", "/xyz", "/xyz/bar"),
            ("/foo/bar", "/xyz/", "/xyz/bar"),
            ("/foo", "/xyz", "/xyz"),
            ("/foo/", "/xyz", "/xyz/"),
            ("/foo/bar", "", "/bar"),
            ("/foo/", "", "/"),
            ("/foo", "", "/"),
            ("/foo/", "/", "/"),
            ("/foo", "/", "/"),
            ("/foo/bar", "/", "/bar"),
        ):
            self.check("/foo/**", prefix, {target: expected})

    def test_below_stays_as_sent(self) -> None:
        """Escapes, doubled slashes and dots below the prefix are not touched, whatever the prefix was written as."""
        self.check(
            "/a/**",
            "/new",
            {
                "/a/b%20c%2Cd": "/new/b%20c%2Cd",
                "/%61/b": "/new/b",
                "/a//b/./c": "/new//b/./c",
                "/x/../a/%7Eb": "/new/%7Eb",
                "//a/b": "/new/b",
            },
        )

    def test_never_begins_with_two_slashes(self) -> None:
        """What would be read as a host is not."""
        self.check("/a/**", "", {"/a//evil.example": "/evil.example", "/a///": "/"})
        self.check("/a/**", "/", {"/a//evil.example": "/evil.example"})

    def test_any_path(self) -> None:
        """A route without path, or of ``/**``, has matched no prefix: one is put before."""
        self.check(None, "/v1", {"/": "/v1/", "/a": "/v1/a"})
        self.check("/**", "/v1/", {"/a": "/v1/a"})

    def test_captures(self) -> None:
        """The new prefix may hold what the path captured, as it was sent."""
        self.check("/u/{id}/**", "/by-id/{id}/x", {"/u/%37a/b": "/by-id/%37a/x/b", "/u/7": "/by-id/7/x"})
        self.assertEqual(changed("/by-id/{id}/**", "/u/%377/b%20", "/u/{id}/**"), "/by-id/%377/b%20")

    def test_prefixes_are_told(self) -> None:
        """So that what a server says of its own paths can be turned back."""
        request = facts("/%61/b/c")
        found = change({"prefix": "/new/"}).apply(request, "/%61/b/c", {}, "", compiled("/a/b/**"))
        assert found is not None
        self.assertEqual(found.prefixes, ("/new", "/%61/b"))

    @given(
        st.text("/ab.%2eE\xe9~", max_size=20).map(lambda text: "/a/" + text),
        st.sampled_from(["", "/", "/x", "/x/", "/x/y"]),
    )
    def test_is_the_decoded_prefix_replaced(self, target: str, prefix: str) -> None:
        """Read by a server, the new path is the new prefix and what was below the old."""
        pattern = compiled("/a/**")
        assert pattern is not None
        request = facts(target)
        try:
            path = request.path
        except BadTargetError:
            return
        if not pattern.matches(path):
            return
        rest = path.removeprefix("/a")
        self.assertEqual(
            normalised_path(changed({"prefix": prefix}, target, "/a/**")),
            (normalised_path(prefix) if prefix else "").rstrip("/") + rest or "/" if rest else prefix or "/",
        )


class FullTests(unittest.TestCase):
    """The whole path, with holes."""

    def test_template(self) -> None:
        """Captures go in as they were sent, of variables and of groups."""
        self.assertEqual(changed("/v2/{id}/x", "/users/a%2Cb", "/users/{id}"), "/v2/a%2Cb/x")
        self.assertEqual(changed("/v2/{rest}", "/u/a%20b/c", "~^/u/(?P<rest>.*)$"), "/v2/a%20b/c")
        self.assertEqual(changed({"full": "/fixed"}, "/a/b"), "/fixed")

    def test_path(self) -> None:
        """``{path}`` is the path as sent, without its doubled slashes and dots; slashes are not doubled."""
        for template in ("/v2{path}", "/v2/{path}"):
            self.assertEqual(changed(template, "/a%20b//c"), "/v2/a%20b/c")
        self.assertEqual(changed("{path}", "/a"), "/a")

    def test_facts_are_one_segment(self) -> None:
        """A fact of the request cannot bring a slash of its own, or dots."""
        setting = change("/t/{header:X-Tenant}/x")
        for value, expected in (("a b?", "/t/a%20b%3F/x"), ("\xe9", "/t/%E9/x"), ("%41", "/t/%2541/x")):
            request = facts("/", headers=(("X-Tenant", value),))
            found = setting.apply(request, "/", {}, "", None)
            assert found is not None
            self.assertEqual(found.path, expected)
        for value in ("..", "a/b", "../..", "a\\b", "\0"):
            request = facts("/", headers=(("X-Tenant", value),))
            self.assertRaises(BadTargetError, setting.apply, request, "/", {}, "", None)

    def test_names(self) -> None:
        """What only the route's path can give is known."""
        self.assertEqual(change("/{id}/{host}{path}/{x}/**").captures, {"id", "x"})


class RegexTests(unittest.TestCase):
    """What is found in the decoded path is replaced in the raw one."""

    def test_groups_as_sent(self) -> None:
        """The expression sees decoded bytes; groups and what is around a match stay as sent."""
        rule = {"regex": "^/([^/]+) x/(?P<rest>.*)$", "with": "/new/\\g<rest>/\\1"}
        self.assertEqual(changed(rule, "/%61%62%20x/c%2Cd"), "/new/c%2Cd/%61%62")
        self.assertEqual(changed({"regex": "b", "with": "\xe9"}, "/%61b%63"), "/%61%C3%A9%63")

    def test_every_place(self) -> None:
        """All places are replaced; where there is none, nothing is touched."""
        self.assertEqual(changed({"regex": "-", "with": "_"}, "/a-b-%63"), "/a_b_%63")
        self.assertEqual(changed({"regex": "-", "with": "_"}, "/a//./b%41"), "/a//./b%41")

    def test_always_a_path(self) -> None:
        """It begins with one slash."""
        self.assertEqual(changed({"regex": "^/a/", "with": ""}, "/a/b"), "/b")
        self.assertEqual(changed({"regex": "^/a", "with": ""}, "/a"), "/")
        self.assertEqual(changed({"regex": "^/a", "with": "/"}, "/a/b"), "/b")

    def test_no_dots_come_together(self) -> None:
        """What is put together is read in one way only."""
        with self.assertRaises(BadTargetError):
            changed({"regex": "x", "with": ""}, "/a/.x./b")
        with self.assertRaises(BadTargetError):
            changed({"regex": "x", "with": ""}, "/%x2f")

    def test_names(self) -> None:
        """Its own groups are at hand for what is rewritten with it."""
        setting = change({"regex": "^/show/(?P<id>[0-9]+)$", "with": "/show"})
        self.assertEqual(setting.gives, {"id"})
        found = setting.apply(facts("/show/7"), "/show/7", {}, "", None)
        assert found is not None
        self.assertEqual((found.path, dict(found.captures)), ("/show", {"id": "7"}))

    def test_works_on_what_is_there(self) -> None:
        """An expression goes on where another rewriting left off."""
        found = change({"regex": "^/b", "with": "/c"}).apply(facts("/a"), "/b/x", {}, "", None)
        assert found is not None
        self.assertEqual(found.path, "/c/x")

    @given(st.text("/ab.%2eEc\xe9~", max_size=20).map(lambda text: "/" + text))
    def test_identity(self, target: str) -> None:
        """Each byte replaced by itself is the path, but for what normalising drops."""
        try:
            path = facts(target).path
        except BadTargetError:
            return
        self.assertEqual(normalised_path(changed({"regex": "(?s)(.)", "with": "\\1"}, target)), path)


class RefusalTests(unittest.TestCase):
    def test_settings(self) -> None:
        """What cannot work is refused when it is read."""
        for setting, words in (
            ("a", "begins with '/'"),
            ({"prefix": "a"}, "begins with '/'"),
            ({"prefix": "/a/**"}, "without '/\\*\\*'"),
            ({"prefix": "/a/../b"}, "dot segment"),
            ("/a?x=1", "changed with 'query'"),
            ("/a b", "without blanks"),
            ("/a%2fb", "escape"),
            ("/a%zz", "escape"),
            ("/a\r\nX: y", "without blanks"),
            ("/a/**/b", "last segment"),
            ("/{", "expected {name}"),
            ({"regex": "(", "with": ""}, "RE2"),
            ({"regex": "a"}, "together"),
            ({"regex": "a", "with": "\\1"}, "group"),
            ({"regex": "a", "with": "/b?c"}, "query"),
            ({"regex": "a", "with": "b", "prefix": "/"}, "one of"),
            ({}, "one of"),
        ):
            self.assertRaisesRegex(ValidationError, words, PathSetting.model_validate, setting)

    def test_repr(self) -> None:
        """For operators."""
        self.assertEqual(repr(change({"prefix": "/new"})), "<PathChange prefix to /new>")
        self.assertEqual(repr(change({"regex": "a", "with": "b"})), "<PathChange a to b>")
