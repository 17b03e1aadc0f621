"""The ``subset:`` of a pool and of a route: servers by their labels."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field, model_validator

from balancer.config.fields import Name
from balancer.config.forms import Many
from balancer.hooks.settings import KeySetting, Settings

__all__ = ["Labels", "Subset"]

Labels = Mapping[Name, Annotated[str, Field(min_length=1, max_length=200)]]

_MOST = 4


class Subset(Settings):
    """Requests that ask for labels get the servers that have them."""

    by: Annotated[tuple[Name, ...], Many()] = Field(
        description="The labels of servers that may be asked for, up to four."
    )
    sources: Mapping[Name, KeySetting] = Field(
        default={},
        description="Where a request says what it asks for, by label: {header: NAME}, {cookie: NAME}, {query: NAME}…",
    )
    default: Labels = Field(default={}, description="What is asked for where neither route nor request says it.")
    fallback: Literal["any", "default", "none"] = Field(
        default="any",
        description="Where nobody has the labels, or can be used: any server, those of 'default', or none (503).",
    )

    @model_validator(mode="after")
    def _fits(self) -> Subset:
        if len(self.by) > _MOST or len(set(self.by)) < len(self.by):
            raise ValueError(f"expected up to {_MOST} different labels in 'by', got {', '.join(self.by)}")
        for name in (*self.sources, *self.default):
            if name not in self.by:
                raise ValueError(f"expected labels of 'by' ({', '.join(self.by)}), got {name!r}")
        if self.fallback == "default" and not self.default:
            raise ValueError("expected 'default' beside fallback: default")
        return self
