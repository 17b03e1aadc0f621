"""Tests of the grpc probe."""

from __future__ import annotations

from typing import Any

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.events import DataReceived, RequestReceived
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import CancelledError
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from balancer.hooks.interfaces import IProbe
from balancer.pools.probes.conversation import ProbeError
from balancer.pools.probes.grpc import GRPCProbe, GRPCProbeSettings, asked, status_in
from balancer.wire.grpc.messages import frame
from tests.pools.probes.talking import Talk

HEAD = [(":status", "200"), ("content-type", "application/grpc")]


class MessageTests(SynchronousTestCase):
    """The two messages."""

    def test_request(self) -> None:
        """A name that is empty is left out."""
        self.assertEqual(asked(""), b"")
        self.assertEqual(asked("shop.Cart"), b"\x0a\x09shop.Cart")
        self.assertEqual(asked("x" * 300)[:3], b"\x0a\xac\x02")

    def test_response(self) -> None:
        """The default is 0; what is unknown is skipped; the last one counts."""
        for message, status in (
            (b"", 0),
            (b"\x08\x01", 1),
            (b"\x08\x81\x00", 1),
            (b"\x12\x02ab\x08\x02", 2),
            (b"\x19\1\2\3\4\5\6\7\0\x1d\1\2\3\4\x08\x03", 3),
            (b"\x08\x02\x08\x01", 1),
        ):
            self.assertEqual(status_in(message), status, message)
        for message in (b"\x08", b"\x08\x80", b"\x0b", b"\x12\x05a", b"\xff" * 20):
            self.assertRaises(ValueError, status_in, message)

    @given(st.binary(max_size=40))
    def test_any(self, message: bytes) -> None:
        """Whatever comes, it is a status or refused."""
        try:
            status_in(message)
        except ValueError:
            pass


class GRPCProbeTests(SynchronousTestCase):
    """What is asked, and what the answers mean."""

    def ask(self, **settings: Any) -> Talk:
        """Begin, and let the server hear it."""
        self.server = H2Connection(H2Configuration(client_side=False, header_encoding="utf-8"))
        self.server.initiate_connection()
        talk = Talk(GRPCProbe(GRPCProbeSettings.model_validate(settings)), protocol="h2")
        self.events = self.server.receive_data(talk.sent())
        return talk

    def answer(self, talk: Talk, message: bytes, *trailers: tuple[str, str]) -> Talk:
        self.server.send_headers(1, HEAD)
        self.server.send_data(1, message)
        self.server.send_headers(1, list(trailers), end_stream=True)
        return talk.say(self.server.data_to_send())

    def test_request(self) -> None:
        """It is a call of the health service."""
        verifyObject(IProbe, GRPCProbe())
        talk = self.ask(service="shop.Cart", authority="shop.example")
        [head] = [dict(event.headers) for event in self.events if isinstance(event, RequestReceived)]
        self.assertEqual((head[":path"], head[":authority"]), ("/grpc.health.v1.Health/Check", "shop.example"))
        self.assertEqual((head[":method"], head["te"], head["content-type"]), ("POST", "trailers", "application/grpc"))
        [data] = [event for event in self.events if isinstance(event, DataReceived)]
        self.assertEqual(data.data, frame(b"\x0a\x09shop.Cart"))
        self.assertTrue(data.stream_ended)
        talk.outcome.cancel()
        self.failureResultOf(talk.outcome, CancelledError)
        self.assertEqual(talk.wire.closed, "aborted")

    def test_well(self) -> None:
        """SERVING is well, and the connection closed."""
        talk = self.answer(self.ask(), frame(b"\x08\x01"), ("grpc-status", "0"))
        self.assertEqual((self.successResultOf(talk.outcome), talk.wire.closed), ("SERVING", "closed"))

    def test_not_well(self) -> None:
        """Any other status is not, nor a message that cannot be read, nor none."""
        for message, words in (
            (frame(b"\x08\x02"), "NOT_SERVING"),
            (frame(b""), "UNKNOWN"),
            (frame(b"\x08\x09"), "no status that is known"),
            (b"", "no status that is known"),
            (frame(b"\x08"), "the answer cannot be read: a number that is cut off"),
            (b"\x00\xff\xff\xff\xff", "the answer cannot be read: a message of 4294967295 bytes; 1024 are the most"),
        ):
            talk = self.answer(self.ask(), message, ("grpc-status", "0"))
            self.assertEqual(str(self.failureResultOf(talk.outcome, ProbeError).value), words)

    def test_refused(self) -> None:
        """Calls that fail say how, whatever else was said."""
        talk = self.answer(self.ask(), frame(b"\x08\x01"), ("grpc-status", "14"), ("grpc-message", "not%20now"))
        self.assertEqual(str(self.failureResultOf(talk.outcome, ProbeError).value), "UNAVAILABLE: not now")
        for head, words in (
            ([*HEAD, ("grpc-status", "12")], "UNIMPLEMENTED"),
            ([*HEAD, ("grpc-status", "99")], "99"),
            ([(":status", "404")], "UNIMPLEMENTED (HTTP status 404)"),
            (HEAD, "UNKNOWN"),
        ):
            talk = self.ask()
            self.server.send_headers(1, head, end_stream=True)
            talk.say(self.server.data_to_send())
            self.assertEqual(str(self.failureResultOf(talk.outcome, ProbeError).value), words)

    def test_broken(self) -> None:
        """A reset, a close, and what is not HTTP/2 are failures."""
        talk = self.ask()
        self.server.reset_stream(1, ErrorCodes.INTERNAL_ERROR)
        talk.say(self.server.data_to_send())
        self.assertIn("INTERNAL_ERROR", str(self.failureResultOf(talk.outcome, ProbeError).value))
        talk = self.ask()
        self.server.close_connection(ErrorCodes.ENHANCE_YOUR_CALM)
        talk.say(self.server.data_to_send())
        self.assertIn("ENHANCE_YOUR_CALM", str(self.failureResultOf(talk.outcome, ProbeError).value))
        talk = self.ask().say(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        self.assertIn("not HTTP/2", str(self.failureResultOf(talk.outcome, ProbeError).value))
        talk = self.ask().hang_up()
        self.failureResultOf(talk.outcome, ProbeError)
