"""Tests for :mod:`balancer.model.address`."""

from __future__ import annotations

import ipaddress

from twisted.trial.unittest import SynchronousTestCase

from balancer.model.address import Address, Peer


class AddressTests(SynchronousTestCase):
    def test_forms(self) -> None:
        """IPv4, IPv6, names and unix sockets, written again as they were."""
        for text, host, port, is_name in (
            ("10.0.0.1:80", "10.0.0.1", 80, False),
            ("[::1]:443", "::1", 443, False),
            ("db.example:5432", "db.example", 5432, True),
            ("my_host:1", "my_host", 1, True),
            ("unix:/run/a.sock", "", 0, False),
        ):
            found = Address.parse(text)
            self.assertEqual((found.host, found.port, found.is_name, str(found)), (host, port, is_name, text))

    def test_nonsense(self) -> None:
        """Each is refused with what was expected."""
        for text, words in (
            ("localhost", "host:port"),
            ("a:b", "port"),
            ("a:70000", "port"),
            ("a:-1", "port"),
            ("::1:80", "brackets"),
            ("[zz]:1", "IPv6"),
            ("300.1.1.1:80", "IPv4"),
            (":80", "host name"),
            ("-a:80", "host name"),
            ("a b:80", "host name"),
            ("unix:", "unix:/path"),
            ("a:٣", "port"),
            ("[::1]", "'host:port'"),
            ("[::1", "'host:port'"),
            ("http://10.0.0.1:80", "without 'http://'"),
            ("10.0.0.1:80/", "port"),
            ("[10.0.0.1]:80", "IPv6"),
            ("a:" + "9" * 5000, "port"),
        ):
            self.assertIn(words, str(self.assertRaises(ValueError, Address.parse, text)))


class PeerTests(SynchronousTestCase):
    def test_ip(self) -> None:
        """Parsed once; IPv4-mapped addresses are IPv4, zones are left out, unix sockets have none."""
        self.assertEqual(Peer("::ffff:192.0.2.1", 1).ip, ipaddress.ip_address("192.0.2.1"))
        self.assertEqual(Peer("fe80::1%eth0", 1).ip, ipaddress.ip_address("fe80::1"))
        self.assertIsNone(Peer("", 0).ip)
        peer = Peer("192.0.2.1", 1)
        self.assertIs(peer.ip, peer.ip)
