"""Tests of the client side of an exchange, with transports in memory."""

from __future__ import annotations

import time
from typing import Any

from twisted.internet.testing import MemoryReactorClock, StringTransport
from twisted.trial.unittest import SynchronousTestCase

from balancer.config.loading import load_text
from balancer.forwarding.server_connection import ServerConnection
from balancer.listeners.http.channel import HTTPChannel
from balancer.service.build import built, registry_for
from balancer.service.runtime import Runtime

_CONFIGURATION = """
listeners: {web: {bind: "127.0.0.1:1", protocol: http, pool: web}}
pools: {web: {servers: ["127.0.0.1:2"]}}
"""


class _Narrow(StringTransport):
    """A client's connection that is full after each write."""

    def write(self, data: bytes) -> None:
        super().write(data)
        if self.producer is not None:
            self.producer.pauseProducing()


class BackPressureTests(SynchronousTestCase):
    def test_last_bytes(self) -> None:
        """A client that is slow to take the last bytes does not hold up the server's connection, which serves others then."""
        runtime = Runtime(MemoryReactorClock())
        snapshot = built(load_text(_CONFIGURATION, registry_for(installed=False)), runtime)
        site: Any = snapshot.listeners["web"]
        channel = HTTPChannel(lambda: site, runtime.wheel, lambda _: None)
        client = _Narrow()
        channel.makeConnection(client)
        (server,) = snapshot.pools["web"].servers
        connection = ServerConnection(server, runtime.wheel)
        transport = StringTransport()
        connection.makeConnection(transport)
        connection.expires = time.monotonic() + 60
        server.idle.put(connection, time.monotonic())

        channel.dataReceived(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        connection.dataReceived(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nfirst")
        self.assertEqual(transport.producerState, "paused")
        transport.resumeProducing()
        connection.dataReceived(b" last")
        self.assertTrue(client.value().endswith(b"first last"))
        self.assertEqual((transport.producerState, len(server.idle)), ("producing", 1))


_PROVED = """
listeners:
  plain: {bind: "127.0.0.1:1", redirect_https: true}
  web: {bind: "127.0.0.1:2", tls: {acme: {names: a.example, storage: /nowhere, agree_terms: true}}, routes: [{respond: 404}]}
"""


class ProofTests(SynchronousTestCase):
    """What authorities look for that issue certificates."""

    def _ask(self, listener: str, path: bytes, method: bytes = b"GET") -> bytes:
        channel = HTTPChannel(lambda: self.sites[listener], self.runtime.wheel, lambda _: None)
        client = StringTransport()
        channel.makeConnection(client)
        channel.dataReceived(b"%b %b HTTP/1.1\r\nHost: a.example\r\n\r\n" % (method, path))
        self.runtime.reactor.advance(1)
        return client.value()

    def setUp(self) -> None:
        self.runtime = Runtime(MemoryReactorClock())
        self.sites: Any = built(load_text(_PROVED, registry_for(installed=False)), self.runtime).listeners

    def test_proof(self) -> None:
        """It is there, before all are sent to https, as long as it is to be; others are sent on."""
        path = b"/.well-known/acme-challenge/token"
        self.assertIn(b" 308 ", self._ask("plain", path))
        self.runtime.ordering.proofs["token"] = "token.thumb"
        found = self._ask("plain", path)
        self.assertTrue(found.startswith(b"HTTP/1.1 200 OK\r\n"), found)
        self.assertTrue(found.endswith(b"\r\n\r\ntoken.thumb"), found)
        self.assertTrue(self._ask("plain", b"http://a.example" + path).endswith(b"token.thumb"))
        for other in (b"/", path + b"2", b"/token", path + b"/", b"/.well-known/acme-challenge/"):
            self.assertIn(b" 308 ", self._ask("plain", other))
        self.runtime.ordering.proofs.clear()
        self.assertIn(b" 308 ", self._ask("plain", path))

    def test_encrypted(self) -> None:
        """Listeners with TLS have nothing to do with it."""
        self.runtime.ordering.proofs["token"] = "token.thumb"
        self.assertIn(b" 404 ", self._ask("web", b"/.well-known/acme-challenge/token"))
