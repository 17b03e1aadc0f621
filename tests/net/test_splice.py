"""Pumps and their pipes: what goes through, what waits, and that nothing is left behind."""

from __future__ import annotations

import errno
import os
import resource
import socket
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import inlineCallbacks
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.task import deferLater
from twisted.trial.unittest import SynchronousTestCase, TestCase

from balancer.net import splice
from balancer.net.listening import describe, listen
from balancer.net.splice import PATIENCE, PIPE_SIZE, SMALLEST, Pipe, Pipes, Pump, can_splice
from tests.listeners.layer4 import until
from tests.net.peers import Recorder, Recorders, reset

_NO_SPLICE = None if can_splice() else "this platform has no splice"


def descriptors() -> int:
    """Return how many descriptors this process has."""
    return len(os.listdir("/proc/self/fd"))


class PipesTests(SynchronousTestCase):
    """Lending pipes."""

    skip = _NO_SPLICE

    def test_lent_again(self) -> None:
        """A pipe that was given back is lent again; only so many are kept, and all of them can be closed."""
        before = descriptors()
        pipes = Pipes(limit=3, spare=1)
        taken = [pipes.take(), pipes.take(), pipes.take()]
        self.assertIsNone(pipes.take())
        self.assertEqual((descriptors() - before, repr(pipes)), (6, "<Pipes 3 of 3 open, 0 spare>"))
        for pipe in taken:
            assert pipe is not None
            pipes.give(pipe)
        self.assertEqual((descriptors() - before, repr(pipes)), (2, "<Pipes 1 of 3 open, 1 spare>"))
        self.assertIs(pipes.take(), taken[0])
        pipes.drop(taken[0])  # type: ignore[arg-type]
        pipes.close()
        self.assertEqual((descriptors() - before, pipes.open), (0, 0))

    def test_size(self) -> None:
        """A pipe is as large as asked for, or what the kernel allows; a small one is not lent."""
        pipe = Pipe(PIPE_SIZE)
        self.addCleanup(pipe.close)
        self.assertGreaterEqual(pipe.hold, SMALLEST)
        pipes = Pipes(size=4096)
        before = descriptors()
        self.assertIsNone(pipes.take())
        self.assertEqual((descriptors() - before, pipes.open, pipes.failures), (0, 0, 1))

    def test_no_descriptors(self) -> None:
        """Without descriptors there is no pipe, and it is not tried again at once."""
        pipes = Pipes()
        self.addCleanup(pipes.close)
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        self.addCleanup(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
        self.assertIsNone(pipes.take())
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        for _ in range(PATIENCE):
            self.assertIsNone(pipes.take())
        self.assertEqual(pipes.failures, 1)
        pipe = pipes.take()
        assert pipe is not None
        pipes.give(pipe)


class _Passing(Recorder):
    """Writes what it receives to another's transport, as a session's side does."""

    to: Any = None

    def dataReceived(self, data: bytes) -> None:
        super().dataReceived(data)
        if self.to is not None:
            self.to.transport.write(data)


class _Passers(Recorders):
    def buildProtocol(self, addr: Any) -> Recorder:
        made = _Passing()
        made.made.addCallback(self._made)
        return made


class PumpTests(TestCase):
    """A plain socket that talks, the pump's two streams, and a plain socket that listens."""

    skip = _NO_SPLICE
    timeout = 20

    @inlineCallbacks
    def setUp(self) -> Any:
        self.pipes = Pipes()
        self.addCleanup(self.pipes.close)
        accepted = _Passers()
        port = listen(reactor, "127.0.0.1:0", accepted)
        self.addCleanup(port.stopListening)
        host, number = describe(port).rsplit(":", 1)
        self.talker, self.listener = (socket.create_connection((host, int(number))) for _ in range(2))
        one = yield accepted.next()
        two = yield accepted.next()
        if one.transport.getPeer().port != self.talker.getsockname()[1]:
            one, two = two, one
        self.source, self.sink = one, two
        one.to = two
        for skt in (self.talker, self.listener):
            skt.setblocking(False)
            self.addCleanup(skt.close)
        self.received: list[int] = []
        self.sent = 0
        self.pump = Pump(one.transport, two.transport, self.pipes, self.received.append, self.note)
        self.pump.start()
        self.addCleanup(self.finish)

    def note(self) -> None:
        self.sent += 1

    @inlineCallbacks
    def finish(self) -> Any:
        for end in (self.source, self.sink):
            if not end.closed.called:
                end.transport.abortConnection()
                yield end.closed
        self.pump.end()
        self.assertEqual(self.pipes.open, len(self.pipes._spare))

    @inlineCallbacks
    def fill(self) -> Any:
        """Talk until nobody takes more; return what was said."""
        said = bytearray()
        block = os.urandom(65521)
        quiet = 0
        while quiet < 20:
            try:
                said += block[: self.talker.send(block)]
                quiet = 0
            except BlockingIOError:
                quiet += 1
                yield deferLater(reactor, 0.002)
        self.assertGreater(self.pump.held, 0)
        return bytes(said)

    @inlineCallbacks
    def heard(self, length: int) -> Any:
        """Return the next ``length`` bytes that arrive, or those before the end."""
        got = bytearray()
        while len(got) < length:
            try:
                data = self.listener.recv(65536)
            except BlockingIOError:
                yield deferLater(reactor, 0.001)
            else:
                if not data:
                    break
                got += data
        return bytes(got)

    @inlineCallbacks
    def test_moves(self) -> Any:
        """Bytes arrive without passing the protocol, and are counted; the pipe is given back."""
        for said in (b"a", b"b" * 1000, b"c" * 200_000):
            self.talker.send(said)
            got = yield self.heard(len(said))
            self.assertEqual(got, said)
        self.assertEqual((self.source.data, sum(self.received), self.pump.held), (b"", 201_001, 0))
        self.assertEqual((self.pipes.open, len(self.pipes._spare)), (1, 1))

    @inlineCallbacks
    def test_back_pressure(self) -> Any:
        """While the sink is full the source is not read; then it all arrives, in order."""
        said = yield self.fill()
        self.assertFalse(self.source.transport.is_reading)
        self.assertEqual(self.sink.transport.queued, self.pump.held)
        self.assertLessEqual(self.pump.held, PIPE_SIZE)
        got = yield self.heard(len(said))
        self.assertEqual(got, said)
        yield until(lambda: self.source.transport.is_reading)
        self.assertEqual((sum(self.received), self.source.data), (len(said), b""))
        self.assertGreater(self.sent, 0)

    @inlineCallbacks
    def test_end_comes_after_what_is_held(self) -> Any:
        """A FIN behind a full pipe is told when all before it has gone."""
        said = yield self.fill()
        self.talker.shutdown(socket.SHUT_WR)
        yield deferLater(reactor, 0.02)
        self.assertFalse(self.source.finished.called)
        got = yield self.heard(len(said))
        yield self.source.finished
        self.assertEqual(got, said)

    @inlineCallbacks
    def test_half_close_and_close_wait(self) -> Any:
        """A sink that is half-closed, or closed, first takes what is held."""
        said = yield self.fill()
        held = sum(self.received)
        self.sink.transport.loseWriteConnection()
        self.sink.transport.loseConnection()
        got = yield self.heard(len(said) + 1)
        self.assertEqual(got, said[:held])
        reason = yield self.sink.closed
        self.assertIsInstance(reason, ConnectionDone)

    @inlineCallbacks
    def test_half_close_waits(self) -> Any:
        """A half-closed sink sends its FIN behind what is held, and still reads."""
        yield self.fill()
        held = sum(self.received)
        self.sink.transport.loseWriteConnection()
        got = yield self.heard(held + 1)
        self.assertEqual(len(got), held)
        self.listener.send(b"still there")
        yield self.sink.until(11)

    @inlineCallbacks
    def test_source_gone(self) -> Any:
        """What is held goes out though the source is closed meanwhile."""
        yield self.fill()
        held = sum(self.received)
        self.source.transport.loseConnection()
        yield self.source.closed
        got = yield self.heard(held)
        self.assertEqual(len(got), held)
        yield until(lambda: not self.pump.held)

    @inlineCallbacks
    def test_abort(self) -> Any:
        """An aborted sink is reset at once; what is held is thrown away with its pipe."""
        before = self.pipes.open
        yield self.fill()
        self.sink.transport.abortConnection()
        yield self.sink.closed
        self.pump.end()
        self.assertEqual((before, self.pipes.open, self.pump.held), (0, 0, 0))
        with self.assertRaises(ConnectionResetError):
            yield self.heard(1 << 30)

    @inlineCallbacks
    def test_resets(self) -> Any:
        """A reset of the source, or of a sink that is full, is no orderly end."""
        self.talker.send(b"x")
        yield self.heard(1)
        reset(self.talker)
        reason = yield self.source.closed
        self.assertIsInstance(reason, ConnectionLost)

    @inlineCallbacks
    def test_reset_of_a_full_sink(self) -> Any:
        """The sink's end is told while its pipe is full."""
        yield self.fill()
        reset(self.listener)
        reason = yield self.sink.closed
        self.assertIsInstance(reason, ConnectionLost)

    @inlineCallbacks
    def test_reset_of_an_idle_sink(self) -> Any:
        """What cannot be delivered any more ends the sink."""
        self.sink.transport.pauseProducing()
        reset(self.listener)
        self.talker.send(b"x")
        reason = yield self.sink.closed
        self.assertIsInstance(reason, ConnectionLost)

    @inlineCallbacks
    def test_copies_without_a_pipe(self) -> Any:
        """While there is no pipe the protocol gets the bytes; order is kept when there is one again."""
        self.pipes.limit = 0
        self.talker.send(b"copied ")
        yield self.heard(7)
        self.pipes.limit = 1
        self.talker.send(b"spliced")
        got = yield self.heard(7)
        self.assertEqual((got, self.source.data, self.received), (b"spliced", b"copied ", [7]))

    @inlineCallbacks
    def test_copies_behind_a_queue(self) -> Any:
        """What the sink has queued itself goes first."""
        first = b"q" * 8_000_000
        self.sink.transport.write(first)
        self.assertGreater(self.sink.transport.queued, 0)
        self.talker.send(b"after")
        yield self.source.until(5)
        got = yield self.heard(len(first) + 5)
        self.assertEqual((got[:-5] == first, got[-5:]), (True, b"after"))

    @inlineCallbacks
    def test_refused(self) -> Any:
        """Where the kernel refuses, to fill or to empty a pipe, bytes are copied from then on, none of them lost."""
        for refusals in (1, 2):
            calls: list[int] = []

            def refuse(*where: Any, calls: list[int] = calls, refusals: int = refusals, **flags: Any) -> int:
                calls.append(1)
                if len(calls) == refusals:
                    raise OSError(errno.EINVAL, "refused")
                return os.splice(*where, **flags)

            self.pump.start()
            self.patch(splice, "_SPLICE", refuse)
            before = len(self.source.data)
            for said in (b"one" * 10_000, b"two"):
                self.talker.send(said)
                got = yield self.heard(len(said))
                self.assertEqual(got, said)
            self.assertEqual((len(calls), len(self.source.data) - before), (refusals, 30_003))
        self.assertEqual(self.received, [])
