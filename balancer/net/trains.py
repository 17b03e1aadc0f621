"""What all datagram sockets have in common: being watched, being closed, and sending several datagrams as a train.

A train (``UDP_SEGMENT``, Linux) is one message that the kernel or the network card cuts up into datagrams of one length,
of which the last may be shorter; ``UDP_GRO`` joins what comes that way. It costs a third of the same datagrams sent one by
one, and pays from two on. What cannot be a train (lengths that differ, more than the path takes in one packet, a network
card that cannot) leaves one by one, as the same datagrams in the same order.

What the kernel has no room to send is dropped and counted, as a router would.
"""

from __future__ import annotations

import errno
import socket
import struct
import sys
from functools import cache
from typing import Any

from balancer.net.mmsg import UDP_GRO
from balancer.net.slots import Slot
from balancer.net.watching import Watch

__all__ = ["DROPPED", "Batch", "Descriptor", "ask_for_room", "longest_segment", "run_end"]

RECEIVE_BUFFER = 1 << 20

UDP_SEGMENT = 103  # Linux; the socket module does not name it
LONGEST_TRAIN = 64  # datagrams; newer kernels take 128
MOST_BYTES = 65487  # of a train: what fits into one packet of IPv4 or IPv6

DROPPED = (errno.EAGAIN, errno.EMSGSIZE, errno.ENOBUFS, errno.EPERM)
"""Errors of a send that say nothing about the other end."""

_SO_RCVBUFFORCE = 33
_NO_TRAIN = (errno.EINVAL, errno.EMSGSIZE)
_NO_TRAINS = (errno.EIO, errno.ENOPROTOOPT, errno.EOPNOTSUPP)
_SEGMENT = struct.Struct("=H")

Batch = list[Slot]
"""What has come, in order; good until whoever it is handed to returns."""


@cache
def longest_segment() -> int:
    """Return how long the datagrams of a train may be, as far as the system is concerned: 0 if it knows no trains.

    A kernel without ``UDP_SEGMENT`` would not refuse it but send one long datagram.
    """
    if sys.platform != "linux":
        return 0
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.getsockopt(socket.IPPROTO_UDP, UDP_SEGMENT)
        except OSError:
            return 0
    return 65535


def run_end(batch: Batch, start: int, longest: int) -> int:
    """Return where the train ends that begins at ``start``: all of one length, but the last may be shorter."""
    slot = batch[start]
    size = slot.segment or slot.length
    end = start + 1
    if end == len(batch) or not 0 < size <= longest or slot.length % size:
        return end
    length = slot.length
    count = slot.count if slot.segment else 1
    for slot in batch[end:]:
        added = slot.length
        length += added
        if slot.segment:
            count += slot.count
            fits = slot.segment == size
        else:
            count += 1
            fits = 0 < added <= size
        if not fits or length > MOST_BYTES or count > LONGEST_TRAIN:
            break
        end += 1
        if added % size:
            break
    return end


def ask_for_room(skt: socket.socket) -> None:
    """Have datagrams wait while others are served; the kernel caps it for whoever is not root."""
    try:
        skt.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, RECEIVE_BUFFER)
    except OSError:
        skt.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)


class Descriptor:
    """What both sockets have in common: being watched, sending trains, and being closed."""

    def __init__(self, watch: Watch, skt: socket.socket) -> None:
        self._watch = watch
        self._socket: socket.socket | None = skt
        self._number = skt.fileno()
        self._longest = longest_segment()
        self.dropped = 0  # datagrams that the kernel had no room for, or that were too long

    def fileno(self) -> int:
        """The socket's descriptor, -1 once closed."""
        return self._number

    def close(self) -> None:
        """Close the socket; harmless if it is closed."""
        if self._socket is not None:
            self._watch.remove(self)
            self._socket.close()
            self._socket = None
            self._number = -1

    def read(self, first: int) -> int:
        """See :class:`~balancer.net.watching.Watched`."""
        raise NotImplementedError

    def send_batch(
        self, batch: Batch, ancillary: tuple[Any, ...] = (), where: tuple[Any, ...] = ()
    ) -> tuple[int, OSError] | None:
        """Send in as few calls as can be; return where it ended and why, if not at the end."""
        skt = self._socket
        if skt is None:
            return None
        start = 0
        while start < len(batch):
            end = run_end(batch, start, self._longest)
            slot = batch[start]
            size = slot.segment or slot.length
            try:
                if end == start + 1 and not slot.segment:
                    skt.sendmsg((slot.view[: slot.length],), ancillary, *where)
                elif size > self._longest:
                    self._send_singly(skt, batch[start:end], ancillary, where)
                else:
                    train = (socket.IPPROTO_UDP, UDP_SEGMENT, _SEGMENT.pack(size))
                    skt.sendmsg([each.view[: each.length] for each in batch[start:end]], (*ancillary, train), *where)
            except OSError as failed:
                is_train = slot.segment or end > start + 1
                if is_train and size <= self._longest and failed.errno in (*_NO_TRAIN, *_NO_TRAINS):
                    # The network card cannot, or this is more than fits into one packet of the path.
                    self._longest = 0 if failed.errno in _NO_TRAINS else size - 1
                    continue
                if failed.errno not in DROPPED:
                    return start, failed
                if is_train:  # some of it may go
                    try:
                        self._send_singly(skt, batch[start:end], ancillary, where)
                    except OSError as refused:
                        return start, refused
                else:
                    self.dropped += 1
            start = end
        return None

    def _send_singly(
        self, skt: socket.socket, batch: Batch, ancillary: tuple[Any, ...], where: tuple[Any, ...]
    ) -> None:
        for slot in batch:
            for each in slot.datagrams():
                try:
                    skt.sendmsg((each.view[: each.length],), ancillary, *where)
                except OSError as failed:
                    if failed.errno not in DROPPED:
                        raise
                    self.dropped += 1

    def join_trains(self, skt: socket.socket) -> bool:
        """Have the kernel join datagrams that come together; return whether it will."""
        try:
            skt.setsockopt(socket.IPPROTO_UDP, UDP_GRO, 1)
        except OSError:
            return False
        return True
