"""Guards: what stands between the balancer and an object that a third-party plug-in made.

A guard offers the interface of what it guards, keeps the account (:mod:`.accounting`), and when the object raises or
returns what it must not, does without it: the object loses its own effect and nothing else. Built-in objects are called
directly.

==================  =============================================================================================
kind                what happens without it
==================  =============================================================================================
algorithm           the pool takes the least loaded server that may be used
matcher             the condition does not hold
filter              ``on_error: allow``: the exchange goes on as it was; ``deny``: it is answered with 500
check               ``allow``: nothing was found; ``deny``: the request is blocked
probe               the server is not well
access log format   the line is written as JSON
resource            500, as for any resource that raises; there is no guard
==================  =============================================================================================
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from twisted.internet.defer import CancelledError, Deferred, fail
from twisted.python.failure import Failure
from zope.interface import implementer

from balancer.errors import PROXY_INTERNAL_ERROR, PluginError
from balancer.hooks.accounting import Account
from balancer.hooks.interfaces import (
    Choice,
    IAccessLogFormat,
    IAlgorithm,
    ICheck,
    IFilter,
    IMatcher,
    IObservingAlgorithm,
    IProbe,
    IServer,
)
from balancer.model.exchange import Exchange, Reply
from balancer.model.facts import RequestFacts
from balancer.model.verdict import Finding, Verdict

__all__ = ["PATIENCE", "guarded"]

PATIENCE = 5.0
"""Seconds that a filter or check may take over its Deferred."""


class _Guard:
    """What all guards share."""

    def __init__(self, inner: Any, account: Account, deny: bool, clock: Callable[[], Any]) -> None:
        self.name = account.name
        self._inner = inner
        self._account = account
        self._deny = deny
        self._clock = clock

    def _call(self, method: Callable[..., Any], *arguments: Any, otherwise: Any = None) -> Any:
        """Return what ``method`` returns, ``otherwise`` if it raises or is switched off."""
        account = self._account
        if not account.admits():
            return otherwise
        began = account.begin()
        try:
            found = method(*arguments)
        except Exception as error:
            account.failed(began, error)
            return otherwise
        account.end(began)
        return found

    def describe(self, *arguments: Any) -> str:
        """Return the object's own words, or its name."""
        return str(self._call(self._inner.describe, *arguments, otherwise=self._account.name))

    def _bounded(self, waiting: Deferred[Any]) -> Deferred[Any]:
        """Return ``waiting``, which fails if it takes too long."""
        clock = self._clock()
        return waiting if clock is None else waiting.addTimeout(PATIENCE, clock)

    def __repr__(self) -> str:
        return f"<guarded {self._inner!r}>"


@implementer(IAlgorithm)
class _Algorithm(_Guard):
    """Asks the algorithm for servers; the pool does without those it does not name."""

    def __init__(self, inner: Any, account: Account, deny: bool, clock: Callable[[], Any]) -> None:
        super().__init__(inner, account, deny, clock)
        self.key = inner.key
        self.stable = bool(inner.stable)
        self._known: frozenset[int] = frozenset()

    def prepare(self, servers: Sequence[IServer]) -> None:
        """Pass the servers on."""
        self._known = frozenset(map(id, servers))
        self._call(self._inner.prepare, servers)

    def candidates(self, choice: Choice) -> Iterator[IServer]:
        """Yield the algorithm's servers, each once, none that is not of this pool."""
        account = self._account
        if not account.admits():
            return
        began = account.begin()
        known, seen = self._known, set[int]()
        try:
            for server in self._inner.candidates(choice):
                each = id(server)
                if each not in known:
                    raise TypeError(f"candidates() yielded {server!r}, which is no server of the pool")
                if each in seen:
                    continue
                seen.add(each)
                account.end(began)
                yield server
                if len(seen) == len(known):
                    return
                began = account.begin()
                account.calls -= 1
        except Exception as error:
            account.failed(began, error)
            return
        if not seen and known:
            account.failed(began, "candidates() yielded no server")


@implementer(IObservingAlgorithm)
class _ObservingAlgorithm(_Algorithm):
    """An algorithm that is told of outcomes."""

    def finished(self, server: IServer, seconds: float, ok: bool) -> None:
        """Pass the outcome on."""
        self._call(self._inner.finished, server, seconds, ok)


@implementer(IMatcher)
class _Matcher(_Guard):
    def matches(self, facts: RequestFacts) -> bool:
        """Return what the matcher says, False if it cannot."""
        return bool(self._call(self._inner.matches, facts, otherwise=False))


@implementer(IFilter)
class _Filter(_Guard):
    def __init__(self, inner: Any, account: Account, deny: bool, clock: Callable[[], Any]) -> None:
        super().__init__(inner, account, deny, clock)
        self.body_limit = int(inner.body_limit)
        self.captures = frozenset(getattr(inner, "captures", ()))
        self.on_error = "deny" if deny else "allow"

    def request(self, exchange: Exchange) -> Any:
        """Run the filter's request part; what it changed before it failed is undone."""
        account = self._account
        if not account.admits():
            return self._without()
        before = (exchange.method, exchange.target, list(exchange.headers))
        began = account.begin()
        try:
            found = self._inner.request(exchange)
            if isinstance(found, Deferred):
                account.end(began)
                return self._bounded(found).addCallbacks(
                    self._answered, self._gave_up, (exchange, before), errbackArgs=(exchange, before)
                )
            self._check(found)
        except Exception as error:
            account.failed(began, error)
            return self._undo(exchange, before)
        account.end(began)
        return found

    def response(self, exchange: Exchange) -> None:
        """Run the filter's response part; what it changed before it failed is undone."""
        account = self._account
        if not account.admits():
            return
        status, headers = exchange.status, list(exchange.response_headers)
        began = account.begin()
        try:
            self._inner.response(exchange)
        except Exception as error:
            account.failed(began, error)
            exchange.status, exchange.response_headers = status, headers
            if self._deny:
                raise PluginError(f"{account} failed on the response") from error
            return
        account.end(began)

    @staticmethod
    def _check(found: Any) -> None:
        if found is not None and not isinstance(found, Reply):
            raise TypeError(f"request() must return a Reply, None or a Deferred of them, not {type(found).__name__}")

    def _answered(self, found: Any, exchange: Exchange, before: tuple[Any, ...]) -> Any:
        try:
            self._check(found)
        except TypeError as error:
            self._account.failed(None, error)
            return self._undo(exchange, before)
        return found

    def _gave_up(self, failure: Failure, exchange: Exchange, before: tuple[Any, ...]) -> Any:
        if failure.check(CancelledError):
            return failure
        self._account.failed(None, failure.value or str(failure))
        return self._undo(exchange, before)

    def _undo(self, exchange: Exchange, before: tuple[Any, ...]) -> Reply | None:
        exchange.method, exchange.target, exchange.headers = before
        return self._without()

    def _without(self) -> Reply | None:
        if not self._deny:
            return None
        detail = f"plug-in {self._account.name} failed"
        return Reply(PROXY_INTERNAL_ERROR.status, reason=PROXY_INTERNAL_ERROR.code, detail=detail)


@implementer(ICheck)
class _Check(_Guard):
    def inspect(self, exchange: Exchange) -> Any:
        """Return the check's verdict."""
        account = self._account
        if not account.admits():
            return self._without()
        began = account.begin()
        try:
            found = self._inner.inspect(exchange)
            if isinstance(found, Deferred):
                account.end(began)
                return self._bounded(found).addCallbacks(self._checked, self._gave_up)
        except Exception as error:
            account.failed(began, error)
            return self._without()
        account.end(began)
        return self._checked(found)

    def _checked(self, found: Any) -> Any:
        if found is None or isinstance(found, Verdict):
            return found
        self._account.failed(None, f"inspect() must return a Verdict or None, not {type(found).__name__}")
        return self._without()

    def _gave_up(self, failure: Failure) -> Any:
        if failure.check(CancelledError):
            return failure
        self._account.failed(None, failure.value or str(failure))
        return self._without()

    def _without(self) -> Verdict | None:
        if not self._deny:
            return None
        name = self._account.name
        return Verdict((Finding(name, 0, f"the check {name} failed", "error"),), block=True)


@implementer(IProbe)
class _Probe(_Guard):
    def probe(self, connect: Callable[[Any], Deferred[Any]], server: IServer) -> Deferred[str]:
        """Ask the server; a probe that breaks its contract says that the server is not well."""
        account = self._account
        if not account.admits():
            return fail(PluginError(f"{account} is switched off: {account.last_error}"))
        began = account.begin()
        try:
            found = self._inner.probe(connect, server)
            if not isinstance(found, Deferred):
                raise TypeError(f"probe() must return a Deferred, not {type(found).__name__}")
        except Exception as error:
            account.failed(began, error)
            return fail(PluginError(f"{account}: {error}"))
        account.end(began)
        return found.addCallback(str)


@implementer(IAccessLogFormat)
class _Format(_Guard):
    def __init__(self, inner: Any, account: Account, deny: bool, clock: Callable[[], Any], fallback: Any) -> None:
        super().__init__(inner, account, deny, clock)
        self._fallback = fallback

    def exchange(self, record: Any) -> str:
        """Return the line for an exchange."""
        return self._line(self._inner.exchange, self._fallback.exchange, record)

    def session(self, record: Any) -> str:
        """Return the line for a session."""
        return self._line(self._inner.session, self._fallback.session, record)

    def _line(self, method: Callable[[Any], Any], otherwise: Callable[[Any], str], record: Any) -> str:
        found = self._call(method, record)
        if isinstance(found, str):
            return found.replace("\r", "\\r").replace("\n", "\\n")
        if found is not None:
            self._account.failed(None, f"a line must be a string, not {type(found).__name__}")
        return otherwise(record)


def guarded(
    kind: str, made: Any, account: Account, *, deny: bool, clock: Callable[[], Any], fallback: Callable[[], Any]
) -> Any:
    """Return ``made``, an object of ``kind``, behind its guard.

    Args:
        kind: one of :data:`~.spec.KINDS`.
        made: the object, which provides the interface of its kind.
        account: where its calls are counted.
        deny: whether an exchange ends when a filter or check of the plug-in fails.
        clock: returns what bounds Deferreds (``IReactorTime``), None where nothing runs.
        fallback: returns the access log format that is used when this one fails.
    """
    if kind == "algorithms":
        guard = _ObservingAlgorithm if IObservingAlgorithm.providedBy(made) else _Algorithm
        return guard(made, account, deny, clock)
    if kind == "access_log_formats":
        return _Format(made, account, deny, clock, fallback())
    if kind == "resources":
        return made
    return _GUARDS[kind](made, account, deny, clock)


_GUARDS: dict[str, type[_Guard]] = {"matchers": _Matcher, "filters": _Filter, "checks": _Check, "probes": _Probe}
