"""A resource: any Twisted resource can stand at the end of a route."""

from __future__ import annotations

from pydantic import Field
from twisted.web.resource import Resource
from twisted.web.server import Request

from balancer.hooks.settings import Settings


class HelloSettings(Settings):
    """Whom to greet."""

    name: str = Field(default="world", description="Who is greeted.")


class Hello(Resource):
    """Says hello, at every path below its route."""

    isLeaf = True

    def __init__(self, settings: HelloSettings) -> None:
        super().__init__()
        self._name = settings.name

    def render_GET(self, request: Request) -> bytes:
        """Return the page."""
        request.setHeader(b"content-type", b"text/plain; charset=utf-8")
        return f"hello, {self._name}\n".encode()
