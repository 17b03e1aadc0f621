"""What a WAF check looks at: one exchange, as far as it has come."""

from __future__ import annotations

from typing import Any

from balancer.model.facts import RequestFacts
from balancer.model.headers import RawHeaders
from balancer.model.inspection.inputs import InputLimits, Inputs

__all__ = ["Subject"]


class Subject:
    """One exchange, for all checks of a filter. Read only for them, but for ``kept``.

    ``facts`` is the head of the request as received: ``method``, ``path``, ``query``, ``header(name)``, ``client_ip``…
    ``inputs`` is what came with it: arguments, cookies, forms, JSON, multipart; parsed once, when first asked for.
    ``route`` is the route's name, ``""`` on a listener.

    ``body_follows`` says, from the beginning, whether the phase ``request_body`` is still to come for checks that have it: the request may have a body.

    ``body`` is the request's body from the phase ``request_body`` on, for checks that buffer it; ``b""`` where there is none or nobody does.
    ``body_whole`` says whether that is all of it: a longer one than the limit is here with its beginning.

    ``status`` (0 before) and ``response_headers`` are the response's head, from the phase ``response_head`` on; ``response_body`` and
    ``response_body_whole`` its body likewise.

    ``kept`` is for checks to remember something from phase to phase: ``subject.kept[self] = …``. Each sees to its own key only.
    """

    __slots__ = (
        "body",
        "body_follows",
        "body_whole",
        "facts",
        "inputs",
        "kept",
        "response_body",
        "response_body_whole",
        "response_headers",
        "route",
        "status",
    )

    def __init__(self, facts: RequestFacts, route: str = "", limits: InputLimits | None = None) -> None:
        self.facts = facts
        self.route = route
        self.inputs = Inputs(facts, limits or InputLimits())
        self.body_follows = False
        self.body = b""
        self.body_whole = True
        self.status = 0
        self.response_headers: RawHeaders = []
        self.response_body = b""
        self.response_body_whole = True
        self.kept: dict[Any, Any] = {}

    def body_is(self, body: bytes, whole: bool) -> None:
        """Take the request's body, or its beginning; for whoever runs the checks."""
        self.body, self.body_whole = body, whole
        self.inputs.body_is(body, whole)

    def __repr__(self) -> str:
        return f"<Subject {self.facts.method} {self.facts.target} status={self.status}>"
