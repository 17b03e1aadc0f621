"""What is explained is what is done: random configurations, random requests, the real channel against ``explain``."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from balancer.forwarding.server_connection import ServerConnection
from balancer.forwarding.server_side import ServerSide
from balancer.listeners.accept import Gate
from balancer.listeners.http.listener import HTTPListener
from balancer.pools.server import Server
from balancer.service.build import built, loaded
from balancer.service.explaining import Sample, explain
from balancer.service.runtime import Runtime
from balancer.wire.http1.heads import HeadLimits
from balancer.wire.http1.requests import RequestReader

CONFIGURATIONS = 250
REQUESTS = 12
_HOSTS = ("shop.example", "api.shop.example", "other.example", "10.0.0.1")
_PATHS = (
    "/",
    "/a",
    "/a/",
    "/a/b",
    "/a/b/c",
    "/users/7",
    "/users/7/x",
    "/A",
    "/a%20b",
    "/x?q=1",
    "/a?q=12&r=",
    "/old/x?y=1",
    "/%61",
)
_FIELDS = {
    "X-Tenant": ("a", "b", "abc", ""),
    "X-Key": tuple(f"k{number}" for number in range(9)),
    "Accept-Language": ("de", "en;q=0.5, de-AT", "fr"),
    "Cookie": ("group=test", "group=other; user=u1", "user=u2"),
    "User-Agent": ("curl/8", "Mozilla/5.0 (iPhone; CPU iPhone OS 17_0 like Mac OS X) Mobile/15E148"),
}


class _Transport:
    """Keeps what is written."""

    connected, disconnecting, queued = True, False, 0

    def __init__(self) -> None:
        self.data = b""

    def write(self, data: bytes) -> None:
        self.data += data

    def getPeer(self) -> IPv4Address:
        return IPv4Address("TCP", "192.0.2.7", 40000)

    def getHost(self) -> IPv4Address:
        return IPv4Address("TCP", "127.0.0.1", 8080)

    def getHandle(self) -> Any:
        return self

    def recv(self, size: int, flags: int) -> bytes:
        raise BlockingIOError

    def registerProducer(self, producer: Any, streaming: bool) -> None: ...
    def unregisterProducer(self) -> None: ...
    def pauseProducing(self) -> None: ...
    def resumeProducing(self) -> None: ...
    def loseConnection(self) -> None: ...
    def loseWriteConnection(self) -> None: ...
    def abortConnection(self) -> None: ...


class _Runtime(Runtime):
    """Connects to servers that are not there, and notes to which."""

    def __init__(self, clock: Clock, draw: Any) -> None:
        super().__init__(clock)
        self.draw = draw
        self.asked: list[tuple[str, _Transport]] = []

    def connect_http(self, server: Server, timeout: float, **more: Any) -> Deferred[ServerSide]:
        connection = ServerConnection(server, self.wheel)
        transport = _Transport()
        self.asked.append((server.name, transport))
        connection.makeConnection(transport)
        connection.expires = float("inf")
        made: ServerSide = connection
        return succeed(made)


def _match(draw: random.Random, depth: int = 0) -> dict[str, Any]:
    choices: dict[str, Any] = {
        "host": draw.choice(["shop.example", "*.shop.example", ["other.example", "10.0.0.1"]]),
        "path": draw.choice(
            ["/a", "/a/**", "/users/{id}", "/users/**", {"regex": "^/[a-z]+$"}, "/old/**", ["/a/b", "/x"]]
        ),
        "method": draw.choice(["GET", ["POST", "PUT"]]),
        "headers": {"X-Tenant": draw.choice(["a", {"prefix": "a"}, {"present": False}, {"regex": "b|c"}])},
        "query": {"q": draw.choice(["1", {"regex": "^[0-9]+$"}, {"present": True}])},
        "cookies": {"group": draw.choice(["test", {"present": False}])},
        "client": draw.choice(["192.0.2.0/24", "10.0.0.0/8"]),
        "language": draw.choice(["de", {"tag": "de", "of": ["en", "de"]}]),
        "percent": {"below": draw.choice([10, 50]), "of": {"header": "X-Key"}, "seed": draw.choice(["", "s"])},
        "body": {"contains": draw.choice(["gold", "x"])},
        "user_agent": draw.choice(["mobile", "other"]),
    }
    names = draw.sample(sorted(choices), draw.choice([0, 1, 1, 2, 3]))
    found = {name: choices[name] for name in names}
    if depth < 2 and draw.random() < 0.25:
        inner = [each for each in (_match(draw, depth + 1) for _ in range(2)) if each] or [{"method": "GET"}]
        found[draw.choice(["all", "any"])] = inner
    if depth < 2 and draw.random() < 0.15:
        found["not"] = _match(draw, depth + 1) or {"method": "PUT"}
    return found


def _route(draw: random.Random) -> dict[str, Any]:
    route: dict[str, Any] = {"match": _match(draw)}
    kind = draw.choice(["pool", "pool", "split", "redirect", "respond"])
    if kind == "pool":
        route["pool"] = draw.choice(["hashed", "ringed", "one"])
    elif kind == "split":
        route["split"] = {"weights": {"hashed": draw.choice([0, 1, 9]), "one": 1}, "key": {"header": "X-Key"}}
    elif kind == "redirect":
        route["redirect"] = draw.choice(
            [{"to": "/new/"}, {"to": "https://{host}{path}", "status": 302}, {"scheme": "https"}]
        )
    else:
        route["respond"] = {"status": draw.choice([200, 418, 503]), "body": "stout"}
    if draw.random() < 0.4:
        route["filters"] = [
            {
                "headers": {
                    "request": {"set": {"X-Team": "{route}"}, "remove": ["X-Tenant"]},
                    "response": {"add": {"X-Own": "1"}},
                }
            }
        ]
    if draw.random() < 0.15:
        route["priority"] = draw.choice([-1, 1])
    return route


def _configuration(draw: random.Random) -> dict[str, Any]:
    pools: dict[str, Any] = {
        "hashed": {
            "algorithm": {"maglev": {"key": {"header": "X-Key"}}},
            "servers": [f"10.0.0.{n}:1" for n in range(1, 5)],
        },
        "ringed": {
            "algorithm": {"rendezvous": {"key": "path"}},
            "servers": [{"address": f"10.0.1.{n}:1", "weight": n} for n in range(1, 4)],
        },
        "one": {"servers": ["10.0.2.1:1"]},
    }
    listener: dict[str, Any] = {"bind": "127.0.0.1:8080", "routes": [_route(draw) for _ in range(draw.randint(1, 7))]}
    if draw.random() < 0.3:
        listener["filters"] = [{"headers": {"request": {"set": {"X-Tenant": "a"}}}}]
    if draw.random() < 0.3:
        listener["trusted_proxies"] = ["192.0.2.7/32"]
    return {"access_log": False, "listeners": {"web": listener}, "pools": pools}


def _request(draw: random.Random) -> Sample:
    headers = [("Host", draw.choice(_HOSTS))]
    headers += [(name, draw.choice(values)) for name, values in _FIELDS.items() if draw.random() < 0.5]
    body = draw.choice([None, None, "gold", "xyz", ""])
    method = draw.choice(["GET", "PUT", "POST", "OPTIONS"]) if body is None else draw.choice(["POST", "PUT"])
    return Sample(draw.choice(_PATHS), method, headers, "192.0.2.7", body)


class ExplainTests(SynchronousTestCase):
    def test_never_a_difference(self) -> None:
        """Route, pool, server, what is sent and what is answered are those that were explained, every time."""
        seed = random.Random(11)
        for number in range(CONFIGURATIONS):
            draw = random.Random(seed.random())
            configuration = _configuration(draw)
            path = Path(self.mktemp())
            path.write_text(json.dumps(configuration))
            clock = Clock()
            runtime = _Runtime(clock, lambda: 0.25)
            snapshot = built(loaded(path), runtime)
            runtime.use(snapshot)
            self.pools = snapshot.pools.values()
            site: Any = snapshot.listeners["web"]
            listener = HTTPListener(clock, "web", (), site, Gate(), runtime.wheel)
            for _ in range(REQUESTS):
                sample = _request(draw)
                said = explain(snapshot, sample, lambda: 0.25)
                self._compare(runtime, listener, sample, said, (number, configuration, sample, said))

    def _compare(self, runtime: _Runtime, listener: HTTPListener, sample: Sample, said: Any, what: Any) -> None:
        channel: Any = listener.buildProtocol(IPv4Address("TCP", "192.0.2.7", 40000))
        transport = _Transport()
        channel.makeConnection(transport)
        runtime.asked.clear()
        for server in (server for pool in self.pools for server in pool.servers):
            server.drop_idle()
        body = (sample.body or "").encode()
        head = f"{sample.method} {sample.url} HTTP/1.1\r\n" + "".join(
            f"{name}: {value}\r\n" for name, value in sample.headers
        )
        if sample.body is not None:
            head += f"Content-Length: {len(body)}\r\n"
        channel.dataReceived(head.encode() + b"\r\n" + body)
        if said.status:
            self.assertEqual(runtime.asked, [], what)
            first, _, rest = transport.data.partition(b"\r\n")
            self.assertEqual(int(first.split(b" ")[1]), said.status, what)
            fields = _fields(rest)
            self.assertEqual(fields.get("location", [None])[0], said.location, what)
            for name, value in said.response_headers:
                self.assertIn(value, fields.get(name.lower(), []), what)
            return
        self.assertEqual([name for name, _ in runtime.asked], [said.server], what)
        reader = RequestReader(HeadLimits(allow_odd_names=frozenset()))
        reader.feed(runtime.asked[0][1].data)
        sent = reader.ready[0].head
        self.assertEqual((sent.method, sent.target), (said.request["method"], said.request["target"]), what)
        expected = sorted((name, value) for name, value in said.request["headers"] if name != "X-Request-Id")
        got = sorted(
            (name.decode("latin-1"), value.decode("latin-1")) for name, value in sent.headers if name != b"X-Request-Id"
        )
        self.assertEqual(got, expected, what)
        record = channel._current.record
        self.assertEqual((record.route, record.pool, record.server), (said.route, said.pool, said.server), what)


def _fields(text: bytes) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for line in text.partition(b"\r\n\r\n")[0].decode("latin-1").split("\r\n"):
        name, _, value = line.partition(":")
        found.setdefault(name.lower(), []).append(value.strip())
    return found
