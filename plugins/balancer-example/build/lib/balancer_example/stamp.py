"""A filter: a header on the request and on the response."""

from __future__ import annotations

from pydantic import Field
from zope.interface import implementer

from balancer.hooks.interfaces import IFilter
from balancer.hooks.settings import Settings
from balancer.model.exchange import Exchange, Reply


class StampSettings(Settings):
    """Which header, and what it says."""

    header: str = Field(default="X-Stamp", pattern=r"^[A-Za-z][A-Za-z0-9-]*$", description="The header's name.")
    value: str = Field(pattern=r"^[\x20-\x7e]+$", description="Its value.")
    refuse: bool = Field(default=False, description="Whether to refuse requests that have the header already.")


@implementer(IFilter)
class Stamp:
    """Adds the header, unless it is there."""

    body_limit = 0  # bodies stream past

    def __init__(self, settings: StampSettings) -> None:
        self._refuse = settings.refuse
        self._pair = (settings.header.encode(), settings.value.encode())

    def request(self, exchange: Exchange) -> Reply | None:
        """Stamp the request as it will be sent; a Reply would answer it here."""
        name = self._pair[0].lower()
        if any(key.lower() == name for key, _ in exchange.headers):
            return Reply(400, body=b"already stamped\n") if self._refuse else None
        exchange.headers.append(self._pair)
        return None

    def response(self, exchange: Exchange) -> None:
        """Stamp the response."""
        exchange.response_headers.append(self._pair)

    def describe(self, exchange: Exchange) -> str:
        """Say it, for ``balancer explain``."""
        return f"adds {self._pair[0].decode()}: {self._pair[1].decode()}"
