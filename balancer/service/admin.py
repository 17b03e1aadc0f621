"""The admin API: JSON over HTTP on a unix socket (or TCP with a token), spoken by ``balancer ctl``.

====================================  ==================================================================
``GET /status``                       version, uptime, listeners, pools with their servers
``POST /explain``                     where a request would go now: ``{"url": …}``, see :mod:`.questions`
``POST /reload``                      read the configuration again; 200, or 422 with every problem
``POST /reopen``                      reopen the access log
``POST /upgrade``                     start the command anew and let it take over
``GET /plugins``                      the packages that are loaded, and how their calls went
``POST /pools/POOL/servers/SERVER``   ``{"weight": 3}``, ``{"drain": true}`` or ``{"disable": true}``, and false for the way back
``POST …/servers/SERVER/restore``     end its ejection, close its breaker; ``POST /pools/POOL/restore``: of all its servers
``POST /splits/LISTENER/ROUTE``       ``{"weights": {"blue": 0, "green": 1}}``, ``{"switch": "green"}`` or ``{"reset": true}``
``POST /canaries/LISTENER/ROUTE``     ``{"do": "pause"}``, or another of :data:`~balancer.routing.canary.COMMANDS`
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
from balancer.routing.canary import COMMANDS
from balancer.service.audit import Audit, who

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

    def change_server(self, pool: str, server: str, wanted: Any) -> Any:
        """Change a server's weight, drain it, disable it or take it back."""

    def restore(self, pool: str, server: str | None) -> Any:
        """End ejections and close breakers, of a server or (None) of a pool."""

    def change_split(self, listener: str, route: str, wanted: Any) -> Any:
        """Change the weights by which a route splits."""

    def change_canary(self, listener: str, route: str, command: Any) -> Any:
        """Pause a canary, let it go on and such."""


class AdminResource(Resource):
    """The root of the admin API.

    Args:
        service: what is administered.
        token: the bearer token that every request must carry, None on a unix socket, whose rights protect it.
        audit: is told of every call that changes something.
    """

    def __init__(self, service: Administered, token: str | None, audit: Audit | None = None) -> None:
        super().__init__()
        self._audit = audit or Audit()
        self._service = service
        self._token = token.encode() if token is not None else None

    def getChildWithDefault(self, name: bytes, request: Request) -> IResource:
        """Return the resource for the whole path, or a refusal."""
        if self._token is not None:
            scheme, _, given = (request.getHeader(b"authorization") or b"").partition(b" ")
            if not hmac.compare_digest(given, self._token) or scheme.lower() != b"bearer":
                request.setHeader(b"www-authenticate", b"Bearer")
                refused = {"error": "a bearer token is needed"}
                self._audit.note(who(request.transport), _called(request), None, 401, refused)
                return _Answer(401, refused)
        path = [unquote(part.decode("latin-1")) for part in (name, *(request.postpath or ()))]
        request.postpath = []
        service = self._service
        match [request.method.decode("latin-1"), *path]:
            case ["GET", "status"]:
                return _Call(service.status)
            case ["POST", "explain"]:
                return _Call(lambda: service.explain(_content(request)))
            case ["POST", "reload"]:
                return _Change(lambda _: service.reload(), self._audit)
            case ["POST", "reopen"]:
                return _Change(lambda _: service.reopen_logs(), self._audit)
            case ["POST", "upgrade"]:
                return _Change(lambda _: service.upgrade(), self._audit)
            case ["GET", "plugins"]:
                return _Call(service.plugins)
            case ["POST", "pools", pool, "servers", server]:
                return _Change(lambda content: service.change_server(pool, server, content), self._audit)
            case ["POST", "pools", pool, "servers", server, "restore"]:
                return _Change(lambda content: self._restore(pool, server, content), self._audit)
            case ["POST", "pools", pool, "restore"]:
                return _Change(lambda content: self._restore(pool, None, content), self._audit)
            case ["POST", "splits", listener, route]:
                return _Change(lambda content: service.change_split(listener, route, content), self._audit)
            case ["POST", "canaries", listener, route]:
                return _Change(lambda content: self._tell_canary(listener, route, content), self._audit)
        return _Answer(404, {"error": "there is nothing here; see the documentation of the admin API"})

    def _tell_canary(self, listener: str, route: str, wanted: Any) -> Any:
        if not isinstance(wanted, dict) or wanted.keys() != {"do"}:
            raise BalancerError(f"expected {{'do': {' or '.join(map(repr, COMMANDS))}}}")
        return self._service.change_canary(listener, route, wanted["do"])

    def _restore(self, pool: str, server: str | None, content: Any) -> Any:
        if content:
            raise BalancerError("expected no content")
        return self._service.restore(pool, server)


def _content(request: Request) -> Any:
    """Return what the request's body says, as JSON."""
    assert request.content is not None
    text = request.content.read(_LARGEST)
    try:
        return json.loads(text) if text.strip() else None
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
            return self._answer(request, *_failed(Failure()))
        if not isinstance(outcome, Deferred):
            return self._answer(request, 200, outcome)

        def answered(status: int, content: Any) -> None:
            self._done(request, status, content)
            if not request._disconnected:
                request.write(_as_json(request, status, content))
                request.finish()

        outcome.addCallbacks(lambda value: answered(200, value), lambda failure: answered(*_failed(failure)))
        return NOT_DONE_YET

    def _answer(self, request: Request, status: int, content: Any) -> bytes:
        self._done(request, status, content)
        return _as_json(request, status, content)

    def _done(self, request: Request, status: int, content: Any) -> None:
        """The call has ended."""


class _Change(_Call):
    """A call that changes something: given what the body says, null where there is none, and written to the audit log."""

    def __init__(self, call: Callable[[Any], Any], audit: Audit) -> None:
        super().__init__(lambda: call(self._content))
        self._audit = audit
        self._content: Any = None
        self._by: dict[str, Any] = {}

    def render(self, request: Request) -> bytes | int:
        """Make the call."""
        self._by = who(request.transport)
        try:
            self._content = _content(request)
        except BalancerError:
            return self._answer(request, *_failed(Failure()))
        return super().render(request)

    def _done(self, request: Request, status: int, content: Any) -> None:
        self._audit.note(self._by, _called(request), self._content, status, content)


def _called(request: Request) -> str:
    return f"{request.method.decode('latin-1')} {request.uri.decode('latin-1')}"


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
