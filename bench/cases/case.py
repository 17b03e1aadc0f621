"""A case, and the running peer that it is given."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from bench.load import Load
from bench.peers import Peer, Place
from bench.usage import Usage, proportional_memory, used

__all__ = ["Case", "Figures", "Running"]

Figures = dict[str, float]
"""Names with their units, and values; ``failed`` counts what must not happen. Less is better in all that a table shows."""


@dataclass(frozen=True)
class Running:
    """A peer that answers on its ports, and how long and how fast it is to be loaded."""

    peer: Peer
    pid: int
    place: Place
    load: Load
    seconds: float
    rate: float
    startup: float

    def used(self) -> Usage:
        """Return the CPU time of the peer so far."""
        return used(self.pid)

    def memory(self) -> int:
        """Return the peer's memory in bytes, now."""
        return proportional_memory(self.pid)

    def warm(self, seconds: float = 0.5, *, paths: int = 0) -> None:
        """Load the peer for a moment before anything counts."""
        self.load.http(self.place.http, seconds, 64, paths=paths)


@dataclass(frozen=True)
class Case:
    """One thing to measure.

    ``shown`` are the figures for the table, the most telling first. ``needs`` is what a peer must be able to do, ``routes``
    how many routes it has. ``iperf``: TCP leads to iperf3 instead of the echo server. ``in_quick``: also without ``--full``.
    """

    name: str
    measure: Callable[[Running], Figures]
    shown: tuple[str, ...]
    needs: str = "http"
    routes: int = 0
    iperf: bool = False
    in_quick: bool = False
    patience: float = 20
