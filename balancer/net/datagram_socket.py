"""A datagram socket connected to one server, so that the kernel reports an unreachable one.

It receives one datagram at a time, which is cheapest for one; when datagrams keep coming it asks for all that waits with
one call, and when many come so it lets the kernel join them to trains (:mod:`.trains`). Sending is not done with
``sendmmsg``: where that ends early it says how many datagrams it sent, but forgets why it stopped, and the ICMP message of
an unreachable server would be lost.
"""

from __future__ import annotations

import _socket
import socket
from collections.abc import Callable
from typing import Any, cast

from balancer import errors
from balancer.errors import ExchangeError
from balancer.model.address import Address
from balancer.net.connecting import error_of
from balancer.net.slots import SLOTS
from balancer.net.trains import DROPPED, Batch, Descriptor, ask_for_room
from balancer.net.watching import Watch

__all__ = ["Cut", "DatagramSocket"]

MOST_PATIENCE = 64
MOST_CREDIT = 8

_NON_BLOCKING = socket.SOCK_DGRAM | getattr(socket, "SOCK_NONBLOCK", 0)  # saves a system call

Cut = tuple[int, ExchangeError]
"""How many of a batch's slots were sent, and why the others were not."""


class DatagramSocket(Descriptor):
    """A UDP socket connected to one server, so that the kernel reports an unreachable one.

    Args:
        watch: watches the socket.
        address: the server's IP address and port.
        received: called with each batch that comes back.
        refused: called with an :class:`~balancer.errors.ExchangeError` each time the server turns out unreachable
            (by ICMP, or by our own routes) while nothing is being sent.

    Raises:
        ExchangeError: if there cannot be such a socket.
    """

    def __init__(
        self,
        watch: Watch,
        address: Address,
        received: Callable[[Batch], Any],
        refused: Callable[[ExchangeError], Any],
    ) -> None:
        if address.path:
            raise ExchangeError(errors.PROXY_INTERNAL_ERROR, f"{address}: UDP goes to no unix socket")
        skt = None
        try:
            # The class that Python's is made of: 4 µs less to make and to close.
            skt = _socket.socket(socket.AF_INET6 if ":" in address.host else socket.AF_INET, _NON_BLOCKING)
            if skt.gettimeout() != 0:
                skt.setblocking(False)
            skt.connect((address.host, address.port))
        except OSError as failed:
            if skt is not None:
                skt.close()
            raise error_of(failed, address) from failed
        super().__init__(watch, cast("socket.socket", skt))
        self._address = address
        self._received: Callable[[Batch], Any] | None = received  # None: it rests
        self._refused = refused
        self._receive_into = skt.recv_into
        self.send_one: Callable[[memoryview], int] = skt.send
        """Send one datagram to the server; an OSError is to be given to :meth:`explain`."""
        self._joins = False
        self._is_deep = False  # datagrams come several at a time,
        self._credit = 0  # and have been worth so much
        self._round = -1  # the last one in which a datagram came
        self._row = 0  # how often one came in the very next round, too,
        self._patience = 2  # and how often makes it worth while to ask for several at once
        try:
            watch.add(self)
        except OSError as failed:
            self.close()
            raise error_of(failed, address) from failed

    def rest(self) -> None:
        """Belong to nobody for a while: whatever comes meanwhile is dropped, and closes the socket."""
        self._received = None
        self._refused = _nobody

    def resume(
        self, address: Address, received: Callable[[Batch], Any], refused: Callable[[ExchangeError], Any]
    ) -> bool:
        """Go on as at first, after :meth:`rest`; return False if that cannot be: the socket is closed, or goes elsewhere."""
        if self._socket is None or self._address != address:
            return False
        self._received = received
        self._refused = refused
        return True

    def send(self, batch: Batch) -> Cut | None:
        """Send ``batch`` to the server; return what came between, if the server turns out unreachable."""
        cut = self.send_batch(batch)
        return None if cut is None else (cut[0], error_of(cut[1], self._address))

    def explain(self, error: OSError) -> Cut | None:
        """Return what kept :meth:`send_one` from sending, if the server is unreachable; else the datagram is dropped."""
        if error.errno in DROPPED:
            self.dropped += 1
            return None
        return 0, error_of(error, self._address)

    def read(self, first: int) -> int:
        """Hand on what has come back: one datagram, or all that waits if there were some round after round."""
        watch = self._watch
        try:
            last = watch.round - 1
            if self._is_deep:
                return self._read_many(first)
            if self._round == last:
                self._row += 1
                if self._row >= self._patience and watch.messages is not None:
                    return self._read_many(first)
            self._round = last + 1
            batch = watch.singles[first]
            slot = batch[0]
            slot.length = self._receive_into(slot.view)
        except BlockingIOError:
            return first
        except OSError as failed:
            if self._received is None:
                self.close()
            else:
                self._refused(error_of(failed, self._address))
            return first
        received = self._received
        if received is None:
            self.close()
            return first
        received(batch)
        return first + 1

    def _read_many(self, first: int) -> int:
        watch = self._watch
        messages = watch.messages
        skt = self._socket
        if self._received is None:
            self.close()
            return first
        assert messages is not None
        assert skt is not None
        count = messages.receive(self._number, first)
        watch.left -= count - 1
        batch = watch.slots[first : first + count]
        has_trains = False
        if self._joins:
            lengths = messages.control_lengths(first, count)
            has_trains = any(lengths)
            if has_trains:
                messages.find_trains(first, lengths)
        elif count > SLOTS // 4:
            ask_for_room(skt)
            self._joins = self.join_trains(skt)
        if self._joins:
            self._is_deep = True  # for good: recv() does not tell how long a train's datagrams are
        else:
            # For one datagram it costs twice as much as recv(), for three as much, for more less.
            credit = self._credit = min(self._credit + count - 3, MOST_CREDIT)
            if credit >= 0:
                self._is_deep = True
                self._patience = 2
            else:
                self._is_deep = False
                self._credit = 0
                self._row = 0
                self._patience = min(2 * self._patience, MOST_PATIENCE)
        if messages.is_cut:
            whole = [slot for slot in batch if slot.length >= 0]
            self.dropped += count - len(whole)
            batch = whole
        try:
            if batch:
                self._received(batch)
        finally:
            if has_trains:
                for slot in batch:
                    slot.segment = 0
        return first + count


def _nobody(_error: ExchangeError) -> None:
    """Who is told while a socket rests."""
