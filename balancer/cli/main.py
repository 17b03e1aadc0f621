"""``balancer``: the console script. Each command is a module of this package; this one only gathers them."""

from __future__ import annotations

import click

from balancer import __version__
from balancer.cli import check, ctl, debug_token, demo, explain, plugins, replay, run, schema, test

__all__ = ["main"]


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="balancer")
def main() -> None:
    """A layer-4 and layer-7 load balancer that can be asked why, tested, and extended with pip install.

    As a service it runs under twistd: twistd balancer --config FILE
    """


for _command in (
    run.run,
    check.check,
    explain.explain,
    test.test,
    replay.replay,
    schema.schema,
    plugins.plugins,
    demo.demo,
    debug_token.debug_token,
    ctl.ctl,
):
    main.add_command(_command)
