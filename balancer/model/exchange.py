"""One request and its response as filters see them: a plain object, the same live and in ``balancer explain``."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from balancer.model.facts import RequestFacts
from balancer.model.headers import RawHeaders

__all__ = ["Exchange", "Joined", "Looked", "Reply", "Transform"]


class Transform(Protocol):
    """Changes a body on its way, in whatever pieces it comes. One is made for one direction of one exchange.

    It keeps no more than it must: what it holds back, nobody limits. Both raise ExchangeError for what is no such body. One that has
    ``only_looks = True`` gives back exactly what it gets, so that the body keeps its length.
    """

    def feed(self, data: bytes) -> bytes:
        """Return what becomes of ``data``, as far as that can be said; ``b""`` if it cannot yet."""

    def end(self, trailers: RawHeaders | None) -> tuple[bytes, RawHeaders | None]:
        """Return what is left to say at the body's end, and the trailers behind it; called once, last."""


class Joined:
    """Two transforms, one after the other."""

    __slots__ = ("_first", "_then", "only_looks")

    def __init__(self, first: Transform, then: Transform) -> None:
        self._first = first
        self._then = then
        self.only_looks = all(getattr(each, "only_looks", False) for each in (first, then))

    def feed(self, data: bytes) -> bytes:
        data = self._first.feed(data)
        return self._then.feed(data) if data else b""

    def end(self, trailers: RawHeaders | None) -> tuple[bytes, RawHeaders | None]:
        rest, trailers = self._first.end(trailers)
        data = self._then.feed(rest) if rest else b""
        rest, trailers = self._then.end(trailers)
        return data + rest, trailers


@dataclass(frozen=True, slots=True)
class Looked:
    """What there is of a request's body: all of it, or its beginning."""

    body: bytes
    whole: bool


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer that the balancer makes itself: a redirect, a fixed response, a refusal.

    ``reason`` is an RFC 9209 error type where the answer is an error, else ``""``; ``body`` None with an error
    status means: the error page in the form that the client's ``Accept`` asks for. ``cut``: the client is not answered, its
    connection (in HTTP/2 the stream) is reset; ``status`` then stands in the log only.
    """

    status: int
    headers: tuple[tuple[bytes, bytes], ...] = ()
    body: bytes | None = None
    reason: str = ""
    detail: str = ""
    cut: bool = False


class Exchange:
    """What filters may look at and change.

    ``facts`` is the request as received and never changes. ``method``, ``target`` (text, latin-1) and ``headers``
    are the request as it will be sent. ``body`` is the whole request body where a filter of the route declared
    that it needs it, else None. ``status`` and ``response_headers`` are set, and may be changed, once the response
    head is there; ``origin`` is then the server it came from, as ``http://10.0.0.1:8000``, ``""`` for our own. ``route``, ``pool``,
    ``captures`` and ``entry``, the compiled route, come from the decision (``""``, None, empty and None before routing). ``notes`` is
    for filters of one exchange to leave each other word; its items under ``"log"`` go to the JSON access log.
    ``request_transform`` and ``response_transform`` change the bodies as they stream, where a filter has set them with
    its part of the request or the response: then nobody knows a length any more. ``ran``
    is the filters whose request part has run and whose response part has not; :mod:`balancer.filters.chain` keeps it.
    ``look(limit)`` returns a Deferred of a :class:`Looked`: the request's body, which stays to be forwarded; None where it has none
    that could be read. ``response_length`` is the length of the response's body in bytes, None where nobody knows it. With ``hold``, set by a
    filter's response part, nothing of a response is sent before ``hold()``, called when all of it is here, has returned None or its Deferred has
    fired; ExchangeError from either refuses the response. ``at_end`` is called when all is over, before that is written down; what
    waits for something returns a Deferred. ``draw`` returns a float in [0, 1), the only source of randomness. ``wait(seconds)`` returns a Deferred that fires then and can
    be cancelled; None where nothing waits (``balancer explain``).
    """

    __slots__ = (
        "at_end",
        "body",
        "captures",
        "draw",
        "entry",
        "facts",
        "headers",
        "hold",
        "look",
        "method",
        "notes",
        "origin",
        "pool",
        "ran",
        "request_transform",
        "response_headers",
        "response_length",
        "response_transform",
        "route",
        "status",
        "target",
        "wait",
    )

    def __init__(self, facts: RequestFacts, headers: RawHeaders, route: str = "") -> None:
        self.facts = facts
        self.method = facts.method
        self.target = facts.target
        self.headers = headers
        self.route = route
        self.pool: str | None = None
        self.captures: dict[str, str] = {}
        self.entry: Any = None
        self.body: bytes | None = None
        self.status = 0
        self.response_headers: RawHeaders = []
        self.request_transform: Transform | None = None
        self.response_transform: Transform | None = None
        self.origin = ""
        self.notes: dict[str, Any] = {}
        self.ran: list[Any] = []
        self.draw: Callable[[], float] = random.random
        self.wait: Callable[[float], Any] | None = None
        self.look: Callable[[int], Any] | None = None
        self.response_length: int | None = None
        self.hold: Callable[[], Any] | None = None
        self.at_end: tuple[Callable[[], Any], ...] = ()

    @property
    def changes_request(self) -> bool:
        """Whether something changes the request's body on its way, so that it has another length than the client says."""
        transform = self.request_transform
        return transform is not None and not getattr(transform, "only_looks", False)

    @property
    def changes_response(self) -> bool:
        """Whether something changes the response's body on its way."""
        transform = self.response_transform
        return transform is not None and not getattr(transform, "only_looks", False)

    def change_request(self, transform: Transform) -> None:
        """Have ``transform`` change the request's body, after those that do so already."""
        before = self.request_transform
        self.request_transform = transform if before is None else Joined(before, transform)

    def change_response(self, transform: Transform) -> None:
        """Have ``transform`` change the response's body, after those that do so already."""
        before = self.response_transform
        self.response_transform = transform if before is None else Joined(before, transform)

    def __repr__(self) -> str:
        return f"<Exchange {self.method} {self.target} route={self.route!r} status={self.status}>"
