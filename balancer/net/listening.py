"""Listening: from the text of ``bind:`` to an open port, with errors an operator can act on.

========================  =============================================================================
``10.0.0.1:80``           that IPv4 address; ``0.0.0.0:80`` all of them
``[::1]:80``              that IPv6 address; ``[::]:80`` all of them, IPv6 clients only
``*:80``                  every address, IPv4 and IPv6 (IPv4 alone on a machine without IPv6)
``localhost:80``          the first address that the name has
``unix:/run/app.sock``    a unix socket; ``unix:/run/app.sock:mode=600`` with these permissions
``systemd:domain=INET:…`` any Twisted endpoint description, here a socket passed by systemd
========================  =============================================================================

Connections are :mod:`balancer.net.transports` where the reactor watches descriptors, for endpoint descriptions too.
"""

from __future__ import annotations

import errno
import os
import re
import socket
from pathlib import Path
from typing import Any, cast

from twisted.internet import tcp, unix
from twisted.internet.endpoints import serverFromString
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IListeningPort, IProtocolFactory
from twisted.python.failure import Failure

from balancer.errors import BalancerError
from balancer.model.address import Address
from balancer.net.adopted import AdoptedUNIXPort
from balancer.net.connecting import can_watch, has_streams, watches_descriptors
from balancer.net.transports import ServerPort, ServerTransport, UNIXServerTransport

__all__ = ["BACKLOG", "PLAIN", "adopt", "describe", "let_go", "listen", "resolve_bind", "why_not"]

BACKLOG = 4096
"""Connections that may wait to be accepted, if nothing else is said; the kernel's ``somaxconn`` caps it."""

_UNIX = re.compile(r"unix:(?P<path>[^:]+)(:mode=(?P<mode>[0-7]{3,4}))?")
PLAIN = re.compile(r"(\*|\[[^\]]*\]|[^:\[\]]+):\d+")
"""Binds that name an IP address, or a host, and a port."""


def listen(
    reactor: Any, bind: str, factory: IProtocolFactory, backlog: int = BACKLOG, *, spliced: bool = False
) -> IListeningPort:
    """Open ``bind`` and serve its connections with ``factory``.

    Args:
        reactor: provides ports.
        bind: see the table above.
        factory: builds the protocol of each connection, or None to refuse it at once.
        backlog: connections that may wait to be accepted.
        spliced: whether the bytes of connections are to go through the kernel where that is possible: their transports
            are then those that :mod:`.splice` needs, on every reactor that watches descriptors.

    Raises:
        BalancerError: naming the address and what is wrong with it.
    """
    try:
        if match := _UNIX.fullmatch(bind):
            return _listen_unix(reactor, match["path"], int(match["mode"] or "666", 8), factory, backlog)
        if PLAIN.fullmatch(bind):
            host, port, dual_stack = resolve_bind(bind)
            if has_streams(reactor) and not spliced:
                return cast(IListeningPort, reactor.listen_for(port, factory, backlog, host, dual_stack))
            if not (watches_descriptors(reactor) or (spliced and can_watch(reactor))):
                return cast(IListeningPort, reactor.listenTCP(port, factory, backlog, host))
            opened: Any = ServerPort(port, factory, backlog, host, reactor, dual_stack)
            opened.startListening()
            return cast(IListeningPort, opened)
        return _listen_endpoint(reactor, bind, factory)
    except CannotListenError as refused:
        raise BalancerError(f"cannot listen on {bind}: {why_not(refused.socketError)}") from refused
    except OSError as refused:
        raise BalancerError(f"cannot listen on {bind}: {why_not(refused)}") from refused


def let_go(port: Any) -> None:
    """Close ``port`` for us alone: its socket goes on in whoever else has it, its path stays."""
    port.stopReading()
    port.connected = False
    port.disconnected = True
    port.socket.close()
    del port.socket
    port.factory.doStop()


def adopt(
    reactor: Any, descriptor: int, factory: IProtocolFactory, *, owned: bool = False, spliced: bool = False
) -> IListeningPort:
    """Serve the connections of a listening socket that another process has opened.

    The socket stays open and usable for others when the port is closed; ``descriptor`` is copied, and the caller's.
    If it is ``owned`` from now on, the path of a unix socket is removed at the end. ``spliced`` is as of :func:`listen`.
    """
    with socket.socket(fileno=os.dup(descriptor)) as skt:
        family = skt.family
    os.set_blocking(descriptor, False)
    port: Any
    if family == socket.AF_UNIX:
        kind: Any = AdoptedUNIXPort
        if has_streams(reactor):
            from balancer.net.reactor import ports

            kind = ports.AdoptedUNIXPort
        port = kind._fromListeningDescriptor(reactor, descriptor, factory)
        port.owned = owned
    elif has_streams(reactor) and not spliced:
        from balancer.net.reactor import ports

        port = ports.ListenerPort._fromListeningDescriptor(reactor, descriptor, family, factory)
    elif not (watches_descriptors(reactor) or (spliced and can_watch(reactor))):
        return cast(IListeningPort, reactor.adoptStreamPort(descriptor, family, factory))
    else:
        port = ServerPort._fromListeningDescriptor(reactor, descriptor, family, factory)
    port.startListening()
    return cast(IListeningPort, port)


def resolve_bind(bind: str) -> tuple[str, int, bool]:
    """Return ``(IP address, port, whether IPv4 clients come to an IPv6 socket)`` for ``host:port``.

    A name is looked up, blocking: this happens at start and reload only.

    Raises:
        BalancerError: if the text is no address or the name does not resolve.
    """
    host, _, port = bind.rpartition(":")
    if host == "*":
        if int(port) > 65535:
            raise BalancerError(f"cannot listen on {bind}: expected a port from 0 to 65535, got {port!r}")
        return ("::", int(port), True) if _has_ipv6() else ("0.0.0.0", int(port), False)
    # A scoped address (fe80::1%eth0) is one that only the kernel can judge.
    literal, percent, scope = host.strip("[]").partition("%")
    try:
        address = Address.parse(f"[{literal}]:{port}" if percent else bind)
    except ValueError as wrong:
        raise BalancerError(f"cannot listen on {bind}: {wrong}") from None
    if not address.is_name:
        return address.host + percent + scope, address.port, False
    try:
        found = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except OSError as unknown:
        raise BalancerError(f"cannot listen on {bind}: the name {address.host!r} does not resolve") from unknown
    return str(found[0][4][0]), address.port, False


def describe(port: IListeningPort) -> str:
    """Return where ``port`` listens, in the form of ``bind``: with the real port where 0 was asked for."""
    host: Any = port.getHost()
    if hasattr(host, "name"):
        return f"unix:{os.fsdecode(host.name or b'')}"
    return str(Address(host.host, host.port))


def _has_ipv6() -> bool:
    if not socket.has_ipv6:
        return False
    try:
        socket.socket(socket.AF_INET6, socket.SOCK_STREAM).close()
    except OSError:
        return False
    return True


def _listen_unix(reactor: Any, path: str, mode: int, factory: IProtocolFactory, backlog: int) -> IListeningPort:
    _remove_stale(path)
    port = reactor.listenUNIX(path, factory, backlog=backlog, mode=mode)
    return _quick(port)


def _remove_stale(path: str) -> None:
    """Remove the socket that a process which was killed left behind; leave one that somebody listens on."""
    if not Path(path).is_socket():
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        if probe.connect_ex(path) == errno.ECONNREFUSED:
            Path(path).unlink()


def _listen_endpoint(reactor: Any, description: str, factory: IProtocolFactory) -> IListeningPort:
    try:
        opening = serverFromString(reactor, description).listen(factory)
    except (ValueError, TypeError, LookupError) as wrong:
        raise BalancerError(
            f"cannot listen on {description}: expected host:port, *:port, unix:/path or an endpoint description"
            f" ({str(wrong) or type(wrong).__name__})"
        ) from wrong
    outcome: list[Any] = []
    opening.addBoth(outcome.append)
    if not outcome:
        opening.addErrback(lambda _: None)
        opening.cancel()
        raise BalancerError(f"cannot listen on {description}: this kind of endpoint does not open at once")
    (port,) = outcome
    if isinstance(port, Failure):
        if isinstance(port.value, OSError | CannotListenError):
            port.raiseException()
        raise BalancerError(f"cannot listen on {description}: {port.getErrorMessage()}") from port.value
    return _quick(port)


def _quick(port: Any) -> IListeningPort:
    """Make a plain Twisted port use our transports: ``transport`` is its documented place to say so."""
    if type(port) is tcp.Port:
        port.transport = ServerTransport
    elif type(port) is unix.Port:
        port.transport = UNIXServerTransport
    return cast(IListeningPort, port)


def why_not(refused: Any) -> str:
    """Return what is wrong with an address that could not be bound, in the operator's words."""
    number = getattr(refused, "errno", None)
    if number == errno.EADDRINUSE:
        return "the address is in use by another program"
    if number in (errno.EACCES, errno.EPERM):
        return "permission denied (ports below 1024 need the capability CAP_NET_BIND_SERVICE)"
    if number == errno.EADDRNOTAVAIL:
        return "this machine does not have that address"
    return os.strerror(number) if isinstance(number, int) else str(refused)
