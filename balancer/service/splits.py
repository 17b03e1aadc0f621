"""From the configuration's splits to compiled ones."""

from __future__ import annotations

from balancer.config.canaries import Canary as CanarySettings
from balancer.config.canaries import Latency, Relative
from balancer.config.splits import Split as SplitSettings
from balancer.filters.kept_side import KeptSide
from balancer.hooks.interfaces import IFilter
from balancer.model.cookies import attributes
from balancer.routing.canary import CanaryPlan
from balancer.routing.matchers.client import Networks
from balancer.routing.sides import Override, SideCookie
from balancer.routing.split import Split

__all__ = ["built_split", "keeping"]


def built_split(settings: SplitSettings, secret: str) -> Split:
    """Return the split; ``secret`` signs its cookie."""
    side = override = None
    if settings.sticky is not None:
        cookie = settings.sticky.cookie
        said = attributes(cookie.path, cookie.ttl, secure=cookie.secure, same_site=cookie.same_site)
        side = SideCookie(secret.encode(), cookie.name, settings.weights, said)
    if settings.override is not None:
        wanted = settings.override
        override = Override(wanted.header, wanted.cookie, Networks(wanted.only) if wanted.only else None)
    plan = None if settings.canary is None else _plan(settings.canary)
    return Split(settings.weights, settings.key, side=side, override=override, plan=plan)


def _plan(settings: CanarySettings) -> CanaryPlan:
    abort = settings.abort
    relative = abort.relative
    return CanaryPlan(
        settings.pool,
        settings.steps,
        settings.interval,
        abort.minimum,
        abort.error_ratio,
        _limits(abort.latency),
        relative.error_ratio,
        _limits(relative),
    )


def _limits(settings: Latency | Relative) -> tuple[tuple[float, float], ...]:
    given = ((0.5, settings.p50), (0.9, settings.p90), (0.95, settings.p95), (0.99, settings.p99))
    return tuple((share, limit) for share, limit in given if limit is not None)


def keeping(split: Split) -> tuple[IFilter, ...]:
    """Return the filter that tells clients where they belong, where the split has a cookie for that."""
    return (KeptSide(split.side.name, split.kept),) if split.side is not None else ()
