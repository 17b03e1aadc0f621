"""One process after another with no connection lost: what every service does when it takes over, and when it is replaced."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from balancer.errors import BalancerError
from balancer.service.inheritance import Inheritance, Left
from balancer.service.notifying import notify
from balancer.service.pid_file import PidFile
from balancer.service.status import libraries
from balancer.service.upgrade import Successor

__all__ = ["Succession"]

_LAST_ANSWER = 0.2
"""Seconds for the answer to who asked for the upgrade, before this process begins to end."""

_log = Logger()


class Succession:
    """What this process has from the one before, and its way to the next.

    Args:
        reactor: spawns the next process, and is stopped at the end.
        inheritance: what the process before has left.
        pid_file: twistd's.
    """

    def __init__(self, reactor: Any, inheritance: Inheritance | None = None, pid_file: PidFile | None = None) -> None:
        self.inheritance = inheritance or Inheritance()
        self.is_over = False
        """Whether another process has taken over."""
        self._reactor = reactor
        self._pid_file = pid_file or PidFile()
        self._under_way = False

    def accepts(self) -> None:
        """This process accepts connections: the one before may end."""
        self.inheritance.ready()
        _log.info("TLS by {tls}; HTTP/2 by {http2}", **libraries())
        notify("READY=1", f"MAINPID={os.getpid()}")

    def pass_on(
        self, left: list[Left], rest: Mapping[str, Any], hand_over: Callable[[], Any]
    ) -> Deferred[dict[str, Any]]:
        """Start a new process of the same command, have it take over, and end this one.

        Args:
            left: its sockets.
            rest: what else it needs to know, as of :class:`~balancer.service.inheritance.Inheritance`: ``secret`` signs what clients
                got, ``state`` is how servers are doing, ``tls`` what all processes need alike.
            hand_over: called when it accepts connections; must see to it that this process does no more.

        Returns:
            Fires with a message when it has taken over. Fails with BalancerError if it cannot; then this process goes on.
        """
        if self._under_way or self.is_over:
            raise BalancerError("an upgrade is under way already")
        self._under_way = True
        _log.info("upgrade: starting a new process")
        self._pid_file.set_aside()

        def took_over(pid: int) -> dict[str, Any]:
            self.is_over = True
            hand_over()
            message = f"process {pid} has taken over, process {os.getpid()} finishes its connections and ends"
            _log.info("{message}", message=message)
            self._reactor.callLater(_LAST_ANSWER, self._reactor.stop)
            return {"message": message}

        def failed(failure: Failure) -> Failure:
            self._under_way = False
            self._pid_file.put_back()
            _log.error("upgrade failed, this process goes on: {error}", error=failure.getErrorMessage())
            return failure

        try:
            starting = Successor(self._reactor).start(left, rest)
        except BalancerError:
            self._under_way = False
            self._pid_file.put_back()
            raise
        return starting.addCallback(took_over).addErrback(failed)
