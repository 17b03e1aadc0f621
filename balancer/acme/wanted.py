"""Which certificates a configuration wants issued: for which names, by whom, proved how. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from balancer.acme.storage import certificate_path
from balancer.config.acme import Acme, is_name
from balancer.config.listeners import AnyListener, HttpListener, UdpListener

__all__ = ["Wanted", "wanted_by", "wanted_of"]

_SHOWN = 3
_USUAL = "ecdsa-p256"


@dataclass(frozen=True, slots=True)
class Wanted:
    """One certificate: for ``names``, of which there is at least one, as the settings ``acme`` say."""

    names: tuple[str, ...]
    acme: Acme

    @property
    def label(self) -> str:
        """What it is called in logs, metrics and the status."""
        more = len(self.names) - _SHOWN
        told = ", ".join(self.names[:_SHOWN]) + (f" and {more} more" if more > 0 else "")
        return told if self.acme.key_type == _USUAL else f"{told} ({self.acme.key_type})"

    @property
    def path(self) -> str:
        """Where it is kept; two that are kept in one place are one."""
        return certificate_path(self.acme.storage, self.acme.directory, self.key)

    @property
    def key(self) -> str:
        """What tells it from others of the authority: another set of names, or kind of key, is another certificate."""
        names = [each.replace("*.", "_wildcard.", 1) for each in self.names]
        key = names[0]
        if len(names) > 1:
            key += f"+{len(names) - 1}-{hashlib.sha256(' '.join(sorted(names)).encode()).hexdigest()[:12]}"
        return key if self.acme.key_type == _USUAL else f"{key}+{self.acme.key_type}"

    @property
    def file(self) -> str:
        """The last part of the path."""
        return Path(self.path).name

    def __repr__(self) -> str:
        return f"<Wanted {self.label} from {self.acme.directory}>"


def wanted_by(listener: AnyListener) -> tuple[Wanted, ...]:
    """Return the certificates that are to be issued for ``listener``, each once."""
    tls = None if isinstance(listener, UdpListener) else listener.tls
    if tls is None or tls.acme is None:
        return ()
    groups = tls.acme.names
    if groups is None:
        routes = listener.routes if isinstance(listener, HttpListener) else ()
        hosts = (host for route in routes for host in route.match.host if is_name(host) and not host.wildcard)
        groups = tuple((host.name,) for host in hosts)
    found = (Wanted(names, tls.acme) for names in groups)
    return tuple({each.path: each for each in found}.values())


def wanted_of(listeners: Iterable[AnyListener]) -> tuple[Wanted, ...]:
    """Return what is to be issued for ``listeners``: what several want is wanted once, as the first of them says."""
    found: dict[str, Wanted] = {}
    for listener in listeners:
        for each in wanted_by(listener):
            found.setdefault(each.path, each)
    return tuple(found.values())
