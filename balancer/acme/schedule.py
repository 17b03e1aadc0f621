"""When a certificate is ordered: early enough, not all on one day, and never again and again in vain. Pure.

::

    issued ──────────────────── renewal ─────── end         renewal: ``renew_before`` the end, or a third of the lifetime
                              ▲ up to a tenth of that earlier, each certificate by its own share
           └ window ┘                                      or, where the authority suggests one, within it (RFC 9773)

    failed ── 2 min ── failed ── 6 min ── failed ── 18 min ── … ── 12 h     authorities count failures: five an hour are too many
"""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime

__all__ = [
    "FIRST_WAIT",
    "LONGEST_WAIT",
    "RATE_LIMITED",
    "SPACING",
    "Attempts",
    "Term",
    "Window",
    "renewal",
    "retry_after",
]

FIRST_WAIT = 120.0
_GROWTH = 3.0
LONGEST_WAIT = 12 * 3600.0
RATE_LIMITED = 3600.0
"""Seconds to wait at least, when an authority says that it was asked too often."""
SPACING = 3600.0
"""Seconds between two certificates for one name."""
_JITTER = 0.1
_LAST = 0.1
_DAY = 86400.0


@dataclass(frozen=True, slots=True)
class Term:
    """For how long a certificate is good, in seconds since the epoch; ``fingerprint`` tells it from others."""

    begins: float
    ends: float
    fingerprint: str


@dataclass(frozen=True, slots=True)
class Window:
    """When an authority suggests to renew the certificate with ``fingerprint``: between ``begins`` and ``ends``, 0.0: it does not.

    It is asked again at ``again``; ``why`` is where it explains itself, a URL. All in seconds since the epoch; kept across restarts.
    """

    fingerprint: str
    begins: float = 0.0
    ends: float = 0.0
    again: float = 0.0
    why: str = ""


def renewal(term: Term, before: float, window: Window | None = None) -> float:
    """Return when the certificate is to be renewed.

    It depends on nothing but the certificate, ``before``, seconds before its end, and ``window``: a restart changes nothing. A window that is
    another certificate's does not count; the last tenth of the lifetime is not waited for, whatever the authority suggests.
    """
    share = int.from_bytes(hashlib.sha256(term.fingerprint.encode()).digest()[:4]) / 2**32
    lifetime = max(term.ends - term.begins, 0.0)
    if window is not None and window.fingerprint == term.fingerprint and window.ends:
        return min(window.begins + share * (window.ends - window.begins), term.ends - _LAST * lifetime)
    span = min(before, lifetime / 3)
    return term.ends - span * (1 + _JITTER * share)


def retry_after(text: str, otherwise: float, now: float | None = None) -> float:
    """Return for how many seconds ``Retry-After: text`` asks us to wait (RFC 9110 section 10.2.3), at most a day.

    ``now`` is the time, in seconds since the epoch, for those that name a moment; ``otherwise`` is returned for what is none of both.
    """
    text = text.strip()
    if text.isascii() and text.isdigit():
        return min(float(text[:9]), _DAY)
    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        return otherwise
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return min(max(moment.timestamp() - (time.time() if now is None else now), 0.0), _DAY)


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
        """Return what is known after another failure; ``draw`` is in [0, 1), the wait at least ``least`` seconds, which are a day at most."""
        wait = min(LONGEST_WAIT, FIRST_WAIT * _GROWTH ** min(self.failures, 10))
        wait = max(wait, min(least, _DAY)) * (1 + _JITTER * draw)
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
        return now < self.pause <= now + _DAY * (1 + _JITTER) + 1
