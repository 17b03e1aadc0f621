"""What the client would rather have, registered like a plug-in's matchers.

::

    match: {accepts: application/json}                                        # takes it at all
    match: {accepts: {type: application/json, of: [text/html, application/json]}}   # … and rather than the others
    match: {language: {tag: de, of: [en, de, fr]}}

Of several that are wanted equally the first of ``of`` is taken, which is also what clients get that do not say.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Self

from pydantic import AfterValidator, Field, model_validator
from zope.interface import implementer

from balancer.hooks.interfaces import Factory, IMatcher
from balancer.hooks.settings import Settings
from balancer.model.facts import RequestFacts
from balancer.model.negotiation import best, language_quality, media_quality

__all__ = ["ACCEPTS", "LANGUAGE", "NegotiatedMatcher"]

_MEDIA = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+/[!#$%&'*+.^_`|~0-9A-Za-z-]+(?:; ?[^;,\s]+=[^;,\s]+)*")
_LANGUAGE = re.compile(r"[A-Za-z]{1,8}(?:-[A-Za-z0-9]{1,8})*")


def _media(text: str) -> str:
    if not _MEDIA.fullmatch(text) or "*" in text:
        raise ValueError(f"expected a media type such as 'application/json', got {text!r}")
    return text


def _language(text: str) -> str:
    if not _LANGUAGE.fullmatch(text):
        raise ValueError(f"expected a language tag such as 'de' or 'pt-BR', got {text!r}")
    return text


Media = Annotated[str, AfterValidator(_media)]
Language = Annotated[str, AfterValidator(_language)]


class AcceptsSettings(Settings):
    """The media type that the client wants most, of those that there are."""

    type: Media = Field(description="The media type.")
    of: tuple[Media, ...] = Field(
        default=(), description="All that there are, the best first; none: it is enough that the client takes the type."
    )

    @model_validator(mode="after")
    def _among(self) -> Self:
        if self.of and self.type not in self.of:
            raise ValueError(f"expected 'of' to have {self.type!r} among them")
        return self


class LanguageSettings(Settings):
    """The language that the client wants most, of those that there are."""

    tag: Language = Field(description="The language, such as de or pt-BR.")
    of: tuple[Language, ...] = Field(
        default=(), description="All that there are, the best first; none: it is enough that the client takes it."
    )

    @model_validator(mode="after")
    def _among(self) -> Self:
        if self.of and self.tag not in self.of:
            raise ValueError(f"expected 'of' to have {self.tag!r} among them")
        return self


@implementer(IMatcher)
@dataclass(frozen=True, slots=True)
class NegotiatedMatcher:
    """Holds where ``wanted`` is what the client prefers of ``offered``, by its ``field``; ``what`` says what that is."""

    what: str
    field: str
    quality: Callable[[str | None, str], float]
    wanted: str
    offered: tuple[str, ...]

    def matches(self, facts: RequestFacts) -> bool:
        """Return whether it is."""
        values = facts.header_values(self.field)
        accept = ", ".join(values) if values else None
        if not self.offered:
            return self.quality(accept, self.wanted) > 0.0
        return best(self.quality, accept, self.offered) == self.wanted

    def describe(self) -> str:
        """Return ``language wanted most is de, of en, de``."""
        if not self.offered:
            return f"{self.what} {self.wanted} is accepted"
        return f"{self.what} wanted most is {self.wanted}, of {', '.join(self.offered)}"


ACCEPTS = Factory(
    "accepts",
    lambda settings: NegotiatedMatcher("media type", "accept", media_quality, settings.type, settings.of),
    AcceptsSettings,
    "type",
)
LANGUAGE = Factory(
    "language",
    lambda settings: NegotiatedMatcher("language", "accept-language", language_quality, settings.tag, settings.of),
    LanguageSettings,
    "tag",
)
