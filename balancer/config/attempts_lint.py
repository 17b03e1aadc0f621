"""Time-outs, retries, hedges and shared answers that are allowed and yet can have no effect: part of ``balancer check --lint``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from balancer.config.pools import Pool
from balancer.config.routes import Route
from balancer.errors import Problem

if TYPE_CHECKING:
    from balancer.config.schema import Config

__all__ = ["pointless_attempts"]

_PARTS = ("connect", "first_byte", "idle", "write", "per_try")
_READING = frozenset(["GET", "HEAD"])


def pointless_attempts(config: Config) -> Iterator[Problem]:
    """Yield what decides nothing, of pools and of routes."""
    for name, pool in config.pools.items():
        yield from _of(config, ("pools", name), pool.timeouts, pool.retry, pool.hedge, [pool])
    for name, listener in config.listeners.items():
        for at, route in enumerate(listener.routes):
            if isinstance(route, Route):
                place = ("listeners", name, "routes", at)
                pools = [config.pools[each] for each in route.pools]
                yield from _of(config, place, route.timeouts, route.retry, route.hedge, pools)
                methods = frozenset(route.match.method)
                if route.coalesce is not None and methods and not methods & _READING:
                    message = "the route is of methods that share nothing: only GET and HEAD do"
                    yield config.problem((*place, "coalesce"), message, "shares-nothing")


def _of(
    config: Config, place: tuple[str | int, ...], timeouts: Any, retry: Any, hedge: Any, pools: list[Pool]
) -> Iterator[Problem]:
    given = timeouts.model_fields_set if timeouts is not None else set()
    for name in _PARTS:
        if name not in given:
            continue
        for whole in ("per_try", "request"):
            mine = getattr(timeouts, name)
            longest = [
                _or(getattr(timeouts, whole) if whole in given else None, getattr(pool.timeouts, whole))
                for pool in pools
            ]
            if name != whole and mine and all(each and mine > each for each in longest):
                message = f"it never comes into play: '{whole}' is over before"
                yield config.problem((*place, "timeouts", name), message, "idle-timeout")
                break
    if retry is not None:
        said = retry.model_fields_set - {"attempts"}
        attempts = [
            _or(retry.attempts if "attempts" in retry.model_fields_set else None, pool.retry.attempts) for pool in pools
        ]
        if said and not any(attempts):
            yield config.problem(
                (*place, "retry"), "there are no further attempts: the rest says nothing", "idle-retry"
            )
        elif {"budget", "minimum"} <= said and not retry.budget and not retry.minimum:
            yield config.problem((*place, "retry", "budget"), "nothing may ever be retried", "idle-retry")
    if hedge is not None:
        if pools and all(len(pool.servers) == 1 for pool in pools):
            yield config.problem(
                (*place, "hedge"), "the pool has one server: there is no second to ask", "hedges-alone"
            )
        elif not hedge.budget:
            yield config.problem((*place, "hedge", "budget"), "no second server may ever be asked", "hedges-alone")


def _or(mine: Any, its: Any) -> Any:
    return its if mine is None else mine
