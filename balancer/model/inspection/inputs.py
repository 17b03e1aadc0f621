"""What came with a request, parsed once for all checks, when first asked for, within limits.

::

    query ─────────────────────────────────────┐
    body ── by Content-Type ─┬─ form ──────────┼──> args: Values in order
                             ├─ json: leaves ──┤
                             ├─ multipart ─────┤──> files: Parts
                             └─ other: text ───┘
    Cookie ───────────────────────────────────────> cookies: Values, repeated ones too

Nothing raises for what is malformed: it stands in ``faults``, and what could be read is there. Parsing costs time linear in the size.
"""

from __future__ import annotations

from dataclasses import dataclass

from balancer.model.facts import RequestFacts
from balancer.model.inspection.compressed import plain_body
from balancer.model.inspection.forms import cookie_pairs, form_pairs
from balancer.model.inspection.json_leaves import json_leaves
from balancer.model.inspection.multipart import Part, multipart_parts
from balancer.model.inspection.values import Fault, Value

__all__ = ["InputLimits", "Inputs"]

_FORM = "application/x-www-form-urlencoded"
_BINARY = (
    "image/",
    "audio/",
    "video/",
    "font/",
    "application/octet-stream",
    "application/zip",
    "application/gzip",
    "application/grpc",
)


@dataclass(frozen=True, slots=True)
class InputLimits:
    """How much is parsed: values of each source, levels of JSON, parts of multipart, bytes of a decompressed body."""

    values: int = 5000
    depth: int = 64
    parts: int = 500
    decompressed: int = 1024 * 1024


class Inputs:
    """See the module. All are tuples: ``query``, ``fields`` (of the body), ``args`` (both), ``cookies``, ``files``, ``parts``, ``faults``."""

    __slots__ = ("_body", "_body_found", "_cookies", "_facts", "_faults", "_limits", "_query", "_whole")

    def __init__(self, facts: RequestFacts, limits: InputLimits) -> None:
        self._facts = facts
        self._limits = limits
        self._body = b""
        self._whole = True
        self._query: tuple[Value, ...] | None = None
        self._cookies: tuple[Value, ...] | None = None
        self._body_found: tuple[tuple[Value, ...], tuple[Part, ...]] | None = None
        self._faults: dict[str, tuple[Fault, ...]] = {}

    def body_is(self, body: bytes, whole: bool) -> None:
        """Take the request's body; for whoever runs the checks."""
        self._body, self._whole, self._body_found = body, whole, None

    @property
    def kind(self) -> str:
        """The request's content type in lower case, without parameters; ``""`` if it has none."""
        return (self._facts.header("content-type") or "").partition(";")[0].strip().lower()

    @property
    def query(self) -> tuple[Value, ...]:
        """The arguments of the query."""
        found = self._query
        if found is None:
            found, faults = form_pairs("query", self._facts.raw_query.encode("latin-1"), self._limits.values)
            self._faults["query"] = faults
            self._query = found
        return found

    @property
    def cookies(self) -> tuple[Value, ...]:
        """The cookies as sent, every one of a repeated name."""
        found = self._cookies
        if found is None:
            found, faults = cookie_pairs(self._facts.header_values("cookie"), self._limits.values)
            self._faults["cookie"] = faults
            self._cookies = found
        return found

    @property
    def fields(self) -> tuple[Value, ...]:
        """The arguments in the body: fields of a form, leaves of JSON, fields of multipart that are no files; else its text, unless it is binary."""
        return self._of_body()[0]

    @property
    def args(self) -> tuple[Value, ...]:
        """The arguments of the query, then those in the body."""
        return self.query + self.fields

    @property
    def parts(self) -> tuple[Part, ...]:
        """The parts of a multipart body."""
        return self._of_body()[1]

    @property
    def files(self) -> tuple[Part, ...]:
        """Those parts that are files."""
        return tuple(part for part in self.parts if part.filename is not None)

    @property
    def faults(self) -> tuple[Fault, ...]:
        """What is malformed in query, cookies and body."""
        self.query, self.cookies, self._of_body()  # parses them
        return tuple(fault for faults in tuple(self._faults.values()) for fault in faults)

    def _of_body(self) -> tuple[tuple[Value, ...], tuple[Part, ...]]:
        found = self._body_found
        if found is None:
            values, parts, faults = self._parse_body() if self._body else ((), (), ())
            self._faults["body"] = faults
            found = self._body_found = (values, parts)
        return found

    def _parse_body(self) -> tuple[tuple[Value, ...], tuple[Part, ...], tuple[Fault, ...]]:
        limits, kind = self._limits, self.kind
        body, whole, faults = plain_body(
            self._body, self._whole, self._facts.header_values("content-encoding"), limits.decompressed
        )
        values: tuple[Value, ...] = ()
        parts: tuple[Part, ...] = ()
        if kind == _FORM:
            values, more = form_pairs("form", body, limits.values)
        elif kind.startswith("multipart/"):
            parts, more = multipart_parts(self._facts.header("content-type") or "", body, whole, limits.parts)
            values = tuple(Value("multipart", part.name, part.text) for part in parts if part.filename is None)
        elif kind == "application/json" or kind.endswith("+json") or kind == "text/json":
            values, more = json_leaves(body, whole, limits.values, limits.depth)
        else:
            more = ()
            if not kind.startswith(_BINARY):
                values = (Value("body", "", body.decode("utf-8", "replace")),)
        return values, parts, (*faults, *more)
