"""Unix sockets that another process listens on as well; Twisted's own ports would change their mode and remove their path."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from twisted.internet import tcp, unix

from balancer.net.transports import ACCEPTS_PER_WAKEUP, UNIXServerTransport

__all__ = ["Adopted", "AdoptedUNIXPort"]


class Adopted:
    """A listening unix socket that others serve as well: neither its path (unless it is ``owned``) nor its permissions are ours."""

    owned = False
    _shouldShutdown = False

    if TYPE_CHECKING:  # what Twisted leaves without types
        factory: Any
        socket: Any
        fileno: Any
        connected: Any
        numberAccepts: int
        _preexistingSocket: Any

        def startReading(self) -> None: ...

    def startListening(self) -> None:
        """Begin to accept."""
        self.factory.doStart()
        self.socket, self._preexistingSocket = self._preexistingSocket, None
        self.fileno = self.socket.fileno
        self.connected = True
        self.numberAccepts = ACCEPTS_PER_WAKEUP
        self.startReading()

    def connectionLost(self, reason: Any) -> None:
        """Close our descriptor."""
        if self.owned:
            Path(os.fsdecode(self.socket.getsockname())).unlink(missing_ok=True)
        tcp.Port.connectionLost(self, reason)  # type: ignore[arg-type]  # the class that this is mixed into is one


class AdoptedUNIXPort(Adopted, unix.Port):
    """Such a socket, with our transports."""

    transport = UNIXServerTransport
