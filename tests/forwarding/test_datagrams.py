"""A UDP flow without sockets: choosing, replying, moving on from an unreachable server, ending."""

from __future__ import annotations

import errno
import time
from collections.abc import Callable
from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from balancer import errors
from balancer.errors import ExchangeError
from balancer.forwarding.datagrams import Flow
from balancer.model.address import Address, Peer
from balancer.model.facts import SessionFacts
from balancer.net.slots import Slot, slots_of
from balancer.net.timers import Wheel
from balancer.observe.records import SessionRecord
from balancer.pools.algorithms.round_robin import RoundRobin
from balancer.pools.pool import Pool
from balancer.pools.retry import RetrySettings
from balancer.pools.server import Server

REFUSED = ExchangeError(errors.CONNECTION_REFUSED, "10.0.0.9")


class Link:
    """A connected socket in memory; ``errors`` are raised by the sends to come."""

    def __init__(self, address: Address, received: Callable[[Any], Any], refused: Callable[[Any], Any]) -> None:
        self.address = address
        self.received = lambda *datagrams: received(slots_of(*datagrams))
        self.refused = refused
        self.sent: list[bytes] = []
        self.closed = False
        self.refuses_after = -1

    def send_one(self, data: memoryview) -> None:
        if self.refuses_after == len(self.sent):
            self.refuses_after = -1
            raise ConnectionRefusedError(errno.ECONNREFUSED, "refused")
        self.sent.append(bytes(data))

    def explain(self, error: OSError) -> Any:
        return 0, REFUSED

    def send(self, batch: list[Slot]) -> Any:
        for index, slot in enumerate(batch):
            try:
                for each in slot.datagrams():
                    self.send_one(each.view[: each.length])
            except ConnectionRefusedError:
                return index, REFUSED
        return None

    def close(self) -> None:
        self.closed = True


class FlowTests(SynchronousTestCase):
    """What a client of a flow sees."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.wheel = Wheel(self.clock)
        self.links: list[Link] = []
        self.unreachable: set[int] = set()
        self.refusing = 0
        self.replies: list[bytes] = []
        self.records: list[SessionRecord] = []
        servers = [Server(Address("10.0.0.9", port), f"s{port}") for port in (1, 2, 3)]
        self.pool = Pool("dns", servers, RoundRobin(), clock=self.clock, retry=RetrySettings(attempts=2))

    def connect(self, address: Address, received: Callable[[Any], Any], refused: Callable[[Any], Any]) -> Any:
        if address.port in self.unreachable:
            raise ExchangeError(errors.DESTINATION_IP_UNROUTABLE, str(address))
        self.links.append(Link(address, received, refused))
        if self.refusing:
            self.refusing -= 1
            self.links[-1].refuses_after = 0
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
            lambda batch: self.replies.extend(bytes(slot.view[: slot.length]) for slot in batch),
            lambda flow: self.records.append(flow.record),
        )

    def active(self) -> list[int]:
        return [server.active for server in self.pool.servers]

    def failures(self) -> list[int]:
        return [server.connect_failures for server in self.pool.servers]

    def test_there_and_back(self) -> None:
        """All datagrams of a flow go to one server, and its replies to the client."""
        flow = self.flow()
        flow.forward(slots_of(b"one"))
        flow.forward(slots_of(b"two"))
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

    def test_time_of_day(self) -> None:
        """The record tells the time of day, whatever the reactor's clock counts from; how long it took is the clock's."""
        self.clock.advance(1000)
        before = time.time()
        flow = self.flow()
        flow.forward(slots_of(b"x"))
        self.clock.advance(2)
        flow.end()
        (record,) = self.records
        self.assertTrue(before <= record.started <= time.time())
        self.assertEqual(record.total, 2.0)

    def test_lives_while_datagrams_pass(self) -> None:
        """Datagrams in either direction keep the flow."""
        flow = self.flow()
        flow.forward(slots_of(b"x"))
        for _ in range(4):
            self.clock.advance(20)
            self.links[0].received(b"y")
            self.clock.advance(20)
            flow.forward(slots_of(b"x"))
        self.assertTrue(flow.live)

    def test_ends_with_the_last_reply(self) -> None:
        """With ``responses`` the flow ends as soon as each datagram has had its replies."""
        flow = self.flow(responses=2)
        flow.forward(slots_of(b"a"))
        flow.forward(slots_of(b"b"))
        for _ in range(3):
            self.links[0].received(b"r")
        self.assertTrue(flow.live)
        self.links[0].received(b"r")
        self.assertFalse(flow.live)
        self.assertEqual((self.records[0].reason, len(self.replies), self.active()), ("", 4, [0, 0, 0]))

    def test_expects_no_reply(self) -> None:
        """With ``responses: 0`` the flow ends when the datagram is sent."""
        self.flow(responses=0).forward(slots_of(b"log line"))
        self.assertEqual((self.links[0].sent, self.links[0].closed, len(self.records)), ([b"log line"], True, 1))

    def test_missing_reply_counts_against_the_server(self) -> None:
        """Where a reply is due and none comes at all, the server has failed."""
        self.flow(responses=1).forward(slots_of(b"a"))
        self.clock.advance(31)
        self.assertEqual(self.records[0].reason, "connection_read_timeout")
        self.assertEqual((self.pool.servers[0].failures, self.failures()), (1, [0, 0, 0]))

    def test_unreachable_server_is_left(self) -> None:
        """After an ICMP message the last datagram goes to the next server, and the first one is blamed."""
        flow = self.flow()
        flow.forward(slots_of(b"one"))
        flow.forward(slots_of(b"two"))
        self.links[0].refused(REFUSED)
        self.assertTrue(self.links[0].closed)
        self.assertEqual((self.links[1].sent, self.links[1].address.port), ([b"two"], 2))
        self.assertEqual((self.failures(), self.active()), ([1, 0, 0], [0, 1, 0]))
        self.links[1].received(b"r")
        self.assertEqual(self.replies, [b"r"])

    def test_server_that_cannot_be_addressed(self) -> None:
        """A server without a route is passed over at once."""
        self.unreachable = {1, 2}
        self.flow().forward(slots_of(b"x"))
        self.assertEqual([link.address.port for link in self.links], [3])
        self.assertEqual(self.failures(), [1, 1, 0])

    def test_gives_up(self) -> None:
        """When no server is left the flow ends, and says why."""
        self.unreachable = {1, 2, 3}
        flow = self.flow()
        flow.forward(slots_of(b"x"))
        self.assertFalse(flow.live)
        self.assertEqual((self.records[0].reason, self.records[0].attempts), ("destination_ip_unroutable", 3))
        self.assertEqual((self.failures(), self.active()), ([1, 1, 1], [0, 0, 0]))

    def test_server_lost_in_mid_flow(self) -> None:
        """A server that replied and is then unreachable ends the flow: the client's next datagram begins another."""
        flow = self.flow()
        flow.forward(slots_of(b"x"))
        self.links[0].received(b"r")
        self.links[0].refused(REFUSED)
        self.assertFalse(flow.live)
        self.assertEqual((self.records[0].reason, self.failures()), ("connection_refused", [1, 0, 0]))

    def test_a_batch(self) -> None:
        """What comes together is counted and answered datagram by datagram."""
        flow = self.flow(responses=1)
        train = slots_of(b"aabbc")
        train[0].segment = 2
        self.assertEqual(flow.forward(slots_of(b"one", b"two")), 2)
        flow.forward(train)
        (link,) = self.links
        self.assertEqual(link.sent, [b"one", b"two", b"aa", b"bb", b"c"])
        link.received(b"1", b"2", b"3", b"4")
        self.assertTrue(flow.live)
        link.received(b"5")
        self.assertEqual(self.replies, [b"1", b"2", b"3", b"4", b"5"])
        (record,) = self.records
        self.assertEqual((record.datagrams_in, record.bytes_in), (5, 11))
        self.assertEqual((record.datagrams_out, record.bytes_out), (5, 5))

    def test_unreachable_in_mid_batch(self) -> None:
        """Before any reply the whole batch goes to the next server."""
        flow = self.flow()
        flow.forward(slots_of(b"zero"))
        self.links[0].refuses_after = 2
        self.assertEqual(flow.forward(slots_of(b"one", b"two", b"three")), 3)
        self.assertEqual(self.links[1].sent, [b"one", b"two", b"three"])
        self.assertEqual((self.failures(), self.active()), ([1, 0, 0], [0, 1, 0]))
        self.links[1].refused(REFUSED)
        self.assertEqual(self.links[2].sent, [b"three"])

    def test_unreachable_with_the_first_batch(self) -> None:
        """A server that refuses what chose it is passed over."""
        flow = self.flow()
        self.refusing = 2
        flow.forward(slots_of(b"one", b"two"))
        self.assertEqual([link.sent for link in self.links], [[], [], [b"one", b"two"]])
        self.assertEqual((flow.live, self.failures()), (True, [1, 1, 0]))

    def test_unreachable_after_a_reply(self) -> None:
        """Once there was a reply the flow ends, and what was not sent is left to the next flow, and not counted here."""
        flow = self.flow()
        flow.forward(slots_of(b"x"))
        self.links[0].received(b"r")
        self.links[0].refuses_after = 2
        self.assertEqual(flow.forward(slots_of(b"one", b"two", b"three")), 1)
        self.assertFalse(flow.live)
        record = self.records[0]
        self.assertEqual((record.reason, record.datagrams_in, record.bytes_in), ("connection_refused", 2, 4))

    def test_no_server(self) -> None:
        """A pool with nobody to take it ends the flow at once."""
        for server in self.pool.servers:
            server.drain()
        self.flow().forward(slots_of(b"x"))
        self.assertEqual(
            (self.records[0].reason, self.records[0].detail), ("destination_unavailable", "pool dns: 3 draining")
        )

    def test_ends_once(self) -> None:
        """Ending twice records once."""
        flow = self.flow()
        flow.forward(slots_of(b"x"))
        flow.end("shutdown")
        flow.end("again")
        self.links[0].refused(REFUSED)
        self.assertEqual([record.reason for record in self.records], ["shutdown"])
        self.assertEqual((self.active(), self.failures()), ([0, 0, 0], [0, 0, 0]))
