"""A bound datagram socket, and the ways back to its clients; under a :class:`~balancer.net.watching.Watch`.

Twisted's own UDP port reads one datagram after another, and cannot say on which of our addresses a datagram came, while
on a machine with several addresses a reply has to leave from that one. A :class:`DatagramPort` on a wildcard address
asks the kernel (``IP_PKTINFO``, RFC 3542 section 6) and answers from there; where the system cannot tell (anywhere but
Linux, for IPv4) the kernel picks the address by its routes.

Datagrams come and go in batches, as lists of :class:`~balancer.net.slots.Slot`. On Linux all that waits is received with
one call and handed on flow by flow, in order; replies that arise meanwhile leave with one call, or as trains where
several go to one client (:mod:`.trains`).
"""

from __future__ import annotations

import socket
import struct
import sys
from collections.abc import Callable, Iterable
from typing import Any

from twisted.logger import Logger

from balancer.errors import BalancerError
from balancer.model.address import Address
from balancer.net.listening import resolve_bind, why_not
from balancer.net.mmsg import CONTROL, NAME
from balancer.net.slots import SLOTS, Slot
from balancer.net.trains import Batch, Descriptor, ask_for_room
from balancer.net.transports import plain
from balancer.net.watching import Watch

__all__ = ["DatagramPort", "Origin", "ReturnPath", "datagram_socket"]

FEW = 4
"""Replies to one client that make a train of their own."""

_IP_PKTINFO = 8  # Linux; the socket module of Python 3.11 does not name it
_CAN_TELL_V4 = sys.platform == "linux"
_STRIDE = NAME + CONTROL

Origin = bytes | tuple[Any, ...]
"""Which client wrote to which of our addresses: equal for the datagrams of one flow. See :meth:`DatagramPort.path`."""

_log = Logger()


def datagram_socket(bind: str, *, spread: bool = False) -> socket.socket:
    """Return a socket bound to ``bind``, set up for a :class:`DatagramPort`.

    ``spread`` lets several such sockets have the same address, over which the kernel spreads the flows.

    Raises:
        BalancerError: naming the address and what is wrong with it.
    """
    if bind.startswith("unix:") or not bind.rpartition(":")[2].isdecimal():
        raise BalancerError(f"cannot listen on {bind}: UDP takes host:port, [IPv6]:port or *:port")
    host, port, dual_stack = resolve_bind(bind)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    skt = None
    try:
        skt = socket.socket(family, socket.SOCK_DGRAM)
        skt.setblocking(False)
        ask_for_room(skt)
        if spread:
            skt.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            skt.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0 if dual_stack else 1)
        if host == "::":
            skt.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
        elif host == "0.0.0.0" and _CAN_TELL_V4:
            skt.setsockopt(socket.IPPROTO_IP, _IP_PKTINFO, 1)
        skt.bind(socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM, flags=socket.AI_NUMERICHOST)[0][4])
    except OSError as refused:
        if skt is not None:
            skt.close()
        raise BalancerError(f"cannot listen on {bind}: {why_not(refused)}") from refused
    return skt


class DatagramPort(Descriptor):
    """A bound UDP socket.

    Args:
        watch: watches the socket.
        bind: ``10.0.0.1:53``, ``[::1]:53``, ``*:53`` (IPv4 and IPv6) or ``localhost:53``.
        received: called with ``(batch, origin)``: what came from one client to one of our addresses, if :attr:`sinks`
            has nothing for it.
        skt: the socket, where :func:`datagram_socket` made it already, in this process or another.

    Raises:
        BalancerError: naming the address and what is wrong with it.
    """

    def __init__(
        self,
        watch: Watch,
        bind: str,
        received: Callable[[Batch, Origin], Any],
        skt: socket.socket | None = None,
    ) -> None:
        skt = skt or datagram_socket(bind)
        wildcard = skt.getsockname()[0] in ("0.0.0.0", "::")
        family = skt.family
        super().__init__(watch, skt)
        self.sinks: dict[Origin, Callable[[Batch], int]] = {}
        """Where batches of known origins go; each returns how many slots it took, and the others go to ``received``."""
        self._received = received
        self._asks = wildcard and (family == socket.AF_INET6 or _CAN_TELL_V4)
        self._is_v6 = family == socket.AF_INET6
        self._name_length = 28 if self._is_v6 else 16
        # How much ancillary data comes with a datagram that is no train.
        self._told = (socket.CMSG_SPACE(20 if self._is_v6 else 12)) if self._asks else 0
        self.paths: list[ReturnPath] = []
        """Of the replies that wait for the end of the round."""
        self.held: list[Slot] = []
        """What they are."""
        name = skt.getsockname()
        self.address = Address(name[0], name[1])
        self._local = str(name[0])
        if watch.messages is not None:
            self._messages = watch.messages
            self.read = self._read_many  # type: ignore[method-assign]
            self.join_trains(skt)
        try:
            watch.add(self)
        except OSError as failed:
            self.close()
            raise BalancerError(f"cannot listen on {bind}: {why_not(failed)}") from failed

    def read(self, first: int) -> int:
        """Hand on one datagram, and return 1 if there was one; where batches are to be had :meth:`_read_many` stands in."""
        skt = self._socket
        assert skt is not None
        slot = self._watch.slots[first]
        try:
            if self._asks:
                slot.length, ancillary, flags, name = skt.recvmsg_into((slot.view,), 128)
                source, local = _local_end(ancillary, self._local)
            else:
                slot.length, _, flags, name = skt.recvmsg_into((slot.view,))
                source, local = None, self._local
        except BlockingIOError:
            return 0
        except OSError as failed:
            self._failed(failed)
            return 0
        if flags & socket.MSG_TRUNC:
            self.dropped += 1
            return 1
        origin: Origin = (name, source, local)
        sink = self.sinks.get(origin)
        if sink is None or not sink([slot]):
            self._received([slot], origin)
        return 1

    def _read_many(self, first: int) -> int:
        messages = self._messages
        try:
            count = messages.receive(self._number, first)
        except BlockingIOError:
            return first
        except OSError as failed:
            self._failed(failed)
            return first
        watch = self._watch
        watch.left -= count - 1
        told = self._told
        lengths = messages.control_lengths(first, count)
        has_trains = lengths.count(told) != count
        if has_trains:
            messages.find_trains(first, lengths)
        start = first * _STRIDE
        raw = bytes(messages.origins[start : start + count * _STRIDE])
        length = self._name_length
        origins = [raw[place : place + length] for place in range(0, count * _STRIDE, _STRIDE)]
        if told:
            for index, origin in enumerate(origins):
                origins[index] = origin + self._local_part(raw, index * _STRIDE + NAME, first + index, lengths[index])
        batches = watch.singles[first : first + count]
        if messages.is_cut:  # longer than a slot
            whole = [index for index in range(count) if batches[index][0].length >= 0]
            self.dropped += count - len(whole)
            origins, batches = [origins[index] for index in whole], [batches[index] for index in whole]
        sinks = self.sinks
        whose: Iterable[tuple[bytes, Batch]]
        if len(set(origins)) == len(origins):
            whose = zip(origins, batches, strict=True)
        else:
            groups: dict[bytes, Batch] = {}
            for origin, batch in zip(origins, batches, strict=True):
                if origin in groups:
                    groups[origin] += batch
                else:
                    groups[origin] = batch[:]
            whose = groups.items()
        for origin, batch in whose:
            try:
                sink = sinks.get(origin)
                if sink is None:
                    self._received(batch, origin)
                else:
                    taken = sink(batch)
                    if taken < len(batch):
                        self._received(batch[taken:], origin)  # came after its end
            except Exception:
                _log.failure("datagrams of a client could not be served")  # those of others can
        if has_trains:
            for slot in watch.slots[first : first + count]:
                slot.segment = 0
        return first

    def _local_part(self, raw: bytes, place: int, index: int, length: int) -> bytes:
        """Return our address as it is in the ancillary data at ``place``."""
        if length == self._told:  # nothing but that
            if not self._is_v6:
                return raw[place + 20 : place + 24]
            if raw[place + 16 : place + 18] != b"\xfe\x80":
                return raw[place + 16 : place + 32] + b"\0\0\0\0"
        for level, kind, data in self._messages.controls(index, length):
            if (level, kind) == (socket.IPPROTO_IP, _IP_PKTINFO):
                return data[4:8]
            if (level, kind) == (socket.IPPROTO_IPV6, socket.IPV6_PKTINFO):
                # Only a link-local address needs its interface.
                return data[:20] if data.startswith(b"\xfe\x80") else data[:16] + b"\0\0\0\0"
        return bytes(20 if self._is_v6 else 4)

    def stop_receiving(self) -> None:
        """Leave what arrives to whoever else has the socket; replies go on."""
        self._watch.remove(self)

    def _failed(self, error: OSError) -> None:
        _log.warn("UDP {address}: {error}", address=self.address, error=error.strerror)

    def path(self, origin: Origin) -> ReturnPath:
        """Return the way back to where datagrams came from."""
        if isinstance(origin, tuple):
            client, source, local = origin
            return ReturnPath(self, client, local, b"", () if source is None else (source,), b"")
        raw_name, told = origin[: self._name_length], origin[self._name_length :]
        port = int.from_bytes(raw_name[2:4], "big")
        name: tuple[Any, ...] = (socket.inet_ntop(socket.AF_INET, raw_name[4:8]), port)
        if self._is_v6:
            scope = int.from_bytes(raw_name[24:28], sys.byteorder)
            name = (socket.inet_ntop(socket.AF_INET6, raw_name[8:24]), port, 0, scope)
        if not told:
            return ReturnPath(self, name, self._local, raw_name, (), b"")
        if self._is_v6:
            level, kind, data = socket.IPPROTO_IPV6, socket.IPV6_PKTINFO, told
            local = plain(socket.inet_ntop(socket.AF_INET6, told[:16]))
        else:
            level, kind, data = socket.IPPROTO_IP, _IP_PKTINFO, bytes(4) + told + bytes(4)
            local = socket.inet_ntop(socket.AF_INET, told)
        control = struct.pack("=QII", 16 + len(data), level, kind) + data
        return ReturnPath(self, name, local, raw_name, ((level, kind, data),), control.ljust(self._told, b"\0"))

    def flush(self) -> None:
        """Send the replies that wait."""
        paths, held = self.paths, self.held
        if not held:
            return
        self.paths, self.held = [], []
        skt = self._socket
        if skt is None:
            return
        if len(held) < 3:  # not worth it
            for path, slot in zip(paths, held, strict=False):
                path.send_now([slot])
            return
        messages = self._messages
        number = self._number
        for start in range(0, len(held), SLOTS):
            part = held[start : start + SLOTS]
            whose = paths[start : start + SLOTS]
            messages.lay_out([path.raw_name for path in whose], [path.control for path in whose], part)
            sent = 0
            while sent < len(part):
                try:
                    sent += messages.send(number, sent, len(part) - sent)
                except OSError:
                    self.dropped += 1
                    sent += 1


class ReturnPath:
    """The way back to one client, from the address of ours that it wrote to."""

    __slots__ = ("_ancillary", "_name", "_port", "_watch", "control", "local", "raw_name")

    def __init__(
        self, port: DatagramPort, name: Any, local: str, raw_name: bytes, ancillary: tuple[Any, ...], control: bytes
    ) -> None:
        self._port = port
        self._watch = port._watch
        self._name = name
        self._ancillary = ancillary
        self.local = local
        """Our address as text."""
        self.raw_name = raw_name
        self.control = control

    @property
    def client(self) -> tuple[str, int]:
        """Address and port of the client."""
        return plain(self._name[0]), self._name[1]

    def send(self, batch: Batch) -> None:
        """Send datagrams to the client; at the end of the round where that is cheaper."""
        port = self._port
        if self._watch.is_busy:
            # More are better sent as a train, at once: nothing else goes to this client in this round.
            if len(batch) < FEW and not (batch[0].segment or any(slot.segment for slot in batch[1:])):
                if not port.held:
                    self._watch.waiting.append(port)
                port.paths += [self] * len(batch)
                port.held += batch
                return
        self.send_now(batch)

    def send_now(self, batch: Batch) -> None:
        """Send datagrams to the client."""
        port = self._port
        while batch:
            cut = port.send_batch(batch, self._ancillary, (0, self._name))
            if cut is None:
                return
            port.dropped += batch[cut[0]].count
            batch = batch[cut[0] + 1 :]


def _local_end(ancillary: list[tuple[int, int, bytes]], otherwise: str) -> tuple[Any, str]:
    """Return the ancillary data that makes a reply leave from where the datagram came, and that address as text."""
    for level, kind, data in ancillary:
        if level == socket.IPPROTO_IP and kind == _IP_PKTINFO:
            _interface, local, _destination = struct.unpack("=I4s4s", data[:12])
            return (level, kind, struct.pack("=I4s4s", 0, local, bytes(4))), socket.inet_ntop(socket.AF_INET, local)
        if level == socket.IPPROTO_IPV6 and kind == socket.IPV6_PKTINFO:
            local, interface = struct.unpack("=16sI", data[:20])
            if not local.startswith(b"\xfe\x80"):  # only a link-local address needs its interface
                interface = 0
            return (level, kind, struct.pack("=16sI", local, interface)), plain(
                socket.inet_ntop(socket.AF_INET6, local)
            )
    return None, otherwise
