"""What master and workers say to each other, over a real socket."""

from __future__ import annotations

import socket
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred, gatherResults, inlineCallbacks
from twisted.internet.protocol import Factory
from twisted.protocols import amp
from twisted.trial.unittest import TestCase

from balancer.errors import BalancerError, ConfigurationError, Problem
from balancer.service.workers.protocol import Ask, Prepare


class _Worker(amp.AMP):
    def __init__(self) -> None:
        super().__init__()
        self.prepared: list[Any] = []

    @Prepare.responder
    def prepare(self, found: Any, kept: Any, columns: Any, sockets: Any) -> dict[str, Any]:
        if not found:
            raise ConfigurationError([Problem("b.yaml", 1, 2, "listeners", "expected more", "empty")])
        self.prepared.append((found, columns, sockets))
        return {}

    @Ask.responder
    def ask(self, what: str, question: Any = None) -> dict[str, Any]:
        return {"answer": {what: "ä" * 200_000}}


class ProtocolTests(TestCase):
    def setUp(self) -> None:
        self.worker, self.master = _Worker(), amp.AMP()
        closed = []
        for skt, protocol in zip(socket.socketpair(), (self.worker, self.master), strict=True):
            skt.setblocking(False)
            factory: Any = Factory()
            factory.noisy = False
            factory.buildProtocol = lambda _, protocol=protocol: protocol
            reactor.adoptStreamConnection(skt.fileno(), socket.AF_UNIX, factory)
            skt.close()
            lost: Deferred[None] = Deferred()
            protocol.connectionLost = lambda _reason, lost=lost: lost.callback(None)
            closed.append(lost)
        self.addCleanup(gatherResults, closed)
        self.addCleanup(self.master.transport.loseConnection)

    @inlineCallbacks
    def test_large(self) -> Any:
        """Values of any size and script go over as they are, in both directions."""
        for size in (0, 1, 65_535, 65_536, 1_000_000):
            found = {"data": "ü" * size, "n": [1, None, True, 2.5]}
            yield self.master.callRemote(Prepare, found=found, kept={}, columns={"a": 1}, sockets=[])
            self.assertEqual(self.worker.prepared.pop(), (found, {"a": 1}, []))
        answer = yield self.master.callRemote(Ask, what="status")
        self.assertEqual(answer, {"answer": {"status": "ä" * 200_000}})

    @inlineCallbacks
    def test_sockets(self) -> Any:
        """Descriptors arrive as copies of the same sockets, each with what it is for."""
        mine = [socket.create_server(("127.0.0.1", 0)) for _ in range(20)]
        sockets = [
            {"listener": f"l{at}", "bind": f"127.0.0.1:{at}", "descriptor": each.fileno()}
            for at, each in enumerate(mine)
        ]
        yield self.master.callRemote(Prepare, found={"a": 1}, kept={"b": 2}, columns={}, sockets=sockets)
        ((_, _, got),) = self.worker.prepared
        self.assertEqual(
            [(each["listener"], each["bind"]) for each in got], [(f"l{at}", f"127.0.0.1:{at}") for at in range(20)]
        )
        for given, taken in zip(mine, got, strict=True):
            self.assertNotEqual(given.fileno(), taken["descriptor"])
            with socket.socket(fileno=taken["descriptor"]) as copy:
                self.assertEqual(copy.getsockname(), given.getsockname())
            given.close()

    @inlineCallbacks
    def test_refused(self) -> Any:
        """Errors meant for the operator arrive with their words."""
        error = yield self.assertFailure(
            self.master.callRemote(Prepare, found={}, kept={}, columns={}, sockets=[]), BalancerError
        )
        self.assertIn("expected more", str(error))
