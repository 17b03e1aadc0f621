"""Tests of message framing."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from balancer.wire.grpc.messages import COMPRESSED, MessageError, MessageReader, frame


class MessageReaderTests(SynchronousTestCase):
    def test_every_split(self) -> None:
        """Messages come out the same at any split, byte by byte too."""
        messages = [(0, b"hello"), (COMPRESSED, b"packed"), (0, b""), (0, b"x" * 300)]
        stream = b"".join(frame(payload, flags) for flags, payload in messages)
        self.assertEqual(stream[:10], b"\0\0\0\0\5hello")
        for at in range(len(stream) + 1):
            reader = MessageReader()
            self.assertEqual(reader.feed(stream[:at]) + reader.feed(stream[at:]), messages)
            reader.end()
        reader = MessageReader()
        self.assertEqual([each for byte in stream for each in reader.feed(bytes((byte,)))], messages)
        self.assertEqual((reader.count, reader.pending), (4, 0))

    def test_too_long(self) -> None:
        """A length past the limit is refused when it is read, before anything is kept for it."""
        reader = MessageReader(most=10)
        self.assertEqual(reader.feed(frame(b"x" * 10)), [(0, b"x" * 10)])
        self.assertRaises(MessageError, reader.feed, b"\0\0\0\0\x0b")

    def test_flags(self) -> None:
        """Flags that mean nothing are refused."""
        for flags in (2, 0x80, 0x81, 0xFF):
            self.assertRaises(MessageError, MessageReader().feed, frame(b"", flags))

    def test_torn(self) -> None:
        """The end within a message is an error."""
        reader = MessageReader()
        reader.feed(frame(b"hello")[:-1])
        self.assertRaises(MessageError, reader.end)

    @given(st.lists(st.binary(max_size=40), max_size=8), st.lists(st.integers(1, 30), min_size=1, max_size=20))
    def test_any(self, payloads: list[bytes], sizes: list[int]) -> None:
        """Any messages in any pieces come back."""
        stream = b"".join(map(frame, payloads))
        reader, found, at = MessageReader(), [], 0
        while at < len(stream):
            size = sizes[at % len(sizes)]
            found += reader.feed(stream[at : at + size])
            at += size
        self.assertEqual([payload for _, payload in found], payloads)
