"""WebSockets through a whole balancer, between other people's clients and servers."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import socket
import threading
import time
from collections.abc import Callable
from typing import Any

from websockets import ConnectionClosed, Subprotocol
from websockets.asyncio.client import connect as connect_async
from websockets.sync.client import ClientConnection, connect
from websockets.sync.server import ServerConnection, serve

from balancer.model.frames import FrameCounts
from balancer.wire.websocket.frames import FrameReader
from balancer.wire.websocket.handshake import accept_for
from tests.live.balancers import BIN, OK, BalancerTestCase, Peer, wait_until
from tests.live.processes import free_port
from tests.live.ws_frames import framed

MIB = 1 << 20
KEY = b"dGhlIHNhbXBsZSBub25jZQ=="
UPGRADE = (
    b"GET /chat HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: " + KEY + b"\r\n\r\n"
)
SWITCHED = (
    b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: "
    + accept_for(KEY)
    + b"\r\n\r\n"
)


def echo(connection: ServerConnection) -> None:
    with contextlib.suppress(ConnectionClosed):
        for message in connection:
            connection.send(message)


def spoken(peer: Peer) -> tuple[int, bytes]:
    """Return the next short frame's opcode and payload."""
    first, second = peer.exactly(2)
    size = second & 0x7F
    if size == 126:
        size = int.from_bytes(peer.exactly(2), "big")
    elif size == 127:
        size = int.from_bytes(peer.exactly(8), "big")
    mask = peer.exactly(4) if second & 0x80 else bytes(4)
    payload = peer.exactly(size)
    return first & 0x0F, bytes(byte ^ mask[at % 4] for at, byte in enumerate(payload))


class WebSocketTestCase(BalancerTestCase):
    def websockets(self, talk: Callable[[ServerConnection], None] = echo, **more: Any) -> str:
        """Run a server; return its address."""
        server = serve(talk, "127.0.0.1", 0, max_size=None, **more)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        self.addCleanup(server.shutdown)
        return f"127.0.0.1:{server.socket.getsockname()[1]}"

    def by_hand(self, talk: Callable[[Peer], None]) -> str:
        """Run a server that agrees to a WebSocket, and then does what ``talk`` does; return its address."""

        def switch(peer: Peer) -> None:
            peer.head()
            peer.send(SWITCHED)
            talk(peer)

        return self.server(switch).address

    def join(self, port: int) -> Peer:
        """Return a client that has become a WebSocket."""
        client = self.connect(port)
        client.send(UPGRADE)
        self.assertIn(b" 101 ", client.head())
        return client

    def dial(self, port: int, **more: Any) -> ClientConnection:
        client = connect(f"ws://127.0.0.1:{port}/chat", max_size=None, open_timeout=30, **more)
        self.addCleanup(client.close_socket)
        return client

    def closing(self, client: ClientConnection) -> tuple[int | None, str | None]:
        """Wait for the end; return code and reason."""
        with contextlib.suppress(ConnectionClosed):
            while True:
                client.recv(timeout=20)
        return client.close_code, client.close_reason


class HandshakeTests(WebSocketTestCase):
    def test_agreed(self) -> None:
        """Subprotocols and extensions are agreed upon by the two ends; the 101 has the request's id."""
        _, port = self.web(self.websockets(subprotocols=[Subprotocol("chat")]))
        client = self.dial(port, subprotocols=[Subprotocol("x"), Subprotocol("chat")])
        self.assertEqual(client.subprotocol, "chat")
        self.assertIn("permessage-deflate", client.response.headers["Sec-WebSocket-Extensions"])
        self.assertTrue(client.response.headers["X-Request-Id"])

    def test_refused_requests(self) -> None:
        """A request that no server can agree to is answered here, with the version that there is."""
        running, port = self.web("127.0.0.1:1")
        client = self.connect(port)
        client.send(UPGRADE.replace(b"Version: 13", b"Version: 8"))
        status, head, _ = client.response()
        self.assertEqual(status, 426)
        for field in (
            b"Sec-WebSocket-Version: 13",
            b"Upgrade: websocket",
            b"Proxy-Status: balancer; error=http_request_error",
        ):
            self.assertIn(field, head)
        client.send(UPGRADE.replace(KEY, b"short"))
        self.assertEqual(client.response()[0], 400)
        self.assertEqual(client.rest(), b"")
        self.assertEqual([each["status"] for each in running.records(2)], [426, 400])

    def test_refused_answers(self) -> None:
        """A 101 that is not the answer to the key is a 502."""
        for broken in (
            SWITCHED.replace(accept_for(KEY), KEY),
            SWITCHED.replace(b"Sec-WebSocket-Accept", b"X"),
            SWITCHED.replace(b"Upgrade: websocket", b"Upgrade: other"),
        ):
            server = self.server(lambda peer, broken=broken: (peer.head(), peer.send(broken), peer.rest()) and None)
            running, port = self.web(server.address)
            client = self.connect(port)
            client.send(UPGRADE)
            status, head, _ = client.response()
            self.assertEqual(status, 502)
            self.assertIn(b"Proxy-Status: balancer; error=http_upgrade_failed", head)
            self.assertEqual(running.records(1)[0]["reason"], "http_upgrade_failed")

    def test_no_switch(self) -> None:
        """A server that does not switch is an ordinary response, and the connection goes on as HTTP."""
        server = self.server(lambda peer: [(peer.head(), peer.send(OK)) for _ in range(2)] and None)
        _, port = self.web(server.address)
        client = self.connect(port)
        client.send(UPGRADE + b"GET /2 HTTP/1.1\r\nHost: a\r\n\r\n")
        self.assertEqual([client.response()[0] for _ in range(2)], [200, 200])

    def test_other_protocols(self) -> None:
        """Are joined by a tunnel that knows nothing of them."""

        def talk(peer: Peer) -> None:
            peer.head()
            peer.send(SWITCHED.replace(b"websocket", b"telnet") + b"hello\n")
            peer.send(peer.until(b"\n").upper())

        running, port = self.web(self.server(talk).address)
        client = self.connect(port)
        client.send(UPGRADE.replace(b"websocket", b"telnet") + b"early\n")
        self.assertIn(b"Upgrade: telnet", client.head())
        self.assertEqual(client.rest(), b"hello\nEARLY\n")
        self.assertNotIn("websocket", running.records(1)[0])

    def test_sticky(self) -> None:
        """The cookie of a sticky pool comes with the 101."""
        _, port = self.web(self.websockets(), pool="sticky: {cookie: {name: lb}}")
        self.assertIn("lb=", self.dial(port).response.headers["Set-Cookie"])


class PassingTests(WebSocketTestCase):
    def test_messages(self) -> None:
        """Small and large, text and binary, compressed or not, with pings between; the log counts frames and says who closed."""
        running, port = self.web(self.websockets())
        for compression in (None, "deflate"):
            with self.dial(port, compression=compression) as client:
                for message in ("hello", b"\0\1\2", "", "x" * 125, b"y" * 126, "ü" * 70_000, os.urandom(16 * MIB)):
                    client.send(message)
                    client.ping().wait(20)
                    self.assertEqual(client.recv(timeout=60), message)
            self.assertEqual(client.close_code, 1000)
        for record in running.records(2):
            self.assertEqual((record["status"], record.get("reason")), (101, None))
            self.assertGreater(record["bytes_in"], 16 * MIB)
            found = record["websocket"]
            self.assertEqual((found["messages_in"], found["messages_out"]), (7, 7))
            self.assertEqual(found["frames_in"], {"text": 4, "binary": 3, "ping": 7, "close": 1})
            self.assertEqual((found["closed_by"], found["close_code"]), ("client", 1000))
            self.assertNotIn("violations_in", found)

    def test_fragments(self) -> None:
        """Messages in parts, with control frames between the parts, from either side."""
        parts = ["frag", "ment", "ed"]

        def talk(connection: ServerConnection) -> None:
            assert connection.recv(timeout=20) == "fragmented"
            connection.send(parts)
            echo(connection)

        running, port = self.web(self.websockets(talk))
        with self.dial(port, compression=None) as client:
            client.send(iter(parts))
            self.assertEqual(client.recv(timeout=20), "fragmented")
        found = running.records(1)[0]["websocket"]
        self.assertEqual((found["frames_in"]["text"], found["messages_in"], found["messages_out"]), (1, 1, 1))
        self.assertGreaterEqual(found["frames_in"]["continuation"], 2)

    def test_any_split(self) -> None:
        """Each byte may arrive alone."""
        _, port = self.web(self.websockets())
        client = self.join(port)
        client.skt.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        stream = framed(1, b"one", mask=True) + framed(9, b"p", mask=True) + framed(2, bytes(300), mask=True)
        for at in range(len(stream)):
            client.send(stream[at : at + 1])
            if at < 40:
                time.sleep(0.002)
        found = [spoken(client) for _ in range(3)]
        self.assertEqual(sorted(opcode for opcode, _ in found), [1, 2, 10])
        client.send(framed(8, b"\x03\xe8", mask=True))
        self.assertEqual(spoken(client), (8, b"\x03\xe8"))
        self.assertEqual(client.rest(), b"")

    def test_as_without(self) -> None:
        """Whatever a client sends, right or wrong, in whatever pieces, its pings and its end are answered as without a balancer."""
        address = self.websockets(ping_interval=None)
        _, port = self.web(address)
        chance = random.Random(11)

        def conversation() -> bytes:
            said = b""
            for _ in range(chance.randrange(5)):
                match chance.randrange(4):
                    case 0:
                        said += framed(2, chance.randbytes(chance.choice((0, 1, 125, 126, 1000, 70_000))), mask=True)
                    case 1:
                        said += framed(9, chance.randbytes(chance.randrange(126)), mask=True)
                    case 2:
                        said += framed(10, chance.randbytes(12), mask=True)
                    case _:
                        said += framed(1, b"in ", mask=True, fin=False) + framed(9, b"x", mask=True)
                        said += framed(0, b"", mask=True, fin=False) + framed(0, "zwölf".encode(), mask=True)
            key = chance.randbytes(4)
            wrong = (
                bytes((0x80 | chance.choice((3, 7, 11, 15)), 0x80)) + key,  # an opcode that there is not
                b"\x91\x80" + key,  # a reserved bit
                b"\x09\x80" + key,  # a control frame in parts
                b"\x89\xfe\0\x7e" + key + bytes(126),  # and one too long
                b"\x81\x02ab",  # not masked
                framed(0, b"nothing before", mask=True),
                framed(1, b"one", mask=True, fin=False) + framed(1, b"two", mask=True),
                framed(1, b"\xce\xba\xe1\xbd\xb9\xcf\x83\xed\xa0\x80", mask=True),  # no UTF-8
                framed(8, b"\x03", mask=True),
                framed(8, chance.choice((0, 999, 1004, 1005, 1006, 1016, 5000)).to_bytes(2, "big"), mask=True),
                framed(8, b"", mask=True),
                framed(8, (1000).to_bytes(2, "big") + b"bye", mask=True),
                framed(8, (4000).to_bytes(2, "big"), mask=True),
            )
            return said + chance.choice(wrong)

        def answer(to: int, pieces: list[bytes]) -> list[tuple[int, bytes]]:
            client = self.join(to)
            client.skt.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for piece in pieces:
                client.send(piece)
            reader = FrameReader(FrameCounts(), masked=False)
            reader.feed(client.data)
            while not reader.closed and (more := client.skt.recv(65536)):
                client.data += reader.feed(more)
            client.skt.shutdown(socket.SHUT_WR)  # who is told goodbye goes
            seen = Peer(client.skt)
            seen.data = client.rest()
            found = []
            while seen.data:
                found.append(spoken(seen))
            return [each for each in found if each[0] >= 8]  # whether echoes come before the end is chance

        direct = int(address.rpartition(":")[2])
        for _ in range(120):
            said = conversation()
            cuts = sorted(chance.randrange(len(said) + 1) for _ in range(chance.choice((0, 1, 5))))
            pieces = [said[begin:end] for begin, end in zip([0, *cuts], [*cuts, len(said)], strict=True)]
            self.assertEqual(answer(port, pieces), answer(direct, pieces), said[:200])

    def test_early_frames(self) -> None:
        """A server that speaks along with its 101 is heard, byte for byte."""

        def talk(peer: Peer) -> None:
            peer.head()
            peer.send(SWITCHED + framed(1, b"welcome", mask=False) + framed(8, b"\x03\xe8", mask=False))
            peer.rest()

        _, port = self.web(self.server(talk).address)
        client = self.connect(port)
        client.send(UPGRADE)
        client.head()
        self.assertEqual([spoken(client), spoken(client)], [(1, b"welcome"), (8, b"\x03\xe8")])

    def test_both_ways_at_once(self) -> None:
        """32 MiB each way at the same time, in frames of all sizes, arrive as they were sent."""
        chance = random.Random(7)
        sizes = [chance.choice((0, 1, 125, 126, 5000, 65535, 65536, 300_000)) for _ in range(350)]
        messages = [bytes([number & 0xFF]) * size for number, size in enumerate(sizes)]
        received: list[Any] = []

        def talk(connection: ServerConnection) -> None:
            sending = threading.Thread(target=lambda: [connection.send(each) for each in messages], daemon=True)
            sending.start()
            received.append([connection.recv(timeout=60) for _ in messages])
            sending.join(60)
            echo(connection)

        running, port = self.web(self.websockets(talk, compression=None))

        async def both() -> None:
            uri = f"ws://127.0.0.1:{port}/"
            async with connect_async(uri, compression=None, max_size=None, ping_interval=None) as client:

                async def send() -> None:
                    for each in messages:
                        await client.send(each)

                sending = asyncio.create_task(send())
                received.append([await asyncio.wait_for(client.recv(), 60) for _ in messages])
                await asyncio.wait_for(sending, 60)
                await asyncio.to_thread(wait_until, lambda: len(received) == 2)

        asyncio.run(both())
        self.assertEqual(received[0], messages)
        self.assertEqual(received[1], messages)
        found = running.records(1)[0]["websocket"]
        self.assertEqual((found["messages_in"], found["messages_out"]), (350, 350))

    def test_many(self) -> None:
        """Two hundred at a time, on both reactors; the metrics count them while they are open."""
        address = self.websockets()
        for reactor in ("uv", "epoll"):
            port, metrics = free_port(), free_port()
            running = self.run_balancer(
                f"graceful_timeout: 2s\nmetrics: {{bind: '127.0.0.1:{metrics}'}}\n"
                f"listeners: {{web: {{bind: '127.0.0.1:{port}', protocol: http, pool: web}}}}\n"
                f"pools: {{web: {{servers: ['{address}']}}}}\n",
                command=[str(BIN / "balancer"), "run", "--reactor", reactor, "balancer.yaml"],
            )
            running.wait_for(port)
            running.wait_for(metrics)

            async def talk(port: int = port, metrics: int = metrics) -> bytes:
                uri = f"ws://127.0.0.1:{port}/"
                clients = await asyncio.gather(*[connect_async(uri, open_timeout=60) for _ in range(200)])
                for _ in range(3):
                    for number, client in enumerate(clients):
                        await client.send(f"message {number}")
                    for number, client in enumerate(clients):
                        assert await asyncio.wait_for(client.recv(), 60) == f"message {number}"
                loop = asyncio.get_running_loop()
                response = await loop.run_in_executor(None, lambda: self.get(metrics, "/metrics"))
                await asyncio.gather(*[client.close() for client in clients])
                return bytes(response.body)

            text = asyncio.run(talk())
            labels = b'listener="web",pool="web",route="web"'
            self.assertIn(b"balancer_websockets{" + labels + b"} 200.0", text)
            self.assertIn(b'balancer_websocket_messages_total{direction="in",' + labels + b"} 600.0", text)

    def test_slow_readers(self) -> None:
        """Who does not read makes the other side wait, in either direction; the balancer does not grow."""
        sent = {"server": 0, "client": 0}
        over = threading.Event()
        message = bytes(MIB)

        def push(connection: Any, who: str) -> None:
            with contextlib.suppress(ConnectionClosed, OSError):
                while True:
                    connection.send(message)
                    sent[who] += MIB

        def talk(connection: ServerConnection) -> None:
            if connection.request.path == "/down":
                push(connection, "server")
            else:
                over.wait(60)

        def still(who: str) -> bool:
            before = sent[who]
            time.sleep(0.5)
            return bool(before) and sent[who] == before

        running, port = self.web(self.websockets(talk, compression=None, ping_interval=None))
        before = running.memory()
        down = self.connect(port)
        down.send(UPGRADE.replace(b"/chat", b"/down"))
        wait_until(lambda: still("server"))
        up = connect(f"ws://127.0.0.1:{port}/up", compression=None, max_queue=1, ping_interval=None)
        self.addCleanup(up.close_socket)
        self.addCleanup(
            over.set
        )  # first: the client closes, and the balancer stops, when servers have read what waits for them
        threading.Thread(target=push, args=(up, "client"), daemon=True).start()
        wait_until(lambda: still("client"))
        self.assertLess(sent["server"], 64 * MIB)
        self.assertLess(sent["client"], 64 * MIB)
        self.assertLess(running.memory() - before, 16 * MIB)
        for _ in range(64):  # and goes on when it is read
            down.data = b""
            down.exactly(MIB)


class EndingTests(WebSocketTestCase):
    def test_codes(self) -> None:
        """Close codes and reasons of either side reach the other."""

        def talk(connection: ServerConnection) -> None:
            if connection.request.path == "/server":
                connection.close(4321, "had enough")
            else:
                echo(connection)

        running, port = self.web(self.websockets(talk))
        with connect(f"ws://127.0.0.1:{port}/server") as client:
            self.assertEqual(self.closing(client), (4321, "had enough"))
        client = self.dial(port)
        client.close(3000, "bye")
        self.assertEqual(client.close_code, 3000)
        first, second = running.records(2)
        self.assertEqual((first["websocket"]["closed_by"], first["websocket"]["close_code"]), ("server", 4321))
        self.assertEqual((second["websocket"]["closed_by"], second["websocket"]["close_code"]), ("client", 3000))

    def test_stop(self) -> None:
        """A stop tells both sides 1001, and does not wait for them longer than it takes."""
        told: list[int | None] = []

        def talk(connection: ServerConnection) -> None:
            echo(connection)
            told.append(connection.close_code)

        running, port = self.web(self.websockets(talk), top="")
        client = self.dial(port)
        client.send("hello")
        self.assertEqual(client.recv(timeout=20), "hello")
        running.process.terminate()
        self.assertEqual(self.closing(client), (1001, ""))
        self.assertEqual(running.process.wait(20), 0)
        wait_until(lambda: told == [1001])
        (record,) = running.records(1)
        self.assertEqual((record["reason"], record["websocket"]["closed_by"]), ("shutdown", "balancer"))

    def test_stop_within_a_frame(self) -> None:
        """A frame that is on its way is not torn."""
        release = threading.Event()

        def talk(peer: Peer) -> None:
            frame = framed(2, bytes(1000), mask=False)
            peer.send(frame[:500])
            release.wait(20)
            peer.send(frame[500:] + framed(1, b"with it", mask=False))
            peer.until(b"\x88")
            peer.send(framed(1, b"too late", mask=False) + framed(8, b"\x03\xe9", mask=False))
            peer.rest()

        running, port = self.web(self.by_hand(talk), top="")
        running.file.write_text(running.file.read_text().replace("graceful_timeout: 2s", "graceful_timeout: 20s"))
        running.reload()
        wait_until(lambda: "reloaded" in running.output.read_text())
        client, idle = self.join(port), self.connect(port)
        client.exactly(100)
        running.process.terminate()
        self.assertEqual(idle.rest(), b"")  # closed at the moment at which WebSockets are told
        release.set()
        rest = client.until(b"\x88\x02\x03\xe9")
        # What the server has said in the same breath still goes with it.
        self.assertTrue(rest[904:].startswith(framed(1, b"with it", mask=False)), rest[904:])
        client.send(framed(8, b"\x03\xe9", mask=True))
        self.assertEqual(client.rest(), b"")
        self.assertEqual(running.process.wait(20), 0)

    def test_reload(self) -> None:
        """Reloads let them live, even if pool and routes change; a listener that is taken away tells them to go."""
        address = self.websockets()
        running, port = self.web(address)
        client = self.dial(port)
        text = running.file.read_text()
        for change in (
            text,
            text.replace("pool: web", "pool: other").replace("  web:\n    servers", "  other:\n    servers"),
        ):
            before = running.output.read_text().count("reloaded")
            running.reload(change)
            wait_until(lambda before=before: running.output.read_text().count("reloaded") > before)
            client.send("still here")
            self.assertEqual(client.recv(timeout=20), "still here")
        running.reload(
            text.replace(f"bind: 127.0.0.1:{port}", f"bind: 127.0.0.1:{free_port()}").replace(
                "  web:\n    bind", "  new:\n    bind"
            )
        )
        self.assertEqual(self.closing(client)[0], 1001)

    def test_idle(self) -> None:
        """Silence ends it with 1001."""
        running, port = self.web(self.websockets(ping_interval=None), listener="pool: web\ntimeouts: {idle: 1s}")
        client = self.dial(port, ping_interval=None)
        self.assertEqual(self.closing(client), (1001, "idle"))
        self.assertEqual(running.records(1)[0]["reason"], "connection_read_timeout")

    def test_server_dies(self) -> None:
        """A client whose server resets the connection, or only closes it, is told 1011."""
        for how in ("reset", "close"):

            def talk(peer: Peer, how: str = how) -> None:
                peer.send(framed(1, b"last words", mask=False))
                peer.until(b"\x81")
                getattr(peer, how)()

            running, port = self.web(self.by_hand(talk))
            client = self.join(port)
            self.assertEqual(spoken(client), (1, b"last words"))
            client.send(framed(1, b"go", mask=True))
            opcode, payload = spoken(client)
            self.assertEqual((opcode, payload[:2]), (8, (1011).to_bytes(2, "big")), how)
            client.send(framed(8, b"\x03\xf3", mask=True))
            self.assertEqual(client.rest(), b"")
            self.assertEqual(running.records(1)[0]["reason"], "connection_terminated")

    def test_client_dies(self) -> None:
        """A server whose client disappears sees its connection end; half-closed is passed on as that."""
        seen: list[bytes] = []

        def talk(peer: Peer) -> None:
            seen.append(peer.rest())

        running, port = self.web(self.by_hand(talk))
        hello = framed(1, b"hello", mask=True)
        for how in ("close", "reset"):
            client = self.join(port)
            client.send(hello)
            getattr(client, how)()
        wait_until(lambda: len(seen) == 2)
        client = self.join(port)
        client.send(hello)
        client.skt.shutdown(socket.SHUT_WR)
        wait_until(lambda: len(seen) == 3)
        self.assertEqual(client.rest(), b"")
        self.assertEqual(seen[0], hello)
        self.assertEqual(len(running.records(3)), 3)


class PolicyTests(WebSocketTestCase):
    def test_pings(self) -> None:
        """Both sides are pinged, answer, and notice nothing; one that does not answer is given up."""
        running, port = self.web(
            self.websockets(ping_interval=None),
            listener="pool: web\nwebsocket: {ping: 300ms, pong_timeout: 2s, ping_whom: both}\ntimeouts: {idle: 4s}",
        )
        client = self.dial(port, ping_interval=None)
        silent = self.join(port)
        self.assertEqual(spoken(silent)[0], 9)
        opcode, payload = spoken(silent)
        self.assertEqual((opcode, payload), (8, b"\x03\xe9the client does not answer pings"))
        client.send("there?")
        self.assertEqual(client.recv(timeout=20), "there?")
        client.close()
        records = {each["websocket"]["closed_by"]: each for each in running.records(2)}
        self.assertEqual(records["balancer"]["detail"], "the client does not answer pings")
        found = records["client"]["websocket"]
        self.assertGreater(found["pings"], 2)
        self.assertEqual(found["frames_in"], {"text": 1, "close": 1})
        self.assertEqual(found["frames_out"], {"text": 1, "close": 1})

    def test_limits(self) -> None:
        """Too long a frame is answered with 1009, a forbidden one with 1002; without ``strict`` it is only counted."""
        running, port = self.web(self.websockets(), listener="pool: web\nwebsocket: {max_frame: 1MiB, strict: true}")
        client = self.dial(port, compression=None)
        client.send(bytes(MIB))
        self.assertEqual(len(client.recv(timeout=20)), MIB)
        with contextlib.suppress(ConnectionClosed):
            client.send(bytes(MIB + 1))
        self.assertEqual(self.closing(client)[0], 1009)
        hand = self.join(port)
        hand.send(framed(1, b"not masked", mask=False))
        self.assertEqual(spoken(hand), (8, b"\x03\xeaa frame that is not masked"))
        hand.send(framed(8, b"\x03\xea", mask=True))
        self.assertEqual(hand.rest(), b"")
        first, second = running.records(2)
        self.assertEqual((first["websocket"]["close_code"], second["websocket"]["violations_in"]), (1009, 1))
        running, port = self.web(self.websockets())
        hand = self.join(port)
        hand.send(framed(1, b"not masked", mask=False))
        self.assertEqual(spoken(hand)[1][:2], (1002).to_bytes(2, "big"))  # says the server
        hand.close()
        (record,) = running.records(1)
        self.assertEqual((record["websocket"]["violations_in"], record["websocket"]["closed_by"]), (1, "server"))
