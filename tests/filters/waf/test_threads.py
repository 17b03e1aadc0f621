"""Tests for :mod:`balancer.filters.waf.threads`, with real threads."""

from __future__ import annotations

from threading import Event, current_thread
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred, gatherResults
from twisted.trial.unittest import TestCase

from balancer.filters.waf.threads import CheckThreads
from balancer.hooks.check_guard import NoThreadError


class CheckThreadsTests(TestCase):
    def setUp(self) -> None:
        self.threads = CheckThreads(reactor, 2, 1)
        self.addCleanup(lambda: self.threads._pool and self.threads._pool.stop())

    async def test_runs(self) -> None:
        """In threads of their own, not the reactor's and not those of its pool; answers and failures come back here."""
        thread = await self.threads.run(current_thread)
        self.assertIsNot(thread, current_thread())
        self.assertTrue(thread.daemon)
        self.assertTrue(thread.name.startswith("PoolThread-waf"), thread.name)
        with self.assertRaises(ZeroDivisionError):
            await self.threads.run(lambda: 1 // 0)
        self.assertEqual(self.threads.under_way, 0)

    async def test_bounded(self) -> None:
        """So many run, so many wait, and more find no room; those that were given up keep their place until they end."""
        go = Event()
        self.addCleanup(go.set)
        calls: list[Deferred[Any]] = [self.threads.run(go.wait, 60) for _ in range(3)]
        self.assertRaises(NoThreadError, self.threads.run, go.wait, 60)
        calls[0].addErrback(lambda _: None)
        calls[0].cancel()
        self.assertRaises(NoThreadError, self.threads.run, go.wait, 60)
        self.assertEqual(repr(self.threads), "<CheckThreads 2, 3 of 3 calls>")
        self.threads.resize(3, 1)
        calls.append(self.threads.run(go.wait, 60))
        go.set()
        await gatherResults(calls)
        while self.threads.under_way:  # the one that was given up
            again: Deferred[None] = Deferred()
            reactor.callLater(0.001, again.callback, None)  # type: ignore[attr-defined]
            await again
