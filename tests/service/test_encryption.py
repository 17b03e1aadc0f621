"""Tests for :mod:`balancer.service.encryption`."""

from __future__ import annotations

import sys
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from balancer.listeners.http.site import Site
from balancer.listeners.tcp import TCPSettings
from tests.service.making import built_in, problems_in
from tests.tls.authority import Authority

CA = Authority("CA")
SHOP = CA.issue("shop.example")
POOLS = "pools: {app: {servers: ['127.0.0.1:1']}}\n"


class EncryptionTests(SynchronousTestCase):
    """Listeners with ``tls:`` are built."""

    def setUp(self) -> None:
        self.directory = Path(self.mktemp()).absolute()
        self.directory.mkdir()

    def test_built(self) -> None:
        """HTTP and TCP listeners have their contexts, with what the configuration says."""
        (self.directory / "ca.pem").write_bytes(CA.issued.cert)
        snapshot = built_in(
            self.directory,
            "listeners:\n"
            "  web: {bind: '*:1', pool: app, hsts: {max_age: 1d, include_subdomains: true}, tls: {certificates: shop.pem,"
            " profile: modern, tickets: false, client_auth: {ca: ca.pem, mode: optional}, handshake_timeout: 3s}}\n"
            "  mail: {bind: '*:2', protocol: tcp, pool: app, tls: {certificates: shop.pem, alpn: [imap]}}\n"
            "  plain: {bind: '*:3', pool: app}\n"
            "  old: {bind: '*:4', pool: app, http2: false, tls: {certificates: shop.pem}}\n" + POOLS,
            shop=SHOP,
        )
        web, mail, plain, old = (snapshot.listeners[name] for name in ("web", "mail", "plain", "old"))
        assert isinstance(web, Site)
        assert isinstance(mail, TCPSettings)
        assert isinstance(plain, Site)
        assert isinstance(old, Site)
        assert web.tls is not None
        assert mail.tls is not None
        settings = web.tls.settings
        self.assertEqual(
            (settings.listener, settings.profile, settings.alpn, settings.client_auth, settings.handshake_timeout),
            ("web", "modern", ("h2", "http/1.1"), "optional", 3.0),
        )
        self.assertFalse(settings.tickets)
        self.assertEqual(mail.tls.settings.alpn, ("imap",))
        assert old.tls is not None
        self.assertEqual(old.tls.settings.alpn, ("http/1.1",))
        self.assertIsNone(plain.tls)
        self.assertEqual((web.policy.client_certificates, web.limits.own_client_certificates), (True, True))
        self.assertEqual(web.policy.hsts, b"max-age=86400; includeSubDomains")
        self.assertEqual((plain.policy.client_certificates, plain.policy.hsts), (False, b""))
        self.assertEqual(list(snapshot.shelves), ["web", "mail", "old"])

    def test_every_fault(self) -> None:
        """Every file that cannot be used is reported, at its place, with whatever else is wrong."""
        text = (
            "listeners:\n"
            "  web:\n"
            "    bind: '*:1'\n"
            "    pool: app\n"
            "    tls:\n"
            "      certificates:\n"
            "        - shop.pem\n"
            "        - {cert: none.pem,\n"
            "           key: none.key}\n"
            "        - other\n"
            "      client_auth: {ca: shop.pem}\n"
            "  second:\n"
            "    bind: '*:2'\n"
            "    pool: app\n"
            "    tls: {certificates: shop.pem, default: other.example}\n"
            "pools: {app: {servers: ['127.0.0.1:1'], algorithm: non}}\n"
        )
        (self.directory / "other").mkdir()
        self.assertEqual(
            [
                found.partition(": ")[2].partition("; there are")[0]
                for found in problems_in(self.directory, text, shop=SHOP)
            ],
            [
                "listeners.web.tls.certificates[1].cert: cannot read DIR/none.pem: No such file or directory",
                "listeners.web.tls.certificates[1].key: cannot read DIR/none.key: No such file or directory",
                "listeners.web.tls.certificates[2]: there is no certificate in the directory DIR/other",
                "listeners.web.tls.client_auth.ca: DIR/shop.pem: CN=shop.example is no authority: it may not sign certificates",
                (
                    "listeners.second.tls.default: expected a host that one of the certificates is for, or one of shop.pem;"
                    " got 'other.example'"
                ),
                "pools.app.algorithm: there is no algorithm 'non'",
            ],
        )
        places = [found.partition(": ")[0] for found in problems_in(self.directory, text)]
        self.assertEqual(places[:3], ["DIR/b.yaml:8:18", "DIR/b.yaml:9:17", "DIR/b.yaml:10:11"])

    def test_issued(self) -> None:
        """A listener whose certificates are being issued is built with a stand-in, and nothing is made in its storage."""
        tls = "tls: {acme: {names: [a.example], storage: s, agree_terms: true}}"
        snapshot = built_in(self.directory, f"listeners: {{web: {{bind: '*:1', pool: app, {tls}}}}}\n{POOLS}")
        self.assertEqual([each.name for each in snapshot.shelves["web"].choice.of("a.example")], ["stand-in"])
        self.assertFalse((self.directory / "s").exists())

    def test_without_libraries(self) -> None:
        """Without what speaks to authorities, it is said where, and how to have it."""
        self.patch(sys, "path", [])
        self.patch(
            sys,
            "modules",
            {name: each for name, each in sys.modules.items() if name.split(".")[0] not in ("acme", "josepy")},
        )
        self.patch(sys, "meta_path", [])
        tls = "tls: {acme: {names: [a.example], storage: s, agree_terms: true}}"
        (problem,) = problems_in(
            self.directory, f"listeners:\n  web:\n    bind: '*:1'\n    pool: app\n    {tls}\n{POOLS}"
        )
        self.assertIn("b.yaml:5:", problem)
        self.assertIn(
            "listeners.web.tls.acme: the libraries acme and josepy are needed: pip install 'txbalancer[acme]'", problem
        )

    def test_pools(self) -> None:
        """A pool has whom it believes, what it shows and what it offers; files that change are gone by from then on."""
        ca = self.directory / "ca.pem"
        ca.write_bytes(CA.issued.cert)
        snapshot = built_in(
            self.directory,
            "listeners: {web: {bind: '*:1', protocol: tcp, pool: app}}\n"
            "pools: {app: {servers: ['127.0.0.1:1'], tls: {ca: ca.pem, certificate: {cert: shop.pem, key: shop.key}, alpn: imap}}}\n",
            shop=SHOP,
        )
        encryption, shelf = snapshot.encryptions["app"], snapshot.pool_shelves["app"]
        server = snapshot.pools["app"].servers[0]
        self.assertIs(server.encryption, encryption)
        before, settings = encryption.context, encryption.settings
        assert settings.identity is not None
        self.assertEqual((settings.ca, settings.alpn), (CA.issued.cert, ("imap",)))
        self.assertEqual(settings.identity.serial, f"{SHOP.certificate.serial_number:x}")
        ca.write_bytes(Authority("Another").issued.cert + CA.issued.cert)
        changed, news, complaints = shelf.take(shelf.look(), {})
        self.assertEqual(
            (changed, news, complaints), (True, ["the authorities of servers' certificates have changed"], [])
        )
        snapshot.believe("app")
        self.assertIsNot(encryption.context, before)
        self.assertEqual(encryption.settings.ca, ca.read_bytes())
        self.assertEqual(encryption.settings.identity, settings.identity)

    def test_faults_of_pools(self) -> None:
        """Files of pools are reported at their keys."""
        text = (
            "listeners: {web: {bind: '*:1', pool: app}}\n"
            "pools: {app: {servers: ['127.0.0.1:1'], tls: {ca: none.pem, certificate: {cert: shop.pem, key: none.key}}},\n"
            "  other: {servers: ['127.0.0.1:1'], tls: {certificate: {cert: .}}}}\n"
        )
        self.assertEqual(
            [found.partition(": ")[2] for found in problems_in(self.directory, text, shop=SHOP)],
            [
                "pools.app.tls.certificate.key: cannot read DIR/none.key: No such file or directory",
                "pools.app.tls.ca: cannot read DIR/none.pem: No such file or directory",
                "pools.other.tls.certificate.cert: expected a file, DIR is a directory or a pattern",
            ],
        )
