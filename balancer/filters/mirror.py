"""The ``mirror`` filter: has copies of some requests sent to other pools, whose answers nobody waits for.

::

    mirror: shadow                                   # every request of the route
    mirror: {pool: shadow, percent: 10, compare: {status: true, body: json}}
    mirror: [{pool: shadow}, {pool: canary, percent: 1, key: {cookie: uid}}]

The filter only decides, and leaves word in the exchange's notes; the proxy leaf of the route, which has pools and connections,
does the rest (:mod:`balancer.forwarding.mirroring`). A request that is itself a copy is not copied again, so that a mirror that
leads back here ends.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, StrictInt, model_validator
from zope.interface import implementer

from balancer.filters.percent import Percent
from balancer.hooks.interfaces import Factory, IFilter
from balancer.hooks.settings import Duration, KeySetting, LocalPath, Settings, Size
from balancer.model.exchange import Exchange
from balancer.model.header_rules import header_name

__all__ = [
    "MARK",
    "MIRROR",
    "NOTE",
    "CompareSettings",
    "Mirror",
    "MirrorSettings",
    "MirrorTarget",
    "ReportSettings",
    "Target",
]

NOTE = "mirror"
"""Under which the targets stand in the notes of an exchange."""
MARK = b"X-Mirrored"
"""The header that copies bear."""

Share = Annotated[float, Field(gt=0, le=100)]


def _header(text: str) -> str:
    header_name(text)
    return text


def _pointer(text: str) -> str:
    if not text.startswith("/"):
        raise ValueError(f"expected a JSON pointer such as '/items/*/id', got {text!r}")
    return text


def _suffix(text: str) -> str:
    if not text or not all(char.isascii() and (char.isalnum() or char in ".-_") for char in text):
        raise ValueError(f"expected letters, digits, '-' and '.', got {text!r}")
    return text


class ReportSettings(Settings):
    """Where differences are written down, one JSON object a line."""

    path: LocalPath | None = Field(default=None, description="The file to append to; by default the service's log.")
    percent: Share = Field(
        default=100.0, description="How many of the differing answers are written down, in per cent."
    )
    per_minute: Annotated[StrictInt, Field(ge=1)] = Field(
        default=60,
        description="The most lines a minute that each worker writes for this mirror; the rest is counted only.",
    )
    values: bool = Field(
        default=True,
        description="Whether what differs is written down, cut to 100 characters; else only where it does.",
    )


class CompareSettings(Settings):
    """Compares the mirror's answers with the ones that clients get, as servers give them, before filters change them."""

    status: bool = Field(default=True, description="Whether statuses are compared.")
    headers: tuple[Annotated[str, AfterValidator(_header)], ...] = Field(
        default=(), description="Names of the headers that are compared."
    )
    body: Literal["hash", "json"] | None = Field(
        default=None,
        description="`hash`: bodies must be the same byte for byte; `json`: they must say the same; by default they are not compared.",
    )
    ignore: tuple[Annotated[str, AfterValidator(_pointer)], ...] = Field(
        default=(), description="JSON pointers to what may differ; `*` stands for every index or name: `/items/*/id`."
    )
    limit: Size = Field(
        default=64 * 1024,
        ge=1,
        description="With `json`: the most bytes of a body that are kept for it; longer ones are not compared.",
    )
    report: ReportSettings = Field(default=ReportSettings(), description="Where differences are written down.")

    @model_validator(mode="after")
    def _useful(self) -> Self:
        if not self.status and not self.headers and self.body is None:
            raise ValueError("expected something to compare: 'status', 'headers' or 'body'")
        if self.ignore and self.body != "json":
            raise ValueError("'ignore' is for 'body: json'")
        return self


class _Fields(Settings):
    percent: Share = Field(default=100.0, description="How many of the requests are mirrored, in per cent.")
    key: KeySetting | None = Field(
        default=None, description="Whose hash decides which ones, so that it is always the same clients; else chance."
    )
    seed: str = Field(default="", description="Makes shares differ that go by the same key.")
    body_limit: Size = Field(
        default=64 * 1024, ge=0, description="The longest body that is mirrored; a request with a longer one is not."
    )
    host_suffix: Annotated[str, AfterValidator(_suffix)] | None = Field(
        default=None, description="Appended to the host that copies are for: `-shadow`; by default it is the same."
    )
    timeout: Duration = Field(default=10.0, gt=0, description="How long a copy may take in all.")
    concurrency: Annotated[StrictInt, Field(ge=1)] = Field(
        default=64, description="The most copies to the pool that each worker has under way; no more are begun."
    )
    answer_limit: Size = Field(
        default=1024 * 1024, ge=0, description="The longest answer that is read; a longer one is broken off."
    )
    compare: CompareSettings | None = Field(
        default=None, description="What of the answers is compared with those that clients get; by default nothing."
    )


class MirrorTarget(_Fields):
    """One pool that gets copies. A bare string is its name."""

    pool: str = Field(description="The pool that gets copies.")

    @model_validator(mode="before")
    @classmethod
    def _bare(cls, value: Any) -> Any:
        return {"pool": value} if isinstance(value, str) else value


class MirrorSettings(_Fields):
    """Sends copies of requests to other pools, and drops the answers."""

    pool: str | None = Field(default=None, description="The pool that gets copies; a bare string is its name.")
    targets: tuple[MirrorTarget, ...] = Field(
        default=(), description="Several pools, each with settings of its own; a bare list is short for it."
    )

    @model_validator(mode="before")
    @classmethod
    def _bare(cls, value: Any) -> Any:
        if isinstance(value, dict) and isinstance(value.get("targets"), str):
            return {"pool": value["targets"]}
        return value

    @model_validator(mode="after")
    def _one_form(self) -> Self:
        if (self.pool is None) == (not self.targets):
            raise ValueError("expected either 'pool' or 'targets', a list of at least one")
        if self.targets and self.model_fields_set != {"targets"}:
            raise ValueError("expected the settings of each target beside its 'pool'")
        return self

    @property
    def pools(self) -> tuple[str, ...]:
        """The names of the pools that this filter has requests sent to."""
        return tuple(each.pool for each in self.each)

    @property
    def each(self) -> tuple[MirrorTarget, ...]:
        """The targets, whichever way they are written."""
        if self.pool is None:
            return self.targets
        return (MirrorTarget.model_construct(**{name: getattr(self, name) for name in MirrorTarget.model_fields}),)


@dataclass(frozen=True, slots=True)
class Target:
    """One pool that gets copies: its settings, and of which requests."""

    settings: MirrorTarget
    share: Percent

    def __str__(self) -> str:
        return f"{self.settings.pool} ({self.share})"


@implementer(IFilter)
class Mirror:
    """The filter.

    Args:
        settings: as they are configured.
    """

    name = "mirror"
    body_limit = 0
    on_error = "allow"

    def __init__(self, settings: MirrorSettings) -> None:
        self.targets = tuple(
            Target(each, Percent(each.percent, each.key, f"mirror:{each.seed}")) for each in settings.each
        )

    def chosen(self, exchange: Exchange) -> list[Target]:
        """Return who gets a copy of this request."""
        facts = exchange.facts
        if facts.header("x-mirrored") is not None:
            return []
        draw = exchange.draw
        return [target for target in self.targets if target.share.takes(facts, draw)]

    def request(self, exchange: Exchange) -> None:
        """Leave word of who gets a copy."""
        chosen = self.chosen(exchange)
        if chosen:
            exchange.notes.setdefault(NOTE, []).extend(chosen)
            log = exchange.notes.setdefault("log", {}).setdefault(NOTE, {})
            log.update((target.settings.pool, "chosen") for target in chosen)

    def response(self, exchange: Exchange) -> None:
        """Responses are not looked at."""

    def describe(self, exchange: Exchange) -> str:
        """Say who gets a copy of this request, and of how many."""
        noted = exchange.notes.get(NOTE, ())
        words = [f"{'copied to' if target in noted else 'not copied to'} {target}" for target in self.targets]
        return ", ".join(words)

    def __repr__(self) -> str:
        return f"<Mirror to {', '.join(map(str, self.targets))}>"


MIRROR = Factory("mirror", Mirror, MirrorSettings, bare="targets")
"""The factory of the filter."""
