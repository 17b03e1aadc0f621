"""Tests of where redirects lead, and of what never gets into them."""

from __future__ import annotations

import string

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial import unittest

from balancer.model.exchange import Reply
from balancer.model.facts import RequestFacts
from balancer.model.target import BadTargetError
from balancer.rewriting.paths import PathSetting
from balancer.rewriting.queries import QuerySetting
from balancer.routing.answer import answer
from balancer.routing.decide import decide
from balancer.routing.redirect import Redirect
from balancer.routing.table import RouteTable
from tests.routing.making import facts, route


def reply(redirect: Redirect, request: RequestFacts, path: str | None = None) -> Reply:
    given = {} if path is None else {"path": path}
    table = RouteTable([route("r", action={"redirect": redirect}, **given)])
    return answer(decide(table, request, lambda: 0.5), request)


def location(redirect: Redirect, request: RequestFacts, path: str | None = None) -> str:
    return dict(reply(redirect, request, path).headers)[b"Location"].decode()


class ToTests(unittest.TestCase):
    """``to``: a URL or path."""

    def check(self, to: str, path: str | None, expected: dict[str, str]) -> None:
        for target, wanted in expected.items():
            self.assertEqual(location(Redirect(to), facts(target), path), wanted, target)

    def test_prefix_to_a_directory(self) -> None:
        """A target that ends with a slash takes what is below the prefix."""
        self.check(
            "https://shop.example/new/",
            "/old/**",
            {
                "/old": "https://shop.example/new/",
                "/old/": "https://shop.example/new/",
                "/old/a/b": "https://shop.example/new/a/b",
                "/old/a/?x=1&y=%20": "https://shop.example/new/a/?x=1&y=%20",
                "/old/a%20b%C3%A9": "https://shop.example/new/a%20b%C3%A9",
                "/old/%ff": "https://shop.example/new/%ff",
            },
        )

    def test_prefix_to_a_page(self) -> None:
        """A target without the slash is taken as it stands."""
        self.check("https://shop.example/gone", "/old/**", {"/old/a/b?x=1": "https://shop.example/gone?x=1"})

    def test_exact_paths_append_nothing(self) -> None:
        """Nothing lies below an exact path or a template."""
        self.check("/new/", "/old", {"/old?x": "/new/?x"})
        self.check("/new/", "/old/{id}", {"/old/7": "/new/"})

    def test_no_path_condition_is_every_path(self) -> None:
        """Without a path condition the whole path lies below."""
        self.check("https://b.example/", None, {"/": "https://b.example/", "/x/y": "https://b.example/x/y"})
        self.check("https://b.example", None, {"/x": "https://b.example"})
        self.check("/v2/", "/**", {"/x/y": "/v2/x/y"})

    def test_captures(self) -> None:
        """Captures go in percent-encoded, into path and query."""
        self.check(
            "/u?id={id}&v=1",
            "/users/{id}",
            {"/users/a%26b%3D?z=2": "/u?id=a%26b%3D&v=1&z=2", "/users/%0d%0aX:1": "/u?id=%0D%0AX:1&v=1"},
        )
        self.check("/users/{id}/all/", "/u/{id}/**", {"/u/7/x/y": "/users/7/all/x/y", "/u/a%3Fb": "/users/a%3Fb/all/"})
        self.check("/b/{rest}", "~^/a/(?P<rest>.*)$", {"/a/x/y": "/b/x/y"})

    def test_query(self) -> None:
        """The client's query follows the target's own; a question mark at the end drops it; fragments stay last."""
        self.check("/n?a=1", None, {"/?b=2": "/n?a=1&b=2", "/": "/n?a=1"})
        self.check("/n?", None, {"/?b=2": "/n"})
        self.check("/n#top", None, {"/?b=2": "/n?b=2#top"})
        self.check("/n", None, {'/?b="<x>': "/n?b=%22%3Cx%3E"})

    def test_habits_from_elsewhere(self) -> None:
        """``https://{host}{target}`` and ``?{query}`` mean what they look like."""
        for to in (
            "https://{host}{target}",
            "https://{host}{path}",
            "https://{host}{path}?{query}",
            "https://{host}{path}?{query}#",
            "https://{host}/",
        ):
            self.assertEqual(location(Redirect(to), facts("/a/b?x=1")).rstrip("#"), "https://a.example/a/b?x=1", to)
        self.assertEqual(location(Redirect("/a?{query}&z=1"), facts("/?x=1")), "/a?z=1&x=1")
        self.assertEqual(location(Redirect("/a?y=0&{query}&z=1"), facts("/?x=1")), "/a?y=0&z=1&x=1")

    def test_scheme_of_the_request(self) -> None:
        """``{scheme}`` is the client's."""
        self.assertEqual(
            location(Redirect("{scheme}://b.example/"), facts("/x", scheme="https")), "https://b.example/x"
        )

    def test_never_another_host(self) -> None:
        """A relative target never begins with two slashes, whatever was captured."""
        self.assertEqual(location(Redirect("/{rest}"), facts("/a/evil.example"), "~^/a(?P<rest>.*)$"), "/evil.example")
        self.assertEqual(location(Redirect("/"), facts("/old//evil.example"), "/old/**"), "/evil.example")
        self.assertEqual(location(Redirect("{path}"), facts("//evil.example/")), "/evil.example/")

    @given(
        st.text(string.ascii_letters + '/%.@:;?&#= \\\r\n"<>é', max_size=30),
        st.sampled_from(["/new/", "/{rest}", "/x?y={rest}", "https://b.example/{rest}", "https://{host}/{rest}/"]),
    )
    @settings(max_examples=200, deadline=None)
    def test_nothing_is_injected(self, tail: str, to: str) -> None:
        """Whatever the path holds, the location is printable ASCII and stays on its host."""
        request = facts("/old/" + tail.encode().decode("latin-1"))
        try:
            answered = reply(Redirect(to), request, "~^/old/(?P<rest>(?s:.*))")
        except BadTargetError:
            return
        if answered.status == 404:
            return
        got = answered.headers[0][1].decode()
        self.assertTrue(all("!" <= c <= "~" and c not in '\\"<>' for c in got), got)
        self.assertTrue(
            got.startswith(("https://b.example/", "https://a.example/")) or (got[0] == "/" != got[1:2]), got
        )

    def test_hosts_from_captures(self) -> None:
        """A capture may become part of the host only if it is one."""
        redirect = Redirect("https://{tenant}.shop.example/")
        self.assertEqual(location(redirect, facts("/t/a-1"), "/t/{tenant}"), "https://a-1.shop.example/")
        for bad in ("a%40b", "a%3a1", "%C3%A9", "a%20"):
            self.assertEqual(reply(redirect, facts(f"/t/{bad}"), "/t/{tenant}").status, 400, bad)
        self.assertEqual(reply(Redirect("https://{host}/"), facts(host="a@evil")).status, 400)

    def test_refuses(self) -> None:
        """What is no URL, path or name is an error that says what was expected."""
        for to in (
            "new/",
            "//evil",
            "",
            "https://",
            "https://u@h/",
            "/a b",
            "/a\r\nb",
            "https://h:port/",
            "/{",
            "/x?{query}x",
        ):
            self.assertRaises(ValueError, Redirect, to)
        self.assertRaises(ValueError, Redirect, "/", 200)
        self.assertRaises(ValueError, Redirect)
        self.assertRaises(ValueError, Redirect, "/", host="b.example")

    def test_unknown_names(self) -> None:
        """A name that the path does not capture is an error when the route is made."""
        error = self.assertRaises(ValueError, route, "r", path="/u/{id}", action={"redirect": Redirect("/{uid}")})
        self.assertEqual(str(error), "unknown name {uid} in '/{uid}'; the path captures id")


class PartsTests(unittest.TestCase):
    """Scheme, host, port and path given apart: what is not given stays."""

    def test_to_https(self) -> None:
        """A new scheme brings its own port; everything else stays."""
        redirect = Redirect(scheme="https", status=301)
        self.assertEqual(location(redirect, facts("/a?b=1", host="a.example:8080")), "https://a.example/a?b=1")
        self.assertEqual(location(redirect, facts("/", host="[::1]:80")), "https://[::1]/")
        self.assertEqual(location(Redirect(scheme="https", port=8443), facts("/")), "https://a.example:8443/")

    def test_host_and_port(self) -> None:
        """A new host keeps scheme and port; a new port keeps the host."""
        self.assertEqual(location(Redirect(host="b.example"), facts("/x", host="a:8080")), "http://b.example:8080/x")
        self.assertEqual(location(Redirect(port=80), facts("/x", host="a:8080")), "http://a/x")

    def test_path(self) -> None:
        """A new path alone is a relative target; with a slash at its end what lies below is appended."""
        self.assertEqual(location(Redirect(path="/new/"), facts("/old/x?y"), "/old/**"), "/new/x?y")
        self.assertEqual(location(Redirect(path="/n", host="b"), facts("/old/x?y"), "/old/**"), "http://b/n?y")

    def test_a_host_that_is_none(self) -> None:
        """A request without a host, or with one that no URL can hold, is answered with 400."""
        for host in ("", 'a"b', "a<b"):
            self.assertEqual(reply(Redirect(scheme="https"), facts(host=host)).status, 400, host)

    def test_refuses(self) -> None:
        """Parts are checked one by one."""
        for parts in ({"scheme": "ftp"}, {"host": "a b"}, {"port": 0}, {"path": "x"}, {"path": "/x?y"}):
            self.assertRaises(ValueError, lambda parts=parts: Redirect(**parts))

    def test_repr(self) -> None:
        """Status and target are shown."""
        self.assertEqual(repr(Redirect(scheme="https", port=1)), "<Redirect 308 scheme=https port=1>")
        self.assertEqual(repr(Redirect("/x", 302)), "<Redirect 302 /x>")


def _changed(path: object = None, query: object = None, **parts: object) -> Redirect:
    return Redirect(
        path=PathSetting.model_validate(path) if path is not None else None,
        query=QuerySetting.model_validate(query) if query is not None else None,
        **parts,  # type: ignore[arg-type]
    )


class ChangedTests(unittest.TestCase):
    """Redirects whose path and query are changed as ``rewrite`` changes them."""

    def test_prefix(self) -> None:
        """What the route matched is replaced; what lies below it keeps its bytes."""
        for target, wanted in (
            ("/old/a%2Cb//c?x=%7E", "/new/a%2Cb//c?x=%7E"),
            ("/old", "/new"),
            ("/old/", "/new/"),
            ("/%6Fld/a", "/new/a"),
        ):
            self.assertEqual(location(_changed({"prefix": "/new"}), facts(target), "/old/**"), wanted)
        self.assertEqual(location(_changed({"prefix": ""}), facts("/old//evil.example"), "/old/**"), "/evil.example")
        self.assertEqual(location(_changed("/new/{id}/**"), facts("/u/7/x"), "/u/{id}/**"), "/new/7/x")

    def test_regex(self) -> None:
        """What it captures can go into the query; where nothing is found the path stays."""
        redirect = _changed(
            {"regex": "^/show/(?P<id>\\d+)$", "with": "/show"}, {"set": {"id": "{id}"}}, host="b.example"
        )
        self.assertEqual(location(redirect, facts("/show/7?x")), "http://b.example/show?x&id=7")
        redirect = _changed({"regex": "^/x", "with": "/y"})
        self.assertEqual(location(redirect, facts("/a%2Cb")), "/a%2Cb")

    def test_query(self) -> None:
        """It is changed alone, with parts, or behind a whole target."""
        self.assertEqual(location(_changed(query={"remove": ["utm_*"]}), facts("/a?utm_a=1&b=%7E")), "/a?b=%7E")
        self.assertEqual(
            location(_changed(query={"keep": []}, to="https://b.example/x/"), facts("/a?c")), "https://b.example/x/a"
        )

    def test_what_is_none(self) -> None:
        """A path that nobody could read is not made."""
        redirect = _changed({"regex": "x", "with": ""})
        self.assertRaises(BadTargetError, redirect.location, facts("/a/.x./b"), {})

    def test_needs(self) -> None:
        """Names, and a prefix to be replaced, have to be in the route's path."""
        for redirect, path, words in (
            (_changed({"prefix": "/{id}"}), "/a/**", "unknown name {id}"),
            (_changed(query={"set": {"a": "{id}"}}), "/a/**", "unknown name {id}"),
            (_changed({"prefix": "/b"}), "/a", "to end in"),
        ):
            self.assertRaisesRegex(ValueError, words, route, "r", path=path, action={"redirect": redirect})

    def test_bytes_as_sent(self) -> None:
        """Where only the host is another, the path keeps its escapes."""
        self.assertEqual(location(_changed(host="b"), facts("/a%2C%7eb")), "http://b/a%2C%7eb")

    def test_words(self) -> None:
        """For operators."""
        self.assertEqual(
            repr(_changed({"prefix": "/n"}, {"remove": ["a"]}, status=302)),
            "<Redirect 302 path=prefix to /n query=remove a>",
        )


class GatewayTests(unittest.TestCase):
    """The Gateway API's conformance cases of HTTPRouteRedirect*, as data."""

    def test_path(self) -> None:
        """HTTPRouteRedirectPath: prefixes and whole paths, with the host's status."""
        for path, change, host, status, target, wanted in (
            ("/original-prefix/**", {"prefix": "/replacement-prefix"}, None, 302, "/original-prefix/lemon", "/replacement-prefix/lemon"),
            ("/full/**", "/full-path-replacement", None, 302, "/full/path/original", "/full-path-replacement"),
            ("/path-and-host/**", {"prefix": "/replacement-prefix"}, "example.org", 302, "/path-and-host/lemon", "http://example.org/replacement-prefix/lemon"),
            ("/path-and-status/**", {"prefix": "/replacement-prefix"}, None, 301, "/path-and-status/lemon", "/replacement-prefix/lemon"),
            ("/full-path-and-host/**", "/replacement-full", "example.org", 302, "/full-path-and-host/lemon", "http://example.org/replacement-full"),
            ("/full-path-and-status/**", "/replacement-full", None, 301, "/full-path-and-status/lemon", "/replacement-full"),
        ):  # fmt: skip
            found = reply(_changed(change, status=status, host=host), facts(target), path)
            self.assertEqual((found.status, dict(found.headers)[b"Location"].decode()), (status, wanted))

    def test_scheme_port_and_host(self) -> None:
        """HTTPRouteRedirectScheme, -Port, -HostAndStatus: a new scheme brings its port, and well-known ones are not written."""
        for parts, scheme, host, wanted in (
            ({"scheme": "https"}, "http", "a.example:8080", "https://a.example/"),
            ({"scheme": "https", "host": "example.org"}, "http", "a.example", "https://example.org/"),
            ({"scheme": "http", "host": "example.org"}, "https", "a.example:8443", "http://example.org/"),
            ({"port": 8083}, "http", "a.example", "http://a.example:8083/"),
            ({"port": 8083, "host": "example.org"}, "http", "a.example", "http://example.org:8083/"),
            ({"port": 80}, "http", "a.example:8080", "http://a.example/"),
            ({"port": 443, "scheme": "https"}, "http", "a.example", "https://a.example/"),
            ({"port": 8443, "scheme": "https"}, "http", "a.example", "https://a.example:8443/"),
            ({"port": 443}, "http", "a.example", "http://a.example:443/"),
            ({"host": "example.org"}, "http", "a.example:8080", "http://example.org:8080/"),
            ({"host": "example.org", "status": 301}, "http", "a.example", "http://example.org/"),
        ):
            redirect = _changed(**parts)  # type: ignore[arg-type]
            self.assertEqual(location(redirect, facts("/", host=host, scheme=scheme)), wanted, parts)
