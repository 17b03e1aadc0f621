"""Splits: pools that share requests by weight, and what keeps a client on its side."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Self

from pydantic import BeforeValidator, Field, GetJsonSchemaHandler, field_validator, model_validator
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from balancer.config.canaries import Canary
from balancer.config.cookies import CookieName, StickyCookie
from balancer.config.fields import Cidr, HeaderName
from balancer.config.forms import Many, given, short
from balancer.hooks.settings import KeySetting, Settings

__all__ = ["Override", "SideCookie", "Split", "SplitSticky"]

Weight = Annotated[float, Field(strict=True, ge=0, allow_inf_nan=False)]


class SideCookie(StickyCookie):
    """A signed cookie of ours names the pool, without revealing it."""

    name: CookieName = Field(default="side", description="The cookie's name.")


def _named(value: Any) -> Any:
    return {} if value is None else value


class SplitSticky(Settings):
    """Keeps a client on the side that it was given first."""

    cookie: Annotated[SideCookie, BeforeValidator(_named)] = Field(description="By a cookie of ours.")

    @model_validator(mode="before")
    @classmethod
    def _bare(cls, value: Any) -> Any:
        return {"cookie": None} if value == "cookie" else value

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return short(handler(schema), {"const": "cookie"})


class Override(Settings):
    """Lets requests choose their side: a value that is the name of one of the pools wins. Anybody may send it: not for secrets."""

    header: HeaderName | None = Field(default=None, description="Header whose value names the pool.")
    cookie: CookieName | None = Field(
        default=None, description="Cookie whose value names the pool; the header goes first."
    )
    only: Annotated[tuple[Cidr, ...], Many()] = Field(
        default=(), description="Networks of the clients that may choose, in CIDR notation; none: everybody."
    )

    @model_validator(mode="after")
    def _some(self) -> Self:
        if self.header is None and self.cookie is None:
            raise ValueError("expected 'header' or 'cookie', or both")
        return self

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return {**handler(schema), "allOf": [{"anyOf": [given("header"), given("cookie")]}]}


class Split(Settings):
    """Shares requests between pools by weight. ``{a: 90, b: 10}`` is short for ``{weights: {a: 90, b: 10}}``."""

    weights: Mapping[str, Weight] = Field(description="Pools with their weights; fractions are allowed.")
    key: KeySetting | None = Field(
        default=None, description="What sticks to its pool: client_ip, {cookie: NAME}, {header: NAME}…; none: chance."
    )
    sticky: SplitSticky | None = Field(
        default=None, description="Keeps a client on its side, whatever becomes of the weights, while that has any."
    )
    override: Override | None = Field(default=None, description="Lets requests choose their side.")
    canary: Canary | None = Field(default=None, description="A pool that gets more and more of the requests.")

    @model_validator(mode="before")
    @classmethod
    def _bare(cls, value: Any) -> Any:
        if isinstance(value, dict) and not isinstance(value.get("weights"), dict):
            return {"weights": value}
        return value

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return short(handler(schema), {"type": "object", "additionalProperties": {"type": "number", "minimum": 0}})

    @field_validator("weights")
    @classmethod
    def _some(cls, weights: Mapping[str, float]) -> Mapping[str, float]:
        if not any(weights.values()):
            raise ValueError("expected at least one pool with a weight above 0")
        return weights

    @model_validator(mode="after")
    def _canary_beside_others(self) -> Self:
        canary = self.canary
        if canary is None:
            return self
        if canary.pool not in self.weights:
            raise ValueError(f"expected the canary's pool to be one of the split's, got '{canary.pool}'")
        if not any(weight for name, weight in self.weights.items() if name != canary.pool):
            raise ValueError("expected another pool than the canary's with a weight above 0")
        return self
