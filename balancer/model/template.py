"""Text with holes, used wherever a configured value may hold a fact of the request: header values, redirect targets.

===========================  ==============================================================================
``{client_ip}``              the client's address; ``{client_port}`` its port
``{host}``                   the host asked for, lower case, without port
``{method}`` ``{scheme}``    as the client sent them
``{path}``                   the normalised, decoded path; ``{target}`` the raw request target
``{query}``                  the raw query without ``?``
``{route}``                  the name of the route
``{header:X-Name}``          the first field of that name; ``{cookie:name}`` and ``{query:name}`` likewise
``{id}``                     any other name: what the route's path captured, a template variable or named group
``{{`` ``}}``                a brace
===========================  ==============================================================================

A value that the request does not have is empty. Inserted values are bytes as they travelled; whoever renders says how
to make them safe for the place where they go.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping

from balancer.model.facts import RequestFacts

__all__ = ["Template"]

_PIECE = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
_FIELD_NAME = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+\Z")

Getter = Callable[[RequestFacts], bytes]


def _latin(text: str) -> bytes:
    return text.encode("latin-1", "replace")


def _decoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


_FACTS: dict[str, Getter] = {
    "client_ip": lambda facts: facts.peer.host.encode(),
    "client_port": lambda facts: str(facts.peer.port).encode(),
    "host": lambda facts: _latin(facts.host),
    "method": lambda facts: _latin(facts.method),
    "path": lambda facts: _decoded(facts.path),
    "query": lambda facts: _latin(facts.raw_query),
    "scheme": lambda facts: facts.scheme.encode(),
    "target": lambda facts: _latin(facts.target),
}
_ROUTE = "route"


def _hole(name: str) -> Getter | str:
    """Return how to get the fact called ``name``; for the route and captures, which are no facts, the name itself."""
    if name in _FACTS:
        return _FACTS[name]
    kind, colon, field = name.partition(":")
    if colon and _FIELD_NAME.match(field):
        if kind == "header":
            lowered = field.lower()
            return lambda facts: _latin(facts.header(lowered) or "")
        if kind == "cookie":
            return lambda facts: _latin(facts.cookies.get(field, ""))
        if kind == "query":
            return lambda facts: _decoded(next(iter(facts.query.get(field, ())), ""))
    if not _NAME.match(name):
        raise ValueError(
            f"expected a name such as {{client_ip}}, {{header:X-Name}} or {{id}}, got {{{name}}} (write '{{{{' for a brace)"
        )
    return name


class Template:
    """A parsed text.

    ``text`` is as written; ``constant`` its value where it has no holes, else None; ``captures`` the names in it that
    only the route's path pattern can give.

    Raises:
        ValueError: for a brace that neither opens a name nor is doubled, or a name that cannot be one.
    """

    __slots__ = ("_parts", "captures", "constant", "text")

    def __init__(self, text: str) -> None:
        self.text = text
        parts: list[bytes | str | Getter] = []
        captures: set[str] = set()
        literal = ""
        end = 0
        for found in _PIECE.finditer(text):
            literal += text[end : found.start()]
            end = found.end()
            if found[0] in ("{{", "}}"):
                literal += found[0][0]
            elif found[1] is None:
                raise ValueError(
                    f"expected {{name}}, or '{{{{' and '}}}}' for braces, at {text[found.start() :][:20]!r}"
                )
            else:
                if literal:
                    parts.append(literal.encode())
                    literal = ""
                hole = _hole(found[1])
                parts.append(hole)
                if isinstance(hole, str) and hole != _ROUTE:
                    captures.add(hole)
        literal += text[end:]
        if literal:
            parts.append(literal.encode())
        self._parts = tuple(parts)
        self.captures = frozenset(captures)
        self.constant = literal.encode() if all(isinstance(part, bytes) for part in parts) else None

    def check(self, captures: Iterable[str]) -> None:
        """Raise ValueError if a name is neither a fact nor among ``captures``, those of the route's path."""
        known = frozenset(captures)
        unknown = sorted(self.captures - known)
        if unknown:
            have = f"; the path captures {', '.join(sorted(known))}" if known else "; the path captures nothing"
            raise ValueError(f"unknown name {{{unknown[0]}}} in {self.text!r}{have}")

    def render(
        self,
        facts: RequestFacts,
        captures: Mapping[str, str],
        route: str,
        clean: Callable[[bytes], bytes],
        clean_captures: Mapping[str, str] | None = None,
    ) -> bytes:
        """Return the text with every hole filled, ``clean`` applied to what is filled in but not to the text itself.

        Nor is it applied to what ``clean_captures`` has, which goes before ``captures`` and is latin-1 text.
        """
        if self.constant is not None:
            return self.constant
        filled = []
        for part in self._parts:
            if isinstance(part, bytes):
                filled.append(part)
            elif isinstance(part, str) and clean_captures is not None and part in clean_captures:
                filled.append(_latin(clean_captures[part]))
            elif isinstance(part, str):
                filled.append(clean(_decoded(route if part == _ROUTE else captures.get(part, ""))))
            else:
                filled.append(clean(part(facts)))
        return b"".join(filled)

    def __repr__(self) -> str:
        return f"<Template {self.text!r}>"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Template) and self.text == other.text

    def __hash__(self) -> int:
        return hash(self.text)
