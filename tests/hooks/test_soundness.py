"""Tests for :mod:`balancer.hooks.soundness`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from balancer.hooks.soundness import (
    sound_line,
    sound_reply,
    sound_request,
    sound_response,
    sound_truth,
    sound_verdict,
)
from balancer.model.exchange import Exchange, Reply
from balancer.model.verdict import Block, Finding, Verdict
from balancer.testing import exchange

_BAD_HEADERS: tuple[Any, ...] = (
    None,
    {b"A": b"b"},
    [("A", "b")],
    [(b"A",)],
    [(b"A", 1)],
    [b"ab"],
    [(b"A B", b"b")],
    [(b"", b"b")],
    [(b"A:", b"b")],
    [(b"A", b"b\r\nC: d")],
    [(b"A", b"b\nc")],
    [(b"A", b"\0")],
    [(b"Content-Length", b"5")],
    [(b"transfer-encoding", b"chunked")],
    [(b"Connection", b"close")],
)
"""What would break a head, or frame a body otherwise than it is."""


async def _coroutine() -> None:
    """Never awaited."""


class SoundTests(SynchronousTestCase):
    def refused(self, check: Callable[..., Any], *arguments: Any) -> str:
        with self.assertRaises((TypeError, ValueError)) as caught:
            check(*arguments)
        return str(caught.exception)

    def test_truth(self) -> None:
        """A matcher's word is taken as bool() takes it, but not a promise of one."""
        self.assertEqual([sound_truth(each) for each in (True, "x", 1, None, [], 0)], [True] * 3 + [False] * 3)
        self.assertIn("at once", self.refused(sound_truth, Deferred()))
        self.assertIn("at once", self.refused(sound_truth, _coroutine()))

    def test_line(self) -> None:
        """Nothing in a line ends it; what is no string is refused."""
        self.assertEqual(sound_line("a\tb\r\nc\x85\u2028\x1b[31m"), "a\tb\\r\\nc\\x85\\u2028\\x1b[31m")
        self.assertIn("bytes", self.refused(sound_line, b"a"))

    def test_reply(self) -> None:
        """None and a Reply that can be sent pass."""
        self.assertIsNone(sound_reply(None))
        for good in (Reply(200), Reply(418, ((b"A", b"b\tc \xff"),), b"x", "reason", "detail")):
            self.assertIs(sound_reply(good), good)

    def test_bad_reply(self) -> None:
        """A Reply with what cannot be sent is refused, as is anything else."""
        for bad in (7, "x", Reply(100), Reply(600), Reply("200"), Reply(200, body="x"), Reply(200, detail=None)):  # type: ignore[arg-type]
            self.refused(sound_reply, bad)
        for headers in _BAD_HEADERS:
            self.refused(sound_reply, Reply(200, headers))
        self.assertIn("coroutine", self.refused(sound_reply, _coroutine()))

    def exchange(self) -> tuple[Exchange, tuple[str, str, list[tuple[bytes, bytes]]]]:
        found = exchange("/a?b=1", headers=[("Host", "h"), ("Odd", "x")])
        found.headers.append((b"Kept: odd", b"as it came"))
        return found, (found.method, found.target, list(found.headers))

    def test_request(self) -> None:
        """What a filter may do to a request: any header it likes, another method and target; what was there stays."""
        found, before = self.exchange()
        sound_request(found, before)
        found.method, found.target = "PATCH", "/caf\xe9?x=%20"
        found.headers.append((b"X-New", b"1"))
        del found.headers[0]
        sound_request(found, before)

    def test_bad_request(self) -> None:
        """What would smuggle a second request, or is no text, is refused."""
        for method in ("GET /x HTTP/1.1\r\n", "", None, b"GET"):
            found, before = self.exchange()
            found.method = method  # type: ignore[assignment]
            self.refused(sound_request, found, before)
        for target in ("/ HTTP/1.1\r\nX: y", "x", "", "http://a/", "/\u20ac", None, b"/"):
            found, before = self.exchange()
            found.target = target  # type: ignore[assignment]
            self.refused(sound_request, found, before)
        for headers in _BAD_HEADERS:
            found, before = self.exchange()
            found.headers = headers
            self.refused(sound_request, found, before)

    def test_response(self) -> None:
        """Status and headers of a response likewise."""
        found = exchange(status=200, response_headers=[("A", "b")])
        before = list(found.response_headers)
        found.status = 404
        found.response_headers.append((b"B", b"c"))
        sound_response(found, 200, before)
        for status in (None, "200", 99, 101, 600):
            found.status = status  # type: ignore[assignment]
            self.refused(sound_response, found, 200, before)
        found.status = 200
        for headers in _BAD_HEADERS:
            found.response_headers = headers
            self.refused(sound_response, found, 200, before)

    def test_verdict(self) -> None:
        """None and a Verdict of Findings pass."""
        self.assertIsNone(sound_verdict(None))
        good = Verdict((Finding("r", 5, "m"),), Block())
        self.assertIs(sound_verdict(good), good)
        self.assertEqual(sound_verdict([Finding("r", 5, "m")]), Verdict((Finding("r", 5, "m"),)))
        for nothing in ((), [], Verdict()):
            self.assertIsNone(sound_verdict(nothing))

    def test_bad_verdict(self) -> None:
        """What could not be added up or logged is refused."""
        finding: Any = Finding
        for bad in (
            True,
            "x",
            Finding("r", 1, "m"),
            Verdict(("x",)),  # type: ignore[arg-type]
            Verdict(iter(())),  # type: ignore[arg-type]
            Verdict((finding("r", "5", "m"),)),
            Verdict((finding("r", True, "m"),)),
            Verdict((finding(None, 5, "m"),)),
            Verdict((finding("r", 5, "m", snippet=b"x"),)),
        ):
            self.refused(sound_verdict, bad)
