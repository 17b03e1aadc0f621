"""The filters that come with the balancer, registered through the same hook as a plug-in's."""

from __future__ import annotations

from collections.abc import Iterable

from balancer.filters.body import BODY
from balancer.filters.fault import FAULT
from balancer.filters.grpc_web import GRPC_WEB
from balancer.filters.headers import HEADERS
from balancer.filters.mirror import MIRROR
from balancer.filters.response import RESPONSE
from balancer.filters.rewrite import REWRITE
from balancer.filters.waf import WAF
from balancer.hooks import hookimpl
from balancer.hooks.interfaces import IFactory

__all__ = ["balancer_filters"]


@hookimpl
def balancer_filters() -> Iterable[IFactory]:
    """Return the built-in filters."""
    return (BODY, FAULT, GRPC_WEB, HEADERS, MIRROR, RESPONSE, REWRITE, WAF)
