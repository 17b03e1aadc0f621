"""How long HTTP/2 clients may take."""

from __future__ import annotations

import h2.events

from tests.listeners.http2.conversation import ConversationTestCase, Pipe

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
HELLO = "routes: [{respond: {status: 200, body: hello}}]"


class PatienceTests(ConversationTestCase):
    def test_preface_alone(self) -> None:
        """A client that says no more than the preface is not waited for longer than for a head."""
        self.listen(f"timeouts: {{head: 4s}}, {HELLO}")
        pipe = Pipe()
        channel = self.listener.buildProtocol(pipe.getPeer())
        assert channel is not None
        channel.makeConnection(pipe)
        channel.dataReceived(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
        self.passes(3)
        self.assertFalse(pipe.lost)
        self.passes(3)
        self.assertTrue(pipe.lost)
        self.assertEqual(self.listener.http2.goaways, {"settings_timeout": 1})

    def test_settings_are_acknowledged(self) -> None:
        """Or the connection ends."""
        self.listen(f"http2: {{settings_timeout: 4s}}, timeouts: {{head: 4s}}, {HELLO}")
        pipe = Pipe()
        channel = self.listener.buildProtocol(pipe.getPeer())
        assert channel is not None
        channel.makeConnection(pipe)
        channel.dataReceived(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0")
        self.passes(3)
        self.assertFalse(pipe.lost)
        self.passes(20)
        self.assertTrue(pipe.lost)
        self.assertEqual(self.listener.http2.goaways, {"settings_timeout": 1})

    def test_idle(self) -> None:
        """A connection without requests is told to go away after the keep-alive time, which each request begins anew."""
        self.listen(f"timeouts: {{keep_alive: 8s}}, {HELLO}")
        client = self.client()
        for _ in range(3):
            self.passes(6)
            client.ask()
        self.assertEqual(client.goaways(), [])
        self.passes(14)
        client.turn()
        self.assertEqual(client.goaways(), [(0, 5)])
        self.assertTrue(client.pipe.lost)
        self.assertEqual(self.listener.http2.goaways, {"idle": 1})

    def test_waiting_is_not_idle(self) -> None:
        """A connection with a request whose server takes its time stays."""
        self.listen("timeouts: {keep_alive: 8s}, pool: web")
        client = self.client()
        stream = client.ask()
        self.passes(30)
        self.say(client, OK)
        self.assertEqual(client.body(stream), b"ok")

    def test_slow_body(self) -> None:
        """A body that stops arriving, or trickles, is answered with 408; its stream only is at an end."""
        self.listen("timeouts: {body_idle: 4s}, pool: web")
        client = self.client()
        silent = client.ask(b"/", b"POST", ended=False)
        trickling = client.ask(b"/", b"POST", ended=False)
        steady = client.ask(b"/", b"POST", ended=False)
        for _ in range(12):
            client.h2.send_data(steady, b"x" * 1500)
            if not client.was_reset(trickling) and not client.ended(trickling):
                client.h2.send_data(trickling, b"x")
            client.turn()
            self.passes(1)
        client.turn()
        self.assertEqual([client.status(stream) for stream in (silent, trickling)], [b"408", b"408"])
        self.assertEqual(client.of(steady, h2.events.ResponseReceived), [])
        client.h2.end_stream(steady)
        client.turn()
        self.say(client, OK)
        self.assertEqual(client.status(steady), b"200")

    def test_held_body(self) -> None:
        """A body that waits for its server is not slow."""
        self.listen("timeouts: {body_idle: 4s}, pool: web")
        client = self.client()
        stream = client.ask(b"/", b"POST", ended=False)
        self.server_pipe().producer.pauseProducing()
        self.passes(20)
        client.turn()
        self.assertEqual(client.of(stream, h2.events.ResponseReceived), [])

    def test_shut_window(self) -> None:
        """A stream on which nothing goes is reset; who takes something keeps the connection."""
        self.listen("timeouts: {body_idle: 4s}, pool: web")
        client = self.client(INITIAL_WINDOW_SIZE=1)
        stuck = client.ask()
        self.say(client, OK)
        moving = client.ask()
        self.say(client, b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n" + b"x" * 100)
        for _ in range(8):
            client.h2.increment_flow_control_window(1, moving)
            client.turn()
            self.passes(1)
        client.turn()
        self.assertEqual((client.was_reset(stuck), client.was_reset(moving)), (8, None))
        self.assertEqual(client.goaways(), [])

    def test_nothing_moves(self) -> None:
        """Where nothing goes on any stream the connection ends; servers are let go."""
        self.listen("timeouts: {body_idle: 4s}, pool: web")
        client = self.client(INITIAL_WINDOW_SIZE=0)
        done, halfway = client.ask(), client.ask()
        self.say(client, OK, 0)
        self.say(client, b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nx", 1)
        self.passes(10)
        client.turn()
        self.assertEqual((client.was_reset(done), client.was_reset(halfway)), (8, 8))
        self.assertEqual([code for code, _ in client.goaways()], [11])
        self.assertTrue(client.pipe.lost)
        self.assertTrue(self.server_pipe(1).aborted)
        self.assertEqual(self.listener.http2.goaways, {"stalled": 1})
        self.assertEqual([record.reason for record in self.records], ["", "http_request_error"])

    def test_transport_stuck(self) -> None:
        """A client that reads nothing at all is cut."""
        self.listen("timeouts: {body_idle: 4s}, pool: web")
        client = self.client(room=20_000)
        client.ask()
        self.runtime.servers[0].dataReceived(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n" + b"x" * 30_000)
        self.passes(3)
        self.assertFalse(client.pipe.aborted)
        self.passes(4)
        self.assertTrue(client.pipe.aborted)
