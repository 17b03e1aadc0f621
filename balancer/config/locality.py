"""The ``locality:`` of a pool: where this balancer is, and when traffic goes elsewhere."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from balancer.config.fields import Name
from balancer.hooks.settings import Settings

__all__ = ["Locality"]


class Locality(Settings):
    """Which servers are preferred: those of the lowest priority, and among them those in the balancer's zone."""

    zone: Name = Field(
        default="",
        description="The zone that this balancer is in, ${ZONE} say: servers there are preferred; none: zones do not matter.",
    )
    overprovisioning: Annotated[float, Field(ge=1.0, le=100.0, allow_inf_nan=False)] = Field(
        default=1.4,
        description="How many times its part a server can take: with 1.4 the first servers keep everything until less than 71% are well.",
    )
