"""Bodies that count against a window until they are taken."""

from __future__ import annotations

from tests.listeners.http2.conversation import ConversationTestCase


class StreamBodyTests(ConversationTestCase):
    def test_taken(self) -> None:
        """A body that a server takes gives the client room for as much."""
        self.listen()
        client = self.client()
        stream = client.ask(b"/", b"POST", ended=False)
        for _ in range(20):
            client.h2.send_data(stream, bytes(16_000))
            client.turn()
        self.assertGreater(client.h2.local_flow_control_window(stream), 16_000)
        self.assertGreater(len(self.asked()), 320_000)
