"""Tests of exchanges whose servers fail; see ``tests/live/test_http.py`` for those that do not."""

from __future__ import annotations

from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.python.failure import Failure

from tests.listeners.http2.conversation import Client, ConversationTestCase

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class KeptConnectionTests(ConversationTestCase):
    """A kept connection may be closed by the server just when it is used."""

    def kept(self, count: int) -> Client:
        """A client whose requests have left so many connections to the server."""
        self.listen()
        client = self.client()
        streams = [client.ask() for _ in range(count)]
        for number in range(count):
            self.asked(number)
            self.say(client, OK, number)
        self.assertEqual({client.status(stream) for stream in streams}, {b"200"})
        self.assertEqual(len(self.runtime.servers), count)
        return client

    def lose(self, client: Client, why: Exception | None = None) -> int:
        """Have the server close the connection that has the request, in good order unless there is a ``why``; returns which it was."""
        [number] = [at for at, each in enumerate(self.runtime.servers) if each.owner is not None]
        self.asked(number)
        self.runtime.servers[number].connectionLost(Failure(why or ConnectionDone()))
        client.turn()
        return number

    def test_repeated_on_a_new_one(self) -> None:
        """The request goes to the server again, at once, and nobody is blamed."""
        client = self.kept(3)
        stream = client.ask()
        self.assertEqual(self.lose(client), 2)
        self.assertEqual(len(self.runtime.servers), 4)
        self.say(client, OK)
        self.assertEqual(client.status(stream), b"200")
        self.assertEqual((self.records[-1].attempts, self.runtime.servers[0].server.failures), (1, 0))

    def test_once(self) -> None:
        """A server that resets whatever it is asked has the request twice, not once on each connection that was kept."""
        client = self.kept(3)
        stream = client.ask()
        self.lose(client)
        self.assertEqual(self.lose(client), 3)
        self.assertEqual(client.status(stream), b"502")
        self.assertEqual([self.asked(number) for number in (0, 1)], [b"", b""])
        self.assertEqual((self.records[-1].attempts, self.runtime.servers[0].server.failures), (1, 1))

    def test_resets_have_a_budget(self) -> None:
        """Where it was reset the request may have been read: repeating it takes from the budget of retries, which always has ten."""
        client = self.kept(12)
        for number in range(12):
            stream = client.ask()
            self.lose(client, ConnectionLost())
            if number < 10:
                self.say(client, OK)
                self.assertEqual(client.status(stream), b"200")
                self.server_pipe().disconnecting = True
                self.runtime.servers[-1].connectionLost()  # this one does not wait for another
            else:
                self.assertEqual(client.status(stream), b"502")

    def test_not_a_post(self) -> None:
        """A request that may have had its effect is not repeated."""
        client = self.kept(2)
        stream = client.ask(b"/", b"POST")
        self.lose(client)
        self.assertEqual((client.status(stream), len(self.runtime.servers)), (b"502", 2))


class AnotherTests(ConversationTestCase):
    def pools(self) -> str:
        """Return what the configuration says of pools."""
        return "pools: {web: {servers: ['127.0.0.1:2', '127.0.0.1:3', '127.0.0.1:4'], algorithm: round_robin}}\n"

    def test_not_to_one_that_has_just_failed(self) -> None:
        """The second attempt goes to a server of which nothing bad is known, though the algorithm would have another."""
        self.listen()
        client = self.client()
        first = client.ask()
        suspect = self.runtime.servers[0].server
        self.runtime.servers[0].connectionLost()
        client.turn()
        second = self.runtime.servers[1].server
        self.say(client, OK, 1)
        self.assertEqual((client.status(first), suspect.failures_in_row), (b"200", 1))
        stream = client.ask()
        third = self.runtime.servers[2].server
        self.runtime.servers[2].connectionLost()  # by turns the first would be next
        client.turn()
        self.assertEqual([each.server for each in self.runtime.servers if each.owner is not None], [second])
        self.say(client, OK, 1)
        self.assertEqual(client.status(stream), b"200")
        self.assertEqual(len({suspect, second, third}), 3)
