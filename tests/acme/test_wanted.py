"""Tests for :mod:`balancer.acme.wanted`."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from balancer.acme.wanted import Wanted, wanted_by, wanted_of
from tests.config.samples import config_of

ACME = "storage: /s, agree_terms: true"


def _wanted(*listeners: str) -> list[Wanted]:
    text = "\n".join(f"  l{at}: {{bind: '*:{at + 1}', {each}}}" for at, each in enumerate(listeners))
    config = config_of(f"listeners:\n{text}\npools: {{app: {{servers: ['a:1']}}}}\n")
    return list(wanted_of(config.listeners.values()))


class WantedTests(SynchronousTestCase):
    """What a configuration wants."""

    def test_hosts(self) -> None:
        """By default the exact hosts of the routes, each once: no wildcards, no addresses."""
        routes = "routes: [{match: {host: [Shop.Example, '*.b.example', 192.0.2.1]}, pool: app}, {match: {host: [münchen.example, shop.example]}, pool: app}, {pool: app}]"
        found = _wanted(f"tls: {{acme: {{{ACME}}}}}, {routes}")
        self.assertEqual([each.label for each in found], ["shop.example", "xn--mnchen-3ya.example"])

    def test_names(self) -> None:
        """Names that are given are all; TCP listeners have them too; others want nothing."""
        found = _wanted(
            f"tls: {{acme: {{names: [a.example, A.example., b.example], {ACME}}}}}, routes: [{{match: {{host: c.example}}, pool: app}}, {{pool: app}}]",
            f"protocol: tcp, pool: app, tls: {{acme: {{names: mail.example, {ACME}}}}}",
            "pool: app, tls: {certificates: a.pem}",
            "protocol: udp, pool: app",
            "pool: app",
        )
        self.assertEqual([each.label for each in found], ["a.example", "b.example", "mail.example"])
        self.assertEqual(found[0].file, "a.example.pem")

    def test_together(self) -> None:
        """Names in a list of their own share a certificate, which is another one with other names; its order does not matter."""
        found = _wanted(
            f"tls: {{acme: {{names: [a.example, [b.example, '*.b.example'], [b.example, c.example, d.example, e.example]], challenge: dns-01, dns_hook: h, {ACME}}}}}, pool: app",
            f"tls: {{acme: {{names: [['*.b.example', b.example]], challenge: dns-01, dns_hook: h, {ACME}}}}}, pool: app",
        )
        self.assertEqual(
            [each.label for each in found],
            [
                "a.example",
                "b.example, *.b.example",
                "b.example, c.example, d.example and 1 more",
                "*.b.example, b.example",
            ],
        )
        self.assertEqual(found[1].key.partition("-")[0], "b.example+1")
        self.assertEqual(len({each.path for each in found}), 4)

    def test_key_type(self) -> None:
        """Another kind of key is another certificate: both may be shown, and a change orders anew."""
        acme = "tls: {acme: {names: a.example, storage: /s, agree_terms: true%s}}, pool: app"
        found = _wanted(acme % "", acme % ", key_type: rsa-2048")
        self.assertEqual([each.label for each in found], ["a.example", "a.example (rsa-2048)"])
        self.assertEqual([each.file for each in found], ["a.example.pem", "a.example+rsa-2048.pem"])

    def test_once(self) -> None:
        """What two listeners want of one authority is one certificate; of another, another."""
        acme = "tls: {acme: {names: a.example, storage: /s, agree_terms: true%s}}, pool: app"
        found = _wanted(acme % "", acme % ", email: a@a.example", acme % ", directory: 'https://other.example/'")
        self.assertEqual(
            [each.acme.directory.split("/")[2] for each in found], ["acme-v02.api.letsencrypt.org", "other.example"]
        )
        self.assertEqual(found[0].acme.email, "")

    def test_none(self) -> None:
        """Listeners without it have no names."""
        config = config_of("listeners: {a: {bind: '*:1', pool: app}}\npools: {app: {servers: ['a:1']}}\n")
        self.assertEqual(wanted_by(config.listeners["a"]), ())
