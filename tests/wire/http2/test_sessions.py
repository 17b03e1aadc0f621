"""One suite for both libraries: conformance, conversations, flow control, floods."""

from __future__ import annotations

import os
import random
from typing import Any, ClassVar

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import TestCase

from balancer.model.headers import RawHeaders
from balancer.wire.http2 import frames, sessions
from balancer.wire.http2.frames import (
    DATA,
    END_HEADERS,
    END_STREAM,
    GOAWAY,
    HEADERS,
    PING,
    RST_STREAM,
    SETTINGS,
    WINDOW_UPDATE,
)
from balancer.wire.http2.interface import (
    CANCEL,
    ENHANCE_YOUR_CALM,
    INTERNAL_ERROR,
    LOW_WATER,
    NO_ERROR,
    PROTOCOL_ERROR,
    REFUSED_STREAM,
    SETTINGS_TIMEOUT,
    Limits,
    Repeated,
    SessionError,
)
from tests.wire.http2.conformance import CASES
from tests.wire.http2.peers import GET, LIBRARIES, OK, POST, RawClient, converse, heard

_PIECES = (0, 1, 2, 7, 9, 10, 100)
HEAD: RawHeaders = [(b":method", b"HEAD"), *GET[1:]]


class ChoiceTests(TestCase):
    def setUp(self) -> None:
        self.addCleanup(sessions.library_in_use.cache_clear)
        sessions.library_in_use.cache_clear()

    def _with(self, value: str) -> None:
        self.patch(os, "environ", {**os.environ, sessions.VARIABLE: value})

    def test_libnghttp2_is_taken_where_it_is(self) -> None:
        """Without a word from the operator it is libnghttp2, and its version is told."""
        self._with("")
        self.assertEqual(sessions.library_in_use(), "nghttp2")
        self.assertIn("libnghttp2 1.", sessions.description())
        self.assertEqual(sessions.server(heard("h2", server=True)[0], Limits()).library, "nghttp2")

    def test_the_environment_chooses(self) -> None:
        """The operator may ask for the pure library."""
        self._with("h2")
        self.assertEqual(sessions.library_in_use(), "h2")
        self.assertIn("h2", sessions.description())
        self.assertEqual(sessions.client(heard("h2", server=True)[0], Limits()).library, "h2")

    def test_another_library_is_an_error(self) -> None:
        """What is not known is not taken for something else."""
        self._with("h3")
        self.assertRaisesRegex(ValueError, "BALANCER_HTTP2=h3: h2 or nghttp2 was expected", sessions.library_in_use)


class ServerTests:
    """A server's session, against frames written by hand."""

    library: ClassVar[str]

    def peer(self, limits: Limits | None = None, *values: tuple[int, int], answers: bool = True) -> RawClient:
        return RawClient(self.library, limits, answers=answers).begin(*values)

    def test_conformance(self: Any) -> None:
        """Each case of RFC 9113 and RFC 7541 ends as its section says, however the bytes are split."""
        wrong = []
        for case in CASES:
            seen = set()
            for piece in _PIECES:
                peer = self.peer(answers=case.answers)
                peer.send(case.bytes_of(peer), piece)
                outcome = peer.outcome()
                if outcome == "alive":
                    peer.send(frames.frame(PING, 0, 0, b"alright?"))
                    if not any(each[3] == b"alright?" for each in peer.got(PING)):
                        outcome = "silent"
                if outcome not in case.outcomes:
                    wrong.append(f"{case.section} {case.title}, by {piece}: {outcome}, not {sorted(case.outcomes)}")
                # How much of a body comes before what is wrong with it may depend on the split.
                calls = (
                    peer.told.calls if outcome == "alive" else [call for call in peer.told.calls if call[0] != "data"]
                )
                seen.add((outcome, repr(calls)))
            if len(seen) != 1:
                wrong.append(f"{case.section} {case.title}: depends on the split: {seen}")
        self.assertEqual(wrong, [])

    def test_malformed_requests_never_arrive(self: Any) -> None:
        """The owner is not told of a request that is reset for what it is."""
        for case in CASES:
            if case.section.startswith("8.3") and case.outcomes != {"alive"} and "trailers" not in case.title:
                peer = self.peer()
                peer.send(case.bytes_of(peer))
                self.assertEqual(peer.told.of("request"), [], case.title)

    def test_a_malformed_request_leaves_the_others(self: Any) -> None:
        """Other streams go on."""
        peer = self.peer(answers=False)
        peer.send(peer.headers(1, GET) + peer.headers(3, [*GET, (b"X", b"y")]) + peer.headers(5, GET))
        self.assertEqual([call[1] for call in peer.told.of("request")], [1, 5])
        peer.answer(1)
        peer.answer(5)
        peer.read()
        self.assertEqual((peer.body(1), peer.body(5)), (b"hello", b"hello"))
        self.assertEqual(peer.session.open_streams, 0)

    def test_the_preface(self: Any) -> None:
        """The server begins with SETTINGS; what is no preface ends the connection."""
        peer = RawClient(self.library, Limits(streams=7, stream_window=70_000, head_size=5000, connect_protocol=True))
        peer.read()
        kind, _, _, payload = peer.frames[0]
        self.assertEqual(kind, SETTINGS)
        self.assertEqual(dict(frames.SETTING.iter_unpack(payload)), {3: 7, 4: 70_000, 6: 5000, 8: 1})
        for data in (
            b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
            b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n",
            b"\x16\x03\x01" + bytes(100),
        ):
            for piece in (0, 1):
                peer = RawClient(self.library)
                peer.send(data, piece)
                self.assertEqual(peer.outcome(), f"goaway {PROTOCOL_ERROR}")

    def test_settings_come_first(self: Any) -> None:
        """Another frame behind the preface ends the connection."""
        peer = RawClient(self.library)
        peer.send(frames.PREFACE + peer.headers(1, GET))
        self.assertEqual(peer.outcome(), f"goaway {PROTOCOL_ERROR}")

    def test_settings_are_acknowledged(self: Any) -> None:
        """And told of."""
        peer = RawClient(self.library)
        self.assertFalse(peer.session.settled)
        peer.send(frames.PREFACE + frames.settings())
        self.assertTrue(peer.session.settled)
        self.assertIn((SETTINGS, frames.ACK, 0, b""), peer.frames)
        self.assertEqual(peer.told.kinds(), ["settings"])

    def test_pings_are_answered(self: Any) -> None:
        """With the same eight bytes; our own are told of."""
        peer = self.peer()
        peer.send(frames.frame(PING, 0, 0, b"12345678"))
        self.assertEqual(peer.got(PING), [(PING, frames.ACK, 0, b"12345678")])
        peer.frames.clear()
        peer.session.ping(b"are you?")
        peer.read()
        self.assertEqual(peer.got(PING), [(PING, 0, 0, b"are you?")])
        peer.send(frames.frame(PING, frames.ACK, 0, b"are you?"))
        self.assertEqual(peer.told.of("pong"), [("pong", b"are you?")])

    def test_cookie_crumbs_are_joined(self: Any) -> None:
        """In the place of the first, in their order."""
        peer = self.peer()
        peer.send(peer.headers(1, GET, (b"cookie", b"a=1"), (b"x", b"y"), (b"cookie", b"b=2"), (b"cookie", b"c=3")))
        headers = peer.told.calls[-1][2]
        self.assertEqual(headers[4:], [(b"cookie", b"a=1; b=2; c=3"), (b"x", b"y")])

    def test_repeated_fields_stay(self: Any) -> None:
        """Order and repeats of other fields are kept."""
        peer = self.peer()
        more = [(b"accept", b"a"), (b"via", b"1"), (b"accept", b"b"), (b"cookie", b"a=1")]
        peer.send(peer.headers(1, GET, *more))
        self.assertEqual(peer.told.calls[-1], ("request", 1, [*GET, *more], True))

    def test_extended_connect(self: Any) -> None:
        """RFC 8441: where it was announced, a CONNECT with a protocol has a scheme and a path as well."""
        connect = [(b":method", b"CONNECT"), (b":protocol", b"websocket"), *GET[1:]]
        limits = Limits(connect_protocol=True)
        peer = self.peer(limits, answers=False)
        peer.send(peer.headers(1, connect, flags=END_HEADERS) + frames.frame(DATA, 0, 1, b"frames"))
        self.assertEqual(peer.told.of("request", "data"), [("request", 1, connect, False), ("data", 1, b"frames")])
        for bad in (
            connect[:3],
            [(b":method", b"GET"), *connect[1:]],
            [pair for pair in connect if pair[0] != b":authority"],
        ):
            peer = self.peer(limits)
            peer.send(peer.headers(1, bad))
            self.assertEqual(peer.outcome(), f"reset 1 {PROTOCOL_ERROR}")

    def test_streams_beyond_the_limit_are_refused(self: Any) -> None:
        """Each by itself, and those within it go on; the header lists of the refused are read all the same."""
        peer = self.peer(Limits(streams=2), answers=False)
        peer.send(b"".join(peer.headers(number, GET, (b"x-number", b"%d" % number)) for number in (1, 3, 5, 7)))
        self.assertEqual([each[2] for each in peer.got(RST_STREAM)], [5, 7])
        self.assertEqual({each[3] for each in peer.got(RST_STREAM)}, {REFUSED_STREAM.to_bytes(4, "big")})
        peer.answer(1)
        peer.read()
        peer.send(peer.headers(9, GET, (b"x-number", b"7")))
        self.assertEqual(peer.told.calls[-1], ("request", 9, [*GET, (b"x-number", b"7")], True))

    def test_large_header_lists_arrive(self: Any) -> None:
        """What is larger than announced still comes, so that it can be answered with 431; what is much larger ends it."""
        limits = Limits(head_size=4000)
        peer = self.peer(limits)
        peer.send(peer.headers(1, GET, *[(b"x-%d" % each, b"a" * 100) for each in range(40)]))
        self.assertEqual(peer.told.kinds()[-1], "request")
        peer.send(peer.headers(3, GET, *[(b"x-%d" % each, b"a" * 100) for each in range(200)]))
        self.assertEqual(peer.outcome(), f"goaway {ENHANCE_YOUR_CALM}")

    def test_a_header_bomb_ends_it(self: Any) -> None:
        """Thousands of references to one large field are not put together."""
        peer = self.peer()
        field = (b"x-bomb", b"a" * 3500)
        peer.send(peer.headers(1, GET, field))
        peer.send(frames.frame(HEADERS, 5, 3, peer.block(GET) + b"\xbe" * 10_000))
        self.assertEqual(peer.outcome(), f"goaway {ENHANCE_YOUR_CALM}")
        self.assertEqual(len(peer.told.of("request")), 1)

    def test_many_small_fields_end_it(self: Any) -> None:
        """The number of fields is limited too."""
        peer = self.peer(Limits(header_count=10))
        peer.send(peer.headers(1, GET, *[(b"x", b"") for _ in range(41)]))
        self.assertEqual(peer.outcome(), f"goaway {ENHANCE_YOUR_CALM}")

    def test_informational_responses(self: Any) -> None:
        """1xx go before the final head."""
        peer = self.peer(answers=False)
        peer.send(peer.headers(1, GET))
        peer.session.inform(1, [(b":status", b"103"), (b"link", b"</a.css>")])
        peer.session.respond(1, OK, ended=True)
        peer.read()
        first, last = peer.got(HEADERS, 1)
        self.assertEqual(peer.decoder.decode(first[3], raw=True)[0], (b":status", b"103"))
        self.assertEqual(peer.decoder.decode(last[3], raw=True)[0], (b":status", b"200"))
        self.assertEqual((first[1] & 1, last[1] & 1), (0, 1))

    def test_calls_for_streams_that_are_over_are_let_be(self: Any) -> None:
        """The owner need not know that a stream was reset a moment ago."""
        peer = self.peer(answers=False)
        peer.send(peer.headers(1, GET))
        peer.send(frames.reset(1, CANCEL))
        peer.frames.clear()
        session = peer.session
        session.inform(1, [(b":status", b"100")])
        session.respond(1, OK)
        session.send(1, b"late")
        session.end(1, [(b"x", b"y")])
        session.reset(1, CANCEL)
        session.took(1, 5)
        peer.read()
        self.assertEqual(peer.frames, [])
        self.assertEqual((session.queued(1), session.open_streams), (0, 0))
        self.assertEqual(peer.told.of("reset"), [("reset", 1, CANCEL)])

    def test_a_reset_of_ours(self: Any) -> None:
        """Says its code; what the peer still sends on the stream is not told of, and goes back to the connection's window."""
        peer = self.peer(Limits(connection_window=65535, stream_window=65535), answers=False)
        peer.send(peer.headers(1, POST, flags=END_HEADERS))
        peer.session.reset(1, INTERNAL_ERROR)
        peer.read()
        self.assertEqual(peer.got(RST_STREAM), [(RST_STREAM, 0, 1, INTERNAL_ERROR.to_bytes(4, "big"))])
        peer.send(frames.frame(DATA, 0, 1, bytes(16384)) * 3 + peer.headers(1, [(b"x", b"y")]))
        self.assertEqual(peer.told.of("data", "ended", "reset"), [])
        self.assertEqual(peer.outcome(), f"reset 1 {INTERNAL_ERROR}")
        self.assertGreaterEqual(sum(int.from_bytes(each[3], "big") for each in peer.got(WINDOW_UPDATE, 0)), 32768)

    def test_what_was_given_goes_before_a_reset(self: Any) -> None:
        """An answer that is complete is sent before the stream is reset (RFC 9113 section 8.1), as far as the windows allow."""
        peer = self.peer(answers=False)
        peer.send(peer.headers(1, POST, flags=END_HEADERS))
        peer.answer(1)
        peer.session.reset(1, NO_ERROR)
        peer.read()
        self.assertEqual([each[0] for each in peer.frames], [HEADERS, DATA, RST_STREAM])
        self.assertEqual(peer.session.open_streams, 0)


class FlowTests:
    library: ClassVar[str]
    peer: Any

    def _asked(self, *values: tuple[int, int], limits: Limits | None = None) -> RawClient:
        peer: RawClient = RawClient(self.library, limits, answers=False).begin(*values)
        peer.send(peer.headers(1, GET))
        peer.session.respond(1, OK)
        return peer

    def test_windows_hold_bodies_back(self: Any) -> None:
        """What does not fit waits, is counted, and goes when there is room."""
        peer = self._asked((4, 10))
        peer.session.send(1, b"0123456789abcdef", ended=True)
        peer.read()
        self.assertEqual((peer.body(1), peer.session.queued(1)), (b"0123456789", 6))
        peer.send(frames.window_update(1, 2))
        self.assertEqual((peer.body(1), peer.session.queued(1)), (b"0123456789ab", 4))
        peer.send(frames.window_update(1, 200))
        self.assertEqual((peer.body(1), peer.session.queued(1)), (b"0123456789abcdef", 0))
        self.assertEqual(peer.got(DATA, 1)[-1][1] & END_STREAM, END_STREAM)
        self.assertEqual(peer.session.open_streams, 0)

    def test_a_window_may_become_negative(self: Any) -> None:
        """RFC 9113 section 6.9.2."""
        peer = self._asked((4, 10))
        peer.session.send(1, b"0123456789abcdef")
        peer.read()
        peer.send(frames.settings((4, 2)))
        peer.send(frames.window_update(1, 8))
        self.assertEqual(peer.body(1), b"0123456789")
        peer.send(frames.window_update(1, 1))
        self.assertEqual(peer.body(1), b"0123456789a")
        peer.send(frames.settings((4, 100)))
        self.assertEqual(peer.body(1), b"0123456789abcdef")

    def test_the_connections_window_counts(self: Any) -> None:
        """Streams share it in turn."""
        peer = self._asked((4, 1 << 20))
        peer.send(peer.headers(3, GET))
        peer.session.respond(3, OK)
        peer.session.send(1, b"a" * 65535, ended=True)
        peer.session.send(3, b"b" * 40_000, ended=True)
        peer.read()
        self.assertEqual(len(peer.body(1)) + len(peer.body(3)), 65535)
        peer.send(frames.window_update(0, 65535))
        self.assertEqual((len(peer.body(1)), len(peer.body(3))), (65535, 40_000))

    def test_frames_are_no_larger_than_the_peer_takes(self: Any) -> None:
        """16 KiB, as long as it says nothing."""
        peer = self._asked((4, 1 << 20))
        peer.send(frames.window_update(0, 1 << 20))
        peer.session.send(1, b"a" * 200_000, ended=True)
        peer.read()
        self.assertEqual(len(peer.body(1)), 200_000)
        self.assertLessEqual(max(len(each[3]) for each in peer.got(DATA)), 16384)

    def test_room_is_told_once(self: Any) -> None:
        """When what waits falls below LOW_WATER, if it was above."""
        peer = self._asked((4, 1))
        peer.session.send(1, b"a" * (LOW_WATER + 5))
        peer.read()
        self.assertEqual(peer.told.of("room"), [])
        peer.send(frames.window_update(1, 10))
        self.assertEqual(peer.told.of("room"), [("room", 1)])
        peer.send(frames.window_update(1, 20_000))
        self.assertEqual(peer.told.of("room"), [("room", 1)])
        self.assertEqual(peer.session.queued(1), 0)
        peer.session.send(1, b"little")
        peer.read()
        self.assertEqual(peer.told.of("room"), [("room", 1)])

    def test_more_may_be_given_when_there_is_room(self: Any) -> None:
        """From within the call that says so; it goes out at once."""
        peer = self._asked((4, 1 << 20))
        pieces = [b"b" * 30_000, b"c" * 30_000]

        def more(stream: int) -> None:
            while pieces and peer.session.queued(stream) < LOW_WATER:
                peer.session.send(stream, pieces[0], ended=not pieces[1:])
                del pieces[0]

        peer.told.room_came = more  # type: ignore[method-assign]
        peer.session.send(1, b"a" * 90_000)
        peer.read()
        self.assertEqual(len(peer.body(1)), 65535)
        peer.send(frames.window_update(0, 1 << 20))
        self.assertEqual(peer.body(1), b"a" * 90_000 + b"b" * 30_000 + b"c" * 30_000)
        self.assertEqual(peer.session.open_streams, 0)

    def test_stalled_streams_are_named(self: Any) -> None:
        """Those on which something waits and nothing went for a while."""
        peer = self._asked((4, 10))
        session = peer.session
        session.at(100.0)
        session.send(1, b"a" * 100)
        peer.read()
        session.at(129.0)
        self.assertEqual((session.stalled(30), session.stalled(29)), ([], [1]))
        peer.send(frames.window_update(1, 1))
        session.at(150.0)
        self.assertEqual((session.stalled(30), session.stalled(21)), ([], [1]))
        peer.send(frames.window_update(1, 1000))
        session.at(1000.0)
        self.assertEqual(session.stalled(1), [])

    def test_what_was_taken_gives_room(self: Any) -> None:
        """The peer's windows open by what the owner took, and by padding at once."""
        limits = Limits(stream_window=65535, connection_window=65535)
        peer = RawClient(self.library, limits, answers=False).begin()
        peer.send(peer.headers(1, POST, flags=END_HEADERS))
        peer.send(frames.frame(DATA, 0, 1, bytes(16384)) * 3)
        self.assertEqual(peer.got(WINDOW_UPDATE), [])
        peer.session.took(1, 20_000)
        peer.read()
        self.assertEqual(peer.got(WINDOW_UPDATE), [])
        peer.session.took(1, 20_000)
        peer.read()
        self.assertEqual(
            {each[2]: int.from_bytes(each[3], "big") for each in peer.got(WINDOW_UPDATE)}, {0: 40_000, 1: 40_000}
        )
        peer.frames.clear()
        peer.send(frames.frame(DATA, frames.PADDED, 1, b"\xff" + b"a" + bytes(255)) * 150)
        self.assertGreaterEqual(sum(int.from_bytes(each[3], "big") for each in peer.got(WINDOW_UPDATE, 1)), 32768)

    def test_the_two_halves_of_taking(self: Any) -> None:
        """The connection's window may open while the stream's stays shut, and that later."""
        limits = Limits(stream_window=65535, connection_window=65535)
        peer = RawClient(self.library, limits, answers=False).begin()
        peer.send(peer.headers(1, POST, flags=END_HEADERS))
        peer.send(frames.frame(DATA, 0, 1, bytes(16384)) * 3)
        peer.session.took_of_connection(3 * 16384)
        peer.read()
        self.assertEqual([each[2] for each in peer.got(WINDOW_UPDATE)], [0])
        peer.session.took_of_stream(1, 3 * 16384)
        peer.read()
        self.assertEqual(
            [(each[2], int.from_bytes(each[3], "big")) for each in peer.got(WINDOW_UPDATE)],
            [(0, 3 * 16384), (1, 3 * 16384)],
        )

    def test_took_of_streams_that_are_over(self: Any) -> None:
        """Still opens the connection's window."""
        limits = Limits(stream_window=65535, connection_window=65535)
        peer = RawClient(self.library, limits, answers=False).begin()
        peer.send(
            peer.headers(1, POST, flags=END_HEADERS)
            + frames.frame(DATA, 0, 1, bytes(16384)) * 3
            + frames.reset(1, CANCEL)
        )
        peer.session.took(1, 3 * 16384)
        peer.read()
        self.assertEqual(
            [(each[2], each[3]) for each in peer.got(WINDOW_UPDATE)], [(0, (3 * 16384).to_bytes(4, "big"))]
        )

    def test_a_small_window_of_ours(self: Any) -> None:
        """Is kept to once the peer knows of it."""
        peer = RawClient(self.library, Limits(stream_window=1000), answers=False).begin()
        peer.send(peer.headers(1, POST, flags=END_HEADERS) + frames.frame(DATA, 0, 1, bytes(1001)))
        self.assertIn(peer.outcome(), ("reset 1 3", "goaway 3"))

    def test_memory_is_bounded_by_the_connections_window(self: Any) -> None:
        """More than the window of the connection ends it."""
        peer = RawClient(self.library, Limits(stream_window=65536, connection_window=65535), answers=False).begin()
        data = b"".join(peer.headers(number, POST, flags=END_HEADERS) for number in (1, 3))
        peer.send(data + frames.frame(DATA, 0, 1, bytes(16384)) * 3 + frames.frame(DATA, 0, 3, bytes(16384)))
        self.assertEqual(peer.outcome(), "goaway 3")


class AbuseTests:
    library: ClassVar[str]
    peer: Any

    def _flood(self: Any, piece: Any, limits: Limits, within: int, *, answers: bool = False) -> None:
        """Let ``piece(peer, number)`` come ``within`` times, and once more; and as often over a longer time."""
        peer = self.peer(limits, answers=answers)
        for number in range(within):
            peer.send(piece(peer, number))
        self.assertIsNone(peer.error)
        peer.send(piece(peer, within))
        self.assertEqual(peer.outcome(), f"goaway {ENHANCE_YOUR_CALM}")
        slow = self.peer(limits, answers=answers)
        for number in range(3 * within):
            slow.session.at(1.0 + number * limits.span / within)
            slow.send(piece(slow, number))
        self.assertIsNone(slow.error)

    def test_rapid_reset(self: Any) -> None:
        """CVE-2023-44487."""
        self._flood(
            lambda peer, number: peer.headers(2 * number + 1, GET) + frames.reset(2 * number + 1, CANCEL),
            Limits(resets=5),
            5,
        )

    def test_resets_that_we_are_made_to_send(self: Any) -> None:
        """CVE-2025-8671: by windows, lengths and malformed messages."""
        for provoke in (
            lambda peer, stream: peer.headers(stream, GET) + frames.window_update(stream, frames.HIGHEST),
            lambda peer, stream: peer.headers(stream, [*GET, (b"X", b"y")]),
            lambda peer, stream: peer.headers(stream, POST, (b"content-length", b"1")),
        ):
            self._flood(lambda peer, number, how=provoke: how(peer, 2 * number + 1), Limits(resets=5), 5)

    def test_refused_streams_count(self: Any) -> None:
        """Once the peer knows how many it may have."""
        peer = self.peer(Limits(streams=1, resets=5), answers=False)
        peer.send(b"".join(peer.headers(number, GET) for number in range(1, 13, 2)))
        self.assertIsNone(peer.error)
        peer.send(peer.headers(13, GET))
        self.assertEqual(peer.outcome(), f"goaway {ENHANCE_YOUR_CALM}")

    def test_pings(self: Any) -> None:
        """CVE-2019-9512."""
        self._flood(lambda *_: frames.frame(PING, 0, 0, bytes(8)), Limits(pings=7), 7)

    def test_settings(self: Any) -> None:
        """CVE-2019-9515; the handshake's count as well. What was not said cannot be acknowledged."""
        self._flood(lambda *_: frames.settings(), Limits(settings=9), 7)
        peer = self.peer()
        peer.send(frames.frame(SETTINGS, frames.ACK, 0))
        self.assertEqual(peer.outcome(), f"goaway {PROTOCOL_ERROR}")

    def test_empty_frames(self: Any) -> None:
        """CVE-2019-9518: DATA without bytes or with padding only, and what has no meaning."""
        for empty in (
            frames.frame(DATA, 0, 1),
            frames.frame(DATA, frames.PADDED, 1, b"\x03" + bytes(3)),
            frames.frame(0x20, 0, 0, b"whatever"),
        ):
            self._flood(
                lambda peer, number, frame=empty: (b"" if number else peer.headers(1, POST, flags=END_HEADERS)) + frame,
                Limits(empty_frames=6),
                6,
            )

    def test_priorities(self: Any) -> None:
        """CVE-2019-9513."""
        self._flood(lambda *_: frames.frame(frames.PRIORITY, 0, 1, b"\0\0\0\3\1"), Limits(priorities=8), 8)

    def test_crumbs(self: Any) -> None:
        """CVE-2019-9511: a large answer asked for byte by byte."""
        self._flood(lambda *_: frames.window_update(0, 1), Limits(crumbs=8), 8)
        peer = self.peer(Limits(crumbs=8))
        for _ in range(50):
            peer.send(frames.window_update(0, 1000))
        self.assertIsNone(peer.error)

    def test_dribble(self: Any) -> None:
        """Of windows that are all but shut each crumb counts, whatever goes because of it: a stream's, and the connection's."""
        for number, initial, size in ((1, 0, 20), (0, 1 << 20, 65535 + 20)):
            peer = RawClient(self.library, Limits(crumbs=8), answers=False).begin((frames.INITIAL_WINDOW_SIZE, initial))
            peer.send(peer.headers(1, GET))
            peer.session.respond(1, OK)
            peer.session.send(1, bytes(size))
            peer.read()
            for _ in range(8):
                peer.send(frames.window_update(number, 1))
            self.assertIsNone(peer.error)
            peer.send(frames.window_update(number, 1))
            self.assertEqual(peer.outcome(), f"goaway {ENHANCE_YOUR_CALM}")

    def test_pings_and_crumbs_with_calls(self: Any) -> None:
        """Clients of gRPC send a few of each with every call and every message: those are not counted."""
        peer = self.peer(Limits(pings=3, crumbs=3))
        for number in range(50):
            stream = 2 * number + 1
            peer.send(peer.headers(stream, GET) + frames.frame(PING, 0, 0, bytes(8)) * 4)
            peer.send(frames.window_update(stream, 13) * 2 + frames.window_update(0, 13) * 2)
        stream = 101
        peer.send(peer.headers(stream, POST, flags=END_HEADERS))
        for _ in range(50):
            message = frames.frame(DATA, 0, stream, b"hello")
            peer.send(message + frames.frame(PING, 0, 0, bytes(8)) * 4 + frames.window_update(stream, 5) * 4)
        self.assertIsNone(peer.error)
        before = peer.session.open_streams
        peer.send(frames.frame(PING, 0, 0, bytes(8)) * 1000)
        self.assertEqual((before, peer.outcome()), (1, f"goaway {ENHANCE_YOUR_CALM}"))

    def test_pings_with_messages_to_the_peer(self: Any) -> None:
        """One that measures how fast it gets what we send may do so with each piece."""
        peer = self.peer(Limits(pings=3), answers=False)
        peer.send(peer.headers(1, GET))
        peer.session.respond(1, OK)
        for _ in range(100):
            peer.session.send(1, b"message")
            peer.read()
            peer.send(frames.frame(PING, 0, 0, bytes(8)))
        self.assertIsNone(peer.error)

    def test_continuations(self: Any) -> None:
        """CVE-2024-27316: ended before the list is, and before it is kept."""
        peer = self.peer(Limits(continuations=3))
        data = (
            frames.frame(HEADERS, END_STREAM, 1, peer.block(GET))
            + frames.frame(frames.CONTINUATION, 0, 1, b"\x10\1x\1y") * 3
        )
        peer.send(data)
        self.assertIsNone(peer.error)
        peer.send(frames.frame(frames.CONTINUATION, 0, 1, b"\x10\1x\1y"))
        self.assertEqual(peer.outcome(), f"goaway {ENHANCE_YOUR_CALM}")

    def test_settings_that_are_not_acknowledged(self: Any) -> None:
        """End it after a while."""
        peer = RawClient(self.library, Limits(settings_timeout=5))
        peer.session.at(100.0)
        peer.send(frames.PREFACE + frames.settings())
        peer.session.at(104.0)
        peer.send(peer.headers(1, GET))
        self.assertIsNone(peer.error)
        peer.session.at(106.0)
        peer.send(peer.headers(3, GET))
        self.assertEqual(peer.outcome(), f"goaway {SETTINGS_TIMEOUT}")

    def test_nothing_comes_after_the_end(self: Any) -> None:
        """What is fed to a session that ended is not looked at; what is given to it is not sent."""
        peer = self.peer()
        peer.send(frames.frame(DATA, 0, 0))
        self.assertEqual(peer.outcome(), f"goaway {PROTOCOL_ERROR}")
        peer.frames.clear()
        peer.session.feed(peer.headers(1, GET))
        self.assertEqual((peer.told.of("request"), peer.session.output()), ([], b""))

    def test_what_came_before_is_told(self: Any) -> None:
        """Requests before the frame that ends the connection are there."""
        peer = self.peer(Limits(pings=1), answers=False)
        ping = frames.frame(PING, 0, 0, bytes(8))
        peer.send(peer.headers(1, GET) + ping * 6 + peer.headers(3, GET))  # four go with the request
        self.assertEqual(peer.told.of("request"), [("request", 1, GET, True)])
        self.assertEqual(peer.outcome(), f"goaway {ENHANCE_YOUR_CALM}")


class LeavingTests:
    library: ClassVar[str]
    peer: Any

    def _goaways(self, peer: RawClient) -> list[tuple[int, int]]:
        return [(int.from_bytes(each[3][:4], "big"), int.from_bytes(each[3][4:8], "big")) for each in peer.got(GOAWAY)]

    def test_gracefully(self: Any) -> None:
        """It is announced first, and streams are still taken; then those that came are served, and no new ones."""
        peer = self.peer(answers=False)
        peer.send(peer.headers(1, GET))
        peer.session.goaway(gracefully=True)
        peer.session.goaway(gracefully=True)
        peer.read()
        self.assertEqual(self._goaways(peer), [(frames.HIGHEST, NO_ERROR)])
        peer.send(peer.headers(3, GET))
        peer.session.goaway()
        peer.read()
        self.assertEqual(self._goaways(peer)[1:], [(3, NO_ERROR)])
        peer.send(peer.headers(5, GET))
        self.assertEqual([call[1] for call in peer.told.of("request")], [1, 3])
        peer.answer(1)
        peer.answer(3)
        peer.read()
        self.assertEqual((peer.body(1), peer.body(3), peer.body(5)), (b"hello", b"hello", b""))
        self.assertEqual(peer.session.open_streams, 0)

    def test_at_once(self: Any) -> None:
        """With a code."""
        peer = self.peer(answers=False)
        peer.session.goaway(ENHANCE_YOUR_CALM)
        peer.read()
        self.assertEqual(self._goaways(peer), [(0, ENHANCE_YOUR_CALM)])

    def test_of_the_client(self: Any) -> None:
        """What it has asked for is still answered."""
        peer = self.peer(answers=False)
        peer.send(peer.headers(1, GET) + frames.goaway(0, NO_ERROR))
        self.assertEqual(peer.told.calls[-1], ("goaway", 0, NO_ERROR))
        peer.answer(1)
        peer.read()
        self.assertEqual(peer.body(1), b"hello")


class NativeServerTests(ServerTests, FlowTests, AbuseTests, LeavingTests, TestCase):
    library = "nghttp2"


class PureServerTests(ServerTests, FlowTests, AbuseTests, LeavingTests, TestCase):
    library = "h2"


class ConversationTests(TestCase):
    """Clients and servers of both libraries with each other."""

    def _each(self) -> Any:
        for one in LIBRARIES:
            for other in LIBRARIES:
                yield one, other

    def _pair(self, one: str, other: str, limits: Limits | None = None) -> Any:
        clients, client = heard(one, limits, server=False, takes=True)
        servers, server = heard(other, limits, server=True, takes=True)
        converse(client, server)
        return clients, client, servers, server

    def test_a_whole_exchange(self) -> None:
        """Request, body, trailers, 1xx, response, body, trailers arrive as they were given."""
        for one, other in self._each():
            clients, client, servers, server = self._pair(one, other)
            stream = client.request([*POST, (b"te", b"trailers")], ended=False)
            client.send(stream, b"a" * 100_000)
            client.end(stream, [(b"x-sum", b"1")])
            converse(client, server)
            self.assertEqual(
                servers.of("request", "data", "ended"),
                [
                    ("request", 1, [*POST, (b"te", b"trailers")], False),
                    ("data", 1, b"a" * 100_000),
                    ("ended", 1, [(b"x-sum", b"1")]),
                ],
            )
            server.inform(1, [(b":status", b"103"), (b"link", b"</a>")])
            server.respond(1, OK)
            server.send(1, b"b" * 200_000)
            server.end(1, [(b"x-sum", b"2")])
            converse(client, server)
            self.assertEqual(
                clients.of("informational", "response", "data", "ended"),
                [
                    ("informational", 1, [(b":status", b"103"), (b"link", b"</a>")]),
                    ("response", 1, OK, False),
                    ("data", 1, b"b" * 200_000),
                    ("ended", 1, [(b"x-sum", b"2")]),
                ],
            )
            self.assertEqual((client.open_streams, server.open_streams), (0, 0))

    def test_without_bodies(self) -> None:
        """Heads that end their streams."""
        for one, other in self._each():
            clients, client, servers, server = self._pair(one, other)
            for number, head in enumerate((GET, HEAD, GET)):
                stream = client.request(head, ended=True)
                converse(client, server)
                answer = [
                    (b":status", b"304" if number == 2 else b"200"),
                    (b"content-length", b"17" if number else b"0"),
                ]
                server.respond(stream, answer, ended=True)
                converse(client, server)
                self.assertEqual(servers.calls[-1], ("request", stream, head, True))
                self.assertEqual(clients.calls[-1], ("response", stream, answer, True))

    def test_repeated_heads(self) -> None:
        """A response's head that is sent again and again, with a field that is another each time, on any number of connections."""
        for one, other in self._each():
            shared = Repeated(OK)
            pairs = [self._pair(one, other) for _ in range(2)]
            for number in range(200):
                clients, client, _, server = pairs[number % 2]
                stream = client.request(GET, ended=True)
                converse(client, server)
                last = (b"x-number", b"%d" % number * 20)
                server.respond(stream, shared if number % 3 else list(OK), ended=True, last=last)
                server.respond(stream, [(b":status", b"500")], ended=True)  # let be
                converse(client, server)
                self.assertEqual(clients.calls[-1], ("response", stream, [*OK, last], True))

    def test_pending(self) -> None:
        """It is said whether what was read has left something to be written."""
        for name in LIBRARIES:
            _, client = heard("h2", server=False)
            _, server = heard(name, server=True)
            client.feed(server.output())
            server.feed(client.output())
            self.assertTrue(server.pending)  # its acknowledgement of SETTINGS
            client.feed(server.output())
            self.assertFalse(server.pending)
            server.feed(client.output())
            self.assertFalse(server.pending)
            client.ping(b"answer??")
            server.feed(client.output())
            self.assertTrue(server.pending)

    def test_settings_are_known(self) -> None:
        """The client knows how many streams it may have, and whether it may CONNECT to a protocol."""
        for one, other in self._each():
            _, client, _, _ = self._pair(one, other, Limits(streams=7, connect_protocol=True))
            self.assertEqual((client.streams_allowed, client.connect_allowed, client.settled), (7, True, True))
            _, client, _, _ = self._pair(one, other)
            self.assertEqual((client.streams_allowed, client.connect_allowed), (100, False))

    def test_tunnels(self) -> None:
        """CONNECT: both sides talk until both have ended."""
        for one, other in self._each():
            clients, client, servers, server = self._pair(one, other, Limits(connect_protocol=True))
            stream = client.request([(b":method", b"CONNECT"), (b":protocol", b"websocket"), *GET[1:]], ended=False)
            client.send(stream, b"early")
            converse(client, server)
            server.respond(stream, [(b":status", b"200")])
            server.send(stream, b"hello")
            converse(client, server)
            client.send(stream, b"more", ended=True)
            converse(client, server)
            server.end(stream)
            converse(client, server)
            self.assertEqual(servers.of("data", "ended"), [("data", 1, b"earlymore"), ("ended", 1, None)])
            self.assertEqual(clients.of("data", "ended"), [("data", 1, b"hello"), ("ended", 1, None)])
            self.assertEqual((client.open_streams, server.open_streams), (0, 0))

    def test_resets(self) -> None:
        """From either side, with their codes; what was queued is not sent."""
        for one, other in self._each():
            clients, client, servers, server = self._pair(one, other)
            first, second = client.request(POST, ended=False), client.request(POST, ended=False)
            converse(client, server)
            client.reset(first, CANCEL)
            server.respond(second, OK)
            server.send(second, b"a" * 1_000_000)
            server.reset(second, INTERNAL_ERROR)
            converse(client, server)
            self.assertEqual(servers.of("reset"), [("reset", first, CANCEL)])
            self.assertEqual(clients.of("reset"), [("reset", second, INTERNAL_ERROR)])
            self.assertEqual((client.open_streams, server.open_streams), (0, 0))

    def test_the_server_leaves(self) -> None:
        """Streams that it did not look at are reset, to be tried elsewhere; the others end; there are no new ones."""
        for one, other in self._each():
            clients, client, _, server = self._pair(one, other)
            first = client.request(GET, ended=True)
            converse(client, server)
            server.goaway()
            second = client.request(GET, ended=True)
            converse(client, server)
            self.assertEqual(
                clients.of("goaway", "reset"), [("goaway", first, NO_ERROR), ("reset", second, REFUSED_STREAM)]
            )
            self.assertRaises(RuntimeError, client.request, GET, ended=True)
            server.respond(first, OK, ended=True)
            converse(client, server)
            self.assertEqual(clients.calls[-1], ("response", first, OK, True))

    def test_pings(self) -> None:
        """Either side asks."""
        for one, other in self._each():
            clients, client, servers, server = self._pair(one, other)
            client.ping(b"from one")
            server.ping(b"from two")
            converse(client, server)
            self.assertEqual(clients.of("pong") + servers.of("pong"), [("pong", b"from one"), ("pong", b"from two")])

    def test_any_split_tells_the_same(self) -> None:
        """Bytes of a whole connection, in any pieces."""
        for one, other in self._each():
            _, client, _, server = self._pair(one, other)
            scratch, asking = heard(one, server=False)
            del scratch
            data = asking.output()
            for number in range(5):
                stream = asking.request([*POST, (b"x-number", b"%d" % number), (b"x", b"y" * 300)], ended=False)
                asking.send(stream, b"z" * 5000 * number)
                asking.end(stream, [(b"t", b"u")] if number % 2 else None)
                data += asking.output()
            data += b"" if asking.queued(1) else asking.output()
            expected = None
            draw = random.Random(1)
            for cuts in (0, 1, 7, 50, 2000, len(data)):
                servers, serving = heard(other, server=True)
                at = sorted(draw.sample(range(len(data)), min(cuts, len(data)))) + [len(data)]
                last = 0
                for each in at:
                    serving.feed(data[last:each])
                    last = each
                expected = expected or servers.calls
                self.assertEqual(servers.calls, expected, f"{one} to {other} in {cuts}")

    def test_many_streams_at_once(self) -> None:
        """A thousand, each with a body, in both directions, through small windows."""
        for one, other in self._each():
            limits = Limits(streams=1000, stream_window=1000, connection_window=65535, crumbs=1_000_000)
            clients, client, servers, server = self._pair(one, other, limits)

            def answer(stream: int, server: Any = server) -> None:
                server.respond(stream, OK)
                server.send(stream, b"%d" % stream * 500, ended=True)

            servers.answers = answer
            streams = [client.request(POST, ended=False) for _ in range(1000)]
            for stream in streams:
                client.send(stream, b"a" * 100, ended=True)
            converse(client, server)
            bodies: dict[int, bytes] = {}
            for _, stream, data in clients.of("data"):
                bodies[stream] = bodies.get(stream, b"") + data
            self.assertEqual(bodies, {stream: b"%d" % stream * 500 for stream in streams})
            self.assertEqual((client.open_streams, server.open_streams), (0, 0))


class ClientTests(TestCase):
    """A client's session against a server that writes frames by hand."""

    def _asked(self, name: str, head: RawHeaders = GET) -> Any:
        told, session = heard(name, server=False)
        session.feed(frames.settings() + frames.frame(SETTINGS, frames.ACK, 0))
        stream = session.request(head, ended=True)
        session.output()
        return told, session, stream

    def _head(self, stream: int, *headers: tuple[bytes, bytes], flags: int = END_HEADERS) -> bytes:
        from hpack.hpack import Encoder

        encoder = Encoder()
        encoder.header_table_size = 0
        return frames.frame(HEADERS, flags, stream, encoder.encode(list(headers)))

    def test_malformed_responses(self) -> None:
        """Reset their stream, and do not arrive."""
        ok = (b":status", b"200")
        bad = [
            [(b"x", b"y")],
            [ok, ok],
            [(b":status", b"20")],
            [(b":status", b"abc")],
            [(b":status", b"101")],
            [ok, (b":path", b"/")],
            [ok, (b"X", b"y")],
            [ok, (b"x", b"a\r\nb: c")],
            [ok, (b"connection", b"close")],
            [ok, (b"transfer-encoding", b"chunked")],
            [ok, (b"content-length", b"1"), (b"content-length", b"1")],
            [(b"x", b"y"), ok],
        ]
        for name in LIBRARIES:
            for headers in bad:
                told, session, stream = self._asked(name)
                session.feed(self._head(stream, *headers))
                self.assertEqual(
                    told.of("response", "reset", "informational"), [("reset", stream, PROTOCOL_ERROR)], headers
                )
                self.assertIn(frames.reset(stream, PROTOCOL_ERROR), session.output())

    def test_bodies_of_another_length(self) -> None:
        """Are not taken for complete."""
        for name in LIBRARIES:
            for data in (
                frames.frame(DATA, END_STREAM, 1, b"abc"),
                frames.frame(DATA, 0, 1, b"abcdefgh"),
                frames.frame(DATA, END_STREAM, 1),
            ):
                told, session, stream = self._asked(name)
                session.feed(self._head(stream, (b":status", b"200"), (b"content-length", b"5")) + data)
                self.assertEqual(told.calls[-1], ("reset", stream, PROTOCOL_ERROR), name)
                self.assertEqual(told.of("ended"), [])

    def test_heads_have_no_bodies(self) -> None:
        """DATA in answer to HEAD, and behind 304."""
        for name in LIBRARIES:
            for head, status in ((HEAD, b"200"), (GET, b"304"), (GET, b"204")):
                told, session, stream = self._asked(name, head)
                session.feed(self._head(stream, (b":status", status)) + frames.frame(DATA, END_STREAM, stream, b"body"))
                self.assertEqual(told.calls[-1], ("reset", stream, PROTOCOL_ERROR), name)
                self.assertEqual(told.of("data"), [])

    def test_data_before_the_head(self) -> None:
        """Is no response, be it behind a 1xx."""
        for name in LIBRARIES:
            for early in (b"", self._head(1, (b":status", b"103"))):
                told, session, stream = self._asked(name)
                try:
                    session.feed(early + frames.frame(DATA, 0, stream, b"body"))
                except SessionError as error:
                    self.assertEqual(error.code, PROTOCOL_ERROR)
                else:
                    self.assertEqual(told.calls[-1], ("reset", stream, PROTOCOL_ERROR))
                self.assertEqual(told.of("data"), [])

    def test_what_a_server_may_not_do(self) -> None:
        """Ends the connection."""
        for name in LIBRARIES:
            for data in (
                self._head(2, (b":status", b"200")),
                self._head(3, (b":status", b"200")),
                frames.frame(frames.PUSH_PROMISE, END_HEADERS, 1, b"\0\0\0\2\x82"),
                frames.settings((2, 1)),
                frames.settings((8, 1)) + frames.settings((8, 0)),
                frames.window_update(3, 1),
                frames.reset(3, CANCEL),
                frames.frame(DATA, 0, 3, b"x"),
            ):
                _, session, _ = self._asked(name)
                with self.assertRaises(SessionError) as caught:
                    session.feed(data)
                self.assertEqual(caught.exception.code, PROTOCOL_ERROR, data)

    def test_it_keeps_to_the_peers_table(self) -> None:
        """A table of no size is obeyed, one of 4 GiB is not believed."""
        for name in LIBRARIES:
            for size in (0, 0xFFFFFFFF):
                _, session = heard(name, server=False)
                session.feed(frames.settings((1, size)))
                for _ in range(5):
                    session.request([*GET, (b"x-long", b"v" * 3000)], ended=True)
                wire = session.output()
                self.assertLess(len(wire), 20_000)
                self.assertEqual(wire.count(b"v" * 10) > 0 or len(wire) > 9_000, size == 0)


class AnyBodiesTests(TestCase):
    @settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(
        st.lists(st.tuples(st.binary(max_size=40_000), st.booleans()), min_size=1, max_size=8),
        st.integers(1, 100_000),
        st.sampled_from(LIBRARIES),
        st.sampled_from(LIBRARIES),
    )
    def test_bodies_arrive_whole(self, bodies: list[tuple[bytes, bool]], window: int, one: str, other: str) -> None:
        """Whatever the windows, the pieces, and the order."""
        limits = Limits(stream_window=window, connection_window=max(window, 65535), crumbs=1 << 30)
        clients, client = heard(one, limits, server=False, takes=True)
        servers, server = heard(other, limits, server=True, takes=True)
        streams = []
        for body, in_pieces in bodies:
            stream = client.request(POST, ended=False)
            streams.append(stream)
            for at in range(0, len(body), 7000 if in_pieces else 1 << 20):
                client.send(stream, body[at : at + (7000 if in_pieces else 1 << 20)])
            client.end(stream)
        servers.answers = lambda stream: (server.respond(stream, OK), server.end(stream))
        converse(client, server)
        got = dict.fromkeys(streams, b"")
        for _, stream, data in servers.of("data"):
            got[stream] += data
        self.assertEqual([got[stream] for stream in streams], [body for body, _ in bodies])
        self.assertEqual((client.open_streams, server.open_streams), (0, 0))
