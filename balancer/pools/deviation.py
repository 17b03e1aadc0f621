"""Which of several servers differs from the others more than chance explains: arithmetic, without any state.

Envoy's: of the servers with enough requests the mean and the standard deviation are taken, and those so many standard deviations
away on the bad side are outliers. Of n servers one alone can be at most sqrt(n - 1) away.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt

__all__ = ["Deviation", "least_value", "most_value"]


@dataclass(frozen=True, slots=True)
class Deviation:
    """How far is too far.

    ``stdevs`` standard deviations from the mean, of at least ``min_servers`` servers with at least ``min_requests`` each in an
    interval; and at least ``ratio`` times the mean, where more is worse.
    """

    stdevs: float = 1.9
    min_servers: int = 5
    min_requests: int = 100
    ratio: float = 1.0


def _mean_and_deviation(values: Sequence[float]) -> tuple[float, float]:
    mean = sum(values) / len(values)
    return mean, sqrt(sum((value - mean) ** 2 for value in values) / len(values))


def least_value(values: Sequence[float], settings: Deviation) -> float | None:
    """Return what a value must not be below, where less is worse; None if there are too few to tell."""
    if len(values) < max(2, settings.min_servers):
        return None
    mean, deviation = _mean_and_deviation(values)
    return mean - settings.stdevs * deviation


def most_value(values: Sequence[float], settings: Deviation) -> float | None:
    """Return what a value must not be above, where more is worse; None if there are too few to tell."""
    if len(values) < max(2, settings.min_servers):
        return None
    mean, deviation = _mean_and_deviation(values)
    return max(mean + settings.stdevs * deviation, settings.ratio * mean)
