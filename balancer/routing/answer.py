"""The answer to an exchange that the balancer decides without any server: redirects, fixed responses, no route."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from balancer.errors import DESTINATION_NOT_FOUND, PROXY_INTERNAL_ERROR
from balancer.model.decision import Decision
from balancer.model.exchange import Reply
from balancer.model.facts import RequestFacts
from balancer.model.header_rules import header_name, header_value
from balancer.routing.route import Route

__all__ = ["answer", "fixed_reply"]

_NOT_FOUND = Reply(DESTINATION_NOT_FOUND.status, reason=DESTINATION_NOT_FOUND.code)
_NOT_OURS = Reply(
    500,
    reason=PROXY_INTERNAL_ERROR.code,
    detail="the action of this route is not ours to answer",
)


def answer(decision: Decision, facts: RequestFacts) -> Reply:
    """Return the reply of a decision whose action is ``redirect``, ``respond`` or ``none``."""
    if decision.action == "none":
        return _NOT_FOUND
    route: Route = decision.entry
    if route.reply is not None:
        return route.reply
    if route.redirect is not None:
        return route.redirect.reply(facts, decision.captures, route.name, route.matched(facts))
    return _NOT_OURS


def fixed_reply(
    status: int = 200,
    body: str | None = None,
    headers: Mapping[str, str | Sequence[str]] | None = None,
    content_type: str | None = None,
) -> Reply:
    """Return the reply of a ``respond`` action.

    An error status without a body is answered with the error page that the client's ``Accept`` asks for; a body without
    a content type is plain text in UTF-8. A ``Content-Type`` among ``headers`` goes before ``content_type``.

    Raises:
        ValueError: for a status outside 200 to 599, a body where HTTP allows none, or a header that cannot be sent.
    """
    if not 200 <= status <= 599:
        raise ValueError(f"expected a status from 200 to 599, got {status}")
    if body and status in (204, 304):
        raise ValueError(f"a {status} response has no body")
    pairs = [
        (header_name(name), header_value(value))
        for name, given in (headers or {}).items()
        for value in ([given] if isinstance(given, str) else given)
    ]
    typed = any(name.lower() == b"content-type" for name, _ in pairs)
    if body and not typed:
        pairs.insert(0, (b"Content-Type", header_value(content_type or "text/plain; charset=utf-8")))
    try:
        content = body.encode() if body is not None else b"" if status < 400 else None
    except UnicodeEncodeError:
        raise ValueError("expected text for the body, got a lone surrogate") from None
    return Reply(status, tuple(pairs), content)
