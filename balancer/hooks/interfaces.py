"""What a plug-in implements: one zope interface a kind, and the factory that makes it.

A hook returns factories. A factory is any object with the attributes of :class:`IFactory` (most simply a
:class:`Factory`): a ``name`` as used in the configuration, a ``settings`` model, and ``build(settings)``, called when
a configuration is built. What it returns is verified once against the interface of its kind and is then called
directly on the request path, without pluggy in between.

Only :mod:`balancer.model` types cross these interfaces.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from zope.interface import Attribute, Interface, implementer

from balancer.hooks.settings import Settings

if TYPE_CHECKING:
    from twisted.internet.defer import Deferred

    from balancer.model.exchange import Exchange, Reply, Transform
    from balancer.model.facts import RequestFacts, SessionFacts
    from balancer.model.inspection.subject import Subject
    from balancer.model.inspection.terms import CheckTerms, Phase
    from balancer.model.verdict import Finding, Verdict

__all__ = [
    "Choice",
    "Factory",
    "IAccessLogFormat",
    "IAlgorithm",
    "IBodyFilter",
    "ICheck",
    "IFactory",
    "IFilter",
    "IFlags",
    "IMatcher",
    "IObservingAlgorithm",
    "IProbe",
    "IServer",
    "ITap",
]


class IFactory(Interface):
    """Makes one kind of thing from settings; what a hook returns."""

    name: str = Attribute("The name used in the configuration; lower case with underscores.")
    settings: type[Settings] = Attribute("The settings model; Settings itself where there is nothing to set.")

    def build(settings: Any) -> Any:
        """Return a ready object for validated ``settings``; no I/O, no side effects, raise ValueError if unusable."""


@implementer(IFactory)
@dataclass(frozen=True, slots=True)
class Factory:
    """The plain :class:`IFactory`: a name, a callable, a settings model.

    ``bare`` names the field that ``name: value`` sets when ``value`` is not a mapping: ``{geoip: DE}`` for
    ``{geoip: {country: DE}}``.
    """

    name: str
    build: Callable[[Any], Any]
    settings: type[Settings] = Settings
    bare: str = ""


class IServer(Interface):
    """One server of a pool, as algorithms see it. Read only for plug-ins."""

    name: str = Attribute("Its name in configuration and log, 'host:port' unless named.")
    weight: int = Attribute("Its share; 0 takes no new traffic.")
    active: int = Attribute("Exchanges and sessions in flight on it now, from this process.")
    latency: float = Attribute("Peak-sensitive moving average of seconds to first byte; 0.0 before any.")


class Choice:
    """What one selection may depend on. Immutable by convention; one may be made per request.

    ``key`` is the hash key as bytes (None where the request has none), ``draw`` returns a float in [0, 1) and is the
    only source of randomness allowed, ``now`` is a monotonic time in seconds. With ``look`` nobody is chosen: it is asked who would be
    (``balancer explain``), and an algorithm that takes turns takes none.
    """

    __slots__ = ("draw", "key", "now")
    look = False

    def __init__(self, key: bytes | None, draw: Callable[[], float], now: float) -> None:
        self.key = key
        self.draw = draw
        self.now = now


class Look(Choice):
    """A choice that is only looked at."""

    __slots__ = ()
    look = True


class IAlgorithm(Interface):
    """Yields servers in order of preference. Knows nothing of health: the pool takes the first that may be used."""

    key: Any = Attribute("The Key hashed for each request (balancer.model.keys.Key), or None if it uses none.")
    stable: bool = Attribute(
        "True: prepared with every server of the pool, the ones that are down included, so that a key's server does not"
        " change when another fails (hashing). False: prepared with the usable servers only, again at each change."
    )

    def prepare(servers: Sequence[IServer]) -> None:
        """Take a new list of servers, or the same with new weights. Called at build and at each change, never per request."""

    def candidates(choice: Choice) -> Iterable[IServer]:
        """Yield servers, best first, each at most once; lazily if later ones cost something to find."""


class IObservingAlgorithm(IAlgorithm):
    """An algorithm that learns from outcomes."""

    def finished(server: IServer, seconds: float, ok: bool) -> None:
        """Take note that an exchange or session on ``server`` ended: seconds to first byte, and whether it went well."""


class IMatcher(Interface):
    """One condition on a request."""

    def matches(facts: RequestFacts) -> bool:
        """Return whether the condition holds. Fast, pure, no I/O."""

    def describe() -> str:
        """Return the condition in a few words, for ``balancer explain``: ``country is DE or AT``."""


class IFilter(Interface):
    """May change or refuse an exchange."""

    body_limit: int = Attribute(
        "0: the filter does not look at the request's body, which streams. Otherwise the most bytes it wants buffered"
        " as exchange.body before request() is called; a longer body is answered with 413."
    )

    def request(exchange: Exchange) -> Reply | Deferred[Reply | None] | None:
        """Look at, or change, the request before it goes on; return a Reply to answer it here instead."""

    def response(exchange: Exchange) -> None:
        """Look at, or change, ``exchange.status`` and ``exchange.response_headers``; called in reverse order."""

    def describe(exchange: Exchange) -> str:
        """Return what the filter does to this exchange, in a few words, for ``balancer explain``."""


class IBodyFilter(IFilter):
    """A filter that changes bodies as they stream. Both methods may be left out: who has only one is an IFilter that has it.

    They are asked once for each exchange, after the filter's part of the request or the response, and return what changes this
    body, or None to have it pass untouched. It comes in any pieces, and is not to be kept: see
    :class:`balancer.model.exchange.Transform`. The balancer does the rest: the body has no length any more, a strong ``ETag``
    becomes weak, ``Accept-Ranges`` and digests go.
    """

    def request_body(exchange: Exchange) -> Transform | None:
        """Return what changes the request's body; not asked where a request has none."""

    def response_body(exchange: Exchange) -> Transform | None:
        """Return what changes the response's body; not asked for parts of one (206), for none (204, 304), or for compressed ones."""


class ICheck(Interface):
    """One WAF inspection, run by the ``waf`` filter. One object serves all exchanges, perhaps several at a time.

    What it wants to remember of an exchange from phase to phase, it keeps in ``subject.kept[self]``.
    """

    terms: CheckTerms = Attribute("Its declaration: phases, lane, need of bodies, budget, on_error, on_timeout, ids.")

    def inspect(subject: Subject, phase: Phase) -> Found | Deferred[Found]:
        """Look at ``subject`` in ``phase``, one of those declared; return None, Findings, or a Verdict.

        Args:
            subject: what is known of the exchange by now; nothing of it may be changed but ``kept``.
            phase: which one this is. In ``request_body`` and ``response_body`` the body has been seen: a buffered one is in
                ``subject.body`` or ``subject.response_body``. In ``log`` findings are written down, and change nothing.

        Called on the reactor, or in a thread (``lane="thread"``), never twice at a time for one exchange. Only a check of
        the lane ``remote`` may return a Deferred, which is cancelled when the time is up.
        """


class ITap(ICheck):
    """A check that sees bodies as they pass (``request_body="tap"``, ``response_body="tap"``), in whatever pieces they come."""

    def piece(subject: Subject, phase: Phase, data: bytes) -> Found:
        """Look at a piece of the body, at once, on the reactor; ``inspect`` is called for the phase once it is over."""


class IProbe(Interface):
    """An active health check: knows how to ask one server whether it is well."""

    def probe(connect: Callable[[Any], Deferred[Any]], server: IServer) -> Deferred[str]:
        """Ask ``server`` once; ``connect(protocol)`` connects a Twisted protocol to it.

        The Deferred fires with a few words for the log ("200 OK") if it is well, and fails with any exception if not.
        It is cancelled when the time is up, and must then close what it opened.
        """


class IAccessLogFormat(Interface):
    """Turns records into lines."""

    def exchange(record: Any) -> str:
        """Return the line, without newline, for a finished exchange (balancer.observe.records.ExchangeRecord)."""

    def session(record: Any) -> str:
        """Return the line, without newline, for a finished session (balancer.observe.records.SessionRecord)."""


class IFlags(Interface):
    """A source of feature flags."""

    def value(name: str, facts: RequestFacts) -> str | None:
        """Return what the flag ``name`` is for this request, None if there is no such flag. Fast, no I/O that could wait.

        The same request is to get the same value, whatever process asks; it may change in time.
        """


if TYPE_CHECKING:
    Keyed = RequestFacts | SessionFacts
    Servers = Iterable[IServer]
    Found = Verdict | Sequence[Finding] | None
