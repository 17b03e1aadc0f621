"""The PROXY protocol: whose headers a listener takes, and which one the servers of a pool are told."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, GetJsonSchemaHandler, model_validator
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from balancer.config.fields import Cidr, Flag, PositiveDuration
from balancer.config.forms import Many, Switch, short
from balancer.hooks.settings import Settings

__all__ = ["Introduced", "ProxyProtocol", "SentProxyProtocol"]


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

_VERSIONS = ("v1", "v2")


def _number(value: Any) -> Any:
    if isinstance(value, bool):  # which Python takes for 1
        raise ValueError(f"expected 1 or 2, got {str(value).lower()}")
    return value


class SentProxyProtocol(Settings):
    """The PROXY header that connections to the servers begin with. 'v1' or 'v2' is short for its version."""

    version: Annotated[Literal[1, 2], BeforeValidator(_number)] = Field(description="1, a line of text, or 2, binary.")
    tlvs: tuple[Literal["authority", "alpn", "ssl", "unique_id"], ...] = Field(
        default=(),
        description="What is said besides the addresses, in version 2: the name asked for by TLS, the protocol agreed on, "
        "version, cipher and client certificate, the id of the request or session.",
    )
    crc32c: Flag = Field(default=False, description="Add a checksum, in version 2.")

    @model_validator(mode="before")
    @classmethod
    def _bare(cls, value: Any) -> Any:
        if isinstance(value, str):
            if value not in _VERSIONS:
                raise ValueError(f"expected v1, v2 or {{version, tlvs, crc32c}}, got {value!r}")
            return {"version": int(value[1:])}
        return value

    @model_validator(mode="after")
    def _binary(self) -> SentProxyProtocol:
        if self.version == 1 and (self.tlvs or self.crc32c):
            raise ValueError("expected 'version: 2' beside tlvs and crc32c: version 1 has none")
        return self

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return short(handler(schema), {"enum": list(_VERSIONS)})
