"""What can be set of the check ``crs`` in the balancer's configuration."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Self

from pydantic import BeforeValidator, Field, model_validator

from balancer.hooks.settings import Duration, LocalPath, Settings, Size
from balancer.model.inspection.terms import Fallback
from balancer_crs.lang.actions import parse_ranges
from balancer_crs.lang.model import Where
from balancer_crs.lang.variables import parse_variables

__all__ = ["VERDICTS", "Anomaly", "CRSSettings", "Exclusion"]

VERDICTS = (949110, 949111, 959100, 959101)
"""The rules of CRS that act upon the scores: without them nothing is ever refused."""


def _list(value: Any) -> Any:
    return (value,) if isinstance(value, str | int) and not isinstance(value, bool) else value


def _ranges(value: Any) -> Any:
    value = _list(value)
    if not isinstance(value, list | tuple):
        raise ValueError("expected a rule's id, a range as FIRST-LAST, or a list of them")
    for each in value:
        parse_ranges(str(each), _nowhere)
    return tuple(map(str, value))


def _targets(value: Any) -> Any:
    value = _list(value)
    if not isinstance(value, list | tuple) or not all(isinstance(each, str) for each in value):
        raise ValueError("expected a variable as ARGS:name, or a list of them")
    for each in value:
        if any(variable.exclude or variable.count for variable in parse_variables(each, _nowhere)):
            raise ValueError("expected what is to be left out, without ! or &")
    return tuple(value)


def _nowhere(_index: int) -> Where:
    return Where("exclusions", 1)


class Exclusion(Settings):
    """What is not looked at, or which rules do not run. A bare id or range of ids is ``rule``."""

    rule: Annotated[tuple[str, ...], BeforeValidator(_ranges)] = Field(
        default=(), description="Ids of rules, or ranges: `942100`, `942100-942199`."
    )
    tag: Annotated[tuple[str, ...], BeforeValidator(_list)] = Field(
        default=(), description="Tags of rules, whole or as an RE2 expression: `attack-sqli`."
    )
    message: Annotated[tuple[str, ...], BeforeValidator(_list)] = Field(
        default=(), description="Messages of rules, whole or as an RE2 expression."
    )
    target: Annotated[tuple[str, ...], BeforeValidator(_targets)] = Field(
        default=(),
        description="What these rules do not look at: `ARGS:note`, `REQUEST_COOKIES:/^_ga/`; else they do not run.",
    )
    path: str | None = Field(
        default=None,
        pattern=r"^/\S*$",
        description="Only for this path of requests; `/admin/**` with all below it.",
    )
    disarm: bool = Field(
        default=False, description="Also leave out the rules that act upon the scores: then nothing is ever blocked."
    )

    @model_validator(mode="before")
    @classmethod
    def _bare(cls, value: Any) -> Any:
        return {"rule": value} if isinstance(value, str | int) and not isinstance(value, bool) else value

    @model_validator(mode="after")
    def _something(self) -> Self:
        if not (self.rule or self.tag or self.message):
            raise ValueError("expected one of rule, tag, message")
        if not self.target and not self.disarm:
            for first, last in self.ranges:
                if any(first <= each <= last for each in VERDICTS):
                    raise ValueError(
                        f"without the rules {', '.join(map(str, VERDICTS))} nothing is ever blocked: exclude others, "
                        "or set disarm: true"
                    )
        return self

    @property
    def ranges(self) -> tuple[tuple[int, int], ...]:
        """The ids of ``rule``."""
        return tuple(each for text in self.rule for each in parse_ranges(text, _nowhere))

    @property
    def pattern(self) -> str | None:
        """The path as an RE2 expression."""
        if self.path is None:
            return None
        if self.path.endswith("/**"):
            return f"^{re.escape(self.path[:-3])}(?:/|$)"
        return f"^{re.escape(self.path)}$"


class Anomaly(Settings):
    """From which score on an exchange is blocked."""

    inbound: int | None = Field(default=None, ge=1, le=1_000_000, description="Of the request; CRS's own is 5.")
    outbound: int | None = Field(default=None, ge=1, le=1_000_000, description="Of the response; CRS's own is 4.")


class CRSSettings(Settings):
    """The Core Rule Set, or other rules in SecLang. A bare string is ``rules``. What is not given is as the rules' set-up file says."""

    rules: LocalPath | None = Field(
        default=None,
        description="A directory of CRS, an archive of a release (.tar.gz, .zip), or a rule file; else Debian's modsecurity-crs.",
    )
    setup: LocalPath | None = Field(
        default=None, description="The set-up file; else crs-setup.conf beside the rules, or the example of it."
    )
    paranoia: int | None = Field(default=None, ge=1, le=4, description="Level whose rules count; CRS's own is 1.")
    detection_paranoia: int | None = Field(
        default=None, ge=1, le=4, description="Level whose rules run and are told; `paranoia` by default."
    )
    anomaly: Anomaly = Field(default=Anomaly(), description="From which scores on an exchange is blocked.")
    early_blocking: bool | None = Field(
        default=None, description="Whether a request may be blocked before its body is there; CRS's own is false."
    )
    sampling: int | None = Field(default=None, ge=0, le=100, description="Percent of requests that are looked at.")
    variables: Mapping[Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]+$")], str | int] = Field(
        default={}, description="Further members of TX, as in the set-up file: `{allowed_methods: GET HEAD}`."
    )
    exclusions: tuple[Exclusion, ...] = Field(
        default=(), description="Rules that do not run, or do not look at something."
    )
    fold: bool = Field(
        default=True,
        description="Decide at load what the configuration alone decides; changes no result, only the cost.",
    )
    body_limit: Size = Field(default=128 * 1024, ge=1, description="Bytes of a request's body that rules look at.")
    response_limit: Size = Field(default=512 * 1024, ge=1, description="Bytes of a response's body that rules look at.")
    budget: Duration = Field(default=0.25, gt=0, description="How long one phase may take.")
    on_timeout: Fallback = Field(default="detect", description="What it means if it takes longer.")
    on_error: Fallback = Field(default="detect", description="What it means if the rules fail.")

    @model_validator(mode="before")
    @classmethod
    def _bare(cls, value: Any) -> Any:
        return {"rules": value} if isinstance(value, str) else value

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.detection_paranoia is not None and self.detection_paranoia < (self.paranoia or 1):
            raise ValueError("expected detection_paranoia of at least paranoia")
        return self
