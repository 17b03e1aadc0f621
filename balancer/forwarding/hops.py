"""Methods that mean something to a proxy: CONNECT and TRACE end here, OPTIONS counts its hops.

TRACE has servers send back what they got: what this and other proxies added to a request, and what a browser keeps from
scripts. It is refused, as nginx does.
"""

from __future__ import annotations

from balancer import errors
from balancer.errors import ExchangeError
from balancer.model.exchange import Reply
from balancer.wire.http1 import fields
from balancer.wire.http1.heads import RequestHead

__all__ = ["ALLOWED", "SPECIAL", "hop"]

SPECIAL = frozenset(["CONNECT", "OPTIONS", "TRACE"])
"""Methods for which :func:`hop` is to be asked."""
ALLOWED = b"GET, HEAD, POST, PUT, DELETE, PATCH, OPTIONS"
"""Methods that ``Allow`` names; others are passed on as well."""


def hop(head: RequestHead) -> RequestHead | Reply:
    """Return the head to go on with, ``Max-Forwards`` counted down (RFC 9110 section 7.6.2), or the answer if that is 0.

    Raises:
        ExchangeError: the method is refused, or ``Max-Forwards`` is no number.
    """
    if head.method != "OPTIONS":
        raise ExchangeError(errors.HTTP_METHOD_REFUSED, head.method)
    given = [value for name, value in head.plain if name.lower() == b"max-forwards"]
    if not given:
        return head
    text = fields.stripped(given[0])
    if len(given) > 1 or not text.isdigit() or len(text) > 10:
        raise ExchangeError(errors.HTTP_REQUEST_ERROR, "Max-Forwards")
    left = int(text)
    if not left:
        return Reply(200, ((b"Allow", ALLOWED),), b"")
    counted = head.copied()  # which others may share
    counted.plain = [
        (name, b"%d" % (left - 1)) if name.lower() == b"max-forwards" else (name, value) for name, value in head.plain
    ]
    counted.block = counted.frame = None
    return counted
