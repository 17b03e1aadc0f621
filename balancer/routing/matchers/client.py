"""The client's address: in one of some networks.

Looking an address up costs one set lookup for each prefix length in use, whatever the number of networks.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from zope.interface import implementer

from balancer.hooks.interfaces import IMatcher
from balancer.model.address import IPAddress
from balancer.model.facts import RequestFacts
from balancer.model.patterns import Network

__all__ = ["ClientMatcher", "Networks"]


class Networks:
    """A set of IPv4 and IPv6 networks that can be asked for an address."""

    __slots__ = ("_four", "_six")

    def __init__(self, networks: tuple[Network, ...]) -> None:
        self._four = _by_length(networks, 4, 32)
        self._six = _by_length(networks, 6, 128)

    def __contains__(self, ip: IPAddress | None) -> bool:
        if ip is None:
            return False
        number = int(ip)
        return any(number >> shift in known for shift, known in (self._four if ip.version == 4 else self._six))


def _by_length(networks: tuple[Network, ...], version: int, bits: int) -> tuple[tuple[int, frozenset[int]], ...]:
    found: dict[int, set[int]] = {}
    for network in networks:
        if network.version == version:
            shift = bits - network.prefixlen
            found.setdefault(shift, set()).add(int(network.network_address) >> shift)
    return tuple((shift, frozenset(known)) for shift, known in sorted(found.items()))


@implementer(IMatcher)
@dataclass(frozen=True, slots=True)
class ClientMatcher:
    """Holds where the client's address is in one of ``networks``; never for a client on a unix socket."""

    networks: tuple[Network, ...]
    _known: Networks = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_known", Networks(self.networks))

    def matches(self, facts: RequestFacts) -> bool:
        """Return whether the client's address is in one of the networks."""
        return facts.peer.ip in self._known

    def describe(self) -> str:
        """Return ``client in 10.0.0.0/8 or 2001:db8::/32``."""
        return f"client in {' or '.join(map(str, self.networks))}"
