"""Runs the filters of a listener or route over one exchange.

Requests go through in order; responses come back in reverse, through those filters only whose request part has run
(``exchange.ran``). A filter that answers itself is one of them::

    request   →  a  →  b  →  (c answers)
    response  ←  a  ←  b  ←   c

While no filter asks for time there is no Deferred. A filter that raises loses its own effect: with ``on_error =
"allow"`` it is skipped, with ``"deny"`` (the default) the exchange ends with 500. Plug-ins are guarded before they get
here (:mod:`balancer.hooks`); this is the last net, and holds the built-in ones to the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger

from balancer.errors import PROXY_INTERNAL_ERROR, ExchangeError
from balancer.filters.bodies import ask_for_request, ask_for_response
from balancer.hooks.interfaces import IFilter
from balancer.model.exchange import Exchange, Reply

__all__ = ["Faults", "run_requests", "run_responses"]

Outcome = Reply | None
_REFUSED = Reply(PROXY_INTERNAL_ERROR.status, reason=PROXY_INTERNAL_ERROR.code, detail="a filter failed")


class Faults:
    """Counts what filters raise, by filter and exception; writes the first of a kind to the log, then the 10th, 100th…"""

    def __init__(self, log: Logger) -> None:
        self._log = log
        self.counts: dict[tuple[str, str], int] = {}

    def note(self, each: IFilter, exchange: Exchange, error: Exception) -> None:
        """Count ``error``, now being handled, and log it if it is the first of its kind or has one more digit."""
        key = (type(each).__name__, type(error).__name__)
        count = self.counts[key] = self.counts.get(key, 0) + 1
        if count == 10 ** (len(str(count)) - 1):
            self._log.failure(
                "the filter {filter!r} failed on {exchange!r} (time {count}; the next is logged at ten times that)",
                filter=each,
                exchange=exchange,
                count=count,
            )


_faults = Faults(Logger())


def run_requests(
    filters: Sequence[IFilter], exchange: Exchange, faults: Faults = _faults
) -> Outcome | Deferred[Outcome]:
    """Run the request part of ``filters`` in order.

    Returns:
        None if the request goes on, a Reply if a filter answered it, a Deferred of either if one asked for time.
        Cancelling the Deferred cancels the filter's own.
    """
    ran = exchange.ran
    for at, each in enumerate(filters):
        ran.append(each)
        try:
            outcome: Any = each.request(exchange)
            if outcome is not None:
                if isinstance(outcome, Deferred):
                    return Deferred.fromCoroutine(_rest(outcome, filters, at, exchange, faults))
                outcome = _checked(outcome)
            if outcome is None:
                ask_for_request(each, exchange)
        except Exception as error:
            outcome = _failed(each, exchange, faults, error)
        if outcome is not None:
            return outcome  # type: ignore[no-any-return]  # _checked() let nothing else through
    return None


async def _rest(
    waiting: Deferred[Outcome], filters: Sequence[IFilter], at: int, exchange: Exchange, faults: Faults
) -> Outcome:
    """Wait for the filter at ``at``, then run those behind it."""
    try:
        reply = _checked(await waiting)
        if reply is None:
            ask_for_request(filters[at], exchange)
    except CancelledError:
        raise
    except Exception as error:
        reply = _failed(filters[at], exchange, faults, error)
    if reply is not None:
        return reply
    outcome = run_requests(filters[at + 1 :], exchange, faults)
    return await outcome if isinstance(outcome, Deferred) else outcome


def run_responses(exchange: Exchange, faults: Faults = _faults) -> None:
    """Run the response part of every filter that ran, last first; each runs once, however often this is called.

    Raises:
        ExchangeError: where a filter failed whose effect must not be missing; those before it have yet to run, on
            whatever is answered instead.
    """
    ran = exchange.ran
    while ran:
        each = ran.pop()
        try:
            each.response(exchange)
            ask_for_response(each, exchange)
        except ExchangeError:
            raise
        except Exception as error:
            faults.note(each, exchange, error)
            if _denies(each):
                raise ExchangeError(PROXY_INTERNAL_ERROR, "a filter failed on the response") from error


def _checked(outcome: Any) -> Outcome:
    if outcome is None or isinstance(outcome, Reply):
        return outcome
    raise TypeError(f"a filter must return a Reply, None or a Deferred of them, not {type(outcome).__name__}")


def _failed(each: IFilter, exchange: Exchange, faults: Faults, error: Exception) -> Outcome:
    """Take the filter that has just raised out of the exchange; return what it means for the request."""
    exchange.ran.pop()
    if isinstance(error, ExchangeError):  # the body that is here is not what it is said to be
        return Reply(error.reason.status, reason=error.reason.code, detail=error.detail)
    faults.note(each, exchange, error)
    return _REFUSED if _denies(each) else None


def _denies(each: IFilter) -> bool:
    return getattr(each, "on_error", "deny") != "allow"
