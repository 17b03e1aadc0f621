"""The registry: every factory that built-in rooms and installed packages offer, by kind and name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from balancer.hooks.interfaces import IFactory
from balancer.hooks.settings import Settings

__all__ = ["Package", "Registry"]


@dataclass(slots=True)
class Package:
    """One package that was found: what it offers, or why it could not be loaded."""

    name: str
    version: str = ""
    builtin: bool = False
    error: str = ""
    offers: dict[str, list[str]] = field(default_factory=dict)


class Registry:
    """Factories by kind and name."""

    def __init__(self) -> None:
        self.packages: list[Package] = []
        self._factories: dict[str, dict[str, IFactory]] = {}

    def factories(self, kind: str) -> Mapping[str, IFactory]:
        """Return the factories of ``kind`` by name."""
        return self._factories.get(kind, {})

    def build(self, kind: str, name: str, settings: Settings) -> Any:
        """Return the object that factory ``name`` makes of ``settings``, verified."""
        return self._factories[kind][name].build(settings)

    def report(self) -> list[dict[str, Any]]:
        """Return the packages as plain values."""
        return [
            {"name": p.name, "version": p.version, "builtin": p.builtin, "error": p.error, "offers": p.offers}
            for p in self.packages
        ]

    def accounts(self) -> tuple[Any, ...]:
        return ()
