"""A server of HTTP/1.1 that fails on command, in a process of its own: so that it can be stopped as well.

::

    python server.py NAME PORT      reads a mode from each line of its input; `count` has it print how many requests it got

    ok       answers with its name in X-Server, after 5 to 15 ms, as do those below where they answer
    refuse   does not listen, and has reset what was open
    hang     takes connections and requests, and says nothing
    full     takes no connection, its backlog is full; says nothing on those it has
    reset    resets the connection when it has read a request
    cut      resets it in the middle of the body
    slow     answers after 300 ms
    busy     answers 503
    errors   answers 500 to one request in a hundred
    spikes   answers nothing in 200 ms of each 700, and all of it after them
    flapping refuses for 400 ms of each 800

What it answers to /health goes with its mode where the whole server fails; those that only answer badly find themselves well.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import socket
import struct
import subprocess
import sys
from collections.abc import Callable

__all__ = ["MODES", "FailingServer"]

MODES = ("ok", "refuse", "hang", "full", "reset", "cut", "slow", "busy", "errors", "spikes", "flapping")

_BODY = b"x" * 2000
_RESET = struct.pack("ii", 1, 0)
_WORK, _SLOW = 0.01, 0.3
_SPIKE, _BETWEEN = 0.2, 0.5
_FLAP = 0.4


class _Connection(asyncio.Protocol):
    def __init__(self, server: _Server) -> None:
        self._server = server
        self._received = b""
        self._waiting = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self._server.connections.add(self)

    def connection_lost(self, _error: Exception | None) -> None:
        self._server.connections.discard(self)

    def data_received(self, data: bytes) -> None:
        self._received += data
        while not self.transport.is_closing():
            head, end, rest = self._received.partition(b"\r\n\r\n")
            if not end:
                return
            length = 0
            for line in head.split(b"\r\n")[1:]:
                name, _, value = line.partition(b":")
                if name.lower() == b"content-length":
                    length = int(value)
            if len(rest) < length:
                return
            self._received = rest[length:]
            self._server.asked(self, head.split(b" ", 2)[1])

    def answer(self, status: bytes, body: bytes, cut: int = 0) -> None:
        if self.transport.is_closing():
            return
        head = b"HTTP/1.1 %b\r\nContent-Type: text/plain\r\nX-Server: %b\r\nContent-Length: %d\r\n\r\n"
        whole = head % (status, self._server.name, len(body)) + body
        self.transport.write(whole[:-cut] if cut else whole)

    def reset(self) -> None:
        found = self.transport.get_extra_info("socket")
        with contextlib.suppress(OSError):
            found.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self.transport.abort()


class _Server:
    def __init__(self, name: str, port: int) -> None:
        self.name = name.encode()
        self.connections: set[_Connection] = set()
        self.count = 0
        self._port = port
        self._mode = "ok"
        self._listening: asyncio.Server | None = None
        self._held: list[Callable[[], None]] = []
        self._stalled = False
        self._timer: asyncio.TimerHandle | None = None
        self._filling: list[socket.socket] = []
        self._loop = asyncio.get_running_loop()

    async def listen(self) -> None:
        if self._listening is None:
            self._listening = await self._loop.create_server(lambda: _Connection(self), "127.0.0.1", self._port)

    def refuse(self) -> None:
        if self._listening is not None:
            self._listening.close()
            self._listening = None
        for connection in tuple(self.connections):
            connection.reset()

    async def become(self, mode: str) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for each in self._filling:
            each.close()
        self._filling.clear()
        was, self._mode, self._stalled = self._mode, mode, False
        if was == "full":
            self._stop_listening()
        held, self._held = self._held, []
        for answer in held:
            answer()
        if mode == "refuse":
            self.refuse()
            return
        await self.listen()
        if mode == "full":
            await self._fill()
        elif mode == "spikes":
            self._stall()
        elif mode == "flapping":
            self._flap()

    def _stop_listening(self) -> None:
        if self._listening is not None:
            self._listening.close()
            self._listening = None

    async def _fill(self) -> None:
        """Listen with no room, and take up what room there is."""
        self._stop_listening()
        blocked = socket.socket()
        blocked.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        blocked.bind(("127.0.0.1", self._port))
        blocked.listen(0)
        self._filling.append(blocked)
        for _ in range(4):
            knocking = socket.socket()
            knocking.setblocking(False)
            knocking.connect_ex(("127.0.0.1", self._port))
            self._filling.append(knocking)

    def _stall(self) -> None:
        self._stalled = not self._stalled
        if not self._stalled:
            held, self._held = self._held, []
            for answer in held:
                answer()
        self._timer = self._loop.call_later(_SPIKE if self._stalled else _BETWEEN, self._stall)

    def _flap(self) -> None:
        async def change() -> None:
            if self._listening is None:
                await self.listen()
            else:
                self.refuse()

        self._flapping = self._loop.create_task(change())
        self._timer = self._loop.call_later(_FLAP, self._flap)

    def asked(self, connection: _Connection, path: bytes) -> None:
        mode, is_probe = self._mode, path == b"/health"
        if not is_probe:
            self.count += 1
        if mode in ("hang", "full") or self._stalled:
            self._held.append(lambda: connection.answer(b"200 OK", _BODY))
        elif mode == "reset":
            connection.reset()
        elif is_probe:
            connection.answer(b"200 OK", b"well")
        elif mode == "cut":
            connection.answer(b"200 OK", _BODY, cut=1000)
            self._loop.call_later(0.005, connection.reset)
        elif mode == "slow":
            self._loop.call_later(_SLOW, connection.answer, b"200 OK", _BODY)
        elif mode == "busy":
            connection.answer(b"503 Service Unavailable", b"busy")
        elif mode == "errors" and self.count % 100 == 0:
            connection.answer(b"500 Internal Server Error", b"no")
        else:
            self._loop.call_later(_WORK * random.uniform(0.5, 1.5), connection.answer, b"200 OK", _BODY)


async def _serve(name: str, port: int) -> None:
    server = _Server(name, port)
    await server.listen()
    commands = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(commands), sys.stdin)
    print("ready", flush=True)
    while line := (await commands.readline()).decode().strip():
        if line == "count":
            print(json.dumps(server.count), flush=True)
        else:
            await server.become(line)
            print("done", flush=True)


class FailingServer:
    """Such a process, as whoever started it sees it: :meth:`become`, and count. ``process`` may be stopped, or killed."""

    def __init__(self, name: str, port: int) -> None:
        self.name = name
        self.port = port
        self.process = subprocess.Popen(
            [sys.executable, __file__, name, str(port)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self._answer()

    def become(self, mode: str) -> None:
        """Fail in this way from now on; returns when it does."""
        assert mode in MODES, mode
        self._ask(mode)

    def count(self) -> int:
        """Return how many requests came to it so far, those for its health left out."""
        return int(self._ask("count"))

    def _ask(self, line: str) -> str:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{line}\n")
        self.process.stdin.flush()
        return self._answer()

    def _answer(self) -> str:
        assert self.process.stdout is not None
        line = self.process.stdout.readline().strip()
        if not line:
            raise RuntimeError(f"server {self.name} has ended")
        return line

    def end(self) -> None:
        """End the process, whatever state it is in."""
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            assert pipe is not None
            pipe.close()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_serve(sys.argv[1], int(sys.argv[2])))
