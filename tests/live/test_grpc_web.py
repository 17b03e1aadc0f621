"""gRPC-Web through the balancer to servers of gRPC's own library: by clients of HTTP/1.1 and HTTP/2, and of JavaScript."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SkipTest

from balancer.wire.grpc.messages import MessageReader, frame
from balancer.wire.grpc.web import TrailersReader
from tests.live.balancers import RunningBalancer, wait_until
from tests.live.grpc_peers import GRPCServer, Stub
from tests.live.programs import need
from tests.live.test_grpc import PATIENCE, GRPCTestCase

ORIGIN = "https://shop.example"
LISTENER = f"filters: [{{grpc_web: {{cors: ['{ORIGIN}']}}}}]\npool: web\n"
BINARY = "application/grpc-web+proto"
TEXT = "application/grpc-web-text"
Answer = tuple[list[bytes], dict[str, str]]


def read(body: bytes, *, text: bool = False) -> Answer:
    """Return messages and trailers of a body."""
    if text:
        body = b"".join(base64.b64decode(piece + b"=" * (-len(piece) % 4)) for piece in body.split(b"=") if piece)
    reader = TrailersReader()
    messages = MessageReader(most=1 << 30).feed(reader.feed(body))
    reader.end()
    return [payload for _, payload in messages], {
        name.decode(): value.decode() for name, value in reader.trailers or []
    }


class WebTestCase(GRPCTestCase):
    """A balancer that translates, before a server."""

    def setUp(self) -> None:
        self.grpc = self.grpc_server()
        self.running, self.port = self.translating(self.grpc)

    def translating(self, *servers: GRPCServer) -> tuple[RunningBalancer, int]:
        return self.balanced(*servers, listener=LISTENER)

    def post(self, method: str, body: bytes, kind: str = BINARY, **headers: str) -> HTTPResponse:
        """Ask by HTTP/1.1, and return the head of the answer, whose body is still to be read."""
        self.connection = connection = HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        self.addCleanup(connection.close)
        headers = {"Content-Type": kind, "X-Grpc-Web": "1", "Origin": ORIGIN, **headers}
        connection.request("POST", f"/test.Echo/{method}", body, headers)
        return connection.getresponse()

    def call(self, method: str, message: bytes, kind: str = BINARY, **headers: str) -> Answer:
        text = "text" in kind
        body = base64.b64encode(frame(message)) if text else frame(message)
        answer = self.post(method, body, kind, **headers)
        self.assertEqual((answer.status, answer.getheader("content-type")), (200, kind))
        said = dict(answer.getheaders())
        if "grpc-status" in said:
            return [], {name.lower(): value for name, value in said.items()}
        return read(answer.read(), text=text)


class RawTests(WebTestCase):
    """A client that is nothing but HTTP."""

    def test_calls(self) -> None:
        """Unary calls and streams of the server, in binary and in base64."""
        for kind in (BINARY, TEXT + "+proto"):
            messages, trailers = self.call("Unary", b"hello", kind)
            self.assertEqual((messages, trailers["grpc-status"]), ([b"hello"], "0"))
            messages, trailers = self.call("Server", b"3 10", kind)
            self.assertEqual(messages, [b"%d xxxxxxxxxx" % number for number in range(3)])
            self.assertEqual((trailers["grpc-status"], trailers["after-all"]), ("0", "three"))
        self.assertEqual([record["grpc_status"] for record in self.running.records(4)], [0] * 4)

    def test_large(self) -> None:
        """Megabytes, both ways."""
        data = bytes(range(256)) * 20_000
        for kind in (BINARY, TEXT + "+proto"):
            messages, _ = self.call("Unary", data, kind)
            self.assertEqual(messages, [data])
            messages, _ = self.call("Server", b"20 500000", kind)
            self.assertEqual(sum(map(len, messages)), 20 * 500_000 + 10 * 2 + 10 * 3)

    def test_failures(self) -> None:
        """A status of the server with its message and metadata, and one that the balancer gives."""
        for kind in (BINARY, TEXT + "+proto"):
            messages, said = self.call("Fail", b"NOT_FOUND 100 %", kind)
            self.assertEqual((messages, said["grpc-status"], said["grpc-message"]), ([], "5", "100 %25"))
            self.assertEqual(said["why"], "because")
        self.grpc.kill()
        messages, said = self.call("Unary", b"")
        self.assertEqual((messages, said["grpc-status"]), ([], "14"))
        self.assertIn("grpc-status", said["access-control-expose-headers"])

    def test_metadata(self) -> None:
        """Metadata before and behind the answer, binary too."""
        fields = {"my-text": "a b", "my-data-bin": "AP8"}
        answer = self.post("Metadata", frame(b""), **fields)
        self.assertEqual((answer.getheader("initial"), answer.getheader("initial-bin")), ("a b", "AP8"))
        exposed = answer.getheader("access-control-expose-headers", "")
        assert exposed is not None
        self.assertTrue({"initial", "initial-bin", "grpc-status"} <= set(exposed.split(", ")))
        messages, trailers = read(answer.read())
        self.assertEqual((messages, trailers["trailing"], trailers["trailing-bin"]), ([b"ok"], "yes", "AAEC/w"))

    def test_preflight(self) -> None:
        """A browser that asks is told that pages of this origin may call, and others may not."""
        for origin, status in ((ORIGIN, 204), ("https://evil.example", 403)):
            connection = HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
            self.addCleanup(connection.close)
            asked = {
                "Origin": origin,
                "Access-Control-Request-Method": "POST",
                "Access-Control-Request-Headers": "content-type,x-grpc-web,x-user-agent",
            }
            connection.request("OPTIONS", "/test.Echo/Unary", headers=asked)
            answer = connection.getresponse()
            self.assertEqual(answer.status, status)
            answer.read()

    def test_streamed(self) -> None:
        """What a server says is there at once, and a client that leaves ends the call at the server."""
        for kind in (BINARY, TEXT):
            body = base64.b64encode(frame(b"one")) if kind == TEXT else frame(b"one")
            answer = self.post("Wait", body, kind)
            size = 12 if kind == TEXT else 8  # a message of three bytes
            self.assertEqual(answer.read(size), body)
            answer.close()
            self.connection.close()
            self.assertEqual(Stub(self.channel(self.port)).hung(b"", timeout=PATIENCE), b"cancelled")

    def test_slow_client(self) -> None:
        """A client that reads nothing holds up the server, and the balancer keeps little."""
        before = self.running.memory()
        answer = self.post("Server", frame(b"200 1000000"))
        wait_until(lambda: self.call("Unary", b"a")[0] == [b"a"])
        self.assertLess(self.running.memory() - before, 60_000_000)
        messages, _ = read(answer.read())
        self.assertEqual(len(messages), 200)

    def test_dies(self) -> None:
        """A server that dies in the middle of its answer: the trailers are ours, and the body ends as it should."""
        answer = self.post("Both", frame(b"one") + frame(b"die"))
        body = answer.read()
        messages, trailers = read(body)
        self.assertEqual((messages, trailers["grpc-status"]), ([b"one"], "14"))

    def test_deadline(self) -> None:
        """``grpc-timeout`` is kept."""
        self.assertEqual(self.call("Hang", b"", **{"grpc-timeout": "300m"})[1]["grpc-status"], "4")

    def test_plain(self) -> None:
        """Clients of gRPC are served beside it."""
        self.assertEqual(Stub(self.channel(self.port)).unary(b"plain", timeout=PATIENCE), b"plain")

    def test_http2(self) -> None:
        """The same over HTTP/2, by curl."""
        for kind in (BINARY, TEXT + "+proto"):
            text = kind != BINARY
            file, found = self.folder() / "body", self.folder() / "answer"
            file.write_bytes(base64.b64encode(frame(b"hello")) if text else frame(b"hello"))
            url = f"http://127.0.0.1:{self.port}/test.Echo/Unary"
            command = [need("curl"), "-sS", "--max-time", "30", "--http2-prior-knowledge", "-o", str(found), url]
            command += ["--data-binary", f"@{file}", "-H", f"Content-Type: {kind}", "-H", "X-Grpc-Web: 1", "-w"]
            done = subprocess.run([*command, "%{http_version} %{content_type}"], capture_output=True, check=True)
            self.assertEqual(done.stdout.decode(), f"2 {kind}")
            messages, trailers = read(found.read_bytes(), text=text)
            self.assertEqual((messages, trailers["grpc-status"]), ([b"hello"], "0"))


class JavaScriptTests(WebTestCase):
    """The clients that pages use, under node; the folder with their packages is named in ``GRPC_WEB_MODULES``.

    ``npm install grpc-web xhr2 @improbable-eng/grpc-web @improbable-eng/grpc-web-node-http-transport google-protobuf`` makes it.
    """

    def ask(self, client: str, method: str, message: str) -> dict[str, Any]:
        node, modules = shutil.which("node"), os.environ.get("GRPC_WEB_MODULES")
        if node is None or modules is None or not Path(modules).is_dir():
            raise SkipTest("node is not installed, or GRPC_WEB_MODULES names no folder with npm's grpc-web in it")
        program = Path(__file__).with_name("grpc_web.mjs")
        url = f"http://127.0.0.1:{self.port}"
        done = subprocess.run(
            [node, program, client, url, method, message], capture_output=True, check=True, timeout=60
        )
        found: dict[str, Any] = json.loads(done.stdout)
        return found

    def test_clients(self) -> None:
        """Google's in both formats, and improbable's."""
        for client in ("google", "google-binary", "improbable"):
            found = self.ask(client, "Unary", "hello")
            self.assertEqual((found["messages"], found["code"]), (["hello"], 0), client)
            found = self.ask(client, "Fail", "NOT_FOUND not here")
            self.assertEqual((found["messages"], found["code"], found["message"]), ([], 5, "not here"), client)
            if client != "google-binary":  # Google's streams in text only
                found = self.ask(client, "Server", "3 10")
                self.assertEqual(found["messages"], [f"{number} xxxxxxxxxx" for number in range(3)], client)
        self.assertEqual(self.ask("improbable", "Metadata", "")["trailing"], ["yes"])
