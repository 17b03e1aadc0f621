"""The command ``balancer-crs``: fetch a release of the rules, and see whether rules can be used."""

from __future__ import annotations

from pathlib import Path

import click

from balancer_crs.archives import ArchiveError, fetch, unpack, verified
from balancer_crs.loading import load
from balancer_crs.settings import CRSSettings

__all__ = ["main"]


@click.group()
@click.version_option(package_name="balancer-crs")
def main() -> None:
    """Rules for balancer's check crs."""


@main.command()
@click.argument("source", metavar="URL|FILE")
@click.option("--sha256", required=True, metavar="HEX", help="The archive's checksum, as its publisher tells it.")
@click.option(
    "--to", "target", default="crs", show_default=True, type=click.Path(path_type=Path), help="New directory."
)
def get(source: str, sha256: str, target: Path) -> None:
    """Unpack a release of the Core Rule Set (.tar.gz or .zip), if its checksum is the one given.

    The directory is made at once or not at all, and must not be there yet: keep old releases beside new ones.
    """
    try:
        unpack(verified(fetch(source), sha256), target)
    except ArchiveError as error:
        raise click.ClickException(str(error)) from None
    click.echo(f"unpacked into {target}; in the configuration: crs: {{rules: {target}}}")


@main.command()
@click.argument("rules", required=False, metavar="[RULES]")
@click.option("--paranoia", type=click.IntRange(1, 4), help="Level to count for.")
def check(rules: str | None, paranoia: int | None) -> None:
    """Read rules (a directory, an archive, a rule file; else Debian's) and say what would be run."""
    try:
        program = load(CRSSettings(rules=rules, paranoia=paranoia))
    except ValueError as error:
        raise click.ClickException(str(error)) from None
    for note in program.notes:
        click.echo(str(note), err=True)
    for number, items in program.phases.items():
        click.echo(f"phase {number}: {sum(hasattr(item, 'phase') for item in items)} rules")
    click.echo(f"{len(program.decided)} rules are decided by the configuration alone")
