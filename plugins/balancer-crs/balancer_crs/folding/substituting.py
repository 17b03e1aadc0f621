"""Macros whose value is known are replaced by it; which members of ``TX`` a rule reads and writes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from balancer_crs.folding.state import UNKNOWN, State
from balancer_crs.lang.model import Effect, ExpireVar, InitCol, Piece, Reference, Rule, SetEnv, SetVar, Text

__all__ = ["Touched", "substituted", "touched", "writes"]


class Touched:
    """Names of members that rules read or write; ``everything`` if they cannot be told."""

    __slots__ = ("everything", "keys")

    def __init__(self) -> None:
        self.keys: set[str] = set()
        self.everything = False

    def __contains__(self, key: str) -> bool:
        return self.everything or key.lower() in self.keys

    def add(self, rule: Rule) -> None:
        """Count in what a rule (with those chained to it) touches."""
        for key in touched(rule):
            if key is None:
                self.everything = True
            else:
                self.keys.add(key)


def touched(rule: Rule) -> Iterator[str | None]:
    """Yield the members that a rule and those chained to it read or write; None if any may be meant."""
    for link in rule.links:
        for variable in link.variables:
            if variable.name == "TX" and not variable.exclude:
                yield variable.key.lower() if variable.key is not None else None
        for text in _texts(link):
            for reference in text.references:
                if reference.variable == "TX":
                    yield reference.key.lower() if reference.key is not None else None
        for effect in link.effects:
            if isinstance(effect, SetVar) and effect.collection == "TX":
                constant = effect.key.constant
                yield constant.lower() if constant is not None else None


def writes(rule: Rule) -> Iterator[SetVar]:
    """Yield the assignments to ``TX`` of a rule and those chained to it."""
    for link in rule.links:
        for effect in link.effects:
            if isinstance(effect, SetVar) and effect.collection == "TX":
                yield effect


def _texts(rule: Rule) -> Iterable[Text]:
    if rule.operator is not None:
        yield rule.operator.argument
    for text in (rule.msg, rule.logdata, rule.disruption.url):
        if text is not None:
            yield text
    for effect in rule.effects:
        if isinstance(effect, SetVar):
            yield effect.key
            yield effect.value
        elif isinstance(effect, ExpireVar):
            yield effect.key
            yield effect.seconds
        elif isinstance(effect, InitCol):
            yield effect.key
        elif isinstance(effect, SetEnv):
            yield effect.name
            yield effect.value


def substituted(rule: Rule, state: State) -> Rule:
    """Return the rule with the macros replaced that are known when it is reached and that it does not change itself."""
    own = state.copy()
    for effect in writes(rule):
        key = effect.key.constant
        if key is None:
            own.blur("")
        else:
            own.write(key, UNKNOWN)
    links = [_link(link, own) for link in rule.links]
    return replace(links[0], chain=tuple(links[1:]))


def _link(rule: Rule, state: State) -> Rule:
    operator = rule.operator
    return replace(
        rule,
        operator=operator and replace(operator, argument=_text(operator.argument, state)),
        msg=rule.msg and _text(rule.msg, state),
        logdata=rule.logdata and _text(rule.logdata, state),
        disruption=replace(rule.disruption, url=rule.disruption.url and _text(rule.disruption.url, state)),
        effects=tuple(_effect(effect, state) for effect in rule.effects),
        chain=(),
    )


def _effect(effect: Effect, state: State) -> Effect:
    if isinstance(effect, SetVar):
        return replace(effect, key=_text(effect.key, state), value=_text(effect.value, state))
    if isinstance(effect, ExpireVar):
        return replace(effect, key=_text(effect.key, state), seconds=_text(effect.seconds, state))
    if isinstance(effect, InitCol):
        return replace(effect, key=_text(effect.key, state))
    if isinstance(effect, SetEnv):
        return replace(effect, name=_text(effect.name, state), value=_text(effect.value, state))
    return effect


def _text(text: Text, state: State) -> Text:
    if not text.references:
        return text
    pieces: list[Piece] = []
    for piece in text.pieces:
        value: Piece = piece
        if isinstance(piece, Reference) and piece.variable == "TX" and piece.key is not None:
            known = state.get(piece.key)
            value = known if isinstance(known, str) else piece
        if isinstance(value, str) and pieces and isinstance(pieces[-1], str):
            pieces[-1] += value
        else:
            pieces.append(value)
    return Text(tuple(piece for piece in pieces if piece != ""))
