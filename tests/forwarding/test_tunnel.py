"""Tests of tunnels of which nothing is known, and of the ends that they join."""

from __future__ import annotations

from balancer.forwarding.tunnel import LAST_BYTES, Tunnel, TunnelSettings
from tests.forwarding.tunnels import DONE, LOST, TunnelTestCase


class TunnelTests(TunnelTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.tunnel = Tunnel(TunnelSettings(self.wheel, idle=10.0), self.done)

    def test_both_ways(self) -> None:
        """Bytes go both ways, those that came before the tunnel was there first, and are counted."""
        self.join(b"early", b"leftover")
        self.tunnel.from_client(b" bird")
        self.tunnel.from_server(b"s")
        self.assertEqual((self.server.taken(), self.client.taken()), (b"early bird", b"leftovers"))
        self.assertEqual((self.tunnel.bytes_in, self.tunnel.bytes_out), (10, 9))

    def test_back_pressure(self) -> None:
        """Each end is paused while the other does not take what it says."""
        self.join()
        self.client.congest()
        self.assertEqual((self.server.producerState, self.client.producerState), ("paused", "producing"))
        self.server.congest()
        self.assertEqual(self.client.producerState, "paused")

    def test_ends(self) -> None:
        """A FIN of the client is passed on; the end of the server's connection ends both."""
        self.join()
        self.tunnel.client_ended()
        self.assertEqual((self.server.said, self.client.said), (["end"], []))
        self.tunnel.server_lost(DONE)
        self.assertEqual(self.client.said, ["close"])
        self.tunnel.client_lost(DONE)
        self.assertEqual(self.ended, [""])
        self.assertEqual(len(self.wheel), 0)

    def test_resets(self) -> None:
        """A reset is passed on as one."""
        self.join()
        self.tunnel.client_lost(LOST)
        self.assertEqual((self.server.said, self.ended), (["abort"], ["http_request_error"]))
        self.tunnel.server_lost(LOST)
        self.assertEqual(self.ended, ["http_request_error"])

    def test_idle(self) -> None:
        """Silence in both directions ends it, bytes in one of them do not."""
        self.join()
        for _ in range(4):
            self.spend(8)
            self.tunnel.from_server(b"x")
        self.assertEqual(self.ended, [])
        self.spend(11)
        self.assertEqual(
            (self.ended, self.client.said, self.server.said), (["connection_read_timeout"], ["abort"], ["abort"])
        )

    def test_server_that_takes_nothing(self) -> None:
        """A server that does not take the last bytes is given up after a while."""
        self.join()
        self.tunnel.client_lost(DONE)
        self.assertEqual(self.server.said, ["close"])
        self.spend(LAST_BYTES + 1)
        self.assertEqual(self.server.said, ["close", "abort"])
        self.tunnel.server_lost(LOST)
        self.assertEqual(len(self.wheel), 0)

    def test_drain(self) -> None:
        """There is no way to end well what is not known."""
        self.join()
        self.tunnel.drain()
        self.assertEqual((self.client.said, self.server.said, self.ended), ([], [], []))
        self.assertEqual(repr(self.tunnel), "<Tunnel 0 in, 0 out>")
