"""Tests of the resource tree, walked by Twisted's own code."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.python.filepath import FilePath
from twisted.trial import unittest
from twisted.web import server, static
from twisted.web.resource import IResource, Resource, getChildForRequest
from twisted.web.test.requesthelper import DummyChannel

from balancer.model.target import BadTargetError
from balancer.routing.answer import fixed_reply
from balancer.routing.decide import decide
from balancer.routing.redirect import Redirect
from balancer.routing.route import Route
from balancer.routing.table import RouteTable
from balancer.routing.tree import RoutingResource, facts_of, resource_for
from tests.routing.making import route


class Leaf(Resource):
    """A leaf that says where it was found."""

    isLeaf = True

    def __init__(self, name: str) -> None:
        Resource.__init__(self)
        self.name = name

    def render_GET(self, request: server.Request) -> bytes:
        return b"%s %r %r" % (self.name.encode(), request.prepath, request.postpath)

    def __repr__(self) -> str:
        return f"<Leaf {self.name}>"


class Below(Resource):
    """A resource with a tree of its own."""

    def __init__(self) -> None:
        Resource.__init__(self)
        self.putChild(b"a", Leaf("a"))
        self.putChild(b"", Leaf("index"))


def request_for(target: str, method: str = "GET", host: str = "a.example", secure: bool = False) -> server.Request:
    """A request of twisted.web itself, taken apart as its channel would."""
    request = server.Request(DummyChannel(), False)
    request.requestHeaders.addRawHeader("Host", host)
    request.method, request.uri = method.encode(), target.encode("latin-1")
    request.path = request.uri.partition(b"?")[0]
    request.prepath, request.postpath = [], [server.unquote(part) for part in request.path[1:].split(b"/")]  # type: ignore[attr-defined]
    request.site = server.Site(Resource())
    if secure:
        request._forceSSL = True
    return request


def proxied(name: str, order: int = 0, **given: Any) -> Route:
    made = route(name, order, **given)
    made.leaf = Leaf(name)
    return made


class WalkTests(unittest.TestCase):
    """Twisted's walk and the short way end at the same leaf."""

    def tree(self, *routes: Route) -> RoutingResource:
        return RoutingResource(RouteTable(routes), lambda: 0.5)

    def walked(self, tree: RoutingResource, request: server.Request) -> IResource:
        return getChildForRequest(tree, request)  # type: ignore[no-untyped-call,no-any-return,unused-ignore]

    def test_is_a_resource(self) -> None:
        """The root and its answers are resources."""
        tree = self.tree()
        self.assertTrue(IResource.providedBy(tree))
        self.assertTrue(IResource.providedBy(self.walked(tree, request_for("/"))))
        self.assertRaises(TypeError, tree.putChild, b"x", Resource())
        self.assertEqual(repr(tree), "<RoutingResource <RouteTable of 0 routes>>")

    def test_leaf_of_a_pool(self) -> None:
        """The leaf of the route decided on is found at once, and the decision is on the request."""
        request = request_for("/x/y?z")
        leaf = self.walked(self.tree(proxied("a", path="/x/**"), proxied("b", 1)), request)
        self.assertEqual(repr(leaf), "<Leaf a>")
        self.assertEqual(request.decision.pool, "a")  # type: ignore[attr-defined]

    def test_mounted_below_a_prefix(self) -> None:
        """The prefix is consumed, the rest is walked by the mounted resource itself."""
        tree = self.tree(route("m", path="/files/v1/**", action={"resource": Below()}))
        for target, expected in {
            "/files/v1/a": b"a [b'files', b'v1', b'a'] []",
            "/files/v1/a/b%20c": b"a [b'files', b'v1', b'a'] [b'b c']",
            "/files/v1/": b"index [b'files', b'v1', b''] []",
            "/x/../files//v1/a": b"a [b'files', b'v1', b'a'] []",
        }.items():
            request = request_for(target)
            self.assertEqual(self.walked(tree, request).render(request), expected, target)  # type: ignore[no-untyped-call]

    def test_mounted_at_an_exact_path(self) -> None:
        """A trailing slash is left to the resource; without one the resource itself is rendered."""
        below = Below()
        tree = self.tree(
            route("slash", path="/d/", action={"resource": below}),
            route("root", 1, path="/", action={"resource": below}),
        )
        for target in ("/d/", "/"):
            self.assertEqual(repr(self.walked(tree, request_for(target))), "<Leaf index>", target)
        exact = self.tree(route("exact", path="/d", action={"resource": below}))
        self.assertIs(self.walked(exact, request_for("/d")), below)

    def test_mounted_without_a_prefix(self) -> None:
        """For any path, or by an expression, the resource sees the whole path."""
        for match in ({}, {"path": "~a$"}, {"path": "/**"}):
            tree = self.tree(route("m", action={"resource": Below()}, **match))
            self.assertEqual(repr(self.walked(tree, request_for("/a"))), "<Leaf a>")

    def test_static_files(self) -> None:
        """twisted.web.static serves what lies below the prefix and nothing beside its directory."""
        directory = FilePath(self.mktemp())
        directory.child("sub").makedirs()
        directory.child("sub").child("x.txt").setContent(b"here")
        tree = self.tree(route("m", path="/f/**", action={"resource": static.File(directory.path)}))
        found = self.walked(tree, request_for("/f/sub/x.txt"))
        self.assertEqual(found.getContent(), b"here")  # type: ignore[attr-defined]
        self.assertFalse(hasattr(self.walked(tree, request_for("/f/sub/none.txt")), "getContent"))

    def rendered(self, tree: RoutingResource, request: server.Request) -> tuple[int, dict[bytes, bytes], bytes]:
        body = self.walked(tree, request).render(request)  # type: ignore[no-untyped-call]
        headers = {name: values[0] for name, values in request.responseHeaders.getAllRawHeaders()}
        return request.code, headers, body

    def test_answers(self) -> None:
        """Redirects, fixed responses and the lack of a route are rendered."""
        tree = self.tree(
            route("r", path="/old/**", action={"redirect": Redirect("/new/")}),
            route("t", path="/tea", action={"reply": fixed_reply(418, "short")}),
            route("n", path="/none", action={"reply": fixed_reply(204)}),
        )
        code, headers, body = self.rendered(tree, request_for("/old/a?b"))
        self.assertEqual((code, headers[b"Location"], headers[b"Content-Length"], body), (308, b"/new/a?b", b"0", b""))
        self.assertEqual(headers[b"Proxy-Status"], b"balancer")
        code, headers, body = self.rendered(tree, request_for("/tea"))
        self.assertEqual((code, body, headers[b"Content-Type"]), (418, b"short", b"text/plain; charset=utf-8"))
        code, headers, body = self.rendered(tree, request_for("/none"))
        self.assertEqual((code, body, b"Content-Length" in headers), (204, b"", False))
        code, headers, body = self.rendered(tree, request_for("/missing"))
        self.assertEqual(code, 404)
        self.assertIn(b"destination_not_found", body)
        code, headers, body = self.rendered(tree, request_for("/tea", "HEAD"))
        self.assertEqual((code, body, headers[b"Content-Length"]), (418, b"", b"5"))

    def test_bad_target(self) -> None:
        """A path that can be read in two ways is answered with 400."""
        code, _, body = self.rendered(self.tree(proxied("a")), request_for("/a%2fb"))
        self.assertEqual(code, 400)
        self.assertIn(b"http_request_error", body)

    def test_rendered_without_a_walk(self) -> None:
        """Rendering the root decides as well."""
        tree = self.tree(proxied("a"), route("m", 1, path="/a", action={"resource": Leaf("m")}))
        self.assertEqual(tree.render(request_for("/x")), b"a [] [b'x']")
        self.assertEqual(tree.render(request_for("/a")), b"m [b'a'] []")

    def test_a_pool_without_a_leaf(self) -> None:
        """A route that nobody gave a leaf is a mistake in the program, and says so."""
        tree = self.tree(route("a"))
        error = self.assertRaises(LookupError, tree.getChildWithDefault, b"", request_for("/"))
        self.assertEqual(str(error), "route 'a' was given no leaf")

    @given(
        st.lists(st.sampled_from(["a", "b", "", ".", "..", "%20", "a%2fb"]), max_size=5),
        st.sampled_from(["a.example", "b.example"]),
    )
    @settings(max_examples=200, deadline=None)
    def test_both_ways_agree(self, segments: list[str], host: str) -> None:
        """Twisted's walk and the short way of the hot path find the same leaf and leave the same paths."""
        routes = [
            proxied("host", 0, host="b.example", path="/a/**"),
            proxied("exact", 1, path="/a/b"),
            route("mounted", 2, path="/b/**", action={"resource": Below()}),
            route("template", 3, path="/a/{x}/**", action={"resource": Below()}),
            route("redirect", 4, path="/", action={"redirect": Redirect("/a")}),
        ]
        table = RouteTable(routes)
        target = "/" + "/".join(segments)
        one, other = request_for(target, host=host), request_for(target, host=host)
        found = self.walked(RoutingResource(table, lambda: 0.5), one)
        try:
            decision = decide(table, facts_of(other), lambda: 0.5)
        except BadTargetError:
            self.assertEqual(type(found).__name__, "AnswerResource")
            return
        short = resource_for(other, decision, facts_of(other))
        self.assertEqual(one.decision, other.decision)  # type: ignore[attr-defined]
        self.assertEqual(repr(type(found)), repr(type(short)))
        if decision.action == "resource":
            self.assertEqual((one.prepath, one.postpath), (other.prepath, other.postpath))
        if isinstance(found, Leaf):
            self.assertIs(found, short)


class FactsTests(unittest.TestCase):
    """Facts from the interface of a request."""

    def test_gathered(self) -> None:
        """Method, target, host and addresses come from the request."""
        facts = facts_of(request_for("/x?y=1", "PUT", "B.example:81"))
        self.assertEqual((facts.method, facts.path, facts.host, facts.scheme), ("PUT", "/x", "b.example", "http"))
        self.assertEqual(facts.client_ip, "192.168.1.1")
        self.assertEqual(facts_of(request_for("/", secure=True)).scheme, "https")

    def test_own(self) -> None:
        """A request that has facts keeps them."""
        request = request_for("/")
        request.facts = facts_of(request)  # type: ignore[attr-defined]
        self.assertIs(facts_of(request), request.facts)  # type: ignore[attr-defined]
