"""Tests of the way from settings to rules that can be run."""

from __future__ import annotations

import io
import tarfile
from dataclasses import replace
from pathlib import Path
from typing import Any

from balancer_crs.lang.errors import RuleError
from balancer_crs.lang.model import Ctl, Rule, RuleSet
from balancer_crs.loading import FIRST, load, read
from balancer_crs.settings import CRSSettings
from twisted.trial.unittest import SynchronousTestCase

from tests.rulesets import debian, shared

RULES = """
SecComponentSignature "OWASP_CRS/4.0.0"
SecRule &TX:blocking_paranoia_level "@eq 0" "id:1,phase:1,pass,nolog,setvar:tx.blocking_paranoia_level=1"
SecRule TX:blocking_paranoia_level "@lt 2" "id:2,phase:1,pass,nolog,skipAfter:END"
SecRule ARGS|REQUEST_COOKIES "@rx a" "id:3,phase:1,block,tag:'attack-x',msg:'Third'"
SecMarker END
SecRule ARGS "@rx b" "id:4,phase:1,block,tag:'attack-y',msg:'Fourth'"
SecRule TX:score "@ge %{tx.inbound_anomaly_score_threshold}" "id:949110,phase:2,deny,tag:'evaluation'"
"""


RECOMMENDED = (200002, 200003, 200004)


class LoadingTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.root = Path(self.mktemp())
        (self.root / "rules").mkdir(parents=True)
        (self.root / "rules" / "a.conf").write_text(RULES)
        (self.root / "crs-setup.conf").write_text('SecAction "id:9,phase:1,pass,nolog,setvar:tx.sampling_percentage=3"')

    def settings(self, **settings: Any) -> CRSSettings:
        return CRSSettings.model_validate({"rules": str(self.root), **settings})

    def read(self, **settings: Any) -> RuleSet:
        """Return the rules, without those that go before every set."""
        found = read(self.settings(**settings))
        return replace(found, items=tuple(each for each in found.items if getattr(each, "id", 0) not in RECOMMENDED))

    def ids(self, **settings: Any) -> list[int]:
        return [each.id for each in self.read(**settings).rules]

    def test_variables(self) -> None:
        """Settings come after the set-up file and before the rules; what is not given is as the file says."""
        self.assertEqual(self.ids(paranoia=2), [9, FIRST, 1, 2, 3, 4, 949110])
        program = load(
            self.settings(
                paranoia=2,
                anomaly={"inbound": 7, "outbound": 8},
                early_blocking=True,
                variables={"allowed": "a'b,c\\d"},
            )
        )
        self.assertEqual(
            dict(program.initial),
            {
                "sampling_percentage": "3",
                "blocking_paranoia_level": "2",
                "detection_paranoia_level": "2",
                "inbound_anomaly_score_threshold": "7",
                "outbound_anomaly_score_threshold": "8",
                "early_blocking": "1",
                "allowed": "a'b,c\\d",
            },
        )
        self.assertEqual([getattr(each, "id", 0) for each in program.phases[1]], [3, 4])
        self.assertEqual([getattr(each, "id", 0) for each in load(self.settings()).phases[1]], [4])

    def test_a_file_that_includes_the_setup(self) -> None:
        """Settings come after the set-up file, whoever includes it."""
        (self.root / "main.conf").write_text(
            'SecAction "id:8,phase:1,pass"\nInclude crs-setup.conf\nInclude rules/*.conf'
        )
        settings = CRSSettings(rules=str(self.root / "main.conf"), sampling=7)
        self.assertEqual([each.id for each in read(settings).rules], [*RECOMMENDED, 8, 9, FIRST, 1, 2, 3, 4, 949110])

    def test_names_of_version_3(self) -> None:
        """Levels have the names that the rules know them by."""
        (self.root / "rules" / "a.conf").write_text(RULES.replace("CRS/4.0.0", "CRS/3.3.4"))
        program = load(self.settings(paranoia=2, detection_paranoia=3, sampling=50))
        self.assertEqual(program.initial["paranoia_level"], "2")
        self.assertEqual(program.initial["executing_paranoia_level"], "3")
        self.assertEqual(program.initial["sampling_percentage"], "50")

    def test_not_folded(self) -> None:
        """Folding can be switched off."""
        program = load(self.settings(fold=False, paranoia=1))
        self.assertEqual((program.count, program.decided), (7 + len(RECOMMENDED), ()))

    def test_exclusions(self) -> None:
        """Rules that do not run, by id, tag and message; targets that rules do not look at."""
        self.assertEqual(self.ids(exclusions=[3]), [9, 1, 2, 4, 949110])
        self.assertEqual(self.ids(exclusions=[{"tag": "attack-y"}, {"message": "Third"}]), [9, 1, 2, 949110])
        rules = {each.id: each for each in self.read(exclusions=[{"rule": "3-4", "target": ["ARGS:a", "FILES"]}]).rules}
        self.assertEqual(list(map(str, rules[3].variables)), ["ARGS", "REQUEST_COOKIES", "!ARGS:a", "!FILES"])
        self.assertEqual(list(map(str, rules[4].variables)), ["ARGS", "!ARGS:a", "!FILES"])

    def test_exclusions_of_a_path(self) -> None:
        """Exclusions of a path become rules that change the exchange."""
        rules = {
            each.id: each
            for each in self.read(
                exclusions=[
                    {"rule": 3, "tag": "it's", "path": "/a/**"},
                    {"message": "Third", "target": "ARGS:/^x{1,2}/", "path": "/b"},
                ]
            ).rules
        }
        first, second = rules[FIRST], rules[FIRST + 1]
        self.assertEqual((str(first.operator), str(second.operator)), ("@rx ^/a(?:/|$)", "@rx ^/b$"))
        self.assertEqual([self.said(first), self.said(second)], [["3", "it's"], ["Third ARGS:/^x{1,2}/"]])

    def said(self, rule: Rule) -> list[str]:
        found = [effect for effect in rule.effects if isinstance(effect, Ctl)]
        return [f"{ctl.value} {ctl.target}" if ctl.target else ctl.value for ctl in found]

    def test_disarmed(self) -> None:
        """What acts upon the scores goes only if that is said to be meant, whatever names it."""
        for exclusion in ({"tag": "evaluation"}, {"tag": ".", "path": "/a"}):
            with self.assertRaisesRegex(ValueError, "takes away rule 949110"):
                self.ids(exclusions=[exclusion])
        self.assertEqual(self.ids(exclusions=[{"tag": "evaluation", "disarm": True}]), [9, 1, 2, 3, 4])

    def test_nothing_excluded(self) -> None:
        """An exclusion that hits no rule is told."""
        [note] = self.read(exclusions=[5]).notes
        self.assertEqual(str(note), "exclusions:1: no rule read before this has the id 5: nothing is removed")

    def test_errors(self) -> None:
        """Errors name file and line, of an archive as a path below it."""
        (self.root / "rules" / "b.conf").write_text("\nSecRule ARGS @rxx id:8")
        self.assertRaisesRegex(RuleError, "rules/b.conf:2: unknown operator @rxx; did you mean @rx?", self.ids)
        archive = self.root / "crs.tgz"
        with tarfile.open(archive, "w:gz") as made:
            made.addfile(tarfile.TarInfo("crs/crs-setup.conf"), io.BytesIO())
            info = tarfile.TarInfo("crs/rules/a.conf")
            info.size = 5
            made.addfile(info, io.BytesIO(b"\nSecX"))
        self.assertRaisesRegex(
            RuleError, f"{archive}/rules/a.conf:2: unknown directive", read, CRSSettings(rules=str(archive))
        )

    def test_version_4(self) -> None:
        """CRS 4 at each level: more rules the higher it is."""
        root = str(shared())
        counts = [load(CRSSettings(rules=root, paranoia=level)).count for level in (1, 2, 3, 4)]
        self.assertEqual(counts, sorted(set(counts)))

    def test_version_3(self) -> None:
        """CRS 3.3 where Debian has it, without a word of where that is."""
        debian()
        program = load(CRSSettings(paranoia=2))
        self.assertEqual(program.initial["executing_paranoia_level"], "2")
        self.assertEqual(program.notes, ())
