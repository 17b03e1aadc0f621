"""The guard of what changes a body for a plug-in's filter (:class:`~.interfaces.IBodyFilter`).

Half of a body cannot be taken back: when a transform fails the exchange ends, whatever ``on_error`` says. Until then, when it is
only asked for, the filter can be done without.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from balancer.errors import PROXY_INTERNAL_ERROR, ExchangeError
from balancer.hooks.accounting import Account
from balancer.hooks.soundness import sound_end, sound_piece, sound_transform
from balancer.model.exchange import Exchange, Transform
from balancer.model.headers import RawHeaders

__all__ = ["guarded_transform"]


def guarded_transform(
    account: Account, deny: bool, ask: Callable[[Exchange], Any], exchange: Exchange
) -> Transform | None:
    """Return what ``ask(exchange)`` has change a body, behind a guard; None where nothing does.

    Raises:
        ExchangeError: it cannot be asked, and its effect must not be missing (``deny``); or it says itself what is wrong.
    """
    if account.admits():
        found, refused = None, None
        with account.call() as call:
            try:
                found = sound_transform(ask(exchange))
            except ExchangeError as error:
                refused = error
        if refused is not None:
            raise refused
        if not call.failed:
            return None if found is None else _Guarded(found, account)
    if deny:
        raise _failed(account)
    return None


def _failed(account: Account) -> ExchangeError:
    return ExchangeError(PROXY_INTERNAL_ERROR, f"the filter {account.name} failed")


class _Guarded:
    """A transform whose failures are counted, and end the exchange."""

    __slots__ = ("_account", "_inner")

    def __init__(self, inner: Any, account: Account) -> None:
        self._inner = inner
        self._account = account

    def feed(self, data: bytes) -> bytes:
        return self._call(self._inner.feed, data, sound_piece)  # type: ignore[no-any-return]

    def end(self, trailers: RawHeaders | None) -> tuple[bytes, RawHeaders | None]:
        return self._call(self._inner.end, trailers, sound_end)  # type: ignore[no-any-return]

    def _call(self, method: Callable[..., Any], argument: Any, sound: Callable[[Any], Any]) -> Any:
        found, refused = None, None
        with self._account.more() as call:
            try:
                found = sound(method(argument))
            except ExchangeError as error:  # that is how it says what is wrong with the body
                refused = error
        if refused is not None:
            raise refused
        if call.failed:
            raise _failed(self._account)
        return found
