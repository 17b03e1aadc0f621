"""Tells clients of a split where they belong, by a cookie. Made by the builder for routes whose split is sticky."""

from __future__ import annotations

from collections.abc import Callable

from zope.interface import implementer

from balancer.hooks.interfaces import IFilter
from balancer.model.exchange import Exchange
from balancer.model.facts import RequestFacts

__all__ = ["KeptSide"]


@implementer(IFilter)
class KeptSide:
    """The filter.

    Args:
        name: the cookie's.
        fields: returns the header fields that keep a client at a pool.
    """

    name = "split"
    body_limit = 0

    def __init__(self, name: str, fields: Callable[[RequestFacts, str], tuple[tuple[bytes, bytes], ...]]) -> None:
        self._cookie = name
        self._fields = fields

    def request(self, exchange: Exchange) -> None:
        """Leave the request as it is."""

    def response(self, exchange: Exchange) -> None:
        """Add the cookie, unless the client has it."""
        if exchange.pool is not None:
            exchange.response_headers += self._fields(exchange.facts, exchange.pool)

    def describe(self, exchange: Exchange) -> str:
        """Return ``keeps the client at POOL by the cookie side``."""
        if exchange.pool is None or not self._fields(exchange.facts, exchange.pool):
            return f"sets no cookie {self._cookie}"
        return f"keeps the client at {exchange.pool} by the cookie {self._cookie}"

    def __repr__(self) -> str:
        return f"<KeptSide by {self._cookie}>"
