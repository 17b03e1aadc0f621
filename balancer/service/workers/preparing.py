"""Having a worker build a configuration: from the files of certificates as they are, else with those that the master has.

What the master holds is sent only where it is wanted: certificates that it has had issued itself always, the others to a worker
that cannot read them. A thousand certificates are five megabytes.
"""

from __future__ import annotations

from typing import Any

from balancer.errors import BalancerError
from balancer.service.workers.holdings import Next
from balancer.service.workers.process import WorkerProcess
from balancer.service.workers.protocol import Prepare

__all__ = ["BUILDING", "prepare"]

BUILDING = 60.0
"""Seconds that a worker may take to build a configuration."""


async def prepare(worker: WorkerProcess, wanted: Next, sockets: list[dict[str, Any]]) -> None:
    """Have ``worker`` build ``wanted``, for which it is handed ``sockets``.

    Raises:
        BalancerError: if it cannot, with the master's certificates neither.
    """
    arguments = {"found": wanted.sendable, "columns": wanted.columns, "sockets": sockets}
    try:
        await worker.call(Prepare, BUILDING, kept=wanted.kept(awaited=True), **arguments)
    except BalancerError:
        await worker.call(Prepare, BUILDING, kept=wanted.kept(awaited=False), **arguments)
