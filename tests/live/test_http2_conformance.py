"""The cases of h2spec, told to listeners: with and without TLS, answered on the spot and by servers, on both libraries."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Iterable

from tests.live.balancers import BalancerTestCase, Peer
from tests.live.conformance.definitions import DEFINITIONS
from tests.live.conformance.generic import GENERIC
from tests.live.conformance.hpack import HPACK
from tests.live.conformance.messages import MESSAGES
from tests.live.conformance.rfc9113 import ANSWERED, UNANSWERED
from tests.live.conformance.streams import STREAMS
from tests.live.conformance.talk import Case
from tests.live.processes import free_port
from tests.tls.authority import Authority

_AUTHORITY = Authority("Conformance CA")
_ISSUED = _AUTHORITY.issue("a.example")
_OK = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n0123456789"
_AT_A_TIME = 4
_ANSWERING = ("spot", "served", "tls-spot", "tls-served")
_ROUTES = {
    "spot": "    routes: [{respond: {status: 200, body: '0123456789'}}]\n",
    "served": "    pool: web\n",
    "silent": "    pool: silent\n",
}


def _answer(peer: Peer) -> None:
    """Answer each request when all of it is there."""
    while True:
        head = peer.head().lower()
        if b"transfer-encoding: chunked" in head:
            peer.until(b"0\r\n")
            peer.until(b"\r\n")
        peer.send(_OK[:-10] if head.startswith(b"head ") else _OK)


class ConformanceTests(BalancerTestCase):
    """What is said to each listener, and what comes of it."""

    library = "nghttp2"
    listeners = _ANSWERING

    def setUp(self) -> None:
        folder = self.folder()
        _ISSUED.write(folder / "a.pem", None, _AUTHORITY.issued)
        server, silent = self.server(_answer), self.server(Peer.rest)
        self.ports = {name: free_port() for name in (*_ANSWERING, "silent")}
        listeners = ""
        for name, port in self.ports.items():
            listeners += f"  {name}:\n    bind: 127.0.0.1:{port}\n    protocol: http\n    http2: {{websocket: false}}\n"
            if name.startswith("tls"):
                listeners += f"    tls: {{certificates: {folder}/a.pem}}\n"
            listeners += _ROUTES[name.removeprefix("tls-")]
        self.running = self.run_balancer(
            f"access_log: {{format: json, path: '@log@'}}\ngraceful_timeout: 2s\nlisteners:\n{listeners}"
            f"pools: {{web: {{servers: ['{server.address}']}}, silent: {{servers: ['{silent.address}']}}}}\n",
            BALANCER_HTTP2=self.library,
        )
        for port in self.ports.values():
            self.running.wait_for(port)
        self.context = ssl.create_default_context(cadata=_AUTHORITY.issued.cert.decode())
        self.context.set_alpn_protocols(["h2"])

    def hold_to(self, cases: Iterable[Case], listeners: Iterable[str]) -> None:
        """Run each case on each listener, some at a time."""
        todo = [(case, name) for case in cases for name in listeners]
        wrong: list[str] = []

        def work() -> None:
            while True:
                try:
                    case, name = todo.pop()
                except IndexError:
                    return
                try:
                    found = case.run(self.ports[name], self.context if name.startswith("tls") else None)
                except Exception as error:
                    found = f"{case}: {error!r}"
                if found:
                    wrong.append(f"{self.library}, {name}: {found}")

        threads = [threading.Thread(target=work) for _ in range(_AT_A_TIME)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(sorted(wrong), [])
        self.assertIsNone(self.running.process.poll())
        self.assertNotIn("Traceback", self.running.output.read_text())

    def test_generic(self) -> None:
        """What every server does, and each way of writing a field."""
        self.hold_to([*GENERIC, *HPACK], ["spot", "tls-served"])

    def test_http2(self) -> None:
        """What RFC 9113 wants where a client does what it may not."""
        self.hold_to([*STREAMS, *DEFINITIONS, *MESSAGES], self.listeners)

    def test_strictness(self) -> None:
        """What sessions are held to in memory, through a whole balancer."""
        self.hold_to(ANSWERED, ["spot", "tls-served"])
        self.hold_to(UNANSWERED, ["silent"])


class PureConformanceTests(ConformanceTests):
    """The same on the pure library."""

    library = "h2"
    listeners = ("spot", "tls-served")
