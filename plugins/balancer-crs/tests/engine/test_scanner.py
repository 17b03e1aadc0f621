from __future__ import annotations

from balancer_crs.engine.patterns import Bundle
from balancer_crs.engine.scanner import Memo
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import TestCase

from tests.engine.test_transaction import engine, run

RULES = r"""
SecRule ARGS|ARGS_NAMES|REQUEST_COOKIES "@rx ^a.b$" "id:1,phase:1,pass,t:none"
SecRule ARGS "@rx b\s*;" "id:2,phase:1,pass,t:none,t:urlDecodeUni"
SecRule ARGS "@rx (?i)\bA" "id:3,phase:1,pass,t:none,t:removeWhitespace"
SecRule ARGS "@rx /\.\./" "id:4,phase:1,pass,t:none,t:jsDecode"
SecRule ARGS "@pm ab ;" "id:5,phase:1,pass,t:none,t:lowercase"
SecRule ARGS "@contains a;" "id:6,phase:1,pass,t:none,t:cmdLine"
SecRule ARGS|REQUEST_URI "@validateByteRange 32-126" "id:7,phase:1,pass,t:none,t:jsDecode"
SecRule ARGS "@rx ^\x5c" "id:8,phase:1,pass,t:none,t:jsDecode,multiMatch"
SecRule ARGS|ARGS_NAMES|REQUEST_COOKIES "@rx [^a]$" "id:9,phase:1,pass,t:none"
SecRule ARGS "@rx ^$" "id:10,phase:1,pass,t:none,t:replaceComments"
"""
FAST, SLOW = engine(RULES), engine(RULES, prefilter=False, memo=False)
_TEXT = st.lists(
    st.sampled_from(["a", "b", "A", "%5c", "%0a", "%3b", "/", "..", "+", "%00", "/*", "%c3%a9"]), max_size=6
).map("".join)


class ScannerTests(TestCase):
    @given(st.lists(_TEXT, max_size=5), st.lists(_TEXT, max_size=2))
    @settings(max_examples=400, deadline=None)
    def test_same_results(self, values: list[str], cookies: list[str]) -> None:
        """Looking in bulk first changes nothing of what is found."""
        target = "/?" + "&".join(f"n{number}={value}" for number, value in enumerate(values))
        headers = (b"Cookie", ";".join(f"c={value}" for value in cookies).encode())
        found = [
            [
                (match.id, match.target, match.value, match.found)
                for match in run(each, target.encode(), headers).matches
            ]
            for each in (FAST, SLOW)
        ]
        self.assertEqual(found[0], found[1])

    def test_bundles(self) -> None:
        """Rules of one pipeline share what is looked for, three at a time."""
        self.assertEqual(max(len(scan.bundle) for scan in FAST.plan.scans), 2)
        many = engine("\n".join(f'SecRule ARGS "@rx x{each}" "id:{each},phase:1,pass"' for each in range(1, 8)))
        self.assertEqual([len(scan.bundle) for scan in many.plan.scans], [3, 3, 1])
        self.assertEqual(SLOW.plan.scans, [])


class MemoTests(TestCase):
    def test_bounded(self) -> None:
        """It forgets what was not asked for, and does not remember what is long."""
        memo, bundle = Memo(most=2, longest=4), Bundle([b"a"])
        for text in (b"a", b"b", b"aa", b"ab", b"a", b"aaaaaa"):
            self.assertEqual(0 in memo.find(bundle, text), b"a" in text, text)
        self.assertLessEqual(len(memo._new) + len(memo._old), 4)
