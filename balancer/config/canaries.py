"""Canaries: how a new pool gets more and more of a split, and what takes it back."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, Self

from pydantic import Field, field_validator, model_validator

from balancer.config.fields import Percent, Positive, PositiveDuration
from balancer.hooks.settings import Settings

__all__ = ["Abort", "Canary", "Latency", "Relative"]

Step = Annotated[float, Field(strict=True, gt=0, le=100, allow_inf_nan=False)]
Factor = Annotated[float, Field(strict=True, ge=1, allow_inf_nan=False)]


class Latency(Settings):
    """The most time that requests may take, from their first byte to the last of the response."""

    p50: PositiveDuration | None = Field(default=None, description="Half of them.")
    p90: PositiveDuration | None = Field(default=None, description="90 % of them.")
    p95: PositiveDuration | None = Field(default=None, description="95 % of them.")
    p99: PositiveDuration | None = Field(default=None, description="99 % of them.")


class Relative(Settings):
    """How much worse than the other pools of the split, in the same time, it may be."""

    error_ratio: Percent | None = Field(default=None, description="Error ratio above theirs, in percentage points.")
    p50: Factor | None = Field(default=None, description="How many times as slow: half of the requests.")
    p90: Factor | None = Field(default=None, description="90 % of them.")
    p95: Factor | None = Field(default=None, description="95 % of them.")
    p99: Factor | None = Field(default=None, description="99 % of them.")


class Abort(Settings):
    """What takes the new pool out again: any of these, once there were enough requests in the step."""

    error_ratio: Percent | None = Field(
        default=0.02,
        description="More than that of 5xx answers, gateway errors and server faults of gRPC; null: any number.",
    )
    latency: Latency = Field(default=Latency(), description="Slower than that.")
    relative: Relative = Field(default=Relative(), description="Worse than the other pools by that.")
    minimum: Positive = Field(
        default=100, description="Requests in a step without which nothing is judged, nor promoted."
    )


class Canary(Settings):
    """A pool of the split that gets more and more of the requests, step by step, or none again."""

    pool: str = Field(description="The new one, of those of the split; its weight in the file does not count.")
    steps: tuple[Step, ...] = Field(default=(1, 5, 25, 50, 100), description="Percent that it gets, one after another.")
    interval: PositiveDuration = Field(default=300.0, description="How long a step lasts at least.")
    abort: Abort = Field(default=Abort(), description="What takes it out again.")

    @field_validator("steps")
    @classmethod
    def _rising(cls, steps: tuple[float, ...]) -> tuple[float, ...]:
        if not steps or any(after <= before for before, after in pairwise(steps)):
            raise ValueError("expected one or more percentages, each more than the one before")
        return steps

    @model_validator(mode="after")
    def _some(self) -> Self:
        abort = self.abort
        limits = [abort.error_ratio, *abort.latency.model_dump().values(), *abort.relative.model_dump().values()]
        if all(limit is None for limit in limits):
            raise ValueError("expected in 'abort' something to go by: error_ratio, latency or relative")
        return self
