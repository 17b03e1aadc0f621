"""A plain way to run a program whose rules look at headers and ``TX``: what folding leaves must do what all of it does.

It shares nothing with the code under test but the values of a rule set.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from balancer_crs.folding import Program
from balancer_crs.lang.model import Ctl, Marker, Rule, SetVar, Text, Variable


@dataclass
class Outcome:
    """What a run did."""

    told: list[int] = field(default_factory=list)
    """Ids of rules that matched and said so, in order."""
    tx: dict[str, str] = field(default_factory=dict)
    stopped: int = 0


def run(program: Program, headers: Mapping[str, Sequence[str]], phases: Sequence[int] = (1, 2, 3, 4, 5)) -> Outcome:
    """Run the phases of a program for one request."""
    return _Run(program, headers).run(phases)


class _Run:
    def __init__(self, program: Program, headers: Mapping[str, Sequence[str]]) -> None:
        self.program = program
        self.headers = headers
        self.outcome = Outcome(tx=dict(program.initial))
        self.removed: list[Ctl] = []

    def run(self, phases: Sequence[int]) -> Outcome:
        skipped: set[int] = set()
        for number in phases:
            if number in skipped or (self.outcome.stopped and number != 5):
                continue
            scope = self.phase(self.program.phases[number])
            skipped |= {"request": {1, 2}, "all": {1, 2, 3, 4}}.get(scope, set())
        return self.outcome

    def phase(self, items: Sequence[Rule | Marker]) -> str:
        place = 0
        while place < len(items):
            item = items[place]
            place += 1
            if isinstance(item, Marker) or self.is_removed(item) or not self.matches(item):
                continue
            if item.log:
                self.outcome.told.append(item.id)
            if item.disruption.kind == "deny":
                self.outcome.stopped = item.id
                return "denied"
            if item.disruption.kind == "allow":
                return item.disruption.scope
            if item.skip_after:
                names = [each.name if isinstance(each, Marker) else str(each.id) for each in items]
                place = next((at + 1 for at in range(place, len(items)) if names[at] == item.skip_after), len(items))
            left = item.skip
            while left and place < len(items):
                left -= isinstance(items[place], Rule)
                place += 1
        return ""

    def is_removed(self, rule: Rule) -> bool:
        return any(
            any(first <= rule.id <= last for first, last in ctl.ranges) or ctl.value in rule.tags
            for ctl in self.removed
        )

    def matches(self, rule: Rule) -> bool:
        for link in rule.links:
            hits = 1 if link.operator is None else 0
            if link.operator is None:
                self.effects(link)
            for variable in link.variables:
                for value in self.values(variable):
                    if self.holds(link, value):
                        hits += 1
                        self.effects(link)
            if not hits:
                return False
        return True

    def values(self, variable: Variable) -> list[str]:
        key = (variable.key or "").lower()
        source = self.headers if variable.name == "REQUEST_HEADERS" else {k: [v] for k, v in self.outcome.tx.items()}
        found = list(source.get(key, ()))
        return [str(len(found))] if variable.count else found

    def holds(self, link: Rule, value: str) -> bool:
        assert link.operator is not None
        argument = self.text(link.operator.argument)
        left, right = _number(value), _number(argument)
        held = {
            "eq": left == right,
            "lt": left < right,
            "ge": left >= right,
            "streq": value == argument,
            "contains": argument in value,
        }[link.operator.name]
        return held != link.operator.negated

    def effects(self, link: Rule) -> None:
        for effect in link.effects:
            if isinstance(effect, Ctl):
                self.removed.append(effect)
                continue
            assert isinstance(effect, SetVar)
            key, value = self.text(effect.key).lower(), self.text(effect.value)
            before = _number(self.outcome.tx.get(key, ""))
            if effect.operation == "unset":
                self.outcome.tx.pop(key, None)
            elif effect.operation == "set":
                self.outcome.tx[key] = value
            else:
                sign = 1 if effect.operation == "add" else -1
                self.outcome.tx[key] = str(before + sign * _number(value))

    def text(self, text: Text) -> str:
        parts = []
        for piece in text.pieces:
            if isinstance(piece, str):
                parts.append(piece)
            elif piece.variable == "TX":
                parts.append(self.outcome.tx.get((piece.key or "").lower(), ""))
            else:
                parts.append(next(iter(self.headers.get((piece.key or "").lower(), ())), ""))
        return "".join(parts)


def _number(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        return 0
