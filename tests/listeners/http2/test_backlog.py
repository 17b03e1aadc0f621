"""What a client does not take of all its answers together is bounded, and does not keep it from what it does take."""

from __future__ import annotations

from balancer.listeners.http2.backlog import CLOGGED
from tests.listeners.http2.conversation import Client, ConversationTestCase

_PIECE = b"x" * 64_000
_HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n"
_OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nDate: x\r\n\r\nok"
_STREAMS = 40


class BacklogTests(ConversationTestCase):
    def clogged(self) -> tuple[Client, list[int]]:
        """Return a client whose windows are shut, and its streams: servers have said as much as they were let."""
        self.listen()
        client = self.client(INITIAL_WINDOW_SIZE=0)
        streams = [client.begin(b"/%d" % number) for number in range(_STREAMS)]
        client.turn()
        for number in range(_STREAMS):
            if self.producing(number):
                self.say(client, _HEAD + _PIECE, number)
        return client, streams

    def producing(self, number: int) -> bool:
        return self.server_pipe(number).producerState == "producing"

    def backlog(self, client: Client) -> int:
        size: int = client.protocol.session.backlog
        return size

    def test_bounded(self) -> None:
        """Beyond three quarters of a mebibyte no server is read, whether its answer has begun or not; one of them may say more."""
        client, _ = self.clogged()
        self.assertLess(self.backlog(client), CLOGGED + 3 * len(_PIECE))
        self.assertEqual(sum(self.producing(number) for number in range(_STREAMS)), 0)
        self.assertEqual(repr(client.protocol.backlog), "<Backlog clogged>")
        client.ask()
        client.ask()
        self.assertEqual([self.producing(number) for number in (_STREAMS, _STREAMS + 1)], [True, False])

    def test_servers_are_not_blamed(self) -> None:
        """A server that is not read is not said to be silent."""
        client, streams = self.clogged()
        request = client.protocol.requests[streams[-1]]
        request.consumer.server_timed_out()
        client.turn()
        self.assertEqual((request.finished, self.records), (False, []))

    def test_goes_on(self) -> None:
        """When the client takes what there is, all servers are read again, and every answer is whole."""
        client, streams = self.clogged()
        client.h2.update_settings({4: 2_000_000})
        client.h2.increment_flow_control_window(2**31 - 1 - 65535)
        client.turn()
        self.assertEqual(sum(self.producing(number) for number in range(_STREAMS)), _STREAMS)
        self.assertEqual(repr(client.protocol.backlog), "<Backlog free>")
        begun = [number for number, stream in enumerate(streams) if client.body(stream)]
        for number, stream in enumerate(streams):
            if number in begun:
                self.say(client, b"x" * (1_000_000 - len(_PIECE)), number)
                self.assertEqual((len(client.body(stream)), client.ended(stream)), (1_000_000, True))
            else:
                self.say(client, _OK, number)
                self.assertEqual(client.body(stream), b"ok")

    def test_one_at_a_time(self) -> None:
        """Meanwhile, what the client does take comes, one answer after another."""
        client, streams = self.clogged()
        self.clock.advance(0)
        served = []
        while going := [
            number
            for number in range(_STREAMS)
            if self.producing(number) and streams[number] in client.protocol.requests
        ]:
            self.assertEqual(len(going), 1)
            stream = streams[going[0]]
            client.h2.increment_flow_control_window(100, stream)
            self.say(client, _OK, going[0])
            self.assertEqual(client.body(stream), b"ok")
            served.append(going[0])
        self.assertGreater(len(served), 20)
        self.assertEqual(served, sorted(served))

    def test_full(self) -> None:
        """While the transport takes nothing, answers that have not begun are not read either; afterwards all are."""
        self.listen()
        client = self.client(room=100_000)
        streams = [client.begin(b"/%d" % number) for number in range(3)]
        client.turn()
        client.h2.increment_flow_control_window(1_000_000)
        client.turn()
        for number in range(2):
            self.runtime.servers[number].dataReceived(_HEAD + b"x" * 60_000)
        self.assertEqual([self.producing(number) for number in range(3)], [False, False, False])
        client.turn()
        self.assertEqual([self.producing(number) for number in range(3)], [True, True, True])
        self.say(client, _OK, 2)
        self.assertEqual(client.body(streams[2]), b"ok")
