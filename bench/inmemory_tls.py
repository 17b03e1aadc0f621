"""What our own code costs for HTTP over TLS, without sockets: a request on a kept connection, and whole connections.

The path of :mod:`bench.inmemory` with TLS below it. Python's own ``ssl`` is the client; only what the balancer does is in the figures. A connection
is its accept, handshake, one GET, its close; what OpenSSL computes for it is in it.

    .venv/bin/python bench/inmemory_tls.py                      # µs of process time per exchange, the least of the rounds
    .venv/bin/python bench/inmemory_tls.py --case resumed --profile 30
"""

from __future__ import annotations

import argparse
import cProfile
import pstats
import ssl
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from twisted.internet.task import Clock  # noqa: E402

from balancer.listeners.accept import Gate  # noqa: E402
from balancer.listeners.http.listener import HTTPListener  # noqa: E402
from balancer.net.memory import settle  # noqa: E402
from balancer.service.build import built, loaded  # noqa: E402
from bench.inmemory import ANSWER, CONFIGURATION, PEER, MemoryRuntime, Transport, request  # noqa: E402
from bench.load import identified  # noqa: E402

CLIENTS = 64
KINDS = ("get", "new", "resumed")
"""A request on a kept connection; a connection with a whole handshake, and one with a resumed, each with one request."""
_TLS = "    tls: {certificates: [{cert: cert.pem, key: key.pem}]}\n"


class SecureTransport(Transport):
    """Remembers what was written, and lets writers wait for the end of the batch."""

    def __init__(self, outbox: list[Any]) -> None:
        super().__init__()
        self.pieces: list[bytes] = []
        self._outbox = outbox

    def write(self, data: bytes) -> None:
        self.pieces.append(data)

    def join_batch(self, writer: Any) -> bool:
        self._outbox.append(writer)
        return True


class Client:
    """One client of ours."""

    def __init__(self, context: ssl.SSLContext, session: ssl.SSLSession | None) -> None:
        self._in, self._out = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self._in, self._out, server_hostname="bench.example", session=session)
        self.channel: Any = None

    def shake(self, came: bytes) -> bytes:
        """Return the next word of the handshake."""
        self._in.write(came)
        try:
            self.tls.do_handshake()
        except ssl.SSLWantReadError:
            pass
        return self._out.read()

    def ask(self, data: bytes) -> bytes:
        """Return a request, encrypted."""
        self.tls.write(data)
        return self._out.read()

    def hear(self, came: bytes) -> bytes:
        """Return what was answered."""
        self._in.write(came)
        try:
            return self.tls.read(65536)
        except ssl.SSLWantReadError:
            return b""


class Memory:
    """The HTTPS path, and what its batches have cost."""

    def __init__(self, directory: Path) -> None:
        self.clock = Clock()
        self.runtime = MemoryRuntime(self.clock)
        text = CONFIGURATION.format(log="/dev/null", routes="").replace("    routes:", _TLS + "    routes:")
        file = directory / "balancer.yaml"
        file.write_text(text)
        snapshot = built(loaded(file), self.runtime)
        self.runtime.use(snapshot)
        site: Any = snapshot.listeners["web"]
        self.listener = HTTPListener(self.clock, "web", (), site, Gate(), self.runtime.wheel)
        self.context = ssl.create_default_context(cafile=str(directory / "cert.pem"))
        self.context.set_alpn_protocols(["http/1.1"])
        self.outbox: list[Any] = []
        self.spent = 0
        self.profile: cProfile.Profile | None = None

    def timed(self, work: Callable[[], Any]) -> Any:
        """Do ``work``, and what it has put off, on the account."""
        if self.profile is not None:
            self.profile.enable()
        before = time.process_time_ns()
        result = work()
        for writer in self.outbox:
            writer._flush()
        self.outbox.clear()
        self.spent += time.process_time_ns() - before
        if self.profile is not None:
            self.profile.disable()
        return result

    def _receive(self, clients: list[Client], said: list[bytes]) -> None:
        for client, data in zip(clients, said, strict=True):
            client.channel.dataReceived(data)

    def _answer(self) -> None:
        asked, self.runtime.asked = self.runtime.asked, []
        for connection in asked:
            connection.dataReceived(ANSWER)
        self.clock.advance(CLIENTS / 20_000)

    def _accept(self, clients: list[Client]) -> None:
        for client in clients:
            client.channel = self.listener.buildProtocol(PEER)
            client.channel.makeConnection(SecureTransport(self.outbox))

    def _left(self, clients: list[Client]) -> None:
        for client in clients:
            client.channel.loseConnection()
            client.channel.connectionLost(None)
            client.channel = None

    @staticmethod
    def _written(client: Client) -> bytes:
        pieces = client.channel.transport.pieces
        data = b"".join(pieces)
        pieces.clear()
        return data

    def connect(self, sessions: list[Any]) -> list[Client]:
        """Connect clients that have these sessions, None for new ones."""
        clients = [Client(self.context, session) for session in sessions]
        self.timed(lambda: self._accept(clients))
        said = [client.shake(b"") for client in clients]
        self.timed(lambda: self._receive(clients, said))
        self.finals = [client.shake(self._written(client)) for client in clients]
        return clients

    def exchange(self, clients: list[Client], request: bytes, finals: list[bytes]) -> None:
        """Have each client ask once, after its last word of the handshake, if there is one."""
        said = [final + client.ask(request) for client, final in zip(clients, finals, strict=True)]
        self.timed(lambda: self._receive(clients, said))
        self.timed(self._answer)
        for client in clients:
            answer = client.hear(self._written(client))
            if b" 200 OK" not in answer[:16]:
                raise RuntimeError(f"answered with {answer!r}")

    def leave(self, clients: list[Client]) -> None:
        """Have the connections end."""
        self.timed(lambda: self._left(clients))


def measure(memory: Memory, case: str, rounds: int, batches: int) -> float:
    """Return µs of process time per exchange: the least of the rounds."""
    asked = request("/")
    found = []
    clients = memory.connect([None] * CLIENTS)
    memory.exchange(clients, asked, memory.finals)
    for _ in range(rounds):
        memory.spent = 0
        for _ in range(batches):
            if case == "get":
                memory.exchange(clients, asked, [b""] * CLIENTS)
            else:
                sessions = [client.tls.session if case == "resumed" else None for client in clients]
                memory.leave(clients)
                clients = memory.connect(sessions)
                memory.exchange(clients, asked, memory.finals)
                if clients[0].tls.session_reused != (case == "resumed"):
                    raise RuntimeError("not what was to be measured")
        found.append(memory.spent / batches / CLIENTS / 1000)
    memory.leave(clients)
    return min(found)


def main() -> int:
    """Measure the wanted cases, or profile them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--case", choices=KINDS, action="append", help="only this; may be repeated")
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--batches", type=int, default=8, help="of 64 connections, in each round")
    parser.add_argument("--profile", type=int, metavar="LINES", help="show cProfile's so many most expensive functions")
    wanted = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-") as scratch:
        directory = identified(Path(scratch))
        for case in wanted.case or KINDS:
            memory = Memory(directory)
            settle()
            if wanted.profile:
                memory.profile = cProfile.Profile()
            print(f"{case:12}{measure(memory, case, wanted.rounds, wanted.batches):8.2f} µs", flush=True)
            if memory.profile is not None:
                pstats.Stats(memory.profile).sort_stats("tottime").print_stats(wanted.profile)
    return 0


if __name__ == "__main__":
    sys.exit(main())
