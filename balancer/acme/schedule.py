"""When a certificate is ordered: early enough, not all on one day, and never again and again in vain. Pure.

::

    issued ──────────────────── renewal ─────── end         renewal: ``renew_before`` the end, or a third of the lifetime
                              ▲ up to a tenth of that earlier, each certificate by its own share

    failed ── 2 min ── failed ── 6 min ── failed ── 18 min ── … ── 12 h     authorities count failures: five an hour are too many
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

__all__ = ["FIRST_WAIT", "LONGEST_WAIT", "RATE_LIMITED", "SPACING", "Attempts", "Term", "renewal"]

FIRST_WAIT = 120.0
_GROWTH = 3.0
LONGEST_WAIT = 12 * 3600.0
RATE_LIMITED = 3600.0
"""Seconds to wait at least, when an authority says that it was asked too often."""
SPACING = 3600.0
"""Seconds between two certificates for one name."""
_JITTER = 0.1


@dataclass(frozen=True, slots=True)
class Term:
    """For how long a certificate is good, in seconds since the epoch; ``fingerprint`` tells it from others."""

    begins: float
    ends: float
    fingerprint: str


def renewal(term: Term, before: float) -> float:
    """Return when the certificate is to be renewed.

    It depends on nothing but the certificate and ``before``, seconds before its end: a restart changes nothing.
    """
    span = min(before, max(term.ends - term.begins, 0.0) / 3)
    share = int.from_bytes(hashlib.sha256(term.fingerprint.encode()).digest()[:4]) / 2**32
    return term.ends - span * (1 + _JITTER * share)


@dataclass(frozen=True, slots=True)
class Attempts:
    """What became of ordering one thing; kept across restarts.

    ``failures`` in a row, and ``total`` of all; not again before ``pause``; ``succeeded`` is when it last went well (seconds
    since the epoch, 0.0: never); ``error`` why it did not the last time.
    """

    failures: int = 0
    total: int = 0
    pause: float = 0.0
    succeeded: float = 0.0
    error: str = ""

    def failed(self, now: float, draw: float, error: str, least: float = 0.0) -> Attempts:
        """Return what is known after another failure; ``draw`` is in [0, 1), the wait at least ``least`` seconds."""
        wait = min(LONGEST_WAIT, FIRST_WAIT * _GROWTH ** min(self.failures, 10))
        wait = max(wait, least) * (1 + _JITTER * draw)
        return Attempts(self.failures + 1, self.total + 1, now + wait, self.succeeded, error)

    def done(self, now: float, term: Term | None = None) -> Attempts:
        """Return what is known after it went well.

        Even then there is a pause, of an hour or half of what ``term`` leaves: whatever is wrong with clocks, files and
        lifetimes, nobody is asked for one certificate after the other.
        """
        pause = 0.0 if term is None else now + min(SPACING, max((term.ends - now) / 2, 0.0))
        return Attempts(total=self.total, pause=pause, succeeded=now)

    def waits(self, now: float) -> bool:
        """Whether it is too early for another try; a clock that was set back makes nobody wait longer than ever."""
        return now < self.pause <= now + LONGEST_WAIT * (1 + _JITTER) + 1
