"""Walks the rules as a request would, knowing of it nothing: an abstract run, once, at load.

At each rule it is known what ``TX`` holds whatever the request was (see ``state``). A rule that can be decided from that is
left out: one that does not match, one that matches and only assigns constants (the exchange begins with them, or the rule
becomes a bare assignment), and one that skips (what it skips goes with it: paranoia levels)::

    SecRule TX:detection_paranoia_level "@lt 2" "…,skipAfter:END"   known: 1 → jump, this and all up to END are left out
    SecRule &TX:allowed_methods "@eq 0" "…,setvar:tx.allowed_methods=GET HEAD"   known: absent → initial value

What cannot be known stays as it is; macros in it that are known are replaced. Whatever may cut a phase short (``deny``,
``allow``, a skip that depends on the request) or take rules away (``ctl:ruleRemove…``) makes less known, never more.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from operator import itemgetter
from types import MappingProxyType

from balancer_crs.folding.deciding import decide
from balancer_crs.folding.program import PHASES, Program
from balancer_crs.folding.state import State, resolved
from balancer_crs.folding.substituting import Touched, substituted
from balancer_crs.lang.model import Ctl, Disruption, Marker, Note, Rule, RuleSet, SetVar, Text
from balancer_crs.lang.updates import matcher

__all__ = ["fold", "unfolded"]

_Items = tuple[Rule | Marker, ...]


def unfolded(rules: RuleSet) -> Program:
    """Return all rules as they are: what :func:`fold` gives must do the same."""
    phases = {number: rules.phase(number) for number in PHASES}
    return Program(MappingProxyType(phases), MappingProxyType({}), rules.settings, rules.notes)


def fold(rules: RuleSet, initial: Mapping[str, str] | None = None) -> Program:
    """Return what has to be run for a request.

    Args:
        rules: all of them.
        initial: members of ``TX`` that are set before the first rule.
    """
    walk = _Walk(dict(initial or {}))
    phases: dict[int, _Items] = {}
    state = State(dict(walk.initial))
    for number in PHASES:
        entry = state if walk.stopped is None else state.joined(walk.stopped)
        phases[number], leaving = walk.phase(number, rules.phase(number), entry)
        state = leaving if number == 1 else entry.joined(leaving)  # any but the first may be left out
    notes = (*rules.notes, *walk.notes)
    return Program(MappingProxyType(phases), MappingProxyType(walk.initial), rules.settings, notes, tuple(walk.decided))


class _Walk:
    """One walk through all phases."""

    def __init__(self, initial: dict[str, str]) -> None:
        self.initial = {key.lower(): value for key, value in initial.items()}
        self.notes: list[Note] = []
        self.decided: list[tuple[int, str]] = []
        self.stopped: State | None = None
        """What is known where an exchange may have been stopped, or a phase cut short."""
        self._removals: list[Ctl] = []
        """What may have taken rules away."""
        self._touched = Touched()

    def phase(self, number: int, items: _Items, entry: State) -> tuple[_Items, State]:
        """Return what is left of a phase, and what is known after it."""
        kept: list[tuple[int, Rule | Marker]] = []
        arriving: dict[int, State] = {}
        """By place: what is known there by those who skip to it."""
        state: State | None = entry.copy()
        for place, item in enumerate(items):
            if place in arriving:
                state = arriving[place].joined(state)
            if isinstance(item, Marker):
                kept.append((place, item))
                continue
            if state is None:
                self.decided.append((item.id, "never reached"))
                continue
            skipping = max(arriving, default=-1) > place
            state, left = self._rule(item, state, place, items, arriving, number == 1 and not skipping)
            if left is not None:
                kept.append((place, left))
                self._touched.add(left)
        last = arriving.get(len(items))
        if last is not None:
            state = last.joined(state)
        return _tidied(kept, items), state or entry

    def _rule(
        self, rule: Rule, state: State, place: int, items: _Items, arriving: dict[int, State], sure: bool
    ) -> tuple[State | None, Rule | None]:
        """Return what is known after a rule, and what is left of it."""
        removing = [ctl for ctl in self._removals if _removes(ctl, rule)]
        run = _Run(rule, state)
        target = _target(rule, place, items)
        if run.matches is False and not run.entangled:
            return self._done(rule, run, state, sure and not removing, bool(removing), "never matches")
        entered = target is not None and any(place < other < target for other in arriving)
        if (
            run.matches and not run.entangled and _silent(rule) and not entered
        ):  # others skip into what it skips: it stays
            if target is not None and removing:
                skipped = [item for item in items[place + 1 : target] if isinstance(item, Rule)]
                if not run.assigned and all(_removes(ctl, item) for ctl in removing for item in skipped):
                    removing = []  # whatever takes the jump away takes away what it leaves out
            if target is None or not removing:
                after, left = self._done(rule, run, state, sure and not removing, bool(removing), "always matches")
                if target is not None:
                    arriving[target] = run.state.joined(arriving.get(target))
                    if left is not None:
                        left = replace(left, skip=rule.skip, skip_after=rule.skip_after)
                    return None, left
                return after, left
        return self._kept(rule, run, state, target, arriving, bool(removing))

    def _done(
        self, rule: Rule, run: _Run, state: State, sure: bool, removable: bool, reason: str
    ) -> tuple[State, Rule | None]:
        """Leave a decided rule out, but for what it assigns if that cannot be known from the start."""
        if removable and run.assigned:
            return state.joined(run.state), rule
        self.decided.append((rule.id, reason))
        left = []
        for key, value in run.assigned:
            if sure and self.stopped is None and key not in self._touched:
                if isinstance(value, str):
                    self.initial[key] = value
                else:
                    self.initial.pop(key, None)
            else:
                left.append(_assignment(key, value if isinstance(value, str) else None))
        return run.state, _bare(rule, left) if left else None

    def _kept(
        self, rule: Rule, run: _Run, state: State, target: int | None, arriving: dict[int, State], removable: bool
    ) -> tuple[State | None, Rule]:
        sure = run.matches is True and not removable
        after = run.state if sure else state.joined(run.state)
        if rule.disruption.kind != "pass" and run.matches is not False:
            self.stopped = after.joined(self.stopped)
            if sure and rule.disruption.kind in ("deny", "drop", "redirect"):
                said = f": {rule.msg}" if rule.msg else ""
                self.notes.append(Note(rule.where, f"rule {rule.id} stops every request{said}"))
        for link in rule.links:
            for effect in link.effects:
                if isinstance(effect, Ctl) and effect.name.startswith("ruleRemove"):
                    if effect.target is None or effect.target.name == "TX":
                        self._removals.append(effect)
        left = substituted(rule, state)
        if target is None or run.matches is False:
            return after, left
        arriving[target] = after.joined(arriving.get(target))
        return (None if sure else after), left


class _Run:
    """A rule and those chained to it, run on what is known.

    Attributes:
        matches: all of them; None if it depends on the request.
        state: what is known after it.
        assigned: what it assigns for certain, constants only: (name in small letters, value or None for absent).
        entangled: it does, or may do, something else before it is decided.
    """

    __slots__ = ("assigned", "entangled", "matches", "state")

    def __init__(self, rule: Rule, state: State) -> None:
        self.matches: bool | None = True
        self.state = state.copy()
        self.assigned: list[tuple[str, str | None]] = []
        self.entangled = False
        for link in rule.links:
            found = decide(link, self.state)
            if found is False:
                self.matches = False
                return
            if found is None:
                self.matches = None
            self._effects(link, self.matches is True)

    def _effects(self, link: Rule, certain: bool) -> None:
        if link.capture:
            self.entangled = True
        for effect in link.effects:
            if not isinstance(effect, SetVar) or effect.collection != "TX":
                self.entangled = True
                continue
            constant = self.state.apply(effect, certain=certain)
            key = resolved(effect.key, self.state)
            if not constant or not certain or key is None:
                self.entangled = True
                continue
            value = self.state.get(key)
            self.assigned.append((key.lower(), value if isinstance(value, str) else None))


def _silent(rule: Rule) -> bool:
    return rule.disruption.kind == "pass" and not rule.log and not rule.audit


def _removes(ctl: Ctl, rule: Rule) -> bool:
    if ctl.name.endswith("ById"):
        return any(first <= link.id <= last for first, last in ctl.ranges for link in rule.links)
    matches = matcher(ctl.value)
    if ctl.name.endswith("ByTag"):
        return any(map(matches, rule.tags))
    return rule.msg is not None and (rule.msg.constant is None or matches(rule.msg.constant))


def _target(rule: Rule, place: int, items: _Items) -> int | None:
    """Return the place where a phase goes on if the rule matches and skips."""
    if rule.skip_after is not None:
        for later in range(place + 1, len(items)):
            item = items[later]
            if isinstance(item, Marker) and item.name == rule.skip_after:
                return later
            if isinstance(item, Rule) and str(item.id) == rule.skip_after:
                return later + 1
        return len(items)
    if not rule.skip:
        return None
    left = rule.skip
    for later in range(place + 1, len(items)):
        if isinstance(items[later], Rule):
            if not left:
                return later
            left -= 1
    return len(items)


def _assignment(key: str, value: str | None) -> SetVar:
    if value is None:
        return SetVar("TX", Text((key,)), "unset")
    return SetVar("TX", Text((key,)), "set", Text((value,) if value else ()))


def _bare(rule: Rule, effects: list[SetVar]) -> Rule:
    return replace(
        rule,
        variables=(),
        operator=None,
        transformations=(),
        capture=False,
        disruption=Disruption(),
        effects=tuple(effects),
        skip=0,
        skip_after=None,
        log=False,
        audit=False,
        msg=None,
        logdata=None,
        chain=(),
    )


def _tidied(kept: list[tuple[int, Rule | Marker]], items: _Items) -> _Items:
    """Leave out markers that nobody skips to; count again what a ``skip`` passes over."""
    names = {item.skip_after for _, item in kept if isinstance(item, Rule)}
    left = {place for place, _ in kept}
    marks = [
        (place, Marker(str(item.id), item.where))
        for place, item in enumerate(items)
        if isinstance(item, Rule) and place not in left and str(item.id) in names
    ]  # where a rule was that others skip to
    result: list[Rule | Marker] = []
    for place, item in sorted([*kept, *marks], key=itemgetter(0)):
        if isinstance(item, Marker):
            if item.name in names:
                result.append(item)
            continue
        if item.skip and item.skip_after is None:
            end = _target(item, place, items)
            assert end is not None
            item = replace(item, skip=sum(place < at < end and isinstance(each, Rule) for at, each in kept))
        result.append(item)
    return tuple(result)
