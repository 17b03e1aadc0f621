"""Connecting to a server, whatever the number of its addresses."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from twisted.internet.defer import CancelledError, Deferred, fail
from twisted.python.failure import Failure

from balancer.errors import ExchangeError, Side
from balancer.model.address import Address
from balancer.pools.server import Server

__all__ = ["Connect", "dial", "is_ours"]

P = TypeVar("P")

Connect = Callable[[Address, Any, float], "Deferred[Any]"]
"""``connect(address, protocol, timeout)``: makes one attempt; fires with the protocol, fails if it cannot."""


def dial(connect: Connect, server: Server, protocol: P, timeout: float) -> Deferred[P]:
    """Connect ``protocol`` to ``server``: to the next of its addresses, and if that fails to its others.

    Args:
        connect: makes one attempt.
        server: where to.
        protocol: the Twisted protocol to connect.
        timeout: seconds for each attempt.

    Returns:
        The protocol once connected. Fails as the last attempt did; cancel it to give up.
    """
    left = len(server.endpoints) - 1
    if left < 1:
        return connect(server.next_endpoint(), protocol, timeout)
    return _attempt(connect, server, protocol, timeout, left)


def is_ours(failure: Failure) -> bool:
    """Whether ``failure`` says something of this process (it has no descriptors left), and nothing of the server."""
    return isinstance(failure.value, ExchangeError) and failure.value.reason.side is Side.US


def _attempt(connect: Connect, server: Server, protocol: P, timeout: float, left: int) -> Deferred[P]:
    endpoint = server.next_endpoint()

    def failed(failure: Failure) -> Deferred[P]:
        if isinstance(failure.value, CancelledError) or is_ours(failure):
            return fail(failure)
        server.endpoint_failed(endpoint)
        return _attempt(connect, server, protocol, timeout, left - 1) if left else fail(failure)

    connected: Deferred[P] = connect(endpoint, protocol, timeout)
    return connected.addErrback(failed)
