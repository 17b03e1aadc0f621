"""Tests for :mod:`balancer.tls.authorities`."""

from __future__ import annotations

import math
from datetime import timedelta

from twisted.trial.unittest import SynchronousTestCase

from balancer.tls.authorities import read_authorities
from balancer.tls.pem import UnusableError
from tests.tls.authority import NOW, Authority

ONE = Authority("One")
TWO = Authority("Two")


class AuthoritiesTests(SynchronousTestCase):
    """Who may sign clients' certificates."""

    def test_read(self) -> None:
        """Any number of authorities, and their lists."""
        found = read_authorities(ONE.issued.cert + TWO.issued.cert, ONE.revoke() + b"\n" + TWO.revoke(TWO.issue("a")))
        self.assertEqual(repr(found), "<Authorities 2, 2 lists>")
        self.assertEqual(found.certificates, (ONE.issued.cert, TWO.issued.cert))
        self.assertEqual(found.until, (NOW + timedelta(days=30)).timestamp())
        both = read_authorities(ONE.issued.cert + TWO.issued.cert, ONE.revoke(days=2) + TWO.revoke())
        self.assertEqual(both.until, (NOW + timedelta(days=2)).timestamp())
        self.assertEqual(read_authorities(ONE.issued.cert).until, math.inf)
        many = b"".join(Authority(f"Number {number}").issued.cert for number in range(12))
        self.assertEqual(len(read_authorities(many).certificates), 12)

    def test_refused(self) -> None:
        """What could never make a certificate good, or bad, is refused."""
        garbage = b"-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n"
        for ca, crl, expected in [
            (b"", b"", "the file is empty"),
            (ONE.issued.key, b"", "no certificate of an authority"),
            (ONE.issued.cert + ONE.issued.key, b"", "there is a key in it"),
            (ONE.issue("a.example").cert, b"", "CN=a.example is no authority"),
            (ONE.issued.cert, b"x", "no list of revoked"),
            (ONE.issued.cert, garbage, "cannot be read"),
            (ONE.issued.cert, garbage[:-10], "cut off"),
            (ONE.issued.cert, TWO.revoke(), "the list of CN=Two is none of an authority in 'ca'"),
        ]:
            error = self.assertRaises(UnusableError, read_authorities, ca, crl)
            self.assertIn(expected, str(error))
