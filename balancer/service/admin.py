"""The admin API: JSON over HTTP on a unix socket (or TCP with a token), spoken by ``balancer ctl``.

====================================  ==================================================================
``GET /status``                       version, uptime, listeners, pools with their servers
``POST /explain``                     where a request would go now: ``{"url": …}``, see :mod:`.questions`
``POST /reload``                      read the configuration again; 200, or 422 with every problem
``POST /reopen``                      reopen the access log
``POST /upgrade``                     start the command anew and let it take over
``GET /plugins``                      the packages that are loaded, and how their calls went
``POST /pools/POOL/servers/SERVER``   ``{"weight": 3}``, ``{"drain": true}`` or ``{"drain": false}``
====================================  ==================================================================
"""

from __future__ import annotations

import hmac
import json
from collections.abc import Callable
from typing import Any, Protocol
from urllib.parse import unquote

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure
from twisted.web.resource import IResource, Resource
from twisted.web.server import NOT_DONE_YET, Request

from balancer.errors import BalancerError, ConfigurationError

__all__ = ["AdminResource", "Administered"]

_LARGEST = 64 * 1024


class Administered(Protocol):
    """What the API asks for; each call returns plain values, or a Deferred of them, and raises BalancerError."""

    def status(self) -> Any:
        """Return listeners, pools and servers."""

    def reload(self) -> Any:
        """Read the configuration again."""

    def reopen_logs(self) -> Any:
        """Open the access log anew."""

    def upgrade(self) -> Any:
        """Let a new process take over."""

    def explain(self, question: Any) -> Any:
        """Return where a request would go, and why."""

    def plugins(self) -> Any:
        """Return packages and accounts."""

    def change_server(self, pool: str, server: str, *, weight: int | None, drain: bool | None) -> Any:
        """Change a server's weight, or drain it or take it back."""


class AdminResource(Resource):
    """The root of the admin API.

    Args:
        service: what is administered.
        token: the bearer token that every request must carry, None on a unix socket, whose rights protect it.
    """

    def __init__(self, service: Administered, token: str | None) -> None:
        super().__init__()
        self._service = service
        self._token = token.encode() if token is not None else None

    def getChildWithDefault(self, name: bytes, request: Request) -> IResource:
        """Return the resource for the whole path, or a refusal."""
        if self._token is not None:
            scheme, _, given = (request.getHeader(b"authorization") or b"").partition(b" ")
            if not hmac.compare_digest(given, self._token) or scheme.lower() != b"bearer":
                request.setHeader(b"www-authenticate", b"Bearer")
                return _Answer(401, {"error": "a bearer token is needed"})
        path = [unquote(part.decode("latin-1")) for part in (name, *(request.postpath or ()))]
        request.postpath = []
        service = self._service
        match [request.method.decode("latin-1"), *path]:
            case ["GET", "status"]:
                return _Call(service.status)
            case ["POST", "explain"]:
                return _Call(lambda: service.explain(_content(request)))
            case ["POST", "reload"]:
                return _Call(service.reload)
            case ["POST", "reopen"]:
                return _Call(service.reopen_logs)
            case ["POST", "upgrade"]:
                return _Call(service.upgrade)
            case ["GET", "plugins"]:
                return _Call(service.plugins)
            case ["POST", "pools", pool, "servers", server]:
                return _Call(lambda: self._change(pool, server, request))
        return _Answer(404, {"error": "there is nothing here; see the documentation of the admin API"})

    def _change(self, pool: str, server: str, request: Request) -> Any:
        wanted = _content(request)
        if not isinstance(wanted, dict) or not wanted or wanted.keys() - {"weight", "drain"}:
            raise BalancerError("expected {'weight': N} or {'drain': true or false}")
        weight, drain = wanted.get("weight"), wanted.get("drain")
        if weight is not None and (isinstance(weight, bool) or not isinstance(weight, int) or not 0 <= weight <= 65535):
            raise BalancerError("expected a weight from 0 to 65535")
        if drain is not None and not isinstance(drain, bool):
            raise BalancerError("expected 'drain' to be true or false")
        return self._service.change_server(pool, server, weight=weight, drain=drain)


def _content(request: Request) -> Any:
    """Return what the request's body says, as JSON."""
    assert request.content is not None
    try:
        return json.loads(request.content.read(_LARGEST))
    except ValueError as error:
        raise BalancerError(f"expected a JSON object: {error}") from None


class _Answer(Resource):
    """A fixed answer."""

    isLeaf = True

    def __init__(self, status: int, content: Any) -> None:
        super().__init__()
        self._status = status
        self._content = content

    def render(self, request: Request) -> bytes:
        """Return the answer as JSON."""
        return _as_json(request, self._status, self._content)


class _Call(Resource):
    """Answers with what a call returns, at once or later."""

    isLeaf = True

    def __init__(self, call: Callable[[], Any]) -> None:
        super().__init__()
        self._call = call

    def render(self, request: Request) -> bytes | int:
        """Make the call."""
        try:
            outcome = self._call()
        except Exception:
            return _as_json(request, *_failed(Failure()))
        if not isinstance(outcome, Deferred):
            return _as_json(request, 200, outcome)

        def answered(status: int, content: Any) -> None:
            if not request._disconnected:
                request.write(_as_json(request, status, content))
                request.finish()

        outcome.addCallbacks(lambda value: answered(200, value), lambda failure: answered(*_failed(failure)))
        return NOT_DONE_YET


def _failed(failure: Failure) -> tuple[int, Any]:
    error = failure.value
    if isinstance(error, ConfigurationError):
        return 422, {"error": "the configuration cannot be used", "problems": [str(each) for each in error.problems]}
    if isinstance(error, BalancerError):
        return 400, {"error": str(error)}
    return 500, {"error": f"{type(error).__name__}: {error}"}


def _as_json(request: Request, status: int, content: Any) -> bytes:
    request.setResponseCode(status)
    request.setHeader(b"content-type", b"application/json")
    return json.dumps(content).encode() + b"\n"
