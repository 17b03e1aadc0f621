"""What a tunnel has at either side: something to write to, to pause, and to close, whatever it is made of."""

from __future__ import annotations

from typing import Any, Protocol

from balancer.model.address import Peer
from balancer.net.unsent import unacknowledged

__all__ = ["TransportEnd", "TunnelEnd", "to_peer"]


def to_peer(address: Any) -> Peer:
    """Return a Twisted address as a :class:`~balancer.model.address.Peer`; one of a unix socket has no host."""
    host = getattr(address, "host", None)
    return Peer("", 0) if host is None else Peer(host, address.port)


class TunnelEnd(Protocol):
    """One end of a tunnel. What it says, and that it is gone, the tunnel is told by whoever made it.

    It is the producer of what it says: asked to pause, it must soon say nothing more. ``stopProducing`` means nothing to
    it, as transports call it when they are gone, and what becomes of this end then is for the tunnel to decide.
    """

    def write(self, data: bytes) -> None:
        """Send ``data`` after all that was written before it."""

    def pauseProducing(self) -> None:
        """Read no more from it for now."""

    def resumeProducing(self) -> None:
        """Read on."""

    def stopProducing(self) -> None:
        """Part of the interface of producers."""

    def feed_from(self, producer: Any) -> None:
        """Pause ``producer``, an end, while too much waits to be sent to this one."""

    def feed_no_more(self) -> None:
        """There is no producer any more; whoever was one is to be resumed by the caller."""

    def end(self) -> None:
        """Say that no more will be written (a FIN); it may still be read from."""

    def close(self) -> None:
        """Close once all that was written is sent."""

    def abort(self) -> None:
        """Close now, with a reset."""

    def unsent(self) -> int:
        """Return how many bytes the other side has not received yet, as far as can be known."""


class TransportEnd:
    """An end that is a connection of its own."""

    __slots__ = ("_transport", "pauseProducing", "resumeProducing", "write")

    def __init__(self, transport: Any) -> None:
        self._transport = transport
        self.write = transport.write
        self.pauseProducing = transport.pauseProducing
        self.resumeProducing = transport.resumeProducing

    def stopProducing(self) -> None:
        """Nothing: the tunnel is told of what has ended by other means."""

    def feed_from(self, producer: Any) -> None:
        """Pause ``producer`` while too much waits to be sent."""
        self._transport.registerProducer(producer, True)

    def feed_no_more(self) -> None:
        """There is no producer any more."""
        self._transport.unregisterProducer()

    def end(self) -> None:
        """Send a FIN after what was written."""
        transport = self._transport
        transport.unregisterProducer()  # a transport may wait for its producer's last word before it sends FIN
        transport.loseWriteConnection()

    def close(self) -> None:
        """Close once all is sent."""
        self._transport.unregisterProducer()
        self._transport.loseConnection()

    def abort(self) -> None:
        """Close now."""
        self._transport.unregisterProducer()
        self._transport.abortConnection()

    def unsent(self) -> int:
        """Return how much is queued here or in the kernel."""
        return unacknowledged(self._transport)

    def __repr__(self) -> str:
        return f"<TransportEnd {self._transport!r}>"
