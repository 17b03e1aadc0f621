"""``twistd balancer``: options, checked before anything opens, and the service they make."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from twisted.python import usage

from balancer.errors import BalancerError

if TYPE_CHECKING:
    from twisted.application.service import IService

__all__ = ["Options", "makeService"]


class Options(usage.Options):
    """The command line of ``twistd balancer``."""

    synopsis = "[options]"
    longdesc = "A layer-4 and layer-7 load balancer. 'balancer --help' shows the commands that go with it."
    optParameters = (("config", "c", None, "The configuration file."),)

    def postOptions(self) -> None:
        """Load and check the configuration while a terminal is still there to say what is wrong with it."""
        from balancer.net.choosing import install
        from balancer.net.memory import settle
        from balancer.service.build import loaded
        from balancer.service.inheritance import Inheritance, telling

        if self["config"] is None:
            raise usage.UsageError("--config FILE is needed")
        # twistd changes its directory when it becomes a daemon; a reload must find the file again.
        self["config"] = Path(self["config"]).absolute()
        self["inheritance"] = Inheritance.of_environment(os.environ)
        try:
            with telling(self["inheritance"]):
                self["loaded"] = loaded(self["config"])
                install()
        except BalancerError as error:
            print(error, file=sys.stderr)
            raise SystemExit(1) from None
        settle()


def makeService(options: Any) -> IService:
    """Return the service for ``options``; nothing is opened before it is started."""
    from twisted.internet import reactor

    from balancer.service.inheritance import telling
    from balancer.service.pid_file import PidFile
    from balancer.service.start import service_for

    inheritance, pid_file = options["inheritance"], PidFile(options.parent)
    service: Any = service_for(reactor, options["config"], options["loaded"], inheritance, pid_file)
    start = service.privilegedStartService

    def privileged_start() -> None:
        """End twistd with a message, not a traceback, where an address cannot be had."""
        try:
            with telling(inheritance):
                start()
        except BalancerError as error:
            print(f"balancer: {error}", file=sys.stderr)
            raise SystemExit(1) from None

    service.privilegedStartService = privileged_start
    return cast("IService", service)
