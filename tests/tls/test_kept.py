"""Tests for :mod:`balancer.tls.kept`."""

from __future__ import annotations

import json
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from balancer.tls.cabinet import Cabinet, Entry
from balancer.tls.kept import NOTHING, Kept
from balancer.tls.shelf import Shelf, Wanted
from tests.tls.authority import Authority

CA = Authority("CA")
SHOP = CA.issue("shop.example")
OTHER = CA.issue("other.example", number=1)
ISSUED = CA.issue("issued.example", number=2)


class KeptTests(SynchronousTestCase):
    """What one process has read serves another that cannot."""

    def setUp(self) -> None:
        self.directory = Path(self.mktemp()).absolute()
        (self.directory / "more").mkdir(parents=True)
        SHOP.write(self.directory / "shop.pem")
        OTHER.write(self.directory / "more" / "other.pem")
        ISSUED.write(self.directory / "issued.pem")
        (self.directory / "ca.pem").write_bytes(CA.issued.cert)
        (self.directory / "crl.pem").write_bytes(CA.revoke(OTHER))

    def _shelf(self) -> Shelf:
        names = ("shop.pem", "more")
        entries = (*(Entry(str(self.directory / name)) for name in names), self._awaited())
        ca, crl = str(self.directory / "ca.pem"), str(self.directory / "crl.pem")
        return Shelf(
            Wanted(entries, str(self.directory), ca=ca, crl=crl, awaited=("issued.example",)),
            Cabinet(),
        )

    def _awaited(self) -> Entry:
        return Entry(str(self.directory / "issued.pem"), awaited=True)

    def _filled(self) -> Shelf:
        shelf = self._shelf()
        self.assertEqual(shelf.fill(), [])
        return shelf

    def test_whole(self) -> None:
        """With every file broken or gone everything is as it was, and what is wrong is told."""
        first = self._filled()
        kept = Kept.from_plain(json.loads(json.dumps(Kept.of([first]).plain())))
        for name in ("shop.pem", "ca.pem", "crl.pem"):
            (self.directory / name).write_text("half written")
        (self.directory / "more" / "other.pem").unlink()
        (self.directory / "issued.pem").unlink()
        second = self._shelf()
        self.assertEqual(second.fill(kept), [])
        self.assertEqual(second.found, first.found)
        self.assertEqual(second.choice.identities, first.choice.identities)
        self.assertEqual(second.authorities, first.authorities)
        told = " ".join(second.complaints)
        for name in ("shop.pem", "more", "ca.pem"):
            self.assertIn(name, told)
        # It stays so when the files are looked at, and what is mended is shown.
        changed, _, fresh = second.take(second.look(), {})
        self.assertEqual((changed, second.found), (False, first.found))
        self.assertEqual(fresh, [f"{self.directory}/issued.pem is gone"])
        newer = CA.issue("shop.example", number=3)
        newer.write(self.directory / "shop.pem")
        self.assertTrue(second.take(second.look(), {})[0])
        self.assertEqual(second.choice.of("shop.example")[0].serial, f"{newer.certificate.serial_number:x}")
        self.assertNotIn("shop.pem", " ".join(second.complaints))

    def test_good_files_first(self) -> None:
        """What can be read is taken from its file."""
        kept = Kept.of([self._filled()])
        newer = CA.issue("shop.example", number=3)
        newer.write(self.directory / "shop.pem")
        second = self._shelf()
        self.assertEqual((second.fill(kept), second.complaints), ([], []))
        self.assertEqual(second.choice.of("shop.example")[0].serial, f"{newer.certificate.serial_number:x}")

    def test_awaited(self) -> None:
        """Alone, what we have had issued: a stand-in is not shown for what others have."""
        kept = Kept.of([self._filled()], awaited=True)
        self.assertEqual((list(kept.certificates), kept.authorities), ([self._awaited()], {}))
        (self.directory / "issued.pem").write_text("broken")
        second = self._shelf()
        self.assertEqual(second.fill(kept), [])
        serial = f"{ISSUED.certificate.serial_number:x}"
        self.assertEqual(second.choice.of("issued.example")[0].serial, serial)

    def test_nothing_kept(self) -> None:
        """What nobody has is a fault."""
        (self.directory / "shop.pem").write_text("broken")
        (self.directory / "ca.pem").unlink()
        for kept in (NOTHING, Kept.of([], awaited=True)):
            self.assertEqual([fault.part for fault in self._shelf().fill(kept)], ["cert", "ca"])
        self.assertEqual(repr(NOTHING), "<Kept 0 certificates, 0 authorities>")
