"""Tests of the answers made without a server."""

from __future__ import annotations

from twisted.trial import unittest

from balancer.routing.answer import answer, fixed_reply
from balancer.routing.decide import NO_ROUTE
from balancer.routing.redirect import Redirect
from tests.routing.making import facts, route


class AnswerTests(unittest.TestCase):
    """A decision and the facts give a reply."""

    def test_no_route(self) -> None:
        """Without a route the answer is 404, with its reason."""
        reply = answer(NO_ROUTE, facts())
        self.assertEqual((reply.status, reply.reason, reply.body), (404, "destination_not_found", None))

    def test_respond(self) -> None:
        """A fixed reply is returned as it was made."""
        fixed = fixed_reply(418, "short and stout")
        decision = route("r", action={"reply": fixed}).decision(None)
        self.assertIs(answer(decision, facts()), fixed)

    def test_redirect(self) -> None:
        """A redirect has a status, a location and an empty body."""
        made = route("r", path=["/new", "/old/**"], action={"redirect": Redirect("/x/", 302)})
        reply = answer(made.decision(None), facts("/old/1"))
        self.assertEqual((reply.status, reply.headers, reply.body), (302, ((b"Location", b"/x/1"),), b""))

    def test_a_pool_is_not_ours(self) -> None:
        """A route to a pool has no answer of its own."""
        self.assertEqual(answer(route("r").decision("r"), facts()).status, 500)


class FixedReplyTests(unittest.TestCase):
    """The ``respond`` action."""

    def test_plain_text(self) -> None:
        """A body is UTF-8 text unless it says otherwise."""
        reply = fixed_reply(200, "é")
        self.assertEqual(reply.headers, ((b"Content-Type", b"text/plain; charset=utf-8"),))
        self.assertEqual(reply.body, b"\xc3\xa9")

    def test_content_type(self) -> None:
        """A content type among the headers goes before the other."""
        self.assertEqual(
            fixed_reply(200, "{}", None, "application/json").headers, ((b"Content-Type", b"application/json"),)
        )
        mixed = fixed_reply(200, "{}", {"content-type": "a/b"}, "application/json")
        self.assertEqual(mixed.headers, ((b"content-type", b"a/b"),))

    def test_without_a_body(self) -> None:
        """An error gets the error page, any other status an empty body."""
        self.assertIsNone(fixed_reply(503, headers={"Retry-After": "5"}).body)
        self.assertEqual(fixed_reply(204).body, b"")
        self.assertEqual(fixed_reply(404, "").body, b"")

    def test_repeated_headers(self) -> None:
        """A list gives one field each, in order."""
        self.assertEqual(
            fixed_reply(200, headers={"Link": ["<a>", "<b>"]}).headers, ((b"Link", b"<a>"), (b"Link", b"<b>"))
        )

    def test_refuses(self) -> None:
        """What HTTP does not allow is an error."""
        self.assertRaises(ValueError, fixed_reply, 100)
        self.assertRaises(ValueError, fixed_reply, 204, "x")
        for headers in ({"Content-Length": "3"}, {"X": "a\r\nb"}, {"a b": "c"}, {"Transfer-Encoding": "chunked"}):
            self.assertRaises(ValueError, fixed_reply, 200, None, headers)
