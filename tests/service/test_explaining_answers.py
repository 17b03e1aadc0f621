"""Tests for :mod:`balancer.service.explaining_answers`."""

from __future__ import annotations

from typing import Any

from balancer.service.explaining import SampleAnswer, explain
from balancer.service.explanation import Sample
from tests.service.test_explaining import ExplainingTestCase

_ANSWER = SampleAnswer(
    302, [("Location", "http://internal/new"), ("X-Secret", "s"), ("Connection", "close")], "internal"
)


class OwnTests(ExplainingTestCase):
    """Answers of the balancer itself."""

    def test_fields(self) -> None:
        """They have the fields that a client gets."""
        found = self.ask(respond={"status": 418, "body": "stout"})
        self.assertEqual(
            (found.status, found.body, found.response_headers),
            (418, "stout", [("Content-Type", "text/plain; charset=utf-8"), ("Proxy-Status", "balancer")]),
        )

    def test_filters(self) -> None:
        """Filters see what they see live, the type and the page of an error among it."""
        change = {"body": {"response": {"types": ["text/*"], "replace": [{"text": "matches", "with": "fits"}]}}}
        steps = {"headers": {"response": {"remove": ["Content-Type"]}}}
        found = self.ask(listener={"filters": [steps, change]}, match={"path": "/other"}, respond=200)
        self.assertEqual((found.status, found.reason), (404, "No route matches this request."))
        self.assertIn("No route fits this request.", str(found.body))
        self.assertNotIn("Content-Type", dict(found.response_headers))

    def test_pages_are_not_shown(self) -> None:
        """An error page as it is says nothing that is not said already."""
        self.assertIsNone(self.ask(respond=503).body)

    def test_calls(self) -> None:
        """A call of gRPC is answered as one."""
        found = self.ask(method="POST", headers={"Content-Type": "application/grpc"}, respond=503)
        self.assertEqual((found.status, dict(found.response_headers)["grpc-status"]), (200, "14"))

    def test_cut(self) -> None:
        """A client that is cut off gets nothing."""
        found = self.ask({"fault": {"abort": {"status": "reset", "percent": 100}}})
        self.assertEqual((found.status, found.response_headers), (444, []))


class ServersTests(ExplainingTestCase):
    """Answers of servers."""

    def answered(
        self, *filters: Any, method: str = "GET", answer: SampleAnswer = _ANSWER, **given: Any
    ) -> dict[str, Any]:
        snapshot = self.balancer(*filters, **given).snapshot
        found = explain(snapshot, Sample("/", method, answer=answer), lambda: 0.5)
        assert found.response is not None
        self.assertEqual(found.status, 0)
        return found.response

    def test_as_it_is(self) -> None:
        """Without filters it passes, but for what is of the connection."""
        found = self.answered()
        headers = [["Location", "http://internal/new"], ["X-Secret", "s"]]
        self.assertEqual(found, {"status": 302, "headers": headers, "body": "internal"})
        self.assertEqual(self.answered(method="HEAD")["body"], "")

    def test_changed(self) -> None:
        """With what filters, and a pool that clients stick to, make of it."""
        response = {"response": {"status": {302: 307}, "location": {"http://internal/": "/"}}}
        body = {"body": {"response": {"types": ["text/*"], "replace": [{"text": "in", "with": "ex"}]}}}
        answer = SampleAnswer(302, [*_ANSWER.headers, ("Content-Type", "text/plain")], "internal")
        found = self.answered(response, body, pool={"sticky": "cookie"}, answer=answer)
        fields = dict(found["headers"])
        self.assertEqual((found["status"], fields["Location"], found["body"]), (307, "/new", "external"))
        self.assertTrue(fields["Set-Cookie"].startswith("lb="))

    def test_refused(self) -> None:
        """One that cannot be changed as it must becomes a 502."""
        change = {"body": {"response": {"json": {"wrap": "data"}}}}
        found = self.answered(change, answer=SampleAnswer(200, [("Content-Type", "application/json")], "{"))
        self.assertEqual(found["status"], 502)
        self.assertIn("no JSON", dict(found["headers"])["Proxy-Status"])
