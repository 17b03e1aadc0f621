"""Tests of where rules are found, and in which order they are read."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

from balancer_crs.sources import find
from twisted.trial.unittest import SynchronousTestCase


class SourcesTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.root = Path(self.mktemp()).resolve()
        self.debian = (self.root / "usr", self.root / "etc")

    def write(self, *names: str) -> None:
        for name in names:
            path = self.root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("")

    def found(self, rules: str | None, setup: str | None = None) -> tuple[list[str], list[str]]:
        given = None if rules is None else str(self.root / rules)
        with find(given, setup and str(self.root / setup), self.debian) as sources:
            return (
                [str(each.relative_to(self.root)) for each in sources.setup],
                [str(each.relative_to(self.root)) for each in sources.rules],
            )

    def test_directory(self) -> None:
        """A release's directory, or the rules within it: set-up file first, plug-ins around the rules, all in order."""
        self.write("crs/crs-setup.conf.example", "crs/rules/B.conf", "crs/rules/A.conf", "crs/rules/x.conf.example")
        expected = (["crs/crs-setup.conf.example"], ["crs/rules/A.conf", "crs/rules/B.conf"])
        self.assertEqual(self.found("crs"), expected)
        self.assertEqual(self.found("crs/rules"), expected)
        self.write("crs/crs-setup.conf", *(f"crs/plugins/p-{part}.conf" for part in ("config", "before", "after")))
        self.assertEqual(
            self.found("crs"),
            (
                ["crs/crs-setup.conf"],
                [
                    "crs/plugins/p-config.conf",
                    "crs/plugins/p-before.conf",
                    "crs/rules/A.conf",
                    "crs/rules/B.conf",
                    "crs/plugins/p-after.conf",
                ],
            ),
        )
        self.write("mine.conf")
        self.assertEqual(self.found("crs", "mine.conf")[0], ["mine.conf"])

    def test_flat(self) -> None:
        """A directory of rules with the set-up file among them."""
        self.write("flat/crs-setup.conf", "flat/a.conf")
        self.assertEqual(self.found("flat"), (["flat/crs-setup.conf"], ["flat/a.conf"]))

    def test_file(self) -> None:
        """A rule file stands alone."""
        self.write("main.conf", "s.conf")
        self.assertEqual(self.found("main.conf"), ([], ["main.conf"]))
        self.assertEqual(self.found("main.conf", "s.conf"), (["s.conf"], ["main.conf"]))

    def test_debian(self) -> None:
        """Debian's package, as its own file loads it; it is what is taken if nothing is given."""
        self.write("etc/crs-setup.conf", "etc/REQUEST-900-B.conf", "etc/RESPONSE-999-A.conf", "usr/rules/R.conf")
        expected = (
            ["etc/crs-setup.conf"],
            ["etc/REQUEST-900-B.conf", "usr/rules/R.conf", "etc/RESPONSE-999-A.conf"],
        )
        self.assertEqual(self.found(None), expected)
        self.assertEqual(self.found("usr"), expected)

    def test_archive(self) -> None:
        """An archive is unpacked for as long as it is read; its files are told as ones below it."""
        archive = self.root / "crs.tar.gz"
        archive.parent.mkdir(parents=True)
        with tarfile.open(archive, "w:gz") as made:
            for name in ("crs-1/crs-setup.conf.example", "crs-1/rules/A.conf"):
                made.addfile(tarfile.TarInfo(name), io.BytesIO())
        with find(str(archive), None, self.debian) as sources:
            [path] = sources.rules
            self.assertTrue(path.is_file())
            self.assertEqual(sources.show(path), f"{archive}/rules/A.conf")
            self.assertEqual(sources.show(self.root), str(self.root))
        self.assertFalse(path.exists())

    def test_refused(self) -> None:
        """Nothing there, no rules in it, no set-up file."""
        self.write("empty/x", "bare/rules/a.conf")
        for rules, setup, reason in (
            (None, None, "there are no rules"),
            ("none", None, "no file and no directory"),
            ("empty", None, "has no rule files"),
            ("bare", None, "has no crs-setup.conf"),
            ("bare", "none.conf", "none.conf is no file"),
        ):
            with self.assertRaisesRegex(ValueError, reason):
                self.found(rules, setup)
