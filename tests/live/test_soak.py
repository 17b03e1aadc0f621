"""Fifty reloads in a row under load of every kind; ``make soak`` does the same for as long as one likes."""

from __future__ import annotations

from tests.live.balancers import BalancerTestCase
from tests.live.soaking import Soak


class SoakTests(BalancerTestCase):
    def test_fifty_reloads(self) -> None:
        """Routes, pools and listeners come and go, files are broken: no request fails, no connection is dropped, memory stays."""
        soak = Soak(self.folder(), clients=2)
        self.addCleanup(soak.close)
        for turn in range(1, 51):
            soak.reload(turn)
            if turn in (15, 35):
                soak.trouble("stop" if turn == 15 else "kill")
        soak.end()
        self.assertEqual(soak.failures, [])
        self.assertEqual((soak.counts["reloads"], soak.counts["reloads refused"]), (38, 12))
        for what in ("requests", "uploads", "messages", "session messages", "datagrams", "strangers"):
            self.assertGreater(soak.counts[what], 20, what)
        self.assertLess(soak.memory[-1] - soak.memory[2], 16 << 20)
