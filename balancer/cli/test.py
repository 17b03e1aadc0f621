"""``balancer test``: the routing tests of a configuration, with route coverage."""

from __future__ import annotations

import sys
from pathlib import Path

import click
from rich.console import Console
from rich.markup import escape

from balancer.cli.loading import FILE, complaints, offline
from balancer.errors import BalancerError
from balancer.service.routing_tests import run_tests

__all__ = ["test"]


@click.command()
@click.argument("file", type=FILE)
@click.option("--fail-under", type=click.FloatRange(0, 100), default=0, help="Least route coverage in percent.")
@click.option("-v", "--verbose", is_flag=True, help="Name every test, not only those that fail.")
def test(file: Path, fail_under: float, verbose: bool) -> None:
    """Run the routing tests under 'tests:' and say which routes they cover.

    Nothing is sent; each request is decided by the same code as live. Exit status 1 if a test fails or the coverage is
    under --fail-under.
    """
    console = Console(highlight=False, soft_wrap=True)
    with complaints():
        snapshot = offline(file)
        if not snapshot.config.tests:
            raise BalancerError(f"{file} has no routing tests; add some under 'tests:'")
        report = run_tests(snapshot)
    for result in report.results:
        if result.differences:
            console.print(f"[red]FAIL[/] {escape(result.name)}")
            for difference in result.differences:
                console.print(f"     {escape(difference)}")
        elif verbose:
            console.print(f"[green]ok[/]   {escape(result.name)}")
    failed = sum(1 for result in report.results if result.differences)
    console.print(f"{len(report.results) - failed} passed, {failed} failed")
    console.print(f"routes covered: {len(report.covered)} of {len(report.routes)} ({report.coverage:.0f} %)")
    for route in report.uncovered:
        console.print(f"  not covered: {escape(route)}")
    sys.exit(1 if failed or report.coverage < fail_under else 0)
