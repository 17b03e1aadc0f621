"""Tests for :mod:`balancer.config.endpoints`."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from balancer.config.endpoints import ENDPOINT, check_endpoint


class EndpointTests(SynchronousTestCase):
    def test_good(self) -> None:
        """What Twisted reads, the sockets of systemd without looking for them."""
        for text in (
            "tcp:8080",
            "tcp:port=8080:interface=10.0.0.1:backlog=5",
            "tcp:interface=10.0.0.1:port=0",
            r"tcp6:8080:interface=\:\:1",
            "unix:/run/a.sock",
            "unix:/run/a.sock:mode=600",
            "systemd:domain=INET:index=0",
            "systemd:domain=UNIX:name=web",
            "systemd:INET6:0",
            "haproxy:tcp:8080",
            "haproxy:systemd:domain=INET:name=web",
        ):
            self.assertTrue(ENDPOINT.fullmatch(text), text)
            check_endpoint(text)

    def test_bad(self) -> None:
        """What Twisted would refuse only when the service starts, with an example of the kind."""
        for text, words in (
            ("tcp:abc", "such as 'tcp:8080'"),
            ("tcp:", "such as 'tcp:8080'"),
            ("tcp:80000", "expected a port from 0 to 65535, got '80000'"),
            ("tcp:port=-1", "expected a port"),
            ("tcp:8080:interfaces=x", "such as 'tcp:8080'"),
            ("tcp:8080:a:b:c:d", "such as 'tcp:8080'"),
            ("tcp6:x", "such as 'tcp6:8080'"),
            ("unix:/run/a.sock:mode=rw", "such as 'unix:/run/app.sock'"),
            ("unix:", "such as 'unix:/run/app.sock'"),
            ("systemd:", "such as 'systemd:domain=INET:name=web'"),
            ("systemd:domain=INET", "such as 'systemd:domain=INET:name=web'"),
            ("systemd:domain=INET:index=x", "such as 'systemd:domain=INET:name=web'"),
            ("haproxy:x", "such as 'haproxy:tcp:8080'"),
            ("haproxy:tcp:x", "such as 'tcp:8080'"),
        ):
            error = self.assertRaises(ValueError, check_endpoint, text)
            self.assertIn(words, str(error), text)
