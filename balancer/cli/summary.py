"""The start-up summary: what listens where, which pools stand behind it, and what to look at."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from balancer import __version__
from balancer.cli.tables import spoken
from balancer.compiled import how_it_runs
from balancer.service.start import AnyService

__all__ = ["summary"]


def summary(service: AnyService, pid: int, reactor: str) -> RenderableType:
    """Return what ``balancer run`` prints once every listener is open."""
    status = service.outline()
    parts: list[RenderableType] = [
        Text.from_markup(
            f"[bold]balancer {__version__}[/], pid {pid}, {escape(status['file'])}, reactor {escape(reactor)}, {how_it_runs()}"
        )
    ]
    if "workers" in status:
        parts.append(Text(f"workers   {status['worker_count']}"))
    listeners = Table("listener", "protocol", "addresses", "routes", box=None, padding=(0, 2, 0, 0), header_style="dim")
    for listener in status["listeners"]:
        listeners.add_row(
            escape(listener["name"]),
            spoken(listener),
            escape(", ".join(listener["addresses"])),
            str(listener["routes"]),
        )
    parts.append(listeners)
    if status["pools"]:
        pools = Table("pool", "algorithm", "servers", "health", box=None, padding=(0, 2, 0, 0), header_style="dim")
        for pool in status["pools"]:
            names = [server["name"] for server in pool["servers"]]
            shown = ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")
            pools.add_row(escape(pool["name"]), escape(pool["algorithm"]), escape(shown), escape(pool["health"]))
        parts.append(pools)
    for name in ("metrics", "admin"):
        if status[name]:
            parts.append(Text(f"{name}   {', '.join(status[name])}"))
    packages = [package["name"] for package in status["packages"]]
    if packages:
        parts.append(Text(f"plug-ins  {', '.join(packages)}"))
    return Group(*parts)
