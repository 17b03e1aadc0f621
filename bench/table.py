"""One table of a run: a row for each figure that counts, a column for each peer, and how ours compares with theirs."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path

from bench.cases import CASES, Figures

__all__ = ["BESIDE", "Row", "failures", "rows", "text", "write"]

Results = Mapping[str, Mapping[str, Sequence[Figures]]]
"""The figures of each round, by case and peer."""

BESIDE = ("nginx", "envoy", "caddy")
"""The peers that ours is divided by."""
_BEGIN, _END = "<!-- the table of a run: begin -->", "<!-- the table of a run: end -->"


class Row:
    """One figure of one case: the median of the rounds for each peer.

    ``ratios`` has what the first of our own columns is, divided by each of :data:`BESIDE`.
    """

    def __init__(self, case: str, figure: str, medians: Mapping[str, float]) -> None:
        self.case = case
        self.figure = figure
        self.medians = medians
        ours = next((value for peer, value in medians.items() if peer.startswith("balancer")), math.nan)
        self.ratios = {peer: _divided(ours, medians.get(peer, math.nan)) for peer in BESIDE}

    def cells(self, peers: Sequence[str]) -> list[str]:
        """Return the row as text: case, figure, peers, ratios."""
        values = [_number(self.medians.get(peer, math.nan)) for peer in peers]
        ratios = ["-" if math.isnan(value) else f"{value:.2f}" for value in self.ratios.values()]
        return [self.case, self.figure, *values, *ratios]


def _divided(ours: float, theirs: float) -> float:
    return ours / theirs if theirs > 0 else math.nan


def _number(value: float) -> str:
    if math.isnan(value):
        return "-"
    if value == 0 or abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}" if value >= 0.1 else f"{value:.3f}"


def peers_of(results: Results) -> list[str]:
    """Return who was measured at all, in the order of their turns."""
    found: dict[str, None] = {}
    for peers in results.values():
        found.update(dict.fromkeys(peers))
    return list(found)


def rows(results: Results) -> list[Row]:
    """Return the rows of the table."""
    found = []
    for case in CASES:
        peers = results.get(case.name, {})
        if peers:
            for figure in case.shown:
                found.append(Row(case.name, figure, {peer: _median(each, figure) for peer, each in peers.items()}))
    return found


def _median(rounds: Sequence[Figures], figure: str) -> float:
    values = [each[figure] for each in rounds if figure in each and not math.isnan(each[figure])]
    return statistics.median(values) if values else math.nan


def failures(results: Results) -> list[str]:
    """Return what failed that must not: a reload that costs another peer's client a request is that peer's affair."""
    found = []
    for case, peers in results.items():
        for peer, rounds in peers.items():
            count = sum(each.get("failed", 0) for each in rounds)
            if count and (peer.startswith("balancer") or "reloads" not in case):
                found.append(f"{peer}, {case}: {count:.0f} failed")
    return found


def _headings(results: Results) -> tuple[list[str], list[str]]:
    peers = peers_of(results)
    ours = next((peer for peer in peers if peer.startswith("balancer")), "ours")
    return peers, ["case", "figure", *peers, *(f"{ours.split()[-1]} × {peer}" for peer in BESIDE)]


def text(results: Results) -> str:
    """Return the table for a terminal."""
    peers, headings = _headings(results)
    lines = [headings, *(row.cells(peers) for row in rows(results))]
    widths = [max(len(line[column]) for line in lines) for column in range(len(headings))]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if column < 2 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        )
        for line in lines
    )


def markdown(results: Results) -> str:
    """Return the table for a page."""
    peers, headings = _headings(results)
    lines = [headings, ["---", "---", *(["--:"] * (len(headings) - 2))], *(row.cells(peers) for row in rows(results))]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def write(page: Path, results: Results, about: str) -> None:
    """Put the table, with a sentence ``about`` it, between the marks in ``page``.

    Raises:
        ValueError: if the page has no such marks.
    """
    before, begin, rest = page.read_text().partition(_BEGIN)
    _, end, after = rest.partition(_END)
    if not (begin and end):
        raise ValueError(f"{page} has no place for the table: {_BEGIN} … {_END}")
    page.write_text(f"{before}{begin}\n\n{about}\n\n{markdown(results)}\n\n{end}{after}")
