"""Tests of the http probe."""

from __future__ import annotations

from typing import Any

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.events import RequestReceived
from pydantic import ValidationError
from twisted.internet.defer import CancelledError
from twisted.trial.unittest import TestCase
from zope.interface.verify import verifyObject

from balancer.hooks.interfaces import IProbe
from balancer.pools.probes.conversation import ProbeError
from balancer.pools.probes.http import BODY_LIMIT, HTTPProbe, HTTPProbeSettings
from tests.pools.probes.talking import Talk

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"


def probe(**settings: Any) -> HTTPProbe:
    """A probe with these settings, checked as the configuration's are."""
    return HTTPProbe(HTTPProbeSettings.model_validate(settings))


class RequestTests(TestCase):
    """What is asked."""

    def test_contract(self) -> None:
        """It is a probe."""
        verifyObject(IProbe, HTTPProbe())

    def test_default(self) -> None:
        """By default the root is asked for, by the server's address, and the connection is not kept."""
        self.assertEqual(
            Talk(HTTPProbe()).sent(),
            b"GET / HTTP/1.1\r\nHost: 192.0.2.1:8080\r\nUser-Agent: balancer-health-check\r\nAccept: */*\r\n"
            b"Connection: close\r\n\r\n",
        )

    def test_everything_set(self) -> None:
        """Method, path, host and headers are as configured."""
        asked = Talk(
            probe(
                method="HEAD",
                path="/healthz?deep=1",
                host="shop.example",
                headers={"X-Probe": "1", "user-agent": "me", "Accept": "text/plain"},
            )
        ).sent()
        self.assertEqual(
            asked,
            b"HEAD /healthz?deep=1 HTTP/1.1\r\nHost: shop.example\r\nX-Probe: 1\r\nuser-agent: me\r\n"
            b"Accept: text/plain\r\nConnection: close\r\n\r\n",
        )

    def test_host_among_the_headers(self) -> None:
        """A Host header given among the headers is the only one."""
        asked = Talk(probe(headers={"Host": "a.example"})).sent()
        self.assertEqual(asked.lower().count(b"host:"), 1)

    def test_unix_socket(self) -> None:
        """A server on a unix socket is asked as localhost."""
        self.assertIn(b"Host: localhost\r\n", Talk(HTTPProbe(), "unix:/run/app.sock").sent())

    def test_repr(self) -> None:
        """Operators see what is asked."""
        self.assertEqual(repr(probe(path="/healthz")), "<HTTPProbe GET /healthz>")


class AnswerTests(TestCase):
    """What is made of the answer."""

    def well(self, talk: Talk) -> str:
        """The words of a good answer."""
        return self.successResultOf(talk.outcome)

    def ill(self, talk: Talk) -> str:
        """The words of a bad answer."""
        return str(self.failureResultOf(talk.outcome, ProbeError).value)

    def test_ok(self) -> None:
        """200 is well, as soon as the head is there, however it arrives."""
        talk = Talk(HTTPProbe()).byte_by_byte(OK)
        self.assertEqual(self.well(talk), "200 OK")
        self.assertEqual(talk.wire.closed, "closed")

    def test_other_status(self) -> None:
        """By default 2xx is well, and nothing else."""
        self.assertEqual(self.well(Talk(HTTPProbe()).say(b"HTTP/1.1 204 No Content\r\n\r\n")), "204 No Content")
        answer = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n"
        self.assertEqual(self.ill(Talk(HTTPProbe()).say(answer)), "503 Service Unavailable")
        self.assertEqual(self.ill(Talk(HTTPProbe()).say(b"HTTP/1.1 302\r\nContent-Length: 0\r\n\r\n")), "302")

    def test_status_set(self) -> None:
        """Which statuses are well can be set."""
        answer = b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\n\r\n"
        self.assertEqual(self.well(Talk(probe(status="200-399")).say(answer)), "302 Found")
        self.assertEqual(self.ill(Talk(probe(status=200)).say(answer)), "302 Found")

    def test_head(self) -> None:
        """The answer to HEAD has no body."""
        talk = Talk(probe(method="HEAD")).say(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        self.assertEqual(self.well(talk), "200 OK")

    def test_informational(self) -> None:
        """1xx comes before the answer."""
        talk = Talk(HTTPProbe()).say(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n")
        self.assertNoResult(talk.outcome)
        self.assertEqual(self.well(talk.say(OK)), "200 OK")

    def test_body_contains(self) -> None:
        """Text can be asked for in the body, wherever it is split."""
        self.assertEqual(self.well(Talk(probe(contains="ell")).byte_by_byte(OK)), "200 OK")
        self.assertEqual(self.ill(Talk(probe(contains="bye")).say(OK)), "200 OK, but the body does not contain 'bye'")

    def test_body_matches(self) -> None:
        """A regular expression can be asked for in the body."""
        self.assertEqual(self.well(Talk(probe(regex="^h.*o$")).say(OK)), "200 OK")
        self.assertEqual(self.ill(Talk(probe(regex="^$")).say(OK)), "200 OK, but the body does not match '^$'")

    def test_body_chunked(self) -> None:
        """Chunks are put together."""
        head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        talk = Talk(probe(contains="hello")).byte_by_byte(head + b"2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n")
        self.assertEqual(self.well(talk), "200 OK")

    def test_body_until_close(self) -> None:
        """A body may end with the connection."""
        talk = Talk(probe(contains="hello")).say(b"HTTP/1.0 200 OK\r\n\r\nhello")
        self.assertNoResult(talk.outcome)
        self.assertEqual(self.well(talk.hang_up()), "200 OK")

    def test_large_body(self) -> None:
        """A body without end is not read beyond the limit."""
        talk = Talk(probe(contains="hello")).say(b"HTTP/1.1 200 OK\r\n\r\n")
        talk.say(b"x" * (BODY_LIMIT - 1))
        self.assertNoResult(talk.outcome)
        self.assertIn("does not contain", self.ill(talk.say(b"xhello")))
        self.assertEqual(talk.wire.closed, "aborted")

    def test_no_http(self) -> None:
        """What is no HTTP is not well."""
        self.assertIn("not valid HTTP", self.ill(Talk(HTTPProbe()).say(b"SSH-2.0-OpenSSH_9\r\n")))

    def test_closed(self) -> None:
        """A server that closes without an answer is not well."""
        self.assertEqual(self.ill(Talk(HTTPProbe()).hang_up()), "the connection was closed")
        talk = Talk(probe(contains="x")).say(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nx")
        self.assertEqual(self.ill(talk.hang_up()), "the connection was closed")

    def test_cancelled(self) -> None:
        """When the time is up, the connection is cut."""
        talk = Talk(HTTPProbe())
        talk.outcome.cancel()
        self.failureResultOf(talk.outcome, CancelledError)
        self.assertEqual(talk.wire.closed, "aborted")
        talk.say(OK).hang_up()


class SettingsTests(TestCase):
    """What may be configured."""

    def test_statuses(self) -> None:
        """One, a range, a list of both."""
        for written, expected in (
            (204, {204}),
            ("204", {204}),
            ("200-202", {200, 201, 202}),
            ("200, 404", {200, 404}),
            ([200, "300-301"], {200, 300, 301}),
        ):
            self.assertEqual(HTTPProbeSettings.model_validate({"status": written}).status, expected)

    def test_refused(self) -> None:
        """What cannot be sent or expected is an error that says what was."""
        for settings, words in (
            ({"status": "299-200"}, "did you mean '200-299'"),
            ({"status": "ok"}, "expected a status"),
            ({"status": 99}, "expected a status"),
            ({"status": True}, "expected a status"),
            ({"status": []}, "at least one"),
            ({"path": "healthz"}, "path"),
            ({"path": "/a b"}, "path"),
            ({"path": "/a\r\nX: y"}, "path"),
            ({"method": "GET /"}, "method"),
            ({"host": "a\r\nb"}, "host"),
            ({"headers": {"X y": "1"}}, "name of a header"),
            ({"headers": {"X": "a\r\nb"}}, "on one line"),
            ({"headers": {"Content-Length": "5"}}, "no Content-Length"),
            ({"regex": "("}, "RE2"),
            ({"timeout": "5s"}, "timeout"),
        ):
            with self.assertRaises(ValidationError) as caught:
                HTTPProbeSettings.model_validate(settings)
            self.assertIn(words, str(caught.exception))


class HTTP2Tests(TestCase):
    """The same, asked of a server that speaks HTTP/2."""

    def ask(self, **settings: Any) -> Talk:
        """Begin, and let the server hear it."""
        self.events: list[Any] = []
        self.server = H2Connection(H2Configuration(client_side=False, header_encoding="utf-8"))
        self.server.initiate_connection()
        talk = Talk(probe(**settings), protocol="h2")
        self.hear(talk)
        return talk

    def hear(self, talk: Talk) -> None:
        self.events += self.server.receive_data(talk.sent())

    def answer(self, talk: Talk, status: int = 200, *pieces: bytes) -> None:
        """Let the server answer."""
        self.server.send_headers(1, [(":status", str(status))])
        for piece in pieces:
            self.server.send_data(1, piece)
        self.server.end_stream(1)
        talk.say(self.server.data_to_send())

    def test_request(self) -> None:
        """Method, path, host and headers are as configured."""
        talk = self.ask(method="HEAD", path="/healthz", host="shop.example", headers={"X-Probe": "1"})
        (request,) = [dict(event.headers) for event in self.events if isinstance(event, RequestReceived)]
        self.assertEqual(
            request,
            {
                ":method": "HEAD",
                ":scheme": "http",
                ":authority": "shop.example",
                ":path": "/healthz",
                "user-agent": "balancer-health-check",
                "accept": "*/*",
                "x-probe": "1",
            },
        )
        talk.outcome.cancel()
        self.failureResultOf(talk.outcome, CancelledError)

    def test_status(self) -> None:
        """The status counts; the connection is closed."""
        talk = self.ask()
        self.answer(talk, 200)
        self.assertEqual((self.successResultOf(talk.outcome), talk.wire.closed), ("200 OK", "closed"))
        talk = self.ask()
        self.answer(talk, 503)
        self.assertEqual(str(self.failureResultOf(talk.outcome, ProbeError).value), "503 Service Unavailable")

    def test_body(self) -> None:
        """So does the body, however it comes."""
        talk = self.ask(contains="well")
        self.answer(talk, 200, b"all is ", b"we", b"ll")
        self.assertEqual(self.successResultOf(talk.outcome), "200 OK")
        talk = self.ask(contains="well")
        self.answer(talk, 200, b"all is ill")
        self.assertIn("does not contain", str(self.failureResultOf(talk.outcome, ProbeError).value))

    def test_failures(self) -> None:
        """A server that resets the stream, closes, or speaks something else is not well."""
        talk = self.ask()
        self.server.reset_stream(1, ErrorCodes.INTERNAL_ERROR)
        talk.say(self.server.data_to_send())
        self.assertEqual(
            str(self.failureResultOf(talk.outcome, ProbeError).value), "the stream was reset: INTERNAL_ERROR"
        )
        talk = self.ask()
        self.server.close_connection(ErrorCodes.ENHANCE_YOUR_CALM)
        talk.say(self.server.data_to_send())
        self.assertIn("ENHANCE_YOUR_CALM", str(self.failureResultOf(talk.outcome, ProbeError).value))
        talk = self.ask().say(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        self.assertIn("not HTTP/2", str(self.failureResultOf(talk.outcome, ProbeError).value))
        talk = self.ask().hang_up()
        self.failureResultOf(talk.outcome, ProbeError)
