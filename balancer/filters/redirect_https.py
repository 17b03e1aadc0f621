"""``redirect_https`` of a listener: whoever comes by http is sent to the same address by https.

Host, path and query stay as they were sent. A listener that does this may have routes all the same: they serve
``/.well-known/acme-challenge/``, where certificate authorities look, by http, for the proof that a name is ours (RFC 8555
section 8.3); without routes that is redirected too, which they follow.
"""

from __future__ import annotations

import re
from urllib.parse import quote

from zope.interface import implementer

from balancer.errors import HTTP_REQUEST_ERROR
from balancer.hooks.interfaces import IFilter
from balancer.model.exchange import Exchange, Reply

__all__ = ["CHALLENGES", "RedirectHttps"]

CHALLENGES = "/.well-known/acme-challenge/"
"""Where authorities look for the answers to their challenges."""

_HOST = re.compile(r"(?:[A-Za-z0-9._-]+|[0-9A-Fa-f:.]+)\Z")
_KEPT = "".join(chr(code) for code in range(0x21, 0x7F) if chr(code) not in '"\\<>^`{|}')
_NO_HOST = Reply(400, reason=HTTP_REQUEST_ERROR.code, detail="the request names no host that it could be redirected to")


@implementer(IFilter)
class RedirectHttps:
    """The filter.

    Args:
        port: of https.
        status: of the redirect.
        challenges: whether requests for :data:`CHALLENGES` go on to the routes.
    """

    name = "redirect_https"
    body_limit = 0

    def __init__(self, port: int = 443, status: int = 308, *, challenges: bool = False) -> None:
        self._port = port
        self._status = status
        self._challenges = challenges

    def request(self, exchange: Exchange) -> Reply | None:
        """Answer with the redirect."""
        facts = exchange.facts
        if self._challenges and facts.path.startswith(CHALLENGES):
            return None
        host = facts.host
        if not _HOST.match(host):
            return _NO_HOST
        if ":" in host:
            host = f"[{host}]"
        port = "" if self._port == 443 else f":{self._port}"
        _, _, path, query = facts.parts
        target = (path if path.startswith("/") else "/") + (f"?{query}" if query else "")
        location = f"https://{host}{port}{quote(target.encode('latin-1'), safe=_KEPT)}"
        return Reply(self._status, ((b"Location", location.encode("ascii")),), b"")

    def response(self, exchange: Exchange) -> None:
        """Leave the answer as it is."""

    def describe(self, exchange: Exchange) -> str:
        """Return ``redirects to https with 308``."""
        port = "" if self._port == 443 else f" on port {self._port}"
        if self._challenges and exchange.facts.path.startswith(CHALLENGES):
            return "lets challenges of certificate authorities through"
        return f"redirects to https{port} with {self._status}"

    def __repr__(self) -> str:
        return f"<RedirectHttps to port {self._port} with {self._status}>"
