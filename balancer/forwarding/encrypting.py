"""TLS to servers: a connection whose protocol hears of it when the handshake is done and the server is who it is to be.

::

    connect ──> handshake ──> then(tls) makes the protocol ──> fires with it
       └───────────┴── refused, too late, closed: fails with ExchangeError, in words and with a reason of RFC 9209
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from balancer import errors
from balancer.errors import ExchangeError
from balancer.model.address import Address
from balancer.model.tls import TLSInfo
from balancer.net.secured import Secured
from balancer.net.timers import Wheel
from balancer.tls.client_contexts import ClientContext

__all__ = ["Encryption"]

Connect = Callable[[Address, Any, float], "Deferred[Any]"]


class Encryption:
    """How TLS is spoken with the servers of a pool.

    Args:
        context: whom to believe, what to show.
        wheel: the shared timer.
    """

    def __init__(self, context: ClientContext, wheel: Wheel) -> None:
        self.context = context
        self.settings = context.settings
        self._wheel = wheel

    def use(self, context: ClientContext) -> None:
        """Go by ``context`` in connections that are made from now on; those that there are stay, sessions are not gone on with."""
        self.context, self.settings = context, context.settings

    def connect(
        self,
        connect: Connect,
        host: str,
        address: Address,
        then: Callable[[TLSInfo], Any],
        alpn: tuple[str, ...],
        timeout: float,
    ) -> Deferred[Any]:
        """Connect, and shake hands.

        Args:
            connect: makes the connection below.
            host: what the server is called where it was configured, for its certificate; ``""`` for a unix socket.
            address: where to.
            then: makes the protocol above, once it is known what was agreed on; may raise ExchangeError.
            alpn: protocols offered, best first.
            timeout: seconds for both.

        Returns:
            Fires with what ``then`` made, after its ``makeConnection``; fails with ExchangeError. Cancel it to give up.
        """
        attempt = _Attempt(self.context, host, address, then, alpn)
        attempt.start(connect, timeout, self._wheel)
        return attempt.result

    def over(self, connect: Connect, host: str, alpn: tuple[str, ...] | None = None) -> Connect:
        """Return what connects a protocol as ``connect`` does, above TLS with the server called ``host``; ``alpn`` is offered, by default the settings'."""
        offered = self.settings.alpn if alpn is None else alpn

        def connect_over(address: Address, protocol: Any, timeout: float) -> Deferred[Any]:
            return self.connect(connect, host, address, partial(_same, protocol), offered, timeout)

        return connect_over

    def __repr__(self) -> str:
        return f"<Encryption {self.context!r}>"


class _Attempt:
    """One connection on its way."""

    __slots__ = ("_address", "_connecting", "_error", "_is_over", "_secured", "_session", "_then", "result")

    def __init__(
        self,
        context: ClientContext,
        host: str,
        address: Address,
        then: Callable[[TLSInfo], Any],
        alpn: tuple[str, ...],
    ) -> None:
        self.result: Deferred[Any] = Deferred(self._cancelled)
        self._address = address
        self._then = then
        self._session = context.session(host, str(address), alpn)
        self._secured = Secured(self._session, self._agreed, self._failed, speaks_first=True, stands=self._stands)
        self._connecting: Deferred[Any] | None = None
        self._error: ExchangeError | None = None
        self._is_over = False

    def start(self, connect: Connect, timeout: float, wheel: Wheel) -> None:
        """Connect."""
        self._secured.limit(wheel, timeout, self._timed_out)
        self._connecting = connecting = connect(self._address, self._secured, timeout)
        connecting.addCallbacks(self._connected, self._not_connected)

    def _connected(self, _: Any) -> None:
        self._connecting = None

    def _not_connected(self, failure: Failure) -> None:
        self._connecting = None
        self._secured.give_up()
        if not self._is_over:
            self._is_over = True
            self.result.errback(failure)

    def _agreed(self, _: Secured) -> Any:
        try:
            return self._then(self._session.info())
        except ExchangeError as error:
            self._error = error
            return None

    def _stands(self, above: Any) -> None:
        if above is None:
            self._fail(self._error or ExchangeError(errors.PROXY_INTERNAL_ERROR, str(self._address)))
        elif not self._is_over:
            self._is_over = True
            self.result.callback(above)

    def _failed(self, fault: Any) -> None:
        where = str(self._address)
        if fault is None:
            self._fail(ExchangeError(errors.CONNECTION_TERMINATED, f"{where}: closed in the TLS handshake"))
        else:
            self._fail(fault.towards_server(where))

    def _timed_out(self) -> None:
        if self._connecting is None and self._secured.give_up():
            self._fail(ExchangeError(errors.CONNECTION_TIMEOUT, f"{self._address}: in the TLS handshake"))

    def _fail(self, error: ExchangeError) -> None:
        if not self._is_over:
            self._is_over = True
            self.result.errback(error)

    def _cancelled(self, _: Deferred[Any]) -> None:
        self._is_over = True
        if self._connecting is not None:
            self._connecting.cancel()
        else:
            self._secured.give_up()


def _same(protocol: Any, _: TLSInfo) -> Any:
    return protocol
