from __future__ import annotations

from twisted.trial.unittest import TestCase

from tests.engine import regression
from tests.rulesets import shared

STAGES = 2615
"""Of the tests that lie beside the repository."""

OVERRIDES = {
    "920620-1": "wants httpd's joining of repeated Content-Type headers; they are kept apart here, and rule 920620 sees them",
}
"""Stages that are not met, each with its reason."""


class CoreRuleSetTests(TestCase):
    def test_regressions(self) -> None:
        """The rule set's own tests are met, all but those named."""
        where = shared()
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
