"""What a WAF check declares of itself: when it is called, where it runs, what it needs, and what becomes of an exchange without it.

::

    request_head ──> request_body ──> [the server] ──> response_head ──> response_body ──> log
    nothing goes to the server before these two end         │  held only as far as a check buffers   │ nothing can change any more
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, get_args

__all__ = ["BUDGETS", "PHASES", "Buffer", "CheckTerms", "Fallback", "Lane", "Need", "Phase"]

Phase = Literal["request_head", "request_body", "response_head", "response_body", "log"]
PHASES: tuple[Phase, ...] = get_args(Phase)

Lane = Literal["inline", "thread", "remote"]
Fallback = Literal["allow", "block", "detect"]

BUDGETS: dict[Lane, float] = {"inline": 0.001, "thread": 0.05, "remote": 0.05}
"""Seconds that one call may take where a check declares nothing else."""


@dataclass(frozen=True, slots=True)
class Buffer:
    """The body is needed whole, up to ``limit`` bytes; of a longer one its first ``limit``.

    ``types`` are the content types it is needed for, without parameters, in lower case: ``application/json``, ``text/*``,
    ``*+json``; empty: all. A body of another type is not held, and the check is not called for it.
    """

    limit: int = 128 * 1024
    types: tuple[str, ...] = ()

    def wants(self, kind: str) -> bool:
        """Whether a body of the content type ``kind`` (lower case, no parameters, ``""`` if none) is needed."""
        return not self.types or any(_fits(pattern, kind) for pattern in self.types)


Need = Literal["none", "tap"] | Buffer
"""``none``; ``tap``: each piece is shown as it passes (:class:`~balancer.hooks.interfaces.ITap`), which delays nothing; or a Buffer."""


@dataclass(frozen=True, slots=True)
class CheckTerms:
    """What a check declares.

    Args:
        phases: when it is called; at least one.
        lane: ``inline``: on the reactor, promising to take less than 200 µs (from 1 ms on it has overrun); ``thread``: in a pool of threads that is the WAF's own;
            ``remote``: it returns a Deferred and waits for somebody else.
        request_body: its need of the request's body, which goes with the phase ``request_body``.
        response_body: likewise.
        budget: seconds that one call may take; None: :data:`BUDGETS` of its lane.
        on_error: what its failure means: ``allow``: it found nothing; ``block``: the exchange is refused;
            ``detect``: it found nothing, and the failure is written into the exchange's log.
        on_timeout: likewise, for a call that took too long, was not made as the time of the exchange was over, or found no thread.
        ids: the numbers of its rules, ``range(900_000, 1_000_000)``; None: its rules have names. Ranges of checks of one filter
            cannot overlap.

    Raises:
        ValueError: where these contradict one another.
    """

    phases: tuple[Phase, ...] = ("request_head",)
    lane: Lane = "inline"
    request_body: Need = "none"
    response_body: Need = "none"
    budget: float | None = None
    on_error: Fallback = "allow"
    on_timeout: Fallback = "allow"
    ids: range | None = None

    def __post_init__(self) -> None:
        if not self.phases or not all(phase in PHASES for phase in self.phases):
            raise ValueError(f"phases must be some of {', '.join(PHASES)}, not {self.phases!r}")
        _one_of("lane", self.lane, Lane)
        _one_of("on_error", self.on_error, Fallback)
        _one_of("on_timeout", self.on_timeout, Fallback)
        for phase in ("request_body", "response_body"):
            need: Any = getattr(self, phase)
            if need not in ("none", "tap") and not isinstance(need, Buffer):
                raise ValueError(f"{phase} must be 'none', 'tap' or a Buffer, not {need!r}")
            if (phase in self.phases) != (need != "none"):
                raise ValueError(f"the phase {phase} and a need of the body ({phase}=…) go together")
            if isinstance(need, Buffer) and need.limit < 1:
                raise ValueError(f"the limit of {phase} must be at least 1 byte, not {need.limit!r}")
            if need == "tap" and self.lane != "inline":
                raise ValueError(f"a check that taps is called on the reactor: its lane is inline, not {self.lane}")
        if self.budget is not None and not self.budget > 0:
            raise ValueError(f"budget must be some seconds, not {self.budget!r}")
        if self.ids is not None and not isinstance(self.ids, range):
            raise ValueError(f"ids must be a range of numbers or None, not {self.ids!r}")

    @property
    def seconds(self) -> float:
        """What one call may take."""
        return BUDGETS[self.lane] if self.budget is None else self.budget


def _one_of(what: str, value: Any, literal: Any) -> None:
    if value not in get_args(literal):
        raise ValueError(f"{what} must be one of {', '.join(get_args(literal))}, not {value!r}")


def _fits(pattern: str, kind: str) -> bool:
    if pattern.endswith("*"):
        return kind.startswith(pattern[:-1])
    return kind.endswith(pattern[1:]) if pattern.startswith("*") else kind == pattern
