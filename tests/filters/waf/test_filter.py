"""Tests for :mod:`balancer.filters.waf.filter`."""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from balancer import testing
from balancer.errors import ExchangeError
from balancer.filters.waf.bodies import HeldResponse, RequestCopy, ResponseCopy
from balancer.filters.waf.filter import Waf
from balancer.model.exchange import Exchange, Looked, Reply
from balancer.model.inspection.terms import Buffer
from balancer.model.verdict import Block, Drop, Redirect
from tests.filters.waf.making import Check, Threads, exchange, found, waf

_BODY: dict[str, Any] = {"phases": ("request_body",), "request_body": Buffer(100)}
_TAP: dict[str, Any] = {"phases": ("request_body",), "request_body": "tap"}
_OUT: dict[str, Any] = {"phases": ("response_body",), "response_body": Buffer(100)}


class FilterTestCase(SynchronousTestCase):
    def logged(self, it: Exchange) -> dict[str, Any]:
        """Return what stands in the log once ``it`` is over."""
        for end in it.at_end:
            self.assertIsNone(end())
        note: dict[str, Any] = it.notes.get("log", {}).get("waf", {})
        return note

    def status(self, outcome: Any) -> int | None:
        """Return the status of a refusal that was decided on at once, None for none."""
        self.assertNotIsInstance(outcome, Deferred)
        return outcome.status if outcome is not None else None


class HeadTests(FilterTestCase):
    def test_nothing_found(self) -> None:
        """Nothing is done, and nothing said."""
        it = exchange()
        self.assertIsNone(waf(Check(), Check([])).request(it))
        self.assertEqual(self.logged(it), {})

    def test_the_threshold(self) -> None:
        """Scores of all checks add up; all of them are called, and what was found is in the log."""
        it = exchange()
        self.assertIsNone(waf(Check(found(2)), Check(found(2))).request(it))
        self.assertEqual(self.logged(it)["action"], "passed")
        it, checks = exchange(), [Check(found(3)), Check(found(2, snippet="x" * 300)), Check()]
        reply = waf(*checks, status=406).request(it)
        assert isinstance(reply, Reply)
        self.assertEqual((reply.status, reply.reason), (406, "http_request_denied"))
        self.assertEqual([check.seen for check in checks], [["request_head"]] * 3)
        logged = self.logged(it)
        self.assertEqual((logged["action"], logged["score"], logged["because"]), ("blocked", 5, "score 5 of 5"))
        self.assertEqual([len(finding["snippet"]) for finding in logged["findings"]], [0, 100])

    def test_thresholds(self) -> None:
        """Are set, as a number for requests or for both directions."""
        self.assertEqual(self.status(waf(Check(found(2)), threshold=2).request(exchange())), 403)
        self.assertIsNone(waf(Check(found(5)), threshold={"inbound": 6}).request(exchange()))

    def test_demands(self) -> None:
        """A check may refuse, cut, or send elsewhere, whatever the score."""
        self.assertEqual(self.status(waf(Check(found(0, Block(451)))).request(exchange())), 451)
        reply = waf(Check(found(0, Drop()))).request(exchange())
        assert isinstance(reply, Reply)
        self.assertTrue(reply.cut)
        reply = waf(Check(found(0, Redirect("/login")))).request(exchange())
        assert isinstance(reply, Reply)
        self.assertEqual((reply.status, reply.headers), (302, ((b"Location", b"/login"),)))

    def test_detect(self) -> None:
        """In mode detect the same is found, and nothing refused."""
        notes = []
        for mode in ("block", "detect"):
            it = exchange()
            self.assertEqual(
                self.status(waf(Check(found(9, Block(), rule="a")), Check(found(9)), mode=mode).request(it)),
                403 if mode == "block" else None,
            )
            notes.append(self.logged(it))
        self.assertEqual([note["action"] for note in notes], ["blocked", "detected"])
        self.assertEqual(notes[0]["findings"], notes[1]["findings"])

    def test_modes_of_checks(self) -> None:
        """A single check may only detect, or be off: then it is not even made."""
        checks = [Check(found(9)), Check(found(1)), Check(found(9))]
        it = exchange()
        made = waf(*checks, modes={"c0": "detect", "c2": "off"})
        self.assertIsNone(made.request(it))
        self.assertEqual(checks[2].seen, [])
        logged = self.logged(it)
        self.assertEqual((logged["action"], logged["score"]), ("passed", 1))
        self.assertEqual([finding.get("counts", True) for finding in logged["findings"]], [False, True])

    def test_off(self) -> None:
        """A filter that is off has no checks, and need not be called."""
        self.assertTrue(waf(Check(), mode="off").is_off)
        self.assertTrue(waf(Check(), modes={"c0": "off"}).is_off)
        self.assertFalse(waf(Check()).is_off)
        for mode, filters in (("off", 0), ("detect", 1)):
            text = (
                f"listeners: {{web: {{bind: 127.0.0.1:80, filters: [{{waf: {{checks: [request_limits], mode: '{mode}'}}}}], "
                f"routes: [{{respond: {{}}, filters: [{{waf: {{checks: [malformed], mode: '{mode}'}}}}]}}]}}}}"
            )
            self.assertEqual(len(testing.Configured(text).ask("/").filters), 2 * filters, mode)

    def test_failure(self) -> None:
        """What raises loses its own effect, unless it is declared to block."""
        for on_error, status in (("allow", None), ("detect", None), ("block", 403)):
            it = exchange()
            check = Check(RuntimeError("broken"), on_error=on_error)
            self.assertEqual(self.status(waf(check, Check()).request(it)), status)
            logged = self.logged(it)
            self.assertEqual("failures" in logged, on_error != "allow", on_error)
            if on_error != "allow":
                self.assertEqual(
                    logged["failures"][0],
                    {
                        "check": "c0",
                        "phase": "request_head",
                        "kind": "error",
                        "words": "RuntimeError: broken",
                        "means": on_error,
                    },
                )
        self.flushLoggedErrors(RuntimeError)

    def test_ids_overlap(self) -> None:
        """Two checks cannot have rules of the same numbers."""
        checks = [Check(ids=range(10, 20)), Check(ids=range(19, 30))]
        self.assertIn("c0 and c1 both have rules from 19 to 19", str(self.assertRaises(ValueError, waf, *checks)))
        waf(Check(ids=range(10, 20)), Check(ids=range(20, 30)))

    def test_settings(self) -> None:
        """A mode for a check that is not there is a mistake."""
        self.assertRaises(ValidationError, waf, Check(), modes={"c1": "off"})
        self.assertRaises(ValidationError, waf, Check(), modes={"c0": "on"})
        self.assertRaises(ValidationError, waf, Check(), budget="0s")

    def test_two_filters(self) -> None:
        """Of one exchange share what was parsed, and one note in the log."""
        it = exchange()
        subjects: list[Any] = []
        answer = lambda subject: subjects.append(subject) or found(1)  # noqa: E731
        for made in (waf(Check(answer)), waf(Check(answer))):
            self.assertIsNone(made.request(it))
        self.assertIs(subjects[0], subjects[1])
        logged = self.logged(it)
        self.assertEqual((logged["score"], len(logged["findings"])), (2, 2))

    def test_words(self) -> None:
        """``explain`` shows the rules, the sums and the decision; what asks for a thread is called in place."""
        it = testing.exchange("/")
        made = waf(Check(found(4, rule="a", target="query:q"), lane="thread"), Check(found(2, rule="b")))
        self.assertEqual(self.status(made.request(it)), 403)
        words = made.describe(it)
        self.assertIn("c0, c1: blocked, score 6 of 5, as score 6 of 5 (a 4 query:q; b 2; ", words)
        self.assertEqual(repr(made), "<Waf c0, c1 in mode block>")
        self.assertEqual(made.describe(testing.exchange("/")), "c0, c1")


class WaitingTests(FilterTestCase):
    """Checks that ask for time."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.threads = Threads()

    def waf(self, *checks: Check, **settings: Any) -> Waf:
        return waf(*checks, clock=self.clock, threads=self.threads, **settings)

    def test_threads(self) -> None:
        """Are asked all at a time, and waited for; the order in which they answer changes nothing."""
        notes = []
        for backwards in (False, True):
            it = exchange()
            outcome = self.waf(
                Check(found(1, rule="a"), lane="thread"),
                Check(found(1, Block(410), rule="b"), lane="thread"),
                Check(found(1, Block(411), rule="c")),
                Check(found(1, Block(412), rule="d"), lane="thread"),
            ).request(it)
            self.assertNoResult(outcome)
            self.assertEqual(len(self.threads.calls), 3)
            self.threads.go(backwards=backwards)
            reply: Any = self.successResultOf(outcome)  # type: ignore[arg-type]
            self.assertEqual(reply.status, 410)
            note = self.logged(it)
            del note["ms"]
            notes.append(note)
        self.assertEqual(notes[0], notes[1])

    def test_too_late(self) -> None:
        """A check that does not answer in time is given up, and not asked again for this exchange."""
        it = exchange("/", "POST", body=b"x")
        slow = Check(
            found(9),
            lane="thread",
            budget=0.02,
            on_timeout="detect",
            **{**_BODY, "phases": ("request_head", "request_body")},
        )
        outcome = self.waf(slow).request(it)
        self.clock.advance(0.02)
        self.assertIsNone(self.successResultOf(outcome))  # type: ignore[arg-type]
        self.assertEqual(len(self.threads.calls), 1)
        self.assertEqual(self.logged(it)["failures"][0]["words"], "no answer within 20 ms")

    def test_detect_waits_for_nothing(self) -> None:
        """The exchange goes on; the log waits for what is found beside it, phases in their order."""
        it = exchange("/", "POST", body=b"x")
        check = Check(found(3), lane="thread", **{**_BODY, "phases": ("request_head", "request_body")})
        self.assertIsNone(self.waf(check, mode="detect").request(it))
        transform = it.request_transform
        assert transform is not None
        self.assertEqual(transform.feed(b"body"), b"body")
        self.assertEqual(transform.end(None), (b"", None))
        waiting = it.at_end[0]()
        self.assertNoResult(waiting)
        self.assertEqual(check.seen, [])
        self.threads.go()
        self.assertEqual(check.seen, ["request_head"])
        self.threads.go()
        self.successResultOf(waiting)
        self.assertEqual(check.seen, ["request_head", ("request_body", b"body")])
        self.assertEqual((it.notes["log"]["waf"]["action"], it.notes["log"]["waf"]["score"]), ("detected", 6))

    def test_client_goes(self) -> None:
        """Who asks for time is cancelled with the exchange."""
        cancelled: list[object] = []
        outcome: Any = self.waf(Check(lambda _: Deferred(cancelled.append), lane="remote")).request(exchange())
        outcome.addErrback(lambda _: None)
        outcome.cancel()
        self.assertEqual(len(cancelled), 1)


class RequestBodyTests(FilterTestCase):
    def test_held(self) -> None:
        """The request waits until a check that may block has seen its body, which stays to be forwarded."""
        check, it = Check(found(5), **_BODY), exchange("/", "POST")
        looking: Deferred[Looked] = Deferred()
        limits: list[int] = []
        it.look = lambda limit: limits.append(limit) or looking  # type: ignore[func-returns-value]
        outcome = waf(check).request(it)
        self.assertNoResult(outcome)
        looking.callback(Looked(b"hello", whole=True))
        reply: Any = self.successResultOf(outcome)  # type: ignore[arg-type]
        self.assertEqual((reply.status, limits, check.seen), (403, [100], [("request_body", b"hello")]))

    def test_no_body(self) -> None:
        """Without a body the phase is skipped, and the head decides."""
        check = Check(found(5), phases=("request_head", "request_body"), request_body=Buffer())
        self.assertEqual(self.status(waf(check).request(exchange("/"))), 403)
        self.assertEqual(check.seen, ["request_head"])

    def test_body_follows(self) -> None:
        """A check knows from the beginning whether there will be the phase; in HTTP/2 no request need announce a body."""
        for method, version, body, seen in (
            ("GET", "1.1", None, [False]),
            ("POST", "1.1", b"", [True, True]),
            ("GET", "2.0", b"attack", [True, True]),
            ("GET", "2.0", b"", [True, True]),
        ):
            told: list[bool] = []
            check = Check(
                lambda subject, told=told: told.append(subject.body_follows),
                phases=("request_head", "request_body"),
                request_body=Buffer(),
            )
            it = exchange("/", method, body=body)
            it.facts.version = version
            waf(check).request(it)
            self.assertEqual(told, seen, (method, version))

    def test_early(self) -> None:
        """Scores of the head decide at the end of the body, or at once with ``early``; demands always at once."""
        for early, answer, seen in ((False, found(5), 2), (True, found(5), 1), (False, found(0, Block()), 1)):
            body = Check(**_BODY)
            head = Check(answer)
            self.assertEqual(self.status(waf(head, body, early=early).request(exchange("/", "POST", body=b"x"))), 403)
            self.assertEqual(len(head.seen) + len(body.seen), seen)

    def test_types(self) -> None:
        """A body of a type that nobody needs is not held."""
        check = Check(found(5), phases=("request_body",), request_body=Buffer(types=("application/json",)))
        it = exchange("/", "POST", {"Content-Type": "image/png"}, body=b"x")
        self.assertIsNone(waf(check).request(it))
        self.assertIsNone(it.request_transform)
        it = exchange("/", "POST", {"Content-Type": "Application/JSON; x=y"}, body=b"{}")
        self.assertEqual(self.status(waf(check).request(it)), 403)

    def test_long(self) -> None:
        """Of a longer body the beginning is looked at, and the rest streams; or it is refused."""
        check, tap = Check(**_BODY), Check(**_TAP)
        it = exchange("/", "POST", body=b"x" * 101)
        self.assertIsNone(waf(check, tap).request(it))
        self.assertEqual(check.seen, [("request_body", b"x" * 100)])
        self.assertIsInstance(it.request_transform, RequestCopy)
        self.assertFalse(it.changes_request)
        outcome = waf(check, body_over="refuse").request(exchange("/", "POST", body=b"x" * 101))
        self.assertEqual(self.status(outcome), 413)
        self.assertIsNone(waf(check, body_limit=1000).request(exchange("/", "POST", body=b"x" * 100)))

    def test_taken_already(self) -> None:
        """A body that another filter has collected is looked at as it is."""
        check, tap = Check(found(5), **_BODY), Check(**_TAP)
        it = exchange("/", "POST")
        it.body = b"whole"
        self.assertEqual(self.status(waf(check, tap).request(it)), 403)
        self.assertEqual((check.seen, tap.pieces), ([("request_body", b"whole")], [b"whole"]))

    def test_not_held(self) -> None:
        """With ``streaming``, in detect, for gRPC and upgrades, the body streams past the checks, which look at a copy."""
        for settings, headers in (
            ({"streaming": True}, {}),
            ({"mode": "detect"}, {}),
            ({"modes": {"c0": "detect"}}, {}),
            ({}, {"Content-Type": "application/grpc"}),
            ({}, {"Upgrade": "websocket"}),
        ):
            check = Check(**_BODY)
            it = exchange("/", "POST", headers, body=b"x")
            self.assertIsNone(waf(check, **settings).request(it), settings)  # type: ignore[arg-type]
            assert it.request_transform is not None
            self.assertEqual(check.seen, [])
            self.assertEqual(it.request_transform.feed(b"ab") + it.request_transform.feed(b"c"), b"abc")
            it.request_transform.end(None)
            self.assertEqual(check.seen, [("request_body", b"abc")])

    def test_limit_zero(self) -> None:
        """Bodies are not looked at."""
        it = exchange("/", "POST", body=b"x")
        self.assertIsNone(waf(Check(found(9), **_BODY), Check(**_TAP), body_limit=0).request(it))
        self.assertIsNone(it.request_transform)

    def test_tap(self) -> None:
        """Delays nothing; what it finds cuts the exchange off where it is."""
        tap = Check(**_TAP)
        it = exchange("/", "POST", body=b"x")
        self.assertIsNone(waf(tap, early=True).request(it))
        transform = it.request_transform
        assert transform is not None
        self.assertEqual(transform.feed(b"good"), b"good")
        error = self.assertRaises(ExchangeError, transform.feed, b"attack")
        self.assertEqual((error.reason.status, error.reason.code), (403, "http_request_denied"))


class ResponseTests(FilterTestCase):
    def answer(
        self, made: Waf, status: int = 200, headers: Any = (), length: int | None = 5, it: Exchange | None = None
    ) -> Exchange:
        it = it or exchange()
        self.assertIsNone(made.request(it))
        it.status, it.response_length = status, length
        it.response_headers = [(name.encode(), value.encode()) for name, value in dict(headers).items()]
        made.response(it)
        return it

    def test_head(self) -> None:
        """A response may be refused by its head; it has a score and a threshold of its own."""
        check = Check({"response_head": found(4)}, phases=("request_head", "response_head"))
        error = self.assertRaises(ExchangeError, self.answer, waf(check))
        self.assertEqual((error.reason.status, error.reason.code), (403, "http_response_denied"))
        self.answer(waf(check, threshold={"outbound": 5}))
        self.answer(waf(check, mode="detect"))

    def test_demands(self) -> None:
        """Once a server has answered, whatever is demanded is a refusal."""
        check = Check(found(0, Redirect("/")), phases=("response_head",))
        self.assertEqual(self.assertRaises(ExchangeError, self.answer, waf(check, status=404)).reason.status, 404)

    def test_held(self) -> None:
        """A response of known length is held until it has been looked at, as a whole."""
        for answer, refused in ((found(4), True), (found(3), False)):
            check = Check(answer, **_OUT)
            it = self.answer(waf(check), headers={"Content-Type": "text/html"})
            transform, hold = it.response_transform, it.hold
            assert transform is not None
            assert hold is not None
            self.assertFalse(it.changes_response)
            self.assertEqual(transform.feed(b"he") + transform.feed(b"llo"), b"")
            if refused:
                self.assertRaises(ExchangeError, hold)
            else:
                self.assertIsNone(hold())
                self.assertEqual(transform.end(None), (b"hello", None))
            self.assertEqual(check.seen, [("response_body", b"hello")])
            self.assertEqual(self.logged(it)["action"], "blocked" if refused else "passed")

    def test_held_for_threads(self) -> None:
        """Until all threads have answered: for the head, then for the body."""
        threads = Threads()
        terms: dict[str, Any] = {**_OUT, "phases": ("response_head", "response_body"), "lane": "thread"}
        for score, error in ((1, None), (2, ExchangeError)):
            it = self.answer(waf(Check(found(score), **terms), threads=threads))
            assert it.response_transform is not None
            assert it.hold is not None
            it.response_transform.feed(b"hello")
            waiting = it.hold()
            threads.go()
            self.assertNoResult(waiting)
            threads.go()
            if error is None:
                self.assertIsNone(self.successResultOf(waiting))
            else:
                self.failureResultOf(waiting, error)

    def test_not_held(self) -> None:
        """Streams of events, gRPC, what is too long or of unknown length, and everything in detect, pass by; a copy is looked at."""
        for settings, headers, length in (
            ({}, {"Content-Type": "text/event-stream"}, 5),
            ({}, {"Content-Type": "application/grpc+proto"}, 5),
            ({}, {}, None),
            ({}, {}, 600 * 1024),
            ({"mode": "detect"}, {}, 5),
        ):
            check = Check(**_OUT)
            it = self.answer(waf(check, **settings), headers=headers, length=length)  # type: ignore[arg-type]
            self.assertIsNone(it.hold)
            self.assertIsInstance(it.response_transform, ResponseCopy)
            assert it.response_transform is not None
            self.assertEqual(it.response_transform.feed(b"x"), b"x")
            it.response_transform.end(None)
            self.assertEqual(check.seen, [("response_body", b"x")])

    def test_no_body(self) -> None:
        """Where there is no body, none is waited for."""
        for status, method in ((204, "GET"), (304, "GET"), (101, "GET"), (200, "HEAD")):
            it = self.answer(waf(Check(**_OUT)), status, it=exchange("/", method))
            self.assertIsNone(it.response_transform)

    def test_types(self) -> None:
        """Of a type that nobody needs."""
        check = Check(phases=("response_body",), response_body=Buffer(types=("text/*",)))
        it = self.answer(waf(check), headers={"Content-Type": "image/png"})
        self.assertIsNone(it.response_transform)
        it = self.answer(waf(check), headers={"Content-Type": "text/html; charset=utf-8"})
        self.assertIsInstance(it.response_transform, HeldResponse)

    def test_what_was_refused(self) -> None:
        """Our own page for a refused request is not looked at."""
        check = Check(found(9), phases=("request_head", "response_head"))
        made, it = waf(check), exchange()
        self.assertEqual(self.status(made.request(it)), 403)
        made.response(it)
        self.assertEqual(check.seen, ["request_head"])

    def test_log(self) -> None:
        """Checks of the phase ``log`` are called once all is over, and change nothing."""
        check = Check(found(9, Block()), phases=("log",))
        it = self.answer(waf(check))
        self.assertEqual(check.seen, [])
        logged = self.logged(it)
        self.assertEqual((logged["action"], len(logged["findings"]), logged["score"]), ("detected", 1, 0))
