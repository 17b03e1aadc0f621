"""Tests of the guard of what changes bodies for plug-ins."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.trial import unittest

from balancer.errors import HTTP_REQUEST_ERROR, ExchangeError
from balancer.hooks.accounting import Account
from balancer.hooks.transforms import guarded_transform
from balancer.model.exchange import Exchange, Transform
from tests.routing.making import facts


def _raises(error: BaseException) -> Callable[[Any], Any]:
    def raising(_: Any) -> Any:
        raise error

    return raising


class _Made:
    def __init__(
        self, feed: Callable[[bytes], Any], end: Callable[[Any], Any] = lambda trailers: (b"", trailers)
    ) -> None:
        self.feed = feed
        self.end = end


class TransformTests(unittest.TestCase):
    def setUp(self) -> None:
        self.account = Account("package", "filters", "shout")

    def made(self, ask: Callable[[Exchange], Any], *, deny: bool = True) -> Transform | None:
        return guarded_transform(self.account, deny, ask, Exchange(facts(), []))

    def test_works(self) -> None:
        """What it makes of a body goes on; None is none."""
        transform = self.made(lambda _: _Made(bytes.upper, lambda trailers: (b"!", trailers)))
        assert transform is not None
        self.assertEqual((transform.feed(b"a"), transform.end([(b"a", b"b")])), (b"A", (b"!", [(b"a", b"b")])))
        self.assertIsNone(self.made(lambda _: None))
        self.assertEqual(self.account.errors, 0)

    def test_cannot_be_asked(self) -> None:
        """Without it the exchange goes on, or ends."""
        for ask in (_raises(RuntimeError("no")), lambda _: "nothing with feed()"):
            self.assertIsNone(self.made(ask, deny=False))
            error = self.assertRaises(ExchangeError, self.made, ask)
            self.assertEqual((error.reason.status, error.detail), (500, "the filter shout failed"))
        self.assertEqual(self.account.errors, 4)
        self.flushLoggedErrors(RuntimeError, TypeError)

    def test_fails(self) -> None:
        """Half of a body cannot be taken back."""
        feeds: tuple[Callable[[Any], Any], ...] = (_raises(RuntimeError("no")), lambda _: "text", lambda _: None)
        for feed in feeds:
            transform = self.made(lambda _, feed=feed: _Made(feed), deny=False)  # type: ignore[misc]
            assert transform is not None
            self.assertRaises(ExchangeError, transform.feed, b"a")
        ends: tuple[Callable[[Any], Any], ...] = (
            lambda _: b"",
            lambda _: ("", None),
            lambda _: (b"", [(b"A", b"b\r\nC: d")]),
        )
        for end in ends:
            transform = self.made(lambda _, end=end: _Made(bytes.upper, end), deny=False)  # type: ignore[misc]
            assert transform is not None
            self.assertRaises(ExchangeError, transform.end, None)
        self.assertEqual(self.account.errors, 6)
        self.flushLoggedErrors(RuntimeError, TypeError, ValueError)

    def test_says_what_is_wrong(self) -> None:
        """An ExchangeError of its own is no failure."""
        wrong = ExchangeError(HTTP_REQUEST_ERROR, "no JSON")
        self.assertIs(self.assertRaises(ExchangeError, self.made, _raises(wrong)), wrong)
        transform = self.made(lambda _: _Made(_raises(wrong)))
        assert transform is not None
        self.assertIs(self.assertRaises(ExchangeError, transform.feed, b"a"), wrong)
        self.assertEqual(self.account.errors, 0)
