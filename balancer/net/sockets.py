"""Listening sockets that are bound in one process and served in others.

A :class:`Bound` is one ``bind:`` as the process holds it that opened it: nothing is accepted there. What serves the
connections gets a descriptor of it, and adopts that (:func:`balancer.net.listening.adopt`,
:class:`~balancer.net.datagrams.DatagramPort`)::

    ip:port      Linux: one socket for each share (``SO_REUSEPORT``); the kernel spreads connections and flows over them
    anything     else: one socket for all, whoever accepts first has the connection

The sockets live on as long as they are kept here: connections queue up while nobody serves a share.

Shares are opened and closed in order, the last ones last opened and first closed, so that a share's number is its socket's
place in the kernel's group: see :mod:`.steering`.
"""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from twisted.internet.protocol import Factory

from balancer.errors import BalancerError
from balancer.model.address import Address
from balancer.net.datagrams import datagram_socket
from balancer.net.listening import BACKLOG, PLAIN, let_go, listen, resolve_bind, why_not
from balancer.net.steering import shut_out, steer, unsteer

__all__ = ["Bound", "address_of", "bound_datagrams", "bound_streams"]

_SPREADS = sys.platform == "linux"
"""Whether the system spreads connections over sockets with the same address."""


class Bound:
    """One ``bind:``, open.

    Args:
        bind: its text.
        first: the socket of share 0.
        spread: whether each share has a socket of its own; otherwise ``first`` is everybody's.
        backlog: connections that may wait in each socket.
        path: of a unix socket that is ours to remove.
    """

    def __init__(self, bind: str, first: socket.socket, *, spread: bool, backlog: int = 0, path: str = "") -> None:
        self.bind = bind
        self.address = address_of(first)
        self._sockets = {0: first}
        self._spread = spread
        self._backlog = backlog
        self._path = path
        self._path_later = ""
        self._steered: int | None = None
        self._is_ours_alone = spread

    @classmethod
    def inherited(cls, bind: str, descriptors: Sequence[int], backlog: int = 0) -> Bound:
        """Return what another process has opened; the descriptors are ours from now on."""
        sockets = [socket.socket(fileno=descriptor) for descriptor in descriptors]
        first = sockets[0]
        spread = first.family != socket.AF_UNIX and bool(first.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT))
        path = os.fsdecode(first.getsockname()) if bind.startswith("unix:") else ""
        bound = cls(bind, first, spread=spread, backlog=backlog)
        bound._sockets = dict(enumerate(sockets))
        bound._path_later = path
        bound._is_ours_alone = False  # what others have opened they may keep
        return bound

    def left(self) -> list[int]:
        """Return the descriptors for a process that may take over: the sockets are its too from now on."""
        self._is_ours_alone = False
        return self.descriptors

    def own(self) -> None:
        """Let the path of an inherited unix socket be ours to remove."""
        self._path, self._path_later = self._path or self._path_later, ""

    @property
    def descriptors(self) -> list[int]:
        """All descriptors, by share, but those that :meth:`steer` keeps connections away from."""
        return [skt.fileno() for _, skt in sorted(self._sockets.items())][: self._steered]

    def descriptor(self, share: int) -> int:
        """Return the descriptor that share number ``share``, counted from 0, is served by.

        From the first time on that a share is asked for, connections go there too, so somebody should serve it soon.

        Raises:
            BalancerError: if its socket cannot be opened.
        """
        share = share if self._spread else 0
        while share >= len(self._sockets):
            first = self._sockets[0]
            unsteer(first)  # which another process may have left to us
            try:
                self._sockets[len(self._sockets)] = _twin(first, self._backlog)
            except OSError as refused:
                raise BalancerError(f"cannot listen on {self.bind}: {why_not(refused)}") from refused
        return self._sockets[share].fileno()

    def steer(self, shares: int) -> bool | None:
        """Let new connections go to the first ``shares`` shares only; those begun end where they are.

        All sockets stay open until :meth:`keep`. Of datagrams, whose flows this would move twice, they are closed here
        at once. Returns None where there is nothing to steer, and False where the kernel does not do it.
        """
        first = self._sockets[0]
        if first.type == socket.SOCK_DGRAM:
            self.keep(shares)
        if len(self._sockets) <= shares:
            return None
        done = steer(first, shares)
        self._steered = shares if done else None
        return done

    def keep(self, shares: int) -> None:
        """Close the sockets of all but the first ``shares`` shares here; all of the rest get connections again.

        Nothing comes to the others any more once their workers have closed them.
        """
        while self._spread and len(self._sockets) > max(shares, 1):
            self._sockets.popitem()[1].close()
        if self._steered is not None:
            self._steered = None
            unsteer(self._sockets[0])

    def leave(self) -> None:
        """Close the sockets here; those who were handed descriptors go on, and a unix socket's path stays."""
        while self._sockets:
            self._sockets.popitem()[1].close()

    def close(self) -> None:
        """Close the sockets here, let nobody come to those that others still have, and remove what is in the file system."""
        if self._is_ours_alone:
            for skt in self._sockets.values():
                if skt.type == socket.SOCK_STREAM:
                    shut_out(skt)
        self.leave()
        if self._path:
            Path(self._path).unlink(missing_ok=True)

    def __repr__(self) -> str:
        return f"<Bound {self.bind}, {len(self._sockets)} sockets>"


def bound_streams(reactor: Any, bind: str, shares: int, backlog: int = BACKLOG) -> Bound:
    """Listen on ``bind`` for connections, which nobody accepts here.

    Args:
        reactor: opens endpoint descriptions.
        bind: as for :func:`~balancer.net.listening.listen`.
        shares: how many will serve it.
        backlog: connections that may wait in each socket.

    Raises:
        BalancerError: naming the address and what is wrong with it.
    """
    if not PLAIN.fullmatch(bind):
        return _by_port(reactor, bind, backlog)
    host, port, dual_stack = resolve_bind(bind)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    name = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)[0][4]
    skt = None
    try:
        if port and _SPREADS:
            with _stream(family, dual_stack) as lonely:  # with SO_REUSEPORT another balancer would not be noticed
                lonely.bind(name)
        skt = _stream(family, dual_stack, spread=_SPREADS)
        skt.bind(name)
        skt.listen(backlog)
    except OSError as refused:
        if skt is not None:
            skt.close()
        raise BalancerError(f"cannot listen on {bind}: {why_not(refused)}") from refused
    return _complete(Bound(bind, skt, spread=_SPREADS, backlog=backlog), shares)


def bound_datagrams(bind: str, shares: int) -> Bound:
    """Bind ``bind`` for datagrams; arguments and errors as of :func:`bound_streams`."""
    if _SPREADS and not bind.endswith(":0"):
        datagram_socket(bind).close()
    return _complete(Bound(bind, datagram_socket(bind, spread=_SPREADS), spread=_SPREADS), shares)


def _complete(bound: Bound, shares: int) -> Bound:
    """Open the sockets of all shares now, when it can still be refused."""
    try:
        for share in range(shares):
            bound.descriptor(share)
    except BalancerError:
        bound.close()
        raise
    return bound


def _stream(family: int, dual_stack: bool, *, spread: bool = False) -> socket.socket:
    skt = socket.socket(family, socket.SOCK_STREAM)
    skt.setblocking(False)
    skt.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if sys.platform == "linux":
        skt.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # inherited by connections, from the first one on
    if spread:
        skt.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    if family == socket.AF_INET6:
        skt.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0 if dual_stack else 1)
    return skt


def _twin(first: socket.socket, backlog: int) -> socket.socket:
    """Return another socket with the address and the options of ``first``."""
    six = first.family == socket.AF_INET6
    dual_stack = six and not first.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY)
    name = first.getsockname()
    if first.type == socket.SOCK_DGRAM:
        host = f"[{name[0]}]" if six else name[0]
        return datagram_socket(f"*:{name[1]}" if dual_stack else f"{host}:{name[1]}", spread=True)
    skt = _stream(first.family, dual_stack, spread=True)
    try:
        skt.bind(name)
        skt.listen(backlog)
    except OSError:
        skt.close()
        raise
    return skt


def _by_port(reactor: Any, bind: str, backlog: int) -> Bound:
    """Let Twisted open a unix socket or an endpoint description, and keep the socket, not the port."""
    factory = Factory()
    port: Any = listen(reactor, bind, factory, backlog)
    if port.factory is not factory:  # TLS, say: adopted by a worker, the socket would speak plain text
        port.stopListening()
        raise BalancerError(f"cannot listen on {bind}: such an endpoint cannot be shared by workers")
    port.stopReading()
    skt = port.socket.dup()
    skt.set_inheritable(False)
    path = ""
    if skt.family == socket.AF_UNIX and bind.startswith("unix:"):
        path = os.fsdecode(skt.getsockname())
    let_go(port)
    return Bound(bind, skt, spread=False, path="" if path.startswith("\0") else path)


def address_of(skt: socket.socket) -> str:
    """Return where ``skt`` listens, in the form of ``bind``, with the real port."""
    name = skt.getsockname()
    if skt.family == socket.AF_UNIX:
        return f"unix:{os.fsdecode(name)}"
    return str(Address(name[0], name[1]))
