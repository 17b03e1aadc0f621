"""Tests for :mod:`balancer.config.lint`."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from balancer.config.lint import lint
from tests.config.samples import config_of

CLEAN = """
secret: 0123456789abcdef
metrics: {bind: 127.0.0.1:9090}
listeners:
  web:
    bind: 0.0.0.0:8080
    routes:
      - {match: {path: {regex: "^/x"}}, pool: app}
      - {pool: app}
pools:
  app:
    servers: [10.0.0.1:8000]
    health: {probe: http}
    sticky: cookie
"""


class LintTests(SynchronousTestCase):
    """What is allowed and yet doubtful."""

    def _codes(self, old: str = "", new: str = "") -> list[str]:
        self.assertIn(old, CLEAN)
        return [problem.code for problem in lint(config_of(CLEAN.replace(old, new) if old else CLEAN + new))]

    def test_clean(self) -> None:
        """Nothing is said of a configuration that is as it should be."""
        self.assertEqual(self._codes(), [])

    def test_each(self) -> None:
        """Each doubt has a code of its own, and is not raised by the clean configuration."""
        for old, new, code in [
            ("", "  spare: {servers: ['b:1'], health: true}\n", "unused-pool"),
            ("    health: {probe: http}\n", "", "no-health-check"),
            ("health: {probe: http}", "health: {timeout: 6s}", "slow-probe"),
            ("[10.0.0.1:8000]", "[{address: 'a:1', weight: 0}]", "no-weight"),
            ("[10.0.0.1:8000]", "[{address: 'a:1', backup: true}]", "only-backups"),
            ("      - {pool: app}\n", "", "no-catch-all"),
            ('"^/x"', '"/x"', "loose-regex"),
            ("secret: 0123456789abcdef\n", "", "sticky-without-secret"),
            ("sticky: cookie", "sticky: {cookie: {same_site: none}}", "cookie-dropped"),
            ("secret:", "trusted_proxies: [10.0.0.0/8, 0.0.0.0/0]\nsecret:", "trusts-everyone"),
            ("127.0.0.1:9090", "0.0.0.0:9090", "exposed"),
            ("[10.0.0.1:8000]", "[127.0.0.1:8080]", "loop"),
            ("[10.0.0.1:8000]", "['localhost:8080', 'b:1']", "loop"),
        ]:
            with self.subTest(code):
                self.assertEqual(self._codes(old, new), [code])

    def test_redirected(self) -> None:
        """A listener that redirects everything needs no route for the rest; routes behind it that nobody reaches are named."""
        redirecting = "  plain: {bind: '*:80', redirect_https: true, routes: [ROUTES]}\npools:"
        for routes, codes in [
            ("{match: {path: /.well-known/acme-challenge/**}, pool: app}", []),
            ("{match: {path: '/{any}/acme-challenge/x'}, pool: app}", []),
            ("{match: {path: {regex: '^/x'}}, pool: app}", []),
            ("{pool: app}", []),
            ("{match: {path: [/a, /b/**]}, pool: app}", ["unreachable-route"]),
        ]:
            self.assertEqual(self._codes("pools:", redirecting.replace("ROUTES", routes)), codes, routes)

    def test_nothing_watches(self) -> None:
        """Without health check and passive detection nobody notices a dead server."""
        self.assertEqual(self._codes("health: {probe: http}", "passive: false"), ["no-health-check", "no-detection"])

    def test_sticky_sessions(self) -> None:
        """A pool of a TCP listener cannot stick by cookie; by source address it can."""
        tcp = "listeners:\n  db: {bind: '*:5432', protocol: tcp, pool: app}\n"
        self.assertEqual(self._codes("listeners:\n", tcp), ["sticky-without-http"])
        both = CLEAN.replace("listeners:\n", tcp).replace("sticky: cookie", "sticky: source_ip")
        self.assertEqual(lint(config_of(both)), [])

    def test_loops_by_transport(self) -> None:
        """A UDP server on the port of a TCP listener is somebody else."""
        text = CLEAN + "  dns: {servers: [127.0.0.1:8080], health: true}\n"
        text = text.replace("listeners:\n", "listeners:\n  dns: {bind: '*:53', protocol: udp, pool: dns}\n")
        self.assertEqual(lint(config_of(text)), [])

    def test_places(self) -> None:
        """Doubts have places, in the order of the file."""
        found = lint(config_of(CLEAN.replace("127.0.0.1:9090", "'*:9090'").replace("    health: {probe: http}\n", "")))
        self.assertEqual([(p.line, p.column, p.path) for p in found], [(3, 17, "metrics.bind"), (11, 3, "pools.app")])

    def test_a_list_of_names(self) -> None:
        """A TCP listener by server names need not take every name; one by networks is asked about the others."""
        for match, expected in (("sni: a.example", []), ("alpn: h2", []), ("client: 10.0.0.0/8", ["no-catch-all"])):
            text = CLEAN.replace(
                "pools:", f"  tls: {{bind: '*:443', protocol: tcp, routes: [{{match: {{{match}}}, pool: db}}]}}\npools:"
            )
            text += "  db: {servers: ['a:1'], health: {probe: http}}\n"
            self.assertEqual([problem.code for problem in lint(config_of(text))], expected)
