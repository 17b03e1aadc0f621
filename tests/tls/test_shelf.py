"""Tests for :mod:`balancer.tls.shelf`."""

from __future__ import annotations

from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from balancer.tls.cabinet import Cabinet, Entry
from balancer.tls.shelf import Shelf, Wanted
from tests.tls.authority import Authority, Issued

AUTHORITY = Authority("CA")
SHOP = AUTHORITY.issue("shop.example")
NEWER = AUTHORITY.issue("shop.example", number=1, days=120)
OTHER = AUTHORITY.issue("other.example", number=2)


class ShelfTests(SynchronousTestCase):
    """What a listener shows."""

    def setUp(self) -> None:
        self.directory = Path(self.mktemp()).absolute()
        self.directory.mkdir()

    def _write(self, issued: Issued, name: str = "a") -> None:
        issued.write(self.directory / f"{name}.pem", self.directory / f"{name}.key")

    def _shelf(self, *entries: str, ca: str = "", crl: str = "", **settings: object) -> Shelf:
        at = [Entry(str(self.directory / entry)) for entry in entries]
        paths = {part: str(self.directory / name) if name else "" for part, name in (("ca", ca), ("crl", crl))}
        return Shelf(Wanted(tuple(at), str(self.directory), **paths, **settings), Cabinet())  # type: ignore[arg-type]

    def _filled(self, *entries: str, **settings: str) -> Shelf:
        shelf = self._shelf(*entries, **settings)
        self.assertEqual(shelf.fill(), [])
        return shelf

    def _looked(self, shelf: Shelf) -> tuple[bool, list[str], list[str]]:
        changed, news, complaints = shelf.take(shelf.look(), {})
        return changed, news, [text.replace(str(self.directory), "DIR") for text in complaints]

    def _names(self, shelf: Shelf, sni: str) -> list[str]:
        return [each.serial for each in shelf.choice.of(sni)]

    def _serial(self, issued: Issued) -> str:
        return f"{issued.certificate.serial_number:x}"

    def test_nothing_new(self) -> None:
        """Files that are as they were change nothing."""
        self._write(SHOP)
        shelf = self._filled("a.pem")
        before = shelf.choice
        self.assertEqual(self._looked(shelf), (False, [], []))
        self.assertIs(shelf.choice, before)

    def test_replaced(self) -> None:
        """A new certificate in the files is shown from then on."""
        self._write(SHOP)
        shelf = self._filled("a.pem")
        self._write(NEWER)
        changed, (news,), complaints = self._looked(shelf)
        self.assertTrue(changed)
        self.assertTrue(news.startswith("the certificate a.pem is replaced: ecdsa for shop.example, good until"), news)
        self.assertEqual(complaints, [])
        self.assertEqual(self._names(shelf, "shop.example"), [self._serial(NEWER)])

    def test_broken(self) -> None:
        """A broken file leaves what was there in its place and is told of once; again when it was mended in between."""
        self._write(SHOP)
        self._write(OTHER, "b")
        shelf = self._filled("a.pem", "b.pem")
        for _ in range(2):
            (self.directory / "a.pem").write_bytes(NEWER.cert)  # and its key yet to come
            changed, news, complaints = self._looked(shelf)
            self.assertEqual((changed, news, len(complaints)), (False, [], 1))
            self.assertIn("the key is not that of the certificate", complaints[0])
            self.assertEqual(self._looked(shelf), (False, [], []))
            self.assertEqual(self._names(shelf, "shop.example"), [self._serial(SHOP)])
            self._write(SHOP)
            self.assertEqual(self._looked(shelf)[2], [])
        (self.directory / "a.pem").unlink()
        (self.directory / "a.key").unlink()
        self.assertIn("cannot read DIR/a.pem: No such file or directory", self._looked(shelf)[2])
        self.assertEqual(self._names(shelf, "shop.example"), [self._serial(SHOP)])

    def test_directory(self) -> None:
        """What is put into a directory is shown, and what is taken out is not; the last one stays."""
        self._write(SHOP)
        shelf = self._filled(".")
        self._write(OTHER, "b")
        _, news, _ = self._looked(shelf)
        self.assertTrue(news[0].startswith("the certificate b.pem is new"), news)
        self.assertEqual(self._names(shelf, "other.example"), [self._serial(OTHER)])
        (self.directory / "a.pem").unlink()
        changed, news, _ = self._looked(shelf)
        self.assertEqual((changed, news), (True, ["the certificate a.pem is gone"]))
        self.assertEqual(self._names(shelf, "shop.example"), [self._serial(OTHER)])
        (self.directory / "b.pem").unlink()
        changed, _, complaints = self._looked(shelf)
        self.assertEqual((changed, complaints), (False, ["there is no certificate in the directory DIR"]))
        self.assertEqual(self._names(shelf, "other.example"), [self._serial(OTHER)])

    def test_default(self) -> None:
        """If nothing is left that the default names, all stays as it was."""
        self._write(SHOP)
        shelf = self._filled("a.pem", default="shop.example")
        self._write(OTHER)
        changed, _, complaints = self._looked(shelf)
        self.assertFalse(changed)
        self.assertIn("got 'shop.example'", complaints[0])
        self.assertEqual(self._names(shelf, ""), [self._serial(SHOP)])

    def test_faults(self) -> None:
        """Everything that is wrong is told at once, with its part."""
        self._write(SHOP)
        shelf = self._shelf("a.pem", default="nowhere.example", ca="ca.pem")
        self.assertEqual([(fault.at, fault.part) for fault in shelf.fill()], [(-1, "default"), (-1, "ca")])
        shelf = self._shelf("a.pem", "none.pem", default="nowhere.example")
        self.assertEqual([(fault.at, fault.part) for fault in shelf.fill()], [(1, "cert")])
        (self.directory / "ca.pem").write_bytes(AUTHORITY.issued.cert)
        (self.directory / "crl.pem").write_bytes(Authority("Another").revoke())
        (fault,) = self._shelf("a.pem", ca="ca.pem", crl="crl.pem").fill()
        self.assertEqual(fault.part, "crl")
        self.assertIn("crl.pem: the list of CN=Another", fault.text)

    def test_authorities(self) -> None:
        """A new list of revoked certificates is in force from then on; a broken one is not."""
        self._write(SHOP)
        (self.directory / "ca.pem").write_bytes(AUTHORITY.issued.cert)
        crl = self.directory / "crl.pem"
        crl.write_bytes(AUTHORITY.revoke())
        shelf = self._filled("a.pem", ca="ca.pem", crl="crl.pem")
        before = shelf.authorities
        crl.write_bytes(b"broken")
        changed, _, complaints = self._looked(shelf)
        self.assertEqual((changed, len(complaints), shelf.authorities), (False, 1, before))
        crl.write_bytes(AUTHORITY.revoke(SHOP))
        changed, news, _ = self._looked(shelf)
        self.assertTrue(changed)
        self.assertIn("lists of revoked ones, have changed", news[0])
        self.assertNotEqual(shelf.authorities, before)

    def test_staples(self) -> None:
        """Answers of authorities go with their certificates, and go when there is none any more."""
        self._write(SHOP)
        shelf = self._filled("a.pem")
        (shop,) = shelf.choice.of("shop.example")
        self.assertTrue(shelf.staple({shop.fingerprint: b"good"}))
        self.assertFalse(shelf.staple({shop.fingerprint: b"good"}))
        self.assertEqual([each.staple for each in shelf.choice.of("")], [b"good"])
        self.assertEqual(self._looked(shelf), (False, [], []))
        self.assertEqual([each.staple for each in shelf.choice.of("")], [b"good"])
        self.assertTrue(shelf.staple({}))
        self.assertEqual([each.staple for each in shelf.choice.of("")], [None])


class AwaitedTests(SynchronousTestCase):
    """Certificates that are being issued."""

    def setUp(self) -> None:
        self.directory = Path(self.mktemp()).absolute()
        self.directory.mkdir()
        self.file = self.directory / "shop.example.pem"

    def _shelf(self, *others: Entry, default: str = "", strict: bool = False) -> Shelf:
        entries = (*others, Entry(str(self.file), awaited=True))
        shelf = Shelf(Wanted(entries, str(self.directory), default, strict, awaited=("shop.example",)), Cabinet())
        self.assertEqual(shelf.fill(), [])
        return shelf

    def test_stand_in(self) -> None:
        """As long as there is nothing a stand-in is shown, the same at each look; what comes takes its place."""
        for strict in (False, True):
            shelf = self._shelf(strict=strict)
            (before,) = shelf.choice.of("shop.example")
            self.assertEqual((before.name, before.names), ("stand-in", ("shop.example",)))
            self.assertEqual(shelf.take(shelf.look(), {})[0], False)
            self.assertIs(shelf.choice.of("shop.example")[0], before)
        SHOP.write(self.file)
        changed, news, complaints = shelf.take(shelf.look(), {})
        self.assertEqual((changed, len(news), complaints), (True, 1, []))
        self.assertEqual(shelf.choice.of("shop.example")[0].serial, f"{SHOP.certificate.serial_number:x}")
        self.assertEqual(len(shelf.choice.identities), 1)

    def test_others(self) -> None:
        """Where there are others they are shown meanwhile, whatever is to be the default one day."""
        OTHER.write(self.directory / "a.pem", self.directory / "a.key")
        shelf = self._shelf(Entry(str(self.directory / "a.pem")), default="shop.example")
        self.assertEqual([each.name for each in shelf.choice.of("shop.example")], ["a.pem"])
        SHOP.write(self.file)
        shelf.take(shelf.look(), {})
        self.assertEqual([each.name for each in shelf.choice.of("")], ["shop.example.pem"])

    def test_damaged(self) -> None:
        """One that is damaged keeps nobody from starting: it is complained of, and issued again."""
        self.file.write_bytes(SHOP.cert)
        self.file.chmod(0o600)
        shelf = self._shelf()
        self.assertEqual([each.name for each in shelf.choice.of("")], ["stand-in"])
        changed, _, complaints = shelf.take(shelf.look(), {})
        self.assertEqual((changed, len(complaints)), (False, 1))
