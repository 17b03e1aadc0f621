"""``balancer run``: the service in the foreground, with a summary of what it does."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from balancer.cli.loading import FILE, complaints
from balancer.cli.tables import terminal
from balancer.net.choosing import NAMES, install, name_of

__all__ = ["run", "serve"]


@click.command()
@click.argument("file", type=FILE)
@click.option("-q", "--quiet", is_flag=True, help="No summary at the start.")
@click.option(
    "--reactor",
    type=click.Choice(NAMES),
    help="The event loop: libuv's transports, or Twisted's epoll in batches. BALANCER_REACTOR names it too.",
)
def run(file: Path, quiet: bool, reactor: str | None) -> None:
    """Run the service in the foreground until Ctrl-C.

    SIGHUP reloads the configuration, SIGUSR1 reopens the access log; SIGTERM and Ctrl-C stop gracefully, a second
    Ctrl-C at once.
    """
    console = None if quiet else terminal(stderr=True)
    sys.exit(serve(file, console, reactor))


def serve(
    file: Path,
    console: Console | None,
    reactor_name: str | None = None,
    leaving: Callable[[], Any] = lambda: None,
) -> int:
    """Run the service of ``file`` until it is told to stop; return the exit status.

    ``leaving`` is called before the process ends without returning from here.
    """
    from balancer.service.build import loaded
    from balancer.service.inheritance import Inheritance, telling

    inheritance = Inheritance.of_environment(os.environ)
    with complaints(), telling(inheritance):
        found = loaded(file)

    from balancer.net.memory import settle

    with complaints():
        install(reactor_name)

    from twisted.internet import reactor
    from twisted.logger import globalLogBeginner

    from balancer.cli.foreground import log_to_stderr, stop_twice
    from balancer.cli.summary import summary
    from balancer.service.start import service_for

    globalLogBeginner.beginLoggingTo([log_to_stderr()], redirectStandardIO=False)
    service = service_for(reactor, file.absolute(), found, inheritance)
    with complaints(), telling(inheritance):
        service.privilegedStartService()
    service.startService()
    settle()
    if console is not None:
        console.print(summary(service, os.getpid(), name_of(reactor)))
    stop_twice(reactor, leaving)
    reactor.addSystemEventTrigger("before", "shutdown", service.stopService)
    reactor.run()
    return 0
