"""The listening sockets of a master, as configurations follow each other."""

from __future__ import annotations

import os
import socket
from typing import Any

from twisted.internet import reactor
from twisted.trial.unittest import TestCase

from balancer.config.loading import load_text
from balancer.config.schema import Config
from balancer.errors import BalancerError
from balancer.service.build import registry_for
from balancer.service.inheritance import Inheritance
from balancer.service.workers.listening_sockets import ListeningSockets


def _config(**listeners: tuple[str, str]) -> Config:
    lines = [f"  {name}: {{bind: '{bind}', protocol: {kind}, pool: p}}" for name, (kind, bind) in listeners.items()]
    text = "listeners:\n" + "\n".join(lines) + "\npools: {p: {servers: ['127.0.0.1:1']}}\n"
    return load_text(text, registry_for()).config


class ListeningSocketsTests(TestCase):
    def setUp(self) -> None:
        self.sockets = ListeningSockets(reactor)
        self.addCleanup(self.sockets.close)

    def use(self, config: Config, sockets: ListeningSockets | None = None) -> None:
        sockets = sockets or self.sockets
        sockets.prepare(config, 2)
        sockets.swap()

    def test_handed_out(self) -> None:
        """Each worker gets a descriptor for each bind; after a reload only what is new."""
        self.use(_config(web=("http", "127.0.0.1:0"), game=("udp", "127.0.0.1:0")))
        one, two = self.sockets.all(0), self.sockets.all(1)
        self.assertEqual([each["listener"] for each in one], ["web", "game"])
        self.assertEqual(len({each["descriptor"] for each in one + two}), 4)
        before = self.sockets.addresses("web")
        self.sockets.prepare(_config(web=("http", "127.0.0.1:0"), more=("tcp", "127.0.0.1:0")), 2)
        self.assertEqual([each["listener"] for each in self.sockets.fresh(0)], ["more"])
        self.sockets.swap()
        self.assertEqual(self.sockets.addresses("web"), before)
        self.assertEqual([each["listener"] for each in self.sockets.all(0)], ["web", "more"])
        self.assertRaises(OSError, os.fstat, one[1]["descriptor"])

    def test_renamed(self) -> None:
        """A listener with another name and the same addresses keeps its sockets."""
        self.use(_config(web=("http", "127.0.0.1:0")))
        before = self.sockets.addresses("web")
        self.sockets.prepare(_config(shop=("http", "127.0.0.1:0")), 2)
        self.assertEqual(self.sockets.renamed, {"shop": "web"})
        self.assertEqual(self.sockets.fresh(0), [])
        self.sockets.swap()
        self.assertEqual(self.sockets.addresses("shop"), before)

    def test_refused(self) -> None:
        """If one address cannot be had, or all is abandoned, nothing has changed and nothing new is open."""
        with socket.create_server(("127.0.0.1", 0)) as taken:
            bad = f"127.0.0.1:{taken.getsockname()[1]}"
            self.use(_config(web=("http", "127.0.0.1:0")))
            before = self.sockets.all(0)
            config = _config(web=("http", "127.0.0.1:0"), a=("tcp", "127.0.0.1:0"), b=("tcp", bad))
            self.assertRaises(BalancerError, self.sockets.prepare, config, 2)
        self.sockets.prepare(_config(web=("http", "127.0.0.1:0"), a=("tcp", "127.0.0.1:0")), 2)
        (fresh,) = self.sockets.fresh(0)
        self.sockets.abandon()
        self.assertRaises(OSError, os.fstat, fresh["descriptor"])
        self.assertEqual(self.sockets.all(0), before)

    def test_inherited(self) -> None:
        """Another process's sockets are taken as they are, by kind and name, or by the bind alone."""
        self.use(_config(web=("http", "127.0.0.1:0"), game=("udp", "127.0.0.1:0")))
        left: Any = [(name, bind, [os.dup(each) for each in all_]) for name, bind, all_ in self.sockets.left()]
        after = ListeningSockets(reactor, Inheritance(left))
        self.addCleanup(after.close)
        self.use(_config(game=("udp", "127.0.0.1:0"), shop=("http", "127.0.0.1:0")), after)
        self.assertEqual(after.addresses("shop"), self.sockets.addresses("web"))
        self.assertEqual(after.addresses("game"), self.sockets.addresses("game"))
