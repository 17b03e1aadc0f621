"""Tests of answers that are shared."""

from __future__ import annotations

from typing import Any

from tests.listeners.http2.conversation import Client, ConversationTestCase, Pair

OK = b"HTTP/1.1 200 OK\r\n"


class FlightTests(ConversationTestCase):
    more = ""

    def listen(self, listener: str = "", change: Any = lambda site: site) -> Any:
        return super().listen(listener or f"routes: [{{pool: web, coalesce: {{buffer: 256KiB}}{self.more}}}]", change)

    def three(self, *more: Pair, method: bytes = b"GET") -> list[tuple[Client, int]]:
        """Three clients that ask the same."""
        self.listen()
        clients = [self.client() for _ in range(3)]
        return [(client, client.ask(b"/a", method, *more)) for client in clients]

    def say_to(self, asked: list[tuple[Client, int]], data: bytes, number: int = -1) -> None:
        self.runtime.servers[number].dataReceived(data)
        for client, _ in asked:
            client.turn()

    def said(self, asked: list[tuple[Client, int]]) -> list[tuple[bytes, bytes]]:
        return [(client.status(stream), client.body(stream)) for client, stream in asked]

    def test_shared(self) -> None:
        """One request to a server, and its answer to all: whole, or as it comes."""
        for pieces in ([b"Content-Length: 5\r\n\r\nhello"], [b"Content-Length: 5\r\n\r\n", b"he", b"llo"]):
            asked = self.three()
            self.assertEqual(len(self.runtime.servers), 1)
            self.say_to(asked, OK + pieces[0])
            for piece in pieces[1:]:
                self.say_to(asked, piece)
            self.assertEqual(self.said(asked), [(b"200", b"hello")] * 3)
            self.assertEqual(sorted(record.attempts for record in self.records), [0, 0, 1])
            self.assertEqual(sorted(record.coalesced for record in self.records), [False, True, True])
            self.assertEqual({(record.pool, record.server) for record in self.records}, {("web", "127.0.0.1:2")})
            self.assertEqual(self.runtime.servers[0].server.active, 0)

    def test_next(self) -> None:
        """Who comes once the answer has begun is not late, but the first of others."""
        asked = self.three()
        self.say_to(asked, OK + b"Content-Length: 5\r\n\r\nhe")
        late = self.client()
        stream = late.ask(b"/a")
        self.assertEqual(len(self.runtime.servers), 2)
        self.say_to(asked, b"llo", 0)
        self.say(late, OK + b"Content-Length: 2\r\n\r\nok", 1)
        self.assertEqual(late.body(stream), b"ok")

    def test_private(self) -> None:
        """An answer for one only is the first's; the others are sent on their own."""
        for field in (b"Set-Cookie: a=b", b"Cache-Control: private", b"Vary: *", b"Cache-Control: no-store"):
            asked = self.three()
            self.say_to(asked, OK + field + b"\r\nContent-Length: 5\r\n\r\nfirst", 0)
            self.assertEqual(len(self.runtime.servers), 3 - self.reused())
            self.assertEqual([client.body(stream) for client, stream in asked], [b"first", b"", b""])
            for number in self.waiting():
                self.say_to(asked, OK + b"Content-Length: 3\r\n\r\nown", number)
            self.assertEqual(self.said(asked)[1:], [(b"200", b"own")] * 2)
            self.assertEqual([record.coalesced for record in self.records], [False] * 3)

    def waiting(self) -> list[int]:
        return [at for at, each in enumerate(self.runtime.servers) if each.owner is not None]

    def reused(self) -> int:
        """Whether the connection of the first was free again when the others set out."""
        return int(self.runtime.servers[0].used > 1)

    def test_vary(self) -> None:
        """An answer that depends on a field is for those who say the same in it."""
        self.listen()
        asked = []
        for language in (b"de", b"en", b"de"):
            client = self.client()
            asked.append((client, client.ask(b"/a", b"GET", (b"accept-language", language))))
        self.assertEqual(len(self.runtime.servers), 1)
        self.say_to(asked, OK + b"Vary: Accept-Language\r\nContent-Length: 5\r\n\r\nhallo", 0)
        self.assertEqual([client.body(stream) for client, stream in asked], [b"hallo", b"", b"hallo"])
        (number,) = self.waiting()
        self.say_to(asked, OK + b"Content-Length: 5\r\n\r\nhello", number)
        self.assertEqual(asked[1][0].body(asked[1][1]), b"hello")

    def test_not_alike(self) -> None:
        """What asks for something of its own has a request of its own."""
        for more in ((b"cookie", b"a=b"), (b"authorization", b"x"), (b"range", b"bytes=0-1")):
            self.three(more)
            self.assertEqual(len(self.runtime.servers), 3)
        self.three(method=b"DELETE")
        self.assertEqual(len(self.runtime.servers), 3)

    def test_first_leaves(self) -> None:
        """The exchange goes on for the others, and ends with the last of them."""
        asked = self.three()
        for client, stream in asked[:2]:
            client.h2.reset_stream(stream)
            client.turn()
        self.assertFalse(self.server_pipe().aborted)
        self.say_to(asked, OK + b"Content-Length: 5\r\n\r\nhe")
        self.say_to(asked, b"llo")
        self.assertEqual(self.said(asked[2:]), [(b"200", b"hello")])
        self.assertEqual([(record.attempts, record.coalesced) for record in self.records][-1], (1, False))
        asked = self.three()
        for client, stream in asked:
            client.h2.reset_stream(stream)
            client.turn()
        self.assertTrue(self.server_pipe().aborted)
        self.assertEqual(self.runtime.servers[0].server.active, 0)
        self.client().ask(b"/a")
        self.assertEqual(len(self.runtime.servers), 2)

    def test_first_leaves_private(self) -> None:
        """An answer for one who has left is nobody's."""
        asked = self.three()
        client, stream = asked[0]
        client.h2.reset_stream(stream)
        client.turn()
        self.say_to(asked, OK + b"Set-Cookie: a=b\r\nContent-Length: 5\r\n\r\nfirst", 0)
        for number in self.waiting():
            self.say_to(asked, OK + b"Content-Length: 3\r\n\r\nown", number)
        self.assertEqual(self.said(asked[1:]), [(b"200", b"own")] * 2)

    def test_failures(self) -> None:
        """Are everybody's: before the answer, and in it."""
        asked = self.three()
        self.runtime.servers[0].connectionLost()
        for client, _ in asked:
            client.turn()
        self.assertEqual([client.status(stream) for client, stream in asked], [b"502"] * 3)
        asked = self.three()
        self.say_to(asked, OK + b"Content-Length: 5\r\n\r\nhe")
        self.runtime.servers[0].connectionLost()
        for client, stream in asked:
            client.turn()
            self.assertIsNotNone(client.was_reset(stream))
        self.assertEqual({record.reason for record in self.records}, {"http_response_incomplete"})

    def test_slow_client(self) -> None:
        """One that takes less than others holds nobody up: so much is kept for it, then it is cut."""
        self.listen()
        slow, quick = self.client(INITIAL_WINDOW_SIZE=10), self.client(INITIAL_WINDOW_SIZE=1 << 20)
        quick.h2.increment_flow_control_window(1 << 20)
        streams = slow.ask(b"/a"), quick.ask(b"/a")
        server = self.runtime.servers[0]
        server.dataReceived(OK + b"Content-Length: 1000000\r\n\r\n")
        for _ in range(10):
            server.dataReceived(bytes(100_000))
            quick.turn()
        slow.turn()
        self.assertEqual(len(quick.body(streams[1])), 1_000_000)
        self.assertTrue(quick.ended(streams[1]))
        self.assertIsNotNone(slow.was_reset(streams[0]))
        self.assertIn("http_request_error", {record.reason for record in self.records})

    def test_all_slow(self) -> None:
        """While nobody takes more, the server is not read from."""
        self.listen()
        clients = [self.client(INITIAL_WINDOW_SIZE=10) for _ in range(2)]
        streams = [client.ask(b"/a") for client in clients]
        self.runtime.servers[0].dataReceived(OK + b"Content-Length: 1000000\r\n\r\n" + bytes(200_000))
        self.assertEqual(self.server_pipe().producerState, "paused")
        for client, stream in zip(clients, streams, strict=True):
            client.turn()
            client.h2.increment_flow_control_window(1 << 20, stream)
            client.h2.increment_flow_control_window(1 << 20)
            client.turn()
        self.assertEqual(self.server_pipe().producerState, "producing")

    def test_filters(self) -> None:
        """Each client's filters have their say on its answer."""
        self.more = ", filters: [{headers: {response: {set: {X-Edge: here}}}}]"
        asked = self.three()
        self.say_to(asked, OK + b"Content-Length: 5\r\n\r\nhello")
        self.assertEqual([client.head(stream)[b"x-edge"] for client, stream in asked], [b"here"] * 3)
