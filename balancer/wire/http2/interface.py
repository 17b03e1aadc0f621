"""What an HTTP/2 connection is to those who use it, whichever library does the framing.

A :class:`Session` is fed what arrives and calls :class:`Told` for what that means; what it has to say gathers in it until
:meth:`Session.output` is asked for it. It does no I/O and knows no clock::

    session.feed(data)                  # calls told.request_came(1, headers, ended=True)
    session.respond(1, headers)
    session.send(1, b"hello", ended=True)
    transport.write(session.output())

Header lists are ordered raw pairs, names in lower case, pseudo-fields first; cookie crumbs are joined (RFC 9113 section 8.2.3).
Malformed messages (section 8.1.1) never arrive: the session resets their stream itself.

Once the peer has said GOAWAY and no stream is open, there is nothing to wait for: the connection is to be closed.

Flow control is back-pressure: what was received counts against the peer's windows until :meth:`Session.took` says that it was
passed on; what is to be sent waits inside the session as far as the peer's windows do not allow it, and :meth:`Session.queued`
says how much.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from balancer.model.headers import RawHeaders

__all__ = [
    "CANCEL",
    "COMPRESSION_ERROR",
    "CONNECT_ERROR",
    "ENHANCE_YOUR_CALM",
    "FLOW_CONTROL_ERROR",
    "FRAME_SIZE_ERROR",
    "HTTP_1_1_REQUIRED",
    "INADEQUATE_SECURITY",
    "INTERNAL_ERROR",
    "LOW_WATER",
    "NO_ERROR",
    "PROTOCOL_ERROR",
    "REFUSED_STREAM",
    "SETTINGS_TIMEOUT",
    "STREAM_CLOSED",
    "TOLERATED",
    "Limits",
    "Repeated",
    "Session",
    "SessionError",
    "Told",
]

NO_ERROR, PROTOCOL_ERROR, INTERNAL_ERROR, FLOW_CONTROL_ERROR, SETTINGS_TIMEOUT, STREAM_CLOSED = 0, 1, 2, 3, 4, 5
FRAME_SIZE_ERROR, REFUSED_STREAM, CANCEL, COMPRESSION_ERROR, CONNECT_ERROR, ENHANCE_YOUR_CALM = 6, 7, 8, 9, 10, 11
INADEQUATE_SECURITY, HTTP_1_1_REQUIRED = 12, 13


class SessionError(Exception):
    """The peer broke the protocol: send :meth:`Session.output`, which ends with GOAWAY, and close.

    ``code`` is the error code sent; the text says what the peer did.
    """

    def __init__(self, code: int, words: str) -> None:
        super().__init__(words)
        self.code = code


@dataclass(frozen=True, slots=True)
class Limits:
    """What the peer may do.

    ``streams`` at a time; ``stream_window`` and ``connection_window`` bytes on their way to us; ``head_size`` bytes of a header list
    (as RFC 9113 section 6.5.2 counts it) and ``header_count`` fields: longer lists, up to :data:`TOLERATED` times these, still come
    (whoever reads them may answer 431), beyond that the connection ends. ``resets``, ``pings``, ``settings``, ``empty_frames``,
    ``priorities`` and ``crumbs`` (WINDOW_UPDATEs by less than 256 bytes) are how many of each may come in ``span`` seconds of the time
    that :meth:`Session.at` is told. Resets that the peer makes the session send count as well; resets and crumbs are counted of clients
    only, as a server may shed load. ``continuations`` is how many frames one header list may take besides its first. Beyond,
    ENHANCE_YOUR_CALM. Our SETTINGS are to be acknowledged within ``settings_timeout`` seconds. ``connect_protocol`` announces RFC 8441.
    """

    streams: int = 100
    stream_window: int = 64 * 1024
    connection_window: int = 1024 * 1024
    head_size: int = 32 * 1024
    header_count: int = 100
    resets: int = 200
    pings: int = 60
    settings: int = 20
    empty_frames: int = 100
    priorities: int = 1000
    crumbs: int = 1000
    continuations: int = 8
    span: float = 10.0
    settings_timeout: float = 10.0
    connect_protocol: bool = False


class Told(Protocol):
    """Is told what arrives. Calls may use the session, but for ``feed``; ``stream`` is the stream's number."""

    def request_came(self, stream: int, headers: RawHeaders, ended: bool) -> None:
        """A request's head (server side); ``ended`` if it has no body."""

    def response_came(self, stream: int, headers: RawHeaders, ended: bool) -> None:
        """A final response's head (client side)."""

    def informational_came(self, stream: int, headers: RawHeaders) -> None:
        """A 1xx (client side)."""

    def data_came(self, stream: int, data: bytes) -> None:
        """A piece of a body: to be acknowledged with :meth:`Session.took` when it was passed on."""

    def stream_ended(self, stream: int, trailers: RawHeaders | None) -> None:
        """The peer has said all on this stream; not called where the head said so."""

    def stream_reset(self, stream: int, code: int) -> None:
        """The stream is over before its end: reset by the peer, or by the session because of what the peer did."""

    def room_came(self, stream: int) -> None:
        """What was queued on a stream that had more than :data:`LOW_WATER` bytes is below it now.

        Only what the peer's windows hold back counts: :meth:`Session.queued`, asked after :meth:`Session.send`, says whether to wait for
        this. Called within ``feed`` and ``output``.
        """

    def settings_came(self) -> None:
        """The peer's settings have arrived, or changed."""

    def ping_answered(self, data: bytes) -> None:
        """The peer has answered a PING of ours."""

    def goaway_came(self, last_stream: int, code: int) -> None:
        """The peer takes no new streams; those of ours above ``last_stream`` were not looked at (each is reset as well)."""


LOW_WATER = 16 * 1024
"""Queued bytes of a stream below which more may be given."""
TOLERATED = 4
"""How many times the announced size and number a header list may have."""


class Repeated(RawHeaders):
    """A header list that is sent many times and not changed: a session keeps with it what it makes of it."""

    __slots__ = ("kept", "packed")

    def __init__(self, headers: RawHeaders) -> None:
        super().__init__(headers)
        self.packed = b""
        self.kept: object = None


class Session(Protocol):
    """One connection, seen from one side. Made by :func:`balancer.wire.http2.sessions.server` and ``client``."""

    streams_allowed: int
    """Streams that the peer lets us have at a time (client side)."""
    connect_allowed: bool
    """Whether the peer takes the extended CONNECT of RFC 8441 (client side)."""

    def at(self, now: float) -> None:
        """Note the time, in seconds, for the limits on what comes too often; to be called before ``feed``."""

    def feed(self, data: bytes) -> None:
        """Read what arrived; any split of the bytes gives the same calls.

        Raises:
            SessionError: the connection must end.
        """

    def output(self) -> bytes:
        """Return what is to be written now, ``b""`` if nothing is."""

    def request(self, headers: RawHeaders, *, ended: bool) -> int:
        """Begin a stream with a request's head (client side); return its number.

        The caller keeps to ``streams_allowed``, and asks for no more once ``goaway_came`` was called.
        """

    def inform(self, stream: int, headers: RawHeaders) -> None:
        """Send a 1xx (server side)."""

    def respond(
        self, stream: int, headers: RawHeaders, *, ended: bool = False, last: tuple[bytes, bytes] | None = None
    ) -> None:
        """Send a response's head (server side).

        ``last`` is one more field, whose value is another each time: it is kept out of the tables of the compression. Where
        ``headers`` are :class:`Repeated`, the rest is not laid out again.
        """

    def send(self, stream: int, data: bytes, *, ended: bool = False) -> None:
        """Queue a piece of a body, of any size."""

    def end(self, stream: int, trailers: RawHeaders | None = None) -> None:
        """Say that this was all, behind what is queued."""

    def queued(self, stream: int) -> int:
        """Return how many bytes of a body wait for the peer's windows; up to :data:`LOW_WATER` may only wait for :meth:`output`."""

    def took(self, stream: int, size: int) -> None:
        """Give the peer room for ``size`` bytes more, of those that ``data_came`` brought; also of streams that are over.

        ``stream`` 0 gives it to the connection only: the stream that they came on is to get no more.
        """

    def took_of_connection(self, size: int) -> None:
        """Do the first half of :meth:`took`: these bytes, wherever they wait now, are not to keep other streams from sending."""

    def took_of_stream(self, stream: int, size: int) -> None:
        """Do the other half, of bytes for which :meth:`took_of_connection` was called."""

    def reset(self, stream: int, code: int) -> None:
        """End a stream; what the peer's windows held back is not sent. Streams that are over are let be."""

    def ping(self, data: bytes) -> None:
        """Ask for an answer; ``data`` is 8 bytes."""

    def goaway(self, code: int = NO_ERROR, *, gracefully: bool = False) -> None:
        """Take no new streams. ``gracefully`` announces it first (stream 2^31-1): those under way are still taken, until it is called again."""

    def stalled(self, seconds: float) -> list[int]:
        """Return the streams on which something is queued and nothing of it went for so many seconds of the time told."""

    @property
    def backlog(self) -> int:
        """How many bytes of all streams' bodies wait for the peer's windows."""

    @property
    def pending(self) -> bool:
        """Whether :meth:`feed` has left something to be written, besides what its user said meanwhile."""

    @property
    def settled(self) -> bool:
        """Whether the peer's first SETTINGS have come."""

    @property
    def open_streams(self) -> int:
        """How many streams are not over."""
