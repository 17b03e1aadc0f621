"""Who no longer answers is killed; who is building, or has answered, is not."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from balancer.service.workers.process import WorkerProcess
from balancer.service.workers.pulse import BEAT, MISSED, Pulse


class Asked(WorkerProcess):
    """A worker whose process is not there: what it is asked and sent is kept."""

    def __init__(self, clock: Clock) -> None:
        super().__init__(clock, 0, 0, lambda _: {}, lambda *_: None, lambda *_: None)
        self.asked: list[Deferred[Any]] = []
        self.signals: list[str] = []

    def call(self, command: Any, limit: float, **arguments: Any) -> Deferred[Any]:
        self.asked.append(Deferred())
        return self.asked[-1]

    def signal(self, name: str) -> None:
        self.signals.append(name)


class PulseTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.worker = Asked(self.clock)
        self.workers = [self.worker]
        self.pulse = Pulse(self.clock, lambda: self.workers)
        self.pulse.start()
        self.addCleanup(self.pulse.stop)

    def beats(self, count: int) -> None:
        self.clock.pump([BEAT] * count)

    def test_one_that_answers_is_asked_again(self) -> None:
        """Each answer is followed by the next question."""
        for _ in range(3 * MISSED):
            self.beats(1)
            self.worker.asked[-1].callback({})
        self.assertEqual(len(self.worker.asked), 3 * MISSED)
        self.assertEqual(self.worker.signals, [])

    def test_one_that_hangs_is_killed(self) -> None:
        """After so many beats without an answer, and not before; it is asked once."""
        self.beats(MISSED)
        self.assertEqual(self.worker.signals, [])
        self.beats(1)
        self.assertEqual(self.worker.signals, ["KILL"])
        self.assertEqual(len(self.worker.asked), 1)

    def test_a_late_answer_counts(self) -> None:
        """Who answers at last is not late any more."""
        self.beats(MISSED)
        self.worker.asked[-1].callback({})
        self.beats(MISSED)
        self.assertEqual(self.worker.signals, [])

    def test_one_that_builds_is_excused(self) -> None:
        """A large configuration takes its time."""
        self.worker.is_building = True
        self.beats(4 * MISSED)
        self.assertEqual(self.worker.signals, [])
        self.worker.is_building = False
        self.beats(MISSED + 1)
        self.assertEqual(self.worker.signals, ["KILL"])

    def test_one_that_is_gone_is_forgotten(self) -> None:
        """A question that fails is no fault, and who is not there is not asked."""
        self.beats(1)
        self.worker.asked[-1].errback(ConnectionError("gone"))
        self.workers = []
        self.beats(3 * MISSED)
        self.assertEqual(self.worker.signals, [])
        self.assertEqual(len(self.worker.asked), 1)
