"""How long the servers of a pool may take."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["PoolTimeouts"]


@dataclass(frozen=True, slots=True)
class PoolTimeouts:
    """How long servers may take, in seconds; 0 for ``request`` (the whole exchange) and ``per_try`` (one attempt): no limit."""

    connect: float = 3.0
    first_byte: float = 60.0
    idle: float = 60.0
    write: float = 30.0
    request: float = 0.0
    per_try: float = 0.0
