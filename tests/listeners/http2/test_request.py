"""Requests on streams, and the responses to them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import h2.events

from balancer.listeners.http.site import Site
from tests.listeners.http2.conversation import Client, ConversationTestCase

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class RequestTests(ConversationTestCase):
    def test_as_sent(self) -> None:
        """A server of HTTP/1.1 is sent what it would be sent by a client that speaks it too, but for Via."""
        self.listen()
        client = self.client()
        client.ask(b"/a?b=c", b"GET", (b"cookie", b"a=1"), (b"cookie", b"b=2"), (b"te", b"trailers"), (b"x-a", b"1"))
        head = self.asked().split(b"\r\n")
        self.assertEqual(head[:2], [b"GET /a?b=c HTTP/1.1", b"Host: a.example"])
        for line in (b"cookie: a=1; b=2", b"x-a: 1", b"X-Forwarded-Proto: http", b"Via: 2.0 balancer", b"TE: trailers"):
            self.assertIn(line, head)
        self.assertFalse([line for line in head if line.startswith(b":")])

    def test_repeated(self) -> None:
        """Requests like the one before are served alike, each under a name of its own."""
        self.listen()
        client = self.client()
        seen = []
        for _ in range(3):
            stream = client.ask(b"/", b"GET", (b"x-a", b"1"))
            seen.append(self.asked())
            self.say(client, OK)
            self.assertEqual((client.status(stream), client.body(stream)), (b"200", b"ok"))
        ids = {line for head in seen for line in head.split(b"\r\n") if line.startswith(b"X-Request-Id")}
        self.assertEqual((len(ids), len({len(head) for head in seen})), (3, 1))

    def test_scheme(self) -> None:
        """An untrusted client's :scheme is not believed; that of a trusted proxy is, unless it says otherwise."""
        self.listen()
        for trusted, forwarded, expected in (
            ("", [], b"http"),
            ("trusted_proxies: ['192.168.1.1'], ", [], b"https"),
            ("trusted_proxies: ['192.168.1.1'], ", [(b"x-forwarded-proto", b"http")], b"http"),
        ):
            self.listener.swap(self.site(f"{trusted}pool: web"))
            client = self.client()
            stream = client.h2.get_next_available_stream_id()
            fields = [(b":method", b"GET"), (b":path", b"/"), (b":scheme", b"https"), (b":authority", b"a"), *forwarded]
            client.h2.send_headers(stream, fields, end_stream=True)
            client.turn()
            self.assertIn(
                b"X-Forwarded-Proto: %b\r\n" % expected, self.asked().replace(b"x-forwarded-p", b"X-Forwarded-P")
            )

    def test_body(self) -> None:
        """A body of unknown length is chunked, with its trailers; one of known length is not."""
        self.listen()
        client = self.client()
        stream = client.ask(b"/", b"POST", ended=False)
        client.h2.send_data(stream, b"abc")
        client.h2.send_headers(stream, [(b"x-check", b"9"), (b"content-length", b"3")], end_stream=True)
        client.turn()
        sent = self.asked()
        self.assertTrue(sent.endswith(b"3\r\nabc\r\n0\r\nx-check: 9\r\n\r\n"), sent)
        self.say(client, OK)
        stream = client.ask(b"/", b"POST", (b"content-length", b"3"), ended=False)
        client.h2.send_data(stream, b"abc", end_stream=True)
        client.turn()
        sent = self.asked()
        self.assertIn(b"Content-Length: 3\r\n", sent)
        self.assertTrue(sent.endswith(b"\r\n\r\nabc"))
        self.say(client, OK)
        self.assertEqual([record.bytes_in for record in self.records], [3, 3])

    def test_expect_continue(self) -> None:
        """The server's 100 is passed on, and its 103 with fields."""
        self.listen()
        client = self.client()
        stream = client.ask(b"/", b"PUT", (b"expect", b"100-continue"), (b"content-length", b"2"), ended=False)
        self.assertIn(b"Expect: 100-continue", self.asked())
        self.say(client, b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n")
        came = client.of(stream, h2.events.InformationalResponseReceived)
        self.assertEqual(
            [event.headers for event in came], [[(b":status", b"100")], [(b":status", b"103"), (b"link", b"</a>")]]
        )
        client.h2.send_data(stream, b"ab", end_stream=True)
        client.turn()
        self.assertEqual(self.asked(), b"ab")
        self.say(client, OK)
        self.assertEqual(client.status(stream), b"200")

    def test_connect(self) -> None:
        """There is no tunnel to be had: 405, and other streams go on."""
        self.listen()
        client = self.client()
        stream = client.h2.get_next_available_stream_id()
        client.h2.send_headers(stream, [(b":method", b"CONNECT"), (b":authority", b"a:1")])
        client.turn()
        self.assertEqual((client.status(stream), client.ended(stream)), (b"405", True))
        self.assertIn(b"allow", client.head(stream))
        client.ask()
        self.assertIn(b"GET / ", self.asked())

    def test_refused(self) -> None:
        """What is too large, or would be another request in HTTP/1, is answered, logged, and not sent on."""
        self.listen("http: {header_size: 100}, pool: web")
        client = self.client()
        for more, status in (
            ((b"x-a", b"a" * 101), b"431"),
            ((b"expect", b"the unexpected"), b"417"),
        ):
            stream = client.ask(b"/a", b"GET", more)
            self.assertEqual((client.status(stream), client.ended(stream)), (status, True))
            self.assertIn(b"http_request_error", client.head(stream)[b"proxy-status"])
        self.assertEqual(self.runtime.servers, [])
        self.assertEqual([(each.status, each.target, each.host) for each in self.records][0], (431, "/a", "a.example"))


class ResponseTests(ConversationTestCase):
    def test_fields(self) -> None:
        """A response has its fields in lower case, without those that are of HTTP/1.1 only."""
        self.listen()
        client = self.client()
        for _ in range(2):
            stream = client.ask()
            self.say(
                client,
                b"HTTP/1.1 200 OK\r\nDate: now\r\nX-Up: 1\r\nKeep-Alive: 5\r\nConnection: X-Hop\r\nX-Hop: 1\r\n"
                b"Content-Length: 2\r\n\r\nok",
            )
            head = client.head(stream)
            self.assertEqual(
                {name for name in head if name not in (b"x-request-id", b"date")},
                {b":status", b"x-up", b"content-length", b"via"},
            )
            self.assertEqual((head[b"via"], client.body(stream), client.ended(stream)), (b"1.1 balancer", b"ok", True))

    def test_without_length(self) -> None:
        """A chunked response has no length, and its trailers at the end."""
        self.listen()
        client = self.client()
        stream = client.ask()
        self.say(client, b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n")
        self.assertEqual((client.body(stream), client.ended(stream)), (b"ab", False))
        self.say(client, b"2\r\ncd\r\n0\r\nX-Sum: 7\r\n\r\n")
        self.assertEqual((client.body(stream), client.ended(stream)), (b"abcd", True))
        self.assertNotIn(b"transfer-encoding", client.head(stream))
        (trailers,) = client.of(stream, h2.events.TrailersReceived)
        self.assertEqual(trailers.headers, [(b"x-sum", b"7")])

    def test_without_body(self) -> None:
        """HEAD, 204 and 304 end with their head."""
        self.listen()
        client = self.client()
        for method, answer, length in (
            (b"HEAD", b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n", b"1000"),
            (b"GET", b"HTTP/1.1 204 No Content\r\n\r\n", None),
            (b"GET", b"HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n", b"9"),
            (b"GET", b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", b"0"),
        ):
            stream = client.ask(b"/", method)
            self.say(client, answer)
            self.assertEqual((client.head(stream).get(b"content-length"), client.ended(stream)), (length, True))
            self.assertEqual(client.of(stream, h2.events.DataReceived), [])

    def test_early(self) -> None:
        """A response before the body has come is sent whole, then the rest of the request is waived (RFC 9113 section 8.1)."""
        self.listen()
        client = self.client()
        stream = client.ask(b"/", b"POST", ended=False)
        client.h2.send_data(stream, b"a" * 1000)
        client.turn()
        self.say(client, b"HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\nDate: x\r\n\r\nno.")
        self.assertEqual((client.status(stream), client.body(stream), client.ended(stream)), (b"413", b"no.", True))
        self.passes(0.4)
        client.turn()
        self.assertEqual(client.was_reset(stream), None)
        self.passes(0.4)
        client.turn()
        self.assertEqual(client.was_reset(stream), 0)
        self.assertEqual(self.listener.http2.resets, {})

    def test_early_but_slow(self) -> None:
        """The waiver waits until the client's window has let the response through."""
        self.listen()
        client = self.client(INITIAL_WINDOW_SIZE=5)
        stream = client.ask(b"/", b"POST", ended=False)
        self.say(client, b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\nDate: x\r\n\r\n0123456789")
        self.passes(2)
        client.turn()
        self.assertEqual((client.body(stream), client.was_reset(stream)), (b"01234", None))
        client.h2.increment_flow_control_window(5, stream)
        client.turn()
        self.passes(1)
        client.turn()
        self.assertEqual(
            (client.body(stream), client.ended(stream), client.was_reset(stream)), (b"0123456789", True, 0)
        )

    def test_server_fails(self) -> None:
        """Before the head that is an error page, after it a reset."""
        self.listen()
        client = self.client()
        stream = client.ask(b"/", b"GET", (b"accept", b"application/json"))
        self.say(client, b"rubbish\r\n\r\n")
        self.assertEqual((client.status(stream), client.ended(stream)), (b"502", True))
        self.assertIn(b"http_protocol_error", client.head(stream)[b"proxy-status"])
        self.assertEqual(client.head(stream)[b"content-type"], b"application/problem+json")
        other = client.ask()
        stream = client.ask()
        self.say(client, b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n")
        self.say(client, b"rubbish\r\n\r\n")
        self.assertEqual((client.status(stream), client.body(stream), client.was_reset(stream)), (b"200", b"ab", 2))
        self.assertEqual(self.records[-1].reason, "http_protocol_error")
        self.say(client, OK, -2)
        self.assertEqual(client.status(other), b"200")
        self.assertEqual(self.listener.http2.resets, {("balancer", "internal_error"): 1})

    def test_filters(self) -> None:
        """Filters have their say on requests and responses."""
        self.listen("filters: [{headers: {request: {set: {X-In: '1'}}, response: {set: {X-Out: '2'}}}}], pool: web")
        client = self.client()
        stream = client.ask()
        self.assertIn(b"X-In: 1\r\n", self.asked())
        self.say(client, OK)
        self.assertEqual((client.head(stream)[b"x-out"], client.body(stream)), (b"2", b"ok"))

    def test_records(self) -> None:
        """The record of a request says the version and the stream."""
        self.listen("routes: [{respond: {status: 200, body: hello}}]")
        client = self.client()
        for _ in range(2):
            client.ask(b"/x")
        found = [(each.version, each.h2_stream, each.status, each.bytes_out, each.host) for each in self.records]
        self.assertEqual(found, [("2.0", 1, 200, 5, "a.example"), ("2.0", 3, 200, 5, "a.example")])


class BackPressureTests(ConversationTestCase):
    def test_response(self) -> None:
        """A server is paused while more than 16 KiB wait for the client's window, and goes on when it opens."""
        self.listen()
        client = self.client(INITIAL_WINDOW_SIZE=10)
        stream = client.ask()
        piece = b"x" * 8_000
        self.say(client, b"HTTP/1.1 200 OK\r\nContent-Length: 32000\r\n\r\n" + piece)
        self.say(client, piece)
        pipe = self.server_pipe()
        self.assertEqual(pipe.producerState, "producing")
        self.say(client, piece)
        self.assertEqual((pipe.producerState, client.body(stream)), ("paused", b"x" * 10))
        client.h2.increment_flow_control_window(6_000, stream)
        client.turn()
        self.assertEqual(pipe.producerState, "paused")
        client.h2.increment_flow_control_window(60_000, stream)
        client.turn()
        self.assertEqual(pipe.producerState, "producing")
        self.say(client, piece)
        self.assertEqual((len(client.body(stream)), client.ended(stream)), (32_000, True))

    def test_last_bytes(self) -> None:
        """A client that is slow to take the last bytes does not hold up the server's connection, which serves others then."""
        self.listen()
        client = self.client(INITIAL_WINDOW_SIZE=10)
        client.ask()
        self.say(client, b"HTTP/1.1 200 OK\r\nContent-Length: 150000\r\n\r\n" + b"x" * 100_000)
        self.assertEqual(self.server_pipe().producerState, "paused")
        self.server_pipe().resumeProducing()
        self.say(client, b"x" * 50_000)
        (server,) = {each.server for each in self.runtime.servers}
        self.assertEqual((self.server_pipe().producerState, len(server.idle)), ("producing", 1))

    def test_connection_is_full(self) -> None:
        """While the transport is full every server is paused, and nothing more is read from the client."""
        self.listen()
        client = self.client(room=40_000)
        streams = [client.ask() for _ in range(2)]
        for number in (-2, -1):
            self.runtime.servers[number].dataReceived(
                b"HTTP/1.1 200 OK\r\nContent-Length: 80000\r\n\r\n" + b"x" * 25_000
            )
        pipes = [self.server_pipe(-2), self.server_pipe(-1)]
        self.assertEqual([pipe.producerState for pipe in pipes], ["paused", "paused"])
        self.assertEqual(client.pipe.producerState, "paused")
        client.turn()
        self.assertEqual([pipe.producerState for pipe in pipes], ["producing", "producing"])
        self.assertEqual(client.pipe.producerState, "producing")
        self.assertEqual([len(client.body(stream)) for stream in streams], [25_000, 25_000])

    def test_request(self) -> None:
        """A client gets no more room for a body that its server does not take; other streams go on."""
        self.listen()
        client = self.client()
        stream = client.ask(b"/", b"POST", ended=False)
        self.server_pipe().producer.pauseProducing()
        client.h2.send_data(stream, b"x" * 16_000)
        client.h2.send_data(stream, b"x" * 16_000)
        client.h2.send_data(stream, b"x" * 16_000)
        client.turn()
        self.assertEqual(client.h2.local_flow_control_window(stream), 64 * 1024 - 48_000)
        self.server_pipe().producer.resumeProducing()
        client.turn()
        self.assertGreater(client.h2.local_flow_control_window(stream), 64 * 1024 - 30_000)
        client.h2.send_data(stream, b"x", end_stream=True)
        client.turn()
        self.assertIn(b"x\r\n0\r\n\r\n", self.asked())

    def test_body_nobody_wants(self) -> None:
        """What comes of a body after its answer does not shut the connection's window."""
        self.listen("http2: {connection_window: 100KB}, routes: [{respond: {status: 200, body: hello}}]")
        client = self.client()
        for _ in range(20):
            stream = client.begin(b"/", b"POST", ended=False)
            client.h2.send_data(stream, b"x" * 16_000)
            client.turn()
            self.assertEqual(client.status(stream), b"200")
        self.assertGreater(client.h2.local_flow_control_window(client.begin(ended=False)), 40_000)

    def test_resources(self) -> None:
        """A resource that is asked for each piece follows the client's pace."""
        folder = Path(self.mktemp()).resolve()
        folder.mkdir()
        (folder / "big").write_bytes(b"0123456789" * 50_000)
        self.listen(f"routes: [{{match: {{path: /f/**}}, resource: {{static: {{directory: {folder}}}}}}}]")
        client = self.client()
        stream = client.ask(b"/f/big")
        self.clock.advance(0)
        client.turn()
        while not client.ended(stream):
            before = len(client.body(stream))
            client.h2.increment_flow_control_window(65_535, stream)
            client.h2.increment_flow_control_window(65_535)
            client.turn()
            self.clock.advance(0)
            client.turn()
            self.assertGreater(len(client.body(stream)), before)
        self.assertEqual(client.body(stream), b"0123456789" * 50_000)


class ClientCertificateTests(ConversationTestCase):
    """Who a client has proved to be, and what it says of that itself."""

    SPOOFED = ((b"x-client-cert-subject", b"CN=admin"), (b"client-cert", b":AA==:"), (b"x_client_cert_san", b"a"))

    def _site(self, ours: bool) -> Site:
        site = self.site("pool: web")
        policy = replace(site.policy, client_certificates=ours)
        return replace(site, policy=policy, limits=replace(site.limits, own_client_certificates=ours))

    def test_ours_to_say(self) -> None:
        """Where servers are told by us, what clients say is dropped, on connections that there are already too."""
        self.listen()
        client = self.client()
        for ours in (False, True):
            self.listener.swap(self._site(ours))
            for _ in range(2):
                client.ask(b"/", b"GET", *self.SPOOFED)
                head = self.asked()
                self.assertEqual((b"admin" in head, b":AA==:" in head), (not ours, not ours))
                self.assertNotIn(b"x_client", head)
                self.say(client, OK)


class HstsTests(ConversationTestCase):
    """Strict-Transport-Security."""

    def test_every_answer(self) -> None:
        """It is in answers of servers, instead of theirs, and in our own."""
        self.listen()
        site = self.site("pool: web")
        self.listener.swap(replace(site, policy=replace(site.policy, hsts=b"max-age=5")))
        client = self.client()
        for _ in range(2):
            stream = client.ask(b"/", b"GET")
            self.asked()
            self.say(client, b"HTTP/1.1 200 OK\r\nStrict-Transport-Security: max-age=0\r\nContent-Length: 2\r\n\r\nok")
            self.assertEqual(self._values(client, stream), [b"max-age=5"])
        stream = client.ask(b"/", b"TRACE")
        self.assertEqual(self._values(client, stream), [b"max-age=5"])

    def _values(self, client: Client, stream: int) -> list[bytes]:
        (event,) = client.of(stream, h2.events.ResponseReceived)
        return [value for name, value in event.headers if name == b"strict-transport-security"]
