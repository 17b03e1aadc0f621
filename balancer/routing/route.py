"""One compiled route: its conditions, its filters, its one action, and the leaf that carries it out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from twisted.web.resource import IResource

from balancer.hooks.interfaces import IFilter, IMatcher
from balancer.model.decision import Action, Decision
from balancer.model.exchange import Reply
from balancer.model.facts import RequestFacts
from balancer.model.patterns import PathPattern
from balancer.routing.conditions import Conditions
from balancer.routing.matchers import CompiledPath, FieldMatcher, MethodMatcher
from balancer.routing.matchers.path import path_precedence
from balancer.routing.redirect import Redirect
from balancer.routing.split import Split

__all__ = ["Route", "UnknownNameError", "captured_by", "unfit_paths", "unknown_names"]


class UnknownNameError(ValueError):
    """A filter needs a ``{name}`` that the path of its route does not capture."""

    def __init__(self, name: str, known: frozenset[str]) -> None:
        have = f"captures {', '.join(sorted(known))}" if known else "captures nothing"
        super().__init__(f"unknown name {{{name}}} in a filter; the path {have}")
        self.name = name


def unknown_names(one: IFilter, captured: frozenset[str]) -> list[UnknownNameError]:
    """Return an error for each name that the filter ``one`` needs and is not among those ``captured``."""
    return [UnknownNameError(name, captured) for name in sorted(getattr(one, "captures", frozenset()) - captured)]


def unfit_paths(one: IFilter | Redirect, paths: Sequence[PathPattern]) -> list[ValueError]:
    """Return an error where ``one``, a filter or redirect, replaces what a path ending in ``/**`` matched, and one of ``paths`` does not."""
    if not getattr(one, "cuts", False):
        return []
    other = next((path for path in paths if not path.open_ended), None)
    if other is None:
        return []
    return [ValueError(f"expected the route's path to end in '/**', for a prefix to be replaced; got '{other}'")]


def captured_by(paths: Sequence[PathPattern]) -> frozenset[str]:
    """Return the names that each of ``paths`` captures: those that a route with these may use."""
    return _in_all([CompiledPath(path) for path in paths])


def _in_all(paths: Sequence[CompiledPath]) -> frozenset[str]:
    return frozenset.intersection(*(frozenset(path.names) for path in paths)) if paths else frozenset()


class Route:
    """A route as :mod:`.table` and :mod:`.decide` use it.

    Args:
        name: shown in logs, metrics and ``balancer explain``.
        order: its place in the file, from 0; the last tie-breaker.
        conditions: what must hold.
        priority: higher goes first, before anything that makes a route more specific.
        pool, split, redirect, reply, resource: exactly one of them.
        filters: run in order on the request, in reverse on the response.
        leaf: the resource that serves the exchange; ``resource`` itself where that is the action.
        settings: anything the builder wants to find again (the configuration's own object).

    ``leaf`` and ``settings`` may be set until the route is in use; everything else is fixed. ``paths`` are the path
    patterns compiled, most specific first.

    Raises:
        ValueError: for no action or several, and for a ``{name}`` in the redirect or a filter that the path does not
            capture.
    """

    __slots__ = (
        "action",
        "conditions",
        "filters",
        "leaf",
        "name",
        "order",
        "paths",
        "pool",
        "predicates",
        "priority",
        "redirect",
        "reply",
        "settings",
        "split",
    )

    def __init__(
        self,
        name: str,
        order: int = 0,
        conditions: Conditions | None = None,
        *,
        priority: int = 0,
        pool: str | None = None,
        split: Split | None = None,
        redirect: Redirect | None = None,
        reply: Reply | None = None,
        resource: IResource | None = None,
        filters: Sequence[IFilter] = (),
        leaf: IResource | None = None,
        settings: Any = None,
    ) -> None:
        choices: dict[Action, object] = {
            "pool": pool,
            "split": split,
            "redirect": redirect,
            "respond": reply,
            "resource": resource,
        }
        actions = [action for action, given in choices.items() if given is not None]
        if len(actions) != 1:
            raise ValueError(f"route {name!r} needs exactly one action, got {', '.join(actions) or 'none'}")
        self.name = name
        self.order = order
        self.conditions = conditions if conditions is not None else Conditions()
        self.priority = priority
        self.action: Action = actions[0]
        self.pool = pool
        self.split = split
        self.redirect = redirect
        self.reply = reply
        self.leaf: IResource | None = resource if resource is not None else leaf
        self.settings = settings
        self.predicates: tuple[IMatcher, ...] = self.conditions.predicates()
        patterns = sorted(dict.fromkeys(self.conditions.path), key=path_precedence)
        self.paths = tuple(CompiledPath(pattern) for pattern in patterns)
        self.filters: tuple[IFilter, ...] = tuple(filters)
        self._check_names()

    def _check_names(self) -> None:
        """Raise ValueError for a ``{name}`` in the redirect or a filter that the path does not capture."""
        known = self.captures
        if self.redirect is not None:
            self.redirect.check(known)
            for unfit in unfit_paths(self.redirect, self.conditions.path):
                raise unfit
        for each in self.filters:
            for error in (*unknown_names(each, known), *unfit_paths(each, self.conditions.path)):
                raise error

    @property
    def captures(self) -> frozenset[str]:
        """The names that every match of this route captures."""
        return _in_all(self.paths)

    def matched(self, facts: RequestFacts) -> CompiledPath | None:
        """Return which of the route's path patterns took this request, None if it has none."""
        paths = self.paths
        if len(paths) == 1:
            return paths[0]
        return next((path for path in paths if path.matches(facts.path)), None)

    @property
    def specificity(self) -> tuple[bool, int, int]:
        """The part of the precedence below host and path, most specific first: method, headers, query conditions."""
        kinds = [part.kind for part in self.predicates if isinstance(part, FieldMatcher)]
        method = bool(self.conditions.method) or any(isinstance(part, MethodMatcher) for part in self.predicates)
        return (not method, -kinds.count("header"), -kinds.count("query"))

    def decision(self, pool: str | None, captures: dict[str, str] | None = None) -> Decision:
        """Return the decision for this route that leads to ``pool``."""
        return Decision(self.name, self.action, pool, captures if captures is not None else {}, self)

    def __repr__(self) -> str:
        return f"<Route {self.name} {self.action}{f' {self.pool}' if self.pool else ''}>"
