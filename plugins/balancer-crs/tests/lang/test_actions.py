"""Tests of lists of actions."""

from __future__ import annotations

from typing import Any

from balancer_crs.lang.actions import parse_actions, parse_ranges
from balancer_crs.lang.errors import RuleError
from balancer_crs.lang.model import (
    Ctl,
    ExpireVar,
    InitCol,
    Reference,
    SetEnv,
    SetVar,
    Text,
    Variable,
    Where,
)
from twisted.trial.unittest import SynchronousTestCase


def _where(index: int) -> Where:
    return Where("f", index)


def parse(text: str) -> list[tuple[str, Any]]:
    return [(action.name, action.value) for action in parse_actions(text, _where)]


def one(text: str) -> Any:
    [(_, value)] = parse(text)
    return value


class ActionTests(SynchronousTestCase):
    def test_list(self) -> None:
        """Separated by commas, in any case, values quoted or not."""
        self.assertEqual(
            parse("id:1, PHASE:request ,\tt:urlDecodeUni,msg:'a, \\'b\\' c',deny,severity:'CRITICAL',t:normalisePath,"),
            [
                ("id", 1),
                ("phase", 2),
                ("t", "urlDecodeUni"),
                ("msg", Text(("a, 'b' c",))),
                ("deny", ""),
                ("severity", 2),
                ("t", "normalizePath"),
            ],
        )
        self.assertEqual(parse("  "), [])

    def test_setvar(self) -> None:
        """Set, add, subtract, unset; macros in name and value."""
        tx = Text(("a",))
        self.assertEqual(one("setvar:tx.a=1"), SetVar("TX", tx, "set", Text(("1",))))
        self.assertEqual(one("setvar:tx.a"), SetVar("TX", tx, "set", Text(("1",))))
        self.assertEqual(one("setvar:tx.a="), SetVar("TX", tx, "set", Text()))
        self.assertEqual(one("setvar:!TX.a"), SetVar("TX", tx, "unset"))
        self.assertEqual(one("setvar:ip.a=-2"), SetVar("IP", tx, "subtract", Text(("2",))))
        self.assertEqual(one("setvar:tx.a=-x"), SetVar("TX", tx, "set", Text(("-x",))))
        self.assertEqual(
            one("setvar:'tx.a_%{rule.id}=+%{tx.b}'"),
            SetVar("TX", Text(("a_", Reference("RULE", "id"))), "add", Text((Reference("TX", "b"),))),
        )

    def test_collections(self) -> None:
        """Records of persistent collections, and how long members last."""
        self.assertEqual(one("initcol:ip=%{REMOTE_ADDR}"), InitCol("IP", Text((Reference("REMOTE_ADDR"),))))
        self.assertEqual(one("setsid:x"), InitCol("SESSION", Text(("x",))))
        self.assertEqual(one("expirevar:'ip.a=60'"), ExpireVar("IP", Text(("a",)), Text(("60",))))
        self.assertEqual(one("setenv:a=b"), SetEnv(Text(("a",)), Text(("b",))))

    def test_ctl(self) -> None:
        """Changes for the rest of the exchange."""
        self.assertEqual(one("ctl:ruleengine=detectiononly"), Ctl("ruleEngine", "DetectionOnly"))
        self.assertEqual(one("ctl:requestBodyProcessor=xml"), Ctl("requestBodyProcessor", "XML"))
        self.assertEqual(one("ctl:auditLogParts=+E"), Ctl("auditLogParts", "+E"))
        self.assertEqual(one("ctl:requestBodyLimit=100"), Ctl("requestBodyLimit", "100"))
        self.assertEqual(one("ctl:ruleRemoveById=1-5"), Ctl("ruleRemoveById", "1-5", ((1, 5),)))
        self.assertEqual(
            one("ctl:ruleRemoveTargetById=942100;ARGS:/^a/"),
            Ctl("ruleRemoveTargetById", "942100", ((942100, 942100),), Variable("ARGS", pattern="^a")),
        )
        self.assertEqual(
            one("ctl:ruleRemoveTargetByTag=attack-sqli;ARGS"),
            Ctl("ruleRemoveTargetByTag", "attack-sqli", (), Variable("ARGS")),
        )

    def test_ranges(self) -> None:
        """Ids and ranges, separated by blanks or commas."""
        self.assertEqual(parse_ranges("1 5-9, 12", _where), ((1, 1), (5, 9), (12, 12)))

    def test_refused(self) -> None:
        """What is no action, at its place, with the nearest known name."""
        for text, index, reason in (
            ("id:1,logdat:x", 5, "unknown action logdat; did you mean logdata?"),
            ("exec:/bin/x", 0, "exec is not supported: no program is run"),
            ("t:lowcase", 2, "unknown transformation 'lowcase'; did you mean lowercase?"),
            ("id:abc", 3, "expected id:N"),
            ("id:0", 3, "expected id:N"),
            ("phase:6", 6, "expected a phase"),
            ("severity:BAD", 9, "expected a severity"),
            ("status:99", 7, "expected status:N"),
            ("msg", 0, "expected a value"),
            ("deny:1", 0, "deny takes no value"),
            ("allow:all", 6, "expected allow, allow:phase"),
            ("msg:'a", 4, "never closed"),
            ("msg:'a'b", 7, "expected a comma"),
            ("deny pass", 5, "expected a comma"),
            ("=", 0, "expected an action"),
            ("setvar:foo.a=1", 7, "setvar cannot change foo"),
            ("setvar:tx", 7, "expected setvar:COLLECTION.NAME"),
            ("setvar:tx.=1", 10, "expected the name of a member"),
            ("setvar:!tx.a=1", 11, "is given no value"),
            ("setvar:'tx.a=%{nope}'", 13, "unknown variable 'nope'"),
            ("expirevar:ip.a", 13, "expected expirevar"),
            ("initcol:foo=x", 8, "expected initcol"),
            ("setenv:=x", 7, "expected setenv"),
            ("ctl:ruleRemoveByTags=x", 4, "unknown ctl 'ruleRemoveByTags'; did you mean ruleRemoveByTag?"),
            ("ctl:ruleEngine=Maybe", 15, "one of On, Off, DetectionOnly"),
            ("ctl:requestBodyProcessor=YAML", 25, "requestBodyProcessor"),
            ("ctl:requestBodyLimit=x", 21, "a number of bytes"),
            ("ctl:ruleEngine", 4, "expected ctl:ruleEngine="),
            ("ctl:ruleRemoveById=1;ARGS", 19, "expected ctl:ruleRemoveById=WHAT"),
            ("ctl:ruleRemoveTargetById=1", 25, "WHAT;VARIABLE"),
            ("ctl:ruleRemoveTargetById=1;!ARGS:a", 27, "without !"),
            ("ctl:ruleRemoveById=5-1", 19, "expected a rule's id or a range"),
        ):
            with self.assertRaises(RuleError) as caught:
                parse(text)
            self.assertIn(reason, str(caught.exception))
            self.assertEqual(caught.exception.where.line, index, text)
