"""What one process knows of servers, for others to go by."""

from __future__ import annotations

import json

from twisted.internet.task import Clock
from twisted.trial.unittest import TestCase

from balancer.model.address import Address
from balancer.pools.algorithms.round_robin import RoundRobin
from balancer.pools.pool import Pool
from balancer.pools.server import Server
from balancer.service.server_state import state_of, take_over


def _pool(*addresses: str) -> Pool:
    return Pool("web", [Server(Address.parse(each)) for each in addresses], RoundRobin(), clock=Clock())


class ServerStateTests(TestCase):
    def setUp(self) -> None:
        self.here, self.there = _pool("10.0.0.1:80", "a.test:80"), _pool("10.0.0.1:80", "a.test:80", "10.0.0.3:80")

    def send(self) -> None:
        take_over({"web": self.there}, json.loads(json.dumps(state_of(self.here))))

    def test_everything(self) -> None:
        """Health with its reason, addresses, weight and draining arrive; servers that are not spoken of stay."""
        one, name = self.here.servers
        one.healthy, one.reason = False, "refused"
        name.resolved((Address("10.0.0.9", 80),))
        name.draining = True
        self.here.set_weight(one, 5)
        self.send()
        mine, also, other = self.there.servers
        self.assertEqual((mine.state, mine.reason, mine.weight, mine.open), ("down", "refused", 5, False))
        self.assertEqual((also.state, also.endpoints, also.open), ("draining", (Address("10.0.0.9", 80),), False))
        self.assertEqual((other.state, other.open), ("up", True))
        one.healthy = True
        self.send()
        self.assertEqual((mine.state, mine.reason, mine.open), ("up", "", True))

    def test_weights(self) -> None:
        """One that was set by hand goes on in a process that takes over, unless the file has another by then."""
        self.here.set_weight(self.here.servers[0], 5)
        self.send()
        self.assertEqual(self.there.servers[0].weight, 5)
        self.there = Pool("web", [Server(Address("10.0.0.1", 80), weight=2)], RoundRobin(), clock=Clock())
        self.send()
        self.assertEqual(self.there.servers[0].weight, 2)

    def test_disabled(self) -> None:
        """An operator's word arrives, both ways; that the server is down besides arrives too."""
        one, mine = self.here.servers[0], self.there.servers[0]
        one.healthy, one.reason = False, "refused"
        one.disable()
        self.send()
        self.assertEqual((mine.state, mine.condition, mine.reason), ("disabled", "down", "refused"))
        one.enable()
        one.healthy = True
        self.send()
        self.assertEqual((mine.state, mine.open), ("up", True))

    def test_ejected(self) -> None:
        """What a process has found out by its own traffic stays its own, and is not passed on."""
        mine = self.there.servers[0]
        mine.ejected_until, mine.reason = 5.0, "failed"
        self.here.servers[1].ejected_until, self.here.servers[1].tripped = 5.0, "9 of 9 failed"
        self.send()
        self.assertEqual((mine.state, mine.reason), ("ejected", "failed"))
        self.assertEqual((self.there.servers[1].state, self.there.servers[1].reason), ("up", ""))

    def test_unknown(self) -> None:
        """Other pools, and a server that has another address by now, are passed over."""
        (state, *_) = state_of(self.here)
        take_over({}, [state])
        state |= {"address": "10.0.0.2:80", "healthy": False}
        take_over({"web": self.there}, [state])
        self.assertTrue(self.there.servers[0].healthy)
