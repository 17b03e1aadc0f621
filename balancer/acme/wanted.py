"""Which certificates a configuration wants issued: for which names, by whom, proved how. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from balancer.acme.storage import certificate_path
from balancer.config.acme import Acme, is_name
from balancer.config.listeners import AnyListener, HttpListener, UdpListener

__all__ = ["Wanted", "names_of", "wanted_of"]


@dataclass(frozen=True, slots=True)
class Wanted:
    """One certificate: for ``name``, as the settings ``acme`` say."""

    name: str
    acme: Acme

    @property
    def path(self) -> str:
        """Where it is kept; two that are kept in one place are one."""
        return certificate_path(self.acme.storage, self.acme.directory, self.name)

    @property
    def file(self) -> str:
        """The last part of that."""
        return Path(self.path).name

    def __repr__(self) -> str:
        return f"<Wanted {self.name} from {self.acme.directory}>"


def names_of(listener: AnyListener) -> tuple[str, ...]:
    """Return the names that certificates of ``listener`` are to be issued for, each once."""
    tls = None if isinstance(listener, UdpListener) else listener.tls
    if tls is None or tls.acme is None:
        return ()
    if tls.acme.names is not None:
        return tuple(dict.fromkeys(tls.acme.names))
    routes = listener.routes if isinstance(listener, HttpListener) else ()
    hosts = (host for route in routes for host in route.match.host if is_name(host) and not host.wildcard)
    return tuple(dict.fromkeys(host.name for host in hosts))


def wanted_of(listeners: Iterable[AnyListener]) -> tuple[Wanted, ...]:
    """Return what is to be issued for ``listeners``: what several want is wanted once, as the first of them says."""
    found: dict[str, Wanted] = {}
    for listener in listeners:
        tls = None if isinstance(listener, UdpListener) else listener.tls
        if tls is not None and tls.acme is not None:
            for name in names_of(listener):
                each = Wanted(name, tls.acme)
                found.setdefault(each.path, each)
    return tuple(found.values())
