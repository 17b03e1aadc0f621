"""From the ``match`` of the configuration to conditions: plug-in matchers built, names resolved."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from balancer.config.matches import Match
from balancer.errors import PluginError
from balancer.hooks.interfaces import IFlags
from balancer.hooks.plugged import Plugged
from balancer.hooks.registry import Registry
from balancer.routing.conditions import Conditions
from balancer.routing.matchers.flag import FlagMatcher

__all__ = ["Matches", "Report", "below"]

Report = Callable[[tuple[str | int, ...], Exception], None]
"""Takes what turns out to be wrong while building, with its place below where the report is from."""


def below(report: Report, *place: str | int) -> Report:
    """Return a report for what is at ``place``."""
    return lambda rest, error: report((*place, *rest), error)


class Matches:
    """The named matches of a configuration, built, and what builds those of its routes.

    Args:
        named: by name; that names exist, and do not go round in circles, has been checked.
        registry: makes plug-in matchers.
        report: told what cannot be made, with its place below ``matches``.
        flags: the source of feature flags, None where there is none.
    """

    def __init__(
        self, named: Mapping[str, Match], registry: Registry, report: Report, flags: IFlags | None = None
    ) -> None:
        self._flags = flags
        self._named = named
        self._registry = registry
        self._report = report
        self._built: dict[str, Conditions] = {}
        for name in named:
            self._of_name(name)

    def _of_name(self, name: str) -> Conditions:
        found = self._built.get(name)
        if found is None:
            self._built[name] = Conditions()  # for whoever goes round in circles all the same
            found = self._built[name] = self.conditions(self._named[name], below(self._report, name))
        return found

    def conditions(self, match: Match, report: Report) -> Conditions:
        """Return the conditions of ``match``, those of the names in it among them."""
        others = [*self._flagged(match, report), *(self._matcher(plugged, report) for plugged in match.matchers)]
        named = [self._of_name(name) for name in match.named if name in self._named]
        return Conditions(
            host=match.host,
            path=match.path,
            method=frozenset(match.method),
            headers=match.headers,
            query=match.query,
            cookies=match.cookies,
            client=match.client,
            scheme=match.scheme or "",
            all=(*named, *(self.conditions(part, below(report, "all", at)) for at, part in enumerate(match.all))),
            any=tuple(self.conditions(part, below(report, "any", at)) for at, part in enumerate(match.any)),
            not_=self.conditions(match.not_, below(report, "not")) if match.not_ is not None else None,
            others=tuple(each for each in others if each is not None),
        )

    def _flagged(self, match: Match, report: Report) -> Iterator[FlagMatcher]:
        if match.flag and self._flags is None:
            report(("flag",), ValueError("expected a source of feature flags in 'flags' at the top, there is none"))
            return
        for name, wanted in match.flag.items():
            assert self._flags is not None
            yield FlagMatcher(self._flags, name, wanted)

    def _matcher(self, plugged: Plugged, report: Report) -> Any:
        try:
            return self._registry.build("matchers", plugged.name, plugged.settings)
        except (ValueError, PluginError) as error:
            report((plugged.name,), error)
            return None
