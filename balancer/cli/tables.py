"""Tables that more than one command prints."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from rich.markup import escape
from rich.table import Table

__all__ = ["packages_table"]


def packages_table(packages: Iterable[dict[str, Any]]) -> Table:
    """Return a table of plug-in packages, as :meth:`~balancer.hooks.registry.Registry.report` has them."""
    table = Table("package", "version", "offers", box=None, padding=(0, 2, 0, 0), header_style="dim")
    for package in packages:
        offers = "; ".join(f"{kind}: {', '.join(names)}" for kind, names in package["offers"].items())
        error = package["error"]
        state = f"[red]not loaded: {escape(error)}[/]" if error else escape(offers)
        table.add_row(escape(package["name"]), escape(package["version"]), state)
    return table
