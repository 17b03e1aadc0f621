"""Looking into the data as written, which may have any shape: what is not as expected is passed over."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

__all__ = ["entries_of", "get", "items_of", "protocol_of"]


def items_of(value: Any) -> Iterator[tuple[str, Any]]:
    """Yield the items of a mapping."""
    if isinstance(value, dict):
        yield from value.items()


def entries_of(value: Any) -> Iterator[tuple[int, Any]]:
    """Yield the entries of a list with their indexes."""
    if isinstance(value, list):
        yield from enumerate(value)


def get(value: Any, *keys: str) -> Any:
    """Return what is under ``keys``, one within the other, or None."""
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return value


def protocol_of(listener: Any) -> str:
    """Return the protocol of a listener; ``""`` where it cannot be told."""
    protocol = listener.get("protocol", "http") if isinstance(listener, dict) else ""
    return protocol if isinstance(protocol, str) else ""
