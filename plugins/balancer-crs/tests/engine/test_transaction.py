from __future__ import annotations

from typing import Any

from balancer_crs.engine.engine import Engine
from balancer_crs.engine.messages import Request, Response
from balancer_crs.engine.transaction import Transaction
from balancer_crs.folding import unfolded
from balancer_crs.lang.parsing import parse_string
from twisted.internet.task import Clock
from twisted.trial.unittest import TestCase

FORM = (b"Content-Type", b"application/x-www-form-urlencoded")


def engine(rules: str, **how: Any) -> Engine:
    return Engine(unfolded(parse_string("SecRuleEngine On\n" + rules)), **how)


def run(
    rules: str | Engine,
    target: bytes = b"/?a=1&b=2",
    *headers: tuple[bytes, bytes],
    body: bytes = b"",
    response: tuple[Response, bytes] = (Response(200, ((b"Content-Type", b"text/html"),)), b""),
) -> Transaction:
    ready = engine(rules) if isinstance(rules, str) else rules
    transaction = ready.transaction(Request(b"POST", target, b"HTTP/1.1", headers))
    transaction.request_head()
    transaction.request_body(body)
    transaction.response_head(response[0])
    transaction.response_body(response[1])
    transaction.logging()
    return transaction


def ids(transaction: Transaction) -> list[int]:
    return [match.id for match in transaction.matches]


class MatchTests(TestCase):
    def test_what_matched(self) -> None:
        """A match says what matched where, what of it, and with what to tell."""
        transaction = run(
            'SecRule ARGS "@rx ([0-9])$" "id:1,phase:2,pass,capture,t:none,severity:CRITICAL,msg:\'M %{TX.1}\','
            "logdata:'%{MATCHED_VAR_NAME}=%{MATCHED_VAR}',setvar:tx.n=+5\""
        )
        [match] = transaction.matches
        self.assertEqual((match.id, match.target, match.value, match.found), (1, "ARGS:b", b"2", b"2"))
        self.assertEqual((match.msg, match.logdata, match.severity), ("M 2", "ARGS:b=2", "critical"))
        self.assertEqual(match.scores, {"n": 10})
        self.assertEqual(transaction.facts.tx[b"n"], b"10")
        self.assertEqual(transaction.facts.highest_severity, 2)

    def test_negated(self) -> None:
        """A negated operator holds where it does not match, not where there is nothing."""
        self.assertEqual(
            ids(run('SecRule ARGS:a "!@rx 2" "id:1,phase:1,pass"\nSecRule ARGS:x "!@rx 2" "id:2,phase:1,pass"')), [1]
        )

    def test_chains(self) -> None:
        """A chain matches when all of it does; what a rule of it sets is set at once; the later ones see what matched."""
        rules = """
            SecRule ARGS "@rx ^[12]$" "id:1,phase:1,pass,chain,setvar:tx.seen=+1"
                SecRule MATCHED_VARS "@streq 2" "chain"
                    SecRule TX:seen "@eq 2" "setvar:tx.all=1"
            SecRule ARGS "@rx ^1$" "id:2,phase:1,pass,chain,setvar:tx.half=1"
                SecRule ARGS "@rx x" "t:none"
        """
        transaction = run(rules)
        self.assertEqual(ids(transaction), [1])
        self.assertEqual(transaction.facts.tx, {b"seen": b"2", b"all": b"1", b"half": b"1"})

    def test_multi_match(self) -> None:
        """Every stage of the transformations is judged."""
        rule = 'SecRule ARGS "@rx ^%s" "id:1,phase:1,pass,t:none,t:lowercase,t:hexEncode%s"'
        target = b"/?a=AB"
        for prefilter in (True, False):
            self.assertEqual(ids(run(engine(rule % ("ab", ",multiMatch"), prefilter=prefilter), target)), [1])
            self.assertEqual(ids(run(engine(rule % ("ab", ""), prefilter=prefilter), target)), [])
            self.assertEqual(ids(run(engine(rule % ("6162", ""), prefilter=prefilter), target)), [1])

    def test_captures(self) -> None:
        """Captures of one rule take away those of the one before."""
        rules = """
            SecRule ARGS:a "@rx (1)()" "id:1,phase:1,pass,capture"
            SecRule ARGS:b "@rx 2" "id:2,phase:1,pass,capture"
        """
        self.assertEqual(run(rules).facts.tx, {b"0": b"2"})


class OrderTests(TestCase):
    def test_phases(self) -> None:
        """Each rule in its phase, with what is known then."""
        rules = """
            SecAction "id:5,phase:5,pass"
            SecResponseBodyAccess On
            SecRule RESPONSE_BODY "@rx secret" "id:4,phase:4,pass"
            SecRule RESPONSE_STATUS "@streq 200" "id:3,phase:3,pass"
            SecRule ARGS_POST:c "@streq 3" "id:2,phase:2,pass"
            SecRule ARGS_POST:c "@streq 3" "id:7,phase:1,pass"
            SecRule ARGS:a "@streq 1" "id:1,phase:1,pass"
        """
        response = (Response(200, ((b"Content-Type", b"text/html"),)), b"a secret")
        self.assertEqual(ids(run(rules, b"/?a=1", FORM, body=b"c=3", response=response)), [1, 2, 3, 4, 5])
        response = (Response(200, ((b"Content-Type", b"image/png"),)), b"a secret")
        self.assertNotIn(4, ids(run(rules, b"/?a=1", FORM, body=b"c=3", response=response)))

    def test_skips(self) -> None:
        """Rules and markers to go on after; another phase's rules do not count; without a marker the phase is over."""
        rules = """
            SecAction "id:1,phase:1,pass,skip:1"
            SecAction "id:20,phase:2,pass"
            SecAction "id:2,phase:1,pass"
            SecAction "id:3,phase:1,pass,skipAfter:HERE"
            SecAction "id:4,phase:1,pass"
            SecMarker HERE
            SecAction "id:5,phase:1,pass,skipAfter:7"
            SecAction "id:6,phase:1,pass"
            SecAction "id:7,phase:1,pass"
            SecAction "id:8,phase:1,pass,skipAfter:NOWHERE"
            SecAction "id:9,phase:1,pass"
        """
        self.assertEqual(ids(run(rules)), [1, 3, 5, 8, 20])


class InterruptionTests(TestCase):
    def test_deny(self) -> None:
        """The first rule that denies ends all phases but the last."""
        rules = """
            SecRule ARGS:a "@streq 1" "id:1,phase:1,deny,status:406,msg:'no %{ARGS.a}'"
            SecAction "id:2,phase:1,deny"
            SecAction "id:3,phase:2,deny"
            SecAction "id:5,phase:5,pass"
        """
        transaction = run(rules)
        found = transaction.interruption
        assert found is not None
        self.assertEqual((found.kind, found.status, found.rule, found.reason), ("deny", 406, 1, "no 1"))
        self.assertEqual(ids(transaction), [1, 5])

    def test_kinds(self) -> None:
        """Denied is 403, a redirect goes somewhere, a drop says nothing."""
        for action, expected in (
            ("deny", ("deny", 403, None)),
            ("drop", ("drop", 444, None)),
            ("redirect:http://x.example/%{ARGS.a}", ("redirect", 302, "http://x.example/1")),
        ):
            found = run(f'SecAction "id:1,phase:1,{action}"').interruption
            assert found is not None
            self.assertEqual((found.kind, found.status, found.url), expected)

    def test_detection_only(self) -> None:
        """In detection everything is looked at, and nothing interrupted; a rule cannot make it block."""
        rules = 'SecAction "id:1,phase:1,deny,ctl:ruleEngine=On"\nSecAction "id:2,phase:2,deny"'
        transaction = run(engine(rules, mode="DetectionOnly"))
        self.assertIsNone(transaction.interruption)
        self.assertEqual([(match.id, match.disruptive) for match in transaction.matches], [(1, True), (2, True)])
        self.assertEqual(ids(run(engine(rules, mode="Off"))), [])

    def test_allow(self) -> None:
        """Allowed for good, for the phase, for the request."""
        rules = """
            SecAction "id:1,phase:1,%s"
            SecAction "id:11,phase:1,pass"
            SecAction "id:2,phase:2,pass"
            SecAction "id:3,phase:3,pass"
            SecAction "id:5,phase:5,pass"
        """
        for action, expected in (("allow", [1, 5]), ("allow:phase", [1, 2, 3, 5]), ("allow:request", [1, 3, 5])):
            self.assertEqual(ids(run(rules % action)), expected, action)

    def test_body_types(self) -> None:
        """A body is read as its type says."""
        for kind, body, name in (
            (b"application/x-www-form-urlencoded", b"a=1", b"a"),
            (
                b"multipart/form-data; boundary=B",
                b'--B\r\nContent-Disposition: form-data; name="a"\r\n\r\n1\r\n--B--\r\n',
                b"a",
            ),
            (b"application/json; charset=utf-8", b'{"a":1}', b"json.a"),
            (b"application/vnd.api+json", b'{"a":1}', b"json.a"),
            (b"text/plain", b"a=1", None),
            (b"", b"a=1", None),
        ):
            transaction = run("", b"/", (b"Content-Type", kind), body=body)
            self.assertEqual(transaction.facts.lists["ARGS_POST"], [] if name is None else [(name, b"1")], kind)
        self.assertIsNotNone(run("", b"/", (b"Content-Type", b"application/soap+xml"), body=b"<a/>").facts.xml)

    def test_long_bodies(self) -> None:
        """A body longer than allowed is refused, or cut."""
        rule = 'SecRule ARGS_POST:c "@rx ." "id:1,phase:2,pass"\nSecRule INBOUND_DATA_ERROR "@eq 1" "id:2,phase:2,pass"\nSecRequestBodyLimit 8\n'
        found = run(rule, b"/", FORM, body=b"b=1234567&c=1").interruption
        assert found is not None
        self.assertEqual((found.status, found.rule), (413, 0))
        cut = run(rule + "SecRequestBodyLimitAction ProcessPartial", b"/", FORM, body=b"b=1234567&c=1")
        self.assertEqual(ids(cut), [2])

    def test_bad_bodies(self) -> None:
        """A body that cannot be read is for rules to judge."""
        rules = """
            SecAction "id:1,phase:1,pass,nolog,ctl:requestBodyProcessor=JSON"
            SecRule REQBODY_ERROR "@eq 1" "id:2,phase:2,deny,status:400,msg:'%{REQBODY_ERROR_MSG}'"
            SecRule REQBODY_PROCESSOR "@streq JSON" "id:3,phase:2,pass"
        """
        found = run(rules, body=b"{").interruption
        assert found is not None
        self.assertEqual(found.status, 400)
        self.assertIn("JSON parsing error", found.reason)
        self.assertEqual(ids(run(rules, body=b"{}")), [1, 3])


class EffectTests(TestCase):
    def test_variables(self) -> None:
        """Variables are set, counted up and down, named by macros, and taken away."""
        rules = """
            SecAction "id:1,phase:1,pass,setvar:tx.A=2,setvar:tx.a=+3,setvar:tx.a=-1,setvar:'tx.k_%{tx.a}=%{ARGS.b}',setvar:tx.gone=1"
            SecAction "id:2,phase:1,pass,setvar:!tx.gone,setvar:tx.word=x,setvar:tx.word=+1,setenv:e=%{tx.a}"
            SecRule ENV:e "@streq 4" "id:3,phase:1,pass"
        """
        transaction = run(rules)
        self.assertEqual(transaction.facts.tx, {b"a": b"4", b"k_4": b"2", b"word": b"1"})
        self.assertEqual(ids(transaction), [1, 2, 3])

    def test_removals(self) -> None:
        """Rules are taken away by id, tag and message; targets from rules."""
        rules = """
            SecRule ARGS:what "@streq %s" "id:1,phase:1,pass,nolog,ctl:%s"
            SecRule ARGS:a "@streq 1" "id:2,phase:1,pass,tag:'x/y',msg:'hello'"
            SecRule ARGS:a|ARGS:b "@rx [12]" "id:3,phase:1,pass,tag:'z'"
        """
        for ctl, expected in (
            ("ruleRemoveById=2", [3]),
            ("ruleRemoveById=2-3", []),
            ("ruleRemoveByTag=x/y", [3]),
            ("ruleRemoveByTag=z", [2]),
            ("ruleRemoveByMsg=hello", [3]),
            ("ruleRemoveTargetById=2;ARGS:a", [3]),
            ("ruleRemoveTargetById=3;ARGS", [2]),
            ("ruleRemoveTargetByTag=z;ARGS:/^[ab]$/", [2]),
            ("ruleRemoveTargetByTag=z;ARGS:a", [2, 3]),
            ("ruleEngine=Off", None),
        ):
            for prefilter in (True, False):
                ready = engine(rules % ("1", ctl), prefilter=prefilter)
                self.assertEqual(ids(run(ready, b"/?a=1&b=2")), [2, 3], ctl)
                found = [each for each in ids(run(ready, b"/?a=1&b=2&what=1")) if each != 1]
                if expected is not None:
                    self.assertEqual(found, expected, ctl)

    def test_switched_off(self) -> None:
        """A rule can end it all for one exchange."""
        rules = 'SecAction "id:1,phase:1,pass,ctl:ruleEngine=Off"\nSecAction "id:2,phase:2,deny"'
        self.assertEqual(ids(run(rules)), [1])

    def test_force_body(self) -> None:
        """The body as a whole is there for forms and JSON, else if a rule wants it."""
        rule = 'SecRule REQUEST_BODY "@rx ." "id:1,phase:2,pass"\n'
        force = 'SecAction "id:2,phase:1,pass,ctl:requestBodyProcessor=XML,ctl:forceRequestBodyVariable=%s"'
        self.assertEqual(ids(run(rule, body=b"<a/>")), [1])
        self.assertEqual(ids(run(rule + force % "Off", body=b"<a/>")), [2])
        self.assertEqual(ids(run(rule + force % "On", body=b"<a/>")), [2, 1])

    def test_persistent(self) -> None:
        """What is kept for an address is there in its next exchange, for as long as it is meant to."""
        clock = Clock()
        rules = """
            SecAction "id:1,phase:1,pass,nolog,initcol:ip=%{REMOTE_ADDR}"
            SecRule IP:count "@ge 2" "id:2,phase:1,pass"
            SecAction "id:3,phase:1,pass,nolog,setvar:ip.count=+1,expirevar:ip.count=60"
        """
        ready = engine(rules, clock=clock.seconds)
        self.assertEqual([2 in ids(run(ready)) for _ in range(4)], [False, False, True, True])
        clock.advance(61)
        self.assertNotIn(2, ids(run(ready)))


class MacroTests(TestCase):
    def test_nothing(self) -> None:
        """A macro for what is not there is nothing."""
        [match] = run("SecAction \"id:7,phase:1,pass,msg:'[%{TX.none}] %{RULE.id} %{REQUEST_METHOD}'\"").matches
        self.assertEqual(match.msg, "[] 7 POST")
