"""HTTP/2 towards real servers: nghttpd, nginx, and one that behaves oddly."""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import re
import signal
import socket
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.events import (
    DataReceived,
    RequestReceived,
    ResponseReceived,
    StreamEnded,
    StreamReset,
    TrailersReceived,
)
from h2.exceptions import ProtocolError
from h2.settings import SettingCodes, Settings

from tests.live.balancers import BIN, BalancerTestCase, Peer, RunningBalancer, wait_until
from tests.live.processes import free_port
from tests.live.programs import need
from tests.live.test_failover import Nginx

H2 = "protocol: h2\n"


class Nghttpd:
    """nghttpd, which serves a folder without TLS."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        self.port = free_port()
        command = [need("nghttpd"), "--no-tls", "-a", "127.0.0.1", "-d", str(folder), *arguments, str(self.port)]
        self.process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        wait_until(self.answers)

    def answers(self) -> bool:
        with socket.socket() as skt:
            return skt.connect_ex(("127.0.0.1", self.port)) == 0

    def end(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()


class NghttpdTests(BalancerTestCase):
    def run_nghttpd(self, *arguments: str, pool: str = H2) -> tuple[Path, RunningBalancer, int]:
        folder = self.folder()
        server = Nghttpd(folder, *arguments)
        self.addCleanup(server.end)
        return folder, *self.web(f"127.0.0.1:{server.port}", pool=pool)

    def test_files(self) -> None:
        """Small and large answers, HEAD, what is not there, on one connection."""
        folder, running, port = self.run_nghttpd()
        large = os.urandom(5_000_000)
        (folder / "small").write_bytes(b"hello")
        (folder / "large").write_bytes(large)
        for _ in range(2):
            self.assertEqual(self.get(port, "/small").body, b"hello")
            self.assertEqual(hashlib.sha256(self.get(port, "/large").body).digest(), hashlib.sha256(large).digest())
        self.assertEqual(self.get(port, "/large", "HEAD").getheader("Content-Length"), "5000000")
        self.assertEqual(self.get(port, "/none").status, 404)
        self.assertEqual({record["server_protocol"] for record in running.records(6)}, {"h2"})
        self.assertEqual(sum("connect" in record and record["connect"] > 0 for record in running.records(6)), 1)

    def test_uploads(self) -> None:
        """Bodies arrive whole, of known length and in chunks, through windows that are small."""
        _, _, port = self.run_nghttpd("--echo-upload", "-w", "12")
        body = os.urandom(3_000_000)
        for sent in (body, (body[at : at + 70_000] for at in range(0, len(body), 70_000))):
            self.assertEqual(self.get(port, "/", "POST", sent).body, body)

    def test_trailers(self) -> None:
        """Trailers of the server reach the client."""
        folder, _, port = self.run_nghttpd("--trailer", "x-sum: 42")
        (folder / "a").write_bytes(b"hello")
        client = self.connect(port)
        client.send(b"GET /a HTTP/1.1\r\nHost: a\r\nTE: trailers\r\n\r\n")
        self.assertIn(b"\r\ntrailer: x-sum\r\n", client.head())
        self.assertEqual(client.until(b"\r\n\r\n"), b"5\r\nhello\r\n0\r\nx-sum: 42\r\n\r\n")

    def test_slow_client(self) -> None:
        """A client that takes nothing does not make the balancer hold its answer, nor anybody else's up."""
        folder, running, port = self.run_nghttpd()
        with (folder / "huge").open("wb") as file:
            file.truncate(200_000_000)
        (folder / "small").write_bytes(b"hello")
        before = running.memory()
        slow = [self.connect(port) for _ in range(5)]
        for client in slow:
            client.send(b"GET /huge HTTP/1.1\r\nHost: a\r\n\r\n")
            client.head()
        for _ in range(20):
            self.assertEqual(self.get(port, "/small").body, b"hello")
        self.assertLess(running.memory() - before, 30_000_000)
        left = 200_000_000 - len(slow[0].data)
        while left:
            left -= len(slow[0].skt.recv(1_000_000))


class NginxTests(BalancerTestCase):
    """Three nginx that speak HTTP/2 by prior knowledge, the connections of which end after a hundred requests."""

    def setUp(self) -> None:
        folder = self.folder()
        self.servers = [Nginx(folder, name, " http2", "keepalive_requests 100;") for name in ("one", "two", "three")]
        for each in self.servers:
            self.addCleanup(each.end)
        self.running, self.port = self.web(
            *(f"{{address: '127.0.0.1:{each.port}', name: {each.name}}}" for each in self.servers),
            pool=H2 + "algorithm: round_robin\n"
            "health: {probe: {http: {path: /, regex: '^[a-z]+$'}}, interval: 300ms, timeout: 300ms, fall: 2, rise: 2}\n"
            "timeouts: {connect: 500ms, first_byte: 1s}",
            top="admin: {bind: 'unix:admin.sock'}\n",
        )
        wait_until(lambda: self.shares(60).keys() == {"one", "two", "three"})

    def shares(self, requests: int) -> Counter[str]:
        """Return how many requests each server answers."""
        return Counter(self.get(self.port).body.decode() for _ in range(requests))

    def during_load(self, *steps: Any) -> None:
        """Run ``steps`` (callables, or seconds to wait) while there is load; no request may fail."""

        def act() -> None:
            for step in steps:
                step() if callable(step) else time.sleep(step)

        acting = threading.Thread(target=act)
        acting.start()
        seconds = int(sum(step for step in steps if not callable(step))) + 1
        command = [need("wrk"), "-t1", "-c20", f"-d{seconds}s", f"http://127.0.0.1:{self.port}/"]
        said = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False).stdout
        acting.join()
        self.assertEqual("".join(re.findall(r"(?:Socket errors|Non-2xx).*", said)), "")
        found = re.search(r"(\d+) requests in", said)
        assert found is not None
        self.assertGreater(int(found[1]), 300)

    def test_killed_and_back(self) -> None:
        """A server that is killed under load costs no request; its traffic leaves, and comes back with it."""
        two = self.servers[1]
        left: list[Counter[str]] = []
        self.during_load(1.0, two.end, 2.0, lambda: left.append(self.shares(30)), two.start, 1.0)
        self.assertNotIn("two", left[0])
        wait_until(lambda: self.shares(30)["two"] >= 9)

    def test_stopped_gracefully(self) -> None:
        """So does one that is told to stop."""
        self.during_load(1.0, lambda: self.servers[0].end(signal.SIGQUIT), 1.0)
        self.assertEqual(self.shares(30).keys(), {"two", "three"})

    def test_connections_that_end(self) -> None:
        """GOAWAY under load costs nothing either, not even requests that must not be sent twice."""
        statuses: Counter[int] = Counter()

        def post() -> None:
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
            for _ in range(200):
                connection.request("POST", "/", b"body")
                response = connection.getresponse()
                response.read()
                statuses[response.status] += 1
            connection.close()

        threads = [threading.Thread(target=post) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(statuses, {200: 1600})

    def test_status(self) -> None:
        """``ctl status`` shows the connections."""
        command = [str(BIN / "balancer"), "ctl", "--admin", f"unix:{self.running.folder}/admin.sock", "status"]
        said = subprocess.run([*command, "--json"], capture_output=True, text=True, check=True).stdout
        (pool,) = json.loads(said)["pools"]
        self.assertEqual(pool["protocol"], "h2")
        for server in pool["servers"]:
            self.assertEqual((server["http1_connections"], server["h2_connections"], server["streams"]), (0, 1, 0))
        said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        self.assertIn("speaks h2", said)


class Odd:
    """A server of HTTP/2 that does what a test says: ``act(h2, event)`` for each event, in a thread for each connection."""

    def __init__(self, act: Callable[[H2Connection, Any], None], **settings: int) -> None:
        self._act = act
        self._settings = {SettingCodes[name.upper()]: value for name, value in settings.items()}

    def __call__(self, peer: Peer) -> None:
        h2 = H2Connection(H2Configuration(client_side=False, header_encoding="utf-8"))
        h2.local_settings = Settings(client=False, initial_values=self._settings)
        h2.initiate_connection()
        peer.send(h2.data_to_send())
        while data := peer.skt.recv(65536):
            try:
                for event in h2.receive_data(data):
                    if isinstance(event, DataReceived) and event.flow_controlled_length:
                        h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
                    self._act(h2, event)
            except ProtocolError as error:
                if h2.data_to_send():
                    raise AssertionError(f"the balancer broke HTTP/2: {error}") from None
            said = h2.data_to_send()
            if said:
                peer.send(said)


def answer(h2: H2Connection, stream: int, body: bytes = b"ok") -> None:
    """Answer a request."""
    h2.send_headers(stream, [(":status", "200"), ("content-length", str(len(body)))])
    h2.send_data(stream, body, end_stream=True)


class OddTests(BalancerTestCase):
    def posts(self, port: int, count: int) -> Counter[int]:
        """POST from many clients at once; return how often there was which status."""
        found: Counter[int] = Counter()

        def post() -> None:
            found[self.get(port, "/", "POST", b"body").status] += 1

        threads = [threading.Thread(target=post) for _ in range(count)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return found

    def test_one_stream(self) -> None:
        """A server that takes one request at a time gets it so, on as many connections as it must be."""
        most: list[int] = []
        open_: set[tuple[int, int]] = set()

        def act(h2: H2Connection, event: Any) -> None:
            if isinstance(event, RequestReceived):
                open_.add((id(h2), event.stream_id))
                most.append(sum(1 for connection, _ in open_ if connection == id(h2)))
            elif isinstance(event, StreamEnded):
                time.sleep(0.02)
                open_.discard((id(h2), event.stream_id))
                answer(h2, event.stream_id)

        server = self.server(Odd(act, max_concurrent_streams=1))
        _, port = self.web(server.address, pool=H2)
        self.assertEqual(self.posts(port, 30), {200: 30})
        self.assertEqual(max(most), 1)
        self.assertLessEqual(server.connections, 32)

    def test_burst(self) -> None:
        """Many requests at once open one connection."""

        def act(h2: H2Connection, event: Any) -> None:
            if isinstance(event, StreamEnded):
                answer(h2, event.stream_id)

        server = self.server(Odd(act))
        _, port = self.web(server.address, pool=H2)
        self.assertEqual(self.posts(port, 60), {200: 60})
        self.assertEqual(server.connections, 1)

    def test_refusing(self) -> None:
        """What a server refuses unread is sent to another, POST as well."""
        refused: list[int] = []

        def refuse(h2: H2Connection, event: Any) -> None:
            if isinstance(event, RequestReceived):
                refused.append(event.stream_id)
                h2.reset_stream(event.stream_id, ErrorCodes.REFUSED_STREAM)

        def act(h2: H2Connection, event: Any) -> None:
            if isinstance(event, StreamEnded):
                answer(h2, event.stream_id)

        refusing, well = self.server(Odd(refuse)), self.server(Odd(act))
        _, port = self.web(refusing.address, well.address, pool=H2 + "algorithm: round_robin")
        for _ in range(8):
            self.assertEqual(self.get(port, "/", "POST", b"body").status, 200)
        self.assertTrue(refused)

    def test_tiny_windows(self) -> None:
        """A server that takes ten bytes at a time gets all of a body."""
        bodies: dict[int, bytes] = {}

        def act(h2: H2Connection, event: Any) -> None:
            if isinstance(event, DataReceived):
                bodies[event.stream_id] = bodies.get(event.stream_id, b"") + event.data
            if isinstance(event, StreamEnded):
                answer(h2, event.stream_id, bodies[event.stream_id])

        server = self.server(Odd(act, initial_window_size=10))
        _, port = self.web(server.address, pool=H2)
        body = os.urandom(3000)
        self.assertEqual(self.get(port, "/", "POST", body).body, body)

    def test_silent(self) -> None:
        """A connection on which nothing comes, not even an answer to PING, is given up; the request is sent to another server."""

        def act(h2: H2Connection, event: Any) -> None:
            if isinstance(event, StreamEnded):
                answer(h2, event.stream_id)

        def silent(peer: Peer) -> None:
            h2 = H2Connection(H2Configuration(client_side=False))
            h2.initiate_connection()
            peer.send(h2.data_to_send())
            peer.rest()

        dead, well = self.server(silent), self.server(Odd(act))
        running, port = self.web(
            f"{{address: '{dead.address}', name: dead}}",
            f"{{address: '{well.address}', name: well}}",
            pool=H2 + "algorithm: round_robin\nhttp2: {ping: {interval: 1s, timeout: 1s}}",
        )
        for _ in range(2):
            self.assertEqual(self.get(port).status, 200)
        self.assertIn(2, [record["attempts"] for record in running.records(2)])
        self.assertIn("did not answer a PING", running.output.read_text())

    def test_cancelled(self) -> None:
        """A client that leaves cancels its stream, and nothing else."""
        seen: list[Any] = []

        def act(h2: H2Connection, event: Any) -> None:
            if isinstance(event, StreamReset):
                seen.append(event.error_code)
            elif isinstance(event, RequestReceived):
                seen.append(dict(event.headers)[":path"])
                if seen[-1] == "/quick":
                    answer(h2, event.stream_id)

        server = self.server(Odd(act))
        _, port = self.web(server.address, pool=H2)
        client = self.connect(port)
        client.send(b"GET /slow HTTP/1.1\r\nHost: a\r\n\r\n")
        wait_until(lambda: "/slow" in seen)
        client.reset()
        wait_until(lambda: ErrorCodes.CANCEL in seen)
        self.assertEqual(self.get(port, "/quick").status, 200)
        self.assertEqual(server.connections, 1)

    def test_no_http2(self) -> None:
        """A server that does not speak it is found out at once, and the log says so."""
        server = self.server(lambda peer: peer.send(b"HTTP/1.1 400 Bad Request\r\n\r\n"))
        running, port = self.web(server.address, pool=H2 + "retry: false")
        self.assertEqual(self.get(port).status, 502)
        (record,) = running.records(1)
        self.assertEqual(
            (record["reason"], record["detail"]), ("http_protocol_error", "the server speaks HTTP/1.1, not HTTP/2")
        )

    def test_reload(self) -> None:
        """A pool whose protocol changes is spoken to in the new one; what was under way ends in the old one."""
        begun = threading.Event()
        go_on = threading.Event()

        def act(h2: H2Connection, event: Any) -> None:
            if isinstance(event, StreamEnded):
                begun.set()
                go_on.wait(10)
                answer(h2, event.stream_id)

        def talk(peer: Peer) -> None:
            if peer.skt.recv(3, socket.MSG_PEEK) == b"PRI":
                Odd(act)(peer)
            else:
                peer.head()
                peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nold")

        server = self.server(talk)
        running, port = self.web(server.address, pool=H2)
        client = self.connect(port)
        client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        begun.wait(10)
        running.reload(running.file.read_text().replace("protocol: h2", "protocol: http1"))
        wait_until(lambda: "reloaded" in running.output.read_text())
        self.assertEqual(self.get(port).body, b"old")
        go_on.set()
        self.assertEqual(client.response()[2], b"ok")


class BothSidesTests(BalancerTestCase):
    """HTTP/2 with the client as well."""

    def test_whole(self) -> None:
        """Many requests at once of one client, on one connection to the server; bodies both ways."""
        folder = self.folder()
        server = Nghttpd(folder, "--echo-upload")
        self.addCleanup(server.end)
        running, port = self.web(f"127.0.0.1:{server.port}", pool=H2)
        body = os.urandom(2_000_000)
        (folder / "sent").write_bytes(body[:50_000])
        (folder / "body").write_bytes(body)
        url = f"http://127.0.0.1:{port}/"
        curl = [need("curl"), "-sS", "--http2-prior-knowledge"]
        found = subprocess.run([*curl, "--data-binary", f"@{folder}/body", url], capture_output=True, check=True).stdout
        self.assertEqual(found, body)
        said = subprocess.run(
            [need("h2load"), "-n", "200", "-c", "2", "-m", "50", f"{url}sent"],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        self.assertIn("status codes: 200 2xx, 0 3xx, 0 4xx, 0 5xx", said)
        records = running.records(201)
        self.assertEqual({(record["version"], record["server_protocol"]) for record in records}, {("2.0", "h2")})
        self.assertEqual(sum(record["connect"] > 0 for record in records), 1)

    def test_trailers_and_both_ways_at_once(self) -> None:
        """A stream on which both sides speak in turns, as gRPC does, and trailers behind it."""

        def act(h2: H2Connection, event: Any) -> None:
            if isinstance(event, RequestReceived):
                h2.send_headers(event.stream_id, [(":status", "200"), ("content-type", "application/grpc")])
            elif isinstance(event, DataReceived):
                h2.send_data(event.stream_id, event.data.upper())
            elif isinstance(event, StreamEnded):
                h2.send_headers(event.stream_id, [("grpc-status", "0")], end_stream=True)

        _, port = self.web(self.server(Odd(act)).address, pool=H2)
        client = self.connect(port)
        h2 = H2Connection(H2Configuration(header_encoding="utf-8"))
        h2.initiate_connection()
        h2.send_headers(
            1, [(":method", "POST"), (":scheme", "http"), (":authority", "a"), (":path", "/"), ("te", "trailers")]
        )
        events: list[Any] = []

        def until(kind: type) -> Any:
            while True:
                for event in events:
                    if isinstance(event, kind):
                        events.remove(event)
                        return event
                client.send(h2.data_to_send())
                events.extend(h2.receive_data(client.skt.recv(65536)))

        until(ResponseReceived)
        for word in (b"one", b"two", b"three"):
            h2.send_data(1, word)
            self.assertEqual(until(DataReceived).data, word.upper())
        h2.end_stream(1)
        self.assertEqual(until(TrailersReceived).headers, [("grpc-status", "0")])
        until(StreamEnded)
