"""Server-sent events, and other answers without a length, through a whole balancer."""

from __future__ import annotations

import os
import socket
import threading
from typing import Any

from tests.live.balancers import BIN, BalancerTestCase, Peer, wait_until
from tests.live.h2_client import Streams
from tests.live.processes import free_port

GET = b"GET /events HTTP/1.1\r\nHost: a\r\nAccept: text/event-stream\r\n\r\n"
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-cache\r\nTransfer-Encoding: chunked\r\n\r\n"


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


class Stream:
    """What a server says when it is told to, and whether its client is still there."""

    def __init__(self, peer: Peer) -> None:
        self.peer = peer
        self.gone = threading.Event()
        self.over = threading.Event()

    def event(self, number: int) -> bytes:
        data = b"data: %d\n\n" % number
        self.peer.send(chunk(data))
        return data


class EventTests(BalancerTestCase):
    def events(self, head: bytes = HEAD) -> str:
        """Run a server that says ``head`` to each request and leaves the rest to ``self.streams``; return its address."""
        self.streams: list[Stream] = []

        def talk(peer: Peer) -> None:
            peer.head()
            peer.send(head)
            stream = Stream(peer)
            self.streams.append(stream)
            peer.skt.settimeout(60)
            try:
                peer.skt.recv(1)
            except OSError:
                pass
            stream.gone.set()
            stream.over.wait(60)

        server = self.server(talk)
        self.addCleanup(lambda: [stream.over.set() for stream in self.streams])
        return server.address

    def subscribe(self, port: int) -> tuple[Peer, Stream]:
        """Return a client that has the head of its answer, before any event, and the server's side of it."""
        count = len(self.streams)
        client = self.connect(port)
        client.send(GET)
        self.assertIn(b"text/event-stream", client.head())
        return client, wait_until(lambda: self.streams[count:])[0]

    def test_one_by_one(self) -> None:
        """Head and events arrive each as soon as the server has said it: the next is said only when the client has it."""
        address = self.events()
        for reactor in ("uv", "epoll"):
            port = free_port()
            running = self.run_balancer(
                "graceful_timeout: 1s\n"
                f"listeners: {{web: {{bind: '127.0.0.1:{port}', protocol: http, pool: web}}}}\n"
                f"pools: {{web: {{servers: ['{address}']}}}}\n",
                command=[str(BIN / "balancer"), "run", "--reactor", reactor, "balancer.yaml"],
            )
            running.wait_for(port)
            client, stream = self.subscribe(port)
            for number in range(50):
                said = stream.event(number)
                self.assertEqual(client.until(b"\n\n\r\n"), chunk(said))
            stream.peer.send(b"0\r\n\r\n")
            self.assertEqual(client.until(b"0\r\n\r\n"), b"0\r\n\r\n")

    def test_on_streams(self) -> None:
        """So it is with HTTP/2: head and events of many streams arrive one by one, and a client that resets one is gone."""
        for library in ("nghttp2", "h2"):
            with self.subTest(library):
                os.environ["BALANCER_HTTP2"] = library
                self.addCleanup(os.environ.pop, "BALANCER_HTTP2", None)
                running, port = self.web(self.events())
                client = Streams(port)
                self.addCleanup(client.close)
                pairs = []
                for number in range(10):
                    answer = client.get(f"/events/{number}")
                    answer.answered()
                    self.assertEqual((answer.status, answer.received), (200, b""))
                    pairs.append((answer, wait_until(lambda number=number: self.streams[number:])[0]))
                for number in range(5):
                    for answer, stream in pairs:
                        said = stream.event(number)
                        while not answer.received.endswith(said):
                            client.read()
                for answer, stream in pairs:
                    answer.cancel()
                    self.assertTrue(stream.gone.wait(20))
                self.assertEqual({each["detail"] for each in running.records(10)}, {"client went away"})

    def test_until_the_end_of_the_connection(self) -> None:
        """An answer that ends with its connection comes piece by piece too."""
        head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"
        _, port = self.web(self.events(head))
        client, stream = self.subscribe(port)
        for number in range(5):
            stream.peer.send(b"data: %d\n\n" % number)
            self.assertEqual(client.until(b"\n\n\r\n"), chunk(b"data: %d\n\n" % number))
        stream.peer.skt.shutdown(socket.SHUT_WR)
        self.assertEqual(client.until(b"0\r\n\r\n"), b"0\r\n\r\n")

    def test_reload(self) -> None:
        """A reload does not touch a stream; a stop waits for it as long as it may."""
        running, port = self.web(self.events())
        client, stream = self.subscribe(port)
        for number in range(3):
            running.reload()
            wait_until(lambda number=number: running.output.read_text().count("reloaded") > number)
            self.assertEqual(
                client.until(b"\n\n\r\n") if stream.event(number) else b"", chunk(b"data: %d\n\n" % number)
            )

    def test_client_that_leaves(self) -> None:
        """The server's side ends at once, not with its next event: with a reset, or a FIN while events are coming."""
        running, port = self.web(self.events())
        for how in ("close", "reset"):
            client, stream = self.subscribe(port)
            stream.event(1)
            client.until(b"\n\n\r\n")
            getattr(client, how)()
            self.assertTrue(stream.gone.wait(20))
        for record in running.records(2):
            self.assertEqual((record["status"], record["detail"]), (200, "client went away"))

    def test_idle(self) -> None:
        """A stream may last as long as it likes, but not be silent for longer than the pool allows."""
        running, port = self.web(self.events(), pool="timeouts: {first_byte: 400ms, idle: 1s}")
        client, stream = self.subscribe(port)
        for number in range(4):
            self.assertFalse(
                stream.gone.wait(0.5)
            )  # the pause is what is tested: 2 s of stream, none longer than allowed
            stream.event(number)
            client.until(b"\n\n\r\n")
        self.assertTrue(stream.gone.wait(20))
        client.rest()
        self.assertEqual(running.records(1)[0]["reason"], "connection_read_timeout")

    def test_many(self) -> None:
        """A hundred streams at once, events in any order."""
        _, port = self.web(self.events())
        pairs: list[Any] = [self.subscribe(port) for _ in range(100)]
        for number in range(3):
            for _, stream in pairs:
                stream.event(number)
            for client, _ in reversed(pairs):
                self.assertEqual(client.until(b"\n\n\r\n"), chunk(b"data: %d\n\n" % number))
        for client, _ in pairs:
            client.close()
        for _, stream in pairs:
            self.assertTrue(stream.gone.wait(20))
