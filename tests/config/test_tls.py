"""Tests for :mod:`balancer.config.tls`."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from balancer.config.listeners import HttpListener, TcpListener, UdpListener
from balancer.config.tls import Hsts, RedirectHttps
from tests.config.samples import config_of, problems_in

POOLS = "pools: {app: {servers: ['a:1']}}\n"


def _listener(keys: str) -> HttpListener | TcpListener | UdpListener:
    return config_of(f"listeners: {{x: {{bind: '*:1', {keys}}}}}\n{POOLS}").listeners["x"]


def _problems(keys: str) -> list[str]:
    found = problems_in(f"listeners: {{x: {{bind: '*:1', {keys}}}}}\n{POOLS}")
    return [f"{problem.path.removeprefix('listeners.x.')}: {problem.message}" for problem in found]


class ListenerTlsTests(SynchronousTestCase):
    """``tls:`` of a listener."""

    def test_defaults(self) -> None:
        """A certificate is all that is needed; one may be written as its file, or as a list of one."""
        for given in ("a.pem", "[a.pem]", "{cert: a.pem}", "[{cert: a.pem}]"):
            listener = _listener(f"pool: app, tls: {{certificates: {given}}}")
            assert isinstance(listener, HttpListener)
            tls = listener.tls
            assert tls is not None
            self.assertEqual([(each.cert, each.key, each.chain) for each in tls.certificates], [("a.pem", None, None)])
            self.assertEqual((tls.default, tls.strict_sni, tls.profile, tls.alpn), ("", False, "intermediate", None))
            self.assertEqual((tls.client_auth, tls.handshake_timeout, tls.ocsp), (None, 10.0, True))
            assert tls.tickets is not None
            self.assertEqual(tls.tickets.rotate, 12 * 3600)

    def test_everything(self) -> None:
        """Every key; TCP listeners have it too, with protocols of their own."""
        listener = _listener(
            "protocol: tcp, pool: app, tls: {certificates: [{cert: a, key: b, chain: c}], default: a.example,"
            " profile: modern, alpn: [imap], client_auth: {mode: optional, ca: ca.pem, crl: crl.pem},"
            " handshake_timeout: 5s, tickets: false, ocsp: false}"
        )
        assert isinstance(listener, TcpListener)
        tls = listener.tls
        assert tls is not None
        self.assertEqual(tls.alpn, ("imap",))
        self.assertIsNone(tls.tickets)
        self.assertFalse(tls.ocsp)
        assert tls.client_auth is not None
        self.assertEqual(
            (tls.client_auth.mode, tls.client_auth.ca, tls.client_auth.crl), ("optional", "ca.pem", "crl.pem")
        )

    def test_refused(self) -> None:
        """What is wrong is told at its key."""
        for keys, expected in [
            ("tls: {certificates: []}", ["tls.certificates: expected at least one value, got an empty list"]),
            ("tls: {certificates: a, alpn: [http2]}", ["tls.alpn[0]: expected h2 or http/1.1, got 'http2'"]),
            ("tls: {certificates: a, profile: old}", ["tls.profile: expected intermediate or modern, got 'old'"]),
            (
                "tls: {certificates: a, strict_sni: true, default: a}",
                ["tls.default: expected no 'default' beside 'strict_sni': clients that would be shown it are refused"],
            ),
            (
                "protocol: tcp, tls: {certificates: a, client_auth: {ca: a, headers: true}}",
                ["tls.client_auth.headers: expected no 'headers' here: there are none in TCP sessions"],
            ),
            (
                "protocol: udp, tls: {certificates: a}",
                ["tls: unknown key 'tls' here: it belongs to listeners with 'protocol: http'"],
            ),
        ]:
            found = _problems(f"pool: app, {keys}")
            self.assertEqual([text.partition(";")[0] for text in found], expected, keys)


class SchemeTests(SynchronousTestCase):
    """``redirect_https`` and ``hsts``."""

    def test_redirect(self) -> None:
        """On, off, a port, or both settings; a listener that redirects needs no routes."""
        for given, expected in [
            ("true", RedirectHttps()),
            ("8443", RedirectHttps(port=8443)),
            ("{status: 301}", RedirectHttps(status=301)),
            ("{port: 8443, status: 302}", RedirectHttps(port=8443, status=302)),
        ]:
            listener = _listener(f"redirect_https: {given}")
            assert isinstance(listener, HttpListener)
            self.assertEqual(listener.redirect_https, expected)
        listener = _listener("pool: app, redirect_https: false")
        assert isinstance(listener, HttpListener)
        self.assertIsNone(listener.redirect_https)

    def test_hsts(self) -> None:
        """A year by default."""
        listener = _listener("pool: app, tls: {certificates: a}, hsts: true")
        assert isinstance(listener, HttpListener)
        self.assertEqual(listener.hsts, Hsts())
        self.assertEqual(Hsts().max_age, 31536000.0)

    def test_refused(self) -> None:
        """What would do nothing, or not what is meant, is refused."""
        tls = "tls: {certificates: a}"
        for keys, expected in [
            ("redirect_https: false", "listeners.x: expected 'routes' or 'pool'"),
            (
                "redirect_https: {status: 200}",
                "redirect_https.status: expected one of 301, 302, 303, 307, 308, got 200",
            ),
            (f"pool: app, {tls}, redirect_https: true", "redirect_https: expected no 'redirect_https' beside 'tls'"),
            ("pool: app, hsts: true", "hsts: expected 'hsts' on a listener with 'tls'"),
            (f"pool: app, {tls}, hsts: {{preload: true}}", "hsts.preload: expected include_subdomains and a max_age"),
            (
                f"pool: app, {tls}, hsts: {{preload: true, include_subdomains: true, max_age: 5d}}",
                "hsts.preload: expected include_subdomains and a max_age",
            ),
            (f"pool: app, {tls}, hsts: {{max_age: 5}}", "hsts.max_age: expected a duration with a unit"),
        ]:
            found = _problems(keys)
            self.assertEqual(len(found), 1, found)
            self.assertTrue(found[0].startswith(expected), found)
