"""twistd's pid file while one process takes over from another: the new one writes it, the old one must not remove it."""

from __future__ import annotations

from collections.abc import MutableMapping
from pathlib import Path
from typing import Any

__all__ = ["PidFile"]


class PidFile:
    """The pid file of this process, if it has one.

    Args:
        settings: twistd's own, whose ``pidfile`` is removed at the end.
    """

    def __init__(self, settings: MutableMapping[str, Any] | None = None) -> None:
        self._settings = settings if settings is not None else {}
        self._before: Path | None = None

    def set_aside(self) -> None:
        """Make room for the one of a new process: ``balancer.pid`` becomes ``balancer.pid.old``."""
        name = self._settings.get("pidfile")
        if name:
            path = Path(name).absolute()
            aside = path.with_name(f"{path.name}.old")
            path.replace(aside)
            self._before, self._settings["pidfile"] = path, str(aside)

    def put_back(self) -> None:
        """Have it as before: no process has taken over."""
        if self._before is not None:
            Path(self._settings["pidfile"]).replace(self._before)
            self._settings["pidfile"], self._before = str(self._before), None
