"""The answer to an exchange that the balancer decides without any server: redirects, fixed responses, no route."""

from __future__ import annotations

from balancer.errors import DESTINATION_NOT_FOUND, PROXY_INTERNAL_ERROR
from balancer.model.decision import Decision
from balancer.model.exchange import Reply
from balancer.model.facts import RequestFacts
from balancer.routing.route import Route

__all__ = ["answer"]

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
