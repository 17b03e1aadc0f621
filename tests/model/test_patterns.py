"""Tests for :mod:`balancer.model.patterns`."""

from __future__ import annotations

import ipaddress

from twisted.trial.unittest import SynchronousTestCase

from balancer.model.patterns import HostPattern, PathPattern, parse_network


class PathPatternTests(SynchronousTestCase):
    """Paths as operators write them."""

    def test_exact(self) -> None:
        """A plain path is exact, its trailing slash a segment of its own."""
        self.assertEqual(PathPattern.parse("/a/b"), PathPattern("exact", "/a/b", ("a", "b")))
        self.assertEqual(PathPattern.parse("/a/").segments, ("a", ""))
        self.assertEqual(PathPattern.parse("/").segments, ("",))

    def test_prefix(self) -> None:
        """``/**`` at the end makes a prefix of the segments before it."""
        self.assertEqual(PathPattern.parse("/a/**"), PathPattern("prefix", "/a/**", ("a",), (), True))
        self.assertEqual(PathPattern.parse("/**").segments, ())

    def test_template(self) -> None:
        """A segment in braces is a variable; such a pattern may be open-ended too."""
        pattern = PathPattern.parse("/users/{id}/posts/{post}/**")
        self.assertEqual(pattern.kind, "template")
        self.assertEqual(pattern.names, ("id", "post"))
        self.assertEqual(pattern.segments, ("users", "{id}", "posts", "{post}"))
        self.assertTrue(pattern.open_ended)

    def test_regex(self) -> None:
        """An expression is kept as it is."""
        self.assertEqual(PathPattern.regex("^/a+$"), PathPattern("regex", "^/a+$"))
        self.assertEqual(str(PathPattern.regex("^/a+$")), "~^/a+$")

    def test_refused(self) -> None:
        """What no request can match, or could be read in two ways, is refused with what was expected."""
        for text, words in [
            ("a", "begins with '/'"),
            ("", "begins with '/'"),
            ("/a?b=c", "without query"),
            ("/a/{b}c", "whole segment"),
            ("/a/**/b", "only as the last segment"),
            ("/a*", "only as the last segment"),
            ("/{a}/{a}", "each variable once"),
            ("/a//b", "did you mean '/a/b'"),
            ("/a//**", "did you mean '/a/**'"),
            ("//**", "did you mean '/**'"),
            ("/a/./b", "did you mean '/a/b'"),
            ("/%41", "did you mean '/A'"),
            ("/a%2Fb", "the escape '%2F'"),
            ("/..", "leaves the root"),
        ]:
            with self.subTest(text):
                error = self.assertRaises(ValueError, PathPattern.parse, text)
                self.assertIn(words, str(error))


class HostPatternTests(SynchronousTestCase):
    """Hosts as operators write them."""

    def test_forms(self) -> None:
        """Names are lower-cased, converted by IDNA and stripped of trailing dot and brackets."""
        self.assertEqual(HostPattern.parse("Shop.Example."), HostPattern("shop.example"))
        self.assertEqual(HostPattern.parse("*.example.org"), HostPattern("example.org", wildcard=True))
        self.assertEqual(HostPattern.parse("bücher.example"), HostPattern("xn--bcher-kva.example"))
        self.assertEqual(HostPattern.parse("[2001:DB8::1]"), HostPattern("2001:db8::1"))
        self.assertEqual(str(HostPattern.parse("*.Example.org")), "*.example.org")

    def test_refused(self) -> None:
        """What is no host is refused with what was expected."""
        for text, words in [
            ("*", "leave 'host' out"),
            ("", "leave 'host' out"),
            ("a.*", "only as the whole first label"),
            ("a.example:80", "without a port"),
            ("-a.example", "expected a host name"),
            ("a..example", "expected a host name"),
            ("a b", "expected a host name"),
        ]:
            with self.subTest(text):
                error = self.assertRaises(ValueError, HostPattern.parse, text)
                self.assertIn(words, str(error))


class ParseNetworkTests(SynchronousTestCase):
    """Networks in CIDR notation."""

    def test_forms(self) -> None:
        """A bare address is the network of that one address."""
        self.assertEqual(parse_network("10.0.0.0/8"), ipaddress.ip_network("10.0.0.0/8"))
        self.assertEqual(parse_network("192.0.2.7"), ipaddress.ip_network("192.0.2.7/32"))
        self.assertEqual(parse_network("2001:db8::/32"), ipaddress.ip_network("2001:db8::/32"))

    def test_refused(self) -> None:
        """Host bits are refused with the network that was probably meant; other text with an example."""
        self.assertIn("did you mean '10.0.0.0/8'", str(self.assertRaises(ValueError, parse_network, "10.1.0.0/8")))
        self.assertIn("such as '10.0.0.0/8'", str(self.assertRaises(ValueError, parse_network, "ten")))
