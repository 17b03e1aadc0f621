"""From the configuration's time-outs and retries, of pools and of routes that have them otherwise, to the terms of exchanges."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from balancer.config.attempts import Hedge, Retry, RouteTimeouts
from balancer.config.pools import Pool as PoolSettings
from balancer.config.routes import Route as RouteSettings
from balancer.forwarding.sharing import Sharing
from balancer.pools.hedging import Hedging, HedgingSettings
from balancer.pools.pool import Pool
from balancer.pools.retry import RetrySettings
from balancer.pools.terms import Terms

__all__ = ["hedging", "retry_settings", "route_sharing", "route_terms", "said_by_pool"]


def retry_settings(settings: Retry) -> RetrySettings:
    """Return how a pool retries."""
    return replace(RetrySettings(), **_retry_values(settings, set(Retry.model_fields)))


def _retry_values(settings: Retry, names: set[str]) -> dict[str, Any]:
    """Return the fields of RetrySettings that come from the keys ``names``."""
    values = {name: getattr(settings, name) for name in names}
    if "methods" in values:
        values["methods"] = frozenset(values["methods"])
    if "backoff" in values:
        backoff = values["backoff"]
        values["backoff"], values["backoff_max"] = (backoff.base, backoff.max) if backoff is not None else (0.0, 0.0)
    return values


def hedging(settings: Hedge | None, now: Callable[[], float]) -> Hedging | None:
    """Return when second attempts are made; None: never."""
    if settings is None:
        return None
    after = settings.after
    if isinstance(after, str):
        return Hedging(HedgingSettings(quantile=float(after[1:]) / 100, budget=settings.budget), now)
    return Hedging(HedgingSettings(after, budget=settings.budget), now)


def said_by_pool(settings: PoolSettings) -> dict[str, str]:
    """Return which terms the configuration of a pool gives, as of :class:`~balancer.pools.terms.Terms`."""
    return _said("pool", settings.timeouts, settings.retry, settings.hedge)


def _said(whom: str, timeouts: Any, retry: Any, hedge: Any) -> dict[str, str]:
    parts = {"timeouts": timeouts, "retry": retry, "hedge": hedge}
    return {
        f"{part}.{name}": whom
        for part, settings in parts.items()
        if settings is not None
        for name in settings.model_fields_set
    }


def route_terms(route: RouteSettings) -> Callable[[Pool], Terms] | None:
    """Return what makes the terms of ``route`` with a pool of those of the pool; None if it has none of its own."""
    hedged = "hedge" in route.model_fields_set
    if route.timeouts is None and route.retry is None and not hedged:
        return None
    timeouts = route.timeouts or RouteTimeouts()
    times = {name: value for name in timeouts.model_fields_set if (value := getattr(timeouts, name)) is not None}
    retry = {} if route.retry is None else _retry_values(route.retry, set(route.retry.model_fields_set))
    said = {**_said("route", None, route.retry, route.hedge), **{f"timeouts.{name}": "route" for name in times}}

    def terms(pool: Pool) -> Terms:
        its = pool.terms
        return replace(
            its,
            timeouts=replace(its.timeouts, **times),
            retry=its.retry.otherwise(replace(its.retry.settings, **retry)) if retry else its.retry,
            hedge=hedging(route.hedge, its.retry.now) if hedged else its.hedge,
            said={**its.said, **said},
        )

    return terms


def route_sharing(route: RouteSettings) -> Sharing | None:
    """Return what requests of ``route`` share; None: nothing."""
    settings = route.coalesce
    if settings is None:
        return None
    return Sharing(tuple(name.encode("ascii") for name in settings.headers), settings.buffer)
