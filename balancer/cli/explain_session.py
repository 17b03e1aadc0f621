"""What ``balancer explain`` prints of a TCP session or UDP flow."""

from __future__ import annotations

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from balancer.service.explaining import Explanation
from balancer.service.explaining_sessions import SessionSample

__all__ = ["show_session"]


def show_session(console: Console, sample: SessionSample, found: Explanation) -> None:
    """Print where a session goes, and why not elsewhere."""
    asked = [f"server name {sample.sni or '(none)'}"] if sample.sni is not None else []
    asked += [f"protocols {', '.join(sample.alpn)}"] if sample.alpn else []
    with_what = f" with {' and '.join(asked)}" if asked else ""
    console.print(f"[bold]{escape(sample.url)}[/] from {escape(sample.client_ip)}{escape(with_what)}")
    console.print(f"listener  {escape(found.listener)}")
    if found.pool is None:
        console.print("route     [red]none matches[/]")
        console.print(f"closed    {escape(found.reason)}")
    else:
        console.print(f"route     [green]{escape(found.route)}[/]")
        console.print(f"pool      [green]{escape(found.pool)}[/]")
        for candidate in found.candidates:
            mark = "[green]→[/]" if candidate["server"] == found.server else " "
            console.print(f"  {mark} {escape(candidate['server'])}  {escape(candidate['because'])}")
        if found.server is None:
            console.print("    [red]no server can take it[/]")
    if found.rejected:
        table = Table("other routes", "why not", box=None, pad_edge=False, header_style="bold")
        for rejected in found.rejected:
            table.add_row(escape(rejected["route"]), escape(rejected["because"]))
        console.print(table)
