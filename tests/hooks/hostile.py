"""Packages that do what they must not, installed the way pip does: a module and a ``.dist-info`` in a folder."""

from __future__ import annotations

from pathlib import Path

__all__ = ["HOSTILE", "install"]

HOSTILE = '''
"""Raises in every method."""
from zope.interface import implementer
from balancer.hooks import hookimpl
from balancer.hooks.interfaces import (
    Factory, IAccessLogFormat, ICheck, IFilter, IFlags, IMatcher, IObservingAlgorithm, IProbe,
)
from balancer.model.inspection.terms import CheckTerms

class Anything:
    key = None
    stable = False
    body_limit = 0
    def _raise(self, *arguments):
        raise RuntimeError("hostile")
    prepare = candidates = finished = matches = describe = request = response = inspect = probe = exchange = session = _raise

def of(interface, methods):
    names = {"key": None, "stable": False, "body_limit": 0, "terms": CheckTerms()}
    for name, arguments in methods.items():
        exec(f"def {name}(self, {arguments}): raise RuntimeError('hostile')", globals(), names)
    return implementer(interface)(type("Hostile", (), names))

Algorithm = of(IObservingAlgorithm, {"prepare": "servers", "candidates": "choice", "finished": "server, seconds, ok"})
Matcher = of(IMatcher, {"matches": "facts", "describe": ""})
Filter = of(IFilter, {"request": "exchange", "response": "exchange", "describe": "exchange"})
Check = of(ICheck, {"inspect": "subject, phase"})
Probe = of(IProbe, {"probe": "connect, server"})
Flags = of(IFlags, {"value": "name, facts"})
Format = of(IAccessLogFormat, {"exchange": "record", "session": "record"})

@hookimpl
def balancer_algorithms(): return [Factory("hostile", lambda settings: Algorithm())]
@hookimpl
def balancer_matchers(): return [Factory("hostile", lambda settings: Matcher())]
@hookimpl
def balancer_filters(): return [Factory("hostile", lambda settings: Filter())]
@hookimpl
def balancer_checks(): return [Factory("hostile", lambda settings: Check())]
@hookimpl
def balancer_probes(): return [Factory("hostile", lambda settings: Probe())]
@hookimpl
def balancer_flags(): return [Factory("hostile", lambda settings: Flags())]
@hookimpl
def balancer_access_log_formats(): return [Factory("hostile", lambda settings: Format())]
'''


def install(folder: Path, name: str, source: str) -> None:
    """Install the distribution ``name``, whose one module holds ``source``, into ``folder``."""
    module = name.replace("-", "_")
    (folder / f"{module}.py").write_text(source)
    info = folder / f"{module}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[balancer]\n{module} = {module}\n")
