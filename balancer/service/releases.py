"""Splits while they are in use: weights that an operator changes, in all processes, until the file's own change.

One process decides, the master or the only one; workers are told (:func:`take_splits`). What is kept is kept by the names of listener and
route. It survives a reload as long as the route splits between the same pools by the same weights in the file, and an upgrade; a restart begins
with the file.
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
from balancer.routing.split import Split
from balancer.service.snapshot import Snapshot

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
        if split is not None and split.weights.keys() == weights.keys():
            split.use(weights, note)


class _Live:
    """One split: the file's weights, those in force, and why they are others."""

    def __init__(self, configured: dict[str, float], weights: dict[str, float], note: str = "") -> None:
        self.configured = configured
        self.weights = weights
        self.note = note


class Releases:
    """The splits of the snapshot in force."""

    def __init__(self) -> None:
        self._live: dict[Place, _Live] = {}
        self._splits: dict[Place, Split] = {}
        self.tell: Callable[[], Any] = lambda: None
        """Is called when :meth:`state` has changed; may return a Deferred that fires when everybody knows."""

    def use(self, snapshot: Snapshot) -> None:
        """Go on with the splits of ``snapshot``."""
        before = self._live
        self._splits = dict(splits_of(snapshot))
        self._live = {}
        for place, split in self._splits.items():
            configured = dict(split.weights)
            live, old = _Live(configured, configured), before.get(place)
            if old is not None and old.configured == configured:
                live = old
                split.use(live.weights, live.note)
            elif old is not None and old.note:
                _log.info(
                    "split of {place}: the file's weights have changed; those {note} are gone",
                    place="/".join(place),
                    note=old.note,
                )
            self._live[place] = live

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
        return [[*place, live.configured, live.weights, live.note] for place, live in self._live.items()]

    def inherit(self, left: Iterable[list[Any]]) -> None:
        """Go on, with the first snapshot, as another process has left it."""
        for listener, route, configured, weights, note in left:
            self._live[listener, route] = _Live(configured, weights, note)

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
        }

    def metrics(self) -> Iterator[Metric]:
        """Yield what is true at the moment of a scrape."""
        shares = gauge("split_share", "What a pool gets of a split's requests, 0 to 1.", ("listener", "route", "pool"))
        for place in self._live:
            for pool, share in self._splits[place].shares.items():
                shares.add_metric((*place, pool), share / 100)
        yield shares


class Releasing:
    """What the admin API asks of a service about splits, passed to its :class:`Releases`."""

    def _releases(self) -> Releases:
        raise NotImplementedError

    def change_split(self, listener: str, route: str, wanted: Any) -> Any:
        """Change the weights of a split, see :meth:`Releases.change`."""
        return self._releases().change(listener, route, wanted)
