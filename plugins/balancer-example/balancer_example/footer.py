"""A filter that changes the body of responses as they stream: a line at the end of pages."""

from __future__ import annotations

from pydantic import Field
from zope.interface import implementer

from balancer.hooks.interfaces import IFilter
from balancer.hooks.settings import Settings
from balancer.model.exchange import Exchange, Transform
from balancer.model.headers import RawHeaders, first


class FooterSettings(Settings):
    """What stands at the end of pages."""

    text: str = Field(min_length=1, description="The line.")


@implementer(IFilter)
class Footer:
    """Adds the line to pages; all else passes untouched."""

    body_limit = 0

    def __init__(self, settings: FooterSettings) -> None:
        self._line = f"{settings.text}\n".encode()

    def request(self, exchange: Exchange) -> None:
        """Ask for pages that are not compressed: of others nobody could change anything."""
        exchange.headers = [pair for pair in exchange.headers if pair[0].lower() not in (b"accept-encoding", b"range")]

    def response(self, exchange: Exchange) -> None:
        """The head stays: what a changed body makes of it the balancer knows."""

    def response_body(self, exchange: Exchange) -> Transform | None:
        """Return what changes this body; None has it pass."""
        kind = first(exchange.response_headers, b"content-type") or b""
        return _Lined(self._line) if kind.startswith(b"text/html") else None

    def describe(self, exchange: Exchange) -> str:
        """Say it, for ``balancer explain``."""
        return "adds a line to pages"


class _Lined:
    """One body: what comes goes on at once, the line at the end."""

    def __init__(self, line: bytes) -> None:
        self._line = line

    def feed(self, data: bytes) -> bytes:
        """Return what becomes of a piece; b"" where that cannot be said yet."""
        return data

    def end(self, trailers: RawHeaders | None) -> tuple[bytes, RawHeaders | None]:
        """Return what is left to say, and the trailers."""
        return self._line, trailers
