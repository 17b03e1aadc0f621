"""HTTP through a whole balancer, spoken by hand on both sides."""

from __future__ import annotations

import json
import socket
import threading
import time
from typing import Any

from tests.live.balancers import OK, BalancerTestCase, Peer, answering, wait_until

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
_TCP_CLOSE = 7  # of Linux's TCP_INFO: it was reset


class ConversationTests(BalancerTestCase):
    """Requests and responses, byte for byte."""

    def test_keep_alive(self) -> None:
        """Many requests go over one client connection, and one server connection."""
        server = self.server(answering(OK))
        _, port = self.web(server.address)
        client = self.connect(port)
        for _ in range(20):
            client.send(GET)
            status, head, body = client.response()
            self.assertEqual((status, body), (200, b"ok"))
            self.assertNotIn(b"Connection:", head)
        self.assertEqual(server.connections, 1)

    def test_the_same_from_many(self) -> None:
        """Connections that begin with the same bytes are each told of as their own, kept or closed, in turns."""

        def talk(peer: Peer) -> None:
            while True:
                asked = [line for line in peer.head().split(b"\r\n") if line.startswith(b"X-Forwarded-For")]
                peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(asked[0]), asked[0]))

        _, port = self.web(self.server(talk).address)
        closing = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
        hosts = ("127.0.0.2", "127.0.0.3", "127.0.0.2", "127.0.0.4")
        kept = [self.connect(port, host) for host in hosts]
        for request in (GET, closing) * 2:
            clients = kept if request is GET else [self.connect(port, host) for host in hosts]
            for _ in range(2 if request is GET else 1):
                for host, client in zip(hosts, clients, strict=True):
                    client.send(request)
                    _, head, body = client.response()
                    self.assertEqual(body, b"X-Forwarded-For: " + host.encode())
                    self.assertEqual(b"\r\nConnection: close\r\n" in head, request is closing)
                    self.assertEqual(head.count(b"X-Request-Id: "), 1)
            if request is closing:
                self.assertEqual([client.rest() for client in clients], [b""] * 4)

    def test_pipelining(self) -> None:
        """Requests sent at once are answered in order, a slow first one first."""

        def talk(peer: Peer) -> None:
            while True:
                path = peer.head().split(b" ")[1]
                if path == b"/0":
                    time.sleep(0.3)
                peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(path), path))

        server = self.server(talk)
        _, port = self.web(server.address)
        client = self.connect(port)
        client.send(b"".join(b"GET /%d HTTP/1.1\r\nHost: a\r\n\r\n" % number for number in range(50)))
        self.assertEqual([client.response()[2] for _ in range(50)], [b"/%d" % number for number in range(50)])

    def test_pipelining_with_bodies(self) -> None:
        """A body does not run into the next request, whatever its framing."""
        bodies: list[bytes] = []

        def talk(peer: Peer) -> None:
            while True:
                head = peer.head().lower()
                if b"transfer-encoding" in head:
                    bodies.append(peer.until(b"0\r\n\r\n"))
                else:
                    bodies.append(peer.exactly(int(head.split(b"content-length: ")[1].split(b"\r\n")[0])))
                peer.send(OK)

        server = self.server(talk)
        _, port = self.web(server.address)
        client = self.connect(port)
        one = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nGET /"
        two = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"
        client.send((one + two) * 3)
        self.assertEqual([client.response()[0] for _ in range(6)], [200] * 6)
        self.assertEqual(bodies[::2], [b"GET /"] * 3)
        for body in bodies[1::2]:
            self.assertEqual(body.replace(b"\r\n", b""), b"3abc2de0")

    def test_pipelining_with_large_bodies(self) -> None:
        """A body that is still on its way when its request's turn comes goes on arriving."""

        def talk(peer: Peer) -> None:
            while True:
                head = peer.head().lower()
                if b"content-length: " in head:
                    peer.exactly(int(head.split(b"content-length: ")[1].split(b"\r\n")[0]))
                peer.send(OK)

        server = self.server(talk)
        _, port = self.web(server.address)
        client = self.connect(port)
        put = b"PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n" + b"x" * 1_000_000
        sending = threading.Thread(target=client.skt.sendall, args=((GET + put) * 3,), daemon=True)
        sending.start()
        self.assertEqual([client.response()[0] for _ in range(6)], [200] * 6)
        sending.join()

    def test_every_split(self) -> None:
        """A request may arrive in pieces of any size."""
        bodies: list[bytes] = []

        def talk(peer: Peer) -> None:
            while True:
                peer.head()
                bodies.append(peer.exactly(4))
                peer.send(OK)

        server = self.server(talk)
        _, port = self.web(server.address)
        request = b"POST /p HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody"
        client = self.connect(port)
        client.skt.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for at in range(1, len(request)):
            client.send(request[:at])
            time.sleep(0.001)
            client.send(request[at:])
            self.assertEqual(client.response()[0], 200)
        self.assertEqual(set(bodies), {b"body"})

    def test_http_1_0_client(self) -> None:
        """Gets an unchunked body that ends with the connection, or keeps it if it asks to."""
        server = self.server(answering(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"))
        _, port = self.web(server.address)
        client = self.connect(port)
        client.send(b"GET / HTTP/1.0\r\n\r\n")
        head, _, body = client.rest().partition(b"\r\n\r\n")
        self.assertEqual(body, b"ok")
        self.assertNotIn(b"chunked", head)
        self.assertIn(b"Connection: close", head)
        plain = self.server(answering(OK))
        _, port = self.web(plain.address)
        client = self.connect(port)
        for _ in range(2):
            client.send(b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
            status, head, _ = client.response()
            self.assertIn(b"Connection: keep-alive", head)

    def test_via(self) -> None:
        """Either side is told in which version the other one's message came."""
        seen: list[bytes] = []
        for version, framing in ((b"1.0", b"Content-Length: 0"), (b"1.1", b"Content-Length: 0"), (b"1.0", b"X: y")):
            server = self.server(answering(b"HTTP/%b 200 OK\r\n%b\r\n\r\n" % (version, framing), seen=seen))
            _, port = self.web(server.address)
            for mine in (b"1.0", b"1.1"):
                client = self.connect(port)
                client.send(b"GET / HTTP/%b\r\nHost: a\r\n\r\n" % mine)
                self.assertIn(b"\r\nVia: %b balancer\r\n" % version, client.head())
                self.assertIn(b"\r\nVia: %b balancer\r\n" % mine, seen.pop())

    def test_http_1_0_server(self) -> None:
        """A body that ends with the server's connection is passed on whole, and the client's connection is kept."""

        def talk(peer: Peer) -> None:
            peer.head()
            peer.send(b"HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\nuntil the end")

        server = self.server(talk)
        _, port = self.web(server.address)
        client = self.connect(port)
        for _ in range(2):
            client.send(GET)
            head = client.head()
            self.assertIn(b"Transfer-Encoding: chunked", head)
            self.assertEqual(client.until(b"0\r\n\r\n"), b"d\r\nuntil the end\r\n0\r\n\r\n")

    def test_head(self) -> None:
        """The answer to HEAD has the length of what is not sent, and the next request follows."""
        server = self.server(answering(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n"))
        _, port = self.web(server.address)
        client = self.connect(port)
        for _ in range(3):
            client.send(b"HEAD / HTTP/1.1\r\nHost: a\r\n\r\n")
            self.assertIn(b"Content-Length: 1000\r\n", client.head())
            self.assertEqual(client.data, b"")

    def test_no_body(self) -> None:
        """204 and 304 end with their head."""
        for status in (204, 304):
            server = self.server(answering(b"HTTP/1.1 %d X\r\nETag: x\r\n\r\n" % status))
            _, port = self.web(server.address)
            client = self.connect(port)
            for _ in range(2):
                client.send(GET)
                head = client.head()
                self.assertIn(b"%d" % status, head)
                self.assertNotIn(b"Transfer-Encoding", head)

    def test_trailers(self) -> None:
        """Trailers go through both ways."""
        seen: list[bytes] = []

        def talk(peer: Peer) -> None:
            seen.append(peer.head())
            seen.append(peer.until(b"\r\n\r\n"))
            peer.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n")
            peer.send(b"2\r\nok\r\n0\r\nX-Sum: 7\r\n\r\n")

        server = self.server(talk)
        _, port = self.web(server.address)
        client = self.connect(port)
        client.send(b"POST / HTTP/1.1\r\nHost: a\r\nTE: trailers\r\nTransfer-Encoding: chunked\r\n\r\n")
        client.send(b"3\r\nabc\r\n0\r\nX-Check: 9\r\n\r\n")
        client.head()
        self.assertEqual(client.until(b"X-Sum: 7\r\n\r\n"), b"2\r\nok\r\n0\r\nX-Sum: 7\r\n\r\n")
        self.assertIn(b"0\r\nX-Check: 9\r\n\r\n", seen[1])

    def test_expect_continue(self) -> None:
        """The server's 100 comes before the body is sent; a server that refuses is not sent it."""

        def talk(peer: Peer) -> None:
            while True:
                head = peer.head()
                self.assertIn(b"Expect: 100-continue", head)
                if b"/no" in head:
                    peer.send(b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
                    return
                time.sleep(0.1)
                peer.send(b"HTTP/1.1 100 Continue\r\n\r\n")
                self.assertEqual(peer.exactly(4), b"body")
                peer.send(OK)

        server = self.server(talk)
        _, port = self.web(server.address)
        ask = b"POST %b HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n"
        client = self.connect(port)
        client.send(ask % b"/yes")
        self.assertEqual(client.head(), b"HTTP/1.1 100 Continue\r\n\r\n")
        client.send(b"body")
        self.assertEqual(client.response()[0], 200)
        client.send(ask % b"/no")
        self.assertEqual(client.response()[0], 413)
        client = self.connect(port)
        client.send(GET.replace(b"\r\n\r\n", b"\r\nExpect: a miracle\r\n\r\n"))
        self.assertEqual(client.response()[0], 417)

    def test_early_hints(self) -> None:
        """1xx responses are passed on as they come, but not to an HTTP/1.0 client."""
        hints = b"HTTP/1.1 103 Early Hints\r\nLink: </s.css>; rel=preload\r\n\r\n"
        server = self.server(answering(hints, hints, OK))
        _, port = self.web(server.address)
        client = self.connect(port)
        client.send(GET)
        for _ in range(2):
            self.assertEqual(client.head(), hints)
        self.assertEqual(client.response()[0], 200)
        client = self.connect(port)
        client.send(b"GET / HTTP/1.0\r\nHost: a\r\n\r\n")
        self.assertTrue(client.rest().startswith(b"HTTP/1.1 200"))

    def test_absolute_form(self) -> None:
        """The target's authority is the host, whatever Host says."""
        seen: list[bytes] = []
        server = self.server(answering(OK, seen=seen))
        _, port = self.web(server.address)
        client = self.connect(port)
        client.send(b"GET http://shop.example:81/a?b=c HTTP/1.1\r\nHost: other\r\n\r\n")
        self.assertEqual(client.response()[0], 200)
        self.assertIn(b"GET /a?b=c HTTP/1.1\r\nHost: shop.example:81\r\n", seen[0])

    def test_options(self) -> None:
        """OPTIONS for a whole server stays that, counts its hops, and is answered here at the last."""
        seen: list[bytes] = []
        server = self.server(answering(OK, seen=seen))
        _, port = self.web(server.address)
        client = self.connect(port)
        for target, onward in (
            (b"*", b"*"),
            (b"http://shop.example", b"*"),
            (b"HTTP://shop.example:8080", b"*"),
            (b"http://shop.example/", b"/"),
            (b"http://shop.example?q", b"/?q"),
            (b"/", b"/"),
        ):
            client.send(b"OPTIONS %b HTTP/1.1\r\nHost: shop.example\r\n\r\n" % target)
            self.assertEqual(client.response()[0], 200)
            self.assertTrue(seen.pop().startswith(b"OPTIONS %b HTTP/1.1\r\nHost: shop.example" % onward), target)
        for _ in range(3):
            client.send(b"OPTIONS * HTTP/1.1\r\nHost: a\r\nMax-Forwards: 1\r\n\r\n")
            self.assertEqual(client.response()[0], 200)
            self.assertIn(b"\r\nMax-Forwards: 0\r\n", seen.pop())
        client.send(b"OPTIONS / HTTP/1.1\r\nHost: a\r\nMax-Forwards: 0\r\n\r\n")
        status, head, body = client.response()
        self.assertEqual((status, body, seen), (200, b"", []))
        self.assertIn(b"\r\nAllow: GET, ", head)
        client.send(b"GET / HTTP/1.1\r\nHost: a\r\nMax-Forwards: 0\r\n\r\n")  # means nothing there
        self.assertEqual(client.response()[2], b"ok")

    def test_refused_methods(self) -> None:
        """CONNECT is refused, and nothing behind it is taken for a request; so is TRACE; an unknown method is passed on."""
        seen: list[bytes] = []
        server = self.server(answering(OK, seen=seen))
        _, port = self.web(server.address)
        client = self.connect(port)
        client.send(b"CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n" + GET)
        status, head, _ = client.response()
        self.assertEqual(status, 405)
        self.assertIn(b"Allow:", head)
        self.assertEqual(client.rest(), b"")
        self.assertEqual(seen, [])
        client = self.connect(port)
        client.send(b"TRACE / HTTP/1.1\r\nHost: a\r\nMax-Forwards: 1\r\n\r\n")
        self.assertEqual(client.response()[0], 405)
        self.assertEqual(seen, [])
        client.send(b"FROBNICATE / HTTP/1.1\r\nHost: a\r\n\r\n")
        self.assertEqual(client.response()[0], 200)
        self.assertTrue(seen[0].startswith(b"FROBNICATE / HTTP/1.1\r\n"))

    def test_half_close(self) -> None:
        """A client that sends FIN after its request gets its answer."""

        def talk(peer: Peer) -> None:
            peer.head()
            time.sleep(0.2)
            peer.send(OK)

        server = self.server(talk)
        _, port = self.web(server.address)
        client = self.connect(port)
        client.send(GET)
        client.skt.shutdown(socket.SHUT_WR)
        self.assertTrue(client.rest().endswith(b"ok"))

    def test_half_close_before_an_upgrade(self) -> None:
        """A client that sends FIN before the protocol is switched has it passed on once it is."""

        def talk(peer: Peer) -> None:
            peer.head()
            closed.wait(20)
            peer.send(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: tcp\r\nConnection: Upgrade\r\n\r\n")
            peer.send(b"heard " + peer.rest())

        closed = threading.Event()
        server = self.server(talk)
        _, port = self.web(server.address)
        client = self.connect(port)
        client.send(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\nearly")
        client.skt.shutdown(socket.SHUT_WR)
        wait_until(lambda: server.connections)
        time.sleep(0.1)
        closed.set()
        self.assertTrue(client.head().startswith(b"HTTP/1.1 101"))
        self.assertEqual(client.rest(), b"heard early")

    def test_early_answer(self) -> None:
        """A server that answers before it has the body ends the exchange; the client reads the answer."""

        def talk(peer: Peer) -> None:
            peer.head()
            peer.send(b"HTTP/1.1 413 Too Large\r\nContent-Length: 4\r\nConnection: close\r\n\r\nstop")

        server = self.server(talk)
        _, port = self.web(server.address)
        client = self.connect(port)
        client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000000\r\n\r\n")
        sending = threading.Thread(target=_push, args=(client.skt,), daemon=True)
        sending.start()
        status, _, body = client.response()
        self.assertEqual((status, body), (413, b"stop"))
        sending.join(10)
        self.assertFalse(sending.is_alive())


def _push(skt: socket.socket) -> None:
    try:
        for _ in range(1000):
            skt.sendall(b"x" * 100_000)
    except OSError:
        pass


class HeaderTests(BalancerTestCase):
    """What a server is told, and what it is not."""

    def ask(self, request: bytes, **settings: str) -> tuple[list[str], bytes]:
        """Return the lines that the server saw, and the head of the response."""
        seen: list[bytes] = []
        reply = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nKeep-Alive: timeout=5\r\nX-Hop: 1\r\nConnection: X-Hop\r\nX-Own: 2\r\n\r\n"
        server = self.server(answering(reply, seen=seen))
        _, port = self.web(server.address, **settings)
        client = self.connect(port)
        client.send(request)
        head = client.head()
        return seen[0].decode("latin-1").split("\r\n"), head

    def test_untrusted(self) -> None:
        """Forwarding headers from anybody are replaced, hop-by-hop ones go, and others are as they were."""
        seen, head = self.ask(
            b"GET /a?b HTTP/1.1\r\nhOsT: shop:8\r\nX-Forwarded-For: 6.6.6.6\r\nForwarded: for=6.6.6.6\r\n"
            b"X-Forwarded-Proto: https\r\nX-Real-IP: 6.6.6.6\r\nX-Request-ID: mine\r\nConnection: close, X-Mine, Authorization\r\n"
            b"X-Mine: 1\r\nAuthorization: secret\r\nKeep-Alive: 5\r\nProxy-Connection: x\r\nTE: gzip\r\nX-Two: a\r\nx-two: b\r\n"
            b"X_Under: 1\r\nX.Dot: 1\r\n\r\n"
        )
        self.assertEqual(seen[:2], ["GET /a?b HTTP/1.1", "Host: shop:8"])
        self.assertIn("X-Forwarded-For: 127.0.0.1", seen)
        self.assertIn("X-Forwarded-Proto: http", seen)
        self.assertIn("X-Forwarded-Host: shop:8", seen)
        self.assertIn("Authorization: secret", seen)
        self.assertIn("X-Two: a", seen)
        self.assertIn("x-two: b", seen)
        self.assertIn("Via: 1.1 balancer", seen)
        text = "\n".join(seen)
        for gone in (
            "6.6.6.6",
            "X-Mine",
            "Keep-Alive",
            "Proxy-Connection",
            "gzip",
            "X_Under",
            "X.Dot",
            "mine",
            "https",
        ):
            self.assertNotIn(gone, text)
        self.assertIn(b"X-Own: 2\r\n", head)
        self.assertNotIn(b"X-Hop", head)
        self.assertNotIn(b"Keep-Alive", head)
        self.assertIn(b"Connection: close", head)
        self.assertRegex(head, rb"(?i)X-Request-Id: [0-9a-f]{8}-[0-9a-f]{4}-7")

    def test_trusted(self) -> None:
        """A trusted peer's forwarding headers are extended, its request id is taken over."""
        seen, head = self.ask(
            b"GET / HTTP/1.1\r\nHost: shop\r\nX-Forwarded-For: 6.6.6.6, 127.0.0.9\r\nX-Forwarded-Proto: https\r\n"
            b"X-Request-ID: theirs\r\n\r\n",
            top="trusted_proxies: [127.0.0.0/8]",
        )
        self.assertIn("X-Forwarded-For: 6.6.6.6, 127.0.0.9, 127.0.0.1", seen)
        self.assertIn("X-Forwarded-Proto: https", seen)
        self.assertIn("X-Request-Id: theirs", seen)
        self.assertIn(b"X-Request-Id: theirs", head)

    def test_date(self) -> None:
        """A response that has no Date gets one (RFC 9110 section 6.6.1); one that has keeps it."""
        server = self.server(answering(OK))
        _, port = self.web(server.address)
        self.assertRegex(self.get(port).headers["Date"], r"^\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT$")
        server = self.server(answering(OK.replace(b"\r\n\r\n", b"\r\ndate: yesterday\r\n\r\n")))
        _, port = self.web(server.address)
        self.assertEqual(self.get(port).headers.get_all("Date"), ["yesterday"])


class ErrorTests(BalancerTestCase):
    """What clients are told when things go wrong."""

    def page(self, port: int, **headers: str) -> Any:
        return self.get(port, **headers)

    def test_nobody_there(self) -> None:
        """502 with the reason in Proxy-Status, in the form that Accept asks for, with the request's id."""
        _, port = self.web("127.0.0.1:1", pool="passive: false")
        for accept, kind in (
            ("text/html", "text/html; charset=utf-8"),
            ("application/json", "application/problem+json"),
            ("*/*", "text/plain; charset=utf-8"),
        ):
            response = self.get(port, Accept=accept)
            self.assertEqual((response.status, response.headers["Content-Type"]), (502, kind))
            self.assertIn("error=connection_refused", response.headers["Proxy-Status"])
            self.assertIn(response.headers["X-Request-Id"].encode(), response.body)
        self.assertEqual(json.loads(self.get(port, Accept="application/json").body)["status"], 502)

    def test_slow_server(self) -> None:
        """504 when the first byte does not come in time."""
        server = self.server(lambda peer: time.sleep(5))
        running, port = self.web(server.address, pool="timeouts: {first_byte: 300ms}")
        response = self.get(port, method="POST")
        self.assertEqual(response.status, 504)
        self.assertIn("http_response_timeout", response.headers["Proxy-Status"])
        self.assertEqual(running.records(1)[0]["reason"], "http_response_timeout")

    def test_stalled_server(self) -> None:
        """A server that stops in the middle of its response has the client's connection cut, not ended as if whole."""

        def talk(peer: Peer) -> None:
            peer.head()
            peer.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n")
            time.sleep(5)

        server = self.server(talk)
        running, port = self.web(server.address, pool="timeouts: {idle: 300ms}")
        client = self.connect(port)
        client.send(GET)
        self.assertTrue(client.rest().endswith(b"\r\n\r\n2\r\nok\r\n"))
        self.assertEqual(running.records(1)[0]["reason"], "connection_read_timeout")

    def test_truncated_response(self) -> None:
        """A response that ends too soon is passed on truncated, never as complete."""
        for head in (b"Content-Length: 100", b"Transfer-Encoding: chunked"):

            def talk(peer: Peer, head: bytes = head) -> None:
                peer.head()
                peer.send(b"HTTP/1.1 200 OK\r\n%b\r\n\r\n5\r\nhello\r\n" % head)

            server = self.server(talk)
            running, port = self.web(server.address)
            client = self.connect(port)
            client.send(GET)
            said = client.rest()
            self.assertFalse(said.endswith(b"\r\n0\r\n\r\n"))
            self.assertEqual(running.records(1)[0]["reason"], "http_response_incomplete")

    def test_reset_at_the_end(self) -> None:
        """A body that would end with the connection is not whole where that was reset."""

        def talk(peer: Peer) -> None:
            peer.head()
            peer.send(b"HTTP/1.0 200 OK\r\n\r\nhello")
            reading.wait(20)
            peer.reset()

        reading = threading.Event()
        server = self.server(talk)
        running, port = self.web(server.address)
        client = self.connect(port)
        client.send(GET)
        client.until(b"hello\r\n")
        reading.set()
        self.assertEqual(client.rest(), b"")
        self.assertEqual(running.records(1)[0]["reason"], "http_response_incomplete")

    def test_not_http(self) -> None:
        """502 for what is no HTTP, or ambiguous; nothing of it reaches the client, nor the next exchange."""
        cases = [
            b"garbage\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
            b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: 0x5\r\n\r\nhello",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nX: a\0b\r\nContent-Length: 0\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nX : a\r\nContent-Length: 0\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nX: a\r\n folded\r\nContent-Length: 0\r\n\r\n",
            b"HTTP/1.1 200 OK\nContent-Length: 0\n\n",
            b"HTTP/1.1 99 Low\r\nContent-Length: 0\r\n\r\n",
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
            b"HTTP/3.0 200 OK\r\nContent-Length: 0\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nX: " + b"a" * 200_000 + b"\r\n\r\n",
            b"HTTP/1.1 100 Continue\r\n\r\n" * 1000 + b"X",
        ]
        talking: list[bytes] = []
        server = self.server(answering(b"") if False else lambda peer: _say(peer, talking))
        _, port = self.web(server.address, pool="passive: false")
        for case in cases:
            talking[:] = [case]
            client = self.connect(port)
            client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n")
            status, head, _ = client.response()
            self.assertEqual(status, 502, case[:80])
            self.assertIn(b"Proxy-Status: balancer; error=", head)
            talking[:] = [OK]
            client.send(GET)
            self.assertEqual(client.response()[::2], (200, b"ok"), case[:80])

    def test_client_gone(self) -> None:
        """A client that leaves ends what its server does, and is noted."""
        ended: list[bytes] = []

        def talk(peer: Peer) -> None:
            heads.append(peer.head())
            ended.append(peer.rest())

        heads: list[bytes] = []
        server = self.server(talk)
        running, port = self.web(server.address)
        client = self.connect(port)
        client.send(GET)
        wait_until(lambda: heads)
        client.reset()
        wait_until(lambda: ended)
        self.assertEqual(running.records(1)[0]["status"], 499)


def _say(peer: Peer, talking: list[bytes]) -> None:
    while True:
        peer.head()
        peer.send(talking[0])
        if not talking[0].endswith(b"ok"):
            time.sleep(0.2)


class LimitTests(BalancerTestCase):
    """Limits and deadlines."""

    def test_sizes(self) -> None:
        """Too long a target gets 414, too large or too many headers 431, and the connection is closed."""
        server = self.server(answering(OK))
        _, port = self.web(server.address)
        for request, status in (
            (b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\nHost: a\r\n\r\n", 414),
            (b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"a" * 9000 + b"\r\n\r\n", 431),
            (b"GET / HTTP/1.1\r\nHost: a\r\n" + b"X: a\r\n" * 101 + b"\r\n", 431),
            (b"GET / HTTP/1.1\r\nHost: a\r\n" + (b"X: " + b"a" * 5000 + b"\r\n") * 7 + b"\r\n", 431),
        ):
            client = self.connect(port)
            client.send(request)
            answer = client.rest()
            self.assertTrue(answer.startswith(b"HTTP/1.1 %d " % status), answer[:60])
            self.assertIn(b"Connection: close\r\n", answer)

    def test_slow_head(self) -> None:
        """408 for a head that is not complete in time; silence is closed without a word."""
        server = self.server(answering(OK))
        _, port = self.web(server.address, listener="pool: web\ntimeouts: {head: 500ms, keep_alive: 500ms}")
        client = self.connect(port)
        client.send(b"GET / HTTP/1.1\r\nHo")
        self.assertTrue(client.rest().startswith(b"HTTP/1.1 408 "))
        client = self.connect(port)
        client.send(GET)
        client.response()
        self.assertEqual(client.rest(), b"")

    def test_slow_body(self) -> None:
        """408 for a body that stops arriving."""
        server = self.server(lambda peer: time.sleep(5))
        _, port = self.web(server.address, listener="pool: web\ntimeouts: {body_idle: 500ms}")
        client = self.connect(port)
        client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc")
        self.assertTrue(client.rest().startswith(b"HTTP/1.1 408 "))

    def test_client_takes_nothing(self) -> None:
        """A client that stops taking its answer is given up, and the server with it."""
        ended: list[bytes] = []

        def talk(peer: Peer) -> None:
            peer.head()
            try:
                peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 50000000\r\n\r\n" + b"x" * 50_000_000)
            finally:
                ended.append(b"")

        server = self.server(talk)
        running, port = self.web(server.address, pool="timeouts: {idle: 300ms}")
        client = self.connect(port)
        client.send(GET)
        record = running.records(1)[0]
        self.assertEqual((record["status"], record["detail"]), (200, ""))
        self.assertEqual(record["reason"], "http_request_error")
        wait_until(lambda: ended)
        with self.assertRaises(ConnectionResetError):
            while client.skt.recv(1_000_000):
                pass

    def test_client_takes_nothing_at_the_end(self) -> None:
        """A client that does not take the rest of its last answer is given up, however long the one before it took."""

        def talk(peer: Peer) -> None:
            peer.head()
            time.sleep(1)  # past every limit of the listener: they do not count while a server is waited for
            peer.send(OK)

        big = "x" * 12_000_000
        _, port = self.web(
            self.server(talk).address,
            listener="timeouts: {head: 300ms, body_idle: 300ms, keep_alive: 300ms}\nroutes:\n"
            f"  - {{match: {{path: /big}}, respond: {{status: 200, body: {big}}}}}\n  - pool: web",
        )
        client = self.connect(port)
        client.send(GET + b"GET /big HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        wait_until(lambda: client.skt.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] == _TCP_CLOSE)

    def test_body_size(self) -> None:
        """413 for a body past the listener's limit, declared or not."""
        server = self.server(lambda peer: time.sleep(5))
        _, port = self.web(server.address, listener="pool: web\nhttp: {body_size: 1KiB}")
        client = self.connect(port)
        client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2000\r\n\r\n" + b"x" * 2000)
        self.assertTrue(client.rest().startswith(b"HTTP/1.1 413 "))
        client = self.connect(port)
        client.send(
            b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
            + (b"200\r\n" + b"x" * 512 + b"\r\n") * 4
        )
        self.assertTrue(client.rest().startswith(b"HTTP/1.1 413 "))

    def test_connections(self) -> None:
        """Connections past the limit for one client are closed at once; those before it are served."""
        server = self.server(answering(OK))
        _, port = self.web(server.address, listener="pool: web\nlimits: {connections_per_client: 3}")
        clients = [wait_until(lambda: self._served(port)) for _ in range(3)]
        self.assertEqual(self.connect(port).rest(), b"")
        clients[0].close()
        wait_until(lambda: self._served(port))

    def _served(self, port: int) -> Peer | None:
        """Return a connection that was served once; None if it was refused."""
        client = self.connect(port)
        try:
            client.send(GET)
            client.response()
        except (EOFError, OSError):
            return None
        return client

    def test_full_pool(self) -> None:
        """A request past a server's limit waits its turn; past the queue's time it gets 503 with Retry-After."""

        def talk(peer: Peer) -> None:
            while True:
                peer.head()
                time.sleep(0.4)
                peer.send(OK)

        server = self.server(talk)
        port_of = self.web(
            f"{{address: '{server.address}', max_connections: 1}}", pool="queue: {size: 1, timeout: 3s}"
        )[1]
        clients = [self.connect(port_of) for _ in range(3)]
        for client in clients:
            client.send(GET)
            time.sleep(0.05)
        answers = [client.response() for client in clients]
        self.assertEqual([answer[0] for answer in answers], [200, 200, 503])
        self.assertIn(b"Retry-After:", answers[2][1])
