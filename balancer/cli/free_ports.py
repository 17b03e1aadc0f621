"""Ports for those who name a port now and bind it later: the demo, the tests, the bench.

To bind port 0, look at the number and close the socket is a race: until the number is bound again, the kernel may give it to another
connection, or another process that does the same. So a port is *claimed*:

* outside the range from which the kernel takes ports of its own choice (``net.ipv4.ip_local_port_range``), so that no outgoing connection and no
  bind to port 0 ever gets it;
* with a lock that all processes of this user on this machine respect, one byte of one file for each port, held until the process ends,
  however it ends: nothing is left to clean up;
* and only if nobody has it, neither for TCP nor for UDP, at any address.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import random
import socket
from collections.abc import Iterator, Sequence
from pathlib import Path

__all__ = ["Claims", "claim_port", "own_ports"]

_FIRST = 10000  # below are those that programs are known by
_ENOUGH = 2000
_EPHEMERAL = Path("/proc/sys/net/ipv4/ip_local_port_range")
_DEFAULT_EPHEMERAL = (32768, 65535)  # of Linux and of macOS (from 49152 on) together
_FOLDER = Path("/tmp")  # noqa: S108 - not TMPDIR: the same for all, whatever their environment


def own_ports(ephemeral: str | None = None) -> Sequence[int]:
    """Return the ports that the kernel does not choose of itself; ``ephemeral`` is the range that it does, as it writes it.

    Where hardly any are left, all from 10000 on: then only the lock protects them.
    """
    if ephemeral is None:
        with contextlib.suppress(OSError):
            ephemeral = _EPHEMERAL.read_text()
    first, last = map(int, ephemeral.split()) if ephemeral else _DEFAULT_EPHEMERAL
    ports = [*range(_FIRST, first), *range(max(last + 1, _FIRST), 65536)]
    return ports if len(ports) >= _ENOUGH else range(_FIRST, 65536)


class Claims:
    """Claims ports for this process.

    Args:
        file: whose bytes are locked; by default one for each user of this machine.
        ports: those to choose from, by default :func:`own_ports`.

    The file must not be opened by anybody else in this process: the locks would go when it is closed.
    """

    def __init__(self, file: Path | None = None, ports: Sequence[int] | None = None) -> None:
        self._file = file or _FOLDER / f"balancer-ports-{os.getuid()}"
        self._ports = own_ports() if ports is None else ports
        self._lock = -1
        self._given: set[int] = set()
        self._owner = 0
        self._next: Iterator[int] = iter(())

    def claim(self, preferred: int = 0) -> int:
        """Return a port that is this process's until it ends: ``preferred``, if that can be had.

        Raises:
            OSError: no port is left, or the file of locks is not ours.
        """
        if self._owner != os.getpid():  # locks are not inherited by a fork, and its children are to look elsewhere
            self._owner = os.getpid()
            self._next = iter(())
            if self._lock < 0:
                self._lock = self._opened()
        if preferred and self._take(preferred, reuse=True):
            return preferred
        for reuse in (False, True):  # what others had in the last round may be free by now, or nearly so
            for port in self._next:
                if self._take(port, reuse=reuse):
                    return port
            self._next = self._round()
        raise OSError(errno.EADDRNOTAVAIL, "no port is left to be claimed")

    def _round(self) -> Iterator[int]:
        """Return all ports, from any of them on."""
        start = random.SystemRandom().randrange(len(self._ports))
        return iter([*self._ports[start:], *self._ports[:start]])

    def _opened(self) -> int:
        lock = os.open(self._file, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        if os.fstat(lock).st_uid != os.getuid():
            os.close(lock)
            raise OSError(errno.EPERM, "the file of locks belongs to somebody else", str(self._file))
        return lock

    def _take(self, port: int, *, reuse: bool) -> bool:
        if port in self._given:
            return False
        try:
            fcntl.lockf(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, port)
        except OSError as error:
            if error.errno not in (errno.EACCES, errno.EAGAIN):
                raise
            return False
        if not all(_can_bind(port, kind, reuse) for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM)):
            fcntl.lockf(self._lock, fcntl.LOCK_UN, 1, port)
            return False
        self._given.add(port)
        return True


def _can_bind(port: int, kind: int, reuse: bool) -> bool:
    """Whether nobody has ``port`` at any address; with ``reuse`` connections that have ended (TIME_WAIT) do not count."""
    for family, host in ((socket.AF_INET6, "::"), (socket.AF_INET, "0.0.0.0")):
        try:
            with socket.socket(family, kind) as skt:
                if family == socket.AF_INET6:
                    skt.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)  # for IPv4 too
                if reuse and kind == socket.SOCK_STREAM:
                    skt.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                skt.bind((host, port))
                if reuse and kind == socket.SOCK_STREAM:
                    skt.listen(1)  # which no two sockets can
        except OSError as error:
            if error.errno in (errno.EADDRINUSE, errno.EACCES):
                return False
            continue  # there is no IPv6 here
        return True
    return False


_ours = Claims()


def claim_port(preferred: int = 0) -> int:
    """Claim a port for this process, see :meth:`Claims.claim`."""
    return _ours.claim(preferred)
