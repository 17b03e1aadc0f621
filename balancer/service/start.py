"""Which service a configuration wants: one process that does everything, or a master with workers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from balancer.config.loading import Loaded
from balancer.service.inheritance import Inheritance
from balancer.service.pid_file import PidFile
from balancer.service.service import BalancerService
from balancer.service.succession import Succession
from balancer.service.workers.master import Master

__all__ = ["AnyService", "service_for"]

AnyService = BalancerService | Master


def service_for(
    reactor: Any,
    file: Path,
    found: Loaded,
    inheritance: Inheritance | None = None,
    pid_file: PidFile | None = None,
) -> AnyService:
    """Return the service of the configuration ``found``, read from ``file``.

    ``inheritance`` is what a process before this one has left, ``pid_file`` twistd's.
    """
    succession = Succession(reactor, inheritance, pid_file)
    return (BalancerService if found.config.workers == 1 else Master)(reactor, file, found, succession)
