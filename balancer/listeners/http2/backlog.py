"""What a client does not take of all its answers together, and how little more is fetched for it meanwhile.

An answer that is held back by its window pauses its server by itself, with what was read of it until then: up to one read, 64 KiB
and more. A hundred of those are as many megabytes as an enemy has connections. So from :data:`CLOGGED` bytes on nothing more is read
for the connection from any server, be it the beginning of an answer, but for one exchange at a time: what a client does want to
have, and takes, still comes, one after another::

    free ── more than CLOGGED held back, or the transport full ──> clogged ── less than half of it ──> free
                                                                    │   ▲
                                                                    └───┘ one goes on; the next when it is over

WebSockets are neither held back by this nor counted as the one that goes on: each waits for its own window.

A client that takes nothing at all loses its streams, and then the connection, to :mod:`.patience`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from balancer.listeners.http2.channel import HTTP2Channel
    from balancer.listeners.http2.request import StreamRequest

__all__ = ["CLOGGED", "Backlog"]

CLOGGED = 768 * 1024
"""Bytes of all answers that may wait for a client's windows before others are held back too."""


class Backlog:
    """Of one connection. ``is_clogged`` while nothing more is to be fetched for it, but for ``going``."""

    __slots__ = ("_channel", "going", "is_clogged")

    def __init__(self, channel: HTTP2Channel) -> None:
        self._channel: HTTP2Channel | None = channel
        self.is_clogged = False
        self.going: StreamRequest | None = None

    def look(self) -> None:
        """See whether there is too much: one more answer is held back."""
        channel = self._channel
        if channel is not None and not self.is_clogged and channel.session.backlog > CLOGGED:
            self.is_clogged = True
            self.hold(channel)
            channel.soon(self.look_again)

    def hold(self, channel: HTTP2Channel) -> None:
        """Have every server wait."""
        for request in tuple(channel.requests.values()):
            request.hold()

    def holds(self, request: StreamRequest) -> bool:
        """Whether ``request``, which is about to be sent to a server, is to wait for its answer."""
        channel = self._channel
        if channel is not None and channel.is_full:
            return True
        if not self.is_clogged or self.going is request:
            return False
        if self.going is None:
            self.going = request
            return False
        return True

    def look_again(self) -> None:
        """See whether there is room: the client has said something, or a stream is over."""
        channel = self._channel
        if channel is None or not self.is_clogged or channel.is_full:
            return
        if channel.session.backlog <= CLOGGED // 2:
            self.is_clogged = False
            self.going = None
            self.let_go(channel)
        elif (
            self.going is None
            or channel.requests.get(self.going.stream) is not self.going
            or self.going.tunnel is not None  # which may last for ever
        ):
            self.going = None
            for request in tuple(channel.requests.values()):
                if request.tunnel is None and not channel.session.queued(request.stream):
                    self.going = request
                    request.go_on()
                    return

    def let_go(self, channel: HTTP2Channel) -> None:
        """Have the servers go on."""
        for request in tuple(channel.requests.values()):
            if channel.is_full or self.is_clogged:
                return
            request.go_on()

    def end(self) -> None:
        """The connection is gone."""
        self._channel = self.going = None
        self.is_clogged = False

    def __repr__(self) -> str:
        return f"<Backlog {'clogged' if self.is_clogged else 'free'}>"
