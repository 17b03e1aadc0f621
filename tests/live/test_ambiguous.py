"""Nothing ambiguous reaches a server."""

from __future__ import annotations

import random
import time

from tests.live.balancers import OK, BalancerTestCase, Peer, wait_until
from tests.wire.http1.ambiguous import AMBIGUOUS, HARMLESS


class SmugglingTests(BalancerTestCase):
    """Other people's tricks, one connection each, whole and in pieces."""

    def setUp(self) -> None:
        self.conversations: list[bytearray] = []  # what the server heard, by connection

        def talk(peer: Peer) -> None:
            heard = bytearray()
            self.conversations.append(heard)
            answered = 0
            while True:
                more = peer.skt.recv(65536)
                if not more:
                    return
                heard += more
                request = heard[answered:]
                if b"chunked" not in request or _ended(request):
                    answered = len(heard)
                    peer.send(OK)

        self.served = self.server(talk)
        self.running, self.port = self.web(self.served.address, pool="timeouts: {first_byte: 2s}")

    def test_refused(self) -> None:
        """Each is answered with an error, the connection is closed, and no server heard a complete request.

        The server's threads may hear of one case when the next has begun: each connection is judged by itself.
        """
        for name, request in AMBIGUOUS.items():
            for pieces in (
                [request],
                [request[:-3], request[-3:]],
                [request[at : at + 7] for at in range(0, len(request), 7)],
            ):
                client = self.connect(self.port)
                try:
                    for piece in pieces:
                        client.send(piece)
                        time.sleep(0.001 if len(pieces) > 1 else 0)
                    client.skt.shutdown(1)
                except OSError:
                    pass  # refused before the end
                answer = client.rest()
                client.close()
                status = answer[9:12]
                self.assertTrue(answer == b"" or answer.startswith(b"HTTP/1.1 "), (name, answer))
                self.assertNotEqual(status[:1], b"2", (name, answer))
                self.assertEqual(answer.count(b"HTTP/1.1 "), min(1, len(answer)), (name, answer))
                self._nothing_complete(name)
        self.assertEqual(self.get(self.port).status, 200)  # whatever was on its way to the server before has come
        self.running.stop()
        wait_until(lambda: all(not peer.is_alive() for peer in self.served.threads))
        whole = [bytes(heard) for heard in self.conversations if _complete(heard)]
        self.assertEqual([heard.split(b" ", 1)[0] for heard in whole], [b"GET"])

    def _nothing_complete(self, name: str) -> None:
        for heard in list(self.conversations):
            self.assertFalse(_complete(heard), (f"{name}, or the case before it", bytes(heard)))

    def test_let_through(self) -> None:
        """What only looks odd is served."""
        for name, request in HARMLESS.items():
            client = self.connect(self.port)
            client.send(request)
            self.assertEqual(client.response()[0], 200, name)
            client.close()

    def test_random_bytes(self) -> None:
        """Noise, and requests with noise in them, harm nobody."""
        draw = random.Random(7)
        sample = list(AMBIGUOUS.values()) + list(HARMLESS.values())
        for _ in range(300):
            data = (
                bytearray(draw.choice(sample))
                if draw.random() < 0.8
                else bytearray(draw.randbytes(draw.randrange(1, 3000)))
            )
            for _ in range(draw.randrange(4)):
                data[draw.randrange(len(data))] = draw.randrange(256)
            client = self.connect(self.port)
            try:
                client.send(bytes(data))
                client.skt.shutdown(1)
            except OSError:
                pass
            client.rest()
            client.close()
        self.assertEqual(self.get(self.port).status, 200)
        self.assertNotIn("Traceback", self.running.output.read_text())
        wait_until(lambda: self.running.process.poll() is None)


def _complete(heard: bytes | bytearray) -> bool:
    """Whether there is a whole request: not where nothing came, nor a chunked body without its end."""
    return bool(heard) and (b"chunked" not in heard or _ended(heard))


def _ended(heard: bytes | bytearray) -> bool:
    """Whether a chunked body has its last chunk."""
    return b"\r\n0\r\n" in heard and heard.endswith(b"\r\n\r\n")
