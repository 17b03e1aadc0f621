"""Requests at a steady rate, whatever becomes of them: so that who waits does not keep others from coming.

The time that a request took counts from when it was due.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

__all__ = ["Answer", "ask", "quantile"]

_PATIENCE = 5.0
"""Seconds after which a client gives up."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of one request: seconds since the load began, 0 for the status where there was no whole answer."""

    due: float
    method: str
    status: int
    seconds: float
    server: str

    @property
    def well(self) -> bool:
        """Whether it is a good one."""
        return self.status == 200


class _Client(asyncio.Protocol):
    """One connection: one request at a time; ``told`` gets the status and the server's name."""

    def __init__(self) -> None:
        self.told: Callable[[int, str], None] | None = None
        self.open = True
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def send(self, request: bytes, told: Callable[[int, str], None]) -> None:
        self.told = told
        self._received = b""
        self.transport.write(request)

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, end, rest = self._received.partition(b"\r\n\r\n")
        if not end:
            return
        lines = head.split(b"\r\n")
        fields = dict(line.lower().split(b": ", 1) for line in lines[1:] if b": " in line)
        length = int(fields.get(b"content-length", b"-1"))
        if 0 <= length <= len(rest):
            if fields.get(b"connection") == b"close":
                self.open = False
            self._tell(int(lines[0].split(b" ")[1]), fields.get(b"x-server", b"").decode())

    def connection_lost(self, error: Exception | None) -> None:
        self.open = False
        self._tell(0, "")

    def give_up(self) -> None:
        self.transport.abort()

    def _tell(self, status: int, server: str) -> None:
        told, self.told = self.told, None
        if told is not None:
            told(status, server)


class _Load:
    def __init__(self, port: int, rate: float) -> None:
        self.answers: list[Answer] = []
        self._port = port
        self._rate = rate
        self._idle: list[_Client] = []
        self._began = 0.0
        self._flying: set[asyncio.Task[None]] = set()

    async def run(self, seconds: float, posts: int) -> None:
        loop = asyncio.get_running_loop()
        self._began = time.monotonic()
        for number in range(int(seconds * self._rate)):
            due = number / self._rate
            wait = self._began + due - time.monotonic()
            if wait > 0:
                await asyncio.sleep(wait)
            task = loop.create_task(self._one(due, "POST" if number % posts == posts - 1 else "GET", number))
            self._flying.add(task)
            task.add_done_callback(self._flying.discard)
        if self._flying:
            await asyncio.wait(tuple(self._flying))

    async def _one(self, due: float, method: str, number: int) -> None:
        loop = asyncio.get_running_loop()
        ended: asyncio.Future[tuple[int, str]] = loop.create_future()
        client: _Client | None = None
        try:
            async with asyncio.timeout(_PATIENCE):
                while self._idle and (client is None or not client.open):
                    client = self._idle.pop()
                if client is None or not client.open:
                    _, client = await loop.create_connection(_Client, "127.0.0.1", self._port)
                body = b"Content-Length: 5\r\n\r\nhello" if method == "POST" else b"\r\n"
                head = b"%b /%d HTTP/1.1\r\nHost: failing.example\r\n" % (method.encode(), number)
                client.send(head + body, lambda *told: None if ended.done() else ended.set_result(told))
                status, server = await ended
        except (OSError, TimeoutError):
            status, server = 0, ""
            if client is not None:
                client.give_up()
        self.answers.append(Answer(due, method, status, time.monotonic() - self._began - due, server))
        if client is not None and client.open:
            self._idle.append(client)


async def ask(port: int, seconds: float, rate: float, posts: int = 10) -> list[Answer]:
    """Ask so many times a second, one request in ``posts`` a POST; returns what became of all, in the order in which they ended."""
    load = _Load(port, rate)
    await load.run(seconds, posts)
    for client in load._idle:
        client.give_up()
    return load.answers


def quantile(values: Iterable[float], share: float) -> float:
    """Return what ``share`` of the values are no greater than."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0
