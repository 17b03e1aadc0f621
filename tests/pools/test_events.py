"""Tests of the events."""

from __future__ import annotations

from twisted.trial.unittest import TestCase

from balancer.pools import events


class EventTests(TestCase):
    """Values with words."""

    def test_words(self) -> None:
        """Each reads as a line in an operator's log."""
        self.assertEqual(
            [
                str(event)
                for event in (
                    events.ServerWentDown("web", "a", "503 Service Unavailable"),
                    events.ServerCameUp("web", "a", "200 OK"),
                    events.ServerEjected("web", "a", "failed, 5 in a row", 20.0),
                    events.ServerReturned("web", "a"),
                    events.ServerDrained("web", "a"),
                    events.ServerUndrained("web", "a"),
                    events.NameResolved("web", "a", "192.0.2.1:80"),
                    events.NameDidNotResolve("web", "a"),
                    events.PanicBegan("web"),
                    events.PanicEnded("web"),
                )
            ],
            [
                "server a of pool web went down: 503 Service Unavailable",
                "server a of pool web came up: 200 OK",
                "server a of pool web was ejected for 20 s: failed, 5 in a row",
                "server a of pool web returned",
                "server a of pool web is draining",
                "server a of pool web takes new clients again",
                "server a of pool web resolves to: 192.0.2.1:80",
                "server a of pool web has a name that does not resolve",
                "pool web has no healthy server and uses all of them",
                "pool web has a healthy server again",
            ],
        )

    def test_values(self) -> None:
        """They are frozen and compare by value; the kind is the past-tense name."""
        event = events.ServerEjected("web", "a", "why", 3.0)
        self.assertEqual(event, events.ServerEjected("web", "a", "why", 3.0))
        self.assertEqual(event.kind, "server_ejected")
        with self.assertRaises(AttributeError):
            event.pool = "other"  # type: ignore[misc]
