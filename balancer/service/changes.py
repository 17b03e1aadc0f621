"""What an operator changes of servers while they are in use: weight, drain, disable; and how the way back is found sooner.

::

              new clients   those who stick   idle connections   probes
    drain     elsewhere     stay              kept               go on
    disable   elsewhere     elsewhere         closed             go on
    weight 0  elsewhere     stay              kept               go on

What is in flight goes on in each case. One process decides, the master or the only one, and tells the others; see
:mod:`.server_state` for what they are told.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from balancer.errors import BalancerError
from balancer.model.suggestions import nearest
from balancer.model.units import counted
from balancer.pools import findings
from balancer.pools.pool import Pool
from balancer.pools.server import Server
from balancer.service.snapshot import Snapshot

__all__ = ["Change", "change_server", "checked", "restore", "restored"]

_MOST_NAMES = 20
_MOST_WEIGHT = 65535
_EXPECTED = "expected {'weight': N}, {'drain': true or false} or {'disable': true or false}"


@dataclass(frozen=True, slots=True)
class Change:
    """What is wanted of a server; None: as it is. ``force``: also if no server is left then."""

    weight: int | None = None
    drain: bool | None = None
    disable: bool | None = None
    force: bool = False

    @classmethod
    def of(cls, wanted: Any) -> Change:
        """Return what ``wanted``, plain values from outside, says; raises BalancerError."""
        if not isinstance(wanted, dict) or wanted.keys() - {"weight", "drain", "disable", "force"}:
            raise BalancerError(_EXPECTED)
        change = cls(**wanted)
        weight = change.weight
        if weight is not None and (
            isinstance(weight, bool) or not isinstance(weight, int) or not 0 <= weight <= _MOST_WEIGHT
        ):
            raise BalancerError(f"expected a weight from 0 to {_MOST_WEIGHT}")
        for name in ("drain", "disable", "force"):
            if name in wanted and not isinstance(wanted[name], bool):
                raise BalancerError(f"expected {name!r} to be true or false")
        if (change.weight, change.drain, change.disable) == (None, None, None):
            raise BalancerError(_EXPECTED)
        return change


def change_server(snapshot: Snapshot | None, pool: str, server: str, change: Change) -> dict[str, Any]:
    """Do to a server as an operator wants; return what it is now, with a ``warning`` where no server is left.

    Raises:
        BalancerError: if there is no such pool or server; if it is to be disabled, and is the last that can be used.
    """
    found, each = _found(snapshot, pool, server)
    if change.disable and not change.force and _usable(found) == [each]:
        raise BalancerError(
            f"{server!r} is the last server of pool {pool!r} that can be used; to disable it all the same, use --force"
            ' ("force": true)'
        )
    before = _usable(found)
    if change.weight is not None:
        found.set_weight(each, change.weight)
    if change.drain is not None:
        (each.drain if change.drain else each.undrain)()
    if change.disable is not None:
        (each.disable if change.disable else each.enable)()
    now = {"name": each.name, "state": each.state, "draining": each.draining, "disabled": each.disabled}
    now["weight"] = each.full_weight
    if before and not _usable(found):
        now["warning"] = f"no server of pool {pool!r} takes new clients now"
    return now


def _usable(pool: Pool) -> list[Server]:
    """Return those that are well and wanted, backups included."""
    return [server for server in pool.servers if server.state == "up" and server.full_weight > 0]


def checked(snapshot: Snapshot | None, pool: str, server: str | None) -> None:
    """See that there is a pool, and (unless None) a server, of that name.

    Raises:
        BalancerError: if there is none; it names those that there are.
    """
    if server is None:
        _pool(snapshot, pool)
    else:
        _found(snapshot, pool, server)


def _pool(snapshot: Snapshot | None, pool: str) -> Pool:
    pools: Mapping[str, Pool] = snapshot.pools if snapshot is not None else {}
    found = pools.get(pool)
    if found is None:
        raise BalancerError(f"there is no pool {pool!r}{_those_there_are(pool, 'pools', pools)}")
    return found


def _found(snapshot: Snapshot | None, pool: str, server: str) -> tuple[Pool, Server]:
    found = _pool(snapshot, pool)
    for each in found.servers:
        if each.name == server:
            return found, each
    names = [each.name for each in found.servers]
    raise BalancerError(f"pool {pool!r} has no server {server!r}{_those_there_are(server, 'servers', names)}")


def _those_there_are(name: str, what: str, names: Iterable[str]) -> str:
    """Return ``; did you mean 'web'? pools: api, web``, of very many only the first."""
    there = list(names)
    near = nearest(name, there)
    meant = f"; did you mean {near!r}?" if near is not None else ";"
    more = f" and {len(there) - _MOST_NAMES} more" if len(there) > _MOST_NAMES else ""
    return f"{meant} {what}: {', '.join(there[:_MOST_NAMES]) or 'none'}{more}"


def restore(snapshot: Snapshot | None, pool: str, server: str | None) -> list[list[str]]:
    """End ejections and close breakers as :func:`balancer.pools.findings.restore`, by name; what is not there has none."""
    found = snapshot.pools.get(pool) if snapshot is not None else None
    if found is None:
        return []
    if server is None:
        return findings.restore(found)
    return [what for each in found.servers if each.name == server for what in findings.restore(found, each)]


def restored(pool: str, server: str | None, by: Mapping[str, list[list[str]]], silent: Iterable[str]) -> dict[str, Any]:
    """Return what the restoring of a server, or (None) of a whole pool, came to, as plain values with a ``message``.

    Args:
        pool: its name.
        server: its name.
        by: what was restored in each process, by its name, as of :func:`restore`.
        silent: the processes that did not answer.
    """
    unknown = list(silent)
    done = [{"worker": worker, "server": name, "what": what} for worker, each in by.items() for name, what in each]
    ejections = sum(each["what"] == "ejection" for each in done)
    words = []
    if ejections:
        words.append(f"{counted(ejections, 'ejection')} ended")
    if len(done) > ejections:
        words.append(f"{counted(len(done) - ejections, 'breaker')} closed")
    asked = len(by) + len(unknown)
    where = ""
    if asked > 1:
        where = f" in {len({each['worker'] for each in done})} of {asked} workers" if done else f" in {asked} workers"
    message = f"{pool if server is None else f'{pool}: {server}'}: {' and '.join(words) or 'nothing to restore'}{where}"
    found: dict[str, Any] = {"pool": pool, "server": server, "workers": len(by), "restored": done, "message": message}
    if unknown:
        found["silent"] = unknown
    return found
