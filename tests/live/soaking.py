"""A balancer under load of every kind while its configuration is changed again and again; used by ``tests/soak.py`` too.

What must never happen is collected in :attr:`Soak.failures`: a request that fails, a kept connection, WebSocket, TCP
session or UDP flow that is dropped, a reload that is not answered as it should be. Servers that are stopped and killed
have a pool of their own, whose clients only must be served again afterwards.
"""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tests.live.balancers import OK, Peer, RunningBalancer, Server, wait_until
from tests.live.processes import free_port
from tests.live.ws_frames import framed

__all__ = ["SWITCHED", "UPGRADE", "Soak"]

_GET = b"GET /%d HTTP/1.1\r\nHost: a\r\n\r\n"
UPGRADE = (
    b"GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)
SWITCHED = (
    b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"
)
"""The answer to :data:`UPGRADE` (the example of RFC 6455 section 1.3)."""
_FRAIL = """
import contextlib, socket, sys, threading
def serve(skt):
    with skt, contextlib.suppress(OSError):
        while skt.recv(65536):
            skt.sendall(b"HTTP/1.1 200 OK\\r\\nContent-Length: 2\\r\\n\\r\\nok")
listening = socket.create_server(("127.0.0.1", int(sys.argv[1])), backlog=128)
while True:
    threading.Thread(target=serve, args=(listening.accept()[0],), daemon=True).start()
"""


def _web(peer: Peer) -> None:
    """A server: keep-alive, bodies with Content-Length, an echo after an upgrade."""
    while True:
        head = peer.head()
        if b"Upgrade: websocket" in head:
            peer.send(SWITCHED)
            _echo(peer)
            return
        for line in head.split(b"\r\n"):
            if line.lower().startswith(b"content-length:"):
                peer.exactly(int(line.split(b":")[1]))
        peer.send(OK)


def _echo(peer: Peer) -> None:
    while data := peer.data or peer.skt.recv(65536):
        peer.data = b""
        peer.send(data)


class _Admin(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=60)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(60)
        self.sock.connect(str(self._path))


class Soak:
    """Servers, clients and a balancer in ``folder``; ``clients`` of each kind.

    ``counts`` says what was done, ``memory`` the balancer's resident bytes after each round of reloads.
    """

    def __init__(self, folder: Path, clients: int = 4) -> None:
        self.counts: Counter[str] = Counter()
        self.failures: list[str] = []
        self.memory: list[int] = []
        self._over = threading.Event()
        self._threads: list[threading.Thread] = []
        self._servers = [Server(_web), Server(_web), Server(_echo)]
        self._datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._datagrams.bind(("127.0.0.1", 0))
        threading.Thread(target=self._echo_datagrams, daemon=True).start()
        self._ports = {name: free_port() for name in ("web", "tcp", "frail", "frail_server", "extra")}
        self._ports["udp"] = free_port()
        self._socket = folder / "admin.sock"
        self._log = folder / "access.log"
        self._frail: subprocess.Popen[bytes] | None = None
        self._start_frail()
        self.running = RunningBalancer(folder, self._text(0))
        self.running.wait_for(self._ports["web"])
        wait_until(self._socket.exists)
        kinds: tuple[Callable[[], None], ...] = (
            self._requests,
            self._uploads,
            self._websocket,
            self._session,
            self._flow,
        )
        for kind in kinds:
            for _ in range(clients):
                self._spawn(kind)
        self._spawn(self._strangers)

    def _spawn(self, kind: Callable[[], None]) -> None:
        def guarded() -> None:
            try:
                kind()
            except Exception as error:  # whatever goes wrong for a client is what is looked for
                self.failures.append(f"{kind.__name__}: {type(error).__name__}: {error}")

        thread = threading.Thread(target=guarded, daemon=True)
        self._threads.append(thread)
        thread.start()

    # The configuration, which changes.

    def _text(self, turn: int) -> str:
        """Return the configuration of so-and-so-many turns; every fourth is broken."""
        ports, first, second = self._ports, self._servers[0].address, self._servers[1].address
        if turn % 4 == 3:
            return "listeners: {web: {bind: 'x'}}\n" if turn % 8 == 3 else "listeners: {"
        weights = (
            f"[{{address: '{first}', weight: {1 + turn % 3}}}, '{second}']" if turn % 3 else f"['{second}', '{first}']"
        )
        routes = "".join(f"      - {{match: {{path: /r{turn}-{at}/**}}, pool: p{at % 3}}}\n" for at in range(turn % 7))
        extra = f"  extra: {{bind: '127.0.0.1:{ports['extra']}', protocol: http, pool: web}}\n" if turn % 2 else ""
        pools = "".join(f"  p{at}: {{servers: ['{first}'], health: {{probe: tcp, interval: 1s}}}}\n" for at in range(3))
        algorithm = ("round_robin", "p2c", "least_conn", "ewma")[turn % 4]
        return f"""
access_log: {{format: json, path: {self._log}}}
admin: {{bind: 'unix:{self._socket}'}}
limits: {{connections: 5000, shed_after: false}}
graceful_timeout: 2s
listeners:
  web:
    bind: 127.0.0.1:{ports["web"]}
    protocol: http
    routes:
{routes}      - {{pool: web}}
  tcp: {{bind: '127.0.0.1:{ports["tcp"]}', protocol: tcp, pool: tcp}}
  udp: {{bind: '127.0.0.1:{ports["udp"]}', protocol: udp, pool: udp}}
  frail: {{bind: '127.0.0.1:{ports["frail"]}', protocol: http, pool: frail}}
{extra}
pools:
  web: {{servers: {weights}, algorithm: {algorithm}}}
  tcp: {{servers: ['{self._servers[2].address}']}}
  udp: {{servers: ['127.0.0.1:{self._datagrams.getsockname()[1]}']}}
  frail:
    servers: ['127.0.0.1:{ports["frail_server"]}']
    timeouts: {{connect: 500ms, first_byte: 500ms}}
    health: {{probe: tcp, interval: 1s, timeout: 500ms, rise: 1, fall: 2}}
{pools}
"""

    def reload(self, turn: int) -> None:
        """Write the configuration of this turn and have it read; what comes of it is checked."""
        self.running.file.write_text(self._text(turn))
        broken = turn % 4 == 3
        status, answer = self.ask("POST", "/reload")
        if status != (422 if broken else 200):
            self.failures.append(f"reload {turn}: {status} {answer}")
        self.counts["reloads refused" if broken else "reloads"] += 1
        if not broken and turn % 2:
            with socket.create_connection(("127.0.0.1", self._ports["extra"]), 20) as skt:
                peer = Peer(skt)
                peer.send(_GET % turn)
                if peer.response()[0] != 200:
                    self.failures.append(f"reload {turn}: the added listener does not serve")
        if turn % 5 == 4:
            self.memory.append(self.running.memory())

    def ask(self, method: str, path: str) -> tuple[int, Any]:
        """Ask the admin API."""
        admin = _Admin(self._socket)
        try:
            admin.request(method, path)
            response = admin.getresponse()
            return response.status, json.loads(response.read())
        finally:
            admin.close()

    # The clients.

    def _turns(self) -> Iterator[int]:
        turn = 0
        while not self._over.is_set():
            turn += 1
            yield turn

    def _connect(self, listener: str) -> Peer:
        return Peer(socket.create_connection(("127.0.0.1", self._ports[listener]), 20))

    def _requests(self) -> None:
        """A kept connection: a request after the other."""
        peer = self._connect("web")
        for turn in self._turns():
            peer.send(_GET % turn)
            status, head, body = peer.response()
            if (status, body) != (200, b"ok") or b"Connection: close" in head:
                raise AssertionError(head)
            self.counts["requests"] += 1

    def _uploads(self) -> None:
        """Bodies, in pieces, on connections that are used three times."""
        for turn in self._turns():
            peer = self._connect("web")
            for _ in range(3):
                peer.send(b"POST /%d HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n" % turn)
                for _ in range(10):
                    peer.send(b"x" * 10000)
                if peer.response()[0] != 200:
                    raise AssertionError("an upload was not answered with 200")
                self.counts["uploads"] += 1
            peer.close()

    def _websocket(self) -> None:
        peer = self._connect("web")
        peer.send(UPGRADE)
        if b" 101 " not in peer.head():
            raise AssertionError("no upgrade")
        self._conversation(peer, "messages", lambda said: framed(2, said, mask=True))

    def _session(self) -> None:
        self._conversation(self._connect("tcp"), "session messages")

    def _conversation(self, peer: Peer, what: str, put: Callable[[bytes], bytes] = bytes) -> None:
        for turn in self._turns():
            said = put(b"%d;" % turn * (1 + turn % 500))
            peer.send(said)
            if peer.exactly(len(said)) != said:
                raise AssertionError("other bytes came back")
            self.counts[what] += 1

    def _flow(self) -> None:
        """A UDP flow: the server must see one and the same client all the time. A lost datagram is sent again."""
        seen = None
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as skt:
            skt.settimeout(0.5)
            for _ in self._turns():
                skt.sendto(b"?", ("127.0.0.1", self._ports["udp"]))
                try:
                    answer = skt.recv(100)
                except TimeoutError:
                    self.counts["datagrams lost"] += 1
                    continue
                if seen not in (None, answer):
                    raise AssertionError(f"the flow was dropped: {seen!r} became {answer!r}")
                seen = answer
                self.counts["datagrams"] += 1

    def _echo_datagrams(self) -> None:
        while True:
            try:
                _, source = self._datagrams.recvfrom(100)
                self._datagrams.sendto(repr(source).encode(), source)
            except OSError:
                return

    def _strangers(self) -> None:
        """Clients that vanish: before a request, in the middle of one, without taking the answer."""
        for turn in self._turns():
            peer = self._connect("web")
            peer.send(
                (b"", b"GET / HT", _GET % turn, b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nx")[turn % 4]
            )
            (peer.reset if turn % 3 else peer.close)()
            self.counts["strangers"] += 1
            time.sleep(0.01)

    # A server that fails.

    def _start_frail(self) -> None:
        self._frail = subprocess.Popen(
            [sys.executable, "-c", _FRAIL, str(self._ports["frail_server"])], stdin=subprocess.DEVNULL
        )

    def frail_answers(self) -> int:
        """Return the status of a request to the server that fails now and then."""
        peer = self._connect("frail")
        try:
            peer.send(_GET % 0)
            return peer.response()[0]
        finally:
            peer.close()

    def trouble(self, kind: str) -> None:
        """Stop (SIGSTOP) or kill (SIGKILL) the frail server under load, bring it back; it must serve again by itself."""
        frail = self._frail
        assert frail is not None
        wait_until(lambda: self.frail_answers() == 200)
        os.kill(frail.pid, signal.SIGSTOP if kind == "stop" else signal.SIGKILL)
        if kind == "stop":
            wait_until(lambda: _state_of(frail.pid) == "T")
        found = {self.frail_answers() for _ in range(3)}
        if not found <= {502, 503, 504}:
            self.failures.append(f"{kind}: {found}")
        if kind == "stop":
            os.kill(frail.pid, signal.SIGCONT)
        else:
            frail.wait()
            self._start_frail()
        wait_until(lambda: self.frail_answers() == 200)
        self.counts[f"times a server was {'stopped' if kind == 'stop' else 'killed'}"] += 1

    # The end.

    def end(self) -> None:
        """End the clients, and look whether every connection is gone; then end the balancer and the servers."""
        self._over.set()
        for thread in self._threads:
            thread.join(30)
            if thread.is_alive():
                self.failures.append("a client hangs")
        try:
            if not self.failures:
                wait_until(self._nobody_is_left)
        finally:
            self.close()
        said = self.running.output.read_text()
        if "Traceback" in said:
            self.failures.append(said[-4000:])

    def _nobody_is_left(self) -> bool:
        listeners = self.ask("GET", "/status")[1]["listeners"]
        return all(each["connections"] == 0 for each in listeners if each["protocol"] != "udp")

    def close(self) -> None:
        """End everything at once."""
        self._over.set()
        self.running.stop()
        for server in self._servers:
            server.close()
        self._datagrams.close()
        if self._frail is not None:
            self._frail.kill()
            self._frail.wait()


def _state_of(pid: int) -> str:
    """Return the letter of a process's state: "T" once it is stopped."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
