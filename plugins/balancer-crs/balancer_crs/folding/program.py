"""What is run: the rules of each phase, and the transaction variables each exchange begins with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from balancer_crs.lang.model import EngineSettings, Marker, Note, Rule

__all__ = ["PHASES", "Program"]

PHASES = (1, 2, 3, 4, 5)


@dataclass(frozen=True, slots=True)
class Program:
    """Rules, ready to be run.

    Attributes:
        phases: by number 1 to 5: rules and the markers that a rule of the phase may skip to, in order.
        initial: members of ``TX`` that each exchange begins with, names in small letters.
        settings: of the engine.
        notes: to tell at load.
        decided: ids of the rules that are left out or have become constant assignments, with the reason.
    """

    phases: Mapping[int, tuple[Rule | Marker, ...]]
    initial: Mapping[str, str]
    settings: EngineSettings
    notes: tuple[Note, ...] = ()
    decided: tuple[tuple[int, str], ...] = ()

    @property
    def count(self) -> int:
        """How many rules are left, a chain counted as one."""
        return sum(isinstance(item, Rule) for items in self.phases.values() for item in items)

    def __repr__(self) -> str:
        return f"<Program of {self.count} rules, {len(self.decided)} decided, {len(self.initial)} variables set>"
