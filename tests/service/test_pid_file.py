"""twistd's pid file while one process takes over from another."""

from __future__ import annotations

import tempfile
from pathlib import Path

from twisted.trial.unittest import TestCase

from balancer.service.pid_file import PidFile


class PidFileTests(TestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.path = Path(folder.name, "pid")
        self.path.write_text("1")
        self.settings = {"pidfile": str(self.path)}

    def test_aside(self) -> None:
        """It makes room for another, and twistd removes the one that was set aside."""
        PidFile(self.settings).set_aside()
        self.assertFalse(self.path.exists())
        self.assertEqual(Path(self.settings["pidfile"]).read_text(), "1")

    def test_back(self) -> None:
        """If nobody has taken over, it is as before, whatever the other process wrote."""
        file = PidFile(self.settings)
        file.set_aside()
        self.path.write_text("2")
        file.put_back()
        self.assertEqual((self.path.read_text(), self.settings["pidfile"]), ("1", str(self.path)))
        file.put_back()

    def test_none(self) -> None:
        """Without one there is nothing to do."""
        for settings in (None, {"pidfile": ""}):
            file = PidFile(settings)
            file.set_aside()
            file.put_back()
