"""Tests for :mod:`balancer.config.pools`."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from balancer.config.pools import Pool
from tests.config.samples import P2cSettings, Samples, pool_problems


def _pool(**keys: object) -> Pool:
    return Pool.model_validate({"servers": ["a:1"], **keys}, context={"registry": Samples()})


class PoolTests(SynchronousTestCase):
    """Pools as written."""

    def test_defaults(self) -> None:
        """A pool of servers alone has the defaults that operators are promised."""
        pool = _pool()
        self.assertEqual(pool.algorithm.name, "p2c")
        self.assertIsNone(pool.health)
        self.assertIsNone(pool.sticky)
        self.assertTrue(pool.panic)
        self.assertEqual(
            pool.timeouts.model_dump(),
            {"connect": 3.0, "first_byte": 60.0, "idle": 60.0, "write": 30.0, "request": 0.0, "per_try": 0.0},
        )
        self.assertEqual(
            pool.retry.model_dump(),
            {
                "attempts": 1,
                "budget": 0.2,
                "minimum": 10,
                "on": ("connect_failure", "reset", 503),
                "headers": {},
                "methods": ("GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"),
                "replay": 65536,
                "backoff": None,
                "retry_after": 0.0,
            },
        )
        self.assertEqual(pool.keep_alive.model_dump(), {"size": 1024, "idle": 50.0, "max_age": 3600.0})
        self.assertEqual((pool.queue.size, pool.queue.timeout, pool.queue.priority), (100, 5.0, None))

    def test_switches(self) -> None:
        """``false`` switches a section off, ``true`` takes its defaults."""
        pool = _pool(passive=False, health=True, queue=False, keep_alive=False, retry=False)
        self.assertIsNone(pool.passive)
        self.assertEqual((pool.queue.size, pool.keep_alive.size, pool.retry.attempts), (0, 0, 0))
        assert pool.health is not None
        self.assertEqual((pool.health.probe.name, pool.health.interval, pool.health.jitter), ("tcp", 5.0, 0.2))

    def test_servers(self) -> None:
        """A bare address, or a mapping."""
        pool = _pool(servers=["[::1]:80", {"address": "unix:/x", "name": "x", "weight": 0, "backup": True}])
        self.assertEqual([str(server.address) for server in pool.servers], ["[::1]:80", "unix:/x"])
        self.assertEqual([server.weight for server in pool.servers], [1, 0])

    def test_algorithm(self) -> None:
        """A name, or a name with settings, which its own model has validated."""
        self.assertEqual(_pool(algorithm="p2c").algorithm.settings, P2cSettings())
        self.assertEqual(_pool(algorithm={"p2c": {"decay": "1m"}}).algorithm.settings, P2cSettings(decay="60s"))  # type: ignore[arg-type]
        self.assertEqual(_pool(algorithm={"p2c": None}).algorithm.settings, P2cSettings())

    def test_sticky(self) -> None:
        """One of three kinds; those without settings may be named alone."""
        for value, kind in [
            ("cookie", "cookie"),
            ({"cookie": {}}, "cookie"),
            ({"cookie": None}, "cookie"),
            ("source_ip", "source_ip"),
            ({"source_ip": None}, "source_ip"),
            ({"header": {"name": "X-User"}}, "header"),
        ]:
            sticky = _pool(sticky=value).sticky
            assert sticky is not None
            self.assertEqual([name for name in ("cookie", "source_ip", "header") if getattr(sticky, name)], [kind])

    def test_protocol(self) -> None:
        """Without TLS, HTTP/2 must be asked for; how it is used can be set then."""
        self.assertEqual(
            [_pool(protocol=each).spoken for each in (None, "auto", "http1", "h2")], ["http1", "http1", "http1", "h2"]
        )
        http2 = _pool(protocol="h2").http2
        self.assertEqual(http2.model_dump(), {"streams": 100, "ping": {"interval": 30.0, "timeout": 10.0}})
        self.assertIsNone(_pool(protocol="h2", http2={"ping": False}).http2.ping)

    def test_refused(self) -> None:
        """What is wrong is said at its key."""
        for keys, expected in [
            ("algorithm: maglev", ["algorithm: there is no algorithm 'maglev'; there are: p2c, round_robin"]),
            ("algorithm: {p2c: {choices: 1}}", ["algorithm.p2c.choices: expected a value of 2 or more, got 1"]),
            ("algorithm: {p2c: 5}", ["algorithm.p2c: expected a mapping (keys: choices, decay), got 5"]),
            (
                "algorithm: {round_robin: {x: 1}}",
                ["algorithm.round_robin.x: unknown key 'x': there is nothing to set here"],
            ),
            ("algorithm: []", ["algorithm: expected the name of an algorithm, or {name: settings}"]),
            ("algorithm: ", ["algorithm: expected the name of an algorithm, or {name: settings}"]),
            ("health: {probe: htp}", ["health.probe: there is no probe 'htp'; did you mean 'http'?"]),
            ("health: {interval: 5}", ["health.interval: expected a duration with a unit, such as '5s' or '5ms'"]),
            ("health: {interval: 0s}", ["health.interval: expected a value above 0, got '0s'"]),
            (
                "passive: yes",
                [
                    "passive: expected a mapping (with keys such as failures, window, consecutive_5xx, success_rate, latency, interval, …), got 'yes'"
                ],
            ),
            ("sticky: {cookie: {}, source_ip: {}}", ["sticky: expected exactly one of cookie, source_ip and header"]),
            (
                "sticky: {cookie: {name: 'a b'}}",
                ["sticky.cookie.name: expected text of the form ^[!#$%&'*+.^_`|~0-9A-Za-z-]+$, got 'a b'"],
            ),
            ("sticky: {header: {}}", ["sticky.header.name: expected 'name': the header's name"]),
            (
                "retry: {on: [time, 304]}",
                [
                    f"retry.on[{at}]: expected connect_failure, reset, refused_stream, timeout, gateway_error, 5xx, retriable_4xx,"
                    " cancelled, deadline_exceeded, internal, resource_exhausted, unavailable or a status from 400 to 599,"
                    f" got {got}"
                    for at, got in enumerate(("'time'", "304"))
                ],
            ),
            (
                "protocol: h2, tls: {alpn: [h2, http/1.1]}",
                ["pools.app: expected alpn: h2 alone beside protocol: h2: nothing else would be spoken"],
            ),
            (
                "protocol: http1, tls: {alpn: h2}",
                [
                    "pools.app: expected no h2 in alpn beside protocol: http1: a server that agrees on it would not be understood"
                ],
            ),
            (
                "proxy_protocol: v2, tls: {alpn: h2}",
                ["pools.app: expected no h2 in alpn beside proxy_protocol: a connection of HTTP/2 is of many clients"],
            ),
            (
                "tls: {alpn: imap}",
                ["listeners.web.pool: the pool 'app' offers its servers neither h2 nor http/1.1 ('alpn' in its 'tls')"],
            ),
            ("protocol: http2", ["protocol: expected http1, h2 or auto, got 'http2'"]),
            (
                "http2: {streams: 5}",
                ["pools.app: expected protocol: h2 (or auto, with tls) where http2 is set: this pool speaks HTTP/1.1"],
            ),
            ("panic: on", ["panic: expected true or false, got 'on' (did you mean 'true'?)"]),
            ("first_byte: 5s", ["first_byte: unknown key 'first_byte' here: it belongs under 'timeouts'"]),
        ]:
            with self.subTest(keys):
                self.assertEqual(pool_problems(keys), expected)
