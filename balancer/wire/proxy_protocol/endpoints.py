"""The two ends of a connection as both versions need them: of one family, and as the rest of the balancer writes them."""

from __future__ import annotations

import ipaddress

from balancer.model.address import IPAddress, Peer

__all__ = ["as_peer", "family_of"]

_NOWHERE: dict[int, IPAddress] = {4: ipaddress.IPv4Address(0), 6: ipaddress.IPv6Address(0)}


def as_peer(address: IPAddress, port: int) -> Peer:
    """Return an end as a peer; an IPv4-mapped IPv6 address is the IPv4 address that it is, as for any connection."""
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return Peer(str(address), port)


def family_of(source: Peer, destination: Peer) -> tuple[IPAddress, IPAddress] | None:
    """Return the addresses of both ends, in one family; None if ``source`` has none.

    Where one is IPv4 and the other IPv6 the former is IPv4-mapped; a ``destination`` without address (a unix socket) is all zeros.
    """
    here, there = source.ip, destination.ip
    if here is None:
        return None
    if there is None:
        return _unscoped(here), _NOWHERE[here.version]
    if here.version != there.version:
        return _as_six(here), _as_six(there)
    return _unscoped(here), _unscoped(there)


def _as_six(address: IPAddress) -> IPAddress:
    return ipaddress.IPv6Address(f"::ffff:{address}") if address.version == 4 else _unscoped(address)


def _unscoped(address: IPAddress) -> IPAddress:
    """Return ``address`` without its scope, which means nothing on another machine."""
    if isinstance(address, ipaddress.IPv6Address) and address.scope_id is not None:
        return ipaddress.IPv6Address(address.packed)
    return address
