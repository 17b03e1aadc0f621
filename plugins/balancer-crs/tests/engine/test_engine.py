from __future__ import annotations

from balancer_crs.engine.engine import Engine
from balancer_crs.engine.messages import Request
from balancer_crs.loading import load
from balancer_crs.settings import CRSSettings
from twisted.trial.unittest import TestCase

from tests.engine import regression
from tests.rulesets import debian, libinjection, shared

STAGES = 2615
"""Of the tests that lie beside the repository."""

OVERRIDES = {
    "920620-1": "wants httpd's joining of repeated Content-Type headers; they are kept apart here, and rule 920620 sees them",
}
"""Stages that are not met, each with its reason."""


ATTACKS = {
    b"/?q=1+union+select+1,2": "sqli",
    b"/?x=<script>alert(1)</script>": "xss",
    b"/../../etc/passwd": "lfi",
    b"/?a=;cat+/etc/passwd": "rce",
}


class OldRuleSetTests(TestCase):
    def test_debian(self) -> None:
        """CRS 3.3 runs; where an expression is not for RE2, that is told; attacks are refused, others are not."""
        debian()
        libinjection()
        program = load(CRSSettings.model_validate({}))
        ready = Engine(program, mode="On")
        self.assertEqual(len([note for note in ready.notes if "not matched in linear time" in str(note)]), 3)
        for target in (*ATTACKS, b"/?a=hello+world"):
            headers = ((b"Host", b"h.example"), (b"User-Agent", b"Mozilla/5.0"), (b"Accept", b"*/*"))
            transaction = ready.transaction(Request(b"GET", target, b"HTTP/1.1", headers))
            transaction.request_head()
            found = transaction.request_body()
            self.assertEqual(found is not None and found.status == 403, target in ATTACKS, target)
            if target in ATTACKS:
                tags = {tag for match in transaction.logged() for tag in match.rule.tags}
                self.assertIn(f"attack-{ATTACKS[target]}", tags)


class CoreRuleSetTests(TestCase):
    def test_regressions(self) -> None:
        """The rule set's own tests are met, all but those named."""
        where = shared()
        libinjection()
        engine = regression.engine(where)
        self.assertEqual([str(note) for note in engine.notes], [])
        failed, count = {}, 0
        for stage in regression.stages(where):
            count += 1
            why = regression.failure(engine, stage)
            if why is not None:
                failed[stage.name] = why
        self.assertEqual({name: why for name, why in failed.items() if name not in OVERRIDES}, {})
        self.assertEqual(sorted(failed), sorted(OVERRIDES))
        self.assertEqual(count, STAGES)

    def test_same_results(self) -> None:
        """Without folding, looking in bulk and memory the same rules match, with the same targets."""
        where = shared()
        fast = regression.engine(where)
        slow = regression.engine(where, folded=False, prefilter=False, memo=False)
        for number, stage in enumerate(regression.stages(where)):
            if number % 7 or stage.head is None:
                continue
            found = [
                [
                    (match.id, match.target, match.value, match.logdata)
                    for match in regression.run(each, stage.head, stage.body).logged()
                ]
                for each in (fast, slow)
            ]
            self.assertEqual(found[0], found[1], stage.name)
