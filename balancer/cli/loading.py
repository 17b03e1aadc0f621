"""What the commands share: loading a configuration with its plug-ins, and saying on the terminal what is wrong with it."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import click
from rich.console import Console
from rich.markup import escape

from balancer.errors import BalancerError, ConfigurationError, Problem
from balancer.model.units import counted
from balancer.service.build import built, loaded
from balancer.service.snapshot import Snapshot

__all__ = ["FILE", "complaints", "offline", "say_problems"]

FILE = click.Path(path_type=Path)
"""A configuration file; whether it can be read is for the reader to say."""


@contextmanager
def complaints() -> Iterator[None]:
    """Turn errors meant for the operator into text on standard error and exit status 1."""
    try:
        yield
    except ConfigurationError as error:
        say_problems(error.problems)
        sys.exit(1)
    except BalancerError as error:
        click.echo(f"balancer: {error}", err=True)
        sys.exit(1)


def say_problems(problems: Sequence[Problem], *, word: str = "error") -> None:
    """Print each problem on a line of its own, then how many there are."""
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    colour = "red" if word == "error" else "yellow"
    for problem in problems:
        place, _, rest = str(problem).partition(": ")
        console.print(f"[bold]{escape(place)}[/]: [{colour}]{escape(rest)}[/]")
    console.print(counted(len(problems), word))


def offline(path: Path) -> Snapshot:
    """Return the snapshot of ``path``, built but not running.

    Raises:
        BalancerError: with everything that is wrong.
    """
    return built(loaded(path))
