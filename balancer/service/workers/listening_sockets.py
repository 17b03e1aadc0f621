"""The listening sockets of a master: bound and kept here, served by workers.

They follow the configurations as the listeners of a single process do (:mod:`balancer.service.listening`): one that
stays keeps its sockets, what is new is bound before anything is swapped.
"""

from __future__ import annotations

import socket
from typing import Any

from balancer.config.listeners import AnyListener, UdpListener
from balancer.config.schema import Config
from balancer.net.sockets import Bound, bound_datagrams, bound_streams
from balancer.service.inheritance import Inheritance, Left
from balancer.service.listening import binds_of, goes_on_as

__all__ = ["ListeningSockets"]

_Binds = dict[str, Bound]


class _Group:
    """What one listener has."""

    def __init__(self, protocol: str, binds: _Binds) -> None:
        self.protocol = protocol
        self.binds = binds


class ListeningSockets:
    """Sockets by listener.

    Args:
        reactor: opens endpoint descriptions.
        inherited: what a process before this one has left.
    """

    def __init__(self, reactor: Any, inherited: Inheritance | None = None) -> None:
        self._reactor = reactor
        self._inherited = inherited or Inheritance()
        self._open: dict[str, _Group] = {}
        self._prepared: dict[str, _Group] = {}
        self._fresh: list[tuple[str, Bound]] = []
        self.renamed: dict[str, str] = {}
        """Listeners that go on under another name after the next swap: old names by new ones."""

    def prepare(self, config: Config, shares: int) -> None:
        """Bind what is new in ``config``, for so many workers.

        Raises:
            BalancerError: if an address cannot be had; nothing has changed then.
        """
        self._prepared, self._fresh, self.renamed = {}, [], {}
        try:
            for name, settings in config.listeners.items():
                self._prepared[name] = _Group(settings.protocol, self._binds(name, settings, config, shares))
        except BaseException:
            self.abandon()
            raise

    def _binds(self, name: str, settings: AnyListener, config: Config, shares: int) -> _Binds:
        open_now = {old: (tuple(group.binds), group.protocol == settings.protocol) for old, group in self._open.items()}
        old = goes_on_as(name, settings, open_now, config)
        known = {} if old is None else self._open[old].binds
        if old is not None and old != name:
            self.renamed[name] = old
        binds: _Binds = {}
        for bind in binds_of(settings):
            if bind not in known:
                bound = self._bound(name, bind, settings, shares)
                self._fresh.append((name, bound))
                binds[bind] = bound
            else:
                binds[bind] = known[bind]
        return binds

    def _bound(self, name: str, bind: str, settings: AnyListener, shares: int) -> Bound:
        udp = isinstance(settings, UdpListener)
        left = self._inherited.take(name, bind, socket.SOCK_DGRAM if udp else socket.SOCK_STREAM)
        if left:
            return Bound.inherited(bind, left, 0 if isinstance(settings, UdpListener) else settings.backlog)
        if isinstance(settings, UdpListener):
            return bound_datagrams(bind, shares)
        return bound_streams(self._reactor, bind, shares, settings.backlog)

    def left(self) -> list[Left]:
        """Return everything that is open, for a process that takes over."""
        return [
            (name, bound.bind, bound.left()) for name, group in self._open.items() for bound in group.binds.values()
        ]

    def abandon(self) -> None:
        """Close what :meth:`prepare` has bound."""
        for _, bound in self._fresh:
            bound.close()
        self._prepared, self._fresh, self.renamed = {}, [], {}

    def swap(self) -> None:
        """Keep what is prepared, close the rest."""
        for _, bound in self._fresh:
            bound.own()
        kept = {bound for group in self._prepared.values() for bound in group.binds.values()}
        for group in self._open.values():
            for bound in group.binds.values():
                if bound not in kept:
                    bound.close()
        self._open, self._prepared, self._fresh, self.renamed = self._prepared, {}, [], {}

    def fresh(self, share: int) -> list[dict[str, Any]]:
        """Return what is new since the last swap, for the worker that has ``share``: listener, bind, descriptor."""
        return [_handed(name, bound, share) for name, bound in self._fresh]

    def all(self, share: int) -> list[dict[str, Any]]:
        """Return everything that is open, for the worker that has ``share``; raises BalancerError as ``descriptor``."""
        return [_handed(name, bound, share) for name, group in self._open.items() for bound in group.binds.values()]

    def addresses(self, listener: str) -> list[str]:
        """Return where ``listener`` listens, with real ports."""
        return [bound.address for bound in self._open[listener].binds.values()]

    def steer(self, shares: int) -> bool:
        """Keep new connections away from all but the first ``shares`` shares; return whether that is done everywhere."""
        return False not in [bound.steer(shares) for group in self._open.values() for bound in group.binds.values()]

    def keep(self, shares: int) -> None:
        """Close the sockets of all but the first ``shares`` shares, which nobody serves any more."""
        for group in self._open.values():
            for bound in group.binds.values():
                bound.keep(shares)

    def close(self) -> None:
        """Close everything here; workers go on with what they have."""
        self.abandon()
        for group in self._open.values():
            for bound in group.binds.values():
                bound.close()
        self._open = {}

    def hand_over(self) -> None:
        """Close everything here, and leave paths as they are: another process has them."""
        for group in self._open.values():
            for bound in group.binds.values():
                bound.leave()
        self._open = {}


def _handed(name: str, bound: Bound, share: int) -> dict[str, Any]:
    return {"listener": name, "bind": bound.bind, "descriptor": bound.descriptor(share)}
