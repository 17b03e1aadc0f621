from __future__ import annotations

from balancer_crs.engine import injection
from twisted.trial.unittest import TestCase

from tests.engine.test_transaction import engine, ids, run


class PlanTests(TestCase):
    def test_disabled(self) -> None:
        """A rule whose operator cannot work here is left out, and told of, with its place."""
        self.patch(injection, "library", lambda: None)
        ready = engine('SecRule ARGS "@detectSQLi" "id:1,phase:1,pass"\nSecRule ARGS "@rx 1" "id:2,phase:1,pass"')
        self.assertEqual(ready.disabled, {1})
        self.assertIn("rule 1 is disabled: libinjection", str(ready.notes[0]))
        self.assertEqual(ids(run(ready)), [2])

    def test_not_linear(self) -> None:
        """An expression that RE2 refuses works, and is told of."""
        ready = engine('SecRule ARGS "@rx 1(?!2)" "id:1,phase:1,pass"')
        self.assertIn("rule 1 is not matched in linear time", str(ready.notes[0]))
        self.assertEqual(ids(run(ready)), [1])

    def test_wrong(self) -> None:
        """An argument that cannot be used is an error at its place."""
        self.assertRaisesRegex(ValueError, "rule 1", engine, 'SecRule ARGS "@rx (" "id:1,phase:1,pass"')

    def test_time_limit(self) -> None:
        """A search that takes too long is no match, and noted."""
        rules = """
            SecRule ARGS:a "@rx ^(?=a)(a|aa)+$(?!b)" "id:1,phase:1,pass"
            SecRule MSC_PCRE_LIMITS_EXCEEDED "@eq 1" "id:2,phase:1,pass"
        """
        self.assertEqual(ids(run(rules, b"/?a=" + b"a" * 5000 + b"b")), [2])
