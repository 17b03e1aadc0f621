"""One configuration, fully built: everything the listeners of a service work by, immutable once it is in use."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from balancer.config.schema import Config
from balancer.forwarding.encrypting import Encryption
from balancer.hooks.interfaces import IAccessLogFormat
from balancer.hooks.registry import Registry
from balancer.listeners.http.site import Site
from balancer.listeners.tcp import TCPSettings
from balancer.listeners.udp import UDPSettings
from balancer.pools.pool import Pool
from balancer.service.encryption import believing
from balancer.tls.client_contexts import ClientContext
from balancer.tls.shelf import Shelf

__all__ = ["ListenerSettings", "Snapshot"]

ListenerSettings = Site | TCPSettings | UDPSettings


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A configuration, built and checked, with nothing of it open or running yet.

    ``listeners`` holds what each listener serves by, under its name; ``log_format`` makes the lines of the access log,
    None where there is no log; ``shelves`` holds the certificates of each listener that has some, ``pool_shelves`` those of each
    pool that speaks TLS, and ``encryptions`` how it does.
    """

    config: Config
    registry: Registry
    pools: Mapping[str, Pool]
    listeners: Mapping[str, ListenerSettings]
    log_format: IAccessLogFormat | None = None
    shelves: Mapping[str, Shelf] = field(default_factory=dict)
    pool_shelves: Mapping[str, Shelf] = field(default_factory=dict)
    encryptions: Mapping[str, Encryption] = field(default_factory=dict)

    def show(self, listener: str) -> None:
        """Have a listener show what is on its shelf now, to clients that come from now on."""
        settings, shelf = self.listeners[listener], self.shelves[listener]
        contexts = None if isinstance(settings, UDPSettings) else settings.tls
        if contexts is not None:
            contexts.use(shelf.choice, shelf.authorities)

    def believe(self, pool: str) -> None:
        """Have a pool go by what is on its shelf now, in connections to servers that are made from now on."""
        encryption = self.encryptions[pool]
        encryption.use(ClientContext(believing(encryption.settings, self.pool_shelves[pool])))
