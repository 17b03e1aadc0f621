"""Tests of the way from rule files to a rule set."""

from __future__ import annotations

from pathlib import Path

from balancer_crs.lang.errors import RuleError
from balancer_crs.lang.model import Default, Disruption, EngineSettings, Marker, Rule, RuleSet, SetVar, Text, Variable
from balancer_crs.lang.parsing import DEEPEST, parse_file, parse_string
from twisted.trial.unittest import SynchronousTestCase

from tests.rulesets import debian, shared


def rule(text: str) -> Rule:
    [found] = parse_string(text).rules
    return found


class RuleTests(SynchronousTestCase):
    def test_rule(self) -> None:
        """A rule with all that it may say."""
        found = rule(
            'SecRule ARGS|!ARGS:a "@rx x" "id:7,phase:1,t:lowercase,t:none,t:trim,multiMatch,capture,deny,status:401,'
            "setvar:tx.a=1,nolog,auditlog,tag:'t/1',tag:'t/2',tag:'t/1',msg:'m %{tx.0}',logdata:'d',severity:2,ver:'v',rev:'r',"
            'maturity:3,accuracy:4,sanitiseArg:pw,sanitiseMatched,skipAfter:END"'
        )
        self.assertEqual(repr(found), "<Rule 7 phase 1 <string>:1>")
        self.assertEqual(found.variables, (Variable("ARGS"), Variable("ARGS", "a", exclude=True)))
        self.assertEqual(found.transformations, ("trim",))
        self.assertTrue(found.multi_match and found.capture and found.audit)
        self.assertFalse(found.log)
        self.assertEqual(found.disruption, Disruption("deny", 401))
        self.assertEqual(found.effects, (SetVar("TX", Text(("a",)), "set", Text(("1",))),))
        self.assertEqual(found.tags, ("t/1", "t/2"))
        self.assertEqual((str(found.msg), str(found.logdata), found.severity), ("m %{TX.0}", "d", 2))
        self.assertEqual((found.ver, found.rev, found.maturity, found.accuracy), ("v", "r", 3, 4))
        self.assertEqual(found.sanitised, ("ARGS:pw", "matched"))
        self.assertEqual(found.skip_after, "END")

    def test_chain(self) -> None:
        """Rules of a chain are one, in the phase of the first."""
        found = rule(
            'SecRule ARGS "a" "id:1,phase:1,deny,chain"\nSecRule FILES "b" "t:trim,chain"\nSecAction "setvar:tx.a=1"\n'
        )
        self.assertEqual([link.phase for link in found.links], [1, 1, 1])
        self.assertEqual([link.where.line for link in found.links], [1, 2, 3])
        self.assertIsNone(found.chain[1].operator)

    def test_defaults(self) -> None:
        """Default actions are merged into the rules that follow, block becomes what they say; t:none drops their transformations."""
        rules = parse_string(
            'SecRule ARGS "a" "id:1,phase:1,block"\n'
            'SecDefaultAction "phase:1,deny,status:406,nolog,t:lowercase,tag:x"\n'
            'SecRule ARGS "a" "id:2,phase:1,block,t:trim,chain"\nSecRule ARGS "b" "t:length"\n'
            'SecRule ARGS "a" "id:3,phase:1,pass,log,t:none,t:trim"\n'
            'SecRule ARGS "a" "id:4,phase:2"\n'
            'SecRule ARGS "a" "id:5,phase:1,block,status:500"\n'
        )
        first, second, third, fourth, fifth = rules.rules
        self.assertEqual(first.disruption, Disruption(block=True))
        self.assertEqual(second.disruption, Disruption("deny", 406, block=True))
        self.assertEqual(second.transformations, ("lowercase", "trim"))
        self.assertEqual(second.chain[0].transformations, ("lowercase", "length"))
        self.assertEqual(second.chain[0].disruption, Disruption())
        self.assertEqual((second.log, second.tags), (False, ("x",)))
        self.assertEqual(third.disruption, Disruption("pass"))
        self.assertEqual((third.log, third.transformations), (True, ("trim",)))
        self.assertEqual(fourth.disruption, Disruption("pass"))
        self.assertEqual(fifth.disruption.status, 500)
        self.assertEqual(
            rules.settings.defaults[1], Default(Disruption("deny", 406), ("lowercase",), False, False, ("x",))
        )

    def test_refused(self) -> None:
        """What cannot be: each with the place of it."""
        for text, line, reason in (
            ("\nSecRul ARGS x id:1", 2, "unknown directive 'SecRul'; did you mean SecRule?"),
            ("SecRuleScript x.lua", 1, "no scripts are run"),
            ("SecRule ARGS", 1, "expected SecRule VARIABLES OPERATOR"),
            ('SecRule !ARGS "x" "id:1"', 1, "a variable that is not excluded"),
            ('SecRule ARGS "x"', 1, "expected an id"),
            ('SecRule ARGS \\\n "@foo" \\\n "id:1"', 2, "unknown operator @foo"),
            ('SecRule ARGS "x" \\\n "id:1,\\\n foo"', 3, "unknown action foo"),
            ('SecRule ARGS "x" "id:1,\\\n id:2"', 2, "id is said twice"),
            ('SecRule ARGS "x" "id:1"\nSecAction "id:1"', 2, "the id 1 is that of the rule at <string>:1 too"),
            ('SecRule ARGS "x" "id:1,chain"', 1, "the chain is broken: the file ends"),
            ('SecRule ARGS "x" "id:1,chain"\nSecMarker A', 1, "the chain is broken: <string>:2 is no rule"),
            ('SecRule ARGS "x" "id:1,chain"\nSecRule ARGS "x" "deny"', 2, "deny can be said only by the first"),
            ('SecRule ARGS "x" "id:1,chain"\nSecRule ARGS "x" "phase:2"', 2, "phase can be said only by the first"),
            ("SecAction id:1 x", 1, "expected SecAction ACTIONS"),
            ("SecMarker", 1, "expected SecMarker NAME"),
            ('SecDefaultAction "deny"', 1, "expected a phase"),
            ('SecDefaultAction "phase:1,block"', 1, "it cannot be the default"),
            ('SecDefaultAction "phase:1,id:1"', 1, "id cannot be a default"),
            ("SecDefaultAction", 1, "expected SecDefaultAction ACTIONS"),
            ("Include a b", 1, "expected Include FILE"),
            ("Include none.conf", 1, "none.conf cannot be read"),
            ("Include none*.conf", 1, "no file is named like"),
        ):
            with self.assertRaises(RuleError) as caught:
                parse_string(text, folder="no-such-folder")
            self.assertIn(reason, str(caught.exception))
            self.assertEqual(caught.exception.where.line, line, text)

    def test_phases(self) -> None:
        """A phase has its rules and all markers."""
        rules = parse_string('SecAction "id:1,phase:1"\nSecMarker "M"\nSecAction "id:2,phase:response"\n')
        self.assertEqual([getattr(item, "id", "M") for item in rules.phase(4)], ["M", 2])
        self.assertIsInstance(rules.items[1], Marker)
        self.assertEqual(repr(rules), "<RuleSet of 2 rules>")


class IncludeTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.folder = Path(self.mktemp())
        self.folder.mkdir()

    def write(self, name: str, text: str) -> Path:
        path = self.folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        return path

    def test_includes(self) -> None:
        """Names and patterns count from the file that says them; what is found by a pattern comes in order."""
        self.write("b/2.conf", 'SecAction "id:2"')
        self.write("b/1.conf", 'SecAction "id:1"\nIncludeOptional none.conf\nIncludeOptional none*.conf')
        self.write("b/words.data", "x")
        self.write("b/3.conf", 'SecRule ARGS "@pmFromFile words.data" "id:3"')
        main = self.write("main.conf", "include b/*.conf\n")
        rules = parse_file(main)
        self.assertEqual([each.id for each in rules.rules], [1, 2, 3])
        self.assertEqual(next(iter(rules.rules)).where.file, str(self.folder / "b/1.conf"))

    def test_circles(self) -> None:
        """A file that includes itself, or too many that include each other, end with the place of it."""
        circle = self.write("circle.conf", "\nInclude circle.conf")
        self.assertRaisesRegex(RuleError, "circle.conf:2: .*includes itself", parse_file, circle)
        for number in range(DEEPEST + 2):
            self.write(f"{number}.conf", f"Include {number + 1}.conf")
        self.assertRaisesRegex(RuleError, f"more than {DEEPEST} files", parse_file, self.folder / "0.conf")

    def test_a_chain_ends_with_its_file(self) -> None:
        """The rest of a chain is not looked for in another file."""
        self.write("a.conf", 'SecRule ARGS "x" "id:1,chain"')
        main = self.write("main.conf", 'Include a.conf\nSecRule ARGS "x"')
        self.assertRaisesRegex(RuleError, "a.conf:1: the chain is broken", parse_file, main)


class CoreRuleSetTests(SynchronousTestCase):
    """All of CRS is read, whichever it is."""

    def check(self, rules: RuleSet, least: int) -> None:
        self.assertEqual(rules.notes, ())
        found = {each.id: each for each in rules.rules}
        self.assertGreater(len(found), least)
        gate = found[920011]
        self.assertEqual((gate.phase, gate.skip_after), (1, "END-REQUEST-920-PROTOCOL-ENFORCEMENT"))
        self.assertEqual(found[949110].disruption.kind, "deny")
        self.assertTrue(found[942100].disruption.block)
        self.assertEqual(found[942100].disruption.kind, "pass")
        self.assertTrue(all(each.operator and each.operator.entries for each in rules.rules if _from_file(each)))
        markers = {item.name for item in rules.items if isinstance(item, Marker)}
        self.assertEqual({each.skip_after for each in rules.rules} - {None} - markers, set())

    def test_version_4(self) -> None:
        """Version 4, from beside the repository."""
        root = shared()
        main = Path(self.mktemp())
        main.write_text(f"Include {root}/crs-setup.conf.example\nInclude {root}/rules/*.conf\n")
        rules = parse_file(main)
        self.check(rules, 600)
        self.assertTrue(rules.settings.component_signatures[0].startswith("OWASP_CRS/4."))
        updated = next(each for each in rules.rules if each.id == 942421)
        self.assertIn(Variable("REQUEST_COOKIES", "FCCDCF", exclude=True), updated.variables)

    def test_version_3(self) -> None:
        """Version 3.3, Debian's."""
        root = debian()
        rules = parse_file(root / "owasp-crs.load")
        self.check(rules, 600)
        self.assertEqual(rules.settings.collection_timeout, 600)
        self.assertTrue(rules.settings.component_signatures[0].startswith("OWASP_CRS/3.3"))


def _from_file(each: Rule) -> bool:
    return each.operator is not None and each.operator.name.endswith("FromFile")


class DirectiveTests(SynchronousTestCase):
    def test_defaults(self) -> None:
        """Without directives, the engine's settings are their defaults."""
        self.assertEqual(parse_string("").settings, EngineSettings())
