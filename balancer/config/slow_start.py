"""The ``slow_start:`` of a pool: traffic little by little for servers that are new or come back."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field, GetJsonSchemaHandler, model_validator
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from balancer.config.fields import Percent, PositiveDuration
from balancer.config.forms import short
from balancer.hooks.settings import Settings

__all__ = ["SlowStart"]


class SlowStart(Settings):
    """Traffic little by little for a server that is new or comes back. A bare duration is the window."""

    window: PositiveDuration = Field(default=30.0, description="How long it takes until a server has its whole share.")
    minimum: Percent = Field(default=0.1, description="The share of its weight with which it begins.")
    aggression: Annotated[float, Field(gt=0.0, le=100.0, allow_inf_nan=False)] = Field(
        default=1.0, description="1: along a straight line; more: steep at first; less: flat at first."
    )

    @model_validator(mode="before")
    @classmethod
    def _bare(cls, value: Any) -> Any:
        return {"window": value} if isinstance(value, str) else value

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return short(handler(schema), {"type": "string"})
