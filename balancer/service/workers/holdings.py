"""What a master holds: the configuration of the moment, built, and everything that is open for it.

::

    prepare ──> Next ──> use          the next configuration is in force here, to be told to the workers
                  └────> abandon      everything is as it was
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from balancer.config.loading import Loaded
from balancer.config.schema import MOST_WORKERS, Config, cpus
from balancer.errors import BalancerError
from balancer.pools.guarded import GuardedPool
from balancer.service.build import built, loaded
from balancer.service.inheritance import Inheritance, Left
from balancer.service.runtime import Runtime, default_connections
from balancer.service.server_state import state_of
from balancer.service.side_ports import SidePorts
from balancer.service.snapshot import Snapshot
from balancer.service.workers.columns import Columns, limit_column, listener_column, server_column
from balancer.service.workers.listening_sockets import ListeningSockets
from balancer.service.workers.shared_counts import BUCKET, Geometry, SharedCounts, shared_memory
from balancer.tls.kept import Kept

__all__ = ["Holdings", "Next"]

_SPARE_ROWS = 8
_MOST_CLIENTS = 1 << 17
_COLUMNS = 4096


@dataclass(frozen=True, slots=True)
class Next:
    """A configuration, built here, for which everything is bound: ``sendable`` and ``columns`` are for workers."""

    config: Config
    snapshot: Snapshot
    sendable: dict[str, Any]
    columns: dict[str, int]

    def kept(self, *, awaited: bool) -> dict[str, Any]:
        """Return the certificates that are good now, for a worker that cannot read their files; see :class:`Kept`."""
        shelves = (*self.snapshot.shelves.values(), *self.snapshot.pool_shelves.values())
        return Kept.of(shelves, awaited=awaited).plain()


class Holdings:
    """Snapshot, sockets, side ports and shared counts.

    Args:
        runtime: the master's.
        side: the ports of metrics and admin API.
        inheritance: what a process before this one has left.
    """

    def __init__(self, runtime: Runtime, side: SidePorts, inheritance: Inheritance) -> None:
        self.sockets = ListeningSockets(runtime.reactor, inheritance)
        self.now: Next | None = None
        self._runtime = runtime
        self._side = side
        self._columns: Columns | None = None
        self._most_workers = 0
        self.memory = -1
        self.counts: SharedCounts

    def read(self, file: Path) -> tuple[Loaded, Snapshot]:
        """Read and build what is to be in force, in any thread.

        Raises:
            BalancerError: with everything that is wrong.
        """
        found = loaded(file)
        if found.config.workers == 1:
            raise BalancerError("'workers' can be changed to 1 by a restart or an upgrade only")
        return found, self._built(found)

    def _built(self, found: Loaded) -> Snapshot:
        snapshot = built(found, self._runtime)
        found.config.forget_places()
        return snapshot

    def prepare(self, found: Loaded, shares: int, snapshot: Snapshot | None = None) -> Next:
        """Bind what is new in ``found`` for so many workers; build it, unless that is done: ``snapshot``.

        Raises:
            BalancerError: with everything that is wrong; nothing has changed then.
        """
        snapshot = snapshot or self._built(found)
        if self._columns is None:
            self._count_for(found.config)
        if found.config.workers > self._most_workers:
            raise BalancerError(
                f"'workers' can grow to {self._most_workers} by a reload; for more, restart or upgrade the balancer"
            )
        assert self._columns is not None
        self.sockets.prepare(found.config, shares)
        try:
            for new, old in self.sockets.renamed.items():
                self._columns.rename(listener_column(old), listener_column(new))
            columns = self._columns.named(_counted(snapshot))
            self._side.prepare(found.config)
        except BaseException:
            self.abandon()
            raise
        document = found.document
        sendable = {"data": document.data, "file": document.file, "directory": document.directory}
        return Next(found.config, snapshot, sendable, columns)

    def _count_for(self, config: Config) -> None:
        """Make counts with room for twice as many clients as one worker may have connections, in two gates."""
        clients = min(config.limits.connections or default_connections(), _MOST_CLIENTS)
        self._most_workers = min(MOST_WORKERS, 2 * max(config.workers, cpus()) + _SPARE_ROWS)
        rows = 2 * self._most_workers  # those that drain still count
        geometry = Geometry(rows, _COLUMNS, 1 << max(7, (clients * 4 // BUCKET - 1).bit_length()))
        self.memory = shared_memory(geometry)
        self.counts = SharedCounts(self.memory, geometry, bytes.fromhex(self._runtime.secret))
        self._columns = Columns(geometry.columns, self.counts.total)

    def abandon(self) -> None:
        """Close what was bound for the next configuration."""
        assert self._columns is not None
        for new, old in self.sockets.renamed.items():
            self._columns.rename(listener_column(new), listener_column(old))
        self._columns.keep({} if self.now is None else self.now.columns)
        self.sockets.abandon()
        self._side.abandon()

    def use(self, wanted: Next) -> None:
        """Let ``wanted`` be in force; what goes on, goes on."""
        assert self._columns is not None
        pools = wanted.snapshot.pools
        old = {} if self.now is None else self.now.snapshot.pools
        for name, pool in pools.items():
            if name in old:
                pool.adopt(old[name])
        self.sockets.swap()
        self._side.swap(wanted.config)
        self._runtime.watch(wanted.snapshot)
        self._columns.keep(wanted.columns)
        self.now = wanted
        if old:
            self.start_pools()
        for pool in old.values():
            pool.close()

    def start_pools(self) -> None:
        """Begin to probe servers and to resolve names."""
        for pool in self.in_force.snapshot.pools.values():
            self._runtime.start(pool)

    @property
    def in_force(self) -> Next:
        """The configuration of the moment; raises BalancerError if there is none."""
        if self.now is None:
            raise BalancerError("the service is not running")
        return self.now

    def state(self) -> list[Any]:
        """Return how all servers are doing."""
        return [state for pool in self.in_force.snapshot.pools.values() for state in state_of(pool)]

    def told(self) -> dict[str, Any]:
        """Return what workers are told: how all servers are doing, and how requests are shared."""
        return {"state": self.state(), "splits": self._runtime.releases.state()}

    def state_of(self, pool: str, server: str) -> list[Any]:
        """Return how one server is doing."""
        found = None if self.now is None else self.now.snapshot.pools.get(pool)
        return [] if found is None else state_of(found, [each for each in found.servers if each.name == server])

    def left(self) -> list[Left]:
        """Return all sockets, for a process that takes over."""
        return [*self.sockets.left(), *self._side.left()]


def _counted(snapshot: Snapshot) -> list[str]:
    """Return the names of what has limits that hold for all workers."""
    config = snapshot.config
    names = [listener_column(name) for name in config.listeners]
    for name, pool in snapshot.pools.items():
        for settings, server in zip(config.pools[name].servers, pool.servers, strict=True):
            if settings.max_connections is not None:
                names.append(server_column(name, server))
        if isinstance(pool, GuardedPool):
            names += [limit_column(name, limit) for limit in pool.limits.all if limit.most is not None]
    return names
