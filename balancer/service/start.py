"""Which service a configuration wants: one process that does everything, or a master with workers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from balancer.config.loading import Loaded
from balancer.service.service import BalancerService
from balancer.service.workers.master import Master

__all__ = ["AnyService", "service_for"]

AnyService = BalancerService | Master


def service_for(reactor: Any, file: Path, found: Loaded) -> AnyService:
    """Return the service of the configuration ``found``, read from ``file``."""
    return (BalancerService if found.config.workers == 1 else Master)(reactor, file, found)
