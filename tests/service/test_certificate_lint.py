"""Tests for :mod:`balancer.service.certificate_lint`."""

from __future__ import annotations

from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from balancer.service.certificate_lint import lint_certificates
from tests.service.making import built_in
from tests.tls.authority import NOW, Authority, Issued

CA = Authority("CA")
POOLS = "pools: {app: {servers: ['127.0.0.1:1']}}\n"


class CertificateLintTests(SynchronousTestCase):
    """What is doubtful about certificates."""

    def _lint(self, listener: str, **certificates: Issued) -> list[tuple[str, str]]:
        directory = Path(self.mktemp()).absolute()
        directory.mkdir()
        snapshot = built_in(directory, f"listeners: {{web: {{bind: '*:1', {listener}}}}}\n{POOLS}", **certificates)
        return [
            (problem.code, f"{problem.path.removeprefix('listeners.web.')}: {problem.message}")
            for problem in lint_certificates(snapshot, NOW.timestamp())
        ]

    def _codes(self, listener: str, **certificates: Issued) -> list[str]:
        return [code for code, _ in self._lint(listener, **certificates)]

    def test_nothing(self) -> None:
        """A certificate for the host of the route, good for long, is beyond doubt."""
        routes = "routes: [{match: {host: [a.example, '*.b.example']}, pool: app}], tls: {certificates: a.pem}"
        self.assertEqual(self._lint(routes, a=CA.issue("a.example", "*.b.example")), [])

    def test_time(self) -> None:
        """Expired, about to, and not yet valid."""
        tls = "pool: app, tls: {certificates: [{cert: a.pem}]}"
        for days, code, words in [
            (20, "certificate-expires", "expires in 20 days, on"),
            (1, "certificate-expires", "expires in 1 day, on"),
            (-0.5, "certificate-expired", "the certificate a.pem expired on"),
        ]:
            ((found, text),) = self._lint(tls, a=CA.issue("a.example", days=days))
            self.assertEqual(found, code)
            self.assertTrue(text.startswith("tls.certificates[0].cert: "), text)
            self.assertIn(words, text)
        self.assertEqual(self._codes(tls, a=CA.issue("a.example", age=-1)), ["certificate-expired"])

    def test_lists(self) -> None:
        """A list of revoked certificates that is out of date, or about to be, keeps every client out."""
        for days, code, words in [
            (0.5, "list-expires", "will be out of date on"),
            (-1, "list-expired", "is out of date since"),
            (3, "", ""),
        ]:
            directory = Path(self.mktemp()).absolute()
            directory.mkdir()
            (directory / "ca.pem").write_bytes(CA.issued.cert)
            (directory / "crl.pem").write_bytes(CA.revoke(days=days))
            tls = "tls: {certificates: a.pem, client_auth: {ca: ca.pem, crl: crl.pem}}"
            text = f"listeners: {{web: {{bind: '*:1', pool: app, {tls}}}}}\n{POOLS}"
            snapshot = built_in(directory, text, a=CA.issue("a.example"))
            found = list(lint_certificates(snapshot, NOW.timestamp()))
            self.assertEqual([problem.code for problem in found], [code] if code else [])
            for problem in found:
                self.assertEqual(problem.path, "listeners.web.tls.client_auth.crl")
                self.assertIn(words, problem.message)

    def test_twice(self) -> None:
        """A name that two certificates are for; that RSA and ECDSA stand side by side is meant."""
        tls = "pool: app, tls: {certificates: [a.pem, b.pem], strict_sni: true}"
        found = self._lint(tls, a=CA.issue("a.example"), b=CA.issue("a.example", "b.example", days=120, number=1))
        self.assertEqual(
            found,
            [
                (
                    "certificate-covered-twice",
                    "tls.certificates[0]: a.example: b.pem is shown instead of a.pem, as it is valid for longer; a.pem is never shown",
                )
            ],
        )
        self.assertEqual(self._lint(tls, a=CA.issue("a.example"), b=CA.issue("a.example", kind="rsa")), [])

    def test_hosts(self) -> None:
        """Routes for hosts that no certificate is for, and certificates for hosts that no route is for."""
        routes = "routes: [{match: {host: [a.example, '*.c.example']}, pool: app}], tls: {certificates: [a.pem, b.pem]}"
        found = self._lint(routes, a=CA.issue("a.example"), b=CA.issue("b.example", number=1))
        self.assertEqual([code for code, _ in found], ["host-without-certificate", "certificate-without-route"])
        self.assertIn("routes[0].match.host: no certificate is for *.c.example", found[0][1])
        self.assertIn("tls.certificates[1]: the certificate b.pem is for b.example, which no route serves", found[1][1])

    def test_itself(self) -> None:
        """No alternative names; a certificate that must be stapled and cannot be; one that is for nobody."""
        tls = "pool: app, tls: {certificates: a.pem}"
        self.assertEqual(self._codes(tls, a=CA.issue(subject="CN=a.example")), ["no-alternative-names"])
        must = CA.issue("a.example", must_staple=True, ocsp="http://ocsp.example")
        ((code, text),) = self._lint(tls, a=must)
        self.assertEqual(code, "must-staple")
        self.assertIn("its issuer is not in the chain", text)
        ((_, text),) = self._lint("pool: app, tls: {certificates: a.pem, ocsp: false}", a=must)
        self.assertIn("'ocsp' is false", text)
        tls = "pool: app, tls: {certificates: [a.pem, b.pem]}"
        codes = self._codes(tls, a=CA.issue("a.example"), b=CA.issue(subject="CN=Some Device", number=1))
        self.assertEqual(codes, ["no-alternative-names", "unused-certificate"])

    def test_issued(self) -> None:
        """Authorities ask port 80 by http; what is being issued is there as good as already."""
        routes = "routes: [{match: {host: a.example}, pool: app}], tls: {acme: {storage: s, agree_terms: true%s}}"
        self.assertEqual(
            self._lint(routes % ""),
            [
                (
                    "no-challenge-listener",
                    "tls.acme: no HTTP listener without TLS: authorities look for the proof of http-01 by http, at port 80 of the name",
                )
            ],
        )
        plain = "}, plain: {bind: %s, redirect_https: true"
        self.assertEqual(self._codes(routes % "" + plain % "'*:8080'"), ["no-challenge-port"])
        for bind in ("'*:80'", "['*:8080', '[::]:80']", "unix:/run/a"):
            self.assertEqual(self._codes(routes % "" + plain % bind), [])
        self.assertEqual(self._codes(routes % ", challenge: dns-01, dns_hook: x"), [])
        alpn = routes % ", challenge: tls-alpn-01"
        self.assertEqual(self._codes(alpn), ["no-challenge-port"])
        self.assertEqual(self._codes(alpn + "}, plain: {bind: '*:443', redirect_https: true"), ["no-challenge-port"])
        mail = "}, mail: {bind: %s, protocol: tcp, pool: app, tls: {acme: {names: mail.example, storage: s, agree_terms: true, challenge: tls-alpn-01}}"
        for bind in ("'*:443'", "['*:8080', '[::]:443']", "unix:/run/a"):
            self.assertEqual(self._codes(alpn + mail % bind), [])
