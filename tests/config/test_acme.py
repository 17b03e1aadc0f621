"""Tests for :mod:`balancer.config.acme`."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from balancer.config.acme import Acme
from balancer.config.listeners import HttpListener
from tests.config.samples import config_of, problems_in

POOLS = "pools: {app: {servers: ['a:1']}}\n"
ROUTES = "routes: [{match: {host: a.example}, pool: app}, {pool: app}]"


def _acme(keys: str) -> Acme:
    config = config_of(f"listeners: {{x: {{bind: '*:1', {ROUTES}, tls: {{acme: {{{keys}}}}}}}}}\n{POOLS}")
    listener = config.listeners["x"]
    assert isinstance(listener, HttpListener)
    assert listener.tls is not None
    assert listener.tls.acme is not None
    return listener.tls.acme


def _problems(keys: str) -> list[str]:
    found = problems_in(f"listeners: {{x: {{bind: '*:1', {keys}}}}}\n{POOLS}")
    return [f"{problem.path.removeprefix('listeners.x.')}: {problem.message}" for problem in found]


class AcmeTests(SynchronousTestCase):
    """``acme:`` of ``tls:``."""

    def test_defaults(self) -> None:
        """A storage, and the word that the terms are agreed to, are all that is needed."""
        acme = _acme("storage: /s, agree_terms: true")
        self.assertEqual(acme.directory, "https://acme-v02.api.letsencrypt.org/directory")
        self.assertEqual((acme.email, acme.names, acme.challenge, acme.ca), ("", None, "http-01", None))
        self.assertEqual((acme.renew_before, acme.dns_hook), (30 * 86400, ()))
        self.assertEqual((acme.key_type, acme.profile, acme.preferred_chain, acme.eab), ("ecdsa-p256", "", "", None))

    def test_everything(self) -> None:
        """Every key; names in the form that certificates have."""
        acme = _acme(
            "directory: 'https://[::1]:14000/dir', email: a@b.example, names: ['*.B.example', münchen.example, [c.example, '*.c.example', C.example]], challenge: dns-01,"
            " storage: /s, ca: /ca.pem, renew_before: 10d, agree_terms: true, dns_hook: [/bin/hook, -x],"
            " key_type: rsa-3072, profile: shortlived, preferred_chain: ISRG Root X1, eab: {kid: k-1, hmac_key: zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W}"
        )
        self.assertEqual(acme.names, (("*.b.example",), ("xn--mnchen-3ya.example",), ("c.example", "*.c.example")))
        self.assertEqual((acme.dns_hook, acme.ca, acme.renew_before), (("/bin/hook", "-x"), "/ca.pem", 864000.0))

        self.assertEqual(
            (acme.key_type, acme.profile, acme.preferred_chain), ("rsa-3072", "shortlived", "ISRG Root X1")
        )
        assert acme.eab is not None
        self.assertEqual((acme.eab.kid, acme.eab.hmac_key[:4]), ("k-1", "zWND"))
        self.assertNotIn("zWND", repr(acme))

    def test_key_unsaid(self) -> None:
        """A key that cannot be one is refused without being told."""
        for key in (
            "short",
            "not base64url but long enough",
            "'1234567890123456789012345 '",
            "[zWNDZM6eQGHWpSRTPal5e]",
        ):
            (problem,) = _problems(
                f"tls: {{acme: {{storage: /s, agree_terms: true, eab: {{kid: a, hmac_key: {key}}}}}}}, {ROUTES}"
            )
            self.assertTrue(problem.startswith("tls.acme.eab.hmac_key: expected a key in base64url"), problem)
            self.assertNotIn(key.strip("[]' "), problem)

    def test_refused(self) -> None:
        """What is wrong is told at its key."""
        good = "storage: /s, agree_terms: true"
        for acme, expected in [
            ("storage: /s, agree_terms: false", "tls.acme.agree_terms: expected true: the authority issues"),
            ("storage: /s", "tls.acme.agree_terms: "),
            ("agree_terms: true", "tls.acme.storage: "),
            (f"{good}, directory: 'http://a.example/'", "tls.acme.directory: expected the https URL"),
            (f"{good}, directory: 'https://a.example:x/'", "tls.acme.directory: expected the https URL"),
            (f"{good}, names: 192.0.2.1", "tls.acme.names: expected the name of a host"),
            (f"{good}, names: [a.example, a_b.example]", "tls.acme.names[1]: expected the name of a host"),
            (f"{good}, names: ['*.a.example']", "tls.acme.names[0]: expected 'challenge: dns-01' for *.a.example"),
            (
                f"{good}, names: [a.example, [b.example, '*.b.example']]",
                "tls.acme.names[1][1]: expected 'challenge: dns-01'",
            ),
            (f"{good}, names: [[]]", "tls.acme.names[0]: expected the names of one certificate, got an empty list"),
            (f"{good}, names: [[a.example, 192.0.2.1]]", "tls.acme.names[0]: expected the name of a host"),
            (f"{good}, key_type: rsa-1024", "tls.acme.key_type: "),
            (f"{good}, profile: 'a b'", "tls.acme.profile: expected a word"),
            (
                f"{good}, eab: {{kid: '', hmac_key: zWNDZM6eQGHWpSRTPal5eI}}",
                "tls.acme.eab.kid: expected the identifier",
            ),
            (f"{good}, email: nobody", "tls.acme.email: expected an address"),
            (f"{good}, challenge: tls-alpn-02", "tls.acme.challenge: "),
            (f"{good}, challenge: dns-01", "tls.acme: expected 'dns_hook' with dns-01"),
            (f"{good}, dns_hook: /bin/x", "tls.acme.dns_hook: expected no 'dns_hook'"),
        ]:
            found = _problems(f"{ROUTES}, tls: {{acme: {{{acme}}}}}")
            self.assertEqual(len(found), 1, (acme, found))
            self.assertTrue(found[0].startswith(expected), (found[0], expected))

    def test_nothing_to_show(self) -> None:
        """There must be certificates, or somebody to issue them; and names for those."""
        for keys, expected in [
            ("pool: app, tls: {profile: modern}", "tls: expected 'certificates', or 'acme' to have some issued"),
            (
                "pool: app, tls: {acme: {storage: /s, agree_terms: true}}",
                "tls.acme: expected 'names': no route has an exact host",
            ),
            (
                "protocol: tcp, pool: app, tls: {acme: {storage: /s, agree_terms: true}}",
                "tls.acme: expected 'names': routes have no hosts here",
            ),
        ]:
            self.assertEqual(_problems(keys), [expected])
