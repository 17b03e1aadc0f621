"""Bodies of a gigabyte, slow readers."""

from __future__ import annotations

import socket
import threading
import time

from tests.live.balancers import OK, BalancerTestCase, Peer, wait_until

GIB = 1 << 30
MIB = 1 << 20
_BLOCK = b"x" * MIB


class MemoryTests(BalancerTestCase):
    """Bodies stream: what the balancer needs does not depend on their size."""

    def test_upload(self) -> None:
        """A gigabyte up, with and without a declared length."""
        sizes: list[int] = []

        def talk(peer: Peer) -> None:
            head = peer.head()
            left = GIB
            received = len(peer.data)
            chunked = b"chunked" in head
            while received < left if not chunked else not peer.data.endswith(b"\r\n0\r\n\r\n"):
                peer.data = peer.data[-7:] if chunked else b""
                more = peer.skt.recv(MIB)
                received += len(more)
                peer.data += more
                if not more:
                    return
            sizes.append(received)
            peer.send(OK)

        server = self.server(talk)
        running, port = self.web(server.address)
        before = running.memory()
        client = self.connect(port)
        client.send(b"PUT /big HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % GIB)
        for _ in range(GIB // MIB):
            client.send(_BLOCK)
        self.assertEqual(client.response()[0], 200)
        self.assertEqual(sizes, [GIB])
        self.assertLess(running.memory() - before, 32 * MIB)
        client = self.connect(port)
        client.send(b"PUT /big HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
        chunk = b"%x\r\n%b\r\n" % (MIB, _BLOCK)
        for _ in range(256):
            client.send(chunk)
        client.send(b"0\r\n\r\n")
        self.assertEqual(client.response()[0], 200)
        self.assertLess(running.memory() - before, 32 * MIB)

    def test_download(self) -> None:
        """A gigabyte down; a client that reads nothing makes the server wait, not the balancer grow."""
        sent: list[int] = [0]

        def talk(peer: Peer) -> None:
            while True:
                peer.head()
                peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % GIB)
                sent[0] = 0
                for _ in range(GIB // MIB):
                    peer.skt.sendall(_BLOCK)
                    sent[0] += MIB

        server = self.server(talk)
        running, port = self.web(server.address)
        before = running.memory()
        client = self.connect(port)
        client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        client.head()
        stalled = wait_until(lambda: _still(sent))
        self.assertLess(stalled, 64 * MIB)
        received = len(client.data)
        while received < GIB:
            received += len(client.skt.recv(MIB))
        self.assertEqual(received, GIB)
        self.assertLess(running.memory() - before, 32 * MIB)

    def test_slow_upload_to_slow_server(self) -> None:
        """A server that reads nothing makes the client wait."""

        def talk(peer: Peer) -> None:
            peer.skt.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
            peer.head()
            time.sleep(4)

        server = self.server(talk)
        running, port = self.web(server.address)
        before = running.memory()
        client = self.connect(port)
        client.send(b"PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % GIB)
        sent = [0]

        def push() -> None:
            try:
                while True:
                    client.skt.sendall(_BLOCK)
                    sent[0] += MIB
            except OSError:
                pass

        threading.Thread(target=push, daemon=True).start()
        self.assertLess(wait_until(lambda: _still(sent)), 64 * MIB)
        self.assertLess(running.memory() - before, 32 * MIB)


def _still(counter: list[int]) -> int:
    """Return the counter once it has not moved for half a second."""
    before = counter[0]
    time.sleep(0.5)
    return counter[0] if before == counter[0] else 0
