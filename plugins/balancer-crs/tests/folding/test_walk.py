"""Tests of what is decided at load."""

from __future__ import annotations

from pathlib import Path
from random import Random

from balancer_crs.folding import Program, fold, unfolded
from balancer_crs.lang.model import Marker, Rule
from balancer_crs.lang.parsing import parse_file, parse_string
from twisted.trial.unittest import SynchronousTestCase

from tests.folding.running import run
from tests.rulesets import debian, shared


def folded(text: str) -> Program:
    return fold(parse_string(text))


def ids(program: Program, phase: int = 1) -> list[int | str]:
    return [item.name if isinstance(item, Marker) else item.id for item in program.phases[phase]]


SILENT = "phase:1,pass,nolog,t:none"


class DecidedTests(SynchronousTestCase):
    def test_assignments(self) -> None:
        """Constant assignments become what an exchange begins with; a default whose variable is set is left out."""
        found = folded(
            f'SecAction "id:1,{SILENT},setvar:tx.Level=2,setvar:tx.sum=+3"\n'
            f'SecRule &TX:level "@eq 0" "id:2,{SILENT},setvar:tx.level=1"\n'
            f'SecRule &TX:other "@eq 0" "id:3,{SILENT},setvar:tx.other=%{{tx.level}}"\n'
        )
        self.assertEqual(dict(found.initial), {"level": "2", "sum": "3", "other": "2"})
        self.assertEqual(found.count, 0)
        self.assertEqual(found.decided, ((1, "always matches"), (2, "never matches"), (3, "always matches")))
        self.assertEqual(repr(found), "<Program of 0 rules, 3 decided, 3 variables set>")

    def test_gates(self) -> None:
        """A skip that is always taken takes with it what it skips; one that never is goes alone."""
        text = (
            'SecAction "id:1,{0},setvar:tx.level=2"\nSecRule TX:level "@lt 2" "id:2,{0},skipAfter:END"\n'
            'SecRule ARGS "a" "id:3,phase:1,deny"\nSecRule TX:level "@lt 3" "id:4,{0},skipAfter:END"\n'
            'SecRule ARGS "b" "id:5,phase:1,deny"\nSecMarker END\nSecRule ARGS "c" "id:6,phase:1,deny"\n'
        )
        self.assertEqual(ids(folded(text.format(SILENT))), [3, 6])

    def test_macros(self) -> None:
        """Macros that are known are replaced in what is left, but for what the rule changes itself."""
        found = folded(
            f'SecAction "id:1,{SILENT},setvar:tx.score=5,setvar:tx.sum=0"\n'
            'SecRule ARGS "@streq %{tx.score}" "id:2,phase:1,pass,msg:\'a %{tx.score} %{tx.sum} %{MATCHED_VAR}\','
            'setvar:tx.sum=+%{tx.score}"\n'
        )
        [rule] = found.phases[1]
        assert isinstance(rule, Rule)
        assert rule.operator is not None
        self.assertEqual(rule.operator.argument.constant, "5")
        self.assertEqual(str(rule.msg), "a 5 %{TX.sum} %{MATCHED_VAR}")
        self.assertEqual(str(rule.effects[0].value), "5")  # type: ignore[union-attr]

    def test_unknown(self) -> None:
        """What depends on the request, on a capture, or on a name made of a request stays."""
        found = folded(
            f'SecRule ARGS "a" "id:1,{SILENT},setvar:tx.a=1"\nSecRule TX:a "@eq 1" "id:2,{SILENT},setvar:tx.x=1"\n'
            f'SecRule TX:1 "@eq 1" "id:3,{SILENT},setvar:tx.y=1"\n'
            f'SecRule ARGS "a" "id:4,{SILENT},setvar:\'tx.n_%{{MATCHED_VAR_NAME}}=1\'"\n'
            f'SecRule &TX:n_b "@eq 0" "id:5,{SILENT},setvar:tx.z=1"\nSecRule &TX:m "@eq 1" "id:6,{SILENT},setvar:tx.z=1"\n'
        )
        self.assertEqual(ids(found), [1, 2, 3, 4, 5])
        self.assertEqual(dict(found.initial), {})

    def test_told(self) -> None:
        """A rule that tells of itself stays though it always matches; one that stops every request is noted."""
        found = folded('SecAction "id:1,phase:1,pass,log"\nSecAction "id:2,phase:1,deny,msg:\'no set-up\'"\n')
        self.assertEqual(ids(found), [1, 2])
        self.assertEqual([str(note) for note in found.notes], ["<string>:2: rule 2 stops every request: no set-up"])

    def test_read_before(self) -> None:
        """What a rule that is left reads before it is assigned is assigned in its place."""
        found = folded(
            f'SecRule TX:a|ARGS "@eq 1" "id:1,phase:1,deny"\nSecAction "id:2,{SILENT},setvar:tx.a=1,setvar:tx.b=2"\n'
        )
        self.assertEqual(ids(found), [1, 2])
        self.assertEqual(dict(found.initial), {})

    def test_skipped_rules_are_counted_anew(self) -> None:
        """A number of rules to skip is that of those that are left."""
        found = folded(
            f'SecRule ARGS "a" "id:1,{SILENT},skip:2"\nSecRule TX:a "@eq 1" "id:2,{SILENT}"\n'
            'SecRule ARGS "b" "id:3,phase:1,deny"\nSecRule ARGS "c" "id:4,phase:1,deny"\n'
        )
        self.assertEqual(ids(found), [1, 3, 4])
        first = found.phases[1][0]
        assert isinstance(first, Rule)
        self.assertEqual(first.skip, 1)

    def test_a_rule_that_is_gone_is_still_a_goal(self) -> None:
        """Who skips to a rule that is left out skips to where it was."""
        found = folded(
            f'SecRule ARGS "a" "id:1,{SILENT},skipAfter:3"\nSecRule ARGS "b" "id:2,phase:1,deny"\n'
            f'SecRule TX:a "@eq 1" "id:3,{SILENT}"\nSecRule ARGS "c" "id:4,phase:1,deny"\n'
        )
        self.assertEqual(ids(found), [1, 2, "3", 4])

    def test_a_gate_that_others_pass(self) -> None:
        """A skip that is always taken stays where others skip into what it skips."""
        found = folded(
            f'SecRule ARGS "a" "id:1,{SILENT},skipAfter:IN"\nSecAction "id:2,{SILENT},skipAfter:END"\n'
            'SecRule ARGS "b" "id:3,phase:1,deny"\nSecMarker IN\nSecRule ARGS "c" "id:4,phase:1,deny"\nSecMarker END\n'
        )
        self.assertEqual(ids(found), [1, 2, "IN", 4, "END"])

    def test_removals(self) -> None:
        """Rules that may be taken away keep what they assign; a gate goes with what it skips if both may be taken away."""
        text = (
            'SecAction "id:1,{0},setvar:tx.level=1"\nSecRule ARGS "a" "id:2,{0},ctl:ruleRemoveById=10-{1}"\n'
            'SecAction "id:10,{0},setvar:tx.b=1"\nSecRule TX:level "@lt 2" "id:11,{0},skipAfter:END"\n'
            'SecRule ARGS "b" "id:12,phase:1,deny"\nSecMarker END\n'
        )
        self.assertEqual(ids(folded(text.format(SILENT, 12))), [2, 10])
        self.assertEqual(ids(folded(text.format(SILENT, 11))), [2, 10, 11, 12, "END"])

    def test_off(self) -> None:
        """Unfolded, all is as it was."""
        rules = parse_string(f'SecAction "id:1,{SILENT},setvar:tx.a=1"\nSecMarker M')
        program = unfolded(rules)
        self.assertEqual(program.phases[1], rules.items)
        self.assertEqual((dict(program.initial), program.decided), ({}, ()))


class CoreRuleSetTests(SynchronousTestCase):
    """How much of CRS is decided."""

    def check(self, text: str, most: float) -> None:
        main = Path(self.mktemp())
        main.write_text(text)
        rules = parse_file(main)
        program = fold(rules)
        self.assertEqual(program.notes, ())
        self.assertLess(program.count, most * sum(1 for _ in rules.rules))
        left = [item for items in program.phases.values() for item in items if isinstance(item, Rule)]
        self.assertTrue(any(rule.id == 949110 for rule in left))
        self.assertFalse(any("PARANOIA" in str(rule.variables) and rule.skip_after for rule in left))
        self.assertEqual(program.initial["critical_anomaly_score"], "5")

    def test_version_4(self) -> None:
        """At level 1 less than half of version 4 is left."""
        root = shared()
        self.check(f"Include {root}/crs-setup.conf.example\nInclude {root}/rules/*.conf\n", 0.45)

    def test_version_3(self) -> None:
        """At level 1 less than a third of version 3.3 is left."""
        self.check(f"Include {debian()}/owasp-crs.load\n", 0.33)


class PropertyTests(SynchronousTestCase):
    def test_folding_changes_nothing(self) -> None:
        """Whatever the rules and the request: the same rules tell of themselves, and what is known at the end is the same."""
        random = Random(20)
        decided = 0
        for _ in range(2000):
            text = _written(random)
            rules = parse_string(text)
            whole, rest = unfolded(rules), fold(rules)
            decided += len(rest.decided)
            for _ in range(4):
                headers = {key: random.choices("012", k=random.randint(1, 2)) for key in "abh" if random.random() < 0.6}
                phases = random.choice([(1, 2, 3, 4, 5), (1, 2, 3, 4, 5), (1, 5), (1, 2, 5)])
                self.assertEqual(run(rest, headers, phases), run(whole, headers, phases), f"{text}\n{headers} {phases}")
        self.assertGreater(decided, 2000)


_NUMBERS = ("0", "1", "1", "2", "%{tx.a}", "%{tx.b}", "%{REQUEST_HEADERS.h}")
_JUMPS = ("skipAfter:M1", "skipAfter:M2", "skipAfter:nowhere", "skipAfter:3", "skipAfter:5", "skip:1", "skip:2")
_STOPS = ("deny", "allow", "allow:phase", "allow:request")
_TAKES = ("ctl:ruleRemoveByTag=T", "ctl:ruleRemoveById=3-6", "ctl:ruleRemoveById=2", "ctl:ruleRemoveById=5")


def _written(random: Random) -> str:
    """Return rules about headers and three members of TX."""
    lines = []
    number = 0
    for _ in range(random.randint(2, 9)):
        if number and random.random() < 0.2:
            lines.append(f"SecMarker M{random.randint(1, 2)}")
            continue
        number += 1
        links = random.choice((1, 1, 1, 1, 2, 3))
        for link in range(links):
            actions = [_assignment(random) for _ in range(random.choice((0, 1, 1, 2)))]
            if link == 0:
                actions += [
                    f"id:{number}",
                    f"phase:{random.choice((1, 1, 1, 1, 2, 5))}",
                    random.choice(("log", "nolog", "nolog")),
                ]
                actions.append(random.choice(("pass", *["pass"] * 7, *_STOPS)))
                actions += ["tag:T"] * random.randint(0, 1)
                if random.random() < 0.4:
                    actions.append(random.choice(_JUMPS))
                if random.random() < 0.1:
                    actions.append(random.choice(_TAKES))
            if link + 1 < links:
                actions.append("chain")
            lines.append(f'{_judged(random)} "{",".join(actions)}"')
    return "\n".join(lines)


def _judged(random: Random) -> str:
    if random.random() < 0.3:
        return "SecAction"
    variables = [
        random.choice(("REQUEST_HEADERS:{}", "TX:{}", "TX:{}", "&TX:{}")).format(random.choice("abc"))
        for _ in range(random.choice((1, 1, 1, 1, 2)))
    ]
    operator = random.choice(("eq", "eq", "lt", "ge", "streq", "contains"))
    return f'SecRule {"|".join(variables)} "{random.choice(("", "", "!"))}@{operator} {random.choice(_NUMBERS)}"'


def _assignment(random: Random) -> str:
    kind = random.random()
    if kind < 0.05:
        return "setvar:'tx.%{REQUEST_HEADERS.h}=1'"
    if kind < 0.15:
        return f"setvar:!tx.{random.choice('abc')}"
    return f"setvar:'tx.{random.choice('abc')}={random.choice(('', '', '+', '-'))}{random.choice(_NUMBERS)}'"
