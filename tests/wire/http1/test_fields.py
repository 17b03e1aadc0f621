"""Tests for :mod:`balancer.wire.http1.fields`."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from balancer.wire.http1 import fields


class FieldTests(SynchronousTestCase):
    def test_kinds(self) -> None:
        """In any case; what is not known is passed on, what may be read as another name is odd."""
        for name, kind in (
            (b"HOST", fields.HOST),
            (b"content-Length", fields.CONTENT_LENGTH),
            (b"X-Forwarded-For", fields.FORWARDING),
            (b"X_Forwarded_For", fields.ODD),
            (b"Content.Length", fields.ODD),
            (b"X-Custom", fields.PLAIN),
        ):
            self.assertEqual([fields.request_kind(name) for _ in range(2)], [kind, kind], name)
        self.assertEqual(fields.response_kind(b"Keep-Alive"), fields.HOP)
        self.assertEqual(fields.response_kind(b"X_Y"), fields.PLAIN)

    def test_client_certificates(self) -> None:
        """What says who a client has proved to be is known in every spelling that a server may read as the same."""
        for name in (
            b"Client-Cert",
            b"client-cert-chain",
            b"X-Client-Cert-Subject",
            b"X_Client_Cert_SAN",
            b"x.client-cert",
        ):
            self.assertEqual(fields.request_kind(name), fields.CLIENT_CERTIFICATE, name)
        for name in (b"X-Client-Certificate", b"Client-Certs", b"X-My-Client-Cert", b"X-Client-IP"):
            self.assertEqual(fields.request_kind(name), fields.PLAIN, name)

    def test_the_memo_is_bounded(self) -> None:
        """Ever new names do not fill the memory, and are still told apart."""
        for number in range(10_000):
            fields.request_kind(b"X-%d" % number)
            fields.response_kind(b"X-%d" % number)
        self.assertLessEqual(len(fields._request_memo), fields._MEMO_SIZE)
        self.assertLessEqual(len(fields._response_memo), fields._MEMO_SIZE)
        self.assertEqual(fields.request_kind(b"hOsT"), fields.HOST)

    def test_connection(self) -> None:
        """What Connection names is dropped, but for fields that a client may not have dropped."""
        self.assertEqual(
            fields.connection_tokens(b"close, X-Hop ,, Authorization,X-Forwarded-For, cookie"), frozenset([b"x-hop"])
        )
        self.assertTrue(fields.says_close(b"x, CLOSE"))
        self.assertFalse(fields.says_close(b"closed"))
        self.assertTrue(fields.says_keep_alive(b"Keep-Alive"))

    def test_stripped(self) -> None:
        self.assertEqual(fields.stripped(b"a b \t"), b"a b")
