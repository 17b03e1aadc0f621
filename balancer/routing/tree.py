"""The resource tree: a real ``IResource`` whose children are decided by the routes.

::

    RoutingResource ── decide ──┬── the leaf of a proxying route
                                ├── AnswerResource: redirects, fixed responses, no route
                                └── a mounted resource (static.File, WSGIResource, a plug-in's) and below it, its own tree

Twisted's own walk, ``getChildForRequest(RoutingResource(...), request)``, ends at the same leaf as the short way of the
hot path, :func:`resource_for`. A mounted resource sees the prefix that led to it in ``prepath`` and the rest, decoded
and normalised as it was matched, in ``postpath``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.web.iweb import IRequest
from twisted.web.resource import IResource, getChildForRequest
from zope.interface import implementer

from balancer.errors import HTTP_REQUEST_ERROR
from balancer.model.address import Peer
from balancer.model.decision import Decision
from balancer.model.exchange import Reply
from balancer.model.facts import RequestFacts
from balancer.model.target import BadTargetError
from balancer.routing.answer import answer
from balancer.routing.decide import decide
from balancer.routing.route import Route
from balancer.routing.table import RouteTable
from balancer.wire.answers import error_page, proxy_status, status_phrase

__all__ = ["AnswerResource", "RoutingResource", "facts_of", "mounted_at", "resource_for"]

_walk: Callable[[IResource, Any], IResource] = getChildForRequest


def facts_of(request: Any) -> RequestFacts:
    """Return the facts of an ``IRequest``: its own ``facts`` where it has them, else gathered from its interface."""
    facts: RequestFacts | None = getattr(request, "facts", None)
    if facts is None:
        headers = [(name, value) for name, values in request.requestHeaders.getAllRawHeaders() for value in values]
        facts = RequestFacts(
            request.method.decode("latin-1"),
            request.uri.decode("latin-1"),
            headers,
            _peer(request.getClientAddress()),
            _peer(request.getHost()),
            "https" if request.isSecure() else "http",
        )
    return facts


def _peer(address: Any) -> Peer:
    return Peer(getattr(address, "host", ""), getattr(address, "port", 0))


def resource_for(request: Any, decision: Decision, facts: RequestFacts) -> IResource:
    """Return the resource that renders ``request``, walking a mounted one down to its leaf.

    Sets ``request.decision``, and ``prepath`` and ``postpath`` as the resource expects them.
    """
    leaf = _enter(request, decision, facts)
    return leaf if leaf.isLeaf else _walk(leaf, request)


def _enter(request: Any, decision: Decision, facts: RequestFacts) -> IResource:
    """Return the decision's leaf, with ``request`` put where the leaf is mounted."""
    request.decision = decision
    route: Route | None = decision.entry
    if route is None or (route.leaf is None and route.action in ("redirect", "respond")):
        return _ANSWER
    if route.leaf is None:
        raise LookupError(f"route {route.name!r} was given no leaf")
    if route.action == "resource":
        segments = [part.encode("utf-8", "surrogateescape") for part in facts.path.split("/")[1:]]
        taken = mounted_at(route, facts)
        request.prepath = segments[:taken]
        request.postpath = segments[taken:]
    return route.leaf


def mounted_at(route: Route, facts: RequestFacts) -> int:
    """Return how many segments of the path lead to the route's resource; a trailing slash is left for the resource."""
    matched = route.matched(facts)
    if matched is None or matched.length is None:
        return 0
    if matched.length and not matched.pattern.open_ended and facts.path.endswith("/"):
        return matched.length - 1
    return matched.length


@implementer(IResource)
class RoutingResource:
    """The root of a listener's tree.

    Args:
        table: the listener's routes.
        draw: returns a float in [0, 1), for splits.
        facts_of: how to get the facts of a request.
    """

    isLeaf = False

    def __init__(
        self,
        table: RouteTable,
        draw: Callable[[], float],
        facts_of: Callable[[Any], RequestFacts] = facts_of,
    ) -> None:
        self.table = table
        self._draw = draw
        self._facts_of = facts_of

    def getChildWithDefault(self, name: bytes, request: IRequest) -> IResource:
        """Return the leaf that the routes decide on; the whole path counts, whatever of it has been walked."""
        return self._decided(request)

    def _decided(self, request: IRequest) -> IResource:
        facts = self._facts_of(request)
        try:
            decision = decide(self.table, facts, self._draw)
        except BadTargetError as error:
            return AnswerResource(Reply(400, reason=HTTP_REQUEST_ERROR.code, detail=str(error)))
        return _enter(request, decision, facts)

    def putChild(self, path: bytes, child: IResource) -> None:
        """Refuse: children are decided by routes."""
        raise TypeError("children come from routes; mount a resource with 'resource:' in one")

    def render(self, request: IRequest) -> Any:
        """Render the leaf, where the walk ended here because no path was left."""
        leaf = self._decided(request)
        found: Any = leaf if leaf.isLeaf else _walk(leaf, request)
        return found.render(request)

    def __repr__(self) -> str:
        return f"<RoutingResource {self.table!r}>"


@implementer(IResource)
class AnswerResource:
    """Renders the balancer's own answer: ``reply``, or what :func:`~.answer.answer` makes of ``request.decision``."""

    isLeaf = True

    def __init__(self, reply: Reply | None = None) -> None:
        self._reply = reply

    def getChildWithDefault(self, name: bytes, request: IRequest) -> IResource:
        """Return itself: an answer has nothing below it."""
        return self

    def putChild(self, path: bytes, child: IResource) -> None:
        """Refuse: an answer has nothing below it."""
        raise TypeError("an answer has no children")

    def render(self, request: Any) -> bytes:
        """Write the head of the answer to ``request`` and return its body."""
        reply = self._reply if self._reply is not None else answer(request.decision, facts_of(request))
        request.setResponseCode(reply.status, status_phrase(reply.status).encode())
        for name, value in reply.headers:
            request.responseHeaders.addRawHeader(name, value)
        request.responseHeaders.addRawHeader(b"Proxy-Status", proxy_status(reply.reason, reply.detail))
        body = reply.body
        if body is None:
            accept = request.getHeader(b"accept") or b""
            text = reply.detail or f"{status_phrase(reply.status)}."
            kind, body = error_page(
                reply.status, text, reply.reason, getattr(request, "request_id", ""), accept.decode("latin-1")
            )
            request.responseHeaders.setRawHeaders(b"Content-Type", [kind])
        if reply.status not in (204, 304):
            request.responseHeaders.setRawHeaders(b"Content-Length", [b"%d" % len(body)])
        return b"" if request.method == b"HEAD" else body


_ANSWER = AnswerResource()
