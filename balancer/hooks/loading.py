"""Loading plug-ins: built-in rooms first, then every installed package of the entry-point group ``balancer``."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from importlib.metadata import entry_points
from typing import Any

import pluggy

from balancer.hooks.registry import Package, Registry
from balancer.hooks.spec import KINDS, Hooks

__all__ = ["load"]


def load(
    *,
    disable: Sequence[str] = (),
    require: Sequence[str] = (),
    builtins: Sequence[tuple[str, Any]] = (),
    on_error: str = "allow",
    trip_after: int = 10,
) -> Registry:
    """Return the registry."""
    registry = Registry()
    for name, module in builtins:
        _take(registry, Package(name, builtin=True), module)
    for point in entry_points(group="balancer"):
        if point.name in disable:
            continue
        package = Package(point.name, point.dist.version if point.dist else "")
        try:
            _take(registry, package, point.load())
        except Exception as error:
            package.error = f"{type(error).__name__}: {error}"
            registry.packages.append(package)
    return registry


def _take(registry: Registry, package: Package, module: Any) -> None:
    manager = pluggy.PluginManager("balancer")
    manager.add_hookspecs(Hooks)
    manager.register(module, package.name)
    manager.check_pending()
    for kind in KINDS:
        found: Iterable[Any] = [f for fs in getattr(manager.hook, f"balancer_{kind}")() for f in fs]
        for factory in found:
            registry._factories.setdefault(kind, {})[factory.name] = factory
            package.offers.setdefault(kind, []).append(factory.name)
    registry.packages.append(package)
