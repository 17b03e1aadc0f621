"""The ``concurrency:`` of a pool: limits that follow from how long servers take."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from balancer.config.fields import Count, Positive, PositiveDuration
from balancer.hooks.settings import Settings

__all__ = ["Concurrency"]


class Concurrency(Settings):
    """An adaptive limit of what is in flight; true: all defaults."""

    of: Literal["server", "pool"] = Field(default="server", description="Whether each server has one, or the pool.")
    initial: Positive = Field(default=20, description="What it begins with.")
    minimum: Positive = Field(default=5, description="The least it may be.")
    maximum: Positive = Field(default=1000, description="The most it may be.")
    tolerance: Annotated[float, Field(ge=1.0, le=100.0, allow_inf_nan=False)] = Field(
        default=1.5,
        description="How many times what they took in the long run answers may take without making it less.",
    )
    headroom: Count = Field(default=4, description="By how much it tries to grow; also what may wait at the server.")
    smoothing: Annotated[float, Field(gt=0.0, le=1.0, allow_inf_nan=False)] = Field(
        default=0.2, description="How much of a change is made at a time."
    )
    window: PositiveDuration = Field(default=1.0, description="How often it is looked at, given ten answers.")

    @model_validator(mode="after")
    def _ordered(self) -> Concurrency:
        if not self.minimum <= self.initial <= self.maximum:
            raise ValueError(
                f"expected minimum <= initial <= maximum, got {self.minimum}, {self.initial} and {self.maximum}"
            )
        return self
