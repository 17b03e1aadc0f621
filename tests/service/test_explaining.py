"""Tests for :mod:`balancer.service.explaining`; that it says what is done, :mod:`tests.fuzz.test_explain` shows."""

from __future__ import annotations

import json
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from balancer.pools.server import Server
from balancer.service.explaining import Explanation
from balancer.testing import Configured, facts


class ExplainingTestCase(SynchronousTestCase):
    """A listener ``web`` with one route to a pool ``web`` of two servers."""

    def balancer(
        self, *filters: Any, listener: dict[str, Any] | None = None, pool: dict[str, Any] | None = None, **route: Any
    ) -> Configured:
        web = {
            "bind": "127.0.0.1:80",
            "routes": [{"name": "web", "filters": list(filters), **(route or {"pool": "web"})}],
        }
        pools = {
            "web": {"servers": ["127.0.0.1:81", "127.0.0.1:82"], "algorithm": "round_robin", **(pool or {})},
            "shadow": {"servers": ["127.0.0.1:83"]},
        }
        written = {"listeners": {"web": {**web, **(listener or {})}}, "pools": pools}
        return Configured(json.dumps(written))

    def ask(
        self, *filters: Any, url: str = "/", method: str = "GET", body: str | None = None, **given: Any
    ) -> Explanation:
        headers = given.pop("headers", {})
        return self.balancer(*filters, **given).ask(url, method, headers, body=body)


class ExplainingTests(ExplainingTestCase):
    def test_delays(self) -> None:
        """What follows a delay is explained, nobody waits for it."""
        delay = {"fault": {"delay": {"time": "5s", "percent": 100}}}
        found = self.ask(delay, {"headers": {"request": {"set": {"X-After": "1"}}}})
        assert found.request is not None
        self.assertIn(["X-After", "1"], found.request["headers"])
        self.assertEqual([each["filter"] for each in found.filters], ["fault", "headers"])

    def test_refused_before_filters(self) -> None:
        """A path that is none, methods, and bodies that are too long, are refused before any filter sees the request."""
        step = {"headers": {"response": {"set": {"X-Own": "1"}}}}
        listener = {"filters": [step], "http": {"body_size": "3B"}}
        for asked, status in (
            ({"url": "/a%zz"}, 400),
            ({"method": "TRACE"}, 405),
            ({"method": "POST", "body": "long"}, 413),
        ):
            found = self.ask(listener=listener, **asked)
            self.assertEqual((found.status, found.filters), (status, []), asked)
            self.assertNotIn("X-Own", dict(found.response_headers))

    def test_every_server(self) -> None:
        """``*`` is for OPTIONS only, and stays."""
        self.assertEqual(self.ask(url="*").status, 400)
        found = self.ask(url="*", method="OPTIONS")
        assert found.request is not None
        self.assertEqual(found.request["target"], "*")

    def test_bodies(self) -> None:
        """A body that a filter changes goes on in chunks; one that it cannot change is refused, and copied to nobody."""
        change = {"body": {"request": {"json": {"set": {"/a": 1}}}}}
        json_type = {"Content-Type": "application/json"}
        found = self.ask(change, {"mirror": "shadow"}, method="POST", body="{}", headers=json_type)
        assert found.request is not None
        self.assertEqual(found.request["body"], '{"a":1}')
        self.assertIn(["Transfer-Encoding", "chunked"], found.request["headers"])
        self.assertEqual(found.copies, [{"pool": "shadow", "sent": True, "because": ""}])
        found = self.ask(change, {"mirror": "shadow"}, method="POST", body="{", headers=json_type)
        self.assertEqual((found.status, found.request, found.server), (400, None, "127.0.0.1:81"))
        self.assertEqual(
            found.copies, [{"pool": "shadow", "sent": False, "because": "the request's body is not taken"}]
        )

    def test_secured(self) -> None:
        """To servers that speak HTTP/2 in TLS the scheme is https."""
        for tls, scheme in ((False, "http"), ({"verify": False}, "https")):
            found = self.ask(pool={"protocol": "h2", "tls": tls})
            assert found.request is not None
            self.assertIn([":scheme", scheme], found.request["headers"])

    def test_copies(self) -> None:
        """Who gets a copy, and why somebody does not."""
        mirror = {"mirror": [{"pool": "shadow", "body_limit": "2B"}]}
        found = self.ask(mirror, method="POST", body="long")
        self.assertEqual([each["because"] for each in found.copies], ["body_too_long"])
        balancer = self.balancer(mirror)
        balancer.snapshot.pools["shadow"].set_weight(balancer.snapshot.pools["shadow"].servers[0], 0)
        self.assertIn("weight 0", balancer.ask().copies[0]["because"])
        self.assertEqual(self.ask(mirror, headers={"X-Mirrored": "1"}).copies, [])

    def test_debug(self) -> None:
        """The header that asks for a trace goes to no server."""
        listeners = {"web": {"bind": "127.0.0.1:80", "pool": "web"}}
        pools = {"web": {"servers": ["127.0.0.1:81"]}}
        written = {"debug": {"key": "sixteen characters"}, "listeners": listeners, "pools": pools}
        found = Configured(json.dumps(written)).ask("/", headers={"X-Balancer-Debug": "1.a"})
        assert found.request is not None
        self.assertNotIn("X-Balancer-Debug", dict(found.request["headers"]))


class PoolTests(ExplainingTestCase):
    """What becomes of requests for which a pool has nobody."""

    def state(self, balancer: Configured) -> tuple[Any, tuple[Server, ...]]:
        pool = balancer.snapshot.pools["web"]
        return pool, pool.servers

    def test_refused(self) -> None:
        """503 with the reason, where nobody can take it; the filters have their say."""
        balancer = self.balancer({"response": {"status": {503: 502}}}, pool={"panic": False})
        pool, servers = self.state(balancer)
        for server in servers:
            server.healthy = False
        pool.refresh()
        found = balancer.ask()
        self.assertEqual((found.status, found.server, found.request), (502, None, None))
        self.assertIn("pool web: 2 down", found.reason)
        self.assertIn(("Retry-After", "1"), found.response_headers)

    def test_queue(self) -> None:
        """It waits while there is room in the queue, and is refused when there is none."""
        limited = [{"address": f"127.0.0.1:8{number}", "max_connections": 1} for number in range(2)]
        for queue, status in ((True, 0), (False, 503)):
            balancer = self.balancer(pool={"servers": limited, "queue": queue} if not queue else {"servers": limited})
            pool, servers = self.state(balancer)
            for server in servers:
                pool.begin(server)
            found = balancer.ask()
            self.assertEqual((found.status, found.server), (status, None))

    def test_limits(self) -> None:
        """A pool at a limit says so, whichever it is, and counts nothing."""
        for name in ("requests", "pending", "connections"):
            balancer = self.balancer(pool={"breaker": {name: 1}})
            pool, (server, _) = self.state(balancer)
            getattr(pool.limits, name).add(1)
            found = balancer.ask()
            self.assertEqual((found.status, found.server), (503, None), name)
            self.assertIn(f"limit of 1 {name}", found.reason)
            self.assertEqual(getattr(pool.limits, name).refused, 0)

    def test_breaker_before_adaptive_limit(self) -> None:
        """Where the breaker of the pool is open nobody waits, however full it is besides."""
        breaker = {"trip": {"of": "pool", "min_requests": 1}}
        balancer = self.balancer(pool={"breaker": breaker, "concurrency": {"of": "pool", "initial": 1, "minimum": 1}})
        pool, (server, _) = self.state(balancer)
        pool.begin(server)
        pool.end(server, 0.1, False)
        pool.begin(server)
        found = balancer.ask()
        self.assertEqual(found.status, 503)
        self.assertIn("the breaker is open", found.reason)

    def test_nobody_takes_a_turn(self) -> None:
        """Asking changes nothing: who is next stays next."""
        for algorithm in ("round_robin", "least_conn"):
            balancer = self.balancer(pool={"algorithm": algorithm})
            pool, _ = self.state(balancer)
            for _ in range(4):
                said = [balancer.ask().server for _ in range(3)]
                chosen = pool.choose(facts())
                assert chosen is not None
                self.assertEqual(said, [chosen.name] * 3)

    def test_reasons_stay(self) -> None:
        """Where all are barred, a server that is out besides says why."""
        subset = {"by": ["v"], "sources": {"v": {"header": "X-V"}}, "fallback": "none"}
        balancer = self.balancer(pool={"subset": subset})
        _, (server, _) = self.state(balancer)
        server.drain()
        found = balancer.ask(headers={"X-V": "2"})
        self.assertEqual(
            {each["server"]: each["because"] for each in found.candidates},
            {
                "127.0.0.1:81": "draining; no server with v=2 can be used",
                "127.0.0.1:82": "no server with v=2 can be used",
            },
        )
