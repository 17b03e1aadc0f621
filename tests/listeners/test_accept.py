"""The gate: limits over all, per listener and per client."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from balancer.listeners.accept import Gate


class GateTests(SynchronousTestCase):
    """Who is let in."""

    def test_without_limits_everybody(self) -> None:
        """A gate without limits counts and admits."""
        gate = Gate()
        self.assertTrue(all(gate.admit("10.0.0.1") for _ in range(1000)))
        self.assertEqual((gate.active, gate.present("10.0.0.1"), gate.refused), (1000, 1000, 0))

    def test_limit_on_connections(self) -> None:
        """At its limit a gate refuses, until somebody leaves."""
        gate = Gate(connections=2)
        self.assertTrue(gate.admit("a") and gate.admit("b"))
        self.assertFalse(gate.admit("c"))
        self.assertEqual(gate.refused, 1)
        gate.leave("a")
        self.assertTrue(gate.admit("c"))

    def test_limit_per_client(self) -> None:
        """One client at its limit does not keep out another."""
        gate = Gate(per_client=1)
        self.assertTrue(gate.admit("10.0.0.1"))
        self.assertFalse(gate.admit("10.0.0.1"))
        self.assertTrue(gate.admit("10.0.0.2"))
        self.assertEqual((gate.refused, gate.refused_client), (0, 1))
        gate.leave("10.0.0.1")
        self.assertTrue(gate.admit("10.0.0.1"))

    def test_unix_sockets_are_not_one_client(self) -> None:
        """Clients of a unix socket have no address to be limited by."""
        gate = Gate(per_client=1)
        self.assertTrue(gate.admit("") and gate.admit(""))

    def test_the_gate_above_must_admit(self) -> None:
        """Two listeners share the limit above them, and a refusal there takes no place here, but counts."""
        above = Gate(connections=3, per_client=2)
        web, tcp = Gate(above=above), Gate(connections=1, above=above)
        self.assertTrue(web.admit("a") and web.admit("a"))
        self.assertFalse(web.admit("a"))
        self.assertEqual((web.active, web.refused, web.refused_client, above.refused_client), (2, 0, 1, 1))
        self.assertTrue(tcp.admit("b"))
        self.assertFalse(tcp.admit("c"))
        self.assertEqual((tcp.refused, above.refused), (1, 0))
        self.assertFalse(web.admit("d"))
        self.assertEqual((web.refused, web.refused_client, above.refused), (1, 1, 1))

    def test_identified(self) -> None:
        """Who was admitted as nobody counts as a client once it is known which, within that client's limit."""
        above = Gate(per_client=1)
        gate = Gate(connections=3, per_client=2, above=above)
        self.assertTrue(gate.admit("") and gate.admit("") and gate.admit(""))
        self.assertFalse(gate.admit("a"))
        self.assertTrue(gate.identify("a"))
        self.assertEqual((gate.active, gate.present(""), gate.present("a"), above.present("a")), (3, 2, 1, 1))
        self.assertFalse(gate.identify("a"))
        self.assertEqual((gate.refused_client, above.refused_client, gate.present("")), (1, 1, 2))
        above.per_client = None
        self.assertTrue(gate.identify("a"))
        self.assertFalse(gate.identify("a"))
        self.assertEqual((gate.refused_client, above.refused_client, above.present("a")), (2, 1, 2))
        self.assertTrue(gate.identify(""))
        for host in ("a", "", "a"):
            gate.leave(host)
        self.assertEqual((gate.active, above.active, above.present("a"), above.present("")), (0, 0, 0, 0))

    def test_limits_may_change(self) -> None:
        """A lower limit keeps new clients out and throws nobody out."""
        gate = Gate(connections=10)
        for _ in range(5):
            gate.admit("a")
        gate.connections = 3
        self.assertFalse(gate.admit("a"))
        self.assertEqual(gate.active, 5)
        self.assertEqual(repr(gate), "<Gate 5 of 3, 1 refused>")

    @given(st.lists(st.tuples(st.booleans(), st.sampled_from("abcd")), max_size=200))
    def test_counts_agree(self, steps: list[tuple[bool, str]]) -> None:
        """However clients come and go, both gates count who is in, and forget who is not."""
        above = Gate(connections=7, per_client=3)
        gate = Gate(connections=5, per_client=4, above=above)
        inside: list[str] = []
        for comes, host in steps:
            if comes:
                if gate.admit(host):
                    inside.append(host)
            elif host in inside:
                inside.remove(host)
                gate.leave(host)
            self.assertEqual((gate.active, above.active), (len(inside), len(inside)))
            self.assertLessEqual(gate.active, 5)
            self.assertLessEqual(max((inside.count(host) for host in inside), default=0), 3)
        self.assertEqual([gate.present(host) for host in "abcd"], [inside.count(host) for host in "abcd"])
