"""One UDP flow: the datagrams between one client and the server chosen for it.

A flow lives while datagrams pass in either direction, and ``session_timeout`` longer. With ``responses: N`` it ends
sooner: when each datagram of the client has had its N replies, so that the next one is balanced anew, as suits DNS.

An unreachable server is known by the ICMP message that the kernel reports on the flow's connected socket. It counts
against the server; if no reply has come yet, the last datagram goes to the next server, within the pool's retry budget.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from balancer import errors
from balancer.errors import ExchangeError
from balancer.model.address import Address
from balancer.model.facts import SessionFacts
from balancer.net.datagram_socket import Cut, DatagramSocket
from balancer.net.slots import slots_of
from balancer.net.timers import Wheel
from balancer.net.trains import Batch
from balancer.observe.records import SessionRecord

if TYPE_CHECKING:
    from balancer.pools.pool import Pool
    from balancer.pools.server import Server

__all__ = ["Flow"]

Open = Callable[[Address, Callable[[Batch], Any], Callable[[ExchangeError], Any]], DatagramSocket]


class Flow:
    """Carries datagrams of one client to one server and back.

    Args:
        clock: tells the time (seconds()).
        wheel: the shared timer.
        connect: ``connect(address, received, refused)`` returns a connected :class:`~balancer.net.datagram_socket.DatagramSocket`.
        pool: chooses the server.
        facts: which client came to which of our addresses.
        record: filled in as things happen; ``listener`` and ``route`` are set by the caller.
        timeout: seconds without a datagram after which the flow ends.
        responses: replies to each datagram, after which it ends at once; None if that is not known.
        reply: sends datagrams back to the client.
        ended: called once with the flow when it is over and the record complete.
        keep: is given the socket where every datagram has had its replies; without it the socket is closed.
    """

    __slots__ = (
        "_address",
        "_began",
        "_clock",
        "_connect",
        "_ended",
        "_facts",
        "_keep",
        "_pool",
        "_reply",
        "_responses",
        "_sent",
        "_server",
        "_socket",
        "_timer",
        "_touch",
        "_tried",
        "_unanswered",
        "live",
        "record",
    )

    def __init__(
        self,
        clock: Any,
        wheel: Wheel,
        connect: Open,
        pool: Pool,
        facts: SessionFacts,
        record: SessionRecord,
        timeout: float,
        responses: int | None,
        reply: Callable[[Batch], Any],
        ended: Callable[[Flow], Any],
        keep: Callable[[DatagramSocket], Any] | None = None,
    ) -> None:
        self._clock = clock
        self._connect = connect
        self._pool = pool
        self._facts = facts
        self._responses = responses
        self._reply = reply
        self._ended = ended
        self._keep = keep
        self._socket: DatagramSocket | None = None
        self._server: Server | None = None
        self._address = Address("", 0)
        self._tried: list[Server] = []
        self._unanswered = b""  # the last datagram, until the first reply
        self._began = self._sent = clock.seconds()
        self._timer = wheel.schedule(timeout, self._timed_out)
        self._touch = self._timer.touch
        self.live = True
        self.record = record
        record.started = time.time()
        record.client = facts.peer.host
        record.client_port = facts.peer.port
        record.pool = pool.name
        pool.retry.note_request()

    def forward(self, batch: Batch) -> int:
        """Send datagrams of the client to the server; the first ones choose it.

        Returns how many of the batch belong to this flow; the rest, if any, came after its end. Where ``responses`` is
        0 a batch is one datagram.
        """
        record = self.record
        slot = batch[0]
        is_one = len(batch) == 1 and not slot.segment
        if is_one:
            record.datagrams_in += 1
            record.bytes_in += slot.length
        else:
            for slot in batch:
                record.datagrams_in += slot.count if slot.segment else 1
                record.bytes_in += slot.length
        self._touch()
        socket = self._socket
        if socket is None:
            self._choose(None, batch)
        else:
            cut = None
            if is_one:
                try:
                    socket.send_one(slot.view[: slot.length])
                except OSError as error:
                    cut = socket.explain(error)
            else:
                cut = socket.send(batch)
            if cut is not None:
                return self._cut_short(batch, cut)
        if not record.datagrams_out:
            self._unanswered = batch[-1].last()
            if self._responses == 0:
                self.end()
        return len(batch)

    def _cut_short(self, batch: Batch, cut: Cut) -> int:
        """The server turned out unreachable before all of ``batch`` was sent."""
        sent, error = cut
        if not self.record.datagrams_out:  # nobody answered yet: another server may have it all
            if self._try_another(error):
                self._choose(error, batch)
                self._unanswered = batch[-1].last()
            return len(batch)
        for slot in batch[sent:]:
            self.record.datagrams_in -= slot.count
            self.record.bytes_in -= slot.length
        self._refused(error)
        return sent

    def end(self, reason: str = "", detail: str = "", ok: bool = True, failed_connect: bool = False) -> None:
        """End the flow; harmless if it has ended."""
        if not self.live:
            return
        self.live = False
        self._timer.end()
        record = self.record
        record.reason = reason
        record.detail = detail
        record.total = self._clock.seconds() - self._began
        self._release(ok, failed_connect)
        self._ended(self)

    def _choose(self, failed: ExchangeError | None, batch: Batch) -> None:
        """Take the first server that can be had, and send it ``batch``."""
        pool = self._pool
        while self.live:
            sticky = pool.sticky
            server = pool.choose(self._facts, self._tried, None if sticky is None else sticky.server_for(self._facts))
            if server is None:
                if failed is None:
                    refusal = pool.refusal(self._facts)
                    self.end(refusal.reason.code, refusal.detail)
                else:
                    self.end(failed.reason.code, failed.detail)
                return
            pool.begin(server)
            self._server = server
            self.record.attempts += 1
            self.record.server = server.name
            self._sent = self._clock.seconds()
            try:
                self._address = server.next_endpoint()
                self._socket = socket = self._connect(self._address, self._received, self._refused)
                slot = batch[0]
                if len(batch) == 1 and not slot.segment:
                    try:
                        socket.send_one(slot.view[: slot.length])
                        return
                    except OSError as error:
                        cut = socket.explain(error)
                else:
                    cut = socket.send(batch)
                if cut is None:
                    return
                failed = cut[1]
            except ExchangeError as error:
                failed = error
            if not self._try_another(failed):
                return

    def _refused(self, error: ExchangeError) -> None:
        """The server is unreachable."""
        if not self.live:
            return
        if self.record.datagrams_out:
            self.end(error.reason.code, error.detail, ok=False, failed_connect=True)
        elif self._try_another(error):
            self._choose(error, slots_of(self._unanswered))

    def _try_another(self, error: ExchangeError) -> bool:
        """Let the server go and return True if another may be tried; end the flow otherwise."""
        assert self._server is not None
        theirs = error.reason.side is errors.Side.SERVER
        if error.reason.retryable and self._pool.retry.allow(None, error.reason, self.record.attempts):
            self._tried.append(self._server)
            self._release(ok=not theirs, failed_connect=theirs)
            return True
        self.end(error.reason.code, error.detail, ok=not theirs, failed_connect=theirs)
        return False

    def _received(self, batch: Batch) -> None:
        """Replies have come from the server."""
        record = self.record
        if not record.datagrams_out:
            record.connect = self._clock.seconds() - self._sent
            self._unanswered = b""
        slot = batch[0]
        if len(batch) == 1 and not slot.segment:
            record.datagrams_out += 1
            record.bytes_out += slot.length
        else:
            for slot in batch:
                record.datagrams_out += slot.count if slot.segment else 1
                record.bytes_out += slot.length
        self._touch()
        self._reply(batch)
        responses = self._responses
        if responses is not None and record.datagrams_out >= responses * record.datagrams_in:
            socket = self._socket
            if (
                self._keep is not None
                and socket is not None
                and record.datagrams_out == responses * record.datagrams_in
            ):
                self._socket = None
                self._keep(socket)
            self.end()

    def _timed_out(self) -> None:
        if self._responses and not self.record.datagrams_out:
            # Each datagram should have had a reply, and there was none at all.
            reason = errors.CONNECTION_READ_TIMEOUT
            self.end(reason.code, f"{self.record.server} did not reply", ok=False)
        else:
            self.end()

    def _release(self, ok: bool, failed_connect: bool) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None
        server, self._server = self._server, None
        if server is not None:
            seconds = self.record.connect  # -1.0 if it never replied
            if failed_connect:
                server.endpoint_failed(self._address)
            # The server outlives a reload: what is learnt goes to the pool it now belongs to.
            (server.owner or self._pool).end(server, seconds, ok=ok, failed_connect=failed_connect)
