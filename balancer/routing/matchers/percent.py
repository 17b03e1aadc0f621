"""A share of all clients, always the same ones: tests with a group, releases by percentages. Registered like a plug-in's matchers.

``match: {percent: {below: 10, of: {cookie: user}}}`` holds for a tenth of all values of that cookie. The value is hashed together with the
``seed``, so that the same tenth is in it on every worker and node, and after a restart; who is in the first tenth stays in when it becomes a fifth.
Groups of different seeds have nothing to do with each other; with ``from`` two of one seed do not overlap.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import blake2b
from typing import Annotated, Self

from pydantic import Field, model_validator
from zope.interface import implementer

from balancer.hooks.interfaces import Factory, IMatcher
from balancer.hooks.settings import KeySetting, Settings
from balancer.model.facts import RequestFacts
from balancer.model.keys import Key

__all__ = ["PERCENT", "PercentMatcher", "percentile"]

_SPAN = 2**64
Percent = Annotated[float, Field(ge=0, le=100, allow_inf_nan=False)]


def percentile(seed: str, value: bytes) -> float:
    """Return where ``value`` stands among all values, 0.0 up to 100.0; the same everywhere and always."""
    digest = blake2b(seed.encode() + b"\0" + value, digest_size=8).digest()
    return int.from_bytes(digest, "big") * 100 / _SPAN


class PercentSettings(Settings):
    """A share of all values of a key. A bare number is 'below'."""

    below: Percent = Field(
        description="Percent of the values that are in it; with 'from', where its part of them ends."
    )
    from_: Percent = Field(default=0, alias="from", description="Where its part begins, in percent.")
    of: KeySetting = Field(
        default=Key(), description="The key: client_ip, {cookie: NAME}, {header: NAME}… Requests without it are not in."
    )
    seed: str = Field(default="", description="Name of the draw: other names, other values.")

    @model_validator(mode="after")
    def _some(self) -> Self:
        if self.from_ > self.below:
            raise ValueError("expected 'from' to be less than 'below'")
        return self


@implementer(IMatcher)
@dataclass(frozen=True, slots=True)
class PercentMatcher:
    """Holds where the value of ``key`` stands in ``[start, end)`` percent of all values."""

    key: Key
    start: float
    end: float
    seed: str

    def matches(self, facts: RequestFacts) -> bool:
        """Return whether it does."""
        value = self.key.of(facts)
        return value is not None and self.start <= percentile(self.seed, value) < self.end

    def describe(self) -> str:
        """Return ``cookie:user is among the first 10 % of 'checkout'``."""
        part = f"the first {self.end:g} %" if not self.start else f"{self.start:g} to {self.end:g} %"
        return f"{self.key} is among {part}{f' of {self.seed!r}' if self.seed else ''}"


PERCENT = Factory(
    "percent",
    lambda settings: PercentMatcher(settings.of, settings.from_, settings.below, settings.seed),
    PercentSettings,
    "below",
)
