"""``balancer plugins``: which packages are installed, what they offer, and which could not be loaded."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click

from balancer.cli.loading import FILE, complaints
from balancer.cli.tables import packages_table, terminal
from balancer.hooks.registry import Registry
from balancer.service.build import loaded, registry_for

__all__ = ["plugins"]


@click.command()
@click.option("-c", "--config", type=FILE, default=None, help="Obey 'plugins:' of this configuration.")
@click.option("--builtin", is_flag=True, help="Show what comes with the balancer too.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def plugins(config: Path | None, builtin: bool, as_json: bool) -> None:
    """List plug-in packages: what each offers, or why it could not be loaded (exit status 1 then)."""
    with complaints():
        registry = loaded(config).registry if config is not None else registry_for()
    assert isinstance(registry, Registry)
    packages = [package for package in registry.report() if builtin or not package["builtin"]]
    if as_json:
        click.echo(json.dumps(packages, indent=2))
    elif not packages:
        click.echo("no plug-in packages are installed; 'pip install' one to have it loaded at the next start or reload")
    else:
        terminal().print(packages_table(packages))
    sys.exit(1 if any(package["error"] for package in packages) else 0)
