"""Tests for :mod:`balancer.tls.files`."""

from __future__ import annotations

import os
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from balancer.tls.files import is_directory, is_file, read_file, refuse_open_key, state_of
from balancer.tls.pem import UnusableError


class FileTests(SynchronousTestCase):
    """Reading files."""

    def setUp(self) -> None:
        self.directory = Path(self.mktemp())
        self.directory.mkdir()
        self.path = self.directory / "a.key"

    def _mode(self, mode: int) -> str:
        self.path.write_bytes(b"x")
        self.path.chmod(mode)
        _, status = read_file(self.path)
        try:
            refuse_open_key(self.path, status)
        except UnusableError as error:
            return str(error)
        return ""

    def test_unreadable(self) -> None:
        """What is no file, or not there, is named; a pipe is not waited for."""
        self.assertIn("No such file", str(self.assertRaises(UnusableError, read_file, self.path)))
        self.assertIn("is a directory", str(self.assertRaises(UnusableError, read_file, self.directory)))
        os.mkfifo(self.path)
        self.assertIn("expected a file", str(self.assertRaises(UnusableError, read_file, self.path)))

    def test_large(self) -> None:
        """A file past 1 MiB is none of ours."""
        self.path.write_bytes(b"x" * (1024 * 1024 + 1))
        self.assertIn("1 MiB", str(self.assertRaises(UnusableError, read_file, self.path)))

    def test_modes(self) -> None:
        """The owner may all, a group may read; everything beyond that is refused with the command that mends it."""
        for mode in (0o400, 0o600, 0o640, 0o440, 0o700):
            self.assertEqual(self._mode(mode), "", oct(mode))
        self.assertIn("mode 0644: everybody on this machine can read it", self._mode(0o644))
        self.assertIn(f"chmod 0600 {self.path}", self._mode(0o604))
        self.assertIn("everybody on this machine can change it", self._mode(0o602))
        self.assertIn("mode 0660: the group of the file can change it", self._mode(0o660))

    def test_owner(self) -> None:
        """A key of another user, who could replace it, is refused; root starts services for others."""
        self._mode(0o600)
        owner = self.path.stat().st_uid
        for user in (0, owner):
            refuse_open_key(self.path, self.path.stat(), user)
        if owner == 0:  # as which every user's own key is fine
            os.chown(self.path, 65534, 0)
        error = self.assertRaises(UnusableError, refuse_open_key, self.path, self.path.stat(), 65533)
        self.assertIn("belongs to the user", str(error))
        self.assertIn("chown root", str(error))

    def test_what_is_there(self) -> None:
        """A path that can lead nowhere leads nowhere."""
        self.path.write_bytes(b"x")
        self.assertEqual((is_file(self.path), is_directory(self.path)), (True, False))
        self.assertEqual((is_file(self.directory), is_directory(self.directory)), (False, True))
        for path in (Path("x" * 5000), Path("a\0b")):
            self.assertEqual((is_file(path), is_directory(path)), (False, False))

    def test_state(self) -> None:
        """A state changes with content, with another file in its place and with the rights; none means no file."""
        self.assertIsNone(state_of(self.path))
        self.path.write_bytes(b"x")
        states = [state_of(self.path)]
        other = self.directory / "b"
        other.write_bytes(b"y")
        other.rename(self.path)
        states.append(state_of(self.path))
        self.path.chmod(0o600)
        self.path.write_bytes(b"longer")
        states.append(state_of(self.path))
        self.assertEqual(len(set(states)), 3)
