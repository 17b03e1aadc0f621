"""Tests for :mod:`balancer.config.fields`."""

from __future__ import annotations

import ipaddress
from typing import Any

from pydantic import TypeAdapter, ValidationError
from twisted.trial.unittest import SynchronousTestCase

from balancer.config import fields
from balancer.model.address import Address
from balancer.model.patterns import HostPattern, PathPattern


def _read(kind: Any, value: Any) -> Any:
    return TypeAdapter(kind).validate_python(value)


class FieldTests(SynchronousTestCase):
    """Single values."""

    def _refused(self, kind: Any, value: Any, words: str) -> None:
        error = self.assertRaises(ValidationError, _read, kind, value)
        self.assertIn(words, str(error))

    def test_names(self) -> None:
        """Names are made of letters, digits and ``_.-``; one that we gave may have another form."""
        self.assertEqual(_read(fields.Name, "a-1.b_C"), "a-1.b_C")
        self.assertEqual(_read(fields.Name, fields.GivenName("web[0]")), "web[0]")
        for value in ("", "a b", "-a", "web[0]", "ä", 5, None):
            self._refused(fields.Name, value, "expected a name")

    def test_binds(self) -> None:
        """Addresses to listen on, for all families, unix sockets and endpoint descriptions."""
        for value in (
            "0.0.0.0:80",
            "[::]:80",
            "*:80",
            "localhost:0",
            "unix:/x",
            "systemd:domain=INET:index=0",
            "[fe80::1%eth0]:80",
        ):
            self.assertEqual(_read(fields.BindAddress, value), value)
        for value, words in [
            (":80", "such as '0.0.0.0:80' or '*:80'"),
            ("0.0.0.0", "expected 'host:port'"),
            ("*:99999", "from 0 to 65535"),
            ("::1:80", "in brackets"),
            ("unix:", "such as 'unix:/run/app.sock"),
            ("tcp:abc", "such as 'tcp:8080'"),
            ("fd:fileno=3:domain=INET", "expected a port"),
            (80, "expected an address such as"),
        ]:
            self._refused(fields.BindAddress, value, words)

    def test_servers(self) -> None:
        """Servers have a port that can be connected to."""
        self.assertEqual(_read(fields.ServerAddress, "[::1]:80"), Address("::1", 80))
        self.assertEqual(_read(fields.ServerAddress, "unix:/x"), Address("", 0, "/x"))
        self._refused(fields.ServerAddress, "a:0", "from 1 to 65535")

    def test_methods(self) -> None:
        """Methods are tokens; a known one in small letters is a slip."""
        self.assertEqual(_read(fields.Method, "PURGE"), "PURGE")
        self._refused(fields.Method, "get", "did you mean 'GET'")
        self._refused(fields.Method, "G T", "expected a method")

    def test_paths(self) -> None:
        """Patterns as text, or an expression alone in a mapping."""
        self.assertEqual(_read(fields.Path, "/a/**"), PathPattern.parse("/a/**"))
        self.assertEqual(_read(fields.Path, {"regex": "^/a"}), PathPattern.regex("^/a"))
        self._refused(fields.Path, {"regex": "("}, "RE2")
        self._refused(fields.Path, {"prefix": "/a"}, "a prefix is written '/a/**'")
        self._refused(fields.Path, {"regexp": "/a"}, "did you mean 'regex'")
        self._refused(fields.Path, 5, "expected a path such as")

    def test_hosts_and_networks(self) -> None:
        """Hosts, networks and addresses become values."""
        self.assertEqual(_read(fields.Host, "*.a.b"), HostPattern("a.b", wildcard=True))
        self.assertEqual(_read(fields.Cidr, "10.0.0.0/8"), ipaddress.ip_network("10.0.0.0/8"))
        self.assertEqual(_read(fields.Ip, "[::1]"), ipaddress.ip_address("::1"))
        self._refused(fields.Ip, "10.0.0.0/8", "expected an IP address")

    def test_percentages(self) -> None:
        """Percentages become shares of 1."""
        self.assertEqual(_read(fields.Percent, "20%"), 0.2)
        self.assertEqual(_read(fields.Percent, "12.5 %"), 0.125)
        self.assertEqual(_read(fields.Percent, 0), 0.0)
        for value in ("101%", "20", 0.2, True, "-5%", None):
            self._refused(fields.Percent, value, "from '0%' to '100%'")

    def test_headers(self) -> None:
        """Names are tokens, in lower case; values are one line of Latin-1."""
        self.assertEqual(_read(fields.HeaderName, "X-Team"), "x-team")
        self.assertEqual(_read(fields.HeaderValue, "a\tb é"), "a\tb é")
        self._refused(fields.HeaderName, "X Team", "the name of a header")
        self._refused(fields.HeaderValue, "a\r\nB: c", "on one line")
        self._refused(fields.HeaderValue, "€", "Latin-1")

    def test_numbers_are_strict(self) -> None:
        """Neither text nor truth values pass for numbers, nor numbers for truth values."""
        for kind, value in [
            (fields.Count, "1"),
            (fields.Count, True),
            (fields.Count, 1.0),
            (fields.Flag, 1),
            (fields.Flag, "yes"),
        ]:
            self.assertRaises(ValidationError, _read, kind, value)
