"""The PROXY protocol: whose headers a listener takes."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field, GetJsonSchemaHandler, model_validator
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from balancer.config.fields import Cidr, Flag, PositiveDuration
from balancer.config.forms import Many, Switch, short
from balancer.hooks.settings import Settings

__all__ = ["Introduced", "ProxyProtocol"]


class ProxyProtocol(Settings):
    """Whose PROXY headers are believed. A list is short for 'from', true for the trusted_proxies; false: nobody's."""

    from_: Annotated[tuple[Cidr, ...], Many()] | None = Field(
        default=None,
        alias="from",
        description="Peers whose header is believed; none: the trusted_proxies of the listener or the whole balancer.",
    )
    required: Flag = Field(
        default=True,
        description="Whether connections of those peers must begin with a header; without, they are served as they are.",
    )
    timeout: PositiveDuration = Field(default=10.0, description="From the connection to the end of its header.")

    @model_validator(mode="before")
    @classmethod
    def _bare(cls, value: Any) -> Any:
        return {"from": value} if isinstance(value, (list, str)) else value

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        whole = handler(schema)
        told = handler.resolve_ref_schema(whole)["properties"]["from"]["anyOf"]
        return short(whole, *(arm for arm in told if arm != {"type": "null"}))


Introduced = Annotated[ProxyProtocol | None, Switch()]
"""What a listener takes: ``true``, ``false``, networks, or settings."""
