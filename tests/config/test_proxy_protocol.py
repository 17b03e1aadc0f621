"""Tests for :mod:`balancer.config.proxy_protocol`."""

from __future__ import annotations

import ipaddress
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from balancer.config.lint import lint
from tests.config.samples import config_of, problems_in

_TEXT = """
trusted_proxies: TRUSTED
listeners: {a: {bind: '127.0.0.1:1', protocol: PROTOCOL, pool: p LISTENER}}
pools: {p: {servers: ['127.0.0.1:2'], health: true POOL}}
"""
_TEN = ipaddress.ip_network("10.0.0.0/8")


def _text(listener: str = "", pool: str = "", protocol: str = "http", trusted: str = "[10.0.0.0/8]") -> str:
    text = _TEXT.replace("TRUSTED", trusted).replace("PROTOCOL", protocol)
    text = text.replace(" LISTENER", f", proxy_protocol: {listener}" if listener else "")
    return text.replace(" POOL", f", {pool}" if pool else "")


class ListenerTests(SynchronousTestCase):
    def _told(self, listener: str, protocol: str = "http") -> Any:
        return config_of(_text(listener, protocol=protocol)).listeners["a"].proxy_protocol  # type: ignore[union-attr]

    def test_forms(self) -> None:
        """On, off, networks, or all of it."""
        for protocol in ("http", "tcp"):
            self.assertIsNone(self._told("", protocol))
            self.assertIsNone(self._told("false", protocol))
            for text, networks in (("true", None), ("[10.0.0.0/8]", (_TEN,)), ("10.0.0.0/8", (_TEN,))):
                found = self._told(text, protocol)
                self.assertEqual((found.from_, found.required, found.timeout), (networks, True, 10.0))
            found = self._told("{from: 10.0.0.0/8, required: false, timeout: 3s}", protocol)
            self.assertEqual((found.from_, found.required, found.timeout), ((_TEN,), False, 3.0))

    def test_refused(self) -> None:
        for text, words in (
            ("nobody", "expected an address or network such as '10.0.0.0/8', got 'nobody'"),
            ("[]", "expected at least one value, got an empty list"),
            ("{form: 10.0.0.1}", "unknown key 'form'; did you mean 'from'?"),
            ("{required: 1}", "expected true or false"),
            ("{timeout: 0s}", "expected"),
            ("5", "expected a mapping (keys: from, required, timeout), got 5"),
        ):
            (problem,) = problems_in(_text(text))
            self.assertIn(words, str(problem))
        self.assertIn("unknown key 'proxy_protocol'", str(problems_in(_text("true", protocol="udp"))[0]))

    def test_lint(self) -> None:
        """A header that nobody may send, and one that everybody may."""
        for text, protocol, trusted, code, words in (
            ("true", "http", "[]", "proxy-protocol-without-trust", "all are served as they are"),
            ("true", "tcp", "[]", "proxy-protocol-without-trust", "all are refused"),
            ("{required: false}", "tcp", "[]", "proxy-protocol-without-trust", "all are served as they are"),
            ("{from: [10.0.0.1, 0.0.0.0/0]}", "tcp", "[]", "trusts-everyone", "can pretend to be another"),
        ):
            (problem,) = lint(config_of(_text(text, protocol=protocol, trusted=trusted)))
            self.assertEqual(problem.code, code)
            self.assertIn(words, str(problem))
        for text in ("true", "10.0.0.1", "false"):
            self.assertEqual(lint(config_of(_text(text))), [])


class PoolTests(SynchronousTestCase):
    def test_forms(self) -> None:
        """By version, or all of it."""
        for text, version, tlvs, crc32c in (
            ("v1", 1, (), False),
            ("v2", 2, (), False),
            ("{version: 1}", 1, (), False),
            ("{version: 2, tlvs: [ssl, unique_id], crc32c: true}", 2, ("ssl", "unique_id"), True),
        ):
            found = config_of(_text(pool=f"proxy_protocol: {text}")).pools["p"].proxy_protocol
            assert found is not None
            self.assertEqual((found.version, found.tlvs, found.crc32c), (version, tlvs, crc32c))

    def test_refused(self) -> None:
        for text, words in (
            ("proxy_protocol: v3", "expected v1, v2 or {version, tlvs, crc32c}, got 'v3'"),
            ("proxy_protocol: true", "expected a mapping"),
            ("proxy_protocol: {version: true}", "expected 1 or 2, got true"),
            ("proxy_protocol: {version: 3}", "expected 1 or 2, got 3"),
            ("proxy_protocol: {tlvs: [ssl]}", "version"),
            ("proxy_protocol: {version: 1, crc32c: true}", "version 1 has none"),
            ("proxy_protocol: {version: 1, tlvs: [ssl]}", "version 1 has none"),
            ("proxy_protocol: {version: 2, tlvs: [sni]}", "expected authority, alpn, ssl or unique_id, got 'sni'"),
            ("proxy_protocol: v1, protocol: h2", "expected protocol: http1 beside proxy_protocol"),
            ("proxy_protocol: v1, protocol: auto", "expected protocol: http1 beside proxy_protocol"),
            ("proxy_protocol: v1, http2: {streams: 5}", "this pool speaks HTTP/1.1"),
        ):
            (problem,) = problems_in(_text(pool=text))
            self.assertIn(words, str(problem), text)

    def test_spoken(self) -> None:
        """Connections with a header are of HTTP/1.1."""
        self.assertEqual(config_of(_text(pool="proxy_protocol: v2")).pools["p"].spoken, "http1")

    def test_datagrams(self) -> None:
        """Datagrams do not begin with a header."""
        (problem,) = problems_in(_text(pool="proxy_protocol: v2", protocol="udp"))
        self.assertIn("which datagrams cannot begin with", str(problem))
