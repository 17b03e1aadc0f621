"""What is explained is what is done: random configurations, states and requests, the real channel against ``explain``.

``EXPLAIN_CASES`` in the environment asks for more configurations than the few hundred of each run, ``EXPLAIN_SEED`` for others.
"""

from __future__ import annotations

import json
import os
import random
import re
from collections import Counter
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from balancer.config.loading import load_text
from balancer.errors import ConfigurationError
from balancer.service import questions
from balancer.service.build import built
from balancer.service.explaining import EXPLAINED_ID, Explanation, Sample, explain
from balancer.testing import registry
from tests.fuzz import vocabulary
from tests.fuzz.serving import Answered, Served
from tests.fuzz.states import disturb

ENOUGH = 250
"""Configurations among which everything is seen."""
CONFIGURATIONS = int(os.environ.get("EXPLAIN_CASES", str(ENOUGH)))
SEED = int(os.environ.get("EXPLAIN_SEED", "11"))
REQUESTS = 12
_REASONS = (
    "sticks to it",
    "down",
    "ejected",
    "tripped",
    "draining",
    "full",
    "backup",
    "weight 0",
    "not in the subset",
    "can be used",
    "priority 0",
    "in our zone",
    "the breaker is open",
    "adaptive limit",
    "no server is healthy",
)
_SEEN = (
    "waits",
    "refused by a pool",
    "sent",
    "over HTTP/2",
    "to HTTP/2",
    "copied",
    "not copied: body_too_long",
    "traced",
    *_REASONS,
)
_SECONDS = re.compile(r"for another [0-9.]+ s")
_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}")
_OF_THE_CONNECTION = (
    "date",
    "connection",
    "content-length",
    "transfer-encoding",
    "via",
    "x-request-id",
    "keep-alive",
    "x-balancer-trace",
)


class ExplainTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.seen: Counter[str] = Counter()

    def test_never_a_difference(self) -> None:
        """Route, pool, server, what is sent and what is answered are those that were explained, every time."""
        for number in range(CONFIGURATIONS):
            draw = random.Random(f"{SEED} {number}")
            self._compare_all(number, draw)
        for name in _SEEN if CONFIGURATIONS >= ENOUGH else ():
            self.assertGreater(self.seen[name], 0, f"nothing was seen of: {name}")

    def _note(self, said: Explanation, got: Answered) -> None:
        """Count what was seen, so that nothing is left out unnoticed."""
        self.seen["waits"] += got.waits
        self.seen["refused by a pool"] += bool(said.status == 503 and said.pool)
        self.seen["sent"] += said.server is not None
        self.seen["over HTTP/2"] += got.streams
        self.seen["to HTTP/2"] += said.protocol == "h2"
        for each in said.copies:
            self.seen["copied" if each["sent"] else f"not copied: {each['because']}"] += 1
        for candidate in said.candidates:
            for name in _REASONS:
                self.seen[name] += name in candidate["because"]

    def _compare_all(self, number: int, draw: random.Random) -> None:
        written = vocabulary.configuration(draw)
        text = json.dumps(written)
        try:
            served = Served(text)
        except ConfigurationError as error:
            self.fail(f"{number}: {error}\n{text}")
        offline = built(load_text(text, registry(vocabulary.FLAGS), {}))
        cookies: list[str] = []
        disturbed = False
        for at in range(REQUESTS):
            if at >= 3 and draw.random() < 0.5:
                disturb(served, draw)
                disturbed = True
            sample, seed = vocabulary.request(draw, cookies), draw.getrandbits(32)
            said = explain(served.snapshot, sample, random.Random(seed).random)
            what = (number, at, sample, json.dumps(said.as_json(), indent=1), text)
            if not at % 4:  # as one who asks the running service is told
                told = questions.answer(served.snapshot, questions.question_of(sample, seed=seed))
                self.assertEqual(json.loads(json.dumps(told)), json.loads(json.dumps(said.as_json())), what)
            if not disturbed and not at:
                self.assertEqual(explain(offline, sample, random.Random(seed).random), said, what)
            streams = draw.random() < 0.2 and _may_stream(sample, text)
            got = served.ask(sample, seed, draw.choice([1, 1, 2, 5]), streams=streams, stays=draw.random() < 0.5)
            self._compare(served, sample, said, got, what)
            for name, value in got.headers:
                if name.lower() == "set-cookie":
                    cookies.append(value.partition(";")[0])
        served.close()

    def _compare(self, served: Served, sample: Sample, said: Explanation, got: Answered, what: Any) -> None:
        what = (*what, got)
        self._note(said, got)
        if said.status == 444:
            self.assertEqual((got.status, got.closed, got.sent), (0, True, []), what)
            return
        self._compare_trace(said, got, what)
        originals = [each for each in got.sent if not _is_copy(each, sample)]
        copies = [each for each in got.sent if _is_copy(each, sample)]
        if said.status:
            self.assertEqual(originals, [], what)
            self._compare_answer(sample, said, got, what)
        elif said.server is None:
            self.assertEqual((got.waits, originals), (True, []), what)
        elif said.upgrade == "websocket" and said.protocol == "h2":  # which the server has not announced that it can do
            self.assertEqual((got.status, got.asked), (502, [said.server]), what)
        else:
            self.assertGreaterEqual(len(originals), 1, what)
            self._compare_request(sample, said, originals[0], what)
            assert sample.answer is not None
            tries = _tries(said, originals[0].method, sample.answer.status)
            self.assertLessEqual(len(originals), tries, what)
            if tries == 1:
                self._compare_response(said, got, what)
        pools = sorted(each["pool"] for each in said.copies if each["sent"])
        servers = {server.name: name for name, pool in served.snapshot.pools.items() for server in pool.servers}
        if said.server is not None or said.status:
            self.assertEqual(sorted(servers[each.server] for each in copies), pools, what)

    def _compare_trace(self, said: Explanation, got: Answered, what: Any) -> None:
        """Compare with what the answer says itself, if the request has asked for that."""
        text = next((value for name, value in got.headers if name.lower() == "x-balancer-trace"), None)
        if text is None:
            return
        told = json.loads(text)
        self.seen["traced"] += 1
        self.assertEqual((told.get("route", ""), told.get("pool")), (said.route, said.pool or told.get("pool")), what)
        for mine, theirs in zip(said.rejected, told.get("rejected", ()), strict=False):
            looked = not theirs["because"].endswith("(not looked at)")  # live nobody had to
            self.assertEqual(mine if looked else mine["route"], theirs if looked else theirs["route"], what)
        ran = [(each["filter"], each["does"]) for each in told.get("filters", ())]
        self.assertEqual(ran, [(each["filter"], each["does"]) for each in said.filters][: len(ran)], what)
        if said.split is not None:
            self.assertTrue(told["split"].startswith(said.split["because"]), what)
        candidates = {each["server"]: each for each in said.candidates}
        for out in told.get("out", ()):
            candidate = candidates[out["server"]]
            self.assertFalse(candidate["eligible"] and "sticks" not in candidate["because"], what)
            if "sticks" not in candidate["because"] and "not in the subset" not in candidate["because"]:
                self.assertIn(_SECONDS.sub("", out["because"]), _SECONDS.sub("", candidate["because"]), what)

    def _compare_request(self, sample: Sample, said: Explanation, sent: Any, what: Any) -> None:
        request = said.request
        assert request is not None, what
        method, target = request["method"], request["target"]
        self.assertEqual((sent.server, sent.method, sent.target), (said.server, method, target), what)
        self.assertEqual(_sent_fields(sent.headers, what[-1]), _sent_fields(request["headers"], what[-1]), what)
        self.assertEqual(sent.body.decode("utf-8", "replace"), request.get("body", sample.body or ""), what)

    def _compare_answer(self, sample: Sample, said: Explanation, got: Answered, what: Any) -> None:
        self.assertEqual(got.status, said.status, what)
        self.assertEqual(_fields(got.headers), _fields(said.response_headers), what)
        if said.body is not None:
            self.assertEqual(_page(got), said.body, what)
        if got.record is not None:
            self.assertEqual(got.record.route, said.route, what)

    def _compare_response(self, said: Explanation, got: Answered, what: Any) -> None:
        response = said.response
        assert response is not None, what
        self.assertEqual(got.status, response["status"], what)
        self.assertEqual(_fields(got.headers), _fields(response["headers"]), what)
        if response["body"] is not None:
            self.assertEqual(_page(got), response["body"], what)
        record = got.record
        assert record is not None, what
        self.assertEqual((record.route, record.pool), (said.route, said.pool), what)


def _may_stream(sample: Sample, text: str) -> bool:
    """Whether HTTP/2 can say it, and says nothing else by it."""
    return not any(name == "Upgrade" for name, _ in sample.headers) and sample.url != "*" and "http_version" not in text


def _sent_fields(headers: Any, got: Answered) -> list[tuple[str, str]]:
    """Return fields of a request so that they can be compared: HTTP/2 has no upper case, and is named in ``Via``."""
    kept = [(name, value) for name, value in headers if name.lower() != "x-request-id"]
    if not got.streams:
        return sorted(kept)
    return sorted((name.lower(), value) for name, value in kept if name.lower() != "via")


def _page(got: Answered) -> str:
    """Return the body of an answer; where it is an error page, with the name that explanations have for their request."""
    return _ID.sub(EXPLAINED_ID, got.body.decode("utf-8", "replace"))


def _tries(said: Explanation, method: str, status: int) -> int:
    """Return how often a request may be sent that is answered so each time."""
    terms = {name: term["value"] for name, term in said.terms.items()}
    reasons = terms.get("retry.on", ())
    covered = method in terms.get("retry.methods", ()) and (status in reasons or (status >= 500 and "5xx" in reasons))
    return 1 + (terms["retry.attempts"] if covered else 0)


def _may_stream(sample: Sample, text: str) -> bool:
    """Whether HTTP/2 can say it, and says nothing else by it."""
    return not any(name == "Upgrade" for name, _ in sample.headers) and sample.url != "*" and "http_version" not in text


def _sent_fields(headers: Any, got: Answered) -> list[tuple[str, str]]:
    """Return fields of a request so that they can be compared: HTTP/2 has no upper case, and is named in ``Via``."""
    kept = [(name, value) for name, value in headers if name.lower() != "x-request-id"]
    if not got.streams:
        return sorted(kept)
    return sorted((name.lower(), value) for name, value in kept if name.lower() != "via")


def _page(got: Answered) -> str:
    """Return the body of an answer; where it is an error page, with the name that explanations have for their request."""
    return _ID.sub(EXPLAINED_ID, got.body.decode("utf-8", "replace"))


def _is_retried(said: Explanation, status: int) -> bool:
    """Whether another server may be asked after such an answer."""
    return bool(said.terms["retry.attempts"]["value"]) and status >= 500 and "5xx" in said.terms["retry.on"]["value"]


def _is_copy(sent: Any, sample: Sample) -> bool:
    given = any(name.lower() == "x-mirrored" for name, _ in sample.headers)
    return not given and any(name.lower() == "x-mirrored" for name, _ in sent.headers)


def _fields(headers: Any) -> list[tuple[str, str]]:
    pairs = [(name.lower(), _SECONDS.sub("for a while", value)) for name, value in headers]
    return sorted(pair for pair in pairs if pair[0] not in _OF_THE_CONNECTION)
