"""Which reactor the balancer runs on, where nobody has chosen one: ``twistd --reactor=…`` and an import both have.

=========  =================================================================================================
``uv``     :mod:`.reactor`: streams are libuv's own; where uvloop is installed
``epoll``  :mod:`.polling`: Twisted's epoll reactor in batches; on Linux
=========  =================================================================================================

Elsewhere it is Twisted's own choice.
"""

from __future__ import annotations

import sys
from importlib.util import find_spec
from typing import Any

__all__ = ["DEFAULT", "NAMES", "install", "name_of", "reactor_is_chosen"]

NAMES = ("uv", "epoll")
"""The reactors that can be asked for by name."""

DEFAULT = "epoll"


def reactor_is_chosen() -> bool:
    """Whether this process has a reactor already: ``twistd --reactor=…`` was given, or somebody imported one."""
    return "twisted.internet.reactor" in sys.modules


def install(name: str | None = None) -> None:
    """Make the reactor ``name`` that of the process, or without a name the default, unless there is one already.

    Raises:
        ImportError: if ``name`` was asked for, and cannot be had.
    """
    if reactor_is_chosen():
        return
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
    return sys.platform == "linux" and find_spec("uvloop") is not None
