"""TLS between a connection and what speaks on it: a protocol to the transport below, a transport to the protocol above.

::

    socket ──ciphertext──> Secured.dataReceived ──plaintext──> above.dataReceived
    socket <──ciphertext── session.send, once for each batch <──plaintext── above.transport.write

It waits for the handshake, then asks ``then`` for the protocol above. What TLS is, the ``session`` knows (:mod:`balancer.tls`); this moves bytes.

Closing: ``loseConnection`` and ``loseWriteConnection`` send close_notify after everything that was written. The other end's close_notify is the end of
what it says, as FIN is on a plain connection. An end without it may be somebody cutting the connection in the middle, and is reported as a
lost connection (RFC 8446 section 6.1), never as an orderly one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from twisted.internet.error import ConnectionLost
from twisted.internet.interfaces import IConsumer, IHalfCloseableProtocol, IProtocol, IPushProducer, ITransport
from twisted.python.failure import Failure
from zope.interface import implementer

from balancer.net.secure_session import SecureSession
from balancer.net.timers import Entry, Wheel

__all__ = ["Secured"]

CORK_SIZE = 32768
"""Bytes that may wait for the end of the reactor's batch, to be encrypted and sent together."""


@implementer(IProtocol, IHalfCloseableProtocol, IConsumer, IPushProducer, ITransport)
class Secured:
    """One connection.

    Args:
        session: its TLS, not begun.
        then: called with this once the handshake is done; returns the protocol above, or None to close.
        failed: called with what went wrong if the handshake fails; None: the connection is gone.
        speaks_first: whether the handshake's first word is ours.
        stands: called once it is done and the protocol above, or None, knows.
        first: looks at the first bytes that come; returns what to answer instead of TLS before closing, None to go on.
    """

    __slots__ = (
        "_above",
        "_corked",
        "_corked_size",
        "_deaf",
        "_fail",
        "_first",
        "_held",
        "_is_cut",
        "_join",
        "_paused",
        "_producer",
        "_speaks_first",
        "_standing",
        "_then",
        "_timer",
        "_waits",
        "session",
        "transport",
    )

    def __init__(
        self,
        session: SecureSession,
        then: Callable[[Secured], IProtocol | None],
        failed: Callable[[Any], Any],
        *,
        speaks_first: bool = False,
        stands: Callable[[Any], Any] | None = None,
        first: Callable[[bytes], bytes | None] | None = None,
    ) -> None:
        self.session = session
        self.transport: Any = None
        self._then: Callable[[Secured], IProtocol | None] | None = then  # while the handshake is under way
        self._fail: Callable[[Any], Any] | None = failed
        self._speaks_first = speaks_first
        self._standing = stands
        self._first = first
        self._timer: Entry | None = None
        self._above: Any = None
        self._join: Callable[[Any], bool] | None = None
        self._corked: list[bytes] | None = None
        self._corked_size = 0
        self._deaf = False  # nothing that comes is wanted any more
        self._is_cut = False  # it ended without a close_notify
        self._paused = False
        self._held: list[bytes] = []  # plaintext that came while the protocol above had paused
        self._producer: Any = None
        self._waits: Callable[[], None] | None = None  # a way to close, for when the producer is done

    def limit(self, wheel: Wheel, seconds: float, timed_out: Callable[[], Any]) -> None:
        """Allow ``seconds`` for the handshake; ``timed_out`` is called when they are over, and is to call :meth:`give_up`."""
        self._timer = wheel.schedule(seconds, timed_out)

    # From the transport below.

    def makeConnection(self, transport: Any) -> None:
        """The connection stands: begin the handshake."""
        self.transport = transport
        self._join = getattr(transport, "join_batch", None)
        self.connectionMade()

    def connectionMade(self) -> None:
        """Say the first word, if it is ours."""
        if self._speaks_first:
            self.session.start()
            self._look(b"")

    def dataReceived(self, data: bytes) -> None:
        """Decrypt what has come, and hand it on."""
        session = self.session
        if self._first is not None and self._turned_away(data):
            return
        plain = session.receive(data)
        if session.news:
            self._look(plain)
        elif plain and not self._deaf:
            if self._paused:
                self._held.append(plain)
            else:
                self._above.dataReceived(plain)

    def _look(self, plain: bytes) -> None:
        """See what has changed besides ``plain`` having come."""
        session = self.session
        session.news = False
        own = session.take()
        if own:
            self.transport.write(own)
        if self._then is not None:
            if session.fault is not None:
                self._fails(session.fault)
                return
            if not session.established:
                return
            self._stands()
        if plain and not self._deaf:
            if self._paused:
                self._held.append(plain)
            else:
                self._above.dataReceived(plain)
        if session.fault is not None:
            self._is_cut = True
            self.abortConnection()
        elif session.peer_closed and not self._held:
            self._ended()

    def _stands(self) -> None:
        """The handshake is done."""
        then = self._then
        assert then is not None
        self._settled()
        above = self._above = then(self)
        if above is None:
            self.loseConnection()
        else:
            above.makeConnection(self)
        stands, self._standing = self._standing, None
        if stands is not None:
            stands(above)

    def _settled(self) -> Callable[[Any], Any] | None:
        """The handshake is over, one way or the other; return who is to know if it failed."""
        failed, self._fail, self._then, self._first = self._fail, None, None, None
        if self._timer is not None:
            self._timer.end()
            self._timer = None
        return failed

    def _fails(self, fault: Any) -> None:
        failed = self._settled()
        self._deaf = True
        self.transport.loseConnection()  # after the alert that says why
        if failed is not None:
            failed(fault)

    def _turned_away(self, data: bytes) -> bool:
        """Whether what comes first is no TLS; it is answered then."""
        look, self._first = self._first, None
        assert look is not None
        answer = look(data)
        if answer is None:
            return False
        self._settled()
        self._deaf = True
        self.transport.write(answer)
        self.transport.loseConnection()
        return True

    def give_up(self) -> bool:
        """End the handshake now; return whether it was under way."""
        if self._then is None:
            return False
        self._settled()
        if self.transport is not None:
            self.abortConnection()
        return True

    @property
    def is_cut(self) -> bool:
        """Whether the other end has closed (FIN) without a word of TLS that says so; a reset is something else."""
        return self._is_cut

    def _ended(self) -> None:
        """The other end has said that it sends no more."""
        if self._deaf:
            return
        half = IHalfCloseableProtocol(self._above, None)
        if half is None:
            self.loseConnection()
        else:
            half.readConnectionLost()

    def readConnectionLost(self) -> None:
        """FIN has come: the end, where no close_notify came before."""
        if not self.session.peer_closed:
            self._is_cut = not self._deaf
            self.abortConnection()
        elif self._above is None:
            self.transport.loseConnection()

    def writeConnectionLost(self) -> None:
        """Our half is closed."""
        half = IHalfCloseableProtocol(self._above, None)
        if half is not None:
            half.writeConnectionLost()

    def connectionLost(self, reason: Failure) -> None:
        """The connection is gone."""
        failed = self._settled()
        above, self._above = self._above, None
        self._deaf = True
        self._corked = self._join = self._producer = self._waits = None
        self._held.clear()
        self.session.end()
        if above is not None:
            above.connectionLost(Failure(ConnectionLost()) if self._is_cut else reason)
        elif failed is not None:
            failed(None)

    # To the protocol above: a transport.

    def write(self, data: bytes) -> None:
        """Encrypt and send ``data``, together with what else is written in this batch of the reactor."""
        size = len(data)
        corked = self._corked
        if corked is not None:
            corked.append(data)
            self._corked_size += size
            if self._corked_size > CORK_SIZE:
                self.flush()
        elif size:
            join = self._join
            if join is not None and size < CORK_SIZE and join(self):
                self._corked = [data]
                self._corked_size = size
            else:
                self._send(data)

    def writeSequence(self, iovec: Iterable[bytes]) -> None:
        """Write the pieces as one."""
        self.write(b"".join(iovec))

    def flush(self) -> None:
        """Send what waits for the end of the batch."""
        corked = self._corked
        if corked is not None:
            self._corked = None
            self._corked_size = 0
            self._send(corked[0] if len(corked) == 1 else b"".join(corked))

    def _send(self, data: bytes) -> None:
        session = self.session
        if session.fault is not None or session.finished or self._above is None:
            return
        try:
            cipher = session.send(data)
        except Exception:
            if session.fault is None:
                raise
            self._is_cut = True
            self.abortConnection()
            return
        self.transport.write(cipher)

    @property
    def queued(self) -> int:
        """Bytes written but not yet taken by the kernel."""
        return self._corked_size + int(getattr(self.transport, "queued", 0))

    def loseConnection(self) -> None:
        """Close when everything is written, and who produces it is done."""
        if self._producer is not None:
            self._waits = self._lose
        else:
            self._lose()

    def _lose(self) -> None:
        self._say_goodbye()
        self._deaf = True
        self.transport.loseConnection()

    def loseWriteConnection(self) -> None:
        """Say that nothing more comes when everything is written, and who produces it is done."""
        if self._producer is None:
            self._lose_write()
        elif self._waits is None:
            self._waits = self._lose_write

    def _lose_write(self) -> None:
        self._say_goodbye()
        self.transport.loseWriteConnection()

    def _say_goodbye(self) -> None:
        self._waits = None
        self.flush()
        last = self.session.finish()
        self.session.news = False  # this was it
        if last:
            self.transport.write(last)

    def abortConnection(self) -> None:
        """Close at once, with a reset; what was not sent is dropped."""
        self._deaf = True
        self._corked = None
        self._corked_size = 0
        self.transport.abortConnection()

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        """Be fed by ``producer``: paused and resumed as the transport below would."""
        self.flush()
        self._producer = producer
        if not streaming:
            self._join = None  # it is asked for the next piece when one is sent, not when it has waited
        self.transport.registerProducer(producer, streaming)

    def unregisterProducer(self) -> None:
        """Be fed no more; close if that is what was waited for."""
        if self._producer is not None:
            self._producer = None
            self._join = getattr(self.transport, "join_batch", None)
            self.transport.unregisterProducer()
        if self._waits is not None:
            self._waits()

    def pauseProducing(self) -> None:
        """Read no more for now."""
        self._paused = True
        self.transport.pauseProducing()

    def resumeProducing(self) -> None:
        """Read on, what is held first."""
        self._paused = False
        if self._held:
            while self._held and not self._paused and not self._deaf:
                self._above.dataReceived(self._held.pop(0))
            if self.session.peer_closed and not self._held:
                self._ended()
        if not self._paused and not self._deaf:
            self.transport.resumeProducing()

    def stopProducing(self) -> None:
        """Nothing more is wanted."""
        self.loseConnection()

    def getPeer(self) -> Any:
        """The other end."""
        return self.transport.getPeer()

    def getHost(self) -> Any:
        """Our end."""
        return self.transport.getHost()

    def getHandle(self) -> Any:
        """The socket, on which there is ciphertext."""
        return self.transport.getHandle()

    # To the reactor's batch.

    _flush = flush

    def _failed(self) -> None:
        self.abortConnection()

    def __repr__(self) -> str:
        return f"<Secured {self.session!r}>"
