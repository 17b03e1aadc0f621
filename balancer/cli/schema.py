"""``balancer schema``: the configuration's JSON Schema, the installed plug-ins' settings included."""

from __future__ import annotations

import json

import click

from balancer.cli.loading import complaints
from balancer.config.json_schema import json_schema
from balancer.service.build import registry_for

__all__ = ["schema"]


@click.command()
def schema() -> None:
    """Print the JSON Schema of the configuration, for editors and other tools.

    The settings of every plug-in that is installed are part of it.
    """
    with complaints():
        click.echo(json.dumps(json_schema(registry_for()), indent=2))
