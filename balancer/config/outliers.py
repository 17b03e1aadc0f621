"""The ``passive:`` of a pool: how real traffic tells which servers are not well."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from balancer.config.fields import Percent, Positive, PositiveDuration
from balancer.config.forms import Switch
from balancer.hooks.settings import Settings

__all__ = ["Enforce", "LatencyDeviation", "Passive", "SuccessRate"]

_Factor = Annotated[float, Field(gt=0.0, le=100.0, allow_inf_nan=False)]


class SuccessRate(Settings):
    """Comparing the shares of what goes well; true: all defaults."""

    stdevs: _Factor = Field(
        default=1.9,
        description="Standard deviations below the mean of all that a server may be; of n, one can be sqrt(n - 1).",
    )
    min_servers: Positive = Field(
        default=5, description="With fewer servers that have enough requests nothing is compared."
    )
    min_requests: Positive = Field(
        default=100, description="Requests in an interval without which a server is left out of it."
    )


class LatencyDeviation(SuccessRate):
    """Comparing the mean times to first byte; true: all defaults."""

    stdevs: _Factor = Field(
        default=1.9,
        description="Standard deviations above the mean of all that a server may be; of n, one can be sqrt(n - 1).",
    )
    ratio: Annotated[float, Field(ge=1.0, le=1000.0, allow_inf_nan=False)] = Field(
        default=2.0, description="And it must be so many times the mean, so that small differences eject nobody."
    )


class Enforce(Settings):
    """The share of the findings of each kind that eject; 0%: they are only logged and counted."""

    failures: Percent = Field(default=1.0, description="Of failures in a row.")
    consecutive_5xx: Percent = Field(default=1.0, description="Of answers from 500 in a row.")
    success_rate: Percent = Field(default=1.0, description="Of success rates far below the others'.")
    latency: Percent = Field(default=1.0, description="Of latencies far above the others'.")


class Passive(Settings):
    """Watching real traffic: a server that fails it is ejected for a while."""

    failures: Positive = Field(
        default=5,
        description="Gateway errors (502, 503, 504) and missing answers in a row, within the window, that eject a server.",
    )
    window: PositiveDuration = Field(default=30.0, description="How long a failure counts.")
    consecutive_5xx: Positive | None = Field(
        default=None, description="Answers from 500, and missing ones, in a row that eject a server; none: no number."
    )
    success_rate: Annotated[SuccessRate | None, Switch()] = Field(
        default=None, description="Ejecting servers whose share of successes is far below the others'."
    )
    latency: Annotated[LatencyDeviation | None, Switch()] = Field(
        default=None, description="Ejecting servers that are far slower than the others."
    )
    interval: PositiveDuration = Field(default=10.0, description="Between two comparisons.")
    eject: PositiveDuration = Field(default=10.0, description="How long a server stays out; twice as long each time.")
    max_eject: PositiveDuration = Field(default=300.0, description="How long at most.")
    max_ejected: Percent = Field(default=0.5, description="Most of a pool that may be ejected at a time.")
    enforce: Enforce = Field(default=Enforce(), description="Whether findings eject, or are only told.")
