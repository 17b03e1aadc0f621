"""Tests for :mod:`balancer.forwarding.http2.connection`: what exchanges have in common, and the connection's own life."""

from __future__ import annotations

from h2.errors import ErrorCodes
from h2.events import ConnectionTerminated, PingReceived, StreamReset
from h2.settings import SettingCodes
from twisted.internet.error import ConnectionLost
from twisted.trial.unittest import SynchronousTestCase

from balancer import errors
from tests.forwarding.http2.peers import Balancer


class SharingTests(SynchronousTestCase):
    def test_one_connection(self) -> None:
        """Requests that come before a connection is there wait for the same one; those that come later use it at once."""
        balancer = Balancer()
        clients = [balancer.client().ask(path=f"/{number}") for number in range(3)]
        peer = balancer.accept()
        clients.append(balancer.client().ask(path="/3"))
        peer.turn()
        self.assertEqual((peer.requests(), balancer.dials), ([1, 3, 5, 7], []))
        for stream in (7, 1, 5, 3):  # in any order
            peer.answer(stream, b"for %d" % stream)
        self.assertEqual([client.body for client in clients], [b"for 1", b"for 3", b"for 5", b"for 7"])
        (server,) = balancer.servers
        self.assertEqual(server.connections, {"http1": 0, "h2": 1})
        self.assertEqual([record.server_protocol for record in balancer.records], ["h2"] * 4)

    def test_one_at_a_time(self) -> None:
        """A server that allows one exchange at a time is given as many connections as there are exchanges."""
        balancer = Balancer()
        clients = [balancer.client().ask() for _ in range(3)]
        first = balancer.accept(max_concurrent_streams=1)
        self.assertEqual((len(first.requests()), len(balancer.dials)), (1, 2))
        peers = [first, *(balancer.accept(max_concurrent_streams=1) for _ in range(2))]
        for peer in peers:
            peer.answer(1)
        self.assertEqual([client.body for client in clients], [b"ok"] * 3)
        clients[0].ask()
        self.assertEqual(balancer.dials, [])

    def test_more_allowed_later(self) -> None:
        """What the server allows may change: those who wait get the room."""
        balancer = Balancer()
        one, two = balancer.client().ask(), balancer.client().ask()
        peer = balancer.accept(max_concurrent_streams=1)
        peer.h2.update_settings({SettingCodes.MAX_CONCURRENT_STREAMS: 2})
        peer.turn()
        self.assertEqual(len(peer.requests()), 2)
        peer.answer(1)
        peer.answer(3)
        self.assertEqual((one.status, two.status), (200, 200))

    def test_our_own_limit(self) -> None:
        """``streams`` limits it from our side."""
        balancer = Balancer(pool="http2: {streams: 1}")
        for _ in range(2):
            balancer.client().ask()
        self.assertEqual(len(balancer.dials), 2)
        self.assertEqual([len(balancer.accept().requests()) for _ in range(2)], [1, 1])


class BeginningTests(SynchronousTestCase):
    def test_refused(self) -> None:
        """A server that cannot be connected to fails all who wait, each as its own attempts allow."""
        balancer = Balancer("'127.0.0.1:2', '127.0.0.1:3'")
        client = balancer.client().ask()
        balancer.refuse(errors.CONNECTION_REFUSED)
        balancer.accept().answer(1)
        self.assertEqual((client.status, balancer.records[0].attempts), (200, 2))

    def test_no_settings(self) -> None:
        """The server must say what it allows within the time that connecting may take."""
        balancer = Balancer(pool="retry: false, timeouts: {connect: 2s}")
        client = balancer.client().ask()
        peer = balancer.accept(silent=True)
        balancer.pass_time(1.5)
        self.assertEqual(client.status, 0)
        balancer.pass_time(1)
        self.assertEqual((client.status, balancer.records[0].reason), (504, "connection_timeout"))
        self.assertTrue(peer.aborted)

    def test_nothing_allowed(self) -> None:
        """A server that allows no exchange at all is waited for as long."""
        balancer = Balancer(pool="retry: false")
        one, two = balancer.client().ask(), balancer.client().ask()
        peer = balancer.accept(max_concurrent_streams=0)
        self.assertEqual((one.status, balancer.dials), (0, []))
        peer.h2.update_settings({SettingCodes.MAX_CONCURRENT_STREAMS: 1})
        peer.turn().answer(1)
        peer.answer(3)
        self.assertEqual((one.status, two.status), (200, 200))

    def test_not_http2(self) -> None:
        """What is no HTTP/2 is said to be none."""
        balancer = Balancer(pool="retry: false")
        client = balancer.client().ask()
        balancer.accept(silent=True).say(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
        self.assertEqual((client.status, balancer.records[0].reason), (502, "http_protocol_error"))

    def test_closed_at_once(self) -> None:
        """So is a connection that is closed before anything was said."""
        balancer = Balancer(pool="retry: false")
        client = balancer.client().ask()
        balancer.accept(silent=True).end()
        self.assertEqual((client.status, balancer.records[0].reason), (502, "connection_terminated"))

    def test_given_up(self) -> None:
        """A connection for which nobody waits any more is not made."""
        balancer = Balancer()
        client = balancer.client().ask()
        peer = balancer.accept(silent=True)
        client.leave()
        self.assertTrue(peer.aborted)


class EndingTests(SynchronousTestCase):
    def test_goaway(self) -> None:
        """After GOAWAY what the server has looked at goes on; the rest is sent again, whatever its method; then it is closed."""
        balancer = Balancer()
        one, two = balancer.client().ask("POST", "/", b"1"), balancer.client().ask("POST", "/", b"2")
        old = balancer.accept()
        old.h2.close_connection(last_stream_id=1)
        # The library thinks that all is over now; a server does not.
        goaway = old.h2.data_to_send()
        old.say(goaway)
        new = balancer.accept()
        self.assertEqual((new.requests(), new.body()), ([1], b"2"))
        new.answer(1, b"two")
        self.assertEqual((two.body, one.status, old.closed), (b"two", 0, False))
        answer = old.h2.encoder.encode([(":status", "200"), ("content-length", "0")])
        old.say(len(answer).to_bytes(3, "big") + b"\1\5\0\0\0\1" + answer)
        self.assertEqual((one.status, old.closed), (200, True))
        self.assertEqual([record.attempts for record in balancer.records], [1, 1])
        self.assertEqual(balancer.servers[0].failures, 0)

    def test_idle(self) -> None:
        """A connection that carries nothing for long is closed, with a word."""
        balancer = Balancer(pool="keep_alive: {idle: 20s}")
        client = balancer.client().ask()
        peer = balancer.accept()
        peer.answer(1)
        balancer.pass_time(15)
        client.ask()
        peer.turn().answer(3)
        balancer.pass_time(15)
        self.assertFalse(peer.closed)
        balancer.pass_time(10)
        self.assertTrue(peer.closed)
        (said,) = peer.found(ConnectionTerminated)
        self.assertEqual(said.error_code, ErrorCodes.NO_ERROR)
        self.assertEqual(balancer.servers[0].connections["h2"], 0)

    def test_none_kept(self) -> None:
        """With ``keep_alive: false`` a connection is closed when it carries nothing."""
        balancer = Balancer(pool="keep_alive: false")
        client = balancer.client().ask()
        peer = balancer.accept()
        peer.answer(1)
        self.assertEqual((client.status, peer.closed), (200, True))

    def test_dropped(self) -> None:
        """A server that leaves the configuration finishes what it has."""
        balancer = Balancer()
        client = balancer.client().ask()
        peer = balancer.accept()
        balancer.servers[0].close_idle()
        self.assertFalse(peer.closed)
        peer.answer(1)
        self.assertEqual((client.status, peer.closed), (200, True))

    def test_broken(self) -> None:
        """A connection that breaks costs nothing that may be sent again: those are tried once more, on a new one."""
        balancer = Balancer()
        get, post = balancer.client().ask(), balancer.client().ask("POST", "/", b"x")
        peer = balancer.accept()
        peer.answer(1)
        get.clear()
        get.ask()
        peer.turn()
        peer.end(ConnectionLost)
        self.assertEqual((post.status, balancer.records[-1].reason), (502, "connection_terminated"))
        balancer.accept().answer(1, b"again")
        self.assertEqual((get.body, balancer.records[-1].attempts), (b"again", 1))

    def test_always_broken(self) -> None:
        """A request that breaks each connection is not sent for ever."""
        balancer = Balancer()
        client = balancer.client().ask()
        peer = balancer.accept()
        peer.answer(1)
        client.clear()
        client.ask()
        tries = 0
        while not client.status:
            peer.turn().end(ConnectionLost)
            tries += 1
            if balancer.dials:
                balancer.client().ask()
                peer = balancer.accept()
        self.assertEqual((client.status, tries), (502, 3))

    def test_protocol_error(self) -> None:
        """A server that breaks the rules is told so, and all its exchanges fail."""
        balancer = Balancer(pool="retry: false")
        client = balancer.client().ask()
        peer = balancer.accept()
        peer.say(b"\0\0\0\0\0\0\0\0\0")  # DATA on stream 0
        peer.turn()
        self.assertEqual((client.status, balancer.records[0].reason), (502, "http_protocol_error"))
        self.assertEqual((peer.closed, len(peer.found(ConnectionTerminated))), (True, 1))


class LifeTests(SynchronousTestCase):
    def test_ping(self) -> None:
        """A server that is silent while exchanges wait is asked for a sign of life; if it gives one it is waited for."""
        balancer = Balancer()
        client = balancer.client().ask()
        peer = balancer.accept()
        balancer.pass_time(35)
        peer.turn()
        self.assertEqual(len(peer.found(PingReceived)), 1)
        balancer.pass_time(20)
        peer.turn().answer(1)
        self.assertEqual(client.status, 200)

    def test_no_answer(self) -> None:
        """If it gives none, the connection is closed, and what may be sent again is."""
        balancer = Balancer()
        client = balancer.client().ask()
        peer = balancer.accept()
        balancer.pass_time(39)
        self.assertFalse(peer.closed)
        balancer.pass_time(3)
        self.assertTrue(peer.aborted)
        balancer.accept().answer(1)
        self.assertEqual(client.status, 200)

    def test_no_pings(self) -> None:
        """``ping: false`` asks never."""
        balancer = Balancer(pool="http2: {ping: false}, timeouts: {first_byte: 2m}")
        balancer.client().ask()
        peer = balancer.accept()
        balancer.pass_time(100)
        self.assertEqual((peer.turn().found(PingReceived), peer.closed), ([], False))

    def test_congested(self) -> None:
        """While the connection itself takes no bytes, clients are not read from; then all goes on."""
        balancer = Balancer()
        client = balancer.client().ask("POST", "/", b"", "Content-Length: 20")
        peer = balancer.accept()
        peer.producer.pauseProducing()
        client.send(b"0123456789")
        self.assertEqual((peer.turn().body(), client.producerState), (b"", "paused"))
        peer.producer.resumeProducing()
        self.assertEqual((peer.turn().body(), client.producerState), (b"0123456789", "producing"))
        client.send(b"0123456789")
        peer.turn().answer(1)
        self.assertEqual(client.status, 200)

    def test_looked_at(self) -> None:
        """A request that must not be sent twice is not given to a connection which the server has closed meanwhile."""
        balancer = Balancer()
        client = balancer.client().ask()
        peer = balancer.accept()
        peer.answer(1)
        client.clear()
        peer.closed = True
        client.ask("POST", "/", b"x")
        new = balancer.accept()
        new.answer(1)
        self.assertEqual((client.status, new.body(), peer.found(StreamReset)), (200, b"x", []))
