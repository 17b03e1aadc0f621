"""What is configured of the ``waf`` filter."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from balancer.filters.waf.arbiter import Mode
from balancer.hooks.plugged import Pluggable, Plugged
from balancer.hooks.settings import Duration, Settings, Size
from balancer.model.suggestions import did_you_mean

__all__ = ["Thresholds", "WafSettings"]


class Thresholds(Settings):
    """The sums of scores from which on an exchange is refused. A bare number is that of requests."""

    inbound: int = Field(default=5, ge=1, description="For what is found in the request.")
    outbound: int = Field(default=4, ge=1, description="For what is found in the response.")

    @model_validator(mode="before")
    @classmethod
    def _bare(cls, value: Any) -> Any:
        return {"inbound": value} if isinstance(value, int) and not isinstance(value, bool) else value


class WafSettings(Settings):
    """A web application firewall: checks of plug-in packages over requests and responses, and one decision on what they find."""

    checks: tuple[Annotated[Plugged, Pluggable("checks")], ...] = Field(
        min_length=1, description="The checks to run, in this order; each a name or `{name: settings}`."
    )
    mode: Mode = Field(
        default="block",
        description="`detect` refuses and delays nothing, and writes down what was found; `off` calls nothing at all.",
    )
    modes: Mapping[str, Mode] = Field(
        default={}, description="The mode of single checks, by name, where it is to be less than that of all."
    )
    threshold: Thresholds = Field(
        default=Thresholds(), description="The sums of scores from which on an exchange is refused."
    )
    status: int = Field(default=403, ge=400, le=599, description="What a refused client gets.")
    early: bool = Field(
        default=False,
        description="Compare the scores after every phase: an attack in the head is refused before its body is read, and less is found out.",
    )
    streaming: bool = Field(
        default=False,
        description="Hold no bodies: the server gets them as they come, and checks look at what has passed.",
    )
    body_limit: Size = Field(
        default=128 * 1024,
        ge=0,
        description="The most bytes of a request's body that are held for checks. 0: bodies are not looked at.",
    )
    body_over: Literal["pass", "refuse"] = Field(
        default="pass",
        description="What becomes of a longer body that a check needs: `pass`: its beginning is looked at, then it streams; `refuse`: 413.",
    )
    response_limit: Size = Field(
        default=512 * 1024,
        ge=0,
        description="The longest response that is held for checks; of longer ones, and of those of unknown length, only copies are looked at, up to this "
        "size. 0: they are not looked at.",
    )
    budget: Annotated[Duration, Field(gt=0)] = Field(
        default=0.05, description="What all checks of one exchange may take together, looked at between them."
    )

    @model_validator(mode="after")
    def _known(self) -> Self:
        names = [each.name for each in self.checks]
        for name in self.modes:
            if name not in names:
                raise ValueError(f"modes: there is no check '{name}' among the checks{did_you_mean(name, names)}")
        return self
