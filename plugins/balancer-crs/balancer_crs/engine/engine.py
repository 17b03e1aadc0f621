"""The rules, ready: one engine for a configuration, one transaction for each exchange."""

from __future__ import annotations

import time
from collections.abc import Callable

from balancer_crs.engine.memory import Memory
from balancer_crs.engine.messages import Request
from balancer_crs.engine.plan import Plan
from balancer_crs.engine.scanner import Memo
from balancer_crs.engine.transaction import Transaction
from balancer_crs.folding.program import Program
from balancer_crs.lang.model import Note


class Engine:
    """Rules, ready to run. It may be shared by threads; a transaction may not.

    Args:
        program: the rules, folded or not (:func:`balancer_crs.folding.fold`).
        mode: ``On``, ``Off`` or ``DetectionOnly``; as the rules say if None.
        prefilter: whether values are looked at in bulk first.
        memo: whether what was found is remembered between exchanges. Neither changes what is found.
        clock: seconds since the epoch.

    Raises:
        ValueError: a rule cannot be made ready; the text names the place.
    """

    def __init__(
        self,
        program: Program,
        *,
        mode: str | None = None,
        prefilter: bool = True,
        memo: bool = True,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.settings = program.settings
        self.plan = Plan(program, prefilter=prefilter)
        self.mode: str = mode or program.settings.rule_engine
        self.memo = Memo() if memo else None
        self.memory = Memory(clock, program.settings.collection_timeout)
        self.clock = clock

    @property
    def notes(self) -> tuple[Note, ...]:
        """What to tell at load."""
        return tuple(self.plan.notes)

    @property
    def disabled(self) -> frozenset[int]:
        """Ids of the rules that cannot run here."""
        return frozenset(self.plan.disabled)

    def transaction(self, request: Request) -> Transaction:
        """Begin an exchange."""
        return Transaction(self, request)

    def __repr__(self) -> str:
        return f"<Engine {self.mode} {self.plan!r}>"
