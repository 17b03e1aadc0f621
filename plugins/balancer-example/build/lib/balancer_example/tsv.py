"""An access log format: tab-separated values."""

from __future__ import annotations

from typing import Any

from zope.interface import implementer

from balancer.hooks.interfaces import IAccessLogFormat


@implementer(IAccessLogFormat)
class Tsv:
    """Time, client, what was asked for, status or reason, server, seconds."""

    def exchange(self, record: Any) -> str:
        """Return the line for an exchange."""
        return _line(record, f"{record.method} {record.target}", str(record.status))

    def session(self, record: Any) -> str:
        """Return the line for a TCP session or UDP flow."""
        return _line(record, record.protocol, record.reason or "-")


def _line(record: Any, what: str, outcome: str) -> str:
    values = (f"{record.started:.3f}", record.client, what, outcome, record.server or "-", f"{record.total:.6f}")
    return "\t".join(value.replace("\t", " ") for value in values)
