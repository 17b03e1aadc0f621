"""Which modules may be compiled, which of them are, and how a class says what the compiler has to know of it.

What every request runs through can be compiled with mypyc: half the CPU of our own part, see ``docs/performance.md``. That is a
matter of how the package is installed (``BALANCER_COMPILE=1 pip install ...``); without it the same files run as they are. ``setup.py``
reads :data:`MODULES` from here, without importing the package, so that this module imports nothing of it.

What is written in these modules is plain Python, but for a few habits that the compiler wants:

* A class has no base but those that are compiled too, and no decorators but :func:`mypyc_attr` and ``dataclass``: interfaces are
  declared with ``classImplements`` behind it.
* A class that others inherit from which are not compiled says so: ``@mypyc_attr(allow_interpreted_subclasses=True)``.
* Attributes keep the type that a base class gives them. What is known better is said to a local variable.
* Types are believed, and checked at run time where a value comes from code that has none.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mypy_extensions import mypyc_attr
else:

    def mypyc_attr(**_: bool) -> Any:
        """Say something of a class to the compiler; without one, nothing."""
        return lambda cls: cls


__all__ = ["MODULES", "how_it_runs", "mypyc_attr"]

MODULES = (
    "balancer.forwarding.attempts",
    "balancer.forwarding.exchange",
    "balancer.forwarding.headers",
    "balancer.forwarding.proxy",
    "balancer.forwarding.server_connection",
    "balancer.listeners.http.channel",
    "balancer.listeners.http.client_request",
    "balancer.listeners.http.ending",
    "balancer.listeners.http.recording",
    "balancer.listeners.http.request",
    "balancer.listeners.http.site",
    "balancer.listeners.http.walk",
    "balancer.model.decision",
    "balancer.model.exchange",
    "balancer.model.facts",
    "balancer.model.origin",
    "balancer.net.bare",
    "balancer.net.timers",
    "balancer.observe.access_log",
    "balancer.observe.records",
    "balancer.pools.algorithms.p2c",
    "balancer.pools.budget",
    "balancer.pools.idle",
    "balancer.pools.limits",
    "balancer.pools.pool",
    "balancer.pools.queue",
    "balancer.pools.retry",
    "balancer.pools.server",
    "balancer.pools.terms",
    "balancer.pools.timeouts",
    "balancer.routing.bucket",
    "balancer.routing.decide",
    "balancer.routing.table",
    "balancer.service.observing",
    "balancer.wire.http1.body",
    "balancer.wire.http1.encode",
    "balancer.wire.http1.fields",
    "balancer.wire.http1.first_line",
    "balancer.wire.http1.heads",
    "balancer.wire.http1.repeats",
    "balancer.wire.http1.requests",
    "balancer.wire.http1.responses",
    "balancer.wire.ids",
)
"""What is compiled, all together or not at all: they call each other past the interpreter."""


def how_it_runs(modules: Mapping[str, ModuleType] = sys.modules) -> str:
    """Return, in words, whether the request path is compiled, as far as it is among the ``modules`` that are loaded."""
    loaded = [modules[name] for name in MODULES if name in modules]
    native = [each for each in loaded if not str(each.__file__).endswith(".py")]
    if not native:
        return "interpreted"
    return "compiled" if len(native) == len(loaded) else f"compiled in part ({len(native)} of {len(loaded)} modules)"
