"""Spliced sessions end to end: checksums both ways at once, many at a time, flat memory, nothing left behind."""

from __future__ import annotations

import hashlib
import os
import random
import resource
import socket
import threading
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import gatherResults, inlineCallbacks
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread

from balancer.model.address import Address
from balancer.net.splice import can_splice
from balancer.pools.pool import Pool
from tests.listeners.layer4 import Layer4TestCase, pool, until
from tests.live.balancers import BalancerTestCase
from tests.live.processes import free_port
from tests.net.peers import reset

MIB = 1 << 20
_NO_SPLICE = None if can_splice() else "this platform has no splice"


def talk(skt: socket.socket, seed: int, total: int) -> tuple[bytes, bytes]:
    """Say ``total`` bytes in random pieces while listening in random pieces; return the digests of both."""
    draw = random.Random(seed)
    said, heard = hashlib.sha256(), hashlib.sha256()

    def say() -> None:
        mine = random.Random(-seed)
        left = total
        while left:
            piece = mine.randbytes(min(left, mine.choice((1, 100, 1448, 5000, 70_000, 300_000))))
            said.update(piece)
            skt.sendall(piece)
            left -= len(piece)
        skt.shutdown(socket.SHUT_WR)

    saying = threading.Thread(target=say)
    saying.start()
    while data := skt.recv(draw.choice((1, 777, 4096, 65_536, 1_000_000))):
        heard.update(data)
    saying.join()
    return said.digest(), heard.digest()


class FuzzTests(Layer4TestCase):
    """Through a listener in this process."""

    skip = _NO_SPLICE
    timeout = 120

    def setUp(self) -> None:
        super().setUp()
        self.server = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.server.settimeout(30)
        self.addCleanup(self.server.close)

    def target(self) -> Pool:
        return pool(Address(*self.server.getsockname()))

    def at_client(
        self, where: tuple[str, int], seed: int, total: int, begin: threading.Event | None = None
    ) -> tuple[int, bytes, bytes]:
        with socket.create_connection(where, 10) as skt:
            skt.settimeout(60)
            skt.sendall(seed.to_bytes(4, "big"))
            if begin is not None:
                begin.wait(30)
            return seed, *talk(skt, seed + 1, total)

    def at_server(self, total: int) -> tuple[int, bytes, bytes]:
        skt, _ = self.server.accept()
        with skt:
            skt.settimeout(60)
            seed = int.from_bytes(skt.recv(4, socket.MSG_WAITALL), "big")
            said, heard = talk(skt, seed + 1_000_000, total)
            return seed, heard, said

    @inlineCallbacks
    def exchange(self, seeds: range, total: int) -> Any:
        """Let as many sessions as there are seeds talk both ways at once, and compare what was said and heard."""
        listener = self.tcp(self.target())
        host, port = listener.addresses[0].rsplit(":", 1)
        outcomes = yield gatherResults(
            [deferToThread(self.at_server, total) for _ in seeds]
            + [deferToThread(self.at_client, (host, int(port)), seed, total) for seed in seeds]
        )
        at_servers, at_clients = sorted(outcomes[: len(seeds)]), sorted(outcomes[len(seeds) :])
        self.assertEqual(at_servers, at_clients)
        yield self.recorded(len(seeds))
        for record in self.records:
            self.assertEqual((record.reason, record.bytes_in, record.bytes_out), ("", total + 4, total))
        self.records.clear()
        self.assertEqual((len(self.wheel), self.gate.active), (0, 0))

    @inlineCallbacks
    def test_both_ways_at_once(self) -> Any:
        """Random pieces both ways, a few sessions at a time: each arrives whole, bytes are counted, no pipe is lost."""
        assert self.pipes is not None
        for begin in range(0, 12, 4):
            yield self.exchange(range(begin, begin + 4), 4 * MIB + begin)
        self.assertGreater(self.pipes.open, 0)
        self.pipes.close()
        self.assertEqual(self.pipes.open, 0)

    @inlineCallbacks
    def test_few_pipes(self) -> Any:
        """With fewer pipes than sessions the others copy, changing between the two as pipes come and go."""
        assert self.pipes is not None
        self.pipes.limit = 1
        yield self.exchange(range(100, 104), 4 * MIB)

    @inlineCallbacks
    def test_without_pipes(self) -> Any:
        """Copying alone gives the same."""
        self.pipes = None
        yield self.exchange(range(200, 204), 2 * MIB)

    @inlineCallbacks
    def test_ended_in_full_flow(self) -> Any:
        """A listener drained, a session gone idle, a server reset, each with full pipes: descriptors and pipes come back."""
        assert self.pipes is not None
        counts: list[int] = []
        for how in ("drained", "idle", "reset"):
            listener = self.tcp(self.target(), idle=0.2 if how == "idle" else 600.0)
            host, port = listener.addresses[0].rsplit(":", 1)
            client = socket.create_connection((host, int(port)))
            server, _ = yield deferToThread(self.server.accept)
            client.setblocking(False)
            quiet = 0
            while quiet < 10:
                try:
                    client.send(bytes(65_536))
                    quiet = 0
                except BlockingIOError:
                    quiet += 1
                    yield deferLater(reactor, 0.002)
            if how == "drained":
                yield listener.drain(0.05)
            elif how == "reset":
                reset(server)
            yield until(lambda: self.records)
            reason = {"drained": "shutdown", "idle": "session_idle_timeout", "reset": "connection_terminated"}[how]
            self.assertEqual(self.records.pop().reason, reason)
            client.close()
            server.close()
            yield listener.drain(0.0)
            self.pipes.close()
            self.assertEqual((self.pipes.open, len(self.wheel)), (0, 0))
            counts.append(len(os.listdir("/proc/self/fd")))
        self.assertEqual(len(set(counts)), 1, counts)

    @inlineCallbacks
    def test_out_of_descriptors(self) -> Any:
        """Sessions that are under way when descriptors run out go on without pipes."""
        listener = self.tcp(self.target())
        host, port = listener.addresses[0].rsplit(":", 1)
        begin = threading.Event()
        asking = deferToThread(self.at_client, (host, int(port)), 300, 8 * MIB, begin)
        server, _ = yield deferToThread(self.server.accept)
        with server:
            yield until(lambda: listener.sessions and next(iter(listener.sessions)).record.connect >= 0)
            soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
            self.addCleanup(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
            resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
            begin.set()
            seed = yield deferToThread(server.recv, 4, socket.MSG_WAITALL)
            said, heard = yield deferToThread(talk, server, 1_000_000, 8 * MIB)
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        outcome = yield asking
        self.assertEqual((int.from_bytes(seed, "big"), heard, said), outcome)
        assert self.pipes is not None
        self.assertEqual(self.pipes.open, 0)
        self.assertGreater(self.pipes.failures, 0)
        yield self.recorded()


class MemoryTests(BalancerTestCase):
    """Through the program as it is run."""

    def test_a_gigabyte(self) -> None:
        """A gigabyte up and one down on one connection: whole, counted, and memory stays as it was."""
        total = 1024 * MIB
        listening = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(listening.close)
        found: list[int] = []

        def serve() -> None:
            while not found:
                skt, _ = listening.accept()
                with skt:
                    received = 0
                    while data := skt.recv(MIB):
                        received += len(data)
                    if not received:
                        continue  # somebody who looked whether the port answers
                    found.append(received)
                    block = bytes(MIB)
                    for _ in range(total // MIB):
                        skt.sendall(block)

        serving = threading.Thread(target=serve, daemon=True)
        serving.start()
        port = free_port()
        running = self.run_balancer(
            f"listeners:\n  big: {{bind: '127.0.0.1:{port}', protocol: tcp, pool: big}}\n"
            f"pools:\n  big: {{servers: ['127.0.0.1:{listening.getsockname()[1]}']}}\n"
        )
        running.wait_for(port)
        before = running.memory()
        with socket.create_connection(("127.0.0.1", port), 10) as skt:
            skt.settimeout(60)
            block = bytes(MIB)
            for _ in range(total // MIB):
                skt.sendall(block)
            skt.shutdown(socket.SHUT_WR)
            received = 0
            while data := skt.recv(MIB):
                received += len(data)
        serving.join(10)
        self.assertEqual((found, received), ([total], total))
        self.assertLess(running.memory() - before, 8 * MIB)
