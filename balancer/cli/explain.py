"""``balancer explain``: where would this request, or session, go, and why?"""

from __future__ import annotations

from pathlib import Path

import click

from balancer.cli.asking import Asked, asking, show
from balancer.cli.loading import FILE, complaints, offline
from balancer.service.questions import answer

__all__ = ["explain"]


@click.command()
@click.argument("file", type=FILE)
@asking
def explain(file: Path, asked: Asked) -> None:
    """Say where a request would go: the route that wins and why the others do not, what filters do, which server.

    With tcp://HOST:PORT or udp://HOST:PORT, where a session of such a listener would; tls://NAME:PORT is one of a TLS client that asks for
    NAME.

    Nothing is sent. The same code decides live, so the answer is the one the service would give (but for what only the
    running service knows: which servers are healthy; that, 'balancer ctl explain' asks it).
    """
    with complaints():
        found = answer(offline(file), asked.question)
    show(asked, found)
