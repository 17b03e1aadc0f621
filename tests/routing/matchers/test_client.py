"""Tests of conditions on the client's address."""

from __future__ import annotations

import ipaddress

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial import unittest
from zope.interface.verify import verifyObject

from balancer.hooks.interfaces import IMatcher
from balancer.model.patterns import parse_network
from balancer.routing.matchers.client import ClientMatcher, Networks
from tests.routing.making import facts


def matcher(*networks: str) -> ClientMatcher:
    return ClientMatcher(tuple(parse_network(each) for each in networks))


class ClientMatcherTests(unittest.TestCase):
    """Networks of both families."""

    def test_networks(self) -> None:
        """An address is in one of them, IPv4 written as IPv6 too."""
        local = matcher("10.0.0.0/8", "192.0.2.7", "2001:db8::/32")
        for client, expected in {
            "10.200.0.1": True,
            "11.0.0.1": False,
            "192.0.2.7": True,
            "192.0.2.8": False,
            "2001:db8::1": True,
            "2001:db9::1": False,
            "::ffff:10.0.0.1": True,
            "": False,
        }.items():
            self.assertEqual(local.matches(facts(client=client)), expected, client)
        verifyObject(IMatcher, local)

    def test_everything(self) -> None:
        """``0.0.0.0/0`` is every IPv4 client."""
        self.assertTrue(matcher("0.0.0.0/0").matches(facts(client="1.2.3.4")))
        self.assertFalse(matcher("0.0.0.0/0").matches(facts(client="::1")))

    @given(
        st.lists(st.tuples(st.integers(0, 2**32 - 1), st.integers(0, 32)), max_size=8),
        st.integers(0, 2**32 - 1),
    )
    def test_same_as_asking_each(self, networks: list[tuple[int, int]], number: int) -> None:
        """The set answers as the networks themselves would, one by one."""
        known = tuple(ipaddress.ip_network((address, length), strict=False) for address, length in networks)
        ip = ipaddress.IPv4Address(number)
        self.assertEqual(ip in Networks(known), any(ip in network for network in known))

    def test_describe(self) -> None:
        """The networks are named."""
        self.assertEqual(matcher("10.0.0.0/8", "::1").describe(), "client in 10.0.0.0/8 or ::1/128")
