"""Tests for :mod:`balancer.config.binds`."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from balancer.config.binds import admin, binds
from balancer.config.reading import read_document_text


def _binds(*addresses: str, udp: str = "") -> list[str]:
    lines = ["listeners:"] + [f"  l{at}: {{bind: {address!r}}}" for at, address in enumerate(addresses)]
    if udp:
        lines.append(f"  u: {{bind: {udp!r}, protocol: udp}}")
    return [str(problem) for problem in binds(read_document_text("\n".join(lines), "f"))]


class BindTests(SynchronousTestCase):
    """Addresses to listen on."""

    def test_collisions(self) -> None:
        """The same address, or one that stands for all of its family, can be bound once."""
        for one, other in [
            ("127.0.0.1:80", "127.0.0.1:80"),
            ("0.0.0.0:80", "127.0.0.1:80"),
            ("[::1]:80", "[::]:80"),
            ("*:80", "127.0.0.1:80"),
            ("[::1]:80", "*:80"),
            ("unix:/x", "unix:/x"),
            ("localhost:80", "LOCALHOST:080"),
        ]:
            with self.subTest(f"{one} {other}"):
                (problem,) = _binds(one, other)
                self.assertTrue(
                    problem.startswith("f:3:14: listeners.l1.bind: expected an address of its own"), problem
                )
                self.assertIn("in line 2", problem)

    def test_no_collision(self) -> None:
        """Other ports, addresses and families do not collide; port 0 never does, nor UDP with TCP."""
        self.assertEqual(
            _binds("127.0.0.1:80", "127.0.0.2:80", "127.0.0.1:81", "[::1]:80", "a:80", "unix:/a", "unix:/b"), []
        )
        self.assertEqual(_binds("0.0.0.0:80", "[::]:80"), [])
        self.assertEqual(_binds("127.0.0.1:0", "127.0.0.1:0"), [])
        self.assertEqual(_binds("127.0.0.1:80", udp="127.0.0.1:80"), [])

    def test_others(self) -> None:
        """Metrics and the admin API want addresses of their own too."""
        text = "listeners: {a: {bind: ['*:1', '*:2']}}\nmetrics: {bind: '*:2'}\nadmin: {bind: '*:1'}\n"
        self.assertEqual([problem.line for problem in binds(read_document_text(text))], [2, 3])

    def test_udp(self) -> None:
        """Datagrams need host and port."""
        (problem,) = _binds(udp="unix:/x")
        self.assertIn("expected host:port for UDP", problem)


class AdminTests(SynchronousTestCase):
    """Who may use the admin API."""

    def test_token(self) -> None:
        """On TCP there must be a token."""
        for text, count in [
            ("admin: {bind: 'unix:/x'}", 0),
            ("admin: {bind: ['unix:/x', '*:1']}", 1),
            ("admin: {bind: '*:1', token: x}", 0),
            ("admin: {}", 0),
        ]:
            self.assertEqual(len(list(admin(read_document_text(text)))), count, text)
