"""Whatever a rule file holds, it is read or refused with a place in it: no other error, and not slowly."""

from __future__ import annotations

from random import Random

from balancer_crs.folding import fold
from balancer_crs.lang.errors import RuleError
from balancer_crs.lang.parsing import parse_string
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

SEED = r"""
SecRuleEngine On
SecDefaultAction "phase:1,log,auditlog,pass,t:none"
SecRule ARGS|!ARGS:a|&REQUEST_HEADERS:'/x|y/'|XML:/* "!@rx (?i)^\x5c\"[%{tx.a}]" \
    "id:1,phase:1,block,capture,t:none,t:lowercase,\
    msg:'a \'b\' %{MATCHED_VAR}',tag:'x/y',severity:'CRITICAL',\
    ctl:ruleRemoveTargetById=1-9;ARGS:/^a\/b/,\
    setvar:'tx.a_%{rule.id}=+%{tx.b}',chain"
    SecRule TX:1 "@within %{tx.list} a" "t:length,initcol:ip=%{REMOTE_ADDR}"
SecAction "id:2,phase:2,pass,nolog,expirevar:ip.a=60,skipAfter:END"
SecRule REMOTE_ADDR "@ipMatch 10.0.0.0/8,::1" "id:3,redirect:'/x',status:302,skip:1"
SecMarker END
SecRuleUpdateTargetById 1 "!ARGS:x,FILES" "ARGS"
SecRuleUpdateActionById 2 "t:trim,deny"
SecRuleRemoveByTag ^none
# the end
"""
PIECES = [
    *"\"'\\|,:;=!&@%{}/#\n\t -0A",
    "\\\n",
    '\\"',
    "%{tx.a}",
    "chain",
    "id:1",
    "SecRule ",
    "/a",
    "²",
    "\0",
    "\udcff",
]


def attempt(text: str) -> bool:
    """Return whether a text is rules; raise if it is refused without a place."""
    try:
        fold(parse_string(text, "f", "no-such-folder"))
    except RuleError as error:
        where = error.where
    else:
        return True
    if where.file != "f" or not 1 <= where.line <= text.count("\n") + 1:
        raise AssertionError(f"{where} is no place in {text!r}")
    return False


class FuzzTests(SynchronousTestCase):
    def test_changed(self) -> None:
        """Rules with something taken away, put in or doubled anywhere."""
        random = Random(7)
        good = 0
        for _ in range(3000):
            text = SEED
            for _ in range(random.choice((1, 1, 1, 2, 5))):
                at = random.randrange(len(text) + 1)
                end = min(at + random.choice((0, 0, 1, 5, 40)), len(text))
                text = text[:at] + random.choice(PIECES) * random.randint(0, 2) + text[end:]
            good += attempt(text)
        self.assertGreater(good, 300)
        self.assertLess(good, 2700)

    def test_cut(self) -> None:
        """Rules that end anywhere."""
        for end in range(0, len(SEED), 3):
            attempt(SEED[:end])

    @settings(deadline=None)
    @given(
        st.lists(st.sampled_from([*PIECES, "SecAction ", "ARGS ", '"@rx ', "setvar:", "ctl:"]), max_size=30).map(
            "".join
        )
    )
    def test_anything(self, text: str) -> None:
        """Any pieces of the language in any order."""
        attempt(text)

    def test_long(self) -> None:
        """Texts that are long in every way are read in linear time: this would take hours else."""
        for text in (
            'SecRule ARGS "' + '\\"' * 100_000 + '" "id:1"',
            'SecRule ARGS "@rx ' + "%{" * 100_000 + '" "id:1"',
            'SecRule "' + "|".join(["ARGS"] * 20_000) + '" "a" "id:1"',
            "SecRule ARGS:/" + "\\" * 100_001 + "/ a id:1",
            "SecRule ARGS:/" + "\\/" * 50_000 + "/ a id:1",
            "SecAction \"id:1,msg:'" + "\\'" * 100_000 + "'\"",
            'SecAction "id:1' + ",tag:a" * 20_000 + '"',
            "SecAction \\\n" + " \\\n" * 50_000 + "id:1",
        ):
            attempt(text)
