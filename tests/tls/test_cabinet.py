"""Tests for :mod:`balancer.tls.cabinet`."""

from __future__ import annotations

import os
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from balancer.tls.cabinet import Cabinet, Entry, read_all
from balancer.tls.pem import UnusableError
from balancer.tls.reading import Source, UnusableCertificateError
from tests.tls.authority import Authority

AUTHORITY = Authority()
SHOP = AUTHORITY.issue("shop.example")
OTHER = AUTHORITY.issue("other.example", number=1)


class CabinetTests(SynchronousTestCase):
    """What was read is remembered for as long as it is so."""

    def setUp(self) -> None:
        self.directory = Path(self.mktemp()).absolute()
        self.directory.mkdir()
        self.cabinet = Cabinet()
        self.source = Source("a.pem", self.directory / "a.pem", self.directory / "a.key")

    def _write(self, issued: object, name: str = "a") -> None:
        issued.write(self.directory / f"{name}.pem", self.directory / f"{name}.key")  # type: ignore[attr-defined]

    def test_remembered(self) -> None:
        """The same object comes back until one of the files changes."""
        self._write(SHOP)
        first = self.cabinet.identity(self.source)
        self.assertIs(self.cabinet.identity(self.source), first)
        self._write(OTHER)
        second = self.cabinet.identity(self.source)
        self.assertEqual(second.names, ("other.example",))
        self.cabinet.forget_others([])
        third = self.cabinet.identity(self.source)
        self.assertEqual(third, second)
        self.assertIsNot(third, second)

    def test_failures(self) -> None:
        """What is wrong is remembered too, and forgotten when it is mended."""
        self.assertRaises(UnusableCertificateError, self.cabinet.identity, self.source)
        self._write(SHOP)
        self.source.files[1].chmod(0o644)
        first = self.assertRaises(UnusableCertificateError, self.cabinet.identity, self.source)
        self.assertIs(self.assertRaises(UnusableCertificateError, self.cabinet.identity, self.source), first)
        self.source.files[1].chmod(0o600)
        self.assertEqual(self.cabinet.identity(self.source).names, ("shop.example",))

    def test_text(self) -> None:
        """Other files, such as those of authorities, are kept likewise."""
        path = self.directory / "ca.pem"
        self.assertRaises(UnusableError, self.cabinet.text, path)
        path.write_bytes(b"one")
        self.assertEqual(self.cabinet.text(path), b"one")
        other = self.directory / "new"
        other.write_bytes(b"two")
        os.replace(other, path)
        self.assertEqual(self.cabinet.text(path), b"two")

    def test_entries(self) -> None:
        """Entries in their order, each file once; every fault at its entry and part, beside what is good."""
        self._write(SHOP)
        self._write(OTHER, "b")
        (self.directory / "chain").write_bytes(AUTHORITY.issued.cert)
        there = [str(self.directory / name) for name in ("a.pem", "*.pem", "none.pem", "a.key", "none/*.pem", "chain")]
        entries = [
            Entry(there[0], there[3], there[5]),
            Entry(there[1]),
            Entry(there[2], there[3]),
            Entry(there[0], there[2]),
            Entry(there[4]),
            Entry(there[1], there[3]),
        ]
        found = read_all(entries, str(self.directory), self.cabinet)
        self.assertEqual(
            [source.name for _, source, identity in found.found if identity is not None], ["a.pem", "a.pem", "b.pem"]
        )
        self.assertEqual(
            [(fault.at, fault.part, fault.text.replace(str(self.directory), "DIR")) for fault in found.faults],
            [
                (2, "cert", "cannot read DIR/none.pem: No such file or directory"),
                (3, "key", "cannot read DIR/none.pem: No such file or directory"),
                (4, "cert", "no file matches DIR/none/*.pem"),
                (5, "cert", "expected one file beside 'key' and 'chain', got the pattern or directory DIR/*.pem"),
            ],
        )
