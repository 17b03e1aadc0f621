"""Splits while they are in use: weights that an operator, or a canary, changes in all processes until the file's own change.

One process decides, the master or the only one; workers are told (:func:`take_splits`). What is kept is kept by the names of listener and
route. It survives a reload as long as the route splits between the same pools by the same weights in the file, and has the same canary, and an upgrade; a
restart begins with the file.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from math import isfinite
from typing import Any

from prometheus_client.metrics_core import Metric
from twisted.internet.defer import Deferred
from twisted.logger import Logger

from balancer.errors import BalancerError
from balancer.listeners.http.site import Site
from balancer.model.suggestions import did_you_mean
from balancer.observe.metrics import gauge
from balancer.routing.canary import NOTHING, STATES, Canary
from balancer.routing.split import Split
from balancer.service.audit import Audit
from balancer.service.canary_watch import CanaryWatch
from balancer.service.snapshot import Snapshot
from balancer.service.tallies import tallies

__all__ = ["BY_HAND", "Releases", "Releasing", "splits_of", "take_splits"]

BY_HAND = "set by an operator"
"""The note of weights that are not the file's."""

Place = tuple[str, str]
"""Listener and route."""

_log = Logger()


def splits_of(snapshot: Snapshot) -> Iterator[tuple[Place, Split]]:
    """Yield every split with its place."""
    for name, site in snapshot.listeners.items():
        if isinstance(site, Site):
            for route in site.table.routes:
                if route.split is not None:
                    yield (name, route.name), route.split


def take_splits(snapshot: Snapshot, state: Iterable[list[Any]]) -> None:
    """Share as :meth:`Releases.state` of another process says; what is not there is passed over."""
    splits = dict(splits_of(snapshot))
    for listener, route, weights, note in state:
        split = splits.get((listener, route))
        if split is None or (split.weights == weights and split.note == note):
            continue
        if split.weights.keys() == weights.keys():
            split.use(weights, note)


class _Live:
    """One split: the file's weights, those in force, and why they are others."""

    def __init__(
        self, configured: dict[str, float], weights: dict[str, float], note: str = "", canary: Canary | None = None
    ) -> None:
        self.configured = configured
        self.weights = weights
        self.note = note
        self.canary = canary
        self.left: dict[str, Any] | None = None
        """Where the canary of the process before stood, until there is one here."""

    def is_for(self, split: Split) -> bool:
        """Whether ``split``, of another configuration, goes on with this."""
        if self.configured != split.configured:
            return False
        if self.left is not None:
            return bool(self.left["plan"] == repr(split.plan))
        return (None if self.canary is None else self.canary.plan) == split.plan


class Releases:
    """The splits of the snapshot in force.

    Args:
        clock: the reactor.
    """

    def __init__(self, clock: Any) -> None:
        self._clock = clock
        self._audit: Audit | None = None
        self.watching = CanaryWatch(clock, self.look)
        self._live: dict[Place, _Live] = {}
        self._splits: dict[Place, Split] = {}
        self.tell: Callable[[], Any] = lambda: None
        """Is called when :meth:`state` has changed; may return a Deferred that fires when everybody knows."""

    def use(self, snapshot: Snapshot) -> None:
        """Go on with the splits of ``snapshot``."""
        before = self._live
        admin = snapshot.config.admin
        self._audit = Audit(str(admin.audit_log)) if admin is not None and admin.audit_log is not None else None
        self._splits = dict(splits_of(snapshot))
        self._live = {}
        now = self._clock.seconds()
        for place, split in self._splits.items():
            live, old = before.get(place), before.get(place)
            if live is None or not live.is_for(split):
                live = _Live(split.configured, split.weights, split.note)
                if old is not None and old.note:
                    _log.info(
                        "split of {place}: the file has changed; what was in force ({note}) is gone",
                        place="/".join(place),
                        note=old.note,
                    )
            if split.plan is not None and live.canary is None:
                live.canary = Canary(split.plan, now)
                if live.left is not None:
                    live.canary.go_on(live.left, now)
                else:
                    self._happened(place, live.canary, f"begins at {live.canary.percent:g} %")
            live.left = None
            split.use(live.weights, live.note)
            self._live[place] = live
        plans = [live.canary.plan for live in self._live.values() if live.canary is not None]
        self.watching.watch(min((plan.interval for plan in plans), default=None))

    def stop(self) -> None:
        """Look at no canaries any more."""
        self.watching.watch(None)

    # Canaries.

    def look(self, metrics: Iterable[Metric]) -> None:
        """Promote canaries, or take them back, by what all processes have counted since the start."""
        found = tallies(metrics)
        changed = False
        for place, live in self._live.items():
            canary = live.canary
            if canary is None or not canary.in_charge:
                continue
            of = {pool: found.get((*place, pool), NOTHING) for pool in live.configured}
            others = sum((tally for pool, tally in of.items() if pool != canary.plan.pool), NOTHING)
            happened = canary.look(self._clock.seconds(), of[canary.plan.pool], others)
            if happened:
                self._follow(place, happened)
                changed = True
        if changed:
            self.tell()

    def obey(self, listener: str, route: str, command: Any) -> Any:
        """Do with a canary as an operator wants, see :data:`~balancer.routing.canary.COMMANDS`; returns as :meth:`change` does.

        Raises:
            BalancerError: for a route that has none, and a command that makes no sense now.
        """
        place, live = self._find(listener, route)
        if live.canary is None:
            raise BalancerError(f"the split of {listener}/{route} has no canary")
        try:
            happened = live.canary.obey(str(command), self._clock.seconds())
        except ValueError as error:
            raise BalancerError(str(error)) from None
        self._follow(place, happened, audit=False)
        return self._told(place)

    def _follow(self, place: Place, happened: str, *, audit: bool = True) -> None:
        """Have the weights that the canary wants."""
        live = self._live[place]
        canary = live.canary
        assert canary is not None
        live.weights, live.note = canary.plan.weights(live.configured, canary.percent), canary.note
        self._splits[place].use(live.weights, live.note)
        self._happened(place, canary, happened)
        if audit and self._audit is not None:
            self._audit.note({"by": "canary"}, "/".join(place), {"canary": happened}, 200, self._report(place))

    @staticmethod
    def _happened(place: Place, canary: Canary, happened: str) -> None:
        (_log.warn if canary.state == "aborted" else _log.info)(
            "canary {pool} of {place} {happened}", pool=canary.plan.pool, place="/".join(place), happened=happened
        )

    # Changes.

    def change(self, listener: str, route: str, wanted: Any) -> Any:
        """Change the weights of a split: ``{"weights": {POOL: N}}``, ``{"switch": POOL}`` or ``{"reset": true}``.

        Pools that are not named keep their weights; with ``switch`` the others get 0. Returns what it is now, or a Deferred of that which fires
        when all workers know.

        Raises:
            BalancerError: for a split or pool that is not there, and weights that are none.
        """
        place, live = self._find(listener, route)
        if not isinstance(wanted, dict) or len(wanted) != 1 or wanted.keys() - {"weights", "switch", "reset"}:
            raise BalancerError('expected {"weights": {POOL: N}}, {"switch": POOL} or {"reset": true}')
        if live.canary is not None and live.canary.in_charge:
            raise BalancerError(
                f"the canary {live.canary.plan.pool} is in charge of this split: finish or abort it first"
            )
        if "reset" in wanted:
            if wanted["reset"] is not True:
                raise BalancerError("expected 'reset' to be true")
            self._set(place, live.configured, "")
        elif "switch" in wanted:
            pool = self._known(live, wanted["switch"])
            self._set(place, {name: 100.0 if name == pool else 0.0 for name in live.weights}, BY_HAND)
        else:
            self._set(place, live.weights | self._weights(live, wanted["weights"]), BY_HAND)
        return self._told(place)

    def _find(self, listener: str, route: str) -> tuple[Place, _Live]:
        place = (listener, route)
        live = self._live.get(place)
        if live is None:
            known = ["/".join(each) for each in self._live]
            there = f"; splits: {', '.join(known)}" if known else ""
            raise BalancerError(f"the listener {listener!r} has no route {route!r} that splits{there}")
        return place, live

    @staticmethod
    def _known(live: _Live, pool: Any) -> str:
        if not isinstance(pool, str) or pool not in live.weights:
            hint = did_you_mean(pool, live.weights) if isinstance(pool, str) else ""
            raise BalancerError(f"the split has no pool {pool!r}{hint}")
        return pool

    def _weights(self, live: _Live, given: Any) -> dict[str, float]:
        if not isinstance(given, dict) or not given:
            raise BalancerError("expected 'weights' to be an object of pools with their weights")
        for pool, weight in given.items():
            self._known(live, pool)
            if isinstance(weight, bool) or not isinstance(weight, int | float) or not isfinite(weight) or weight < 0:
                raise BalancerError(f"expected for {pool} a weight of 0 or more, got {weight!r}")
        return given

    def _set(self, place: Place, weights: Mapping[str, float], note: str) -> None:
        live = self._live[place]
        try:
            self._splits[place].use(weights, note)
        except ValueError as error:
            raise BalancerError(str(error)) from None
        live.weights, live.note = dict(weights), note
        _log.info("{split} of {place}", split=self._splits[place], place="/".join(place))

    def _told(self, place: Place) -> Any:
        now = self._report(place)
        telling = self.tell()
        return telling.addCallback(lambda _: now) if isinstance(telling, Deferred) else now

    # What is told of them.

    def state(self) -> list[list[Any]]:
        """Return the weights in force as plain values, for other processes."""
        return [[*place, live.weights, live.note] for place, live in self._live.items()]

    def left(self) -> list[list[Any]]:
        """Return what a process that takes over goes on with."""
        now = self._clock.seconds()
        return [
            [*place, live.configured, live.weights, live.note, live.canary.left(now) if live.canary else None]
            for place, live in self._live.items()
        ]

    def inherit(self, left: Iterable[list[Any]]) -> None:
        """Go on, with the first snapshot, as another process has left it."""
        for listener, route, configured, weights, note, canary in left:
            live = self._live[listener, route] = _Live(configured, weights, note)
            live.left = canary

    def report(self) -> list[dict[str, Any]]:
        """Return how requests are shared, for ``status``."""
        return [self._report(place) for place in self._live]

    def _report(self, place: Place) -> dict[str, Any]:
        live = self._live[place]
        return {
            "listener": place[0],
            "route": place[1],
            "weights": live.weights,
            "shares": self._splits[place].shares,
            "configured": live.configured,
            "note": live.note,
            "canary": live.canary.report(self._clock.seconds()) if live.canary is not None else None,
        }

    def metrics(self) -> Iterator[Metric]:
        """Yield what is true at the moment of a scrape."""
        shares = gauge("split_share", "What a pool gets of a split's requests, 0 to 1.", ("listener", "route", "pool"))
        for place in self._live:
            for pool, share in self._splits[place].shares.items():
                shares.add_metric((*place, pool), share / 100)
        percent = gauge("canary_percent", "What the canary is to get of its split, in percent.", ("listener", "route"))
        step = gauge("canary_step", "Which of its steps it is at, from 1.", ("listener", "route"))
        state = gauge("canary_state", "1 for the state that the canary is in.", ("listener", "route", "state"))
        for place, live in self._live.items():
            if live.canary is not None:
                percent.add_metric(place, live.canary.percent)
                step.add_metric(place, live.canary.step + 1)
                for each in STATES:
                    state.add_metric((*place, each), int(live.canary.state == each))
        yield from (shares, percent, step, state)


class Releasing:
    """What the admin API asks of a service about splits, passed to its :class:`Releases`."""

    def _releases(self) -> Releases:
        raise NotImplementedError

    def change_split(self, listener: str, route: str, wanted: Any) -> Any:
        """Change the weights of a split, see :meth:`Releases.change`."""
        return self._releases().change(listener, route, wanted)

    def change_canary(self, listener: str, route: str, command: Any) -> Any:
        """Pause a canary, let it go on and such, see :meth:`Releases.obey`."""
        return self._releases().obey(listener, route, command)
