"""Random routes and requests that meet often: small alphabets for hosts, paths, methods, headers."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from balancer.model.facts import RequestFacts
from balancer.routing.table import RouteTable
from tests.routing.making import facts, route

__all__ = ["requests", "tables"]

_HOSTS = ["a.example", "b.a.example", "c.b.a.example", "*.example", "*.a.example", "*.b.a.example"]
_SEGMENTS = ["x", "y", "me"]
_PATTERN_SEGMENTS = [*_SEGMENTS, "{i}", "{j}"]


@st.composite
def _paths(draw: st.DrawFn) -> str:
    if draw(st.integers(0, 5)) == 0:
        return draw(
            st.sampled_from(["~^/x", "~y$", "~^/(?P<i>[a-z]+)/y", "~.", "~^/x/y?", "~^/x/|y", "~^/x/.*y", "~^/x/y/"])
        )
    parts: list[str] = []
    for part in draw(st.lists(st.sampled_from(_PATTERN_SEGMENTS), max_size=3)):
        if not (part.startswith("{") and part in parts):
            parts.append(part)
    if draw(st.booleans()):
        return "/" + "/".join([*parts, "**"])
    return "/" + "/".join(parts) + draw(st.sampled_from(["", "", "/"]) if parts else st.just(""))


_FIELDS = st.dictionaries(
    st.sampled_from(["p", "q"]),
    st.sampled_from(["1", "2", {"prefix": "1"}, {"present": True}, {"present": False}]),
    max_size=2,
)


@st.composite
def _matches(draw: st.DrawFn, depth: int = 0) -> dict[str, Any]:
    given: dict[str, Any] = {}
    for key, values in {
        "host": st.lists(st.sampled_from(_HOSTS), min_size=1, max_size=2),
        "path": st.lists(_paths(), min_size=1, max_size=2),
        "method": st.lists(st.sampled_from(["GET", "POST", "PUT"]), min_size=1, max_size=2),
        "headers": _FIELDS,
        "query": _FIELDS,
        "cookies": _FIELDS,
    }.items():
        if draw(st.integers(0, 2)) == 0:
            given[key] = draw(values)
    if depth == 0 and draw(st.integers(0, 3)) == 0:
        given[draw(st.sampled_from(["all", "any"]))] = draw(st.lists(_matches(depth=1), min_size=1, max_size=2))
    if depth == 0 and draw(st.integers(0, 4)) == 0:
        given["not_"] = draw(_matches(depth=1))
    return given


@st.composite
def tables(draw: st.DrawFn, most: int = 12, priorities: tuple[int, ...] = (0, 0, 0, 1, -1)) -> RouteTable:
    """A table of up to ``most`` routes."""
    priority = st.sampled_from(priorities) if draw(st.booleans()) else st.just(0)
    matches = draw(st.lists(_matches(), max_size=most))
    return RouteTable(
        route(f"r{order}", order, priority=draw(priority), **given) for order, given in enumerate(matches)
    )


@st.composite
def requests(draw: st.DrawFn) -> RequestFacts:
    """A request that such tables may well match."""
    segments = draw(st.lists(st.sampled_from([*_SEGMENTS, "z"]), max_size=4))
    query = draw(st.lists(st.sampled_from(["p=1", "p=2", "q=12", "q"]), max_size=3))
    names = st.sampled_from([("p", "1"), ("P", "12"), ("q", "2"), ("Cookie", "p=1; q=2")])
    path = "/" + "/".join(segments) + (draw(st.sampled_from(["", "/"])) if segments else "")
    return facts(
        path + ("?" + "&".join(query) if query else ""),
        draw(st.sampled_from(["GET", "POST", "get"])),
        draw(st.sampled_from(["a.example", "b.a.example", "c.b.a.example", "d.c.b.a.example", "other", ""])),
        tuple(draw(st.lists(names, max_size=3))),
    )
