"""``balancer debug-token``: a header with which a request asks what was decided about it."""

from __future__ import annotations

import time
from pathlib import Path

import click

from balancer.cli.loading import FILE, complaints
from balancer.errors import BalancerError
from balancer.filters.trace import signed
from balancer.model.units import parse_duration
from balancer.service.build import loaded

__all__ = ["debug_token"]


@click.command("debug-token")
@click.argument("file", type=FILE)
@click.argument("host")
@click.option("--for", "span", default="10m", show_default=True, metavar="DURATION", help="How long it is good.")
def debug_token(file: Path, host: str, span: str) -> None:
    """Print a header that asks for the trace of a request for HOST, signed by the key under 'debug:'.

    curl -H "$(balancer debug-token balancer.yaml shop.example)" -i https://shop.example/
    """
    with complaints():
        debug = loaded(file).config.debug
        if debug is None:
            raise BalancerError(f"{file} has no 'debug:' with a key")
        try:
            seconds = parse_duration(span)
        except ValueError as error:
            raise click.BadParameter(str(error), param_hint="--for") from None
        click.echo(f"{debug.header}: {signed(debug.key, int(time.time() + seconds), host.lower())}")
