"""Tests for :mod:`balancer.acme.storage`."""

from __future__ import annotations

import os
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from balancer.acme.schedule import Attempts, Window
from balancer.acme.storage import BusyError, Storage, StorageError, certificate_path

URL = "https://acme.example:14000/dir"


class StorageTests(SynchronousTestCase):
    """What is kept."""

    def setUp(self) -> None:
        self.at = Path(self.mktemp()).absolute()
        self.storage = Storage(str(self.at / "certificates"), URL)

    def test_paths(self) -> None:
        """Each authority has a directory, each name a file; no name leads out of it."""
        self.assertEqual(certificate_path("/s", URL, "shop.example"), "/s/acme.example-14000-dir/shop.example.pem")
        self.assertEqual(
            certificate_path("/s", URL, "_wildcard.a.example"), "/s/acme.example-14000-dir/_wildcard.a.example.pem"
        )
        self.assertEqual(certificate_path("/s", "https://a.example/../../etc", "a"), "/s/a.example-..-..-etc/a.pem")

    def test_rights(self) -> None:
        """Nobody else can read anything, whatever the umask; nothing is made before it is asked for."""
        self.assertFalse(self.at.exists())
        old = os.umask(0)
        self.addCleanup(os.umask, old)
        self.storage.prepare()
        self.storage.write("a.pem", b"key")
        with self.storage.lock():
            pass
        self.assertEqual(self.storage.folder.stat().st_mode & 0o777, 0o700)
        self.assertEqual({path.stat().st_mode & 0o777 for path in self.storage.folder.iterdir()}, {0o600})

    def test_windows(self) -> None:
        """What authorities suggest is kept; what makes no sense is not there."""
        self.storage.prepare()
        self.storage.note_window("a", Window("ff", 1.0, 2.0, 3.0, "https://w/"))
        self.storage.note_window("b", Window("ee"))
        self.assertEqual(self.storage.windows(), {"a": Window("ff", 1.0, 2.0, 3.0, "https://w/"), "b": Window("ee")})
        for wrong in (
            {},
            {"fingerprint": 1},
            {"fingerprint": "a", "ends": "x"},
            {"fingerprint": "a", "why": None},
            [],
            7,
        ):
            self.storage.write_values("renewal.json", {"a": wrong})
            self.assertEqual(self.storage.windows(), {}, wrong)

    def test_proofs(self) -> None:
        """What is being proved is kept, and counts ten minutes at most; what makes no sense is nothing."""
        self.storage.prepare()
        self.assertEqual(self.storage.proofs(1000.0), ({}, {}))
        self.storage.note_proofs({"t": "p"}, {"a.example": "q"}, 1000.0)
        self.assertEqual(self.storage.proofs(1001.0), ({"t": "p"}, {"a.example": "q"}))
        for now in (1700.0, 10.0):
            self.assertEqual(self.storage.proofs(now), ({}, {}))
        for wrong in ({"until": 1500.0, "tokens": []}, {"until": "x"}, {"until": 1500.0, "tokens": {"a": 1}}):
            self.storage.write_values("proofs.json", wrong)
            self.assertEqual(self.storage.proofs(1001.0), ({}, {}), wrong)

    def test_open_to_others(self) -> None:
        """A directory that others can look into is refused, with what mends it."""
        self.storage.folder.mkdir(0o755, parents=True)
        error = self.assertRaises(StorageError, self.storage.prepare)
        self.assertIn("chmod 0700", str(error))

    def test_written_whole(self) -> None:
        """A file is replaced in one step: who has it open has the old one; nothing else is left behind."""
        self.storage.prepare()
        self.storage.write("a.pem", b"old")
        with (self.storage.folder / "a.pem").open("rb") as file:
            self.storage.write("a.pem", b"new")
            self.assertEqual(file.read(), b"old")
        self.assertEqual(self.storage.read("a.pem"), b"new")
        self.assertIsNone(self.storage.read("b.pem"))
        self.assertEqual([path.name for path in self.storage.folder.iterdir()], ["a.pem"])

    def test_cannot_be_written(self) -> None:
        """What cannot be written is said, and leaves nothing."""
        self.storage.prepare()
        (self.storage.folder / "a.pem").mkdir()
        error = self.assertRaises(StorageError, self.storage.write, "a.pem", b"")
        self.assertIn("cannot write", str(error))
        self.assertEqual([path.name for path in self.storage.folder.iterdir()], ["a.pem"])
        blocked = Storage(str(self.storage.folder / "a.pem/b"), URL)
        (self.storage.folder / "a.pem/b").touch()
        self.assertIn("cannot be made", str(self.assertRaises(StorageError, blocked.prepare)))

    def test_attempts(self) -> None:
        """What failed is known again later; a damaged file, or part of it, is as none."""
        self.storage.prepare()
        failed = Attempts().failed(5.0, 0.5, "no")
        self.storage.note("a.example", failed)
        self.storage.note("b.example", Attempts(succeeded=7.0))
        self.assertEqual(self.storage.attempts(), {"a.example": failed, "b.example": Attempts(succeeded=7.0)})
        for damaged in ("", "[]", "{", '{"a": 5, "b": {"pause": "x"}, "c": {"else": 1}, "d": {"failures": null}}'):
            self.storage.write("attempts.json", damaged.encode())
            self.assertEqual(self.storage.attempts(), {})

    def test_lock(self) -> None:
        """Two never order at a time."""
        self.storage.prepare()
        other = Storage(str(self.at / "certificates"), URL)
        with self.storage.lock():
            self.assertRaises(BusyError, other.lock().__enter__)
        with other.lock():
            pass
