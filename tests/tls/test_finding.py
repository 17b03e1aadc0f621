"""Tests for :mod:`balancer.tls.finding`."""

from __future__ import annotations

from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from balancer.tls.finding import found, is_pattern, key_beside
from balancer.tls.pem import UnusableError
from tests.tls.authority import Authority

AUTHORITY = Authority()
SHOP = AUTHORITY.issue("shop.example")


class FindingTests(SynchronousTestCase):
    """Files that a configuration means."""

    def setUp(self) -> None:
        self.directory = Path(self.mktemp()).absolute()
        self.directory.mkdir()

    def _found(self, path: str) -> list[tuple[str, str | None]]:
        sources = found(str(self.directory / path), str(self.directory))
        return [(each.name, each.key.name if each.key is not None else None) for each in sources]

    def test_one_file(self) -> None:
        """A file is a certificate whether or not it is there: reading says so. Its key is in it, or beside it."""
        self.assertEqual(self._found("a.pem"), [("a.pem", None)])
        SHOP.write(self.directory / "a.pem", self.directory / "a.key")
        self.assertEqual(self._found("a.pem"), [("a.pem", "a.key")])
        SHOP.write(self.directory / "b.crt", self.directory / "b.crt.key")
        self.assertEqual(self._found("b.crt"), [("b.crt", "b.crt.key")])
        self.assertFalse(is_pattern(str(self.directory / "a.pem")))

    def test_directory(self) -> None:
        """Certificates with keys, in the order of names; no keys, no chains, nothing hidden, no certificate without a key."""
        SHOP.write(self.directory / "b.pem")
        SHOP.write(self.directory / "a.crt", self.directory / "a.key")
        SHOP.write(self.directory / ".hidden.pem")
        (self.directory / "chain.pem").write_bytes(AUTHORITY.issued.cert)
        (self.directory / "authority.pem").write_bytes(AUTHORITY.issued.cert)
        (self.directory / "notes.txt").write_text("x")
        (self.directory / "broken.pem").write_text("x")
        self.assertEqual(self._found("."), [("a.crt", "a.key"), ("b.pem", None), ("broken.pem", None)])

    def test_as_acme_clients_write(self) -> None:
        """fullchain.pem with privkey.pem beside it, and cert.pem, which is the same without its chain, is passed over."""
        live = self.directory / "live" / "shop.example"
        live.mkdir(parents=True)
        SHOP.write(live / "fullchain.pem", live / "privkey.pem")
        (live / "cert.pem").write_bytes(SHOP.cert)
        (live / "chain.pem").write_bytes(AUTHORITY.issued.cert)
        expected = [("live/shop.example/fullchain.pem", "privkey.pem")]
        self.assertEqual(self._found("live/*/fullchain.pem"), expected)
        self.assertEqual(self._found("live/shop.example"), expected)
        self.assertEqual(key_beside(live / "other.pem"), None)

    def test_pattern(self) -> None:
        """What matches, and only that; keys are never certificates."""
        SHOP.write(self.directory / "a.pem")
        SHOP.write(self.directory / "b.pem", self.directory / "b.key")
        self.assertEqual(self._found("*"), [("a.pem", None), ("b.pem", "b.key")])
        self.assertEqual(self._found("[b-z].pem"), [("b.pem", "b.key")])

    def test_nothing(self) -> None:
        """A pattern or directory without a certificate is an error."""
        error = self.assertRaises(UnusableError, self._found, "*.pem")
        self.assertIn("no file matches", str(error))
        error = self.assertRaises(UnusableError, self._found, ".")
        self.assertIn("there is no certificate in the directory", str(error))
