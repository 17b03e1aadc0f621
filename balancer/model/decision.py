"""Where an exchange or session goes, and why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

__all__ = ["Action", "Decision"]

Action = Literal["pool", "split", "redirect", "respond", "resource", "none"]


@dataclass(frozen=True, slots=True)
class Decision:
    """The outcome of routing.

    ``route`` is the route's name, ``""`` if none matched; ``action`` its kind (``"none"`` if none matched); ``pool``
    the pool's name where the action leads to one; ``captures`` the values of template variables and named regex groups;
    ``entry`` the compiled route itself, opaque at this level. A route whose decision depends on nothing but the
    match is decided with one prebuilt instance.
    """

    route: str
    action: Action
    pool: str | None = None
    captures: Mapping[str, str] = field(default_factory=dict)
    entry: Any = None
