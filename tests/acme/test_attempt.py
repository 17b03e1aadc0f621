"""Tests for :mod:`balancer.acme.attempt`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from balancer.acme.attempt import AUTHORITY, Attempting, Outcome
from balancer.acme.schedule import FIRST_WAIT, Attempts, Window
from balancer.acme.storage import BusyError, Storage, StorageError
from balancer.acme.wanted import Wanted
from balancer.config.acme import Acme
from tests.tls.authority import NOW, Authority

CA = Authority("CA")
T0 = NOW.timestamp()
DAY = 86400.0
ISSUED, OTHER = CA.issue("a.example").cert, CA.issue("a.example").cert


class AttemptingTests(SynchronousTestCase):
    """One attempt."""

    def setUp(self) -> None:
        at = str(Path(self.mktemp()).absolute())
        acme = Acme(directory="https://ca.example/", storage=at, agree_terms=True)
        self.wanted = Wanted(("a.example",), acme)
        self.storage = Storage(at, acme.directory)
        self.now = T0
        self.asked: list[str] = []
        self.answer: Callable[[], bytes] = lambda: ISSUED
        self.attempting = Attempting(self._converse, lambda: 0.0, lambda: self.now)

    def _converse(
        self, wanted: Wanted, storage: Storage, present: Callable[[str, str, bool], None], replaces: str
    ) -> bytes:
        self.asked.append(replaces)
        return self.answer()

    def _attempt(self) -> Outcome:
        def present(*_: Any) -> None:
            raise AssertionError("nothing is to be shown")

        return self.attempting.attempt(self.wanted, self.storage, Attempts(), Attempts(), present)

    def test_issued(self) -> None:
        """What is issued is in the storage, and noted."""
        outcome = self._attempt()
        self.assertIsNone(outcome.error)
        self.assertEqual(self.storage.read("a.example.pem"), ISSUED)
        self.assertEqual(self.storage.attempts(), {"a.example": outcome.attempts, AUTHORITY: outcome.authority})
        self.assertEqual(outcome.attempts.failures, 0)

    def test_there_already(self) -> None:
        """What is not due any more, as another process has got it, is not asked for; unless the authority suggests to."""
        self._attempt()
        self.assertIsNone(self._attempt().error)
        self.assertEqual(len(self.asked), 1)
        term = self._attempt().term
        assert term is not None
        self.storage.note_window("a.example", Window(term.fingerprint, T0 - 10, T0 - 5, T0 + DAY))
        self.answer = lambda: OTHER
        self.assertIsNone(self._attempt().error)
        self.assertEqual(len(self.asked), 2)
        self.assertEqual(self.storage.read("a.example.pem"), OTHER)

    def test_not_written(self) -> None:
        """What was issued and cannot be written is written later: the authority is not asked again."""
        self.storage.prepare()
        in_the_way = self.storage.folder / "a.example.pem"
        in_the_way.mkdir()
        (in_the_way / "something").touch()
        outcome = self._attempt()
        self.assertIsInstance(outcome.error, StorageError)
        self.assertEqual(outcome.attempts.failures, 1)
        self.assertEqual(len(self.asked), 0)  # what is there cannot be read: nobody was asked
        (in_the_way / "something").unlink()
        in_the_way.rmdir()
        self.answer = self._full
        outcome = self._attempt()
        self.assertIn("cannot write", str(outcome.error))
        self.assertEqual(len(self.asked), 1)
        (in_the_way / "something").unlink()
        in_the_way.rmdir()
        self.answer = lambda: b"another"
        self.assertIsNone(self._attempt().error)
        self.assertEqual(len(self.asked), 1)
        self.assertEqual(self.storage.read("a.example.pem"), ISSUED)

    def _full(self) -> bytes:
        """Have nothing more be written in the place of the certificate."""
        path = self.storage.folder / "a.example.pem"
        path.mkdir()
        (path / "something").touch()
        return ISSUED

    def test_unwritable(self) -> None:
        """Where nothing can be noted nothing is asked for: a restart would ask again."""
        self.storage.prepare()
        (self.storage.folder / "attempts.json").mkdir()
        (self.storage.folder / "attempts.json" / "x").touch()
        self.assertIsInstance(self._attempt().error, StorageError)
        self.assertEqual(self.asked, [])

    def test_clock(self) -> None:
        """With a clock that is wrong what was issued is kept, and another is asked for a day later at the earliest."""
        for skew, text in [
            (365 * DAY, "is to be renewed already: this machine's clock must be wrong"),
            (-365 * DAY, "is good only in 364d"),
        ]:
            self.now = T0 + skew
            outcome = self._attempt()
            self.assertIn(text, str(outcome.error))
            self.assertGreaterEqual(outcome.attempts.pause, self.now + DAY)
            self.assertTrue(outcome.attempts.waits(self.now + DAY - 1))
            self.assertFalse(outcome.attempts.waits(self.now - 3 * DAY))  # the clock is right again
            self.assertIsNotNone(self.storage.read("a.example.pem"))
            (self.storage.folder / "a.example.pem").unlink()
            self.assertGreaterEqual(self.storage.attempts()["a.example"].pause, self.now + DAY)

    def test_busy(self) -> None:
        """While another process orders, nothing is done and nothing has failed."""
        self.storage.prepare()
        with self.storage.lock():
            outcome = self._attempt()
        self.assertIsInstance(outcome.error, BusyError)
        self.assertEqual((outcome.attempts.failures, self.asked), (0, []))

    def test_no_certificate(self) -> None:
        """What is no certificate takes nothing's place."""
        self.answer = lambda: b"nonsense"
        outcome = self._attempt()
        self.assertIn("what the authority sent is no certificate", str(outcome.error))
        self.assertEqual(outcome.attempts.pause, T0 + FIRST_WAIT)
        self.assertIsNone(self.storage.read("a.example.pem"))
