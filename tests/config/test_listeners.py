"""Tests for :mod:`balancer.config.listeners`."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from balancer.config.listeners import HttpListener, TcpListener, UdpListener
from tests.config.samples import config_of, problems_in

POOLS = "pools: {app: {servers: ['a:1']}}\n"


def _listener(keys: str) -> HttpListener | TcpListener | UdpListener:
    return config_of(f"listeners: {{x: {{{keys}}}}}\n{POOLS}").listeners["x"]


def _problems(keys: str) -> list[str]:
    found = problems_in(f"listeners: {{x: {{{keys}}}}}\n{POOLS}")
    return [f"{problem.path.removeprefix('listeners.x.')}: {problem.message}" for problem in found]


class ListenerTests(SynchronousTestCase):
    """Listeners of each protocol."""

    def test_http(self) -> None:
        """HTTP is the default; limits and deadlines are those that operators are promised."""
        listener = _listener("bind: '*:80', pool: app")
        assert isinstance(listener, HttpListener)
        self.assertEqual(
            listener.timeouts.model_dump(), {"head": 10.0, "body_idle": 30.0, "keep_alive": 75.0, "idle": 300.0}
        )
        http = listener.http
        self.assertEqual((http.head_size, http.header_count, http.header_size, http.uri_size), (32768, 100, 8192, 8192))
        self.assertEqual((http.body_size, http.via, http.request_id, http.allow_underscores), (None, True, True, ()))
        self.assertIsNone(listener.trusted_proxies)
        self.assertEqual(listener.routes[0].name, "x")

    def test_http2(self) -> None:
        """HTTP/2 is spoken unless that is switched off; its limits may be set one by one."""
        for keys, expected in [
            ("", 100),
            ("http2: true, ", 100),
            ("http2: {streams: 7}, ", 7),
            ("http2: false, ", None),
        ]:
            listener = _listener(f"{keys}bind: '*:80', pool: app")
            assert isinstance(listener, HttpListener)
            self.assertEqual(None if listener.http2 is None else listener.http2.streams, expected)
        self.assertEqual(
            _problems(
                "bind: '*:1', pool: app, http2: {streams: 0, stream_window: 4GiB, connection_window: 1KiB, stream: 1}"
            ),
            [
                "http2.streams: expected a value of 1 or more, got 0",
                "http2.stream_window: expected a value of 2147483647 or less, got '4GiB'",
                "http2.connection_window: expected a value of 65535 or more, got '1KiB'",
                "http2.stream: unknown key 'stream'; did you mean 'streams'?",
            ],
        )

    def test_tcp(self) -> None:
        """TCP has its own timeouts and routes."""
        listener = _listener(
            "bind: ['*:1', 'unix:/x'], protocol: tcp, routes: [{match: {client: 10.0.0.0/8}, pool: app}, {pool: app}]"
        )
        assert isinstance(listener, TcpListener)
        self.assertEqual(listener.timeouts.idle, 600.0)
        self.assertEqual([route.name for route in listener.routes], ["x[0]", "x[1]"])

    def test_udp(self) -> None:
        """UDP has flows."""
        listener = _listener("bind: '*:1', protocol: udp, pool: app, udp: {responses: 1}")
        assert isinstance(listener, UdpListener)
        self.assertEqual(listener.udp.model_dump(), {"session_timeout": 30.0, "max_sessions": 10000, "responses": 1})

    def test_refused(self) -> None:
        """Keys of another protocol are named as such, and a protocol that is none."""
        for keys, expected in [
            (
                "pool: app",
                [
                    "bind: expected 'bind': where to listen: host:port, *:port, unix:/path, a Twisted endpoint description, or a list"
                ],
            ),
            (
                "bind: '*:1', protocol: tcp, pool: app, filters: []",
                ["filters: unknown key 'filters' here: it belongs to listeners with 'protocol: http'"],
            ),
            (
                "bind: '*:1', protocol: udp, pool: app, backlog: 5",
                ["backlog: unknown key 'backlog' here: it belongs to listeners with 'protocol: http'"],
            ),
            (
                "bind: '*:1', pool: app, udp: {}",
                ["udp: unknown key 'udp' here: it belongs to listeners with 'protocol: udp'"],
            ),
            (
                "bind: '*:1', protocol: tpc, pool: app",
                ["protocol: expected http, tcp or udp, got 'tpc'; did you mean 'tcp'?"],
            ),
            ("bind: '*:1', protocol: [tcp], pool: app", ["protocol: expected http, tcp or udp, got ['tcp']"]),
            (
                "bind: '*:1', protocol: tcp, routes: [{match: {path: /}, pool: app}]",
                ["routes[0].match.path: unknown key 'path' here: it belongs to listeners with 'protocol: http'"],
            ),
            (
                "bind: '*:1', protocol: tcp, routes: [{redirect: /}]",
                [
                    "routes[0].pool: expected 'pool': the pool that serves the session",
                    "routes[0].redirect: unknown key 'redirect' here: it belongs to listeners with 'protocol: http'",
                ],
            ),
            (
                "bind: '*:1', pool: app, request_id: true",
                ["request_id: unknown key 'request_id' here: it belongs under 'http'"],
            ),
        ]:
            with self.subTest(keys):
                self.assertEqual(_problems(keys), expected)
