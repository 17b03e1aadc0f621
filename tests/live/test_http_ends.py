"""How HTTP connections end: the last answer arrives, and nobody stays for ever."""

from __future__ import annotations

import threading
import time

from tests.live.balancers import OK, BalancerTestCase, Peer, answering

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000000\r\n\r\nbegun"


class LastAnswerTests(BalancerTestCase):
    """Answers after which the connection is closed."""

    big = "x" * 12_000_000

    def test_large_and_early(self) -> None:
        """A client that has not sent its body has the whole answer, though it takes its time."""
        _, port = self.web("127.0.0.1:1", listener=f"routes:\n  - respond: {{status: 413, body: {self.big}}}")
        client = self.connect(port)
        client.send(POST)
        client.head()
        time.sleep(3)
        self.assertEqual(len(client.rest()), len(self.big))

    def test_while_the_client_sends(self) -> None:
        """A client that goes on sending all the while has it too."""
        _, port = self.web("127.0.0.1:1", listener=f"routes:\n  - respond: {{status: 413, body: {self.big}}}")
        client = self.connect(port)
        client.send(POST)
        ended = threading.Event()

        def send() -> None:
            while not ended.wait(0.01):
                try:
                    client.skt.send(b"x" * 1000)
                except OSError:
                    return

        sending = threading.Thread(target=send, daemon=True)
        sending.start()
        head = client.head()
        self.assertIn(b" 413 ", head)
        time.sleep(3)
        size = len(client.rest())
        ended.set()
        sending.join()
        self.assertEqual(size, len(self.big))

    def test_requests_nobody_reads(self) -> None:
        """What a client sends behind its last request does not cost it the answer to that."""
        _, port = self.web("127.0.0.1:1", listener=f"routes:\n  - respond: {{status: 200, body: {self.big}}}")
        client = self.connect(port)
        client.send(GET.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
        client.head()
        client.send(GET * 100)
        time.sleep(0.5)
        self.assertEqual(len(client.rest()), len(self.big))

    def test_body_that_stopped(self) -> None:
        """A client that stops its upload as the answer comes has all of it."""

        def talk(peer: Peer) -> None:
            peer.head()
            peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nbegun")
            time.sleep(1.5)
            peer.send(b"ended")

        _, port = self.web(self.server(talk).address, listener="pool: web\ntimeouts: {body_idle: 300ms}")
        client = self.connect(port)
        client.send(POST)
        self.assertEqual(client.response()[::2], (200, b"begunended"))
        self.assertEqual(client.rest(), b"")


class SilenceTests(BalancerTestCase):
    """Connections on which nothing is asked."""

    def test_blank_lines(self) -> None:
        """Empty lines between requests are skipped, and do not keep a connection alive, nor begin a head."""
        server = self.server(answering(OK))
        _, port = self.web(server.address, listener="pool: web\ntimeouts: {keep_alive: 1s, head: 1s}")
        for blank in (b"\r\n", b"\r\n" * 4, b"\n"):
            client = self.connect(port)
            client.send(b"\r\n" + GET)
            self.assertEqual(client.response()[0], 200)
            if blank == b"\n":
                blank, rest = b"\r", b"\n"  # split within the line
            else:
                rest = b""
            client.skt.settimeout(0.2)
            for _ in range(50):
                try:
                    client.send(blank)
                    said = client.skt.recv(1000)
                except TimeoutError:
                    try:
                        client.send(rest)
                    except OSError:
                        break
                    continue
                except OSError:
                    break
                self.assertEqual(said, b"")
                break
            else:
                self.fail("the connection never ended")
