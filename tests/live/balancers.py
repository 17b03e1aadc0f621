"""A real ``balancer run`` (or ``twistd balancer``) in a process of its own, and small servers to put behind it.

Everything here blocks: the test is the client, the balancer another process, servers are threads.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.live.processes import free_port

__all__ = ["BalancerTestCase", "Peer", "RunningBalancer", "Server", "wait_until"]

BIN = Path(sys.executable).parent
_PATIENCE = 20.0
_GRACE = 45.0
"""Seconds for a stop: more than the 30 s that exchanges in flight may take."""


def wait_until(condition: Callable[[], Any], seconds: float = _PATIENCE) -> Any:
    """Return what ``condition()`` returns once that is true; fails after so many seconds."""
    until = time.monotonic() + seconds
    while not (found := condition()):
        if time.monotonic() > until:
            raise AssertionError(f"still not so after {seconds:g} s")
        time.sleep(0.02)
    return found


class Peer:
    """A blocking socket with what a conversation needs."""

    def __init__(self, skt: socket.socket) -> None:
        self.skt = skt
        self.data = b""
        skt.settimeout(_PATIENCE)

    def send(self, data: bytes) -> None:
        self.skt.sendall(data)

    def until(self, mark: bytes) -> bytes:
        """Return what comes up to and with ``mark``."""
        while mark not in self.data:
            more = self.skt.recv(65536)
            if not more:
                raise EOFError(self.data)
            self.data += more
        at = self.data.index(mark) + len(mark)
        found, self.data = self.data[:at], self.data[at:]
        return found

    def exactly(self, size: int) -> bytes:
        while len(self.data) < size:
            more = self.skt.recv(65536)
            if not more:
                raise EOFError(self.data)
            self.data += more
        found, self.data = self.data[:size], self.data[size:]
        return found

    def rest(self) -> bytes:
        """Return everything until the other side closes, orderly or not."""
        while True:
            try:
                more = self.skt.recv(65536)
            except ConnectionResetError:
                break
            if not more:
                break
            self.data += more
        found, self.data = self.data, b""
        return found

    def head(self) -> bytes:
        return self.until(b"\r\n\r\n")

    def response(self) -> tuple[int, bytes, bytes]:
        """Return status, head and body of a response with Content-Length or none."""
        head = self.head()
        status = int(head.split(b" ", 2)[1])
        length = 0
        for line in head.split(b"\r\n")[1:]:
            name, _, value = line.partition(b":")
            if name.lower() == b"content-length":
                length = int(value)
        return status, head, self.exactly(length)

    def close(self) -> None:
        self.skt.close()

    def reset(self) -> None:
        """Close with RST."""
        self.skt.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
        self.skt.close()


class Server:
    """Calls ``talk(peer)`` in a thread for each connection, on ``port`` or one that stays free when it is closed."""

    def __init__(self, talk: Callable[[Peer], None], port: int = 0) -> None:
        self._talk = talk
        self._peers: list[Peer] = []
        self.threads: list[threading.Thread] = []
        self._listening = socket.create_server(("127.0.0.1", port or free_port()), backlog=128)
        self.port = self._listening.getsockname()[1]
        self.connections = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                skt, _ = self._listening.accept()
            except OSError:
                return
            self.connections += 1
            peer = Peer(skt)
            self._peers.append(peer)
            thread = threading.Thread(target=self._serve, args=(peer,), daemon=True)
            self.threads.append(thread)
            thread.start()

    def _serve(self, peer: Peer) -> None:
        try:
            self._talk(peer)
        except (OSError, EOFError):
            pass
        finally:
            peer.close()

    def close(self) -> None:
        try:
            self._listening.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self._listening.close()
        for peer in self._peers:
            peer.close()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"


class RunningBalancer:
    """The process, its ports by listener name, its access log."""

    def __init__(self, folder: Path, text: str, command: list[str] | None = None, **environment: str) -> None:
        self.folder = folder
        self.file = folder / "balancer.yaml"
        self.log = folder / "access.log"
        self.file.write_text(text)
        self.output = folder / "output.txt"
        command = command or [str(BIN / "balancer"), "run", str(self.file)]
        with self.output.open("ab") as output:
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd=folder,
                env=os.environ | environment,
            )

    @property
    def pid(self) -> int:
        return self.process.pid

    def wait_for(self, port: int) -> None:
        def up() -> bool:
            if self.process.poll() is not None:
                raise AssertionError(self.output.read_text())
            with socket.socket() as skt:
                return skt.connect_ex(("127.0.0.1", port)) == 0

        wait_until(up)

    def memory(self) -> int:
        """Return resident memory in bytes."""
        return int(Path(f"/proc/{self.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    def reload(self, text: str | None = None) -> None:
        if text is not None:
            self.file.write_text(text)
        self.process.send_signal(signal.SIGHUP)

    def records(self, count: int) -> list[dict[str, Any]]:
        """Return the access log, once it has so many lines."""

        def lines() -> list[str]:
            text = self.log.read_text() if self.log.exists() else ""
            found = text[: text.rfind("\n") + 1].splitlines()  # the last may be half written
            return found if len(found) >= count else []

        return [json.loads(line) for line in wait_until(lines)]

    def stop(self, sign: signal.Signals = signal.SIGTERM) -> int:
        """Stop it, and return its exit status."""
        if self.process.poll() is None:
            self.process.send_signal(sign)
        try:
            return self.process.wait(_GRACE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise


class BalancerTestCase(SynchronousTestCase):
    """Starts balancers and servers, and ends them with the test."""

    @cached_property
    def _opened(self) -> set[int]:
        """Ports that have been connected to."""
        return set()

    def folder(self) -> Path:
        folder = tempfile.TemporaryDirectory(prefix="balancer-test-")
        self.addCleanup(folder.cleanup)
        return Path(folder.name)

    def server(self, talk: Callable[[Peer], None], port: int = 0) -> Server:
        server = Server(talk, port)
        self.addCleanup(server.close)
        return server

    def run_balancer(self, text: str, *, command: list[str] | None = None, **environment: str) -> RunningBalancer:
        """Run the configuration ``text``, in which ``@log@`` is the access log's path."""
        folder = self.folder()
        running = RunningBalancer(folder, text.replace("@log@", str(folder / "access.log")), command, **environment)
        self.addCleanup(running.stop)
        return running

    def web(self, *servers: str, listener: str = "", pool: str = "", top: str = "") -> tuple[RunningBalancer, int]:
        """Run a balancer with one HTTP listener over ``servers``; return it and its port.

        ``listener``, ``pool`` and ``top`` are more lines of YAML for the listener, the pool, the top level.
        """
        port = free_port()
        text = (
            "access_log: {format: json, path: '@log@'}\ngraceful_timeout: 2s\n"
            + top
            + f"\nlisteners:\n  web:\n    bind: 127.0.0.1:{port}\n    protocol: http\n"
            + (_indented(listener, 4) if listener else "    pool: web\n")
            + f"pools:\n  web:\n    servers: [{', '.join(servers)}]\n"
            + _indented(pool, 4)
        )
        running = self.run_balancer(text)
        running.wait_for(port)
        return running, port

    def connect(self, port: int, source: str = "127.0.0.1") -> Peer:
        peer = Peer(socket.create_connection(("127.0.0.1", port), _PATIENCE, (source, 0)))
        self.addCleanup(peer.close)
        return peer

    def get(self, port: int, path: str = "/", method: str = "GET", body: Any = None, **headers: str) -> Any:
        """Ask once; returns the response, with ``body`` read, on a connection of its own. A port that has yet to be opened is waited for."""
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_PATIENCE)
        self.addCleanup(connection.close)
        if port not in self._opened:  # ports of metrics are opened after the listeners

            def connected() -> bool:
                with contextlib.suppress(ConnectionRefusedError):
                    connection.connect()
                return connection.sock is not None

            wait_until(connected)
            self._opened.add(port)
        connection.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
        response: Any = connection.getresponse()
        response.body = response.read()
        connection.close()
        return response


def _indented(text: str, by: int) -> str:
    return "".join(f"{' ' * by}{line}\n" for line in text.strip("\n").split("\n")) if text else ""


def answering(*pieces: bytes, seen: list[bytes] | None = None) -> Callable[[Peer], None]:
    """Return a server's part: for each request (without a body) say ``pieces``, and keep the request's head."""

    def talk(peer: Peer) -> None:
        while True:
            head = peer.head()
            if seen is not None:
                seen.append(head)
            for piece in pieces:
                peer.send(piece)

    return talk


OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@contextmanager
def stopped(pid: int) -> Iterator[None]:
    """Keep a process from running (SIGSTOP)."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)
