"""TLS that was damaged or made up: either library ends it in order, nobody else notices, and nothing of it stays.

``BALANCER_FUZZ`` is how many examples each case tries.
"""

from __future__ import annotations

import gc
import os
import random
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from balancer.tls.library import Library
from balancer.tls.server_contexts import ServerContexts, ServerSession
from balancer.tls.session import Session
from tests.tls.conversations import Talk, client, libraries, server, talk
from tests.tls.hellos import Hello, cases, damaged

_EXAMPLES = int(os.environ.get("BALANCER_FUZZ", "150"))
_MOST_SAID = 20_000
"""Bytes that a server may have to say to a client that has not proved anything: its certificates, and no more."""


def hello_of(library: Library) -> Hello:
    """Return what a client of ours says first."""
    session = client(library).session("shop.example", alpn=("h2", "http/1.1"))
    session.start()
    said = session.take()
    session.end()
    return Hello(said)


def resident() -> int:
    """Return the resident memory of this process in bytes."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


class FuzzTests(SynchronousTestCase):
    def _hears(self, contexts: ServerContexts, pieces: list[bytes], what: str) -> str:
        """Have a new session hear ``pieces``; return what it came to, in words."""
        session = contexts.session()
        said = 0
        for piece in pieces:
            self.assertEqual(session.receive(piece), b"", what)
            said += len(session.take())
        self.assertLess(said, _MOST_SAID, what)
        self.assertFalse(session.established, what)
        outcome = "waits" if session.fault is None else f"{session.fault.kind}"
        if session.fault is not None:
            self.assertEqual((session.receive(b"\x16\x03\x01" * 100), session.take()), (b"", b""), what)
        session.end()
        return outcome

    def _undisturbed(self, bystander: Talk, what: str) -> None:
        for who in (bystander.client, bystander.server):
            self.assertEqual(bystander.says(who, b"hello"), b"hello", what)

    def test_cases(self) -> None:
        """Each case, whole and at splits, comes to the same; another connection goes on."""
        draw = random.Random(1)
        for library in libraries():
            contexts = server(library, alpn=("h2", "http/1.1"))
            bystander = talk(client(library), server(library))
            for what, data in cases(hello_of(library)):
                whole = self._hears(contexts, [data], what)
                self._undisturbed(bystander, what)
                if what == "as it is":
                    self.assertEqual(whole, "waits")
                ends = [1, 5, 6, len(data) // 2, len(data) - 1, *(draw.randrange(1, len(data)) for _ in range(5))]
                for at in ends:
                    self.assertEqual(self._hears(contexts, [data[:at], data[at:]], what), whole, f"{what} at {at}")
                if len(data) < 2000:
                    pieces = [data[at : at + 1] for at in range(len(data))]
                    self.assertEqual(self._hears(contexts, pieces, what), whole, f"{what} in bytes")
                self._undisturbed(bystander, what)

    def test_every_split(self) -> None:
        """A good hello may come in two pieces, cut anywhere."""
        for library in libraries():
            contexts = server(library)
            data = hello_of(library).records
            for at in range(1, len(data)):
                self.assertEqual(self._hears(contexts, [data[:at], data[at:]], f"at {at}"), "waits")

    def test_damaged(self) -> None:
        """Anything at all."""
        draw = random.Random(2)
        for library in libraries():
            contexts = server(library, alpn=("h2",))
            bystander = talk(client(library), server(library))
            known = [data for _, data in cases(hello_of(library)) if len(data) < 5000]
            for _ in range(_EXAMPLES * 4):
                data = damaged(draw.choice(known), draw)
                if data:
                    cut = draw.randrange(1, len(data) + 1)
                    self._hears(contexts, [each for each in (data[:cut], data[cut:]) if each], repr(data[:200]))
            self._undisturbed(bystander, "damaged")

    def test_after_the_handshake(self) -> None:
        """Records of a connection that stands: what is damaged ends it, and none of it is heard."""
        draw = random.Random(3)
        for library in libraries():
            bystander = talk(client(library), server(library))
            for _ in range(_EXAMPLES):
                spoken = talk(client(library), server(library))
                data = damaged(spoken.client.send(b"a" * draw.randrange(1, 3000)), draw)
                heard = spoken.server.receive(data) if data else b""
                self.assertEqual(heard.strip(b"a"), b"")
                self._undisturbed(bystander, "after")
                spoken.client.end()
                spoken.server.end()

    def test_nothing_stays(self) -> None:
        """Objects and memory are as they were, however many come and go."""
        for library in libraries():
            contexts = server(library, alpn=("h2",))
            known = [data for _, data in cases(hello_of(library)) if len(data) < 3000]

            def come_and_go(contexts: ServerContexts = contexts, known: list[bytes] = known) -> None:
                for data in known:
                    session = contexts.session()
                    session.receive(data)
                    session.take()
                    session.end()

            def alive() -> int:
                gc.collect()
                return sum(isinstance(each, (ServerSession, Session)) for each in gc.get_objects())

            for _ in range(3):
                come_and_go()
            before, memory = alive(), resident()
            for _ in range(20):
                come_and_go()
            self.assertEqual(alive(), before)
            self.assertLess(resident() - memory, 4 * 1024 * 1024, library.name)
