"""Files and folders that a configuration names and that are not there: doubtful (``balancer check --lint``), not wrong.

A folder of static files may be filled later, and a configuration be checked on another machine than its own. What the
balancer cannot start without, a ``!file`` or a WSGI application, is an error.
"""

from __future__ import annotations

import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from balancer.config.document import Loc
from balancer.config.listeners import HttpListener
from balancer.config.schema import Config
from balancer.errors import Problem
from balancer.hooks.plugged import Plugged
from balancer.hooks.settings import local_path

__all__ = ["missing_paths"]

_CODE = "missing-path"


def missing_paths(config: Config) -> Iterator[Problem]:
    """Yield a problem for each path that leads nowhere, or for the folder of what would be made there."""
    log = config.access_log
    if log is not None and log.path != "-" and not Path(log.path).parent.is_dir():
        message = f"there is no directory {Path(log.path).parent}: the log could not be opened"
        yield config.problem(("access_log", "path"), message, _CODE)
    for name, listener in config.listeners.items():
        for at, bind in enumerate(listener.bind):
            folder = Path(bind.removeprefix("unix:").partition(":")[0]).parent
            if bind.startswith("unix:") and not folder.is_dir():
                message = f"there is no directory {folder}: the socket could not be made"
                yield config.problem(("listeners", name, "bind", at), message, _CODE)
        if isinstance(listener, HttpListener):
            for order, route in enumerate(listener.routes):
                here = ("listeners", name, "routes", order)
                if route.resource is not None:
                    yield from _in_plugged(config, (*here, "resource"), route.resource)
                for at, each in enumerate(route.filters):
                    yield from _in_plugged(config, (*here, "filters", at), each)
            for at, each in enumerate(listener.filters):
                yield from _in_plugged(config, ("listeners", name, "filters", at), each)


def _in_plugged(config: Config, loc: Loc, plugged: Plugged) -> Iterator[Problem]:
    settings: BaseModel = plugged.settings
    for name, field in type(settings).model_fields.items():
        path = getattr(settings, name)
        if isinstance(path, str) and _is_path(field.annotation, field.metadata) and not Path(path).exists():
            loc_of_field = (*loc, plugged.name, field.alias or name)
            yield config.problem(loc_of_field, f"there is no file or directory {path}", _CODE)


def _is_path(annotation: Any, metadata: typing.Iterable[Any]) -> bool:
    """Whether a field is a :data:`~balancer.hooks.settings.LocalPath`, or one or nothing."""
    if any(getattr(each, "func", None) is local_path for each in metadata):
        return True
    for arm in typing.get_args(annotation):
        if typing.get_origin(arm) is typing.Annotated:
            inner, *more = typing.get_args(arm)
            if _is_path(inner, more):
                return True
    return False
