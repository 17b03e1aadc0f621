"""What a kept connection lets go of while its client is silent."""

from __future__ import annotations

from pathlib import Path

from twisted.internet.address import IPv4Address
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.trial.unittest import SynchronousTestCase

from balancer.listeners.http.channel import HTTPChannel
from balancer.listeners.http.site import Site
from balancer.net.timers import Wheel
from balancer.service.build import built, loaded

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"


class IdleTests(SynchronousTestCase):
    def open(self, keep_alive: str = "75s") -> HTTPChannel:
        file = Path(self.mktemp())
        file.write_text(
            f"listeners: {{web: {{bind: '127.0.0.1:0', protocol: http, timeouts: {{keep_alive: {keep_alive}}},"
            " routes: [{respond: {status: 200, body: hello}}]}}\n"
        )
        site = built(loaded(file)).listeners["web"]
        assert isinstance(site, Site)
        self.clock = Clock()
        channel = HTTPChannel(lambda: site, Wheel(self.clock), lambda _: None)
        here, there = IPv4Address("TCP", "127.0.0.1", 80), IPv4Address("TCP", "127.0.0.1", 5000)
        self.transport = StringTransport(here, there)
        channel.makeConnection(self.transport)
        return channel

    def ask(self, channel: HTTPChannel, request: bytes = GET) -> None:
        self.transport.clear()
        channel.dataReceived(request)
        self.assertIn(b"HTTP/1.1 200 OK", self.transport.value())

    def passes(self, seconds: int) -> None:
        self.clock.pump([0.1] * (seconds * 10))

    def test_forgetting(self) -> None:
        """After some seconds the last request and the parser are gone, and the connection serves on."""
        channel = self.open()
        for _ in range(3):
            self.ask(channel)
        self.assertIsNotNone(channel._reader._last)
        self.passes(7)
        self.assertIsNone(channel._reader._last)
        self.assertIsNone(channel._reader._parser)
        self.assertIsNone(channel._last)
        self.assertFalse(self.transport.disconnecting)
        for request in (GET, GET, GET.replace(b"Host: a", b"Host: b\r\nX-A: 1")):
            self.ask(channel, request)
        self.assertIsNotNone(channel._reader._last)

    def test_its_time_stays_the_same(self) -> None:
        """It is closed after its keep-alive time, which each request begins anew."""
        channel = self.open()
        self.ask(channel)
        self.passes(70)
        self.ask(channel)
        self.passes(70)
        self.assertFalse(self.transport.disconnecting)
        self.passes(7)
        self.assertTrue(self.transport.disconnecting)

    def test_a_short_time(self) -> None:
        """One that is kept for less is just closed."""
        channel = self.open("2s")
        self.ask(channel)
        self.passes(3)
        self.assertTrue(self.transport.disconnecting)

    def test_a_head_in_pieces(self) -> None:
        """A request that comes in pieces, with more than that time between them, is read as ever."""
        channel = self.open()
        self.ask(channel)
        self.passes(7)
        channel.dataReceived(GET[:20])
        self.passes(7)
        self.ask(channel, GET[20:])
