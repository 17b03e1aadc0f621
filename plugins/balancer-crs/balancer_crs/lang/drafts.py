"""A rule as it is being read: its actions still a list, so that later directives can add to it; then made into a :class:`Rule`."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Literal, cast

from balancer_crs.lang.actions import Action
from balancer_crs.lang.errors import RuleError
from balancer_crs.lang.model import (
    Ctl,
    Default,
    Disruption,
    ExpireVar,
    InitCol,
    Kind,
    Operator,
    Rule,
    SetEnv,
    SetVar,
    Text,
    Variable,
    Where,
)

__all__ = ["DISRUPTIVE", "Draft", "default_of"]

DISRUPTIVE = frozenset({"allow", "block", "deny", "drop", "pass", "redirect"})
_STARTER = DISRUPTIVE | {"phase", "skip", "skipAfter", "status"}
"""What only the first rule of a chain may say."""

_ONCE = frozenset({"id", "phase"})


@dataclass(slots=True)
class Draft:
    """A rule of a chain, or one that stands alone.

    Args:
        where: its directive.
        variables, operator: what it judges and how; none in SecAction.
        actions: those of its directive, then those of later updates.
        default: of its phase, as it was when the rule was read; chained rules have none.
    """

    where: Where
    variables: tuple[Variable, ...]
    operator: Operator | None
    actions: list[Action]
    default: Default | None
    links: list[Draft] = field(default_factory=list)

    def last(self, name: str) -> Action | None:
        """Return the last action of a name."""
        return next((action for action in reversed(self.actions) if action.name == name), None)

    @property
    def id(self) -> int:
        """Its id, 0 without."""
        action = self.last("id")
        return cast(int, action.value) if action else 0

    @property
    def phase(self) -> int:
        """Its phase, 2 unless it says another."""
        action = self.last("phase")
        return cast(int, action.value) if action else 2

    @property
    def tags(self) -> list[str]:
        """Its tags."""
        return [cast(str, action.value) for action in self.actions if action.name == "tag"]

    @property
    def message(self) -> str:
        """Its message."""
        action = self.last("msg")
        return str(action.value) if action else ""

    @property
    def chained(self) -> bool:
        """Whether another rule has to follow."""
        return any(action.name == "chain" for action in self.actions)

    def check(self, *, starter: bool) -> None:
        """Raise RuleError if it says what it may not."""
        for name in _ONCE:
            found = [action for action in self.actions if action.name == name]
            if len(found) > 1:
                raise RuleError(found[1].where, f"{name} is said twice in one rule")
        if starter and not self.id:
            raise RuleError(self.where, "expected an id: every rule that is not chained to another must have one")
        if not starter:
            for action in self.actions:
                if action.name in _STARTER:
                    reason = f"{action.name} can be said only by the first rule of a chain"
                    raise RuleError(action.where, reason)

    def rule(self, phase: int | None = None) -> Rule:
        """Return the rule; ``phase`` is that of the chain's first rule."""
        default = self.default or Default()
        log, audit = _logged(self.actions, default.log, default.audit)
        texts = {name: self._text(name) for name in ("msg", "logdata")}
        phase = phase or self.phase
        return Rule(
            self.id,
            phase,
            self.where,
            self.variables,
            self.operator,
            _transformed(self.actions, default.transformations),
            self.last("multiMatch") is not None,
            self.last("capture") is not None,
            _disrupted(self.actions, default.disruption),
            tuple(
                action.value
                for action in self.actions
                if isinstance(action.value, SetVar | ExpireVar | InitCol | SetEnv | Ctl)
            ),
            self._number("skip") or 0,
            self._string("skipAfter") or None,
            log,
            audit,
            tuple(dict.fromkeys([*default.tags, *self.tags])),
            texts["msg"],
            texts["logdata"],
            self._number("severity"),
            self._string("ver"),
            self._string("rev"),
            self._number("maturity"),
            self._number("accuracy"),
            tuple(_sanitised(self.actions)),
            tuple(link.rule(phase) for link in self.links),
        )

    def _text(self, name: str) -> Text | None:
        action = self.last(name)
        return cast(Text, action.value) if action else None

    def _number(self, name: str) -> int | None:
        action = self.last(name)
        return cast(int, action.value) if action else None

    def _string(self, name: str) -> str:
        action = self.last(name)
        return cast(str, action.value) if action else ""


def default_of(actions: Iterable[Action], where: Where) -> tuple[int, Default]:
    """Return phase and default of a ``SecDefaultAction``.

    Raises:
        RuleError: it says what a default cannot be, or no phase.
    """
    draft = Draft(where, (), None, list(actions), None)
    for action in draft.actions:
        if action.name not in _STARTER - {"skip", "skipAfter"} and action.name not in (
            "auditlog",
            "log",
            "noauditlog",
            "nolog",
            "t",
            "tag",
        ):
            raise RuleError(action.where, f"{action.name} cannot be a default")
        if action.name == "block":
            raise RuleError(action.where, "block stands for the default: it cannot be the default")
    if draft.last("phase") is None:
        raise RuleError(where, "expected a phase")
    log, audit = _logged(draft.actions, True, True)
    disruption = _disrupted(draft.actions, Disruption())
    return draft.phase, Default(disruption, _transformed(draft.actions, ()), log, audit, tuple(draft.tags))


def _logged(actions: Iterable[Action], log: bool, audit: bool) -> tuple[bool, bool]:
    for action in actions:
        if action.name == "log":
            log = audit = True
        elif action.name == "nolog":
            log = audit = False
        elif action.name == "auditlog":
            audit = True
        elif action.name == "noauditlog":
            audit = False
    return log, audit


def _transformed(actions: Iterable[Action], before: tuple[str, ...]) -> tuple[str, ...]:
    steps = list(before)
    for action in actions:
        if action.name == "t":
            if action.value == "none":
                steps.clear()
            else:
                steps.append(cast(str, action.value))
    return tuple(steps)


def _disrupted(actions: Iterable[Action], default: Disruption) -> Disruption:
    found, status = default, default.status
    for action in actions:
        if action.name == "status":
            status = cast(int, action.value)
        elif action.name == "block":
            found = replace(default, block=True)
        elif action.name == "allow":
            found = Disruption("allow", scope=cast(Literal["all", "phase", "request"], action.value))
        elif action.name == "redirect":
            found = Disruption("redirect", url=cast(Text, action.value))
        elif action.name in DISRUPTIVE:
            found = Disruption(cast(Kind, action.name))
    return replace(found, status=status if found.kind in ("deny", "redirect") else None)


def _sanitised(actions: Iterable[Action]) -> Iterable[str]:
    for action in actions:
        if action.name == "sanitiseArg":
            yield f"ARGS:{action.value}"
        elif action.name == "sanitiseRequestHeader":
            yield f"REQUEST_HEADERS:{action.value}"
        elif action.name == "sanitiseResponseHeader":
            yield f"RESPONSE_HEADERS:{action.value}"
        elif action.name in ("sanitiseMatched", "sanitiseMatchedBytes"):
            yield "matched"
