"""How an operator's changes to servers come to all workers, and what they say came of it.

Those that drain are told too, as they still serve; those that have just started are told with their configuration.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from twisted.internet.defer import Deferred, DeferredList
from twisted.logger import Logger

from balancer.service.changes import Change, change_server, checked, restored
from balancer.service.workers.crew import Crew
from balancer.service.workers.holdings import Holdings
from balancer.service.workers.process import WorkerProcess
from balancer.service.workers.protocol import Restore, Tell
from balancer.service.workers.reports import ANSWERING

__all__ = ["changed_by_all", "restored_by_all"]

_log = Logger()


async def changed_by_all(holdings: Holdings, crew: Crew, pool: str, server: str, wanted: Any) -> dict[str, Any]:
    """Do to a server as an operator wants, see :func:`~balancer.service.changes.change_server`; ``workers`` is how many know, ``silent`` who may not."""
    now = change_server(holdings.in_force.snapshot, pool, server, Change.of(wanted))
    _log.info("{name} of pool {pool} is {state} now, weight {weight}", pool=pool, **now)
    workers = crew.reachable
    state = holdings.state_of(pool, server)
    told = await _all([worker.call(Tell, ANSWERING, state=state, splits=[]) for worker in workers])
    silent = [worker.name for worker, (well, _) in zip(workers, told, strict=True) if not well and _is_there(worker)]
    now["workers"] = sum(well for well, _ in told)
    if silent:
        now["silent"] = silent
    return now


async def restored_by_all(holdings: Holdings, crew: Crew, pool: str, server: str | None) -> dict[str, Any]:
    """End ejections and close breakers in all workers; return what that came to."""
    checked(holdings.in_force.snapshot, pool, server)
    workers = crew.reachable
    answers = await _all([worker.call(Restore, ANSWERING, pool=pool, server=server or "") for worker in workers])
    by, silent = {}, []
    for worker, (well, answer) in zip(workers, answers, strict=True):
        if well:
            by[worker.name] = answer["restored"]
        elif _is_there(worker):
            silent.append(worker.name)
    outcome = restored(pool, server, by, silent)
    _log.info("{message}", message=outcome["message"])
    return outcome


def _all(calls: Sequence[Deferred[Any]]) -> Deferred[list[tuple[bool, Any]]]:
    return DeferredList(calls, consumeErrors=True)


def _is_there(worker: WorkerProcess) -> bool:
    """Whether it has not ended meanwhile: then whoever replaces it is told anew."""
    return not worker.gone.called
