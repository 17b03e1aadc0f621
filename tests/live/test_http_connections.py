"""HTTP connections as a whole: pipelined requests, the last answer, silence."""

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


class MixTests(BalancerTestCase):
    """Requests of every kind in one connection, sent without waiting for answers."""

    def test_pipelined(self) -> None:
        """Each is read where the one before it ends, and answered in order, however the bytes are cut."""

        def talk(peer: Peer) -> None:
            while True:
                head = peer.head()
                lowered = head.lower()
                if b"expect: " in lowered:
                    peer.send(b"HTTP/1.1 100 Continue\r\n\r\n")
                if b"transfer-encoding: " in lowered:
                    size = 0
                    while (line := peer.until(b"\r\n")) != b"0\r\n":
                        size += len(peer.exactly(int(line.split(b";")[0], 16)))
                        peer.until(b"\r\n")
                    peer.until(b"\r\n")
                elif b"content-length: " in lowered:
                    size = len(peer.exactly(int(lowered.split(b"content-length: ")[1].split(b"\r\n")[0])))
                else:
                    size = 0
                said = b"%b %d" % (b" ".join(head.split(b" ")[:2]), size)
                peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(said), said))

        _, port = self.web(self.server(talk).address)
        big = b"GET /fake HTTP/1.1\r\n\r\n" * 5000
        mix = [
            (b"GET /%d HTTP/1.1\r\nHost: a\r\n\r\n", 0),
            (b"PUT /%d HTTP/1.1\r\nHost: a\r\nContent-Length: 102400\r\n\r\n" + big[:102400], 102400),
            (
                b"POST /%d HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
                + b"c8;x=y\r\n%b\r\n" % big[:200] * 300
                + b"0\r\n\r\n",
                60000,
            ),
            (
                b"POST /%d HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5000\r\n\r\n" + big[:5000],
                5000,
            ),
            (b"\r\nHEAD /%d HTTP/1.1\r\nHost: a\r\n\r\n", 0),
            (b"DELETE /%d HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n", 0),
        ]
        expected = []
        pieces = []
        for number in range(60):
            request, size = mix[number % len(mix)]
            head, end, body = request.partition(b" HTTP/1.1")
            pieces.append(head % number + end + body)
            expected.append((*pieces[-1].strip().split(b" ", 2)[:2], size))
        data = b"".join(pieces)
        for cut in (len(data), 65537, 1009):
            client = self.connect(port)
            sending = threading.Thread(target=_send, args=(client, data, cut), daemon=True)
            sending.start()
            for method, path, size in expected:
                head = client.head()
                if head.startswith(b"HTTP/1.1 100 "):
                    head = client.head()
                self.assertTrue(head.startswith(b"HTTP/1.1 200 "), head)
                if method != b"HEAD":
                    length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
                    self.assertEqual(client.exactly(length), b"%b %b %d" % (method, path, size))
            sending.join()
            self.assertEqual(client.data, b"")
            client.close()


def _send(peer: Peer, data: bytes, cut: int) -> None:
    for at in range(0, len(data), cut):
        peer.send(data[at : at + cut])


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
