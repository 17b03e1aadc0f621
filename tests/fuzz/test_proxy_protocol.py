"""PROXY headers that were damaged, made up, or cut at random: each is read or refused, the same way however it is cut, and nothing else is ever raised.

``BALANCER_FUZZ`` is how many examples each case tries.
"""

from __future__ import annotations

import os

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from balancer.wire.proxy_protocol import Header, HeaderError, Reader, v1, v2
from balancer.wire.proxy_protocol.errors import REASONS
from tests.wire.proxy_protocol.headers import BAD, FOUR, GOOD, PATHS, SIX, binary

_EXAMPLES = int(os.environ.get("BALANCER_FUZZ", "150"))
_many = settings(max_examples=_EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
_SEEDS = [data for data, *_ in (*GOOD.values(), *BAD.values()) if len(data) < 1000]


def outcome(pieces: list[bytes]) -> tuple[str, bytes]:
    """Return what becomes of the pieces, and what is left of them behind a header."""
    reader = Reader()
    for at, piece in enumerate(pieces):
        try:
            header = reader.feed(piece)
        except HeaderError as error:
            if error.reason not in REASONS or not str(error).isprintable():
                raise AssertionError(repr(error)) from error
            return f"{error.reason}: {error}", b""
        if header is not None:
            # Whatever else the header has can be asked for.
            looked = (header.alpn, header.authority, header.unique_id, header.namespace, header.tls, str(header))
            if header.tls is not None:
                looked += (header.tls.version, header.tls.cipher, header.tls.common_name)
            for peer in (header.source, header.destination):
                assert peer is None or peer.ip is not None
            return f"{header!r} {looked}", reader.rest + b"".join(pieces[at + 1 :])
    return "more", reader.rest


def cut(data: bytes, places: list[int]) -> list[bytes]:
    ends = sorted(place % (len(data) + 1) for place in places)
    return [data[a:b] for a, b in zip([0, *ends], [*ends, len(data)], strict=True)]


class FuzzTests(SynchronousTestCase):
    def judge(self, data: bytes, places: list[int]) -> str:
        whole = outcome([data])
        self.assertEqual(outcome(cut(data, places)), whole)
        self.assertEqual(outcome([data[at : at + 1] for at in range(len(data))]), whole)
        return whole[0]

    @_many
    @given(st.sampled_from(_SEEDS), st.data())
    def test_damaged(self, seed: bytes, data: st.DataObject) -> None:
        """Bytes changed, lost, doubled; and cut."""
        damaged = bytearray(seed)
        for _ in range(data.draw(st.integers(1, 4))):
            at = data.draw(st.integers(0, len(damaged)))
            way = data.draw(st.integers(0, 3))
            if way == 0 and at < len(damaged):
                damaged[at] = data.draw(st.integers(0, 255))
            elif way == 1:
                del damaged[at : at + data.draw(st.integers(1, 5))]
            elif way == 2:
                damaged[at:at] = damaged[at : at + 20]
            else:
                damaged[at:at] = data.draw(st.binary(max_size=5))
        self.judge(bytes(damaged), data.draw(st.lists(st.integers(0, 1000), max_size=5)))

    @_many
    @given(st.binary(max_size=300), st.sampled_from((b"", v1.BEGINNING, b"PROXY TCP4 ", v2.SIGNATURE)), st.data())
    def test_made_up(self, made_up: bytes, beginning: bytes, data: st.DataObject) -> None:
        self.judge(beginning + made_up, data.draw(st.lists(st.integers(0, 400), max_size=5)))

    @_many
    @given(
        st.integers(0, 255),
        st.integers(0, 255),
        st.integers(0, 400),
        st.sampled_from((b"", FOUR, SIX, PATHS)),
        st.data(),
    )
    def test_binary(self, command: int, family: int, length: int, addresses: bytes, data: st.DataObject) -> None:
        """Any command, family and length before any bytes."""
        body = addresses + data.draw(st.binary(max_size=60))
        told = data.draw(st.sampled_from((length, len(body), len(addresses))))
        self.judge(binary(command, family, body, told), data.draw(st.lists(st.integers(0, 400), max_size=5)))

    @_many
    @given(st.text("0123456789.:abcdefTCPUNKOW46 \r\n", max_size=110))
    def test_lines(self, text: str) -> None:
        """Lines of what lines are made of: what is taken is what would be written for it."""
        line = b"PROXY " + text.encode() + b"\r\n"
        said = self.judge(line, [7, 20])
        if said.startswith("Header") and "source=<" in said:
            header = Reader().feed(line)
            assert isinstance(header, Header)
            assert header.source is not None
            assert header.destination is not None
            again = Reader().feed(v1.encode(header.source, header.destination))
            self.assertEqual(again, header)
