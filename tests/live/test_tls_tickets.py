"""Clients that come again are resumed: at any worker, after a key has been replaced, and not when it is forgotten."""

from __future__ import annotations

import socket
import ssl
import time

from balancer.tls.choosing import library_in_use
from balancer.tls.tickets import KEPT
from tests.live.balancers import wait_until
from tests.live.test_tls_certificates import CA, PATIENCE, SHOP, _Story

GET = b"GET / HTTP/1.1\r\nHost: shop.example\r\nConnection: close\r\n\r\n"


class Returning(_Story):
    """Clients that come again."""

    def ask(self, session: ssl.SSLSession | None, version: ssl.TLSVersion) -> tuple[bool, ssl.SSLSession | None]:
        """Ask once; return whether ``session`` was gone on with, and the session of this time."""
        if session is None:
            self.context = ssl.create_default_context(cadata=CA.issued.cert.decode())
            self.context.maximum_version = version
        with socket.create_connection(("127.0.0.1", self.port), PATIENCE) as skt:
            shaken = self.context.wrap_socket(skt, server_hostname="shop.example", session=session)
            shaken.sendall(GET)
            answer = b""
            while piece := shaken.recv(65536):
                answer += piece
            self.assertTrue(answer.startswith(b"HTTP/1.1 200"), answer)
            return bool(shaken.session_reused), shaken.session


class TicketTests(Returning):
    def test_resumed(self) -> None:
        """In both versions of TLS; and the log says so."""
        running = self.begin("certificates: {cert: AT/shop.pem}", shop=SHOP)
        for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            resumed, session = self.ask(None, version)
            self.assertFalse(resumed)
            self.assertTrue(self.ask(session, version)[0])
        self.assertEqual([each["tls"]["resumed"] for each in running.records(4)], [False, True, False, True])

    def test_switched_off(self) -> None:
        """Without tickets every handshake is a whole one."""
        self.begin("certificates: {cert: AT/shop.pem}, tickets: false", shop=SHOP)
        for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            session = self.ask(None, version)[1]
            self.assertFalse(session is not None and session.has_ticket and self.ask(session, version)[0])

    def test_rotated(self) -> None:
        """A ticket is good for as long as its key is kept."""
        self.begin("certificates: {cert: AT/shop.pem}, tickets: {rotate: 1s}", shop=SHOP)
        _, session = self.ask(None, ssl.TLSVersion.TLSv1_2)
        began = time.monotonic()
        keeps = library_in_use().has_ticket_keys  # pyOpenSSL's library knows the newest key only
        if keeps:
            self.assertTrue(self.ask(session, ssl.TLSVersion.TLSv1_2)[0])
        wait_until(lambda: not self.ask(session, ssl.TLSVersion.TLSv1_2)[0])
        if keeps:
            self.assertGreater(time.monotonic() - began, KEPT - 2)

    def test_used_once(self) -> None:
        """Who comes back with TLS 1.3 is given another ticket, as browsers use each only once; with 1.2 there is no need."""
        self.begin("certificates: {cert: AT/shop.pem}", shop=SHOP)
        for version, another in ((ssl.TLSVersion.TLSv1_3, True), (ssl.TLSVersion.TLSv1_2, False)):
            if another and not library_in_use().has_ticket_keys:
                continue  # pyOpenSSL's library decides by itself
            _, session = self.ask(None, version)
            for _ in range(3):
                reused, fresh = self.ask(session, version)
                self.assertTrue(reused)
                assert fresh is not None
                assert session is not None
                self.assertEqual(fresh.id != session.id, another)
                session = fresh

    def test_workers(self) -> None:
        """Whichever worker a client comes back to, it is known there; also at one that has just been started."""
        if not library_in_use().has_ticket_keys:
            return  # pyOpenSSL's library: each worker has keys of its own, as documented
        running = self.begin("certificates: {cert: AT/shop.pem}", shop=SHOP, top="workers: 3")
        wait_until(lambda: running.output.read_text().count("serves, pid") == 3)
        _, session = self.ask(None, ssl.TLSVersion.TLSv1_2)
        self.assertTrue(all(self.ask(session, ssl.TLSVersion.TLSv1_2)[0] for _ in range(30)))
