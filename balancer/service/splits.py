"""From the configuration's splits to compiled ones."""

from __future__ import annotations

from balancer.config.splits import Split as SplitSettings
from balancer.filters.kept_side import KeptSide
from balancer.hooks.interfaces import IFilter
from balancer.model.cookies import attributes
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
    return Split(settings.weights, settings.key, side=side, override=override)


def keeping(split: Split) -> tuple[IFilter, ...]:
    """Return the filter that tells clients where they belong, where the split has a cookie for that."""
    return (KeptSide(split.side.name, split.kept),) if split.side is not None else ()
