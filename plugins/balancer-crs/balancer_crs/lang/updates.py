"""Directives that change rules read before them: ``SecRuleRemove…`` and ``SecRuleUpdate…``."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Protocol

import re2

from balancer_crs.lang.actions import parse_actions, parse_ranges
from balancer_crs.lang.drafts import Draft
from balancer_crs.lang.errors import RuleError
from balancer_crs.lang.model import Variable, Where
from balancer_crs.lang.reading import Directive, Word
from balancer_crs.lang.variables import parse_variables

__all__ = ["DIRECTIVES", "Updated", "matcher"]


class Updated(Protocol):
    """What was read so far, as far as updates need it."""

    def drafts(self) -> Iterable[Draft]:
        """Yield the rules."""

    def remove(self, wanted: Callable[[Draft], bool]) -> int:
        """Forget rules, and return how many."""

    def note(self, where: Where, text: str) -> None:
        """Keep something to tell at load."""


@lru_cache(1024)
def matcher(pattern: str) -> Callable[[str], bool]:
    """Return a predicate over tags and messages: equal to ``pattern``, or found by it as an RE2 expression.

    What is no RE2 expression is a text and nothing else.
    """
    options = re2.Options()
    options.log_errors = False
    try:
        search = re2.compile(pattern.encode("utf-8", "surrogateescape"), options).search
    except re2.error:
        return lambda text: text == pattern
    return lambda text: text == pattern or search(text.encode("utf-8", "surrogateescape")) is not None


def _words(directive: Directive, least: int, most: int, expected: str) -> tuple[Word, ...]:
    if not least <= len(directive.words) <= most:
        raise RuleError(directive.where, f"expected {directive.name} {expected}")
    return directive.words


def _remove_by_id(parser: Updated, directive: Directive) -> None:
    for word in _words(directive, 1, 10_000, "ID…"):
        for first, last in parse_ranges(word.text, word.where):
            if not parser.remove(lambda draft, first=first, last=last: first <= draft.id <= last):  # type: ignore[misc]
                shown = str(first) if first == last else f"{first}-{last}"
                parser.note(word.where(), f"no rule read before this has the id {shown}: nothing is removed")


def _remove_by(said: Callable[[Draft], Iterable[str]], what: str) -> Callable[[Updated, Directive], None]:
    def remove(parser: Updated, directive: Directive) -> None:
        for word in _words(directive, 1, 10_000, what.upper()):
            matches = matcher(word.text)
            if not parser.remove(lambda draft, matches=matches: any(map(matches, said(draft)))):  # type: ignore[misc]
                parser.note(word.where(), f"no rule read before this has the {what} {word.text!r}: nothing is removed")

    return remove


def _tags(draft: Draft) -> Iterable[str]:
    return draft.tags


def _message(draft: Draft) -> Iterable[str]:
    return (draft.message,) if draft.message else ()


def _by_id(parser: Updated, word: Word) -> list[Draft]:
    """Return the rules that ``1``, ``1-5`` or ``1:2`` (the second rule chained to 1) names; note if there are none."""
    offset = re.fullmatch(r"\s*([0-9]{1,10}):([0-9]{1,4})\s*", word.text)
    ranges = parse_ranges(offset[1] if offset else word.text, word.where)
    found = [draft for draft in parser.drafts() if any(first <= draft.id <= last for first, last in ranges)]
    if offset:
        place = int(offset[2])
        if found and place > len(found[0].links):
            raise RuleError(
                word.where(), f"rule {offset[1]} has {len(found[0].links)} rules chained to it, not {place}"
            )
        found = [([draft, *draft.links])[place] for draft in found]
    if not found:
        parser.note(word.where(), f"no rule read before this has the id {word.text}: nothing is changed")
    return found


def _by(said: Callable[[Draft], Iterable[str]], what: str) -> Callable[[Updated, Word], list[Draft]]:
    def find(parser: Updated, word: Word) -> list[Draft]:
        matches = matcher(word.text)
        found = [draft for draft in parser.drafts() if any(map(matches, said(draft)))]
        if not found:
            parser.note(word.where(), f"no rule read before this has the {what} {word.text!r}: nothing is changed")
        return found

    return find


def _update_target(find: Callable[[Updated, Word], list[Draft]], what: str) -> Callable[[Updated, Directive], None]:
    def update(parser: Updated, directive: Directive) -> None:
        words = _words(directive, 2, 3, f"{what} VARIABLES [REPLACED]")
        variables = parse_variables(words[1].text, words[1].where, commas=True)
        replaced = parse_variables(words[2].text, words[2].where, commas=True) if len(words) == 3 else ()
        for draft in find(parser, words[0]):
            if draft.operator is None:
                raise RuleError(directive.where, f"the SecAction at {draft.where} looks at no variables")
            draft.variables = _updated(draft.variables, variables, replaced)

    return update


def _updated(
    before: tuple[Variable, ...], new: tuple[Variable, ...], replaced: tuple[Variable, ...]
) -> tuple[Variable, ...]:
    if replaced:
        kept = [variable for variable in before if variable not in replaced]
        if len(kept) == len(before):
            return before
        return (*new, *(variable for variable in kept if variable not in new))
    return (*before, *(variable for variable in new if variable not in before))


def _update_action(parser: Updated, directive: Directive) -> None:
    words = _words(directive, 2, 2, "ID ACTIONS")
    actions = parse_actions(words[1].text, words[1].where)
    for action in actions:
        if action.name in ("id", "phase", "chain"):
            raise RuleError(action.where, f"{action.name} cannot be changed by an update")
    for draft in _by_id(parser, words[0]):
        draft.actions.extend(actions)
        draft.check(starter=any(draft is each for each in parser.drafts()))


DIRECTIVES: dict[str, Callable[[Updated, Directive], None]] = {
    "SecRuleRemoveById": _remove_by_id,
    "SecRuleRemoveByMsg": _remove_by(_message, "message"),
    "SecRuleRemoveByTag": _remove_by(_tags, "tag"),
    "SecRuleUpdateActionById": _update_action,
    "SecRuleUpdateTargetById": _update_target(_by_id, "ID"),
    "SecRuleUpdateTargetByMsg": _update_target(_by(_message, "message"), "MESSAGE"),
    "SecRuleUpdateTargetByTag": _update_target(_by(_tags, "tag"), "TAG"),
}
