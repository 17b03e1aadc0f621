"""What is known of each certificate that is wanted from an authority, and how operators are told of it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from prometheus_client.metrics_core import Metric

from balancer.acme.schedule import Attempts, Term, Window, renewal
from balancer.acme.storage import Storage
from balancer.acme.wanted import Wanted
from balancer.observe.metrics import counter, gauge
from balancer.tls.validity import moment

__all__ = ["Known", "order_metrics"]

_DAY = 86400.0 * 1.1


@dataclass(slots=True)
class Known:
    """One certificate that is wanted: what there is of it."""

    wanted: Wanted
    storage: Storage
    term: Term | None
    attempts: Attempts
    window: Window | None

    @property
    def authority(self) -> str:
        """Which of all authorities is asked."""
        return str(self.storage.folder)

    @property
    def due(self) -> float:
        """When it is to be ordered; 0.0: it is not there."""
        return 0.0 if self.term is None else renewal(self.term, self.wanted.acme.renew_before, self.window)

    def pause(self, authority: Attempts) -> float:
        """Until when it is not ordered; ``authority`` is what is known of all of its orders."""
        return max(self.attempts.pause, authority.pause)

    def state(self, authority: Attempts, now: float) -> str:
        """Return ``good``, ``due`` or ``waiting``."""
        if self.due > now:
            return "good"
        return "waiting" if self.pause(authority) > now else "due"

    def report(self, authority: Attempts, now: float, *, ordering: bool) -> dict[str, Any]:
        """Return its state as plain values; ``ordering``: it is being ordered."""
        wanted, attempts, pause = self.wanted, self.attempts, self.pause(authority)
        return {
            "name": wanted.label,
            "names": list(wanted.names),
            "directory": wanted.acme.directory,
            "challenge": wanted.acme.challenge,
            "state": "ordering" if ordering else self.state(authority, now),
            "expires": moment(self.term.ends) if self.term is not None else "",
            "renewal": moment(self.due) if self.term is not None else "",
            "suggested": self.suggested,
            "issued": moment(attempts.succeeded) if attempts.succeeded else "",
            "failures": attempts.failures,
            "error": attempts.error or authority.error,
            "next": moment(pause) if self.due <= now < pause else "",
        }

    @property
    def suggested(self) -> bool:
        """Whether that is what the authority suggests."""
        window, term = self.window, self.term
        return bool(window and term and window.fingerprint == term.fingerprint and window.ends)

    def is_to_be_asked(self, now: float) -> bool:
        """Whether the authority is to be asked when it would have it renewed."""
        term, window = self.term, self.window
        if term is None or term.ends <= now:
            return False
        return window is None or window.fingerprint != term.fingerprint or not now < window.again <= now + _DAY


def order_metrics(orders: Iterable[Known]) -> Iterator[Metric]:
    """Yield the metrics of certificates by name."""
    succeeded = gauge(
        "acme_last_success_timestamp_seconds", "When the certificate was last issued, 0: not known.", ("name",)
    )
    due = gauge(
        "acme_renewal_timestamp_seconds", "From when on the certificate is renewed, 0: there is none yet.", ("name",)
    )
    failures = counter("acme_failures", "Orders of the certificate that came to nothing, restarts included.", ("name",))
    row = gauge("acme_failures_in_a_row", "Orders that came to nothing since the last that went well.", ("name",))
    for name, each in {each.wanted.label: each for each in orders}.items():
        succeeded.add_metric((name,), each.attempts.succeeded)
        due.add_metric((name,), each.due)
        failures.add_metric((name,), each.attempts.total)
        row.add_metric((name,), each.attempts.failures)
    yield from (succeeded, due, failures, row)
