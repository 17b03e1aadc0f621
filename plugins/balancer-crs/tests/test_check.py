"""Tests of the check: what the filter gets of what rules find."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import balancer_crs
from balancer_crs.engine.effects import _CONTROLS
from balancer_crs.lang.names import CTLS
from twisted.trial.unittest import SynchronousTestCase

from balancer import testing
from balancer.model.verdict import Block, Drop, Finding, Redirect, Verdict
from tests.rulesets import shared

RULES = """
SecComponentSignature "OWASP_CRS/4.0.0"
SecAction "id:1,phase:1,pass,nolog,setvar:tx.blocking_paranoia_level=2,setvar:tx.inbound_anomaly_score_threshold=9"
SecRule ARGS|REQUEST_COOKIES|REQUEST_HEADERS:X-Token "@rx bad" \\
    "id:10,phase:2,pass,msg:'Bad',severity:CRITICAL,setvar:tx.inbound_anomaly_score_pl1=+5"
SecRule ARGS "@rx odd" "id:11,phase:2,pass,msg:'Odd',severity:NOTICE,setvar:tx.inbound_anomaly_score_pl3=+2"
SecRule ARGS "@rx bad" "id:12,phase:2,pass,nolog,setvar:tx.sum=%{tx.inbound_anomaly_score_pl1}"
SecRule TX:sum "@ge %{tx.inbound_anomaly_score_threshold}" "id:949110,phase:2,deny,status:406,msg:'Sum'"
SecRule REQUEST_FILENAME "@streq /gone" "id:20,phase:1,deny,status:410,msg:'Gone'"
SecRule REQUEST_FILENAME "@streq /cut" "id:21,phase:1,drop,msg:'Cut'"
SecRule REQUEST_FILENAME "@streq /old" "id:22,phase:1,redirect:/new,status:301,msg:'Old'"
SecRule RESPONSE_STATUS "@streq 500" "id:30,phase:3,pass,msg:'Broken',setvar:tx.outbound_anomaly_score_pl1=+4"
SecRule RESPONSE_BODY "@contains secret" "id:31,phase:4,deny,status:502,msg:'Secret'"
SecRule REQUEST_METHOD "@streq GET" "id:980170,phase:5,pass,log,msg:'Report'"
"""


class CheckTests(SynchronousTestCase):
    def setUp(self) -> None:
        folder = Path(self.mktemp()).absolute()
        folder.mkdir()
        self.rules = folder / "rules.conf"
        self.rules.write_text(RULES)

    def made(self, **settings: Any) -> Any:
        return testing.make(balancer_crs, "checks", "crs", {"rules": str(self.rules), **settings})

    def found(self, url: str = "/", **request: Any) -> Verdict:
        headers = request.pop("headers", ())
        method = "POST" if request.get("body") else "GET"
        return testing.inspect(self.made(), testing.subject(url, method, headers, **request))

    def test_nothing(self) -> None:
        """Where no rule is told of, there is nothing; the summing up of rules is left to the filter's log."""
        self.assertEqual(self.found("/?a=good"), Verdict())

    def test_scores(self) -> None:
        """A match brings the points that count towards blocking; those of higher levels of paranoia do not."""
        self.assertEqual(
            self.found("/?a=bad&b=odd").findings,
            (Finding("10", 5, "Bad", "critical", "ARGS:a", "bad"), Finding("11", 0, "Odd", "notice", "ARGS:b", "odd")),
        )

    def test_secrets(self) -> None:
        """Members of cookies and headers are called as the filter calls them, which leaves them out of its log."""
        for headers, target in (
            ([("Cookie", "id=bad")], "cookie:id"),
            ([("X-Token", "bad")], "header:x-token"),
        ):
            [finding] = self.found("/", headers=headers).findings
            self.assertEqual(finding.target, target)

    def test_demands(self) -> None:
        """What a rule wants done is demanded; the verdict of the scores is answered with the filter's own status."""
        self.assertEqual(self.found("/gone").demand, Block(410))
        self.assertEqual(self.found("/cut").demand, Drop())
        self.assertEqual(self.found("/old").demand, Redirect("/new", 301))
        self.assertEqual(self.found("/?a=bad&b=bad").demand, Block(0))

    def test_bodies(self) -> None:
        """With a body the rules for it wait; one that cannot be read is refused, the beginning of one is not."""
        form = [("Content-Type", "application/x-www-form-urlencoded")]
        self.assertEqual([each.rule for each in self.found("/", headers=form, body=b"a=bad").findings], ["10"])
        json = [("Content-Type", "application/json")]
        self.assertEqual(self.found("/", headers=json, body=b'{"a": ').demand, Block(400))
        self.assertEqual(self.found("/", headers=json, body=b'{"a": "good", ', body_whole=False), Verdict())
        self.assertEqual(
            [each.rule for each in self.found("/", headers=json, body=b'{"a": "bad", "b', body_whole=False).findings],
            ["10"],
        )

    def test_responses(self) -> None:
        """Responses are looked at, and the bodies of those types that rules name."""
        kind = [("Content-Type", "text/html")]
        self.assertEqual(
            self.found(status=500).findings, (Finding("30", 4, "Broken", "notice", "RESPONSE_STATUS", "500"),)
        )
        self.assertEqual(self.found(status=200, response_headers=kind, response_body=b"a secret").demand, Block(502))
        check = self.made()
        self.assertIn("text/html", check.terms.response_body.types)
        self.rules.write_text(RULES + "SecResponseBodyAccess Off")
        self.assertEqual(self.made().terms.response_body, "none")

    def test_settings(self) -> None:
        """A bare string is the rules; what is wrong with them names file and line."""
        testing.make(balancer_crs, "checks", "crs", str(self.rules))
        self.rules.write_text("\nSecRule ARGS @rxx id:8")
        self.assertRaisesRegex(Exception, "rules.conf:2: unknown operator @rxx", self.made)

    def test_limits_of_a_rule(self) -> None:
        """A rule may set the limit of a body; every ctl that is read can be obeyed."""
        self.rules.write_text(RULES + 'SecAction "id:40,phase:1,pass,nolog,ctl:requestBodyLimit=5"')
        form = [("Content-Type", "application/x-www-form-urlencoded")]
        self.assertEqual(self.found("/", headers=form, body=b"a=good").demand, Block(413))
        self.assertEqual(set(CTLS.values()), set(_CONTROLS))

    def test_detection_only(self) -> None:
        """Rules that only detect act all the same: whether that is to be is for the filter to say."""
        self.rules.write_text(RULES + "SecRuleEngine DetectionOnly")
        self.assertEqual(self.found("/gone").demand, Block(410))

    def test_core_rule_set(self) -> None:
        """CRS itself: an attack passes the threshold, an ordinary request finds nothing."""
        check = testing.make(balancer_crs, "checks", "crs", {"rules": str(shared()), "budget": "10s"})
        usual = [("Host", "shop.example"), ("User-Agent", "Mozilla/5.0"), ("Accept", "*/*")]
        self.assertEqual(testing.inspect(check, testing.subject("/?q=two+shoes", headers=usual)), Verdict())
        verdict = testing.inspect(check, testing.subject("/?q=1'+UNION+SELECT+a,b+FROM+users--", headers=usual))
        self.assertGreaterEqual(verdict.score, 5)
        self.assertEqual(verdict.demand, Block(0))
