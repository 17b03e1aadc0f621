"""Tests of directives that change rules."""

from __future__ import annotations

from balancer_crs.lang.errors import RuleError
from balancer_crs.lang.model import Disruption, RuleSet
from balancer_crs.lang.parsing import parse_string
from balancer_crs.lang.updates import matcher
from twisted.trial.unittest import SynchronousTestCase

RULES = """
SecRule ARGS|REQUEST_COOKIES "a" "id:1,phase:2,deny,tag:'attack-sqli',tag:'x/1',msg:'First (one)'"
SecRule ARGS "a" "id:2,phase:2,deny,tag:'attack-xss',msg:'Second',t:lowercase,chain"
SecRule FILES "b" "setvar:tx.a=1"
SecAction "id:3,phase:1,pass"
"""


def parse(text: str) -> RuleSet:
    return parse_string(RULES + text)


def ids(text: str) -> list[int]:
    return [each.id for each in parse(text).rules]


def targets(text: str) -> list[str]:
    return ["|".join(map(str, each.variables)) for each in parse(text).rules if each.variables]


class RemovalTests(SynchronousTestCase):
    def test_by_id(self) -> None:
        """Ids and ranges; a chain goes as a whole; an id that is free again can be taken."""
        self.assertEqual(ids("SecRuleRemoveById 2"), [1, 3])
        self.assertEqual(ids('SecRuleRemoveById 1 "2-5"'), [])
        self.assertEqual(ids('SecRuleRemoveById 1\nSecAction "id:1"'), [2, 3, 1])

    def test_by_tag_and_message(self) -> None:
        """A text that is the whole tag or message, or an expression found in it."""
        self.assertEqual(ids("SecRuleRemoveByTag attack-sqli"), [2, 3])
        self.assertEqual(ids('SecRuleRemoveByTag "^attack-"'), [3])
        self.assertEqual(ids('SecRuleRemoveByMsg "First (one)"'), [2, 3])
        self.assertEqual(ids("SecRuleRemoveByMsg Sec"), [1, 3])

    def test_nothing(self) -> None:
        """What hits no rule is told; rules that come later are not hit."""
        found = parse('\nSecRuleRemoveById 9\nSecRuleRemoveByTag no\nSecRuleRemoveByMsg no\nSecAction "id:9,tag:no"')
        self.assertEqual([note.where.line for note in found.notes], [7, 8, 9])
        self.assertIn("no rule read before this has the id 9", str(found.notes[0]))
        self.assertEqual(len(list(found.rules)), 4)

    def test_matcher(self) -> None:
        """What is no expression is a text and nothing else."""
        self.assertTrue(matcher("(a")("(a"))
        self.assertFalse(matcher("(a")("x(a"))


class TargetTests(SynchronousTestCase):
    def test_added(self) -> None:
        """Variables are added, by id, range, tag or message; none twice."""
        self.assertEqual(
            targets('SecRuleUpdateTargetById 1 "!ARGS:x,FILES"\nSecRuleUpdateTargetById 1 FILES'),
            ["ARGS|REQUEST_COOKIES|!ARGS:x|FILES", "ARGS"],
        )
        self.assertEqual(
            targets("SecRuleUpdateTargetByTag ^attack !ARGS:x"), ["ARGS|REQUEST_COOKIES|!ARGS:x", "ARGS|!ARGS:x"]
        )
        self.assertEqual(targets("SecRuleUpdateTargetByMsg Second FILES"), ["ARGS|REQUEST_COOKIES", "ARGS|FILES"])

    def test_replaced(self) -> None:
        """With a third word, its variables make room for those of the second."""
        self.assertEqual(targets("SecRuleUpdateTargetById 1 FILES ARGS")[0], "FILES|REQUEST_COOKIES")
        self.assertEqual(targets("SecRuleUpdateTargetById 1 FILES XML")[0], "ARGS|REQUEST_COOKIES")

    def test_of_a_chain(self) -> None:
        """``id:1`` is the first rule chained to the one with the id."""
        found = next(each for each in parse("SecRuleUpdateTargetById 2:1 !FILES:x").rules if each.id == 2)
        self.assertEqual(list(map(str, found.chain[0].variables)), ["FILES", "!FILES:x"])
        self.assertRaisesRegex(RuleError, "1 rules chained", parse, "SecRuleUpdateTargetById 2:2 ARGS")

    def test_refused(self) -> None:
        """An action without variables has none to be changed; too few words."""
        self.assertRaisesRegex(RuleError, "looks at no variables", parse, "SecRuleUpdateTargetById 3 ARGS")
        self.assertRaisesRegex(RuleError, "expected SecRuleUpdateTargetById ID", parse, "SecRuleUpdateTargetById 1")

    def test_nothing(self) -> None:
        """What hits no rule is told."""
        self.assertEqual(len(parse("SecRuleUpdateTargetById 9 ARGS\nSecRuleUpdateTargetByTag no ARGS").notes), 2)


class ActionTests(SynchronousTestCase):
    def test_changed(self) -> None:
        """What is said later counts; lists grow; t:none begins anew."""
        text = "SecRuleUpdateActionById 2 \"t:none,t:trim,redirect:'/x',status:307,tag:new,nolog\""
        found = next(each for each in parse(text).rules if each.id == 2)
        self.assertEqual(found.transformations, ("trim",))
        self.assertEqual(
            (found.disruption.kind, found.disruption.status, str(found.disruption.url)), ("redirect", 307, "/x")
        )
        self.assertEqual(found.tags, ("attack-xss", "new"))
        self.assertFalse(found.log)
        self.assertEqual(len(found.chain), 1)
        found = next(iter(parse('SecRuleUpdateActionById 1-2 "pass"').rules))
        self.assertEqual(found.disruption, Disruption())

    def test_refused(self) -> None:
        """Id, phase and chain stay; rules that are chained to others disrupt nothing."""
        for name in ("id:9", "phase:1", "chain"):
            self.assertRaisesRegex(RuleError, "cannot be changed", parse, f"SecRuleUpdateActionById 1 {name}")
        self.assertRaisesRegex(RuleError, "only by the first", parse, "SecRuleUpdateActionById 2:1 deny")
