"""Which reactor the balancer runs on, where nobody has chosen one: ``twistd --reactor=…`` and an import both have.

=========  =================================================================================================
``uv``     :mod:`.reactor`: streams are libuv's own; where uvloop is installed
``epoll``  :mod:`.polling`: Twisted's epoll reactor in batches; on Linux
=========  =================================================================================================

Elsewhere it is Twisted's own choice. The environment variable ``BALANCER_REACTOR`` names one too.
"""

from __future__ import annotations

import os
import sys
from importlib.util import find_spec
from typing import Any

from balancer.errors import BalancerError

__all__ = ["DEFAULT", "NAMES", "install", "name_of", "reactor_is_chosen"]

NAMES = ("uv", "epoll")
"""The reactors that can be asked for by name."""

DEFAULT = "uv"


def reactor_is_chosen() -> bool:
    """Whether this process has a reactor already: ``twistd --reactor=…`` was given, or somebody imported one."""
    return "twisted.internet.reactor" in sys.modules


def install(name: str | None = None) -> None:
    """Make the reactor ``name`` that of the process, or without a name the default, unless there is one already.

    Raises:
        BalancerError: if one was asked for that there is not, or that cannot be had here.
    """
    if reactor_is_chosen():
        return
    name = name or os.environ.get("BALANCER_REACTOR") or None
    if name is not None and name not in NAMES:
        raise BalancerError(f"BALANCER_REACTOR: expected {' or '.join(NAMES)}, got {name!r}")
    try:
        _install(name)
    except ImportError as missing:
        raise BalancerError(f"the reactor {name} cannot be had here: {missing}") from missing


def _install(name: str | None) -> None:
    if name == "uv" or (name is None and DEFAULT == "uv" and _has_uv()):
        from balancer.net.reactor import install as install_uv

        install_uv()
        return
    from balancer.net import polling

    if name == "epoll" and not polling.HAS_EPOLL:
        raise ImportError("this platform has no epoll")
    polling.install()


def name_of(reactor: Any) -> str:
    """Return what ``reactor`` is called where one is asked for by name; its class where it has no name."""
    kind = type(reactor)
    return {"UVReactor": "uv", "BatchingEPollReactor": "epoll, in batches"}.get(kind.__name__, kind.__name__)


def _has_uv() -> bool:
    if sys.platform != "linux":
        return False
    try:
        return find_spec("uvloop") is not None
    except ValueError:  # somebody keeps it from being imported
        return False
