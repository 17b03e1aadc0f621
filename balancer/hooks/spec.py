"""The hooks: each is called when a configuration is built, never on the request path, and returns factories."""

from __future__ import annotations

from collections.abc import Iterable

import pluggy

from balancer.hooks.interfaces import IFactory

__all__ = ["KINDS", "Hooks"]

hookspec = pluggy.HookspecMarker("balancer")


class Hooks:
    """Every hook of the group ``balancer``. Arguments may be added later, never taken away."""

    @hookspec
    def balancer_algorithms(self) -> Iterable[IFactory]:  # type: ignore[empty-body]
        """Return factories of :class:`~.interfaces.IAlgorithm`, used as ``algorithm: NAME`` in a pool."""

    @hookspec
    def balancer_matchers(self) -> Iterable[IFactory]:  # type: ignore[empty-body]
        """Return factories of :class:`~.interfaces.IMatcher`, used as ``match: {NAME: …}`` in a route."""

    @hookspec
    def balancer_filters(self) -> Iterable[IFactory]:  # type: ignore[empty-body]
        """Return factories of :class:`~.interfaces.IFilter`, used in ``filters:`` of a listener or route."""

    @hookspec
    def balancer_checks(self) -> Iterable[IFactory]:  # type: ignore[empty-body]
        """Return factories of :class:`~.interfaces.ICheck`, used in the ``checks:`` of the ``waf`` filter."""

    @hookspec
    def balancer_probes(self) -> Iterable[IFactory]:  # type: ignore[empty-body]
        """Return factories of :class:`~.interfaces.IProbe`, used as ``health: {probe: NAME}`` in a pool."""

    @hookspec
    def balancer_resources(self) -> Iterable[IFactory]:  # type: ignore[empty-body]
        """Return factories of :class:`twisted.web.resource.IResource`, used as ``resource: {NAME: …}`` in a route."""

    @hookspec
    def balancer_access_log_formats(self) -> Iterable[IFactory]:  # type: ignore[empty-body]
        """Return factories of :class:`~.interfaces.IAccessLogFormat`, used as ``access_log: {format: NAME}``."""

    @hookspec
    def balancer_flags(self) -> Iterable[IFactory]:  # type: ignore[empty-body]
        """Return factories of :class:`~.interfaces.IFlags`, used as ``flags: NAME`` at the top, and asked by ``match: {flag: …}``."""


KINDS = ("algorithms", "matchers", "filters", "checks", "probes", "resources", "access_log_formats", "flags")
"""The kinds of factories, each the tail of its hook's name."""
