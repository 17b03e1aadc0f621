"""Random configurations and requests, of everything that a route, a filter and a pool can be told."""

from __future__ import annotations

import random
from types import ModuleType
from typing import Any

from zope.interface import implementer

from balancer.filters.trace import signed
from balancer.hooks import hookimpl
from balancer.hooks.interfaces import Factory, IFlags
from balancer.service.explaining import Sample, SampleAnswer

__all__ = ["DEBUG_KEY", "FLAGS", "POOLS", "SECRET", "configuration", "request"]

SECRET = "the secret of this configuration"
DEBUG_KEY = "who has it may ask"
_HOSTS = ("shop.example", "api.shop.example", "other.example", "10.0.0.1", "shop.example:8080", "SHOP.example.")
_PATHS = (
    "/",
    "/a",
    "/a/",
    "/a/b",
    "/a/b/c",
    "/users/7",
    "/users/7/x",
    "/users/%C3%BC",
    "/A",
    "/a%20b",
    "/a//b",
    "/a/./b",
    "/x?q=1",
    "/a?q=12&r=&utm_source=x",
    "/old/x?y=1&y=2",
    "/old",
    "/%61",
    "/a%zz",
    "http://shop.example/a/b?q=1",
    "http://other.example",
    "*",
    "/pkg.Service/Call",
)
_FIELDS: dict[str, tuple[str, ...]] = {
    "X-Tenant": ("a", "b", "abc", ""),
    "X-Key": tuple(f"k{number}" for number in range(9)),
    "X-Version": ("v1", "v2", "v9"),
    "X-Side": ("hashed", "one", "nobody"),
    "X-Priority": ("0", "9", "x"),
    "Accept-Language": ("de", "en;q=0.5, de-AT", "fr"),
    "Accept": ("text/html", "application/json", "*/*"),
    "Accept-Encoding": ("gzip, br",),
    "Cookie": ("group=test", "group=other; user=u1", "user=u2; side=one", "lb=nonsense; user=u3"),
    "User-Agent": ("curl/8", "Mozilla/5.0 (iPhone; CPU iPhone OS 17_0 like Mac OS X) Mobile/15E148", "Googlebot/2.1"),
    "X-Forwarded-For": ("198.51.100.7, 192.0.2.7", "10.1.2.3"),
    "X-Forwarded-Proto": ("https",),
    "X-Request-Id": ("given-1",),
    "X-Fault-Delay": ("5ms", "soon"),
    "X-Fault-Abort": ("503", "reset", "99"),
    "X-Mirrored": ("1",),
    "X-Balancer-Debug": ("1.abc",),
    "Range": ("bytes=0-1",),
    "TE": ("trailers",),
    "Authorization": ("Basic eDp5",),
    "Max-Forwards": ("0", "3", "x"),
    "Content-Type": (
        "application/json",
        "application/x-www-form-urlencoded",
        "text/plain",
        "application/grpc",
        "application/grpc-web",
        "application/grpc-web-text",
    ),
    "Upgrade": ("",),
}
_WEBSOCKET = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ=="}
_UPGRADES: tuple[dict[str, str], ...] = (
    {**_WEBSOCKET, "Sec-WebSocket-Version": "13"},
    {**_WEBSOCKET, "Sec-WebSocket-Version": "7"},
    {"Connection": "Upgrade, keep-alive", "Upgrade": "other/1"},
)
_BODIES = ("gold", "xyz", "", '{"user": {"name": "n", "admin": true}, "n": 1.50}', "plan=gold&x=1", "AAAAAAMBAgM=", "{")
_ANSWERS = (
    SampleAnswer(200, [("Content-Type", "text/html"), ("ETag", '"1"'), ("X-Secret", "s")], "<p>internal gold</p>"),
    SampleAnswer(
        200, [("Content-Type", "application/json"), ("Set-Cookie", "a=b; Path=/new; Domain=internal")], '{"a":1}'
    ),
    SampleAnswer(200, [("Content-Type", "application/json")], "{"),
    SampleAnswer(302, [("Location", "http://10.0.2.1:1/new/x?y"), ("X-Secret", "s")], ""),
    SampleAnswer(404, [("Content-Type", "text/plain"), ("Content-Encoding", "gzip")], "internal"),
    SampleAnswer(204, [("ETag", '"2"')], ""),
    SampleAnswer(304, [("ETag", '"2"')], ""),
    SampleAnswer(503, [("Content-Type", "text/html"), ("Retry-After", "9")], "internal"),
    SampleAnswer(500, [("Content-Type", "text/plain"), ("Strict-Transport-Security", "max-age=1")], "internal"),
)


class _Flags:
    """A source of flags."""

    def value(self, name: str, facts: Any) -> str | None:
        return facts.header("x-version") if name == "version" else None


implementer(IFlags)(_Flags)


@hookimpl
def _balancer_flags() -> list[Factory]:
    return [Factory("versions", lambda settings: _Flags())]


FLAGS = ModuleType("random_flags")
"""A plug-in with a source of flags, ``versions``."""
FLAGS.balancer_flags = _balancer_flags  # type: ignore[attr-defined]

_KEYS: tuple[Any, ...] = ("client_ip", "host", "path", {"header": "X-Key"}, {"cookie": "user"}, {"query": "q"})


def _some(draw: random.Random, chance: float, **values: Any) -> dict[str, Any]:
    """Return each of ``values`` with that chance; what can be called is called first."""
    return {key: value() if callable(value) else value for key, value in values.items() if draw.random() < chance}


def _one(draw: random.Random, **values: Any) -> dict[str, Any]:
    name = draw.choice(sorted(values))
    value = values[name]
    return {name: value() if callable(value) else value}


# Matches.


def _match(draw: random.Random, depth: int = 0, named: bool = True) -> dict[str, Any]:
    pick = draw.choice
    choices: dict[str, Any] = {
        "host": pick(["shop.example", "*.shop.example", ["other.example", "10.0.0.1"]]),
        "path": pick(
            ["/a", "/a/**", "/users/{id}", "/users/**", {"regex": "^/[a-z]+$"}, "/old/**", ["/a/b", "/x"], "/**"]
        ),
        "method": pick(["GET", ["POST", "PUT"], "OPTIONS"]),
        "headers": {"X-Tenant": pick(["a", {"prefix": "a"}, {"present": False}, {"regex": "b|c"}, {"contains": "b"}])},
        "query": {"q": pick(["1", {"regex": "^[0-9]+$"}, {"present": True}])},
        "cookies": {"group": pick(["test", {"present": False}, {"suffix": "t"}])},
        "client": pick(["192.0.2.0/24", "10.0.0.0/8", ["198.51.100.0/24", "::/0"]]),
        "scheme": pick(["http", "https"]),
        "language": pick(["de", {"tag": "de", "of": ["en", "de"]}]),
        "accepts": pick(["application/json", {"type": "text/html", "of": ["text/html", "application/json"]}]),
        "percent": {"below": pick([10, 50]), "of": pick([{"header": "X-Key"}, "client_ip"]), "seed": pick(["", "s"])},
        "body": pick(
            [
                {"contains": pick(["gold", "x"])},
                {"regex": "go.d", "limit": "4B"},
                {"form": {"plan": "gold"}},
                {"json": {"/user/name": "n"}},
            ]
        ),
        "user_agent": pick(["mobile", "other", "bot"]),
        "time": pick([{"before": "2020-01-01T00:00:00Z"}, {"after": "2020-01-01T00:00:00Z"}]),
        "cel": pick(["request.headers['x-tenant'] == 'a'", "size(request.query) < 1 || client.ip == '192.0.2.7'"]),
        "flag": {"version": pick(["v1", {"present": False}])},
        "grpc": pick([{"service": "pkg.Service"}, {"service": "pkg.Service", "method": "Call"}]),
        "local_port": pick([8080, 81]),
        "http_version": pick(["1.1", "1.0"]),
    }
    if named:
        choices["named"] = pick(["first", "second", ["first", "second"]])
    found = {name: choices[name] for name in draw.sample(sorted(choices), pick([0, 1, 1, 1, 2, 3]))}
    if depth < 2 and draw.random() < 0.25:
        inner = [each for each in (_match(draw, depth + 1, named) for _ in range(2)) if each] or [{"method": "GET"}]
        found[pick(["all", "any"])] = inner
    if depth < 2 and draw.random() < 0.15:
        found["not"] = _match(draw, depth + 1, named) or {"method": "PUT"}
    return found


# Filters.


def _path_change(draw: random.Random, cuts: bool) -> Any:
    forms: list[Any] = ["/v2{path}", "/fixed", {"regex": "^/([a-z]+)", "with": r"/\1x"}, "/{host}/{header:X-Tenant}"]
    return draw.choice([*forms, *([{"prefix": "/new"}, {"prefix": ""}, "/n/**"] if cuts else [])])


def _query_change(draw: random.Random) -> dict[str, Any]:
    steps = _some(
        draw, 0.4, keep=["q", "y"], remove=["utm_*"], rename={"q": "s"}, set={"t": "{client_ip}"}, add={"y": ["3", "4"]}
    )
    return steps or {"keep": []}


def _rewrite(draw: random.Random, cuts: bool) -> dict[str, Any]:
    return _some(
        draw,
        0.4,
        path=lambda: _path_change(draw, cuts),
        query=lambda: _query_change(draw),
        host=lambda: draw.choice(["internal.example", "{header:X-Tenant}.internal", "internal:81"]),
        method=lambda: draw.choice(["POST", "GET"]),
    ) or {"path": "/fixed"}


def _header_steps(draw: random.Random) -> dict[str, Any]:
    return _some(
        draw,
        0.4,
        remove=["X-Tenant", "X-Sec*", "Content-Type"],
        rename={"X-Key": "X-Other"},
        replace={"User-Agent": {"regex": "[0-9]+", "with": "n"}, "Location": {"regex": "new", "with": "newer"}},
        set={"X-Team": "{route} of {method}", "X-Version": "v1"},
        add={"X-Own": ["1", "2"]},
    ) or {"set": {"X-Team": "{path}"}}


def _headers(draw: random.Random) -> dict[str, Any]:
    steps = _some(draw, 0.6, request=lambda: _header_steps(draw), response=lambda: _header_steps(draw))
    return steps or {"request": _header_steps(draw)}


def _body(draw: random.Random) -> dict[str, Any]:
    def changes() -> dict[str, Any]:
        text = {"replace": [{"text": "gold", "with": "silver"}, {"regex": "inter(nal)", "with": r"\1!"}]}
        json = {
            "json": draw.choice(
                [
                    {"remove": ["/user/admin"], "set": {"/n": 2}},
                    {"wrap": "data"},
                    {"patch": [{"op": "test", "path": "/n", "value": 1.5}]},
                ]
            )
        }
        return {
            **draw.choice([text, json, {**text, **json}]),
            **_some(draw, 0.3, types=["text/*", "application/json"], limit="8B", otherwise="pass"),
        }

    return _some(draw, 0.6, request=changes, response=changes) or {"request": changes()}


def _fault(draw: random.Random) -> dict[str, Any]:
    found = _some(
        draw,
        0.5,
        delay=lambda: {"time": draw.choice(["5ms", {"min": "1ms", "max": "9ms"}]), "percent": draw.choice([30, 100])},
        abort=lambda: {"status": draw.choice([503, 418, "reset"]), "percent": draw.choice([20, 60])},
        headers={"from": ["192.0.2.0/24"]},
    ) or {"abort": {"status": 500, "percent": 50, "grpc_status": 14}}
    return {**found, **_some(draw, 0.3, key=lambda: draw.choice(_KEYS), seed="s")}


def _mirror(draw: random.Random) -> Any:
    def target(pool: str) -> dict[str, Any]:
        return {
            "pool": pool,
            **_some(draw, 0.4, percent=50, key={"header": "X-Key"}, body_limit="4B", host_suffix="-m"),
        }

    return draw.choice(["shadow", target("shadow"), [target("shadow"), {"pool": "one"}]])


def _response(draw: random.Random) -> dict[str, Any]:
    return _some(
        draw,
        0.4,
        status={404: 410, "500-503": 502, 418: 200},
        headers=[{"status": "400-599", "set": {"Cache-Control": "no-store"}}, {"status": 200, "remove": ["X-Secret"]}],
        location=lambda: draw.choice([True, {"http://10.0.2.1:1/new/": "/"}]),
        cookies=lambda: {
            "path": True,
            **_some(draw, 0.5, domain={"internal": "shop.example"}, same_site="lax", secure=True),
        },
    ) or {"location": True}


def _filters(draw: random.Random, listener: bool, cuts: bool = False) -> list[dict[str, Any]]:
    kinds: dict[str, Any] = {
        "headers": lambda: _headers(draw),
        "rewrite": lambda: _rewrite(draw, cuts),
        "response": lambda: _response(draw),
        "body": lambda: _body(draw),
        "fault": lambda: _fault(draw),
        "grpc_web": lambda: draw.choice([{}, {"cors": ["https://page.example"]}]),
    }
    if not listener:
        kinds["mirror"] = lambda: _mirror(draw)
    count = draw.choice([0, 0, 0, 1] if listener else [0, 1, 1, 2, 3])
    return [{name: kinds[name]()} for name in draw.sample(sorted(kinds), count)]


# Routes.


def _cuts(match: dict[str, Any]) -> bool:
    """Whether every path ends in ``/**``."""
    paths = match.get("path")
    return paths is None or (isinstance(paths, str) and paths.endswith("/**"))


def _redirect(draw: random.Random, cuts: bool) -> Any:
    parts = _some(
        draw,
        0.5,
        scheme="https",
        host="new.example",
        port=8443,
        path=lambda: _path_change(draw, cuts),
        query=lambda: _query_change(draw),
    )
    whole = [{"to": "/new"}, {"to": "https://{host}{path}", "status": 302}, "http://x.example/?from={path}"]
    return draw.choice(
        [*whole, *([{"to": "/new/"}] if cuts else []), {**(parts or {"scheme": "https"}), "status": 307}]
    )


def _split(draw: random.Random) -> dict[str, Any]:
    names = draw.sample(["hashed", "one", "drawn", "guarded"], 2)
    found = {"weights": {names[0]: draw.choice([0, 1, 9, 0.5]), names[1]: 1}}
    found |= _some(
        draw,
        0.4,
        key=lambda: draw.choice(_KEYS),
        sticky="cookie",
        override=lambda: {"header": "X-Side", **_some(draw, 0.5, cookie="side", only=["192.0.2.0/24"])},
    )
    if found["weights"][names[0]] and draw.random() < 0.2:
        found["canary"] = {"pool": names[1], "steps": [10, 100]}
    return found


def _terms(draw: random.Random) -> dict[str, Any]:
    return _some(
        draw,
        0.15,
        timeouts=lambda: draw.choice([{"request": "20s"}, {"per_try": "9s", "first_byte": "5s"}]),
        retry=lambda: draw.choice([False, {"attempts": 2, "on": ["connect_failure", 503, "5xx"], "backoff": False}]),
        hedge=lambda: draw.choice([False, {"after": "9s"}]),
        coalesce=True,
        queue=lambda: draw.choice([9, {"priority": 1, "timeout": "1s"}]),
        subset=lambda: {"version": draw.choice(["v1", "v3"])},
    )


def _route(draw: random.Random) -> dict[str, Any]:
    match = _match(draw)
    cuts = _cuts(match)
    route: dict[str, Any] = {"match": match, "filters": _filters(draw, listener=False, cuts=cuts)}
    kind = draw.choice(["pool", "pool", "pool", "split", "split", "redirect", "respond"])
    if kind == "pool":
        route |= {"pool": draw.choice(POOLS), **_terms(draw)}
    elif kind == "split":
        route |= {"split": _split(draw), **_terms(draw)}
    else:
        route["filters"] = [each for each in route["filters"] if "mirror" not in each]
        if kind == "redirect":
            route["redirect"] = _redirect(draw, cuts)
        else:
            body = {"body": "stout, internal gold"} if draw.random() < 0.7 else {}
            route["respond"] = {
                "status": draw.choice([200, 418, 503]),
                **body,
                **_some(draw, 0.3, headers={"X-Secret": "s"}),
            }
    if draw.random() < 0.15:
        route["priority"] = draw.choice([-1, 1])
    return route


# Pools.

POOLS = ("hashed", "ringed", "one", "drawn", "guarded", "queued", "modern")
"""The pools of every configuration, but for the one that gets copies."""


def _servers(net: int, count: int, draw: random.Random) -> list[dict[str, Any]]:
    return [
        {
            "address": f"10.0.{net}.{number}:1",
            **_some(
                draw,
                0.2,
                weight=lambda: draw.choice([0, 2, 5]),
                backup=True,
                max_connections=1,
                priority=lambda: draw.choice([1, 2]),
                zone=lambda: draw.choice(["a", "b"]),
            ),
            "labels": {"version": draw.choice(["v1", "v2"])},
        }
        for number in range(1, count + 1)
    ]


def _policies(draw: random.Random) -> dict[str, Any]:
    pick = draw.choice
    return _some(
        draw,
        0.25,
        sticky=lambda: pick(
            ["cookie", "source_ip", {"header": {"name": "X-Key"}}, {"cookie": {"name": "lb2", "ttl": "1h"}}]
        ),
        breaker=lambda: pick(
            [
                {"trip": {"min_requests": 1, "open": "3s", "probes": 1}},
                {"trip": {"of": "pool", "min_requests": 2, "probes": 1}},
                {"requests": 1},
                {"pending": 1, "requests": 2},
                {"connections": 1},
            ]
        ),
        passive=lambda: pick([False, {"consecutive_5xx": 1, "eject": "60s"}]),
        locality={"zone": "a"},
        concurrency=lambda: pick([{"of": "pool", "initial": 1, "minimum": 1}, {"initial": 1, "minimum": 1}, True]),
        subset=lambda: {
            "by": ["version"],
            "sources": {"version": {"header": "X-Version"}},
            **pick([{"fallback": "none"}, {"default": {"version": "v2"}, "fallback": "default"}, {}]),
        },
        slow_start="30s",
        panic=False,
        queue=lambda: pick([False, {"size": 1}, {"priority": {"header": "X-Priority"}, "size": 2}]),
        retry=lambda: pick([False, {"attempts": 2}]),
    )


def _pools(draw: random.Random) -> dict[str, Any]:
    pick = draw.choice
    key = {"key": pick(_KEYS)}
    hashing = [{"maglev": key}, {"ring_hash": key}, {"rendezvous": key}, "ip_hash"]
    pools: dict[str, Any] = {
        "hashed": {"algorithm": pick(hashing), "servers": _servers(0, 4, draw), **_policies(draw)},
        "ringed": {"algorithm": pick(hashing), "servers": _servers(1, 3, draw), **_policies(draw)},
        "one": {"servers": ["10.0.2.1:1"]},
        "drawn": {
            "algorithm": pick(["random", "p2c", "least_conn", "ewma", "round_robin"]),
            "servers": _servers(3, 3, draw),
            **_policies(draw),
        },
        "guarded": {
            "algorithm": pick(["p2c", *hashing]),
            "servers": _servers(4, 4, draw),
            **_policies(draw),
            **_policies(draw),
        },
        "queued": {
            "servers": [{"address": "10.0.5.1:1", "max_connections": 1}],
            **_policies(draw),
            "queue": pick([False, {"size": 1}, {"priority": {"header": "X-Priority"}, "size": 2}]),
        },
        "modern": {"protocol": "h2", "servers": _servers(6, 2, draw), **_policies(draw)},
        "shadow": {"servers": ["10.0.9.1:1"]},
    }
    return pools


def configuration(draw: random.Random) -> dict[str, Any]:
    """Return a configuration with a listener ``web``."""
    routes = [_route(draw) for _ in range(draw.randint(1, 7))]
    if draw.random() < 0.7:
        routes.append(
            {"pool": draw.choice(POOLS), "filters": _filters(draw, listener=False, cuts=True), **_terms(draw)}
        )
    listener: dict[str, Any] = {
        "bind": "127.0.0.1:8080",
        "routes": routes,
        "filters": _filters(draw, listener=True),
        **_some(draw, 0.03, redirect_https=8443),
        **_some(draw, 0.3, trusted_proxies=["192.0.2.7/32"]),
        **_some(
            draw,
            0.2,
            http=lambda: _some(draw, 0.4, via=False, request_id=False, body_size="20B", allow_underscores=["x_y"]),
        ),
    }
    pools = _pools(draw)
    if any("hedge" in route for route in listener["routes"]):  # which is not for those that clients stick to
        for pool in pools.values():
            pool.pop("sticky", None)
    found = {
        "access_log": False,
        "secret": SECRET,
        "flags": "versions",
        "matches": {
            "first": _match(draw, named=False) or {"method": "GET"},
            "second": {"headers": {"X-Key": {"regex": "[1-5]"}}},
        },
        "listeners": {"web": listener},
        "pools": pools,
    }
    return {**found, **_some(draw, 0.25, debug={"key": DEBUG_KEY})}


# Requests.


def request(draw: random.Random, cookies: list[str]) -> Sample:
    """Return a request; ``cookies`` are those that answers have set."""
    fields = {name: draw.choice(values) for name, values in _FIELDS.items() if draw.random() < 0.25}
    if cookies and draw.random() < 0.5:
        fields["Cookie"] = draw.choice(cookies)
    if draw.random() < 0.8:
        fields.pop("Max-Forwards", None)
    if draw.random() < 0.5:
        fields.pop("Content-Type", None)
    if fields.pop("Upgrade", None) is not None and draw.random() < 0.5:
        fields |= draw.choice(_UPGRADES)
    body = draw.choice([None, None, *_BODIES])
    methods = (
        ["GET", "GET", "PUT", "POST", "OPTIONS", "HEAD", "DELETE", "CUSTOM"]
        if body is None
        else ["POST", "PUT", "POST", "GET"]
    )
    method = draw.choice(methods)
    path = draw.choice(
        _PATHS if method == "OPTIONS" else [each for each in _PATHS if each != "*" or draw.random() < 0.05]
    )
    given = [] if "://" in path and draw.random() < 0.7 else [("Host", draw.choice(_HOSTS))]
    if draw.random() < 0.3:
        host = given[0][1] if given else path.partition("://")[2].partition("/")[0]
        name = host.partition(":")[0].rstrip(".").lower()
        fields["X-Balancer-Debug"] = signed(DEBUG_KEY, 1 << 40, name)
    answer = draw.choice(_ANSWERS)
    return Sample(path, method, [*given, *fields.items()], "192.0.2.7", body, answer=answer)
