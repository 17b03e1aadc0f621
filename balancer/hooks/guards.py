"""Guards: what stands between the balancer and an object that a third-party plug-in made.

A guard offers the interface of what it guards, keeps the account (:mod:`.accounting`), and when the object raises or
returns what it must not (:mod:`.soundness`), does without it: the object loses its own effect and nothing else. Built-in
objects are called directly.

==================  =============================================================================================
kind                what happens without it
==================  =============================================================================================
algorithm           the pool takes the least loaded server that may be used
matcher             the condition does not hold (and so ``not:`` around it does)
filter              ``on_error: allow``: the exchange goes on as it was; ``deny``: it is answered with 500
check               what it declares (``on_error``); see :mod:`.check_guard`
probe               nothing is learnt of the server, which stays up or down as it was
access log format   the line is written as JSON
source of flags     there is no such flag
resource            500, as for any resource that raises; there is no guard
==================  =============================================================================================

Everything a plug-in raises is caught but KeyboardInterrupt: ``sys.exit()`` in one ends a call, not the service.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

from twisted.internet.defer import CancelledError, Deferred, fail
from twisted.python.failure import Failure
from twisted.python.reflect import safe_repr
from zope.interface import implementer

from balancer.errors import PROXY_INTERNAL_ERROR, ExchangeError
from balancer.hooks.accounting import Account
from balancer.hooks.interfaces import (
    Choice,
    IAccessLogFormat,
    IAlgorithm,
    IFilter,
    IFlags,
    IMatcher,
    IObservingAlgorithm,
    IProbe,
    IServer,
)
from balancer.hooks.soundness import (
    sound_flag,
    sound_line,
    sound_reply,
    sound_request,
    sound_response,
    sound_truth,
)
from balancer.hooks.transforms import guarded_transform
from balancer.hooks.waiting import patiently
from balancer.model.exchange import Exchange, Reply
from balancer.model.facts import RequestFacts
from balancer.model.keys import Key

__all__ = ["GUARDS", "guarded"]

_MOST_REPEATS = 1000
"""Servers that an algorithm may name again in one choice, before it counts as one that does not end."""

Clock = Callable[[], Any]
Sound = Callable[[Any], Any]


class _Guard:
    """What all guards share.

    Args:
        inner: what is guarded.
        account: where its calls are counted.
        deny: whether an exchange ends when it fails.
        clock: returns what bounds Deferreds (``IReactorTime``), None where nothing runs.
    """

    def __init__(self, inner: Any, account: Account, deny: bool, clock: Clock) -> None:
        self.name = account.name
        self._inner = inner
        self._account = account
        self._deny = deny
        self._clock = clock

    def _call(self, method: Callable[..., Any], *arguments: Any, sound: Sound, otherwise: Any = None) -> Any:
        """Return what ``sound`` makes of what ``method`` returns; ``otherwise`` if one raises or it is switched off."""
        account = self._account
        found = otherwise
        if account.admits():
            with account.call():
                found = sound(method(*arguments))
        return found

    def _ask(self, method: Callable[[Any], Any], argument: Any, sound: Sound, without: Callable[[], Any]) -> Any:
        """Return likewise, but ``without()`` on failure; or a Deferred of it, where ``method`` asks for time."""
        account = self._account
        if not account.admits():
            return without()
        found = None
        with account.call() as call:
            found = method(argument)
            if isinstance(found, Deferred):
                call.suspend()
            else:
                found = sound(found)
        if call.failed:
            return without()
        if isinstance(found, Deferred):
            return patiently(found, self._clock()).addCallbacks(
                self._came, self._gave_up, (sound, without), errbackArgs=(without,)
            )
        return found

    def _came(self, found: Any, sound: Sound, without: Callable[[], Any]) -> Any:
        with self._account.more() as call:
            found = sound(found)
        return without() if call.failed else found

    def _gave_up(self, failure: Failure, without: Callable[[], Any]) -> Any:
        if failure.check(CancelledError):
            return failure
        self._account.failed(failure)
        return without()

    def __repr__(self) -> str:
        return f"<guarded {safe_repr(self._inner)}>"


@implementer(IAlgorithm)
class _Algorithm(_Guard):
    """Asks the algorithm for servers; the pool does without those it does not name."""

    def __init__(self, inner: Any, account: Account, deny: bool, clock: Clock) -> None:
        super().__init__(inner, account, deny, clock)
        if not (inner.key is None or isinstance(inner.key, Key)):
            raise TypeError(f"key must be a balancer.model.keys.Key or None, not {type(inner.key).__name__}")
        self.key = inner.key
        self.stable = bool(inner.stable)
        self._prepare = inner.prepare
        self._candidates = inner.candidates
        self._known: frozenset[int] = frozenset()
        self._unprepared: Sequence[IServer] | None = None

    def prepare(self, servers: Sequence[IServer]) -> None:
        """Pass the servers on; now or, where that fails or it is switched off, before it is next asked."""
        self._known = frozenset(map(id, servers))
        self._unprepared = servers
        if self._account.admits():
            self._pass_on(servers)

    def _pass_on(self, servers: Sequence[IServer]) -> None:
        with self._account.call():
            self._prepare(servers)
            self._unprepared = None

    def candidates(self, choice: Choice) -> Iterator[IServer]:
        """Yield the algorithm's servers, each once, none that is not of this pool."""
        account = self._account
        if not account.admits():
            return
        if self._unprepared is not None:
            self._pass_on(self._unprepared)
            if self._unprepared is not None:
                return
        known, seen = self._known, set[int]()
        found: Iterator[IServer] | None = None
        call = account.call()
        while len(seen) < len(known):
            server = None
            with call:
                if found is None:
                    found = iter(self._candidates(choice))
                server = self._next(found, seen)
            if server is None:
                return
            yield server
            call = account.more()

    def _next(self, found: Iterator[IServer], seen: set[int]) -> IServer | None:
        """Return the next server that is not in ``seen``, and put it there; None when there are no more."""
        for _ in range(_MOST_REPEATS):
            server = next(found, None)
            if server is None:
                if not seen:
                    raise ValueError("candidates() yielded no server")
                return None
            if id(server) not in self._known:
                raise ValueError(f"candidates() yielded {safe_repr(server)}, which is no server of the pool")
            if id(server) not in seen:
                seen.add(id(server))
                return server
        raise ValueError("candidates() yields the same servers over and over")


@implementer(IObservingAlgorithm)
class _ObservingAlgorithm(_Algorithm):
    """An algorithm that is told of outcomes."""

    def __init__(self, inner: Any, account: Account, deny: bool, clock: Clock) -> None:
        super().__init__(inner, account, deny, clock)
        self._finished = inner.finished

    def finished(self, server: IServer, seconds: float, ok: bool) -> None:
        """Pass the outcome on."""
        self._call(self._finished, server, seconds, ok, sound=bool)


@implementer(IMatcher)
class _Matcher(_Guard):
    """A condition that does not hold where the matcher cannot say."""

    def __init__(self, inner: Any, account: Account, deny: bool, clock: Clock) -> None:
        super().__init__(inner, account, deny, clock)
        self._matches = inner.matches
        self._describe = inner.describe

    def matches(self, facts: RequestFacts) -> bool:
        """Return what the matcher says, False if it cannot."""
        return bool(self._call(self._matches, facts, sound=sound_truth, otherwise=False))

    def describe(self) -> str:
        """Return the matcher's own words, or its name."""
        return str(self._call(self._describe, sound=str, otherwise=self.name))


@implementer(IFilter)
class _Filter(_Guard):
    """A filter whose work is undone where it fails."""

    def __init__(self, inner: Any, account: Account, deny: bool, clock: Clock) -> None:
        super().__init__(inner, account, deny, clock)
        self.body_limit = int(inner.body_limit)
        if self.body_limit < 0:
            raise ValueError(f"body_limit is a number of bytes, and cannot be {self.body_limit}")
        self.on_error = "deny" if deny else "allow"
        self._request = inner.request
        self._response = inner.response
        self._describe = inner.describe
        for name in ("request_body", "response_body"):
            if callable(getattr(inner, name, None)):
                setattr(self, name, partial(guarded_transform, account, deny, getattr(inner, name)))

    def request(self, exchange: Exchange) -> Any:
        """Run the filter's request part; what it changed before it failed is undone."""
        before = (exchange.method, exchange.target, list(exchange.headers))
        return self._ask(
            self._request, exchange, partial(self._sound, exchange, before), partial(self._undo, exchange, before)
        )

    @staticmethod
    def _sound(exchange: Exchange, before: tuple[Any, ...], found: Any) -> Reply | None:
        reply = sound_reply(found)
        sound_request(exchange, before)
        return reply

    def _undo(self, exchange: Exchange, before: tuple[Any, ...]) -> Reply | None:
        exchange.method, exchange.target, exchange.headers = before
        if not self._deny:
            return None
        return Reply(PROXY_INTERNAL_ERROR.status, reason=PROXY_INTERNAL_ERROR.code, detail=self._detail())

    def response(self, exchange: Exchange) -> None:
        """Run the filter's response part; what it changed before it failed is undone.

        Raises:
            ExchangeError: it failed, and its effect must not be missing.
        """
        account = self._account
        if account.admits():
            status, headers = exchange.status, list(exchange.response_headers)
            with account.call() as call:
                self._response(exchange)
                sound_response(exchange, status, headers)
            if not call.failed:
                return
            exchange.status, exchange.response_headers = status, headers
        if self._deny:
            raise ExchangeError(PROXY_INTERNAL_ERROR, self._detail())

    def describe(self, exchange: Exchange) -> str:
        """Return the filter's own words, or its name."""
        return str(self._call(self._describe, exchange, sound=str, otherwise=self.name))

    def _detail(self) -> str:
        return f"the filter {self.name} failed"


@implementer(IProbe)
class _Probe(_Guard):
    """A probe that says nothing of the server where it breaks its contract."""

    def __init__(self, inner: Any, account: Account, deny: bool, clock: Clock) -> None:
        super().__init__(inner, account, deny, clock)
        self._probe = inner.probe

    def probe(self, connect: Callable[[Any], Deferred[Any]], server: IServer) -> Deferred[str]:
        """Ask the server; that fails as for a fault of ours if the probe cannot even ask."""
        found = self._call(self._probe, connect, server, sound=_sound_probe)
        if found is None:
            return fail(ExchangeError(PROXY_INTERNAL_ERROR, f"{self._account}: {self._account.last_error}"))
        return found  # type: ignore[no-any-return]


def _sound_probe(found: Any) -> Deferred[str]:
    if not isinstance(found, Deferred):
        raise TypeError(f"probe() must return a Deferred, not {type(found).__name__}")
    return found


@implementer(IAccessLogFormat)
class _Format(_Guard):
    """A format in whose stead another writes the line where it cannot."""

    def __init__(self, inner: Any, account: Account, deny: bool, clock: Clock, fallback: Any) -> None:
        super().__init__(inner, account, deny, clock)
        self._exchange, self._plain_exchange = inner.exchange, fallback.exchange
        self._session, self._plain_session = inner.session, fallback.session

    def exchange(self, record: Any) -> str:
        """Return the line for an exchange."""
        line = self._call(self._exchange, record, sound=sound_line)
        return self._plain_exchange(record) if line is None else line  # type: ignore[no-any-return]

    def session(self, record: Any) -> str:
        """Return the line for a session."""
        line = self._call(self._session, record, sound=sound_line)
        return self._plain_session(record) if line is None else line  # type: ignore[no-any-return]


@implementer(IFlags)
class _Flags(_Guard):
    """A source that knows no flag where it cannot say."""

    def __init__(self, inner: Any, account: Account, deny: bool, clock: Clock) -> None:
        super().__init__(inner, account, deny, clock)
        self._value = inner.value

    def value(self, name: str, facts: RequestFacts) -> str | None:
        """Return what the source says."""
        return self._call(self._value, name, facts, sound=sound_flag)  # type: ignore[no-any-return]


def guarded(kind: str, made: Any, account: Account, *, deny: bool, clock: Clock, fallback: Callable[[], Any]) -> Any:
    """Return ``made``, an object of ``kind``, behind its guard.

    Args:
        kind: one of :data:`~.spec.KINDS`.
        made: the object, which provides the interface of its kind.
        account: where its calls are counted.
        deny: whether an exchange ends when a filter or check of the plug-in fails.
        clock: returns what bounds Deferreds (``IReactorTime``), None where nothing runs.
        fallback: returns the access log format that is used when this one fails.

    Raises:
        TypeError, ValueError: an attribute of the object cannot be used.
    """
    guard = GUARDS[kind]
    if guard is None:
        return made
    if guard is _Format:
        return _Format(made, account, deny, clock, fallback())
    if guard is _Algorithm and IObservingAlgorithm.providedBy(made):
        guard = _ObservingAlgorithm
    return guard(made, account, deny, clock)


GUARDS: dict[str, type[_Guard] | None] = {
    "algorithms": _Algorithm,
    "matchers": _Matcher,
    "filters": _Filter,
    "checks": None,  # the registry puts them behind guards of their own
    "probes": _Probe,
    "resources": None,  # a resource that raises is answered with 500 already
    "access_log_formats": _Format,
    "flags": _Flags,
}
"""Who guards what the factories of a kind make."""
