"""Fifty reloads in a row under load of every kind; ``make soak`` does the same for as long as one likes."""

from __future__ import annotations

import threading

from tests.live.balancers import BalancerTestCase, Peer
from tests.live.soaking import SWITCHED, UPGRADE, Soak


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

    def test_the_end_of_a_tunnel(self) -> None:
        """A WebSocket's client that closes is closed on the server's side too, and nothing is left of either."""
        closed = threading.Event()

        def talk(peer: Peer) -> None:
            peer.head()
            peer.send(SWITCHED)
            peer.send(peer.exactly(5))
            self.assertEqual(peer.rest(), b"")
            closed.set()

        running, port = self.web(self.server(talk).address)
        peer = self.connect(port)
        peer.send(UPGRADE)
        self.assertIn(b" 101 ", peer.head())
        peer.send(b"hello")
        self.assertEqual(peer.exactly(5), b"hello")
        peer.close()
        self.assertTrue(closed.wait(20))
        self.assertEqual(running.records(1)[0]["status"], 101)
