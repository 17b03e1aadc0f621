"""Twisted's own idea of a request, for resources that are not ours.

A mounted ``static.File``, ``WSGIResource`` or a plug-in's resource gets a real :class:`twisted.web.server.Request`, so
that everything such resources rely on is there. It is made only then: from our request, with a channel that turns
what the resource writes into our response. Its body is collected first, as Twisted's resources expect, in memory up
to 100 kB and in a temporary file beyond.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IAddress
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web import server
from twisted.web.error import UnsupportedMethod
from twisted.web.http import datetimeToString
from twisted.web.http_headers import Headers
from twisted.web.resource import IResource, getChildForRequest

from balancer import errors
from balancer.errors import ExchangeError
from balancer.forwarding.headers import believed_scheme
from balancer.model.address import Peer
from balancer.model.exchange import Reply
from balancer.routing.tree import mounted_at
from balancer.wire.answers import proxy_status

if TYPE_CHECKING:
    from balancer.listeners.http.client_request import ClientRequest

__all__ = ["RenderedRequest", "rendered"]

_log = Logger()


def rendered(request: ClientRequest) -> RenderedRequest:
    """Return the Twisted request that stands for ``request``."""
    return RenderedRequest(_RenderChannel(request), request)


def _address(peer: Peer) -> IAddress:
    if not peer.host:
        return UNIXAddress(None)
    return (IPv6Address if ":" in peer.host else IPv4Address)("TCP", peer.host, peer.port)


class RenderedRequest(server.Request):
    """A Twisted request whose bytes come from, and go to, one of ours."""

    def __init__(self, channel: _RenderChannel, ours: ClientRequest) -> None:
        super().__init__(channel)
        self._ours = ours
        self.ours_channel = channel
        self.request_id = ours.request_id
        self.method = ours.facts.method.encode("latin-1")
        self.uri = ours.target.encode("latin-1")
        self.clientproto = b"HTTP/" + ours.facts.version.encode()
        self.site = ours.site.twisted_site
        for name, value in ours.outgoing_headers():
            self.requestHeaders.addRawHeader(name, value)
        cookies = self.requestHeaders.getRawHeaders(b"cookie", ())
        if len(cookies) > 1:  # WSGI would have them joined with commas, which are no ends of cookies
            self.requestHeaders.setRawHeaders(b"cookie", [b"; ".join(cookies)])
        self._leaf: IResource | None = None

    def serve(self, leaf: IResource) -> None:
        """Collect the body, then render ``leaf`` or the child of it that the rest of the path names."""
        ours = self._ours
        self._leaf = leaf
        length = None if self._is_changed() else ours.head.content_length
        if length is not None:
            self.requestHeaders.setRawHeaders(b"content-length", [b"%d" % length])
        whole = ours.exchange.body if ours.exchange is not None else None
        self.gotLength(len(whole) if whole is not None else length or (0 if ours.body.ended else None))
        if whole is not None:
            self.handleContentChunk(whole)
            self._all_came()
            return
        ours.consumer = self
        ours.invite_body()
        self.body_came()

    def _is_changed(self) -> bool:
        """Whether a filter changes the body, so that it has another length than the client says."""
        exchange = self._ours.exchange
        return exchange is not None and exchange.changes_request

    def body_came(self) -> None:
        """More of the body, or its end."""
        ours = self._ours
        for piece in ours.take_body():
            self.handleContentChunk(piece)
        if ours.body.ended:
            ours.consumer = None
            self._all_came()

    def client_went(self) -> None:
        """The client is gone: whoever asked with ``notifyFinish`` is told."""
        self.connectionLost(Failure(ConnectionDone()))

    def _all_came(self) -> None:
        if (
            self._ours.head.chunked or self._is_changed()
        ):  # WSGI applications believe in a body where its length is given
            assert self.content is not None
            self.requestHeaders.setRawHeaders(b"content-length", [b"%d" % self.content.tell()])
        # requestReceived() parses arguments and forms, and calls process().
        self.requestReceived(self.method, self.uri, self.clientproto)

    def process(self) -> None:
        """Find the child and render it; called by Twisted once arguments and forms are parsed."""
        ours, leaf = self._ours, self._leaf
        assert leaf is not None
        ours.consumer = self
        self.site = ours.site.twisted_site
        self.setHeader(b"server", server.version)
        self.setHeader(b"date", datetimeToString())
        # The normalised path: what a route matched is what a resource sees, "..", "//" and escapes settled.
        segments = [part.encode("utf-8", "surrogateescape") for part in ours.facts.path.split("/")[1:]]
        assert ours.decision is not None
        consumed = mounted_at(ours.decision.entry, ours.facts)
        self.prepath, self.postpath = segments[:consumed], segments[consumed:]
        self.sitepath = list(self.prepath)
        try:
            self.render(getChildForRequest(leaf, self))
        except KeyboardInterrupt:
            raise
        except BaseException:  # sys.exit() in a resource ends its request, not its connection
            self.processingFailed(Failure())

    def render(self, resrc: IResource) -> None:
        """Render ``resrc``; a method that it does not know is 405 with ``Allow``, whatever the method."""
        super().render(_Methods(resrc))

    def processingFailed(self, reason: Failure) -> Failure:
        """The resource raised: an error page, or a connection that is cut where its answer had begun."""
        _log.failure("the resource of {request} failed", failure=reason, request=self._ours)
        if self.channel is not None:
            self.ours_channel.give_up(ExchangeError(errors.PROXY_INTERNAL_ERROR, "the resource failed"))
            self.connectionLost(reason)
        return reason

    def getClientIP(self) -> str | None:
        """The client that the balancer believes in, behind trusted proxies too."""
        return self._ours.facts.peer.host or None

    def isSecure(self) -> bool:
        """Whether the client came by TLS, to us or to a trusted proxy."""
        return believed_scheme(self._ours.head, self._ours.arrival) == "https"


class _Methods:
    """A resource whose refusal of a method Twisted would answer with 501, but for three."""

    def __init__(self, resource: IResource) -> None:
        self._resource = resource

    def render(self, request: RenderedRequest) -> Any:
        """Render the resource."""
        try:
            return self._resource.render(request)
        except UnsupportedMethod as error:
            if request.method == b"HEAD" and b"GET" in error.allowedMethods:
                raise  # Twisted renders the GET then
            allowed = {*error.allowedMethods} | ({b"HEAD"} if b"GET" in error.allowedMethods else set())
            refused = errors.HTTP_METHOD_REFUSED
            request.ours_channel.answer(
                Reply(405, ((b"Allow", b", ".join(sorted(allowed))),), reason=refused.code, detail=refused.text)
            )
            return server.NOT_DONE_YET


class _RenderChannel:
    """What a Twisted request takes for its HTTP channel."""

    def __init__(self, ours: ClientRequest) -> None:
        self._ours = ours
        self._chunked = False
        self._left: int | None = None  # bytes of the body that are still to come, where that was declared
        self._producer: Any = None
        self.site = ours.site.twisted_site
        self.transport = ours.channel.transport
        self.factory = None

    def getPeer(self) -> IAddress:
        """The client."""
        return _address(self._ours.facts.peer)

    def getHost(self) -> IAddress:
        """Our end of the connection."""
        return _address(self._ours.arrival.local)

    def isSecure(self) -> bool:
        """Whether the connection is encrypted."""
        return self._ours.facts.scheme == "https"

    def writeHeaders(self, version: bytes, code: bytes, reason: bytes, headers: Headers) -> None:
        """Begin the response."""
        length: int | None = None
        pairs = []
        for name, values in headers.getAllRawHeaders():
            lowered = name.lower()
            if lowered == b"content-length":
                length = int(values[0])
            elif lowered == b"transfer-encoding":
                self._chunked = True
            elif lowered != b"connection":
                pairs += [(name, value) for value in values]
        if code >= b"400" and not headers.hasHeader(b"proxy-status"):
            pairs.append((b"Proxy-Status", proxy_status("")))
        if self._chunked:
            # Twisted frames each write itself; our response does that, so its own framing is switched off.
            rendered_request = self._ours.consumer
            assert isinstance(rendered_request, RenderedRequest)
            rendered_request.chunked = 0
        if code == b"304":  # Twisted counts its empty body; the length would be that of a 200 (RFC 9110 section 8.6)
            length = None
        elif self._ours.facts.method != "HEAD":
            self._left = length
        try:
            self._ours.respond(int(code), reason, pairs, length)
            self._ours.watch()
        except ExchangeError as error:  # of a filter, on the response: what the resource writes goes nowhere
            self.give_up(error)

    def write(self, data: bytes) -> None:
        """Send a piece of the body."""
        if self._left is not None:
            data = data[: self._left]
            self._left -= len(data)
        if not self._ours.finished:
            self._ours.send(data)
            self._ours.flush()

    def writeSequence(self, pieces: Any) -> None:
        """Send pieces of the body."""
        self.write(b"".join(pieces))

    def requestDone(self, request: Any) -> None:
        """The response is complete."""
        self._ours.consumer = None
        if self._ours.finished:
            return
        if self._left:
            _log.error("the resource of {request} ended {left} bytes early", request=self._ours, left=self._left)
            self._ours.fail(ExchangeError(errors.PROXY_INTERNAL_ERROR, "the resource ended its answer early"))
        else:
            self._ours.end()

    def answer(self, reply: Reply) -> None:
        """Answer with one of the balancer's own replies instead of what the resource would say."""
        self._ours.consumer = None
        self._ours.answer(reply)

    def give_up(self, error: ExchangeError) -> None:
        """Answer with an error page, or cut what has begun; the resource's producer is told to stop."""
        producer = self._producer
        self.unregisterProducer()
        self._ours.consumer = None
        self._ours.fail(error)
        if producer is not None:
            producer.stopProducing()

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        """Let ``producer`` follow the client's pace."""
        if self._ours.finished:
            producer.stopProducing()
            return
        self._producer = producer
        self._ours.stream_from(producer, streaming)

    def unregisterProducer(self) -> None:
        """The producer has ended."""
        if self._producer is not None:
            self._producer = None
            self._ours.stop_streaming()

    def loseConnection(self) -> None:
        """The resource wants the connection closed."""
        self._ours.cut()

    def _respondToBadRequestAndDisconnect(self) -> None:
        """Twisted could not parse the form: answer 400 (its own channel does the same)."""
        self.give_up(ExchangeError(errors.HTTP_REQUEST_ERROR, "the form in the body"))
