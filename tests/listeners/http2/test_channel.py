"""HTTP/2 connections of clients as a whole: many streams, floods, reloads, ends."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import Any

import h2.connection
from twisted.internet.error import ConnectionDone
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure

from balancer.listeners.http.channel import HTTPChannel
from balancer.listeners.http2.channel import HTTP2Channel
from balancer.listeners.shedding import Shedding
from balancer.model.address import Peer
from balancer.model.origin import Origin
from balancer.model.tls import TLSInfo
from balancer.wire.http2 import frames, sessions
from tests.listeners.http2.conversation import Client, ConversationTestCase, Pipe
from tests.listeners.http2.late import LATE
from tests.wire.http2.peers import Frame, split

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
HELLO = "routes: [{respond: {status: 200, body: hello}}]"
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_REFUSED = b"HTTP/1.1 505 "


class LateTests(ConversationTestCase):
    """A client that has its answer is still held to the rules, and may end its request by itself."""

    library = "nghttp2"

    def setUp(self) -> None:
        sessions.library_in_use.cache_clear()
        self.addCleanup(sessions.library_in_use.cache_clear)
        self.patch(os, "environ", {**os.environ, sessions.VARIABLE: self.library})
        self.listen(HELLO)

    def answered(self) -> Client:
        """Return a client whose stream 1 is answered, and open on its side."""
        client = self.client()
        post = b"\x83\x86\x84\x41\x01a\x0f\x0d\x014"
        came = self.say_raw(client, frames.frame(frames.HEADERS, frames.END_HEADERS, 1, post))
        self.assertEqual([(kind, flags & 1) for kind, flags, _, _ in came][-1:], [(frames.DATA, 1)])
        return client

    def say_raw(self, client: Client, data: bytes) -> list[Frame]:
        client.protocol.dataReceived(data)
        return list(split(client.pipe.drain()))

    def test_the_rules(self) -> None:
        """What it does wrong is told as what it is."""
        for title, (data, wanted) in LATE.items():
            client = self.answered()
            found = [
                f"reset {int.from_bytes(payload, 'big')}"
                if kind == frames.RST_STREAM
                else f"goaway {int.from_bytes(payload[4:8], 'big')}"
                for kind, _, _, payload in self.say_raw(client, data)
                if kind in (frames.RST_STREAM, frames.GOAWAY)
            ]
            self.assertIn(wanted, [*found, *[each.replace("goaway", "reset") for each in found]], title)

    def test_the_end(self) -> None:
        """One that ends its request, or its connection, is let do so; one that does neither is told to."""
        client = self.answered()
        self.say_raw(client, frames.frame(frames.DATA, 1, 1, b"test"))
        other = self.answered()
        came = self.say_raw(other, frames.frame(frames.DATA, 0, 1, b"te"))
        self.passes(1)
        self.assertEqual((client.pipe.value(), came), (b"", []))
        self.assertEqual(list(split(other.pipe.drain())), [(frames.RST_STREAM, 0, 1, bytes(4))])
        left = self.answered()
        left.protocol.connectionLost()
        self.passes(1)
        self.assertEqual(left.pipe.value(), b"")

    def test_leaving(self) -> None:
        """A client that says GOAWAY is answered what it asked for, and then there is nothing to wait for."""
        client = self.answered()
        goodbye = frames.goaway(0, 0)
        came = self.say_raw(client, goodbye)
        self.assertEqual([each[0] for each in came], [frames.RST_STREAM])
        self.assertTrue(client.pipe.lost)
        self.listen()
        client = self.client()
        stream = client.ask()
        client.protocol.dataReceived(goodbye)
        client.turn()
        self.assertFalse(client.pipe.lost)
        self.say(client, OK)
        self.assertEqual((client.status(stream), client.pipe.lost), (b"200", True))


class PureLateTests(LateTests):
    """The same on the pure library."""

    library = "h2"


class StreamTests(ConversationTestCase):
    def test_many(self) -> None:
        """Requests are served at the same time, and answered as their servers answer."""
        self.listen()
        client = self.client()
        streams = [client.begin(b"/%d" % number) for number in range(20)]
        client.turn()
        self.assertEqual(len(self.runtime.servers), 20)
        for number in reversed(range(20)):
            self.assertIn(b"GET /%d " % number, self.asked(number))
            self.say(client, b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n%02d" % number, number)
        self.assertEqual([client.body(stream) for stream in streams], [b"%02d" % number for number in range(20)])
        self.assertEqual(len(self.records), 20)

    def test_one_write(self) -> None:
        """What comes of one piece of input is one write."""
        self.listen(HELLO)
        client = self.client()
        for _ in range(50):
            client.begin()
        before = client.pipe.writes
        self.assertIs(type(client.pipe), Pipe)
        client.protocol.dataReceived(client.h2.data_to_send())
        self.assertEqual(client.pipe.writes - before, 1)

    def test_too_many(self) -> None:
        """More streams than are allowed at a time are refused, unserved."""
        self.listen("http2: {streams: 3}, pool: web")
        client = self.client()
        self.assertEqual(client.h2.remote_settings.max_concurrent_streams, 3)
        client.h2.remote_settings.max_concurrent_streams = 100
        client.h2.remote_settings.acknowledge()
        streams = [client.begin() for _ in range(4)]
        client.turn()
        self.assertEqual([client.was_reset(stream) for stream in streams], [None, None, None, 7])
        self.assertEqual(len(self.runtime.servers), 3)

    def test_reset(self) -> None:
        """A request that the client gives up ends at its server too, and is logged as such; others go on."""
        self.listen()
        client = self.client()
        one, two = client.ask(), client.ask()
        client.h2.reset_stream(one, 8)
        client.turn()
        self.assertEqual([self.server_pipe(number).aborted for number in (0, 1)], [True, False])
        self.assertEqual([(each.status, each.reason) for each in self.records], [(499, "http_request_error")])
        self.say(client, OK, 1)
        self.assertEqual(client.body(two), b"ok")
        self.assertEqual(self.listener.http2.resets, {("client", "cancel"): 1})

    def test_floods_end(self) -> None:
        """A client that opens streams only to reset them is told to calm down, and the connection ends."""
        self.listen("http2: {resets: 10}, pool: web")
        client = self.client()
        for _ in range(12):
            client.h2.reset_stream(client.begin(), 8)
        client.turn()
        self.assertEqual([code for code, _ in client.goaways()], [11])
        self.assertTrue(client.pipe.lost)
        self.assertEqual(self.listener.http2.goaways, {"enhance_your_calm": 1})
        self.assertTrue(all(self.server_pipe(number).aborted for number in range(len(self.runtime.servers))))

    def test_connection_lost(self) -> None:
        """Every request ends with the connection, at its server too."""
        self.listen()
        client = self.client()
        client.ask()
        client.ask(b"/", b"POST", ended=False)
        client.protocol.connectionLost(Failure(ConnectionDone()))
        self.assertEqual([self.server_pipe(number).aborted for number in (0, 1)], [True, True])
        self.assertEqual([record.status for record in self.records], [499, 499])
        self.assertEqual((self.listener.gate.active, self.listener.channels), (0, set()))

    def test_client_ends(self) -> None:
        """A client that ends its half does not say any more what it takes: its requests are given up."""
        self.listen()
        client = self.client()
        client.ask()
        client.protocol.readConnectionLost()
        self.assertTrue(self.server_pipe().aborted)
        self.assertTrue(client.pipe.disconnecting)

    def test_overload(self) -> None:
        """While there is too much to do, requests are turned away one by one."""
        shedding = Shedding(0.1, lambda: 0.0)
        shedding.share = 0.5
        self.listen("pool: web", lambda site: replace(site, shedding=shedding))
        client = self.client()
        stream = client.ask()
        self.assertEqual((client.status(stream), client.head(stream)[b"retry-after"]), (b"503", b"1"))
        self.assertIn(b"overloaded", client.head(stream)[b"proxy-status"])
        shedding.share = 0.0
        client.ask()
        self.assertEqual((len(self.runtime.servers), shedding.turned_away["web"]), (1, 1))

    def test_reload(self) -> None:
        """Requests that begin after a reload are served by what it brought, those before by what was."""
        self.listen()
        client = self.client()
        before = client.ask()
        self.listener.swap(self.site("http: {via: false}, routes: [{respond: {status: 202, body: new}}]"))
        after = client.ask()
        self.say(client, OK)
        self.assertEqual([client.status(stream) for stream in (before, after)], [b"200", b"202"])
        self.assertEqual([b"via" in client.head(stream) for stream in (before, after)], [True, False])


class BeginningTests(ConversationTestCase):
    """How a plain connection comes to speak HTTP/2."""

    def open(self) -> StringTransport:
        pipe = Pipe()
        channel = self.listener.buildProtocol(pipe.getPeer())
        assert channel is not None
        pipe.protocol = channel  # type: ignore[attr-defined]
        channel.makeConnection(pipe)
        return pipe

    def test_any_split(self) -> None:
        """The preface may come in pieces of any size."""
        self.listen(HELLO)
        for at in range(1, len(PREFACE) + 30):
            pipe = self.open()
            client = Client(None, pipe)
            stream = client.begin()
            data = client.h2.data_to_send()
            for piece in (data[:at], data[at:]):
                client.protocol.dataReceived(piece)
            client.turn()
            self.assertEqual(client.body(stream), b"hello", at)
        self.assertEqual(self.listener.gate.active, len(self.listener.channels))

    def test_byte_by_byte(self) -> None:
        """Even of one byte each."""
        self.listen(HELLO)
        pipe = self.open()
        client = Client(None, pipe)
        stream = client.begin()
        for byte in client.h2.data_to_send():
            client.protocol.dataReceived(bytes([byte]))
        client.turn()
        self.assertEqual(client.body(stream), b"hello")

    def test_switched_off(self) -> None:
        """Where HTTP/2 is not wanted its preface is a version that is not spoken here."""
        self.listen(f"http2: false, {HELLO}")
        pipe = self.open()
        pipe.protocol.dataReceived(PREFACE)  # type: ignore[attr-defined]
        self.assertTrue(pipe.value().startswith(_REFUSED))

    def test_only_at_the_beginning(self) -> None:
        """A connection that has begun in HTTP/1.1 stays with it, whatever it asks to upgrade to."""
        self.listen(HELLO)
        pipe = self.open()
        upgrade = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n"
        pipe.protocol.dataReceived(b"GET / HTTP/1.1\r\nHost: a\r\n%b\r\n" % upgrade)  # type: ignore[attr-defined]
        self.assertTrue(pipe.value().startswith(b"HTTP/1.1 200 "))
        pipe.clear()
        pipe.protocol.dataReceived(PREFACE)  # type: ignore[attr-defined]
        self.assertTrue(pipe.value().startswith(_REFUSED))

    def test_agreed_on(self) -> None:
        """With TLS it is what the handshake agreed on, and nothing else."""
        self.listen(HELLO)
        for alpn, kind in (("h2", HTTP2Channel), ("http/1.1", HTTPChannel), ("", HTTPChannel)):
            pipe = Pipe()
            origin = Origin(Peer("192.0.2.1", 1), Peer("192.0.2.2", 443), TLSInfo("TLSv1.3", "x", alpn=alpn))
            channel: Any = self.listener.speak(origin, lambda _: None)
            self.assertIsInstance(channel, kind)
            pipe.protocol = channel  # type: ignore[attr-defined]
            channel.makeConnection(pipe)
            if alpn == "h2":
                client = Client(channel, pipe)
                self.assertEqual(client.body(client.ask()), b"hello")
                self.assertEqual((self.records[-1].client, self.records[-1].facts.scheme), ("192.0.2.1", "https"))  # type: ignore[union-attr]
            else:
                channel.dataReceived(PREFACE)
                self.assertTrue(pipe.value().startswith(_REFUSED))

    def test_half_a_preface(self) -> None:
        """What begins like HTTP/2 and is not ends with GOAWAY."""
        self.listen(HELLO)
        pipe = self.open()
        pipe.protocol.dataReceived(b"PRI * HTTP/2.0\r\nHost: a\r\n\r\n")  # type: ignore[attr-defined]
        self.assertIn(b"\x07\0\0\0\0\0" + b"\0\0\0\0" + b"\0\0\0\x01", pipe.value())
        self.assertTrue(pipe.lost)


class EndTests(ConversationTestCase):
    def test_drain(self) -> None:
        """The end is announced first; then no request is taken any more, and those under way are finished."""
        self.listen()
        client = self.client()
        one = client.ask()
        drained = self.listener.drain(30.0)
        client.turn()
        self.assertEqual(client.goaways(), [(0, 2**31 - 1)])
        self._go_on(client)
        two = client.ask()
        self.assertEqual(len(self.runtime.servers), 2)
        self.passes(1)
        client.turn()
        self.assertEqual(client.goaways()[1:], [(0, two)])
        self._go_on(client)
        self.assertFalse(client.pipe.lost)
        self.say(client, OK, 0)
        self.assertFalse(client.pipe.lost)
        self.say(client, OK, 1)
        self.assertEqual([client.body(stream) for stream in (one, two)], [b"ok", b"ok"])
        self.assertTrue(client.pipe.lost)
        client.protocol.readConnectionLost()
        client.protocol.connectionLost(Failure(ConnectionDone()))
        self.assertIsNone(self.successResultOf(drained))
        self.assertEqual(self.listener.http2.goaways, {"drain": 1})

    @staticmethod
    def _go_on(client: Client) -> None:
        """Make the library see that a GOAWAY is not yet the end."""
        client.h2.state_machine.state = h2.connection.ConnectionState.CLIENT_OPEN

    def test_drain_idle(self) -> None:
        """A connection without requests is closed after a moment."""
        self.listen()
        client = self.client()
        self.listener.drain(30.0)
        self.passes(1)
        client.turn()
        self.assertEqual(client.goaways(), [(0, 2**31 - 1), (0, 0)])
        self.assertTrue(client.pipe.lost)

    def test_drain_ends(self) -> None:
        """Who is not done in time is cut."""
        self.listen()
        client = self.client()
        client.ask()
        self.listener.drain(3.0)
        self.passes(4)
        self.assertTrue(client.pipe.aborted)
