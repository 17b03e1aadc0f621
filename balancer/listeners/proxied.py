"""Connections that begin with a PROXY header, because a proxy in front passes its clients on: who may, and what came of it.

::

    accepted ── untrusted peer ────────────────> served as it is; refused where it can only be wrong
        └────── trusted peer ──> counted, but not as anybody's ──> ProxyLayer ──> header ──> counted as the client's ──> served
                                                                      └──> none, or a bad one ──> closed, counted, logged

Each listener has an :class:`Introductions`, which lives as long as the listener does; the :class:`ProxyPolicy` comes with
its settings, and is None where nothing is asked for: then nothing here is touched.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from math import inf
from typing import Protocol

from twisted.internet.interfaces import IProtocol
from twisted.logger import Logger

from balancer.forwarding.headers import TrustedPeers
from balancer.listeners.accept import Gate
from balancer.listeners.proxy_layer import ProxyLayer
from balancer.model.address import Peer
from balancer.model.origin import Origin
from balancer.net.timers import Wheel
from balancer.wire.proxy_protocol import Header

__all__ = ["SILENCE", "UNTRUSTED", "Introductions", "ProxyPolicy"]

UNTRUSTED = "untrusted"

SILENCE = 60.0
"""Seconds in which the log has one line about what is refused, whatever comes."""

_log = Logger()


@dataclass(frozen=True, slots=True)
class ProxyPolicy:
    """From whom headers are taken (``trusted``; unix sockets are), whether there must be one, seconds that it may take."""

    trusted: TrustedPeers
    required: bool = True
    timeout: float = 10.0

    def trusts(self, peer: Peer) -> bool:
        """Whether the header of a connection from ``peer`` is believed."""
        return not peer.host or peer.ip in self.trusted


class _Listener(Protocol):
    """What is needed of a listener."""

    name: str
    gate: Gate

    def serve(self, origin: Origin, host: str) -> IProtocol:
        """Return what serves a connection of ``origin``, admitted by the gate as one from ``host``."""

    def one_left(self) -> None:
        """A connection has ended."""


class Introductions:
    """The connections of one listener that have yet to say whose they are, and the count of those that did or did not.

    Args:
        listener: whose they are; ``serve`` is called when it is known who connects.
        wheel: the shared timer.
        now: tells the time in seconds.

    ``accepted`` counts headers by version (``"1"``, ``"2"``), ``refused`` connections by reason: those of
    :data:`balancer.wire.proxy_protocol.errors.REASONS`, those of :mod:`.proxy_layer`, and :data:`UNTRUSTED`.
    """

    def __init__(self, listener: _Listener, wheel: Wheel, now: Callable[[], float]) -> None:
        self._listener = listener
        self._wheel = wheel
        self._now = now
        self.accepted: Counter[str] = Counter()
        self.refused: Counter[str] = Counter()
        self.waiting: set[ProxyLayer] = set()
        self._silent_until = -inf
        self._unsaid = 0

    def begin(self, policy: ProxyPolicy, peer: Peer) -> ProxyLayer | None:
        """Return the lowest layer of a connection from the trusted ``peer``; None if the gate refuses it."""
        if not self._listener.gate.admit(""):
            return None
        layer = ProxyLayer(self, self._wheel, peer, policy.timeout, required=policy.required)
        self.waiting.add(layer)
        return layer

    def refuse(self, reason: str, peer: Peer, detail: str = "") -> None:
        """Count a connection that is closed for ``reason``; with a ``detail`` for the log, which is not told of each."""
        self.refused[reason] += 1
        if not detail:
            return
        now = self._now()
        if now < self._silent_until:
            self._unsaid += 1
            return
        more = f" ({self._unsaid} more were refused since the last such line)" if self._unsaid else ""
        self._silent_until, self._unsaid = now + SILENCE, 0
        _log.warn(
            "listener {listener} refused a connection from {peer}: {detail}{more}",
            listener=self._listener.name,
            peer=peer,
            detail=detail,
            more=more,
        )

    # From the layers.

    def introduced(self, layer: ProxyLayer, header: Header | None, origin: Origin) -> IProtocol | None:
        """Return what serves ``origin``, of whom ``header`` (None: there was none) told; None if the gate refuses it."""
        if header is not None:
            self.accepted[str(header.version)] += 1
        host = origin.peer.host
        if not self._listener.gate.identify(host):
            return None
        self.waiting.discard(layer)
        return self._listener.serve(origin, host)

    def left(self, layer: ProxyLayer) -> None:
        """A connection ended before it was known whose it is."""
        if layer in self.waiting:
            self.waiting.discard(layer)
            self._listener.gate.leave("")
            self._listener.one_left()

    def close(self) -> None:
        """Close every connection that has yet to say whose it is."""
        for layer in tuple(self.waiting):
            layer.close()

    def __repr__(self) -> str:
        return f"<Introductions {len(self.waiting)} waiting, {self.accepted.total()} accepted, {self.refused.total()} refused>"
