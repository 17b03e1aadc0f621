"""Being called at the end of a batch, on whichever reactor."""

from __future__ import annotations

from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from balancer.net.gathering import flush_gathered, gathering
from balancer.net.reactor.batch import Batch
from balancer.net.stream import Outbox


class _Writer:
    """Has something to write."""

    def __init__(self) -> None:
        self.written = 0

    def flush(self) -> None:
        self.written += 1


class _Reactor:
    """A reactor's part in this."""


class GatheringTests(SynchronousTestCase):
    def test_libuv(self) -> None:
        """While a batch is served it is called at its end; else it has to write itself."""
        reactor: Any = _Reactor()
        reactor.batch = Batch(Clock())
        gather, writer = gathering(reactor), _Writer()
        self.assertFalse(gather(writer))
        seen: list[int] = []

        class Serves:
            _is_deaf = False

            @property
            def protocol(self) -> Serves:
                return self

            def dataReceived(self, _: bytes) -> None:
                seen.append(gather(writer))
                seen.append(writer.written)

        reactor.batch.inbox.append((Serves(), b"data"))
        reactor.batch.serve()
        self.assertEqual((seen, writer.written), ([True, 0], 1))
        self.assertFalse(gather(writer))

    def test_a_batch_of_another_process(self) -> None:
        """The batch is that of the moment: a worker has a new one."""
        reactor: Any = _Reactor()
        reactor.batch = Batch(Clock())
        gather = gathering(reactor)
        reactor.batch = Batch(Clock())
        reactor.batch.is_serving = True
        self.assertTrue(gather(_Writer()))

    def test_epoll(self) -> None:
        """The same with the outbox of the other reactor."""
        reactor: Any = _Reactor()
        reactor.outbox = Outbox()
        gather, writer = gathering(reactor), _Writer()
        self.assertFalse(gather(writer))
        reactor.outbox.is_open = True
        self.assertTrue(gather(writer))
        self.assertEqual(reactor.outbox.gathered, [writer])

    def test_flushing(self) -> None:
        """Who fails keeps nobody from writing; who comes meanwhile has his turn."""
        last = _Writer()
        gathered: list[Any] = []

        class Fails:
            def flush(self) -> None:
                gathered.append(last)
                raise ValueError("no")

        first = _Writer()
        gathered += [Fails(), first]
        flush_gathered(gathered)
        self.assertEqual((first.written, last.written, gathered), (1, 1, []))
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)

    def test_any_other(self) -> None:
        """A reactor without batches calls nobody."""
        self.assertFalse(gathering(Clock())(_Writer()))
