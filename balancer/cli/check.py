"""``balancer check``: is this configuration usable, and (``--lint``) is it wise?"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import click

from balancer.cli.loading import FILE, complaints, offline, say_problems
from balancer.config.lint import lint
from balancer.model.units import counted
from balancer.service.certificate_lint import lint_certificates
from balancer.service.lint import lint_filters, lint_routes

__all__ = ["check"]


@click.command()
@click.argument("file", type=FILE)
@click.option("--lint", "linted", is_flag=True, help="Also name what is allowed but doubtful; exit 1 if there is any.")
def check(file: Path, linted: bool) -> None:
    """Check a configuration: every error with its file, line and column.

    Exit status 0 if the service would start with it, 1 if not.
    """
    with complaints():
        snapshot = offline(file)
        doubts = (
            [
                *lint(snapshot.config),
                *lint_routes(snapshot),
                *lint_filters(snapshot),
                *lint_certificates(snapshot, time.time()),
            ]
            if linted
            else []
        )
    if doubts:
        say_problems(sorted(doubts, key=lambda doubt: (doubt.line, doubt.column)), word="warning")
        sys.exit(1)
    config = snapshot.config
    routes = sum(len(listener.routes) for listener in config.listeners.values())
    parts = (("listener", len(config.listeners)), ("route", routes), ("pool", len(config.pools)))
    click.echo(f"{file}: ok, {', '.join(counted(count, noun) for noun, count in parts)}")
