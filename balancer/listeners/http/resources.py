"""The resources that come with the balancer: files of a directory, and WSGI applications."""

from __future__ import annotations

from collections.abc import Iterable

from balancer.hooks import hookimpl
from balancer.hooks.interfaces import IFactory

__all__ = ["balancer_resources"]


@hookimpl
def balancer_resources() -> Iterable[IFactory]:
    """Return the built-in resources."""
    return ()
