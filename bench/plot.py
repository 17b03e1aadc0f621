"""A picture of a run: the CPU time that each case costs, beside nginx's."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from bench.table import Row

__all__ = ["plot"]

_COSTS = ("µs/", "s/")
"""How the names of figures begin that are CPU time."""
_COLOURS = {
    "balancer uv": "#1f5fa8",
    "balancer epoll": "#7fb0e0",
    "nginx": "#2e8b57",
    "haproxy": "#c9a227",
    "envoy": "#b0413e",
    "caddy": "#7d5ba6",
}


def plot(found: Sequence[Row], peers: Sequence[str], *files: Path) -> None:
    """Draw what each case that nginx took part in costs in CPU time into ``files``; raises ImportError without matplotlib."""
    import matplotlib as mpl

    mpl.use("agg")
    mpl.rcParams["svg.fonttype"] = "none"
    mpl.rcParams["svg.hashsalt"] = "bench"
    from matplotlib import pyplot

    first = {row.case: row for row in reversed(found) if row.medians.get("nginx") and row.figure.startswith(_COSTS)}
    if not first:
        return
    shown = [first[case] for case in dict.fromkeys(row.case for row in found) if case in first]
    figure, axes = pyplot.subplots(figsize=(9, 1 + 0.9 * len(shown)), layout="constrained")
    height = 0.8 / max(1, len(peers))
    for number, peer in enumerate(peers):
        beside = [row.medians.get(peer, math.nan) / row.medians["nginx"] for row in shown]
        places = [place + number * height for place in range(len(shown))]
        axes.barh(places, beside, height, label=peer, color=_COLOURS.get(peer))
    axes.axvline(1, color="black", linewidth=0.8)
    axes.set_yticks(
        [place + 0.4 - height / 2 for place in range(len(shown))], [f"{row.case}\n{row.figure}" for row in shown]
    )
    axes.margins(y=0.01)
    axes.invert_yaxis()
    axes.set_xlabel("CPU time beside nginx in the same run: less is better")
    figure.legend(loc="outside upper center", ncols=len(peers), frameon=False)
    for file in files:
        figure.savefig(file, metadata={"Date": None} if file.suffix == ".svg" else None)
    pyplot.close(figure)
