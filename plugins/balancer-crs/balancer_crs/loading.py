"""From the check's settings to rules that can be run: files read, settings turned into variables, exclusions made."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from balancer_crs.folding import Program, fold, unfolded
from balancer_crs.lang.model import RuleSet
from balancer_crs.lang.parsing import Parser
from balancer_crs.lang.reading import Directive, spoken
from balancer_crs.lang.updates import matcher
from balancer_crs.recommended import RULES
from balancer_crs.settings import VERDICTS, CRSSettings, Exclusion
from balancer_crs.sources import DEBIAN, SETUP, find

__all__ = ["load", "read"]

FIRST = 9_900_000_000
"""Ids of rules made of settings begin here."""


def load(settings: CRSSettings, debian: tuple[Path, Path] = DEBIAN) -> Program:
    """Return what is to be run.

    Raises:
        ValueError: the rules cannot be found or used; a :class:`RuleError` names file and line.
    """
    rules = read(settings, debian)
    return fold(rules) if settings.fold else unfolded(rules)


def read(settings: CRSSettings, debian: tuple[Path, Path] = DEBIAN) -> RuleSet:
    """Return all rules, with the settings among them."""
    with find(settings.rules, settings.setup, debian) as sources:
        parser = Parser(sources.show)
        recommended = Parser()
        recommended.read_string(RULES, "recommended", Path())
        parser.settings = recommended.settings
        for path in sources.setup:
            parser.read(path)
        place = len(parser.items)
        for path in sources.rules:
            parser.read(path)
        for at, item in enumerate(parser.items, 1):  # a rule file may include the set-up file
            if item.where.file.endswith(SETUP):
                place = at
        rules = parser.items[place:]
        del parser.items[place:]
        version = 3 if any("/3." in each for each in parser.settings.component_signatures) else 4
        for number, directive in enumerate(_before(settings, version)):
            parser.obey(_numbered(directive, number))
        parser.items += rules
        written = {each.id for each in parser.drafts()}
        parser.items[:0] = [each for each in recommended.drafts() if each.id not in written]
        for exclusion in settings.exclusions:
            _check(exclusion, parser)
            if exclusion.path is None:
                for directive in _static(exclusion):
                    parser.obey(directive)
        return parser.finish()


def _check(exclusion: Exclusion, parser: Parser) -> None:
    """Raise ValueError if an exclusion takes away what acts upon the scores, and does not say that this is meant."""
    if exclusion.target or exclusion.disarm:
        return
    for draft in parser.drafts():
        if draft.id in VERDICTS:
            for text in (*exclusion.tag, *exclusion.message):
                said = draft.tags if text in exclusion.tag else [draft.message]
                if any(map(matcher(text), said)):
                    raise ValueError(
                        f"the exclusion of {text!r} takes away rule {draft.id}, which acts upon the scores: nothing would ever "
                        "be blocked; disarm: true says that this is meant"
                    )


def _before(settings: CRSSettings, version: int) -> Iterator[Directive]:
    variables = dict(_variables(settings, version))
    if variables:
        assigned = ",".join(f"setvar:'tx.{name}={_quoted(str(value))}'" for name, value in variables.items())
        yield spoken("settings", "SecAction", f"id:%d,phase:1,pass,nolog,t:none,{assigned}")
    for exclusion in settings.exclusions:
        if exclusion.pattern is not None:
            controls = ",".join(f"ctl:'{_quoted(each)}'" for each in _dynamic(exclusion))
            yield spoken(
                "exclusions",
                "SecRule",
                "REQUEST_FILENAME",
                f"@rx {exclusion.pattern}",
                f"id:%d,phase:1,pass,nolog,t:none,{controls}",
            )


def _numbered(directive: Directive, number: int) -> Directive:
    actions = directive.words[-1]
    text = actions.text.replace("id:%d", f"id:{FIRST + number}", 1)
    return replace(directive, words=(*directive.words[:-1], replace(actions, text=text)))


def _quoted(text: str) -> str:
    return text.replace("'", "\\'")


def _variables(settings: CRSSettings, version: int) -> Iterator[tuple[str, str | int]]:
    level, executing = (
        ("blocking_paranoia_level", "detection_paranoia_level")
        if version == 4
        else ("paranoia_level", "executing_paranoia_level")
    )
    detection = settings.detection_paranoia or settings.paranoia
    for name, value in (
        (level, settings.paranoia),
        (executing, detection),
        ("inbound_anomaly_score_threshold", settings.anomaly.inbound),
        ("outbound_anomaly_score_threshold", settings.anomaly.outbound),
        ("early_blocking", None if settings.early_blocking is None else int(settings.early_blocking)),
        ("sampling_percentage", settings.sampling),
    ):
        if value is not None:
            yield name, value
    yield from settings.variables.items()


def _dynamic(exclusion: Exclusion) -> Iterator[str]:
    kind = "ruleRemoveTarget" if exclusion.target else "ruleRemove"
    for target in exclusion.target or ("",):
        end = f";{target}" if target else ""
        for by, whats in (("Id", exclusion.rule), ("Tag", exclusion.tag), ("Msg", exclusion.message)):
            for what in whats:
                yield f"{kind}By{by}={what}{end}"


def _static(exclusion: Exclusion) -> Iterator[Directive]:
    for by, whats in (("Id", exclusion.rule), ("Tag", exclusion.tag), ("Msg", exclusion.message)):
        for what in whats:
            if exclusion.target:
                targets = "|".join(f"!{target}" for target in exclusion.target)
                yield spoken("exclusions", f"SecRuleUpdateTargetBy{by}", what, targets)
            else:
                yield spoken("exclusions", f"SecRuleRemoveBy{by}", what)
