"""From the header list of a stream to a request: who asks, as far as that is believed, and what is refused at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from balancer import errors
from balancer.errors import ExchangeError
from balancer.forwarding.headers import (
    Arrival,
    HeaderPolicy,
    believed_client,
    believed_request_id,
    believed_scheme,
    facts_of,
)
from balancer.forwarding.session import to_peer
from balancer.listeners.http.overloaded import DETAIL
from balancer.listeners.http.site import Site
from balancer.listeners.http2.request import StreamRequest
from balancer.listeners.http2.stream_body import StreamBody
from balancer.listeners.http2.stream_end import AskingRequest, StreamEnd, prepare
from balancer.model.facts import RequestFacts
from balancer.model.headers import RawHeaders
from balancer.model.origin import Origin
from balancer.wire.http1.body import Body
from balancer.wire.http1.heads import RequestHead
from balancer.wire.http2.heads import RequestHeads

if TYPE_CHECKING:
    from balancer.listeners.http2.channel import HTTP2Channel

__all__ = ["Reception"]


class Reception:
    """Makes the requests of one connection.

    Args:
        channel: the connection.
        origin: who connects, where a layer below knows better than the socket.

    ``refused`` says why the request that was made last is not to be served, None if it is.
    """

    __slots__ = (
        "_arrival",
        "_channel",
        "_heads",
        "_key",
        "_last",
        "_last_ended",
        "_last_facts",
        "_last_listed",
        "_origin",
        "_policy",
        "_secure",
        "refused",
    )

    def __init__(self, channel: HTTP2Channel, origin: Origin | None) -> None:
        self._channel = channel
        self._origin = origin
        self._policy: Any = None
        self._arrival: Arrival
        self._secure: Arrival | None = None
        self._heads: RequestHeads
        self._key: bytes | None = None  # of the WebSocket that is asked for
        self._last: RequestHead | None = None  # the request before, and what is known of it, for when it is repeated
        self._last_listed: RawHeaders = []
        self._last_ended = False
        self._last_facts: RequestFacts | None = None
        self.refused: ExchangeError | None = None

    def request(self, stream: int, headers: RawHeaders, ended: bool, now: float) -> StreamRequest:
        """Return the request that ``headers`` begin; ``ended`` if it has no body."""
        site = self._channel.site_now()
        policy = site.policy
        if self._policy is not policy:  # the first one, or the first after a reload
            self._begin(site, policy)
        arrival = self._arrival
        self.refused = None
        last = self._last
        if last is not None and ended is self._last_ended and headers == self._last_listed:
            head = last
        else:
            try:
                head = self._heads.read(headers, ended)
                if head.upgrade is not None:
                    self._key = prepare(head)
            except ExchangeError as error:
                return self._refuse(error, stream, headers, ended, arrival, site, now)
        if arrival.trusted:
            if (b":scheme", b"https") in headers[:4]:
                arrival = self._said_to_be_secure(arrival, policy)
            peer, scheme = believed_client(head, arrival, policy), believed_scheme(head, arrival)
            request_id = believed_request_id(head, arrival) or site.new_id()
            facts = facts_of(head, arrival, peer, scheme)
        else:
            request_id = site.new_id()
            known = self._last_facts if head is self._last else None
            if known is not None:
                facts = known
            else:
                facts = facts_of(head, arrival, arrival.peer, arrival.scheme)
                # What is known of a request may come to have its body, and is its own then.
                if not head.expect_continue and head.upgrade is None:
                    self._last, self._last_listed, self._last_ended = head, headers, ended
                    self._last_facts = facts if ended else None
        if site.shedding.share and site.shedding.sheds(site.listener):
            self.refused = ExchangeError(errors.OVERLOADED, DETAIL)
        return self._made(stream, head, ended, facts, arrival, site, request_id, now)

    def forget(self) -> None:
        """Let go of what is kept for when a request is repeated."""
        self._policy = self._last = self._last_facts = None
        self._last_listed = []

    def _begin(self, site: Site, policy: HeaderPolicy) -> None:
        origin = self._origin
        if origin is None:
            transport = self._channel.transport
            origin = self._origin = Origin(to_peer(transport.getPeer()), to_peer(transport.getHost()))
        self._policy = policy
        self._arrival = Arrival(origin, policy)
        self._secure = None
        self._heads = RequestHeads(site.limits)
        self._last = self._last_facts = None

    def _said_to_be_secure(self, arrival: Arrival, policy: HeaderPolicy) -> Arrival:
        """Return the arrival of what a trusted peer says came to it by https; of others ``:scheme`` is not believed."""
        origin = self._origin
        assert origin is not None
        if origin.scheme == "https":
            return arrival
        if self._secure is None:
            told = Origin(
                origin.peer, origin.local, origin.tls, scheme="https", by_proxy=origin.by_proxy, tlvs=origin.tlvs
            )
            self._secure = Arrival(told, policy)
        return self._secure

    def _refuse(
        self,
        error: ExchangeError,
        stream: int,
        headers: RawHeaders,
        ended: bool,
        arrival: Arrival,
        site: Site,
        now: float,
    ) -> StreamRequest:
        """Return the request that is to be answered with ``error``, as far as it can be made out."""
        self.refused = error
        said = dict(headers[:5])
        method, path = said.get(b":method", b"-").decode("latin-1"), said.get(b":path", b"-").decode("latin-1")
        head = RequestHead(method, path, "2.0", [pair for pair in headers if pair[0][:1] != b":"])
        head.host = said.get(b":authority")
        facts = facts_of(head, arrival, arrival.peer, arrival.scheme)
        return self._made(stream, head, ended, facts, arrival, site, site.new_id(), now)

    def _made(
        self,
        stream: int,
        head: RequestHead,
        ended: bool,
        facts: RequestFacts,
        arrival: Arrival,
        site: Site,
        request_id: str,
        now: float,
    ) -> StreamRequest:
        if head.upgrade is not None:
            asking = AskingRequest(self._channel, stream, head, Body.none(), facts, arrival, site, request_id, now)
            asking.end_of_tunnel = StreamEnd(asking, ended, self._key)
            return asking
        if ended:
            return StreamRequest(self._channel, stream, head, Body.none(), facts, arrival, site, request_id, now)
        body = StreamBody(head.content_length)
        request = StreamRequest(self._channel, stream, head, body, facts, arrival, site, request_id, now)
        body.request = request
        return request
