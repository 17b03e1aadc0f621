"""``balancer replay``: requests of an access log, decided by two configurations."""

from __future__ import annotations

import gzip
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import click
from rich.console import Console
from rich.markup import escape

from balancer.cli.loading import FILE, complaints, offline
from balancer.cli.tables import terminal
from balancer.errors import BalancerError
from balancer.model.units import counted
from balancer.service.replaying import Change, Comparison, check_comparable

__all__ = ["replay"]


@click.command()
@click.option("--old", type=FILE, required=True, metavar="FILE", help="The configuration of today.")
@click.option("--new", type=FILE, required=True, metavar="FILE", help="The configuration to come.")
@click.argument("logs", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="LOG...")
@click.option("--listener", default=None, help="Decide all for this listener; by default each for the one it came to.")
@click.option("--list", "listed", is_flag=True, help="Name every request that is decided differently.")
@click.option("--most", type=click.IntRange(min=1), default=None, help="Stop after so many requests.")
@click.option("--exit-code", is_flag=True, help="End with 1 if a request is decided differently.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def replay(
    old: Path,
    new: Path,
    logs: tuple[Path, ...],
    listener: str | None,
    listed: bool,
    most: int | None,
    exit_code: bool,
    as_json: bool,
) -> None:
    """Decide every request of an access log by the old and by the new configuration, and sum up what differs.

    LOG is of the format json, clf or combined, '-' for standard input, or compressed with gzip. Nothing is sent.
    """
    console = terminal()
    with complaints():
        comparison = Comparison(offline(old), offline(new), listener)
        check_comparable(comparison.old, comparison.new)
        for change in _changes(comparison, logs, most):
            if listed and as_json:
                click.echo(json.dumps({"request": str(change.example), "differences": change.differences}))
            elif listed:
                console.print(escape(str(change.example)))
                for difference in change.differences:
                    console.print(f"    {escape(difference)}")
        if not comparison.compared:
            raise BalancerError(f"no requests in {', '.join(map(str, logs))} ({_left_out(comparison)})")
    if as_json:
        click.echo(json.dumps(_as_json(comparison), indent=None if listed else 2))
    else:
        _show(console, comparison)
    sys.exit(1 if exit_code and comparison.changed else 0)


def _changes(comparison: Comparison, logs: tuple[Path, ...], most: int | None) -> Iterator[Change]:
    for path in logs:
        with _opened(path) as lines:
            for line in lines:
                if most is not None and comparison.compared >= most:
                    return
                if line.strip() and (change := comparison.take(line)) is not None:
                    yield change


@contextmanager
def _opened(path: Path) -> Iterator[IO[str]]:
    try:
        if str(path) == "-":
            yield sys.stdin
            return
        with path.open("rb") as start:
            compressed = start.read(2) == b"\x1f\x8b"
        with gzip.open(path, "rt", errors="replace") if compressed else path.open(errors="replace") as lines:
            yield lines
    except (OSError, EOFError) as error:
        raise BalancerError(f"{path}: {getattr(error, 'strerror', None) or error}") from None


def _show(console: Console, comparison: Comparison) -> None:
    compared, changed = comparison.compared, comparison.changed
    for change, count in sorted(comparison.changes.values(), key=lambda found: -found[1]):
        console.print(f"[bold]{counted(count, 'request')}[/]  {escape(change.old.where)} → {escape(change.new.where)}")
        for difference in change.differences:
            console.print(f"    {escape(difference)}")
        console.print(f"    such as {escape(str(change.example))}")
    colour = "yellow" if changed else "green"
    console.print(f"{counted(compared, 'request')} decided, [{colour}]{changed} differently[/]")
    if left_out := _left_out(comparison):
        console.print(f"left out: {left_out}")
    if comparison.elsewhere:
        console.print(
            f"[yellow]{counted(comparison.elsewhere, 'request')} went another way than the old configuration sends what the log says of them[/]:"
            " it was another then, or they were told apart by what is not in the log"
        )


def _left_out(comparison: Comparison) -> str:
    found = []
    if comparison.sessions:
        found.append(f"{counted(comparison.sessions, 'session')} of TCP or UDP")
    if comparison.unreadable:
        found.append(f"{counted(comparison.unreadable, 'line')} that cannot be read")
    return ", ".join(found)


def _as_json(comparison: Comparison) -> dict[str, Any]:
    return {
        "compared": comparison.compared,
        "changed": comparison.changed,
        "sessions": comparison.sessions,
        "unreadable": comparison.unreadable,
        "elsewhere": comparison.elsewhere,
        "changes": [
            {
                "count": count,
                "old": change.old.where,
                "new": change.new.where,
                "differences": change.differences,
                "example": str(change.example),
            }
            for change, count in sorted(comparison.changes.values(), key=lambda found: -found[1])
        ],
    }
