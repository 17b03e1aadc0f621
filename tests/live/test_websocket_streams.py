"""WebSockets on streams of HTTP/2 (RFC 8441) through a whole balancer, to other people's servers; one client is a browser."""

from __future__ import annotations

import contextlib
import http
import json
import os
import re
import signal
import ssl
import subprocess
import threading
import time
from typing import Any

from websockets import ConnectionClosed, Subprotocol
from websockets.sync.server import ServerConnection

from balancer.wire.websocket.handshake import accept_for
from tests.live.balancers import OK, Peer, RunningBalancer, answering, wait_until
from tests.live.h2_client import Streams
from tests.live.processes import free_port
from tests.live.programs import need
from tests.live.test_websocket import MIB, WebSocketTestCase, echo
from tests.live.ws_frames import framed
from tests.tls.authority import Authority

CANCEL, NO_ERROR = 8, 0


class StreamTestCase(WebSocketTestCase):
    library = "nghttp2"

    def web(self, *servers: str, listener: str = "", pool: str = "", top: str = "") -> tuple[RunningBalancer, int]:
        os.environ["BALANCER_HTTP2"] = self.library
        self.addCleanup(os.environ.pop, "BALANCER_HTTP2", None)
        return super().web(*servers, listener=listener, pool=pool, top=top)

    def streams(self, port: int, **more: Any) -> Streams:
        found = Streams(port, **more)
        self.addCleanup(found.close)
        return found


class PassingTests(StreamTestCase):
    def test_messages(self) -> None:
        """Small and large, text and binary, in one frame and in many, with pings between; the log counts frames and says who closed."""
        running, port = self.web(self.websockets(compression=None))
        client = self.streams(port)
        ws = client.open()
        messages: list[str | bytes] = ["hello", b"\0\1\2", "", "x" * 125, b"y" * 126, "ü" * 70_000, os.urandom(4 * MIB)]
        for message in messages:
            for parts in (1, 3):
                ws.send(message, parts)
                ws.ping(b"there?")
                self.assertEqual(ws.recv(), message)
        wait_until(lambda: client.read() or len(ws.controls) == 14 if len(ws.controls) < 14 else True)
        self.assertEqual(ws.controls, [(10, b"there?")] * 14)
        ws.close(1000, "bye")
        ws.finish()
        self.assertEqual((ws.closed, ws.ended, ws.reset), ((1000, "bye"), True, None))
        (record,) = running.records(1)
        self.assertEqual((record["status"], record["version"], record["h2_stream"]), (200, "2.0", 1))
        self.assertNotIn("reason", record)
        found = record["websocket"]
        self.assertEqual((found["messages_in"], found["messages_out"]), (14, 14))
        self.assertEqual(found["frames_in"], {"continuation": 14, "text": 8, "binary": 6, "ping": 14, "close": 1})
        self.assertEqual((found["closed_by"], found["close_code"]), ("client", 1000))
        self.assertNotIn("violations_in", found)

    def test_agreed(self) -> None:
        """Subprotocols and extensions are for the two ends; the answer has the request's id, and no trace of a key."""
        _, port = self.web(self.websockets(subprotocols=[Subprotocol("chat")]), pool="sticky: {cookie: {name: lb}}")
        ws = self.streams(port).open(
            "/chat", ("sec-websocket-protocol", "x, chat"), ("sec-websocket-extensions", "permessage-deflate")
        )
        self.assertEqual(ws.head["sec-websocket-protocol"], "chat")
        self.assertIn("permessage-deflate", ws.head["sec-websocket-extensions"])
        self.assertIn("lb=", ws.head["set-cookie"])
        self.assertTrue(ws.head["x-request-id"])
        self.assertNotIn("sec-websocket-accept", ws.head)

    def test_refused(self) -> None:
        """A server that refuses is an ordinary response, with its body; one that knows no WebSockets does not seem to agree."""

        def refuse(connection: ServerConnection, _: Any) -> Any:
            return connection.respond(http.HTTPStatus.FORBIDDEN, "not you")

        running, port = self.web(self.websockets(process_request=refuse))
        client = self.streams(port)
        for _ in range(3):
            ws = client.ask().finish()
            self.assertEqual((ws.status, ws.received, ws.ended), (403, b"not you", True))
        self.assertEqual([(each["status"], "websocket" in each) for each in running.records(3)], [(403, False)] * 3)
        _, port = self.web(self.server(answering(OK)).address)
        client = self.streams(port)
        ws = client.ask().finish()
        self.assertEqual(ws.status, 502)
        self.assertIn("http_upgrade_failed", ws.head["proxy-status"])
        ws = client.ask("/chat", protocol="other").finish()
        self.assertEqual(ws.status, 501)

    def test_retried(self) -> None:
        """A server that is not there is not the end of a handshake."""
        running, port = self.web(f"127.0.0.1:{free_port()}", self.websockets(), pool="algorithm: round_robin")
        client = self.streams(port)
        for number in range(4):
            ws = client.open()
            ws.send(f"message {number}")
            self.assertEqual(ws.recv(), f"message {number}")
            ws.close()
            ws.finish()
        self.assertIn(2, {each["attempts"] for each in running.records(4)})

    def test_many(self) -> None:
        """Ninety at a time on one connection, and requests between; the metrics count them while they are open."""
        metrics = free_port()
        running, port = self.web(self.websockets(), top=f"metrics: {{bind: '127.0.0.1:{metrics}'}}")
        running.wait_for(metrics)
        client = self.streams(port)
        sockets = [client.ask(f"/{number}") for number in range(90)]
        for ws in sockets:
            ws.answered()
            self.assertEqual(ws.status, 200)
        for turn in range(3):
            for number, ws in enumerate(sockets):
                ws.send(f"{turn} {number} " + "x" * 1000)
            for number, ws in reversed(list(enumerate(sockets))):
                self.assertEqual(ws.recv(), f"{turn} {number} " + "x" * 1000)
        text = self.get(metrics, "/metrics").body
        labels = b'listener="web",pool="web",route="web"'
        self.assertIn(b"balancer_websockets{" + labels + b"} 90.0", text)
        self.assertIn(b'balancer_websocket_messages_total{direction="in",' + labels + b"} 270.0", text)
        self.assertIn(b'balancer_http2_connections{listener="web"} 1.0', text)
        for ws in sockets:
            ws.close()
        for ws in sockets:
            self.assertTrue(ws.finish().ended)
        self.assertEqual({each["websocket"]["close_code"] for each in running.records(90)}, {1000})

    def test_slow_readers(self) -> None:
        """Who does not read, at either end, stops its own stream only, and costs little memory; and goes on when it reads."""
        sent: dict[str, int] = {}
        read = threading.Event()

        def talk(connection: ServerConnection) -> None:
            path = connection.request.path
            with contextlib.suppress(ConnectionClosed):
                if path.startswith("/down"):
                    for _ in range(64):
                        connection.send(bytes(MIB))
                        sent[path] = sent.get(path, 0) + 1
                elif path.startswith("/up"):
                    read.wait(60)
                echo(connection)

        running, port = self.web(self.websockets(talk, compression=None, ping_interval=None))
        self.addCleanup(read.set)
        client = self.streams(port, window=128 * 1024)
        echoing = client.open()
        before = running.memory()
        downs = [client.ask(f"/down{number}") for number in range(10)]
        for ws in downs:
            ws.reads = False
            ws.answered()
        ups = [client.open(f"/up{number}") for number in range(10)]
        for ws in ups:
            ws.send(bytes(8 * MIB))
        for number in range(50):  # meanwhile
            echoing.send(f"message {number}")
            self.assertEqual(echoing.recv(), f"message {number}")
        self.assertTrue(all(ws.unsent for ws in ups))
        self.assertTrue(all(count < 64 for count in sent.values()), sent)
        self.assertLess(running.memory() - before, 24 * MIB)
        downs[0].read_on()
        client.flush()
        for _ in range(64):
            self.assertEqual(len(downs[0].recv()), MIB)
        read.set()
        self.assertEqual(len(ups[0].recv()), 8 * MIB)

    def test_pools_that_speak_both(self) -> None:
        """With ``auto`` the server is spoken to in HTTP/1.1."""
        authority = Authority()
        folder = self.folder()
        (folder / "ca.pem").write_bytes(authority.issued.cert)
        authority.issue("shop.example").write(folder / "shop.pem", None, authority.issued)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(folder / "shop.pem")
        tls = f"tls: {{ca: {folder / 'ca.pem'}, server_name: shop.example}}"
        address = self.websockets(ssl=context)
        running, port = self.web(address, pool=f"{tls}\nprotocol: auto")
        ws = self.streams(port).open()
        ws.send("hello")
        self.assertEqual(ws.recv(), "hello")
        ws.close()
        ws.finish()
        self.assertEqual(running.records(1)[0]["server_protocol"], "http1")

    def test_on_both_sides(self) -> None:
        """A pool that speaks HTTP/2 has WebSockets on streams where its servers say that they take them: another balancer does."""
        server, inner = self.web(self.websockets(compression=None))
        running, port = self.web(f"127.0.0.1:{inner}", pool="protocol: h2")
        client = self.streams(port)
        sockets = [client.open() for _ in range(20)]
        for number, ws in enumerate(sockets):
            ws.send(f"message {number}")
        sockets[0].send(os.urandom(2 * MIB), 5)
        self.assertEqual([ws.recv() for ws in sockets], [f"message {number}" for number in range(20)])
        self.assertEqual(len(sockets[0].recv()), 2 * MIB)
        with self.dial(port, compression=None) as other:  # by HTTP/1.1 from the client's side
            other.send(bytes(MIB))
            self.assertEqual(other.recv(timeout=20), bytes(MIB))
        for ws in sockets:
            ws.close(3000, "bye")
            self.assertEqual(ws.finish().closed, (3000, "bye"))
        for balancer, protocol in ((running, "h2"), (server, "http1")):
            found = balancer.records(21)
            self.assertEqual({each["server_protocol"] for each in found}, {protocol})
            self.assertEqual({each["websocket"]["close_code"] for each in found}, {1000, 3000})
        self.assertEqual(len({each["client_port"] for each in server.records(21)}), 1)

    def test_servers_that_do_not_say_so(self) -> None:
        """Are not asked: 502."""
        _, inner = self.web(self.websockets(), listener="pool: web\nhttp2: {websocket: false}")
        _, port = self.web(f"127.0.0.1:{inner}", pool="protocol: h2")
        ws = self.streams(port).ask().finish()
        self.assertEqual(ws.status, 502)
        self.assertIn("http_upgrade_failed", ws.head["proxy-status"])


class PassingPureTests(PassingTests):
    """The same on the pure library."""

    library = "h2"


class EndingTests(StreamTestCase):
    def test_codes(self) -> None:
        """Close codes and reasons of either side reach the other."""
        told: list[tuple[int | None, str | None]] = []

        def talk(connection: ServerConnection) -> None:
            if connection.request.path == "/server":
                connection.close(4321, "had enough")
            else:
                echo(connection)
                told.append((connection.close_code, connection.close_reason))

        running, port = self.web(self.websockets(talk))
        client = self.streams(port)
        self.assertEqual(client.open("/server").finish().closed, (4321, "had enough"))
        ws = client.open()
        ws.close(3000, "bye")
        self.assertEqual(ws.finish().closed, (3000, "bye"))
        wait_until(lambda: told == [(3000, "bye")])
        found = [(each["websocket"]["closed_by"], each["websocket"]["close_code"]) for each in running.records(2)]
        self.assertEqual(found, [("server", 4321), ("client", 3000)])

    def test_client_goes(self) -> None:
        """END_STREAM is a FIN for the server, a reset a reset, and the end of the connection what it was."""
        seen: list[str] = []

        def talk(peer: Peer) -> None:
            peer.exactly(11)
            try:
                seen.append("fin" if not peer.skt.recv(1) else "data")
            except ConnectionResetError:
                seen.append("reset")

        running, port = self.web(self.by_hand_keyed(talk))
        for how in ("end", "cancel", "close"):
            client = self.streams(port)
            ws = client.open()
            ws.send("hello")
            if how == "close":
                client.close()
            else:
                getattr(ws, how)()
                client.flush()
            wait_until(lambda how=how: len(seen) == ("end", "cancel", "close").index(how) + 1)
        self.assertEqual(seen[:2], ["fin", "reset"])
        self.assertEqual(seen[2], "fin")
        self.assertEqual(len(running.records(3)), 3)

    def test_half_closed(self) -> None:
        """A client that has ended its half hears what the server still has to say."""

        def talk(peer: Peer) -> None:
            peer.rest()
            peer.send(framed(1, b"still here", mask=False) * 3)

        _, port = self.web(self.by_hand_keyed(talk))
        ws = self.streams(port).open()
        ws.send("hello")
        ws.end()
        ws.flush()
        self.assertEqual([ws.recv() for _ in range(3)], ["still here"] * 3)
        self.assertTrue(ws.finish().ended)

    def test_server_dies(self) -> None:
        """A client whose server resets the connection, or only closes it, is told 1011; within a frame there is just an end."""
        for how, last in (("reset", b"last words"), ("close", b"last words"), ("close", b"")):

            def talk(peer: Peer, how: str = how, last: bytes = last) -> None:
                frame = framed(1, b"last words", mask=False)
                peer.send(frame if last else frame[:5])
                peer.until(b"\x81")
                getattr(peer, how)()

            running, port = self.web(self.by_hand_keyed(talk))
            ws = self.streams(port).open()
            ws.send("go")
            if last:
                self.assertEqual(ws.recv(), "last words")
                ws.finish()
                assert ws.closed is not None
                self.assertEqual((ws.closed[0], ws.ended), (1011, True), how)
            else:
                ws.finish()
                self.assertEqual((ws.closed, ws.ended), (None, True))
            self.assertEqual(running.records(1)[0]["reason"], "connection_terminated")

    def by_hand_keyed(self, talk: Any) -> str:
        """Run a server that agrees to whatever key it is given, then does what ``talk`` does."""

        def switch(peer: Peer) -> None:
            key = re.search(rb"sec-websocket-key: (\S+)", peer.head(), re.IGNORECASE)
            assert key is not None
            peer.send(
                b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
                b"Sec-WebSocket-Accept: " + accept_for(key[1]) + b"\r\n\r\n"
            )
            talk(peer)

        return self.server(switch).address

    def test_stop(self) -> None:
        """A stop tells both sides 1001, and the client GOAWAY; it waits for no longer than that takes."""
        told: list[int | None] = []

        def talk(connection: ServerConnection) -> None:
            echo(connection)
            told.append(connection.close_code)

        running, port = self.web(self.websockets(talk))
        client = self.streams(port)
        sockets = [client.open() for _ in range(5)]
        for ws in sockets:
            ws.send("hello")
            self.assertEqual(ws.recv(), "hello")
        running.process.terminate()
        self.assertEqual([ws.finish().closed for ws in sockets], [(1001, "")] * 5)
        self.assertEqual(client.goaways, 2)
        self.assertRaises(EOFError, self._read_on, client)
        self.assertEqual(running.process.wait(20), 0)
        wait_until(lambda: told == [1001] * 5)
        self.assertEqual({each["reason"] for each in running.records(5)}, {"shutdown"})

    @staticmethod
    def _read_on(client: Streams) -> None:
        while True:
            client.read()

    def test_reload(self) -> None:
        """Reloads let them live, even if pool and routes change; a listener that is taken away tells them to go."""
        address = self.websockets()
        running, port = self.web(address)
        client = self.streams(port)
        ws = client.open()
        text = running.file.read_text()
        for change in (
            text,
            text.replace("pool: web", "pool: other").replace("  web:\n    servers", "  other:\n    servers"),
            text.replace("protocol: http\n", "protocol: http\n    http2: {websocket: false}\n"),
        ):
            before = running.output.read_text().count("reloaded")
            running.reload(change)
            wait_until(lambda before=before: running.output.read_text().count("reloaded") > before)
            ws.send("still here")
            self.assertEqual(ws.recv(), "still here")
            other = client.open()
            other.send("and others")
            self.assertEqual(other.recv(), "and others")
        running.reload(
            text.replace(f"bind: 127.0.0.1:{port}", f"bind: 127.0.0.1:{free_port()}").replace(
                "  web:\n    bind", "  new:\n    bind"
            )
        )
        self.assertEqual(ws.finish().closed, (1001, ""))

    def test_idle(self) -> None:
        """Silence ends one with 1001; those that are not silent, and the connection, live on."""
        running, port = self.web(self.websockets(ping_interval=None), listener="pool: web\ntimeouts: {idle: 1s}")
        client = self.streams(port)
        silent, other = client.open(), client.open()
        while silent.closed is None:
            other.send("something")
            other.recv()
            time.sleep(0.01)
        self.assertEqual(silent.finish().closed, (1001, "idle"))
        other.send("still here")
        self.assertEqual(other.recv(), "still here")
        self.assertEqual(running.records(1)[0]["reason"], "connection_read_timeout")

    def test_pings_and_limits(self) -> None:
        """Pings of the balancer's own are answered unseen; too long a frame is answered with 1009."""
        running, port = self.web(
            self.websockets(ping_interval=None),
            listener="pool: web\nwebsocket: {ping: 300ms, pong_timeout: 5s, max_frame: 1MiB}",
        )
        client = self.streams(port)
        ws = client.open()
        while len(ws.controls) < 3:
            client.read()
        self.assertEqual({opcode for opcode, _ in ws.controls}, {9})
        ws.send(bytes(MIB))
        self.assertEqual(len(ws.recv()), MIB)
        ws.send(bytes(MIB + 1))
        self.assertEqual(ws.finish().closed, (1009, "a frame of 1048577 bytes"))
        found = running.records(1)[0]["websocket"]
        self.assertGreaterEqual(found["pings"], 3)
        self.assertNotIn("pong", found["frames_in"])


class EndingPureTests(EndingTests):
    """The same on the pure library."""

    library = "h2"


_PAGE = """<!doctype html><title>chat</title><script>
const log = [], say = what => log.push(what);
const tell = text => fetch("https://localhost:TOLD/", {method: "POST", mode: "no-cors", body: text});
const open = path => new Promise((resolve, reject) => {
  const ws = new WebSocket(`wss://${location.host}${path}`, ["x", "chat"]);
  ws.binaryType = "arraybuffer"; ws.waiting = []; ws.came = [];
  ws.onmessage = ({data}) => ws.waiting.length ? ws.waiting.shift()(data) : ws.came.push(data);
  ws.next = () => new Promise(resolve => ws.came.length ? resolve(ws.came.shift()) : ws.waiting.push(resolve));
  ws.closed = new Promise(resolve => ws.onclose = resolve);
  ws.onopen = () => resolve(ws); ws.onerror = () => reject(new Error(`no ${path}`));
});
(async () => {
  await fetch("/page");
  const ws = await open("/chat");
  say(ws.protocol);
  for (const text of ["hello", "", "ü".repeat(100000)]) { ws.send(text); say(await ws.next() === text); }
  const bytes = new Uint8Array(3 << 20).map((_, at) => at * 7);
  ws.send(bytes);
  const back = new Uint8Array(await ws.next());
  say(back.length === bytes.length && back.every((byte, at) => byte === bytes[at]));
  const many = await Promise.all([...Array(20).keys()].map(number => open(`/chat?${number}`)));
  many.forEach((each, number) => each.send(`message ${number}`));
  say((await Promise.all(many.map(each => each.next()))).every((text, number) => text === `message ${number}`));
  ws.close(3000, "bye");
  let end = await ws.closed; say([end.code, end.reason, end.wasClean]);
  end = await (await open("/server")).closed; say([end.code, end.reason, end.wasClean]);
  say(await open("/refused").then(() => "agreed", error => error.message));
  await tell("ready");
  end = await many[0].closed; say([end.code, end.reason, end.wasClean]);
})().catch(error => say(String(error))).then(() => tell(JSON.stringify(log)));
</script>"""


class BrowserTests(StreamTestCase):
    def test_chromium(self) -> None:
        """A page that came by HTTP/2 has its WebSockets on streams of the same connection, until the balancer stops."""
        chromium = need("chromium")
        authority = Authority()
        folder = self.folder()
        authority.issue("localhost").write(folder / "site.pem", None, authority.issued)
        told: list[bytes] = []

        def listen(peer: Peer) -> None:
            while True:
                length = re.search(rb"content-length: (\d+)", peer.head().lower())
                told.append(peer.exactly(int(length[1]) if length else 0))
                peer.send(OK)

        def talk(connection: ServerConnection) -> None:
            if connection.request.path == "/server":
                connection.close(4321, "had enough")
            else:
                echo(connection)

        def refuse(connection: ServerConnection, request: Any) -> Any:
            return connection.respond(http.HTTPStatus.FORBIDDEN, "no") if request.path == "/refused" else None

        address = self.websockets(talk, process_request=refuse, subprotocols=[Subprotocol("chat")])
        port, told_at = free_port(), free_port()
        page = json.dumps(_PAGE.replace("TOLD", str(told_at)).replace("$", "$$"))
        certificates = f"{{certificates: [{{cert: {folder / 'site.pem'}, key: {folder / 'site.pem'}}}]}}"
        told_in = f"  told: {{bind: '127.0.0.1:{told_at}', tls: {certificates}, pool: told}}\n"
        web = (
            f"  web:\n    bind: 127.0.0.1:{port}\n    tls: {certificates}\n    routes:\n"
            "      - match: {path: /page}\n"
            f"        respond: {{status: 200, headers: {{Content-Type: text/html}}, body: {page}}}\n"
            "      - {name: chat, pool: web}\n"
        )
        pools = f"pools: {{web: {{servers: ['{address}']}}, told: {{servers: ['{self.server(listen).address}']}}}}\n"
        text = f"access_log: {{format: json, path: '@log@'}}\nlisteners:\n{told_in}{web}{pools}"
        running = self.run_balancer(text, BALANCER_HTTP2=self.library)
        running.wait_for(port)
        browser = subprocess.Popen(
            [
                chromium,
                "--headless=new",
                "--no-sandbox",
                "--disable-gpu",
                "--disable-dev-shm-usage",
                "--ignore-certificate-errors",
                "--no-first-run",
                f"--user-data-dir={folder / 'profile'}",
                f"https://localhost:{port}/page",
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

        def leave() -> None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(browser.pid, signal.SIGKILL)
            browser.wait(20)

        self.addCleanup(leave)
        wait_until(lambda: told, 120)
        self.assertEqual(told[0], b"ready")
        running.reload(running.file.read_text().replace(web, ""))
        wait_until(lambda: len(told) == 2, 60)
        expected = [
            *("chat", True, True, True, True, True),
            [3000, "bye", True],
            [4321, "had enough", True],
            "no /refused",
            [1001, "", True],
        ]
        self.assertEqual(json.loads(told[1]), expected)
        records = wait_until(lambda: [each for each in running.records(1) if "websocket" in each][21:])
        records = [each for each in running.records(1) if each["listener"] == "web"]
        sockets = [each for each in records if "websocket" in each]
        self.assertEqual(
            {(each["status"], each["version"], each["tls"]["alpn"]) for each in sockets}, {(200, "2.0", "h2")}
        )
        (page_from,) = {each["client_port"] for each in records if each["target"] == "/page"}
        self.assertEqual({each["client_port"] for each in sockets}, {page_from})
        self.assertEqual(len({each["h2_stream"] for each in sockets}), 22)
        self.assertEqual([each["status"] for each in records if each["target"] == "/refused"], [403])
