"""Other people's rewritings: the Gateway API's conformance cases, and recipes from the documentation of other proxies."""

from __future__ import annotations

import json
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from balancer import testing

_SEEN = {"X-Header-Remove": "remove-val", "X-Header-Add-Append": "append-val-1", "X-Header-Set": "set-val"}
_STEPS = {
    "headers": {
        "request": {
            "set": {"X-Header-Set": "set-overwrites-values"},
            "add": {"X-Header-Add": "header-val-1", "X-Header-Add-Append": "header-val-2"},
            "remove": ["X-Header-Remove"],
        }
    }
}


def configured(*routes: dict[str, Any]) -> testing.Configured:
    """Return a balancer with ``routes``, each to the same pool where it says nothing else."""
    made = [route if "redirect" in route else {**route, "pool": "web"} for route in routes]
    listener = {"bind": "127.0.0.1:80", "protocol": "http", "routes": made}
    pools = {"web": {"servers": ["127.0.0.1:81"]}}
    return testing.Configured(json.dumps({"listeners": {"web": listener}, "pools": pools}))


def rewriting(pattern: Any, *more: dict[str, Any], **rewrite: Any) -> dict[str, Any]:
    """Return a route of ``pattern`` with the filter."""
    match = {"path": pattern} if pattern is not None else {}
    return {"match": match, "filters": [{"rewrite": rewrite}, *more]}


class FlowTestCase(SynchronousTestCase):
    def sent(self, balancer: testing.Configured, url: str, **headers: str) -> dict[str, Any]:
        """Return the request as a server gets it."""
        found = balancer.ask(url, headers=headers)
        assert found.request is not None, found
        return found.request

    def check(self, route: dict[str, Any], cases: dict[str, str]) -> None:
        """Compare targets as they are sent."""
        balancer = configured(route)
        for asked, expected in cases.items():
            self.assertEqual(self.sent(balancer, asked)["target"], expected, asked)


class ConformanceTests(FlowTestCase):
    """HTTPRouteRewritePath and HTTPRouteRewriteHost."""

    def check_headers(self, request: dict[str, Any]) -> None:
        fields = [(name, value) for name, value in request["headers"] if name.startswith("X-Header")]
        self.assertEqual(
            sorted(fields),
            [
                ("X-Header-Add", "header-val-1"),
                ("X-Header-Add-Append", "append-val-1"),
                ("X-Header-Add-Append", "header-val-2"),
                ("X-Header-Set", "set-overwrites-values"),
            ],
        )

    def test_path(self) -> None:
        """Prefixes and whole paths, alone and beside changes of headers."""
        balancer = configured(
            rewriting("/prefix/one/**", path={"prefix": "/one"}),
            rewriting("/strip-prefix/**", path={"prefix": "/"}),
            rewriting("/full/one/**", path="/one"),
            rewriting("/full/rewrite-path-and-modify-headers/**", _STEPS, path="/test"),
            rewriting("/prefix/rewrite-path-and-modify-headers/**", _STEPS, path={"prefix": "/prefix"}),
        )
        for asked, expected in (
            ("/prefix/one/two", "/one/two"),
            ("/strip-prefix/three", "/three"),
            ("/strip-prefix", "/"),
            ("/full/one/two", "/one"),
        ):
            self.assertEqual(self.sent(balancer, asked)["target"], expected)
        for asked, expected in (
            ("/full/rewrite-path-and-modify-headers/test", "/test"),
            ("/prefix/rewrite-path-and-modify-headers/one", "/prefix/one"),
        ):
            request = self.sent(balancer, asked, **_SEEN)
            self.assertEqual(request["target"], expected)
            self.check_headers(request)

    def test_host(self) -> None:
        """The host alone, and beside changes of headers; the path stays."""
        balancer = configured(
            rewriting("/one/**", host="one.example.org"),
            rewriting("/rewrite-host-and-modify-headers/**", _STEPS, host="test.example.org"),
            rewriting(None, host="example.org"),
        )
        for path, host in (("/one", "one.example.org"), ("/two", "example.org")):
            request = self.sent(balancer, f"http://rewrite.example{path}")
            self.assertEqual(request["target"], path)
            self.assertIn(["Host", host], request["headers"])
        request = self.sent(balancer, "http://rewrite.example/rewrite-host-and-modify-headers", **_SEEN)
        self.assertIn(["Host", "test.example.org"], request["headers"])
        self.check_headers(request)

    def test_redirect_port_and_scheme(self) -> None:
        """HTTPRouteRedirectPortAndScheme, on listeners of 80, 8080 and 443; well-known ports are not written."""
        for asked, parts, expected in (
            ("http://a.example", {}, "http://example.org"),
            ("http://a.example", {"port": 80}, "http://example.org"),
            ("http://a.example", {"port": 8080}, "http://example.org:8080"),
            ("http://a.example", {"scheme": "https"}, "https://example.org"),
            ("http://a.example", {"scheme": "https", "port": 443}, "https://example.org"),
            ("http://a.example", {"scheme": "https", "port": 8443}, "https://example.org:8443"),
            ("http://a.example:8080", {}, "http://example.org:8080"),
            ("http://a.example:8080", {"port": 80}, "http://example.org"),
            ("http://a.example:8080", {"scheme": "https"}, "https://example.org"),
        ):
            balancer = configured({"redirect": {"host": "example.org", "status": 302, **parts}})
            found = balancer.ask(f"{asked}/scheme-and-port")
            self.assertEqual((found.status, found.location), (302, f"{expected}/scheme-and-port"), (asked, parts))


class NginxTests(FlowTestCase):
    """``proxy_pass`` with a URI, and ``rewrite``."""

    def test_proxy_pass_with_uri(self) -> None:
        """``location /name/ { proxy_pass http://server/remote/; }``."""
        self.check(
            rewriting("/name/**", path={"prefix": "/remote"}), {"/name/x?y": "/remote/x?y", "/name/": "/remote/"}
        )

    def test_proxy_pass_slash(self) -> None:
        """``location /api/ { proxy_pass http://server/; }``."""
        self.check(rewriting("/api/**", path={"prefix": "/"}), {"/api/v1/x": "/v1/x", "/api/": "/"})

    def test_rewrite(self) -> None:
        """``rewrite ^(/download/.*)/media/(.*)\\..*$ $1/mp3/$2.mp3 last;``."""
        route = rewriting("/download/**", path={"regex": r"^(/download/.*)/media/(.*)\..*$", "with": r"\1/mp3/\2.mp3"})
        self.check(route, {"/download/a/media/file.wav": "/download/a/mp3/file.mp3", "/download/x": "/download/x"})

    def test_rewrite_into_query(self) -> None:
        """``rewrite ^/users/(.*)$ /show?user=$1 last;``: the client's parameters follow."""
        route = rewriting(
            "/users/**", path={"regex": "^/users/(?P<user>.*)$", "with": "/show"}, query={"set": {"user": "{user}"}}
        )
        self.check(route, {"/users/7?a=1": "/show?a=1&user=7"})

    def test_rewrite_dropping_arguments(self) -> None:
        """``rewrite ^/old$ /new? last;``."""
        self.check(rewriting("/old", path="/new", query={"keep": []}), {"/old?a=1": "/new"})


class HAProxyTests(FlowTestCase):
    """``http-request`` rules."""

    def test_replace_path(self) -> None:
        """``replace-path /foo/(.*) /\\1`` and ``replace-path (.*) /foo\\1``."""
        self.check(rewriting(None, path={"regex": "^/foo/(.*)", "with": r"/\1"}), {"/foo/bar?q": "/bar?q", "/x": "/x"})
        self.check(rewriting(None, path={"prefix": "/foo"}), {"/bar": "/foo/bar"})

    def test_set_path_and_query(self) -> None:
        """``set-path /v2%[path]``, ``set-query user=…``."""
        self.check(rewriting(None, path="/v2{path}"), {"/a%20b?x": "/v2/a%20b?x"})
        self.check(rewriting(None, query={"keep": [], "add": {"from": "{client_ip}"}}), {"/a?x": "/a?from=192.0.2.1"})

    def test_set_uri(self) -> None:
        """``replace-header Host (.*)\\.example\\.com \\1.internal`` by a host's name."""
        balancer = configured(rewriting(None, host="{header:X-Tenant}.internal"))
        self.assertIn(["Host", "a.internal"], self.sent(balancer, "/", **{"X-Tenant": "a"})["headers"])


class TraefikTests(FlowTestCase):
    """Middlewares."""

    def test_strip_prefix(self) -> None:
        """``stripPrefix: {prefixes: [/foo, /fiibar]}``."""
        self.check(
            rewriting(["/foo/**", "/fiibar/**"], path={"prefix": ""}),
            {"/foo/bar": "/bar", "/fiibar/x/y": "/x/y", "/foo": "/", "/foo/": "/"},
        )

    def test_add_prefix(self) -> None:
        """``addPrefix: {prefix: /foo}``."""
        self.check(rewriting(None, path={"prefix": "/foo"}), {"/": "/foo/", "/a": "/foo/a"})

    def test_replace_path(self) -> None:
        """``replacePath: {path: /foo}``."""
        self.check(rewriting(None, path="/foo"), {"/a/b?x": "/foo?x"})

    def test_replace_path_regex(self) -> None:
        """``replacePathRegex: {regex: ^/foo/(.*), replacement: /bar/$1}``."""
        self.check(rewriting(None, path={"regex": "^/foo/(.*)", "with": r"/bar/\1"}), {"/foo/a%2Cb": "/bar/a%2Cb"})

    def test_redirect_regex(self) -> None:
        """``redirectRegex`` from one host to another, ``/(.*)`` to ``/new/$1``."""
        balancer = configured({"redirect": {"host": "other.example", "path": {"prefix": "/new"}, "status": 302}})
        self.assertEqual(balancer.ask("http://a.example/x?y").location, "http://other.example/new/x?y")
