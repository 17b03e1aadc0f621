"""Connecting to servers: one attempt, a limit on its time, errors in our own vocabulary.

:func:`connect` takes an :class:`~balancer.model.address.Address` and a protocol. On a reactor that watches file
descriptors it makes the socket itself and, once connected, a :mod:`balancer.net.transports` transport, which starts
in the same turn of the reactor; on any other it asks the reactor (``connectTCP``, ``connectUNIX``).

What goes wrong arrives as :class:`~balancer.errors.ExchangeError` and says whose fault it is: a full descriptor table
is ours, not the server's.
"""

from __future__ import annotations

import _socket
import errno
import os
import socket
from functools import lru_cache
from typing import Any, TypeVar, cast

from twisted.internet import error
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.endpoints import HostnameEndpoint, UNIXClientEndpoint, connectProtocol
from twisted.internet.interfaces import IDelayedCall, IProtocol, IReadWriteDescriptor
from twisted.internet.posixbase import PosixReactorBase
from twisted.python.failure import Failure
from zope.interface import implementer

from balancer import errors
from balancer.errors import ExchangeError
from balancer.model.address import Address
from balancer.net.descriptors import is_reserved, is_scarce
from balancer.net.first_words import FirstWords
from balancer.net.timers import Entry, Wheel
from balancer.net.transports import ClientTransport, UNIXClientTransport

__all__ = ["connect", "error_of", "has_streams", "watches_descriptors"]

P = TypeVar("P", bound=IProtocol)

_OUT_OF_RESOURCES = frozenset((errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM))
_OURS = frozenset((errno.EADDRNOTAVAIL, errno.EPERM, errno.EAFNOSUPPORT))
_NON_BLOCKING = socket.SOCK_STREAM | getattr(socket, "SOCK_NONBLOCK", 0)  # one system call less, on Linux
_UNREACHABLE = frozenset((errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ENETDOWN, errno.EHOSTDOWN))


def watches_descriptors(reactor: Any) -> bool:
    """Whether ``reactor`` watches file descriptors as the POSIX reactors do, and makes its TCP transports as they do."""
    return isinstance(reactor, PosixReactorBase) and type(reactor).connectTCP is PosixReactorBase.connectTCP


def can_watch(reactor: Any) -> bool:
    """Whether ``reactor`` can watch file descriptors as the POSIX reactors do, whatever its own TCP transports are."""
    return isinstance(reactor, PosixReactorBase)


def connect(
    reactor: Any,
    address: Address,
    protocol: P,
    timeout: float,
    wheel: Wheel | None = None,
    *,
    spliced: bool = False,
    first: bytes = b"",
) -> Deferred[P]:
    """Connect ``protocol`` to ``address``.

    Args:
        reactor: provides time and connections.
        address: IP address and port, or a unix socket; a DNS name is resolved by the reactor, within the same limit.
        protocol: given its transport once connected.
        timeout: seconds that the attempt may take.
        wheel: the shared timer, precise to its tick; without one a ``callLater`` is made.
        spliced: as for :func:`balancer.net.listening.listen`.
        first: bytes that are written before anything else, a PROXY header.

    Returns:
        The protocol, after its ``connectionMade``. Fails with :class:`~balancer.errors.ExchangeError`
        (``CONNECTION_REFUSED``, ``CONNECTION_TIMEOUT``, ``DESTINATION_IP_UNROUTABLE``, ``DNS_ERROR``, or
        ``OUT_OF_RESOURCES`` and ``PROXY_INTERNAL_ERROR`` where the fault is ours). Cancelling it gives the attempt up.
    """
    attempt: _Attempt | _Dialling
    if first:
        begun: Deferred[Any] = connect(reactor, address, FirstWords(first, protocol), timeout, wheel, spliced=spliced)
        return begun.addCallback(lambda _: protocol)
    if not address.path and _is_name(address.host):
        return _by_endpoint(reactor, address, protocol, timeout)
    if watches_descriptors(reactor) or (spliced and can_watch(reactor)):
        attempt = _Attempt(reactor, address, protocol)
    elif has_streams(reactor):
        attempt = _Dialling(reactor, address, protocol)
    else:
        return _by_endpoint(reactor, address, protocol, timeout)
    attempt.start(timeout, wheel)
    return cast("Deferred[P]", attempt.result)


def has_streams(reactor: Any) -> bool:
    """Whether ``reactor`` is :mod:`balancer.net.reactor`, which connects and listens by itself."""
    return hasattr(reactor, "dial")


@lru_cache(maxsize=4096)
def _is_name(host: str) -> bool:
    """Whether ``host`` must be resolved; remembered, because to find out costs 8 µs."""
    return Address(host, 0).is_name


@implementer(IReadWriteDescriptor)
class _Attempt:
    """A socket on its way to be connected: watched for writing until the kernel says yes or no."""

    __slots__ = ("_address", "_fd", "_protocol", "_reactor", "_socket", "_timer", "result")

    def __init__(self, reactor: Any, address: Address, protocol: IProtocol) -> None:
        self.result: Deferred[IProtocol] = Deferred(self._cancelled)
        self._reactor = reactor
        self._address = address
        self._protocol = protocol
        self._socket: _socket.socket | None = None
        self._fd = -1
        self._timer: Entry | IDelayedCall | None = None

    def start(self, timeout: float, wheel: Wheel | None) -> None:
        """Send the SYN, so to speak."""
        address = self._address
        name: Any = address.path or (address.host, address.port)
        family = socket.AF_UNIX if address.path else socket.AF_INET6 if ":" in address.host else socket.AF_INET
        try:
            # The class that Python's is made of: 4 µs less to make and to close.
            skt = self._socket = _socket.socket(family, _NON_BLOCKING)
            if is_reserved(skt.fileno()):
                raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
            if _NON_BLOCKING == socket.SOCK_STREAM:
                skt.setblocking(False)
            self._fd = skt.fileno()
            number = skt.connect_ex(name)
        except OSError as failed:
            self._fail(error_of(failed, address))
            return
        if number == 0:
            self._connected()
        elif number == errno.EINPROGRESS:
            self._timer = (
                self._reactor.callLater(timeout, self._timed_out)
                if wheel is None
                else wheel.schedule(timeout, self._timed_out)
            )
            self._reactor.addWriter(self)
        else:
            self._fail(_by_errno(number, address))

    def doWrite(self) -> None:
        """The kernel knows the outcome."""
        assert self._socket is not None
        # An epoll that says "writable" and no "error" has said it all.
        if not getattr(self._reactor, "tells_errors", False):
            number = self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if number:
                self._unwatch()
                self._fail(_by_errno(number, self._address))
                return
        self._stop_timer()
        self._connected(self)

    def doRead(self) -> None:
        """Never watched for reading."""

    def connectionLost(self, reason: Failure) -> None:
        """The kernel knows the outcome, and it is none that we hoped for; or the reactor ends."""
        if self._socket is not None:
            number = self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            self._unwatch()
            self._fail(_by_errno(number or errno.ECONNABORTED, self._address))

    def fileno(self) -> int:
        """The socket's descriptor."""
        return self._fd

    def logPrefix(self) -> str:
        """How the reactor names this in its log."""
        return f"connecting to {self._address}"

    def _connected(self, watched: Any = None) -> None:
        skt, self._socket = self._socket, None
        assert skt is not None
        transport = (UNIXClientTransport if self._address.path else ClientTransport)(
            cast("socket.socket", skt), self._protocol, self._reactor
        )
        transport.start(watched)
        self.result.callback(self._protocol)

    def _unwatch(self) -> None:
        self._reactor.removeWriter(self)
        self._stop_timer()

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _timed_out(self) -> None:
        self._timer = None
        self._unwatch()
        self._fail(ExchangeError(errors.CONNECTION_TIMEOUT, str(self._address)))

    def _cancelled(self, _result: Deferred[IProtocol]) -> None:
        self._unwatch()
        self._close()

    def _fail(self, failed: ExchangeError) -> None:
        self._close()
        self.result.errback(Failure(failed))

    def _close(self) -> None:
        skt, self._socket = self._socket, None
        self._fd = -1
        if skt is not None:
            skt.close()


class _Dialling:
    """A connection that the reactor's library makes."""

    __slots__ = ("_address", "_dial", "_protocol", "_reactor", "_timer", "result")

    def __init__(self, reactor: Any, address: Address, protocol: IProtocol) -> None:
        self.result: Deferred[IProtocol] = Deferred(self._cancelled)
        self._reactor = reactor
        self._address = address
        self._protocol = protocol
        self._timer: Entry | IDelayedCall | None = None
        self._dial: Any = None

    def start(self, timeout: float, wheel: Wheel | None) -> None:
        """Begin."""
        address = self._address
        target = address.path or (address.host, address.port)
        if is_scarce():  # libuv opens the socket, and knows no reserve
            self.result.errback(Failure(_by_errno(errno.EMFILE, address)))
            return
        self._timer = (
            self._reactor.callLater(timeout, self._timed_out)
            if wheel is None
            else wheel.schedule(timeout, self._timed_out)
        )
        self._dial = self._reactor.dial(self._protocol, target, self._connected, self._failed)

    def _connected(self) -> None:
        self._stop_timer()
        self.result.callback(self._protocol)

    def _failed(self, failed: BaseException) -> None:
        self._stop_timer()
        number = getattr(failed, "errno", None) or errno.ECONNABORTED
        self.result.errback(Failure(_by_errno(number, self._address)))

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _timed_out(self) -> None:
        self._timer = None
        self._dial.cancel()
        self.result.errback(Failure(ExchangeError(errors.CONNECTION_TIMEOUT, str(self._address))))

    def _cancelled(self, _result: Deferred[IProtocol]) -> None:
        self._stop_timer()
        self._dial.cancel()


def _by_endpoint(reactor: Any, address: Address, protocol: P, timeout: float) -> Deferred[P]:
    endpoint: Any
    if address.path:
        endpoint = UNIXClientEndpoint(reactor, address.path, timeout)
    else:
        endpoint = HostnameEndpoint(reactor, address.host, address.port, timeout)

    def failed(failure: Failure) -> Failure:
        if failure.check(CancelledError):
            return failure
        return Failure(_by_exception(failure.value, address))

    connecting: Deferred[P] = connectProtocol(endpoint, protocol)
    return connecting.addErrback(failed)


def _by_exception(raised: BaseException | None, address: Address) -> ExchangeError:
    if isinstance(raised, error.DNSLookupError):
        return ExchangeError(errors.DNS_ERROR, f"{address}: {raised}")
    if isinstance(raised, error.TimeoutError):
        return ExchangeError(errors.CONNECTION_TIMEOUT, str(address))
    number = getattr(raised, "osError", None)
    if isinstance(number, int):
        return _by_errno(number, address)
    return ExchangeError(errors.CONNECTION_REFUSED, f"{address}: {raised}")


def error_of(failed: OSError, address: Address) -> ExchangeError:
    """Return what ``failed`` means for an exchange or session with the server at ``address``."""
    return _by_errno(failed.errno or errno.EINVAL, address)


def _by_errno(number: int, address: Address) -> ExchangeError:
    detail = f"{address}: {os.strerror(number)}"
    if number in _OUT_OF_RESOURCES:
        return ExchangeError(errors.OUT_OF_RESOURCES, detail)
    if number in _OURS:
        return ExchangeError(errors.PROXY_INTERNAL_ERROR, detail)
    if number == errno.ETIMEDOUT:
        return ExchangeError(errors.CONNECTION_TIMEOUT, detail)
    if number in _UNREACHABLE:
        return ExchangeError(errors.DESTINATION_IP_UNROUTABLE, detail)
    return ExchangeError(errors.CONNECTION_REFUSED, detail)
