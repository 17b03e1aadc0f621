"""The source of flags ``file`` for balancer."""

from __future__ import annotations

from collections.abc import Iterable

from balancer.hooks import hookimpl
from balancer.hooks.interfaces import Factory, IFactory
from balancer_flags_file.source import FileSettings, FlagsFile


@hookimpl
def balancer_flags() -> Iterable[IFactory]:
    """``flags: {file: flags.yaml}``."""
    return [Factory("file", lambda settings: FlagsFile(settings.path), FileSettings, "path")]
