"""Where listeners get their sockets."""

from __future__ import annotations

import os
import socket
from typing import Any

from twisted.internet import reactor
from twisted.internet.protocol import Factory
from twisted.trial.unittest import TestCase

from balancer.listeners.opening import Opening
from balancer.net.listening import describe
from balancer.net.watching import Watch


class OpeningTests(TestCase):
    def listening(self, kind: int = socket.SOCK_STREAM) -> socket.socket:
        skt = socket.socket(socket.AF_INET, kind)
        self.addCleanup(skt.close)
        skt.bind(("127.0.0.1", 0))
        if kind == socket.SOCK_STREAM:
            skt.listen()
        return skt

    def where(self, skt: socket.socket) -> str:
        return f"127.0.0.1:{skt.getsockname()[1]}"

    def close(self, port: Any) -> None:
        self.addCleanup(port.stopListening)

    def test_handed_over(self) -> None:
        """What was handed over is taken once, by the listener and bind it is for; anything else is opened."""
        skt = self.listening()
        opening = Opening(reactor)
        opening.hand("web", "127.0.0.1:0", os.dup(skt.fileno()))
        other = opening.stream("other", "127.0.0.1:0", Factory())
        self.close(other)
        self.assertNotEqual(describe(other), self.where(skt))
        port = opening.stream("web", "127.0.0.1:0", Factory())
        self.close(port)
        self.assertEqual(describe(port), self.where(skt))
        again = opening.stream("web", "127.0.0.1:0", Factory())
        self.close(again)
        self.assertNotEqual(describe(again), self.where(skt))

    def test_closing_does_not_end_it(self) -> None:
        """A port that is closed here listens on where the socket came from."""
        skt = self.listening()
        opening = Opening(reactor)
        opening.hand("web", "x:1", os.dup(skt.fileno()))
        closed: Any = opening.stream("web", "x:1", Factory()).stopListening()

        def check(_: object) -> None:
            with socket.socket() as client:
                self.assertEqual(client.connect_ex(skt.getsockname()), 0)

        return closed.addCallback(check)

    def test_inherited(self) -> None:
        """What a process before has left is taken; of several sockets, the first."""
        one, two = self.listening(), self.listening()
        asked: list[tuple[str, str, int]] = []

        def inherited(name: str, bind: str, kind: int) -> list[int]:
            asked.append((name, bind, kind))
            return [os.dup(one.fileno()), os.dup(two.fileno())] if len(asked) == 1 else []

        opening = Opening(reactor, inherited)
        port = opening.stream("web", "127.0.0.1:0", Factory())
        self.close(port)
        self.assertEqual(describe(port), self.where(one))
        other = opening.stream("web", "127.0.0.1:0", Factory())
        self.close(other)
        self.assertNotEqual(describe(other), self.where(one))
        self.assertEqual(asked, [("web", "127.0.0.1:0", socket.SOCK_STREAM)] * 2)

    def test_datagrams(self) -> None:
        """A UDP socket is taken as well."""
        skt = self.listening(socket.SOCK_DGRAM)
        opening = Opening(reactor)
        opening.hand("game", "127.0.0.1:0", os.dup(skt.fileno()))
        port = opening.datagrams("game", "127.0.0.1:0", Watch(reactor), lambda *_: None)
        self.addCleanup(port.close)
        self.assertEqual(str(port.address), self.where(skt))

    def test_dropped(self) -> None:
        """What nobody takes is closed."""
        skt = self.listening()
        descriptor, replaced = os.dup(skt.fileno()), os.dup(skt.fileno())
        opening = Opening(reactor)
        opening.hand("web", "x:1", replaced)
        opening.hand("web", "x:1", descriptor)
        opening.drop()
        for each in (descriptor, replaced):
            self.assertRaises(OSError, os.fstat, each)
