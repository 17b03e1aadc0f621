"""HTTP/2 towards clients through a whole balancer: other people's clients, and some that mean no good."""

from __future__ import annotations

import hashlib
import json
import os
import re
import signal
import struct
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.live import frames
from tests.live.balancers import BIN, OK, BalancerTestCase, Peer, RunningBalancer, answering, wait_until
from tests.live.frames import RawClient, frame, head
from tests.live.processes import free_port
from tests.live.programs import need

PROTOCOL_ERROR, ENHANCE_YOUR_CALM = 1, 11
_LINE = b"\x82\x86\x84\x01\x01a"
"""A header list, GET http://a/, which leaves the table as it is."""
_HELLO = "routes: [{match: {path: /hello}, respond: {status: 200, body: hello}}, {pool: web}]"


def _upload(peer: Peer) -> None:
    """Answer each request with the hash of its body."""
    while True:
        read = peer.head().lower()
        length = re.search(rb"content-length: (\d+)", read)
        body = peer.exactly(int(length[1])) if length else peer.until(b"0\r\n\r\n")
        text = hashlib.sha256(body).hexdigest().encode()
        peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(text), text))


def _endless(peer: Peer) -> None:
    """Answer with far more than anybody takes."""
    peer.head()
    peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n")
    for _ in range(10_000):
        peer.send(b"x" * 100_000)


class ClientTests(BalancerTestCase):
    """What clients in use make of it."""

    library = ""

    def web(self, *servers: str, listener: str = "", pool: str = "", top: str = "") -> tuple[RunningBalancer, int]:
        os.environ["BALANCER_HTTP2"] = self.library
        self.addCleanup(os.environ.pop, "BALANCER_HTTP2")
        return super().web(*servers, listener=listener, pool=pool, top=top)

    def curl(self, *arguments: str) -> str:
        command = [need("curl"), "-sS", "--max-time", "20", "--http2-prior-knowledge", *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout

    def test_curl(self) -> None:
        """Answers of our own and of servers, HEAD, errors; each with its record."""
        server = self.server(answering(OK))
        balancer, port = self.web(server.address, listener=_HELLO)
        base = f"http://127.0.0.1:{port}"
        form = "%{http_version} %{http_code} %{size_download}"
        self.assertEqual(self.curl("-w", form, f"{base}/hello"), "hello2 200 5")
        self.assertEqual(self.curl("-w", form, f"{base}/a"), "ok2 200 2")
        answer = self.curl("--head", f"{base}/hello")
        self.assertTrue(answer.startswith("HTTP/2 200"))
        self.assertIn("\ncontent-length: 5\n", answer)
        self.assertEqual([(each["version"], each["h2_stream"]) for each in balancer.records(3)], [("2.0", 1)] * 3)

    def test_upload(self) -> None:
        """Bodies of known and of unknown length arrive whole, at the pace of their server."""
        server = self.server(_upload)
        _, port = self.web(server.address)
        data = os.urandom(3_000_000)
        (path := self.folder() / "upload").write_bytes(data)
        url = f"http://127.0.0.1:{port}/"
        self.assertEqual(self.curl("-T", str(path), url), hashlib.sha256(data).hexdigest())
        chunked = subprocess.run(
            [need("curl"), "-sS", "--max-time", "20", "--http2-prior-knowledge", "-T", "-", url],
            input=data[:70_000],
            capture_output=True,
            check=True,
        ).stdout
        self.assertEqual(len(chunked), 64)

    def test_load(self) -> None:
        """Thousands of requests, a hundred at a time on each connection, and not one is lost; a reload in the middle does not matter."""
        server = self.server(answering(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n" + b"x" * 100))
        balancer, port = self.web(server.address, listener="limits: {shed: false}\n" + _HELLO)
        command = [need("h2load"), "-n", "6000", "-c", "3", "-m", "100"]
        for path in ("/hello", "/"):
            load = subprocess.Popen(
                [*command, f"http://127.0.0.1:{port}{path}"],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                text=True,
            )
            balancer.reload()
            found, _ = load.communicate(timeout=60)
            self.assertIn("6000 succeeded, 0 failed, 0 errored", found)

    def test_drain(self) -> None:
        """A balancer that is stopped finishes what has begun, and says GOAWAY."""
        begun = threading.Event()

        def talk(peer: Peer) -> None:
            peer.head()
            begun.set()
            time.sleep(1.0)
            peer.send(OK)

        server = self.server(talk)
        balancer, port = self.web(server.address)
        client = RawClient(port)
        client.skt.sendall(frame(frames.HEADERS, frames.END_HEADERS | frames.END_STREAM, 1, head()))
        self.assertTrue(begun.wait(20))
        balancer.process.send_signal(signal.SIGTERM)
        came = client.frames()
        client.close()
        goaways = [struct.unpack(">II", payload[:8]) for kind, _, _, payload in came if kind == frames.GOAWAY]
        self.assertEqual(goaways, [(2**31 - 1, 0), (1, 0)])
        self.assertIn(b"ok", [payload for kind, _, _, payload in came if kind == frames.DATA])
        self.assertEqual(balancer.process.wait(20), 0)

    def test_client_leaves(self) -> None:
        """A stream that is reset, and a connection that is closed, end at the server."""
        gone: list[str] = []

        def talk(peer: Peer) -> None:
            path = peer.head().split()[1].decode()
            peer.rest()
            gone.append(path)

        server = self.server(talk)
        balancer, port = self.web(server.address)
        client = RawClient(port)
        for stream, path in ((1, b"/reset"), (3, b"/closed")):
            client.skt.sendall(frame(frames.HEADERS, frames.END_HEADERS | frames.END_STREAM, stream, head(path)))
        wait_until(lambda: server.connections == 2)
        client.skt.sendall(frame(frames.RST_STREAM, 0, 1, struct.pack(">I", 8)))
        wait_until(lambda: gone == ["/reset"])
        client.close()
        wait_until(lambda: gone == ["/reset", "/closed"])
        self.assertEqual([each["status"] for each in balancer.records(2)], [499, 499])


class PureClientTests(ClientTests):
    """The same on the pure library."""

    library = "h2"


class EnemyTests(BalancerTestCase):
    """Clients that mean no good: the others are served, and memory stays what it is."""

    @contextmanager
    def others_are_served(self, port: int) -> Iterator[None]:
        """Ask again and again by HTTP/1.1 meanwhile."""
        over = threading.Event()
        served: list[int] = []

        def ask() -> None:
            peer = self.connect(port)
            while not over.is_set():
                peer.send(b"GET /hello HTTP/1.1\r\nHost: a\r\n\r\n")
                served.append(peer.response()[0])
                time.sleep(0.005)

        asking = threading.Thread(target=ask)
        asking.start()
        try:
            wait_until(lambda: len(served) > 3)
            before = len(served)
            yield
            wait_until(lambda: len(served) > before + 3)
        finally:
            over.set()
            asking.join()
        self.assertEqual(set(served), {200})

    library = ""

    def run_balancer(self, text: str, *, command: list[str] | None = None, **environment: str) -> RunningBalancer:
        return super().run_balancer(text, command=command, BALANCER_HTTP2=self.library, **environment)

    def test_floods(self) -> None:
        """Whoever sends too much of what costs is told to calm down, and cut."""
        server = self.server(answering(OK))
        balancer, port = self.web(server.address, listener=_HELLO)
        request = head(b"/hello")
        opened = frame(frames.HEADERS, frames.END_HEADERS, 1, head(b"/hello", method=b"POST"))
        resets = b"".join(
            frame(frames.HEADERS, 5, number, request) + frame(frames.RST_STREAM, 0, number, struct.pack(">I", 8))
            for number in range(1, 2001, 2)
        )
        floods = {
            "resets": (resets,),
            "continuations": (frame(frames.HEADERS, 0, 1, request), frame(frames.CONTINUATION, 0, 1) * 100),
            "endless heads": (
                frame(frames.HEADERS, 0, 1, request),
                frame(frames.CONTINUATION, 0, 1, b"\x00\x01a\x01b" * 1000),
            ),
            "a header bomb": (
                frame(frames.HEADERS, 5, 1, _LINE + b"\x40\x01x\x7f\x81\x1a" + b"a" * 3456),
                frame(frames.HEADERS, 5, 3, _LINE + b"\xbe" * 16_000),
            ),
            "cookie crumbs": (
                frame(frames.HEADERS, 5, 1, _LINE + b"\x40\x06cookie\x03a=b"),
                frame(frames.HEADERS, 5, 3, _LINE + b"\xbe" * 16_000),
            ),
            "large crumbs": (
                frame(frames.HEADERS, 5, 1, _LINE + b"\x40\x06cookie\x7f\x81\x1a" + b"a" * 3456),
                frame(frames.HEADERS, 5, 3, _LINE + b"\xbe" * 16_000),
            ),
            "pings": (frame(frames.PING, 0, 0, b"12345678") * 1000,),
            "settings": (frames.settings(1000) * 1000,),
            "empty frames": (opened, frame(frames.DATA, 0, 1) * 1000),
            "empty frames with padding": (opened, frame(frames.DATA, 8, 1, b"\xff" + bytes(255)) * 100),
            "empty heads": (frame(frames.HEADERS, 0, 1), frame(frames.CONTINUATION, 0, 1) * 1000),
            "trailers without end": (opened, frame(frames.HEADERS, 4, 1) * 1000),
            "unknown frames": (frame(0x55, 0, 0, bytes(100)) * 1000,),
            "refused streams": (b"".join(frame(frames.HEADERS, 4, number, request) for number in range(1, 8001, 2)),),
            "priorities": (frame(frames.PRIORITY, 0, 1, b"\0\0\0\3\0") * 1000,),
            "crumbs": (frame(frames.WINDOW_UPDATE, 0, 0, struct.pack(">I", 1)) * 1000,),
        }
        memory = balancer.memory()
        with self.others_are_served(port):
            for name, pieces in floods.items():
                client = RawClient(port, window=1000)
                client.flood(*pieces)
                came = client.frames()
                client.close()
                codes = [int.from_bytes(payload[4:8], "big") for kind, _, _, payload in came if kind == frames.GOAWAY]
                wanted = {ENHANCE_YOUR_CALM, PROTOCOL_ERROR} if name == "refused streams" else {ENHANCE_YOUR_CALM}
                self.assertTrue(wanted.issuperset(codes[-1:] or [-1]), f"{name}: {came[-5:]}")
        self.assertLess(balancer.memory() - memory, 20_000_000)

    def test_windows(self) -> None:
        """Answers that nobody takes are not fetched, be it that windows are shut or that nothing is read; then they end."""
        server = self.server(_endless)
        balancer, port = self.web(
            server.address, listener="timeouts: {body_idle: 2s}\nlimits: {shed: false}\n" + _HELLO
        )
        asked = b"".join(frame(frames.HEADERS, 5, number, head(b"/")) for number in range(1, 201, 2))
        with self.others_are_served(port):
            memory = balancer.memory()
            clients = [RawClient(port, window, wide=True) for window in (0, 1, 2**31 - 1, 2**31 - 1)]
            for client in clients:
                client.skt.sendall(asked)
            wait_until(lambda: server.connections >= 400)
            found = wait_until(lambda: self._ended(balancer, 400), 60)
            self.assertLess(balancer.memory() - memory, 32_000_000)
            self.assertEqual({record["reason"] for record in found}, {"http_request_error"})
            for client in clients:
                client.close()

    @staticmethod
    def _ended(balancer: RunningBalancer, count: int) -> list[dict[str, Any]]:
        """Return the records of so many requests to the server, once they are there."""
        found = [record for record in balancer.records(1) if record["target"] == "/"]
        return found if len(found) >= count else []


class PureEnemyTests(EnemyTests):
    """The same on the pure library."""

    library = "h2"


class SwitchTests(BalancerTestCase):
    def test_upgrade_is_ignored(self) -> None:
        """A client of HTTP/1.1 that would like to change over (RFC 7540 section 3.2, obsolete) is served in HTTP/1.1."""
        server = self.server(answering(OK))
        _, port = self.web(server.address, listener=_HELLO)
        done = subprocess.run(
            [need("curl"), "-sS", "--http2", "-w", "%{http_version}", f"http://127.0.0.1:{port}/hello"],
            capture_output=True,
            text=True,
            check=True,
        )
        self.assertEqual(done.stdout, "hello1.1")

    def test_what_is_said(self) -> None:
        """The start-up summary, the status and the metrics say what is spoken, and with which library."""
        metrics = free_port()
        server = self.server(answering(OK))
        top = f"metrics: {{bind: '127.0.0.1:{metrics}'}}\nadmin: {{bind: 'unix:@here@/admin.sock'}}\n"
        folder = self.folder()
        balancer, port = self.web(server.address, listener=_HELLO, top=top.replace("@here@", str(folder)))
        wait_until(lambda: re.search(r"web +http, HTTP/2 \((nghttp2|h2)\)", balancer.output.read_text()))
        client = RawClient(port)
        client.skt.sendall(frame(frames.HEADERS, 5, 1, head(b"/hello")))
        balancer.records(1)
        ctl = subprocess.run(
            [BIN / "balancer", "ctl", "--admin", f"unix:{folder}/admin.sock", "status", "--json"],
            capture_output=True,
            check=True,
        )
        (listener,) = json.loads(ctl.stdout)["listeners"]
        self.assertIn(listener["http2"], ("nghttp2", "h2"))
        text = self.get(metrics, "/metrics").body.decode()
        self.assertIn('balancer_http2_connections{listener="web"} 1.0', text)
        client.close()

    def test_workers(self) -> None:
        """Workers speak it too, and their numbers are summed up."""
        metrics = free_port()
        server = self.server(answering(OK))
        top = f"workers: 2\nmetrics: {{bind: '127.0.0.1:{metrics}'}}\n"
        _, port = self.web(server.address, listener=_HELLO, top=top)
        clients = [RawClient(port) for _ in range(8)]
        for client in clients:
            client.skt.sendall(frame(frames.HEADERS, 5, 1, head(b"/hello")))
        wait_until(lambda: b'balancer_http2_connections{listener="web"} 8.0' in self.get(metrics, "/metrics").body)
        for client in clients:
            client.close()


class ReactorTests(BalancerTestCase):
    def test_epoll(self) -> None:
        """It is the same on Twisted's own reactor."""
        server = self.server(answering(OK))
        port = free_port()
        folder = Path(self.mktemp())
        folder.mkdir()
        text = (
            "access_log: {format: json, path: '@log@'}\n"
            f"listeners: {{web: {{bind: '127.0.0.1:{port}', protocol: http, pool: web}}}}\n"
            f"pools: {{web: {{servers: ['{server.address}']}}}}\n"
        )
        balancer = self.run_balancer(
            text, command=[str(BIN / "twistd"), "-n", "-r", "epoll", "balancer", "--config", "balancer.yaml"]
        )
        balancer.wait_for(port)
        done = subprocess.run(
            [need("h2load"), "-n", "2000", "-c", "2", "-m", "50", f"http://127.0.0.1:{port}/"],
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        )
        self.assertIn("2000 succeeded, 0 failed, 0 errored", done.stdout)
