"""Tests of WebSockets on their way through, without sockets."""

from __future__ import annotations

from balancer.forwarding.tunnel import TunnelSettings, WebSocketPolicy
from balancer.forwarding.websocket import CLOSING, WebSocketTunnel
from balancer.model.frames import WebSocketRecord
from balancer.wire.websocket.encode import close_frame, xored
from tests.forwarding.tunnels import DONE, LOST, TunnelTestCase
from tests.wire.websocket.framing import MASK, frame

HELLO = frame(1, b"hello", mask=MASK)
WORLD = frame(2, b"world")
BYE, BYE_TOO = close_frame(1000, "bye", MASK), close_frame(1000, "bye")


def unmasked(data: bytes) -> bytes:
    """Return a short masked frame without its mask, to compare it."""
    size = data[1] & 0x7F
    assert len(data) == 6 + size, data
    return bytes((data[0], size)) + xored(data[6:], data[2:6])


class WebSocketTestCase(TunnelTestCase):
    def begin(self, early: bytes = b"", **policy: object) -> None:
        self.record = WebSocketRecord()
        self.begun: list[int] = []
        settings = TunnelSettings(self.wheel, 60.0, WebSocketPolicy(**policy))  # type: ignore[arg-type]
        self.tunnel = WebSocketTunnel(settings, self.done, self.record, lambda: self.begun.append(1))
        self.join(early)
        self.assertEqual(self.begun, [1])

    def closed(self, who: str, code: int) -> None:
        self.assertEqual((self.record.closed_by, self.record.close_code), (who, code))

    def ends_with(self, client: list[str], server: list[str], ended: list[str]) -> None:
        self.assertEqual((self.client.said, self.server.said, self.ended), (client, server, ended))


class PassingTests(WebSocketTestCase):
    def test_untouched(self) -> None:
        """Bytes pass as they are, in any pieces, and are counted by direction."""
        self.begin(HELLO)
        self.assertEqual(self.server.taken(), HELLO)
        for byte in WORLD * 2:
            self.tunnel.from_server(bytes((byte,)))
        self.assertEqual(self.client.taken(), WORLD * 2)
        self.assertEqual(dict(self.record.received.kinds()), {"text": 1})
        self.assertEqual(dict(self.record.sent.kinds()), {"binary": 2})
        self.assertEqual((self.tunnel.bytes_in, self.tunnel.bytes_out), (len(HELLO), 2 * len(WORLD)))

    def test_back_pressure(self) -> None:
        """Each end is paused while the other does not take what it says."""
        self.begin()
        self.client.congest()
        self.assertEqual((self.server.producerState, self.client.producerState), ("paused", "producing"))

    def test_goodbyes(self) -> None:
        """Two that say goodbye to each other are left to it; the server closes, as it should."""
        self.begin()
        self.tunnel.from_client(BYE)
        self.tunnel.from_server(BYE_TOO)
        self.assertEqual((self.server.taken(), self.client.taken()), (BYE, BYE_TOO))
        self.ends_with([], [], [])
        self.tunnel.server_lost(DONE)
        self.ends_with(["close"], ["close"], [""])
        self.closed("client", 1000)
        self.tunnel.client_lost(DONE)
        self.assertEqual(len(self.wheel), 0)

    def test_a_server_that_forgets_to_close(self) -> None:
        """After two goodbyes there is no need to wait for long."""
        self.begin()
        self.tunnel.from_server(BYE_TOO)
        self.closed("server", 1000)
        self.tunnel.from_client(BYE)
        self.spend(CLOSING + 1)
        self.ends_with(["close"], ["close"], [""])

    def test_half_close(self) -> None:
        """A FIN of the client is passed on, with the beginning of a frame that nobody will end."""
        self.begin()
        self.tunnel.from_client(HELLO[:3])
        self.tunnel.client_ended()
        self.assertEqual((self.server.taken(), self.server.said), (HELLO[:3], ["end"]))
        self.tunnel.from_server(WORLD)
        self.assertEqual(self.client.taken(), WORLD)
        self.tunnel.server_lost(DONE)
        self.ends_with(["close"], ["end", "close"], [""])


class EndingTests(WebSocketTestCase):
    def test_drain(self) -> None:
        """Both are told, answer, and are closed; what else they say is passed to nobody."""
        self.begin()
        self.tunnel.drain()
        self.tunnel.drain()
        self.assertEqual(self.client.taken(), close_frame(1001))
        self.assertEqual(unmasked(self.server.taken()), close_frame(1001))
        self.tunnel.from_client(HELLO + close_frame(1001, "", MASK))
        self.ends_with([], [], [])
        self.tunnel.from_server(WORLD + close_frame(1001))
        self.ends_with(["close"], ["close"], ["shutdown"])
        self.assertEqual((self.client.taken(), self.server.taken()), (b"", b""))
        self.closed("balancer", 1001)
        self.tunnel.client_lost(DONE)
        self.tunnel.server_lost(DONE)
        self.assertEqual(len(self.wheel), 0)

    def test_between_two_frames(self) -> None:
        """Who is in the middle of a frame gets its end first."""
        self.begin()
        self.tunnel.from_server(WORLD[:4])
        self.tunnel.from_client(HELLO + HELLO[:8])
        self.client.taken()
        self.server.taken()
        self.tunnel.drain()
        self.assertEqual((self.client.taken(), self.server.taken()), (b"", b""))
        self.tunnel.from_server(WORLD[4:] + WORLD)
        self.assertEqual(self.client.taken(), WORLD[4:] + WORLD + close_frame(1001))
        self.tunnel.from_server(WORLD)
        self.assertEqual(self.client.taken(), b"")
        self.tunnel.from_client(HELLO[8:] + HELLO[:9])
        said = self.server.taken()
        self.assertEqual((said[: len(HELLO) - 8], unmasked(said[len(HELLO) - 8 :])), (HELLO[8:], close_frame(1001)))
        self.tunnel.from_client(HELLO[9:] + close_frame(1001, "", MASK))
        self.tunnel.from_server(close_frame(1001))
        self.assertEqual(self.ended, ["shutdown"])

    def test_a_goodbye_with_the_end_of_a_frame(self) -> None:
        """A goodbye that comes in one piece with what was waited for is the only one."""
        self.begin()
        self.tunnel.from_server(WORLD[:4])
        self.client.taken()
        self.tunnel.drain()
        self.tunnel.from_server(WORLD[4:] + WORLD + BYE_TOO)
        self.assertEqual(self.client.taken(), WORLD[4:] + WORLD + BYE_TOO)

    def test_a_frame_without_an_end(self) -> None:
        """The end of a frame is not waited for without limit, nor an answer."""
        self.begin()
        self.tunnel.from_server(WORLD[:4])
        self.client.taken()
        self.tunnel.drain()
        self.spend(CLOSING + 1)
        self.ends_with(["close"], ["close"], ["shutdown"])
        self.assertEqual(self.client.taken(), b"")

    def test_a_goodbye_under_way(self) -> None:
        """Whoever has said goodbye gets no second close frame put in his mouth."""
        self.begin()
        self.tunnel.from_client(BYE)
        self.assertEqual(self.server.taken(), BYE)
        self.tunnel.drain()
        self.assertEqual((self.client.taken(), self.server.taken()), (close_frame(1001), b""))
        self.assertEqual(self.client.said, [])
        self.tunnel.from_server(BYE_TOO)
        self.assertEqual(self.ended, ["shutdown"])
        self.closed("client", 1000)

    def test_paused_ends_can_answer(self) -> None:
        """An end that was paused is read again: its answer is to come."""
        self.begin()
        self.client.congest()
        self.server.congest()
        self.tunnel.drain()
        self.assertEqual((self.client.producerState, self.server.producerState), ("producing", "producing"))

    def test_idle(self) -> None:
        """Silence ends it, with a word to both."""
        self.begin()
        for _ in range(3):
            self.spend(50)
            self.tunnel.from_client(HELLO)
        self.assertEqual(self.ended, [])
        self.spend(61)
        self.assertEqual(self.client.taken(), close_frame(1001, "idle"))
        self.spend(CLOSING + 1)
        self.ends_with(["close"], ["close"], ["connection_read_timeout"])

    def test_server_that_goes_without_a_word(self) -> None:
        """Its client is told, as long as it is not in the middle of a frame, and has a moment to say something."""
        for reason in (DONE, LOST):
            self.setUp()
            self.begin()
            self.server.congest()  # the client is paused, and must be heard all the same
            self.tunnel.from_server(WORLD + WORLD[:1])
            self.tunnel.server_lost(reason)
            self.assertEqual(
                self.client.taken()[: len(WORLD) + 4],
                WORLD + close_frame(1011, "the server went without a close frame")[:4],
            )
            self.assertEqual((self.client.said, self.client.producerState), ([], "producing"))
            self.tunnel.from_client(close_frame(1011, "", MASK))
            self.assertEqual(self.ended, ["connection_terminated"])
            self.assertIn("close", self.client.said)
            self.closed("balancer", 1011)

    def test_server_that_goes_within_a_frame(self) -> None:
        """Then there is nothing to say: the end must speak for itself."""
        self.begin()
        self.tunnel.from_server(WORLD[:4])
        self.client.taken()
        self.tunnel.server_lost(LOST)
        self.assertEqual((self.client.taken(), self.client.said), (b"", ["close"]))
        self.tunnel.client_lost(DONE)
        self.assertEqual(self.ended, ["connection_terminated"])

    def test_server_that_does_not_wait_for_the_answer(self) -> None:
        """A client whose server says goodbye and goes has time to read it."""
        self.begin()
        self.tunnel.from_server(BYE_TOO)
        self.tunnel.server_lost(DONE)
        self.ends_with([], [], [])
        self.assertEqual(self.client.taken(), BYE_TOO)
        self.tunnel.from_client(BYE)
        self.tunnel.client_lost(DONE)
        self.assertEqual(self.ended, [""])

    def test_client_that_goes(self) -> None:
        """Its server sees what has happened: an end without a word, a reset if it was one."""
        for reason, said, code in ((DONE, "close", ""), (LOST, "abort", "http_request_error")):
            self.setUp()
            self.begin()
            self.tunnel.from_client(HELLO)
            self.tunnel.client_lost(reason)
            self.assertEqual((self.server.said, self.ended), ([said], [code]))
            self.assertEqual(self.server.taken(), HELLO)
            self.tunnel.server_lost(DONE)
            self.assertEqual(len(self.wheel), 0)

    def test_gone_while_closing(self) -> None:
        """Ends that go instead of answering are as good."""
        self.begin()
        self.tunnel.drain()
        self.tunnel.server_lost(DONE)
        self.assertEqual(self.ended, [])
        self.tunnel.client_lost(LOST)
        self.assertEqual(self.ended, ["shutdown"])
        self.setUp()
        self.begin()
        self.tunnel.drain()
        self.tunnel.client_lost(DONE)  # what is left of the server is its own affair: it gets a FIN behind the frame
        self.assertEqual((self.ended, self.server.said), (["shutdown"], ["close"]))
        self.setUp()
        self.begin()
        self.tunnel.drain()
        self.tunnel.client_ended()
        self.tunnel.server_lost(DONE)
        self.assertEqual(self.ended, ["shutdown"])


class LimitTests(WebSocketTestCase):
    def test_violations(self) -> None:
        """What is forbidden passes and is counted; or ends it, where that is wanted, for whoever did it with 1002."""
        bad = frame(3, b"x", mask=MASK)
        self.begin()
        self.tunnel.from_client(bad + HELLO)
        self.assertEqual((self.server.taken(), self.record.received.violations), (bad + HELLO, 1))
        self.setUp()
        self.begin(strict=True)
        self.tunnel.from_client(HELLO + bad)
        said = self.server.taken()
        self.assertEqual((said[: len(HELLO)], unmasked(said[len(HELLO) :])), (HELLO, close_frame(1001, "opcode 3")))
        self.assertEqual(self.client.taken(), close_frame(1002, "opcode 3"))
        self.tunnel.from_client(close_frame(1002, "", MASK))
        self.tunnel.from_server(close_frame(1001))
        self.assertEqual((self.ended, self.tunnel.detail), (["http_request_error"], "opcode 3"))

    def test_of_a_server(self) -> None:
        """A server is told the same, its client that the server failed."""
        self.begin(max_frame=4)
        self.tunnel.from_server(WORLD)
        self.assertEqual(self.client.taken(), close_frame(1011, "a frame of 5 bytes"))
        self.assertEqual(unmasked(self.server.taken()), close_frame(1009, "a frame of 5 bytes"))
        self.tunnel.from_server(WORLD + close_frame(1009))
        self.tunnel.client_lost(DONE)
        self.assertEqual(self.ended, ["http_protocol_error"])

    def test_the_answer_behind_a_large_frame(self) -> None:
        """A client that is told 1009 within its frame may send the rest of it, to nobody, and then its answer."""
        self.begin(max_frame=100)
        large = frame(2, bytes(5000), mask=MASK)
        self.tunnel.from_client(large[:2000])
        self.assertEqual(self.client.taken(), close_frame(1009, "a frame of 5000 bytes"))
        self.server.taken()
        self.tunnel.from_client(large[2000:] + close_frame(1009, "", MASK))
        self.tunnel.from_server(close_frame(1001))
        self.assertEqual((self.client.said, self.server.taken(), self.ended), (["close"], b"", ["http_request_error"]))


class PingTests(WebSocketTestCase):
    def test_client(self) -> None:
        """A silent client is pinged; its pong is for us, and no traffic: the idle time goes on."""
        self.begin(ping=10.0)
        for number in range(1, 5):
            self.spend(10.5)
            ping = self.client.taken()
            self.assertEqual((ping[:2], len(ping), self.record.pings), (b"\x89\x0c", 14, number))
            self.tunnel.from_client(frame(10, ping[2:], mask=MASK))
        self.assertEqual((self.server.taken(), dict(self.record.received.kinds())), (b"", {}))
        self.spend(25)
        self.assertIn(close_frame(1001, "idle"), self.client.taken())

    def test_between_two_frames(self) -> None:
        """Within a frame the ping waits for its end, and the answer's time with it."""
        self.begin(ping=10.0, pong_timeout=5.0)
        self.tunnel.from_server(WORLD[:5])
        self.client.taken()
        self.spend(30)
        self.assertEqual((self.client.taken(), self.ended), (b"", []))
        self.tunnel.from_server(WORLD[5:] + WORLD[:3])
        said = self.client.taken()
        self.assertEqual((said[:2], said[2:4], said[16:]), (WORLD[5:], b"\x89\x0c", WORLD[:3]))
        self.tunnel.from_server(WORLD[3:])
        self.assertEqual(self.client.taken(), WORLD[3:])
        self.spend(6)
        self.assertEqual(self.client.taken(), close_frame(1001, "the client does not answer pings"))

    def test_server(self) -> None:
        """A server is pinged with a mask; if it stays silent its client is told that it failed."""
        self.begin(ping=10.0, pong_timeout=5.0, ping_client=False, ping_server=True)
        self.spend(10.5)
        ping = unmasked(self.server.taken())
        self.tunnel.from_server(frame(10, ping[2:]))
        self.assertEqual(self.client.taken(), b"")
        self.spend(16)
        self.assertEqual(self.client.taken(), close_frame(1011, "the server does not answer pings"))
        self.spend(CLOSING + 1)
        self.assertEqual(self.ended, ["connection_terminated"])

    def test_the_ends_own_pings(self) -> None:
        """Pings and pongs of the two ends pass, and whatever comes shows that somebody is there."""
        self.begin(ping=10.0, pong_timeout=5.0)
        ping, pong = frame(9, b"x" * 12), frame(10, b"x" * 12, mask=MASK)
        self.spend(10.5)
        self.client.taken()
        self.tunnel.from_server(ping)
        self.tunnel.from_client(pong)
        self.assertEqual((self.client.taken(), self.server.taken()), (ping, pong))
        self.spend(7)
        self.assertEqual((self.client.taken(), self.ended), (b"", []))

    def test_not_after_a_goodbye(self) -> None:
        """Who was said goodbye to is not pinged."""
        self.begin(ping=10.0)
        self.tunnel.from_server(BYE_TOO)
        self.client.taken()
        self.spend(30)
        self.assertEqual(self.client.taken(), b"")
