"""Pieces for the tests of pools: servers, facts and draws in one line each."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from twisted.internet.task import Clock

from balancer.hooks.interfaces import Choice
from balancer.model.address import Address, Peer
from balancer.model.facts import RequestFacts, SessionFacts
from balancer.pools.algorithms.p2c import P2C
from balancer.pools.events import PoolEvent
from balancer.pools.guarded import GuardedPool
from balancer.pools.pool import Pool
from balancer.pools.server import Server

LOCAL = Peer("192.0.2.1", 80)


def server(name: str, weight: int = 1, **settings: Any) -> Server:
    """A server called ``name``, at an address of its own."""
    number = sum(ord(letter) * 7**at for at, letter in enumerate(name)) % 60000 + 1
    return Server(Address("127.0.0.1", number), name, weight=weight, **settings)


def servers(weights: str | Sequence[int]) -> list[Server]:
    """Servers: ``"abc"`` of weight 1, or called s0, s1, … with the weights given."""
    if isinstance(weights, str):
        return [server(name) for name in weights]
    return [server(f"s{index}", weight) for index, weight in enumerate(weights)]


def session(ip: str = "10.0.0.1") -> SessionFacts:
    """What is known of a TCP connection from ``ip``."""
    return SessionFacts(Peer(ip, 40000), LOCAL)


def request(ip: str = "10.0.0.1", target: str = "/", method: str = "GET", **headers: str) -> RequestFacts:
    """What is known of a request with these headers (``_`` stands for ``-``)."""
    raw = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return RequestFacts(method, target, raw, Peer(ip, 40000), LOCAL)


def draws(seed: int = 1) -> Callable[[], float]:
    """The same numbers each time."""
    return random.Random(seed).random


def never() -> float:
    """For algorithms that must not draw."""
    raise AssertionError("no randomness was expected")


def keys(count: int) -> list[bytes]:
    """Keys like those that clients have."""
    return [f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}".encode() for number in range(count)]


def first(algorithm: Any, key: bytes | None = None, draw: Callable[[], float] = never, now: float = 0.0) -> str:
    """The name of the server that ``algorithm`` prefers."""
    return str(next(iter(algorithm.candidates(Choice(key, draw, now)))).name)


def order(algorithm: Any, key: bytes | None = None, draw: Callable[[], float] = never) -> list[str]:
    """The names of all servers, in the order of preference."""
    return [candidate.name for candidate in algorithm.candidates(Choice(key, draw, 0.0))]


def shares(algorithm: Any, count: int, **options: Any) -> Counter[str]:
    """How often each server is preferred in ``count`` choices."""
    return Counter(first(algorithm, **options) for _ in range(count))


def key_shares(algorithm: Any, some: Iterable[bytes]) -> Counter[str]:
    """How many of the keys each server gets."""
    return Counter(first(algorithm, key) for key in some)


class Kept:
    """A connection that waits for an exchange."""

    expires = float("inf")
    whom = b""
    closed = False

    def close(self) -> None:
        """Note it."""
        self.closed = True


class Watched:
    """A pool on a clock, with its events."""

    made: type[Pool] = Pool

    def __init__(self, members: str | Sequence[Server] = "abc", algorithm: Any = None, **options: Any) -> None:
        self.clock: Clock = options.pop("clock", None) or Clock()
        self.events: list[PoolEvent] = []
        self.servers = servers(members) if isinstance(members, str) else list(members)
        options.setdefault("draw", draws())
        self.pool = self.made(
            "web", self.servers, algorithm or P2C(), clock=self.clock, observer=self.events.append, **options
        )

    def kinds(self) -> list[str]:
        """The kinds of the events so far, which are then forgotten."""
        kinds = [event.kind for event in self.events]
        self.events.clear()
        return kinds

    def chosen(self, count: int = 200, facts: Any = None) -> set[str]:
        """The names of those that get traffic."""
        found = set()
        for _ in range(count):
            chosen = self.pool.choose(facts or session())
            if chosen is not None:
                found.add(chosen.name)
        return found

    def fail(self, one: Server, times: int = 1) -> None:
        """Let ``one`` fail that many exchanges."""
        for _ in range(times):
            self.pool.begin(one)
            self.pool.end(one, -1.0, ok=False)

    def succeed(self, one: Server) -> None:
        """Let ``one`` serve an exchange."""
        self.pool.begin(one)
        self.pool.end(one, 0.01, ok=True)


class Guarded(Watched):
    """The same of a pool with policies."""

    pool: GuardedPool
    made = GuardedPool
