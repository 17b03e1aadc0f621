"""A matcher: is it a working hour?"""

from __future__ import annotations

import time
from collections.abc import Callable

from pydantic import Field
from zope.interface import implementer

from balancer.hooks.interfaces import IMatcher
from balancer.hooks.settings import Settings
from balancer.model.facts import RequestFacts


class OfficeHoursSettings(Settings):
    """When the office is open, by the machine's clock."""

    begin: int = Field(default=9, ge=0, le=23, description="The first hour.")
    end: int = Field(default=17, ge=1, le=24, description="The hour before which it closes.")
    weekends: bool = Field(default=False, description="Whether Saturday and Sunday count.")


@implementer(IMatcher)
class OfficeHours:
    """Holds from ``begin`` to ``end``."""

    def __init__(self, settings: OfficeHoursSettings, now: Callable[[], time.struct_time] = time.localtime) -> None:
        if settings.begin >= settings.end:
            raise ValueError("expected begin before end")
        self._settings = settings
        self._now = now

    def matches(self, facts: RequestFacts) -> bool:
        """Return whether the office is open; the request does not matter."""
        now = self._now()
        open_today = self._settings.weekends or now.tm_wday < 5
        return open_today and self._settings.begin <= now.tm_hour < self._settings.end

    def describe(self) -> str:
        """Say when."""
        return f"the hour is from {self._settings.begin} to {self._settings.end}"
