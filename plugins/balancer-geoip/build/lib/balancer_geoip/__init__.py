"""The matcher ``geoip`` for balancer."""

from __future__ import annotations

from collections.abc import Iterable

from balancer.hooks import hookimpl
from balancer.hooks.interfaces import Factory, IFactory
from balancer_geoip.matcher import GeoIP, GeoIPSettings


@hookimpl
def balancer_matchers() -> Iterable[IFactory]:
    """``match: {geoip: {database: …, country: [DE]}}``."""
    return [Factory("geoip", GeoIP, GeoIPSettings)]
