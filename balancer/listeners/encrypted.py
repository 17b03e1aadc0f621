"""A client's TLS handshake on a listener: begun, limited in time, counted; then its connection goes to whoever speaks on it.

::

    accepted ──> Handshake ──done──> speak(origin): the channel or session, above TLS from then on
                     ├── an authority that was shown a proof ──> closed
                     ├── refused, broken off, too slow ──> counted, written to the service's log, left
                     └── no TLS at all, but HTTP ──> told so in plain words

Nothing was asked for by then, so there is no record in the access log. Lines of the service's log are rationed: anybody can cause them.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from twisted.internet.interfaces import IProtocol
from twisted.logger import Logger

from balancer.forwarding.session import to_peer
from balancer.listeners.rationed import Rationed
from balancer.model.origin import Origin
from balancer.model.tls import TLSInfo
from balancer.net.secured import Secured
from balancer.net.timers import Wheel
from balancer.tls.faults import CLOSED, NOT_TLS, RESET, TIMEOUT, Fault
from balancer.tls.server_contexts import ServerContexts

__all__ = ["Handshake", "Handshakes"]

_log = Logger()

_HTTP = re.compile(rb"[A-Z]{3,10} ")
_TOLD = b"This port speaks HTTPS: ask for https://\n"
_PLAIN = (
    b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%b"
    % (len(_TOLD), _TOLD)
)


class Handshakes:
    """What the handshakes of one listener came to: numbers by version, of those resumed, and by kind of failure.

    Args:
        listener: its name.
        now: the time, in seconds of any clock.
    """

    __slots__ = ("_listener", "_now", "_rationed", "done", "failed", "resumed")

    def __init__(self, listener: str, now: Callable[[], float]) -> None:
        self.done: dict[str, int] = {}
        self.failed: dict[str, int] = {}
        self.resumed = 0
        self._listener = listener
        self._now = now
        self._rationed = Rationed()

    def succeeded(self, info: TLSInfo) -> None:
        """Count one that is done."""
        self.done[info.version] = self.done.get(info.version, 0) + 1
        self.resumed += info.resumed

    def came_to_nothing(self, kind: str) -> None:
        """Count one that failed; ``kind`` is one of :mod:`balancer.tls.faults`."""
        self.failed[kind] = self.failed.get(kind, 0) + 1

    def tell(self, peer: str, sni: str, kind: str, words: str) -> None:
        """Write that one failed to the log, unless too many have in a short while."""
        if not self._rationed.allows(self._now()):
            return
        more = self._rationed.take_unwritten()
        _log.info(
            "listener {listener}: TLS handshake with {peer}{name} failed, {kind}: {words}{more}",
            listener=self._listener,
            peer=peer,
            name=f", who asks for {sni!r}," if sni else "",
            kind=kind,
            words=words,
            more=f" ({more} failures before were not written)" if more else "",
        )

    def __repr__(self) -> str:
        return f"<Handshakes done {sum(self.done.values())}, failed {sum(self.failed.values())}>"


class Handshake:
    """One client in the middle of its handshake. ``protocol`` is that of its connection, to stay so.

    Args:
        contexts: how the listener speaks TLS.
        wheel: the shared timer.
        counts: of the listener.
        speak: called with this and the origin when it is done; returns the protocol above TLS.
        left: called once with this if there is nobody to speak to.
        http: whether a client that speaks plain HTTP is told which port this is.
        origin: who connects, where a PROXY header has told.
    """

    __slots__ = ("_counts", "_left", "_origin", "_session", "_speak", "is_ending", "protocol")

    def __init__(
        self,
        contexts: ServerContexts,
        wheel: Wheel,
        counts: Handshakes,
        speak: Callable[[Handshake, Origin], IProtocol | None],
        left: Callable[[Handshake], Any],
        *,
        http: bool = False,
        origin: Origin | None = None,
    ) -> None:
        self._counts = counts
        self._origin = origin
        self._speak = speak
        self._left = left
        self._session = contexts.session()
        self.is_ending = False
        """Whether what is spoken afterwards is to end soon."""
        self.protocol = Secured(self._session, self._done, self._failed, first=self._first if http else None)
        self.protocol.limit(wheel, contexts.settings.handshake_timeout, self._timed_out)

    def _done(self, secured: Secured) -> IProtocol | None:
        info = self._session.info()
        self._counts.succeeded(info)
        if self._session.proves:  # an authority has seen what it wanted
            self._left(self)
            return None
        return self._speak(self, Origin(to_peer(secured.getPeer()), to_peer(secured.getHost()), info))

    def _failed(self, fault: Fault | None) -> None:
        if fault is not None:
            self._ends(fault.kind, str(fault))
        elif self.protocol.is_cut:
            self._ends(CLOSED, "the client closed the connection")
        else:
            self._ends(RESET, "the client reset the connection")

    def _timed_out(self) -> None:
        if self.protocol.give_up():
            self._ends(TIMEOUT, "it took too long")

    def _ends(self, kind: str, words: str) -> None:
        self._counts.came_to_nothing(kind)
        # Who only looks whether the port is open, as health checks do, is not worth a line.
        if kind not in (CLOSED, RESET) or self._session.has_heard:
            peer = self._origin.peer if self._origin is not None else to_peer(self.protocol.getPeer())
            self._counts.tell(str(peer), self._session.sni, kind, words)
        self._left(self)

    def _first(self, data: bytes) -> bytes | None:
        """Return what a client is told that speaks HTTP where TLS is spoken; None for all others."""
        if _HTTP.match(data) is None:
            return None
        self._ends(NOT_TLS, "plain HTTP was spoken, and answered with 400")
        return _PLAIN

    # What a listener does with all of its connections when it drains.

    def announce_end(self) -> None:
        """Let the first request be the last."""
        self.is_ending = True

    def drain(self) -> None:
        """It goes on: its time is limited, and nothing was served yet."""

    def drain_tunnel(self) -> None:
        """It is none."""

    def abort(self) -> None:
        """Close now."""
        if self.protocol.give_up():
            self._counts.came_to_nothing(CLOSED)
            self._left(self)

    def __repr__(self) -> str:
        return f"<Handshake of {self._session!r}>"
