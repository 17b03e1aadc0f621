"""Work beside the event loop."""

from __future__ import annotations

import gc
import sys
import threading
import weakref
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred, inlineCallbacks
from twisted.internet.task import Clock, deferLater
from twisted.trial.unittest import SynchronousTestCase, TestCase

from balancer.config.loading import load_text
from balancer.service.beside import SLICE, Beside, pieces_of
from balancer.service.build import registry_for


class _Still(Clock):
    running = False


class BesideTests(TestCase):
    timeout = 20

    @inlineCallbacks
    def test_loop_goes_on(self) -> Any:
        """Work is done in another thread, in which turns are short; the loop goes on meanwhile, and turns are as before after."""
        yield deferLater(reactor, 0)
        usual = sys.getswitchinterval()
        asked, answered = threading.Event(), threading.Event()
        slices: list[float] = []

        def work() -> int:
            slices.append(sys.getswitchinterval())
            asked.set()
            answered.wait(10)
            return threading.get_ident()

        def look() -> None:
            if asked.is_set():
                answered.set()
            else:
                reactor.callLater(0, look)

        look()
        where = yield Beside(reactor).do(work)
        self.assertNotEqual(where, threading.get_ident())
        self.assertAlmostEqual(slices[0], SLICE)
        self.assertEqual(sys.getswitchinterval(), usual)

    @inlineCallbacks
    def test_one_after_the_other(self) -> Any:
        """Pieces of work do not overlap, and end in order; one that fails says so and is no trouble to the next."""
        yield deferLater(reactor, 0)
        beside = Beside(reactor)
        busy = threading.Lock()
        ended: list[int] = []

        def work(number: int) -> None:
            self.assertTrue(busy.acquire(blocking=False))
            busy.release()
            ended.append(number)
            if number == 1:
                raise ValueError(number)

        doing: list[Deferred[None]] = [beside.do(lambda number=number: work(number)) for number in range(3)]
        yield doing[0]
        yield self.assertFailure(doing[1], ValueError)
        yield doing[2]
        self.assertEqual(ended, [0, 1, 2])
        self.assertTrue(gc.isenabled())


class WithoutLoopTests(SynchronousTestCase):
    def test_at_once(self) -> None:
        """Where the loop does not run, work is done at once."""
        where = self.successResultOf(Beside(_Still()).do(threading.get_ident))
        self.assertEqual(where, threading.get_ident())


class PiecesTests(SynchronousTestCase):
    def test_pieces(self) -> None:
        """A configuration is freed as its pieces are let go, in order, each of them alone."""
        text = "listeners: {web: {bind: '127.0.0.1:0', pool: web}}\npools: {web: {servers: ['127.0.0.1:1']}}\n"
        config = load_text(text, registry_for(installed=False)).config
        config.forget_places()
        whole, listener = weakref.ref(config), weakref.ref(config.listeners["web"])
        pieces = pieces_of([config])
        del config
        pieces[0] = None
        self.assertIsNone(whole())
        self.assertIsNotNone(listener())
        pieces.clear()
        self.assertIsNone(listener())

    def test_not_everything(self) -> None:
        """What a configuration refers to, but is not made of, is no piece: classes, modules, the reactor."""
        self.assertEqual(len(pieces_of([[sys, reactor, TestCase, len]])), 1)
