"""A UDP flow without sockets: choosing, replying, moving on from an unreachable server, ending."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from balancer import errors
from balancer.errors import ExchangeError
from balancer.forwarding.datagrams import Flow
from balancer.model.address import Address, Peer
from balancer.model.facts import SessionFacts
from balancer.net.timers import Wheel
from balancer.observe.records import SessionRecord
from balancer.pools.algorithms.round_robin import RoundRobin
from balancer.pools.pool import Pool
from balancer.pools.retry import RetrySettings
from balancer.pools.server import Server

REFUSED = ExchangeError(errors.CONNECTION_REFUSED, "10.0.0.9")


class Link:
    """A connected socket in memory."""

    def __init__(self, address: Address, received: Callable[[bytes], Any], refused: Callable[[Any], Any]) -> None:
        self.address = address
        self.received = received
        self.refused = refused
        self.sent: list[bytes] = []
        self.closed = False

    def send(self, data: bytes) -> None:
        self.sent.append(data)

    def close(self) -> None:
        self.closed = True


class FlowTests(SynchronousTestCase):
    """What a client of a flow sees."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.wheel = Wheel(self.clock)
        self.links: list[Link] = []
        self.unreachable: set[int] = set()
        self.replies: list[bytes] = []
        self.records: list[SessionRecord] = []
        servers = [Server(Address("10.0.0.9", port), f"s{port}") for port in (1, 2, 3)]
        self.pool = Pool("dns", servers, RoundRobin(), clock=self.clock, retry=RetrySettings(attempts=2))

    def connect(self, address: Address, received: Callable[[bytes], Any], refused: Callable[[Any], Any]) -> Any:
        if address.port in self.unreachable:
            raise ExchangeError(errors.DESTINATION_IP_UNROUTABLE, str(address))
        self.links.append(Link(address, received, refused))
        return self.links[-1]

    def flow(self, responses: int | None = None) -> Flow:
        return Flow(
            self.clock,
            self.wheel,
            self.connect,
            self.pool,
            SessionFacts(Peer("192.0.2.7", 4000), Peer("10.0.0.1", 53)),
            SessionRecord("udp"),
            30.0,
            responses,
            self.replies.append,
            lambda flow: self.records.append(flow.record),
        )

    def active(self) -> list[int]:
        return [server.active for server in self.pool.servers]

    def failures(self) -> list[int]:
        return [server.connect_failures for server in self.pool.servers]

    def test_there_and_back(self) -> None:
        """All datagrams of a flow go to one server, and its replies to the client."""
        flow = self.flow()
        flow.forward(b"one")
        flow.forward(b"two")
        (link,) = self.links
        self.assertEqual((link.sent, link.address.port, self.active()), ([b"one", b"two"], 1, [1, 0, 0]))
        self.clock.advance(0.2)
        link.received(b"eins")
        self.assertEqual(self.replies, [b"eins"])
        self.clock.advance(31)
        self.assertTrue(link.closed)
        (record,) = self.records
        self.assertEqual(
            (record.datagrams_in, record.bytes_in, record.datagrams_out, record.bytes_out, record.reason),
            (2, 6, 1, 4, ""),
        )
        self.assertEqual((record.server, record.attempts, record.connect), ("s1", 1, 0.2))
        self.assertEqual((self.active(), len(self.wheel)), ([0, 0, 0], 0))

    def test_lives_while_datagrams_pass(self) -> None:
        """Datagrams in either direction keep the flow."""
        flow = self.flow()
        flow.forward(b"x")
        for _ in range(4):
            self.clock.advance(20)
            self.links[0].received(b"y")
            self.clock.advance(20)
            flow.forward(b"x")
        self.assertTrue(flow.live)

    def test_ends_with_the_last_reply(self) -> None:
        """With ``responses`` the flow ends as soon as each datagram has had its replies."""
        flow = self.flow(responses=2)
        flow.forward(b"a")
        flow.forward(b"b")
        for _ in range(3):
            self.links[0].received(b"r")
        self.assertTrue(flow.live)
        self.links[0].received(b"r")
        self.assertFalse(flow.live)
        self.assertEqual((self.records[0].reason, len(self.replies), self.active()), ("", 4, [0, 0, 0]))

    def test_expects_no_reply(self) -> None:
        """With ``responses: 0`` the flow ends when the datagram is sent."""
        self.flow(responses=0).forward(b"log line")
        self.assertEqual((self.links[0].sent, self.links[0].closed, len(self.records)), ([b"log line"], True, 1))

    def test_missing_reply_counts_against_the_server(self) -> None:
        """Where a reply is due and none comes at all, the server has failed."""
        self.flow(responses=1).forward(b"a")
        self.clock.advance(31)
        self.assertEqual(self.records[0].reason, "connection_read_timeout")
        self.assertEqual((self.pool.servers[0].failures, self.failures()), (1, [0, 0, 0]))

    def test_unreachable_server_is_left(self) -> None:
        """After an ICMP message the last datagram goes to the next server, and the first one is blamed."""
        flow = self.flow()
        flow.forward(b"one")
        flow.forward(b"two")
        self.links[0].refused(REFUSED)
        self.assertTrue(self.links[0].closed)
        self.assertEqual((self.links[1].sent, self.links[1].address.port), ([b"two"], 2))
        self.assertEqual((self.failures(), self.active()), ([1, 0, 0], [0, 1, 0]))
        self.links[1].received(b"r")
        self.assertEqual(self.replies, [b"r"])

    def test_server_that_cannot_be_addressed(self) -> None:
        """A server without a route is passed over at once."""
        self.unreachable = {1, 2}
        self.flow().forward(b"x")
        self.assertEqual([link.address.port for link in self.links], [3])
        self.assertEqual(self.failures(), [1, 1, 0])

    def test_gives_up(self) -> None:
        """When no server is left the flow ends, and says why."""
        self.unreachable = {1, 2, 3}
        flow = self.flow()
        flow.forward(b"x")
        self.assertFalse(flow.live)
        self.assertEqual((self.records[0].reason, self.records[0].attempts), ("destination_ip_unroutable", 3))
        self.assertEqual((self.failures(), self.active()), ([1, 1, 1], [0, 0, 0]))

    def test_server_lost_in_mid_flow(self) -> None:
        """A server that replied and is then unreachable ends the flow: the client's next datagram begins another."""
        flow = self.flow()
        flow.forward(b"x")
        self.links[0].received(b"r")
        self.links[0].refused(REFUSED)
        self.assertFalse(flow.live)
        self.assertEqual((self.records[0].reason, self.failures()), ("connection_refused", [1, 0, 0]))

    def test_no_server(self) -> None:
        """A pool with nobody to take it ends the flow at once."""
        for server in self.pool.servers:
            server.drain()
        self.flow().forward(b"x")
        self.assertEqual(
            (self.records[0].reason, self.records[0].detail), ("destination_unavailable", "pool dns: 3 draining")
        )

    def test_ends_once(self) -> None:
        """Ending twice records once."""
        flow = self.flow()
        flow.forward(b"x")
        flow.end("shutdown")
        flow.end("again")
        self.links[0].refused(REFUSED)
        self.assertEqual([record.reason for record in self.records], ["shutdown"])
        self.assertEqual((self.active(), self.failures()), ([0, 0, 0], [0, 0, 0]))
