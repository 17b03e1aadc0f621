"""HTTP/2 sessions, on sockets, with other people's clients and servers: curl, h2load and nginx."""

from __future__ import annotations

import hashlib
import selectors
import socket
import subprocess
import time
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from balancer.model.headers import RawHeaders
from balancer.wire.http2.interface import Limits, Session, SessionError
from tests.live.processes import free_port
from tests.live.programs import need
from tests.wire.http2.peers import LIBRARIES, Heard, session

_SECONDS = 60
_NGINX = """
daemon off; pid {root}/pid; error_log {root}/error.log; master_process off;
events {{ worker_connections 64; }}
http {{
    access_log off; client_body_temp_path {root}/a; proxy_temp_path {root}/b; fastcgi_temp_path {root}/c;
    uwsgi_temp_path {root}/d; scgi_temp_path {root}/e; keepalive_requests 3; client_max_body_size 10m;
    server {{
        listen 127.0.0.1:{port} http2;
        location / {{ root {root}; }}
        location = /answer {{ add_header x-method $request_method; return 200 "$http_host $http_x_word\\n"; }}
    }}
}}
"""


class Serving(Heard):
    """Answers a request with the hash and the size of its body, or with as many bytes as its path says."""

    def __init__(self) -> None:
        super().__init__()
        self.bodies: dict[int, Any] = {}
        self.paths: dict[int, bytes] = {}

    def request_came(self, stream: int, headers: RawHeaders, ended: bool) -> None:
        self.bodies[stream] = hashlib.sha256()
        self.paths[stream] = dict(headers)[b":path"]
        if ended:
            self.stream_ended(stream, None)

    def data_came(self, stream: int, data: bytes) -> None:
        self.bodies[stream].update(data)
        self.session.took(stream, len(data))

    def stream_ended(self, stream: int, trailers: RawHeaders | None) -> None:
        path, summed = self.paths.pop(stream), self.bodies.pop(stream)
        body = b"x" * int(path[1:]) if path[1:].isdigit() else summed.hexdigest().encode()
        self.session.respond(stream, [(b":status", b"200"), (b"content-length", b"%d" % len(body))])
        self.session.send(stream, body, ended=True)


class Served:
    """A server on a port, for as long as a program runs."""

    def __init__(self, library: str) -> None:
        self.library = library
        self.listening = socket.create_server(("127.0.0.1", 0))
        self.port = self.listening.getsockname()[1]
        self.errors: list[SessionError] = []

    def while_runs(self, *command: str) -> str:
        """Serve until the program has ended; return what it printed."""
        deadline = time.monotonic() + _SECONDS
        program = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        assert program.stdout is not None
        chosen = selectors.DefaultSelector()
        chosen.register(self.listening, selectors.EVENT_READ)
        chosen.register(program.stdout, selectors.EVENT_READ)
        printed = b""
        try:
            while time.monotonic() < deadline:
                for key, _ in chosen.select(1):
                    if key.fileobj is self.listening:
                        connection, _ = self.listening.accept()
                        told = Serving()
                        told.session = session(self.library, told, server=True)
                        connection.sendall(told.session.output())
                        chosen.register(connection, selectors.EVENT_READ, told.session)
                    elif key.fileobj is program.stdout:
                        data = program.stdout.read1(65536)
                        printed += data
                        if not data:
                            return printed.decode()
                    elif not self._serve(key.fileobj, key.data):  # type: ignore[arg-type]
                        chosen.unregister(key.fileobj)
                        key.fileobj.close()  # type: ignore[union-attr]
            raise AssertionError(f"it takes too long: {printed!r}")
        finally:
            for key in list(chosen.get_map().values()):
                key.fileobj.close()  # type: ignore[union-attr]
            program.kill()
            program.wait()

    def _serve(self, connection: socket.socket, speaker: Session) -> bool:
        try:
            data = connection.recv(65536)
            if not data:
                return False
            speaker.at(time.monotonic())
            speaker.feed(data)
        except ConnectionError:
            return False
        except SessionError as error:
            self.errors.append(error)
        connection.sendall(speaker.output())
        return not self.errors


class ServerTests(SynchronousTestCase):
    def test_curl(self) -> None:
        """Sends a body that takes many windows, and gets one."""
        for library in LIBRARIES:
            file = Path(self.mktemp())
            file.write_bytes(b"0123456789abcdef" * 100_000)
            served = Served(library)
            printed = served.while_runs(
                need("curl"),
                "-sS",
                "--http2-prior-knowledge",
                "--data-binary",
                f"@{file}",
                f"http://127.0.0.1:{served.port}/sum",
            )
            self.assertEqual(printed, hashlib.sha256(file.read_bytes()).hexdigest())
            served = Served(library)
            printed = served.while_runs(
                need("curl"),
                "-sS",
                "--http2-prior-knowledge",
                "-o",
                "/dev/null",
                "-w",
                "%{http_version} %{size_download}",
                f"http://127.0.0.1:{served.port}/3000000",
            )
            self.assertEqual(printed, "2 3000000")

    def test_h2load(self) -> None:
        """Many streams on some connections, all of them answered."""
        for library in LIBRARIES:
            served = Served(library)
            printed = served.while_runs(
                need("h2load"), "-n", "2000", "-c", "4", "-m", "50", f"http://127.0.0.1:{served.port}/100"
            )
            self.assertIn("2000 succeeded, 0 failed, 0 errored, 0 timeout", printed)
            self.assertEqual(served.errors, [])


class ClientTests(SynchronousTestCase):
    def setUp(self) -> None:
        root = Path(self.mktemp()).resolve()
        root.mkdir()
        self.body = b"0123456789" * 200_000
        (root / "large").write_bytes(self.body)
        self.port = free_port()
        (root / "conf").write_text(_NGINX.format(root=root, port=self.port))
        nginx = subprocess.Popen(
            [need("nginx"), "-c", str(root / "conf"), "-e", str(root / "error.log")], stdin=subprocess.DEVNULL
        )
        self.addCleanup(nginx.wait)
        self.addCleanup(nginx.kill)

    def _connected(self, library: str) -> tuple[Heard, Session, socket.socket]:
        deadline = time.monotonic() + _SECONDS
        while True:
            try:
                connection = socket.create_connection(("127.0.0.1", self.port), timeout=_SECONDS)
                break
            except ConnectionRefusedError:
                if time.monotonic() > deadline:
                    raise
        self.addCleanup(connection.close)
        told = Heard(takes=True)
        told.session = session(library, told, Limits(connection_window=1 << 20), server=False)
        return told, told.session, connection

    def _until(self, speaker: Session, connection: socket.socket, left: int = 0) -> None:
        """Talk until so many streams are left."""
        connection.sendall(speaker.output())
        while speaker.open_streams > left:
            data = connection.recv(65536)
            self.assertTrue(data, "nginx has closed the connection")
            speaker.feed(data)
            connection.sendall(speaker.output())

    def test_nginx(self) -> None:
        """Heads, bodies through windows, several streams at once, and a server that has had enough."""
        for library in LIBRARIES:
            told, speaker, connection = self._connected(library)
            head = [(b":method", b"GET"), (b":scheme", b"http"), (b":authority", b"shop.example")]
            first = speaker.request([*head, (b":path", b"/large")], ended=True)
            second = speaker.request([*head, (b":path", b"/answer"), (b"x-word", b"hello")], ended=True)
            self._until(speaker, connection)
            self.assertEqual(speaker.streams_allowed, 128)
            self.assertEqual(b"".join(call[2] for call in told.of("data") if call[1] == first), self.body)
            self.assertIn(("data", second, b"shop.example hello\n"), told.calls)
            statuses = {call[1]: call[2][0] for call in told.of("response")}
            self.assertEqual(statuses, {first: (b":status", b"200"), second: (b":status", b"200")})
            third = speaker.request([(b":method", b"HEAD"), *head[1:], (b":path", b"/large")], ended=True)
            self._until(speaker, connection)
            response = told.of("response")[-1]
            self.assertEqual((response[1], response[3]), (third, True))
            self.assertIn((b"content-length", b"2000000"), response[2])
            self.assertEqual(told.of("goaway"), [("goaway", third, 0)])
