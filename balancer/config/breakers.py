"""The ``breaker:`` of a pool: how much it takes on at a time, and when servers that fail are cut off."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from balancer.config.fields import Percent, Positive, PositiveDuration
from balancer.config.forms import Switch
from balancer.hooks.settings import Settings

__all__ = ["Breaker", "Trip"]


class Trip(Settings):
    """When a breaker opens, and how it closes again; true: all defaults."""

    of: Literal["server", "pool"] = Field(
        default="server", description="Whether each server has a breaker of its own, or the pool one for all."
    )
    errors: Literal["5xx", "gateway"] = Field(
        default="5xx",
        description="What fails: 5xx, any such status; gateway, only 502, 503 and 504; and always what got no answer.",
    )
    error_ratio: Annotated[Percent | None, Switch()] = Field(
        default=0.5, description="Failures that open it, as a share of what ends within the window; false: none do."
    )
    slow: PositiveDuration | None = Field(
        default=None, description="An answer whose first byte takes longer is slow; none: no matter how slow."
    )
    slow_ratio: Percent = Field(default=0.5, description="Slow answers that open it, as a share.")
    window: PositiveDuration = Field(default=10.0, description="How far back it looks.")
    min_requests: Positive = Field(default=20, description="With fewer in the window it stays closed.")
    open: PositiveDuration = Field(default=5.0, description="How long it is open at first; doubles each time.")
    max_open: PositiveDuration = Field(default=300.0, description="How long it is open at most.")
    probes: Positive = Field(default=3, description="How many it lets pass, half-open, to find out.")

    @model_validator(mode="after")
    def _trips(self) -> Trip:
        if self.error_ratio is None and self.slow is None:
            raise ValueError("expected error_ratio or slow: without both it never opens")
        if self.error_ratio == 0.0 or (self.slow is not None and self.slow_ratio == 0.0):
            raise ValueError("expected ratios above 0%: with 0% it would always be open")
        return self


class Breaker(Settings):
    """Circuit breakers: what is over a limit, or goes where too much failed, is refused with 503 at once."""

    connections: Positive | None = Field(
        default=None, description="Most open connections to all servers, idle ones included."
    )
    pending: Positive | None = Field(
        default=None, description="Most that wait: for a connection to be made, or for a server with room."
    )
    requests: Positive | None = Field(default=None, description="Most exchanges and sessions in flight.")
    retries: Positive | None = Field(default=None, description="Most retries in flight.")
    trip: Annotated[Trip | None, Switch()] = Field(
        default=None, description="Cutting off servers that fail or are slow; true: with all defaults."
    )
