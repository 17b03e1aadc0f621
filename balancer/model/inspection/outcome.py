"""What came of one call of a check."""

from __future__ import annotations

from typing import Literal, NamedTuple

from balancer.model.verdict import Verdict

__all__ = ["NOTHING", "Outcome"]


class Outcome(NamedTuple):
    """``verdict``, None for nothing found; or ``failed`` and a few words why.

    ``beside``: the check is in detect for now, as its breaker is open: what it found changes nothing.
    """

    verdict: Verdict | None = None
    failed: Literal["", "error", "timeout"] = ""
    words: str = ""
    beside: bool = False


NOTHING = Outcome()
