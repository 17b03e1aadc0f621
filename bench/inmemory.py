"""What our own code costs for one HTTP exchange, without sockets: for tuning, and for looking at with a profiler.

The real channel, walk, pool, log and metrics of a real configuration run between two kinds of transports that only
remember what was written: 64 client connections are given a request each, then the server connections that were
written to are given the answer. What the kernel does, and the reactor, is not in it.

    .venv/bin/python bench/inmemory.py                      # µs of process time per exchange, the least of the rounds
    .venv/bin/python bench/inmemory.py --case varying --profile 30
"""

from __future__ import annotations

import argparse
import cProfile
import os
import pstats
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from balancer.forwarding.server_connection import ServerConnection  # noqa: E402
from balancer.forwarding.server_side import ServerSide  # noqa: E402
from balancer.listeners.accept import Gate  # noqa: E402
from balancer.listeners.http.listener import HTTPListener  # noqa: E402
from balancer.net.memory import settle  # noqa: E402
from balancer.pools.server import Server  # noqa: E402
from balancer.service.build import built, loaded  # noqa: E402
from balancer.service.runtime import Runtime  # noqa: E402

CLIENTS = 64
_TURN = CLIENTS / 20_000
"""Seconds that pass, for timers, with each batch: at 20,000 requests per second."""
_HOST = IPv4Address("TCP", "127.0.0.1", 8080)
PEER = IPv4Address("TCP", "127.0.0.1", 40000)
ANSWER = (
    b"HTTP/1.1 200 OK\r\nServer: nginx/1.22.1\r\nDate: Mon, 01 Jan 2024 00:00:00 GMT\r\nContent-Type: text/plain\r\n"
    b"Content-Length: 100\r\nConnection: keep-alive\r\n\r\n" + b"x" * 100
)


class Transport:
    """A connection that is always writable: counts what was written, and tells ``wrote`` of it."""

    connected = True
    disconnecting = False
    queued = 0

    def __init__(self, wrote: Callable[[], None] | None = None) -> None:
        self.written = 0
        self.last = b""
        self._wrote = wrote

    def write(self, data: bytes) -> None:
        self.written += 1
        self.last = data
        if self._wrote is not None:
            self._wrote()

    def getPeer(self) -> IPv4Address:
        return PEER

    def getHost(self) -> IPv4Address:
        return _HOST

    def getHandle(self) -> Any:
        return self

    def recv(self, size: int, flags: int) -> bytes:
        """Say that the peer is there and silent, when a kept connection is looked at before use."""
        raise BlockingIOError

    def registerProducer(self, producer: Any, streaming: bool) -> None: ...
    def unregisterProducer(self) -> None: ...
    def pauseProducing(self) -> None: ...
    def resumeProducing(self) -> None: ...
    def loseConnection(self) -> None: ...
    def abortConnection(self) -> None: ...


class MemoryRuntime(Runtime):
    """Connects to servers that are not there; ``asked`` holds the connections that wait for an answer."""

    def __init__(self, clock: Clock) -> None:
        super().__init__(clock)
        self.asked: list[ServerConnection] = []

    def connect_http(self, server: Server, timeout: float, *, alone: bool = False) -> Deferred[ServerSide]:
        connection = ServerConnection(server, self.wheel)
        connection.makeConnection(Transport(lambda: self.asked.append(connection)))
        connection.expires = float("inf")
        made: ServerSide = connection
        return succeed(made)


def request(path: str, more: str = "") -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: bench.example\r\nUser-Agent: bench/1.0\r\nAccept: */*\r\n{more}\r\n".encode()


_BROWSER = (
    "Accept-Language: en-GB,en;q=0.5\r\nAccept-Encoding: gzip, deflate, br\r\nCookie: session=0123456789abcdef; theme=dark\r\n"
    "Referer: https://bench.example/start\r\nSec-Fetch-Dest: document\r\nSec-Fetch-Mode: navigate\r\nCache-Control: no-cache\r\n"
)
_BODY = b"y" * 1024
_POST = b"POST / HTTP/1.1\r\nHost: bench.example\r\nContent-Length: 1024\r\n\r\n" + _BODY

CASES: dict[str, Callable[[int], bytes]] = {
    "repeating": lambda _: request("/"),
    "varying": lambda number: request(f"/items/{number % 5000}?q={number}", f"X-Number: {number}\r\n"),
    "browser": lambda number: request("/", f"{_BROWSER}X-Number: {number}\r\n"),
    "post": lambda _: _POST,
}
"""What the request with that number is: the same each time; of another path and heads; with many headers; 1 KiB long."""

CONFIGURATION = """
access_log: {{format: json, path: {log}}}
listeners:
  web:
    bind: "127.0.0.1:0"
    protocol: http
    routes:
{routes}
      - pool: web
pools:
  web: {{servers: ["127.0.0.1:1"]}}
"""


class Memory:
    """The HTTP path of a configuration with so many routes besides the one that serves."""

    def __init__(self, routes: int = 0, log: str = os.devnull) -> None:
        self.clock = Clock()
        self.runtime = MemoryRuntime(self.clock)
        lines = [
            f'      - {{match: {{host: h{number}.example, path: "/p{number}/**"}}, pool: web}}'
            for number in range(routes)
        ]
        with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
            file.write(CONFIGURATION.format(log=log, routes="\n".join(lines)))
            file.flush()
            snapshot = built(loaded(Path(file.name)), self.runtime)
        self.runtime.use(snapshot)
        site: Any = snapshot.listeners["web"]
        self.listener = HTTPListener(self.clock, "web", (), site, Gate(), self.runtime.wheel)
        self.channels: list[Any] = []
        for _ in range(CLIENTS):
            channel: Any = self.listener.buildProtocol(PEER)
            channel.makeConnection(Transport())
            self.channels.append(channel)

    def exchange(self, requests: list[bytes]) -> None:
        """Serve ``requests``, a batch of the connections at a time."""
        channels, runtime = self.channels, self.runtime
        for start in range(0, len(requests), CLIENTS):
            for channel, request in zip(channels, requests[start : start + CLIENTS], strict=False):
                channel.dataReceived(request)
            asked, runtime.asked = runtime.asked, []
            for connection in asked:
                connection.dataReceived(ANSWER)
            self.clock.advance(_TURN)  # what is put off until later is done, and paid for, here

    def check(self, expected: int) -> None:
        """Raise RuntimeError unless the clients were given so many responses, and the last of each is a good one."""
        found = sum(channel.transport.written for channel in self.channels)
        wrong = [each.transport.last for each in self.channels if b" 200 " not in each.transport.last[:16]]
        if wrong or found != expected:
            raise RuntimeError(f"{found} answers for {expected} requests, such as {(wrong or [b''])[0]!r}")


def measure(case: str, rounds: int, exchanges: int, routes: int) -> float:
    """Return µs of process time per exchange: the least of the rounds, which is what disturbs least."""
    memory, make, found = Memory(routes), CASES[case], []
    memory.exchange([make(number) for number in range(CLIENTS * 4)])
    memory.check(CLIENTS * 4)
    settle()
    for turn in range(rounds):
        requests = [make(turn * exchanges + number) for number in range(exchanges)]
        before = time.process_time_ns()
        memory.exchange(requests)
        found.append((time.process_time_ns() - before) / exchanges / 1000)
    memory.check(CLIENTS * 4 + rounds * exchanges)
    return min(found)


def _profile(case: str, exchanges: int, routes: int, lines: int) -> None:
    memory, make = Memory(routes), CASES[case]
    requests = [make(number) for number in range(exchanges)]
    memory.exchange(requests[: CLIENTS * 4])
    settle()
    profile = cProfile.Profile()
    profile.runcall(memory.exchange, requests)
    pstats.Stats(profile).sort_stats("tottime").print_stats(lines)


def main() -> int:
    """Measure the wanted cases, or profile them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--case", choices=CASES, action="append", help="only this; may be repeated")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--exchanges", type=int, default=6400, help="in each round")
    parser.add_argument("--routes", type=int, default=0, help="so many routes besides the one that serves")
    parser.add_argument("--profile", type=int, metavar="LINES", help="show cProfile's so many most expensive functions")
    parser.add_argument("--forever", action="store_true", help="do not end: for py-spy, perf and the like")
    wanted = parser.parse_args()
    for case in wanted.case or CASES:
        if wanted.profile:
            _profile(case, wanted.exchanges, wanted.routes, wanted.profile)
            continue
        while True:
            print(f"{case:12}{measure(case, wanted.rounds, wanted.exchanges, wanted.routes):8.2f} µs", flush=True)
            if not wanted.forever:
                break
    return 0


if __name__ == "__main__":
    sys.exit(main())
