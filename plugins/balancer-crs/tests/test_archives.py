"""Tests of archives: checked first, unpacked wholly or not at all, nothing outside."""

from __future__ import annotations

import hashlib
import io
import tarfile
import zipfile
from pathlib import Path
from random import Random

from balancer_crs import archives
from balancer_crs.archives import ArchiveError, fetch, is_archive, unpack, verified
from twisted.trial.unittest import SynchronousTestCase


def tar(*members: tuple[str, bytes | str], mode: str = "w:gz") -> bytes:
    """Return an archive; a member's text is what a symbolic link leads to."""
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode=mode) as archive:  # type: ignore[call-overload]
        for name, content in members:
            info = tarfile.TarInfo(name)
            if isinstance(content, str):
                info.type, info.linkname = tarfile.SYMTYPE, content
                archive.addfile(info)
            else:
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))
    return made.getvalue()


def zipped(*members: tuple[str, bytes]) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        for name, content in members:
            archive.writestr(name, content)
    return made.getvalue()


class ArchiveTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.folder = Path(self.mktemp())
        self.folder.mkdir()
        self.target = self.folder / "crs"

    def test_unpacked(self) -> None:
        """Both kinds; the directory all lies in is left out; nothing else is left behind."""
        members = (("crs-4/rules/a.conf", b"A"), ("crs-4/x", b"B"))
        for number, data in enumerate((tar(*members), tar(*members, mode="w:xz"), zipped(*members))):
            target = self.folder / f"crs{number}"
            self.assertEqual(unpack(data, target), target)
            self.assertEqual((target / "rules/a.conf").read_bytes(), b"A")
            self.assertEqual((target / "x").read_bytes(), b"B")
        self.assertEqual(len(list(self.folder.iterdir())), 3)

    def test_no_common_directory(self) -> None:
        """A directory ``rules`` stays, though all lies in it."""
        unpack(tar(("rules/a.conf", b"A")), self.target)
        self.assertTrue((self.target / "rules/a.conf").is_file())

    def test_refused(self) -> None:
        """Paths that lead out, what is no file, twice the same, nothing, what is no archive: nothing is left behind."""
        for data, reason in (
            (tar(("x/a", b""), ("../b", b"")), "may lead out"),
            (tar(("/etc/x", b"")), "may lead out"),
            (tar(("a\\..\\b", b"")), "may lead out"),
            (zipped(("a/../../b", b"")), "may lead out"),
            (tar(("a", "/etc/passwd")), "is no file"),
            (tar(("a", b"1"), ("a", b"2")), "cannot be unpacked"),
            (tar(("a", b"1"), ("a/b", b"2")), "cannot be unpacked"),
            (tar(), "holds no files"),
            (b"PK\x03\x04 no", "cannot be unpacked"),
            (b"no archive", "cannot be unpacked"),
            (tar(("a", b"x" * 5000))[:-20], "cannot be unpacked"),
        ):
            self.assertRaisesRegex(ArchiveError, reason, unpack, data, self.target)
            self.assertEqual(list(self.folder.iterdir()), [])

    def test_a_link_in_a_zip(self) -> None:
        """Links in the other kind of archive are none either."""
        made = io.BytesIO()
        with zipfile.ZipFile(made, "w") as archive:
            info = zipfile.ZipInfo("a")
            info.external_attr = 0o120777 << 16
            archive.writestr(info, "/etc/passwd")
        self.assertRaisesRegex(ArchiveError, "is no file", unpack, made.getvalue(), self.target)

    def test_bombs(self) -> None:
        """More files or bytes than a release can have are refused."""
        self.patch(archives, "FILES", 3)
        self.assertRaisesRegex(
            ArchiveError, "more than 3 files", unpack, tar(*((str(n), b"") for n in range(4))), self.target
        )
        self.patch(archives, "MOST", 1000)
        self.assertRaisesRegex(ArchiveError, "larger than 1000", unpack, tar(("a", bytes(2000))), self.target)
        self.assertRaisesRegex(
            ArchiveError, "1000 bytes", unpack, zipped(("a", bytes(600)), ("b", bytes(600))), self.target
        )
        self.assertEqual(list(self.folder.iterdir()), [])

    def test_there_already(self) -> None:
        """What is there is not touched."""
        self.target.mkdir()
        self.assertRaisesRegex(ArchiveError, "is there already", unpack, tar(("a", b"")), self.target)

    def test_checksum(self) -> None:
        """Another checksum is refused, and both are told."""
        found = hashlib.sha256(b"x").hexdigest()
        self.assertEqual(verified(b"x", f" {found.upper()} "), b"x")
        self.assertRaisesRegex(ArchiveError, f"is {found}, not abc: nothing", verified, b"x", "abc")

    def test_fetched(self) -> None:
        """Files are read up to a limit; what is not there is told."""
        path = self.folder / "a.zip"
        path.write_bytes(b"12345")
        self.assertEqual(fetch(str(path)), b"12345")
        self.patch(archives, "LARGEST", 4)
        self.assertRaisesRegex(ArchiveError, "larger than 4", fetch, str(path))
        self.assertRaisesRegex(ArchiveError, "cannot be had", fetch, str(self.folder / "none"))

    def test_damaged(self) -> None:
        """Archives with bytes changed anywhere are unpacked or refused; nothing is there of those that are refused."""
        random = Random(3)
        content = random.randbytes(40_000)
        seeds = [tar(("a", content), ("b", content), mode=mode) for mode in ("w:gz", "w:xz", "w:bz2", "w")]
        seeds.append(zipped(("a", content), ("b", content)))
        refused = 0
        for number in range(200):
            data = bytearray(seeds[number % len(seeds)])
            for _ in range(random.choice((1, 3))):
                data[random.randrange(len(data))] = random.randrange(256)
            target = self.folder / str(number)
            try:
                unpack(bytes(data), target)
            except ArchiveError:
                refused += 1
                self.assertFalse(target.exists())
        self.assertGreater(refused, 60)

    def test_names(self) -> None:
        """Archives are known by their names."""
        self.assertTrue(is_archive(Path("a.TAR.GZ")))
        self.assertFalse(is_archive(Path("a.conf")))
