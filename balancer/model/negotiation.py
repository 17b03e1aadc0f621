"""What a client would rather have, of what there is: proactive negotiation (RFC 9110 section 12.5, RFC 4647 section 3).

Pure functions over field values. A field that is not there accepts everything; one that cannot be read, too (RFC 9110 section 12.4.1).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache

__all__ = ["best", "language_quality", "media_quality"]

_MOST = 64
"""Items of a field that are read; what follows does not count."""


@lru_cache(maxsize=2048)
def _items(value: str) -> tuple[tuple[str, float], ...]:
    """Return the items of a field with their weights, in order; those that cannot be read are left out."""
    found = []
    for item in value.split(",")[:_MOST]:
        name, *parameters = (part.strip() for part in item.split(";"))
        if not name:
            continue
        kept = [name.lower()]
        quality: float | None = 1.0
        for parameter in parameters:
            key, _, text = parameter.partition("=")
            if key.strip().lower() == "q":
                quality = _weight(text.strip())
                break  # what follows the weight is an extension, not the type's
            kept.append(parameter.lower().replace(" ", ""))
        if quality is not None:
            found.append((";".join(kept), quality))
    return tuple(found)


def _weight(text: str) -> float | None:
    """Return a weight (RFC 9110 section 12.4.2), None for what is none."""
    whole, point, rest = text.partition(".")
    if whole not in ("0", "1") or len(rest) > 3 or (rest and not (rest.isascii() and rest.isdigit())):
        return None
    value = float(f"{whole}{point}{rest}") if rest else float(whole)
    return value if value <= 1.0 else None


@lru_cache(maxsize=4096)
def media_quality(accept: str | None, offered: str) -> float:
    """Return how much a client wants the media type ``offered``, 0.0 (not at all) to 1.0, by the field ``Accept``."""
    items = _items(accept) if accept is not None else ()
    if not items:
        return 1.0
    kind = offered.lower().partition(";")[0].strip()
    parameters = {part.strip() for part in offered.lower().split(";")[1:]}
    best_rank, quality = -1, 0.0
    for name, weight in items:
        wanted, *more = name.split(";")
        if wanted == kind:
            if not parameters.issuperset(more):
                continue
            rank = 3 + len(more)
        elif wanted.endswith("/*") and kind.startswith(wanted[:-1]):
            rank = 1
        elif wanted in ("*/*", "*"):
            rank = 0
        else:
            continue
        if rank > best_rank:
            best_rank, quality = rank, weight
    return quality


@lru_cache(maxsize=4096)
def language_quality(accept: str | None, offered: str) -> float:
    """Return how much a client wants the language ``offered`` (``de``, ``de-AT``), by the field ``Accept-Language``.

    A range matches the tags that it is, or that go on behind it with a hyphen (RFC 4647 section 3.3.1); and a more special range the general
    tag, a little less (section 3.4): who wants ``de-AT`` is better off with ``de`` than with a foreign language.
    """
    items = _items(accept) if accept is not None else ()
    if not items:
        return 1.0
    tag = offered.lower()
    best_rank, quality, nearly = -1, 0.0, 0.0
    for name, weight in items:
        if name == "*":
            rank = 0
        elif tag == name or tag.startswith(f"{name}-"):
            rank = len(name)
        else:
            if name.startswith(f"{tag}-"):
                nearly = max(nearly, weight * 0.99)
            continue
        if rank > best_rank:
            best_rank, quality = rank, weight
    return quality if best_rank > 0 or quality > nearly else nearly


def best(quality: Callable[[str | None, str], float], accept: str | None, offered: Sequence[str]) -> str | None:
    """Return which of ``offered`` the client wants most, the first of equals; None: none of them.

    Args:
        quality: :func:`media_quality` or :func:`language_quality`.
        accept: the field's value, None where it is missing.
        offered: in the order in which they are preferred here.
    """
    chosen, most = None, 0.0
    for each in offered:
        wanted = quality(accept, each)
        if wanted > most:
            chosen, most = each, wanted
    return chosen
