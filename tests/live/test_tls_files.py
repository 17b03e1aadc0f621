"""Files of certificates and authorities that change, or break, under a balancer that goes on: workers that start meanwhile, pools, upgrades."""

from __future__ import annotations

import os
import signal
import socket
import ssl
import threading

from balancer.tls.choosing import library_in_use
from tests.live.balancers import OK, Peer, RunningBalancer, wait_until
from tests.live.processes import free_port
from tests.live.test_tls_certificates import CA, NEWER, PATIENCE, SHOP, _Story
from tests.live.test_tls_tickets import Returning
from tests.live.test_workers import GET, WorkersTestCase, alive
from tests.tls.authority import Authority, Issued

OLD_CA, NEW_CA = Authority("Clients 1"), Authority("Clients 2")
SERVERS, OTHER_SERVERS = Authority("Servers 1"), Authority("Servers 2")


class BrokenFilesTests(_Story, WorkersTestCase):
    """Workers are given what is good."""

    def test_respawn(self) -> None:
        """A worker that starts while files are broken serves with what the master has; log, status and metric tell."""
        port, self.socket = free_port(), f"{self.at}/admin.sock"
        (self.at / "clients.pem").write_bytes(OLD_CA.issued.cert)
        top = f"workers: 2\nmetrics: {{bind: '127.0.0.1:{port}'}}\nadmin: {{bind: 'unix:{self.socket}'}}"
        running = self.begin(
            "certificates: AT/shop.pem, client_auth: {mode: optional, ca: AT/clients.pem}",
            top=top,
            shop=SHOP,
        )
        wait_until(lambda: len(self.ready()) == 2)
        (self.at / "shop.pem").write_text("half written")
        (self.at / "clients.pem").unlink()
        for pid in [worker["pid"] for worker in self.ready()]:
            os.kill(pid, signal.SIGKILL)
            wait_until(lambda pid=pid: pid not in [worker["pid"] for worker in self.workers()], 60)
            wait_until(lambda: len(self.ready()) == 2, 60)
        self.assertNotIn("cannot serve", running.output.read_text())
        for _ in range(8):
            self.assertEqual(self.shown(), SHOP.certificate.serial_number)
        wait_until(lambda: self.metric(port, 'balancer_tls_broken_files{kind="listener",name="web"}') == 2, 60)
        (listener,) = self.ask("GET", "/status")["listeners"]
        self.assertIn("shop.pem", " ".join(listener["broken_files"]))
        wait_until(lambda: "what was there stays" in running.output.read_text(), 60)
        # Mended, the new ones are shown by all.
        NEWER.write(self.at / "shop.pem", None, CA.issued)
        (self.at / "clients.pem").write_bytes(OLD_CA.issued.cert)
        new = NEWER.certificate.serial_number
        wait_until(lambda: all(self.shown() == new for _ in range(8)), 60)
        wait_until(lambda: self.metric(port, "balancer_tls_broken_files") == 0, 60)


class ClientAuthorityTests(_Story):
    """The authority of clients' certificates is replaced."""

    def _client(self, authority: Authority, name: str) -> ssl.SSLContext:
        authority.issue(subject=f"CN={name}", client=True).write(self.at / f"{name}.crt", self.at / f"{name}.key")
        context = ssl.create_default_context(cadata=CA.issued.cert.decode())
        context.load_cert_chain(self.at / f"{name}.crt", self.at / f"{name}.key")
        context.maximum_version = (
            ssl.TLSVersion.TLSv1_2
        )  # refused within the handshake; its sessions can be used again and again
        return context

    def _comes(self, context: ssl.SSLContext, session: ssl.SSLSession | None = None) -> ssl.SSLSocket | None:
        skt = socket.create_connection(("127.0.0.1", self.port), PATIENCE)
        self.addCleanup(skt.close)
        try:
            shaken = context.wrap_socket(skt, server_hostname="shop.example", session=session)
        except ssl.SSLError:
            skt.close()
            return None
        self.addCleanup(shaken.close)
        return shaken

    @staticmethod
    def _served(shaken: ssl.SSLSocket | None) -> bool:
        if shaken is None:
            return False
        shaken.sendall(GET)
        return b" 200 " in shaken.recv(65536)

    def test_rotated(self) -> None:
        """Both, then the new one alone: clients of either come as long as theirs is there, connections stay, sessions are not gone on with."""
        file = self.at / "clients.pem"
        file.write_bytes(OLD_CA.issued.cert)
        running = self.begin("certificates: AT/shop.pem, client_auth: {ca: AT/clients.pem}", shop=SHOP)
        old, new = self._client(OLD_CA, "old"), self._client(NEW_CA, "new")
        stays = self._comes(old)
        self.assertTrue(self._served(stays))
        assert stays is not None
        session = stays.session
        again = self._comes(old, session)
        assert again is not None
        self.assertTrue(self._served(again))
        self.assertTrue(again.session_reused)
        self.assertIsNone(self._comes(new))
        failed: list[str] = []
        over = threading.Event()

        def load() -> None:
            while not over.is_set():
                came = self._comes(old)
                if came is None or not self._served(came):
                    failed.append("refused")
                else:
                    came.close()  # there may be 1024 of one client at a time

        thread = threading.Thread(target=load, daemon=True)
        thread.start()
        file.write_bytes(OLD_CA.issued.cert + NEW_CA.issued.cert)
        wait_until(lambda: self._comes(new) is not None, 60)
        over.set()
        thread.join(PATIENCE)
        self.assertEqual(failed, [])
        both = self._comes(old, session)  # a whole handshake: other authorities, another session
        assert both is not None
        self.assertFalse(both.session_reused)
        self.assertTrue(self._served(both))
        file.write_bytes(NEW_CA.issued.cert)

        def refused() -> bool:
            came = self._comes(old)
            if came is not None:
                came.close()
            return came is None

        wait_until(refused, 60)
        for each in (session, both.session):
            self.assertIsNone(self._comes(old, each))
        self.assertTrue(self._served(self._comes(new)))
        self.assertTrue(self._served(stays))
        self.assertIn("the authorities of clients' certificates have changed", running.output.read_text())


class PoolFilesTests(_Story):
    """Whom a pool believes, and what it shows, changes with its files."""

    def _https(self, issued: Issued, clients: Authority) -> int:
        """Serve ``issued`` to clients of ``clients``; return the port."""
        here = self.folder()
        issued.write(here / "cert.pem", here / "cert.key")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(here / "cert.pem", here / "cert.key")
        context.load_verify_locations(cadata=clients.issued.cert.decode())
        context.verify_mode = ssl.CERT_REQUIRED

        def talk(peer: Peer) -> None:
            with context.wrap_socket(peer.skt, server_side=True) as shaken:
                while shaken.recv(65536):
                    shaken.sendall(OK)

        return self.server(talk).port

    def test_offered(self) -> None:
        """Sessions of TCP offer what the pool says, and requests the version of HTTP that it says."""
        here = self.folder()
        SERVERS.issue("127.0.0.1", number=5).write(here / "cert.pem", here / "cert.key")
        (here / "ca.pem").write_bytes(SERVERS.issued.cert)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(here / "cert.pem", here / "cert.key")
        context.set_alpn_protocols(["h2", "imap", "http/1.1"])
        agreed: list[str | None] = []

        def talk(peer: Peer) -> None:
            with context.wrap_socket(peer.skt, server_side=True) as shaken:
                agreed.append(shaken.selected_alpn_protocol())
                shaken.recv(65536)
                shaken.sendall(OK)

        server = self.server(talk).address
        port = free_port()
        listener = f"  mail: {{bind: '127.0.0.1:{port}', protocol: tcp, pool: mail}}"
        pool = f"  mail: {{servers: ['{server}'], tls: {{ca: {here}/ca.pem, alpn: imap}}}}"
        running = self.run_balancer(
            f"listeners:\n  web: {{bind: '127.0.0.1:{self.port}', pool: web}}\n{listener}\n"
            f"pools:\n  web: {{servers: ['{server}'], tls: {{ca: {here}/ca.pem, alpn: http/1.1}}}}\n{pool}\n"
        )
        running.wait_for(self.port)
        self.assertEqual(self.get(self.port).status, 200)
        with self.connect(port).skt as skt:
            skt.sendall(b"hello")
            self.assertTrue(skt.recv(100))
        self.assertEqual([each for each in agreed if each], ["http/1.1", "imap"])

    def test_followed(self) -> None:
        """Another authority, another certificate to show: new connections go by them, without a reload; broken files change nothing."""
        port = self._https(SERVERS.issue("127.0.0.1", number=5), NEW_CA)
        believed, shown = self.at / "servers.pem", self.at / "ours.pem"
        believed.write_bytes(OTHER_SERVERS.issued.cert)
        OLD_CA.issue("us", client=True, number=6).write(shown, self.at / "ours.key")
        tls = f"tls: {{ca: {believed}, certificate: {{cert: {shown}, key: {self.at}/ours.key}}}}"
        running, web = self.web(f"127.0.0.1:{port}", pool=f"{tls}\nretry: false\npassive: false\nkeep_alive: false\n")
        self.assertEqual(self.get(web).status, 502)
        believed.write_bytes(OTHER_SERVERS.issued.cert + SERVERS.issued.cert)
        wait_until(lambda: "the authorities of servers' certificates have changed" in running.output.read_text(), 60)
        self.assertEqual(self.get(web).status, 502)  # it does not know us
        NEW_CA.issue("us", client=True, number=7).write(shown, self.at / "ours.key")
        wait_until(lambda: self.get(web).status == 200, 60)
        believed.write_text("broken")
        wait_until(lambda: "what was there stays" in running.output.read_text(), 60)
        self.assertEqual(self.get(web).status, 200)


class UpgradeTests(Returning):
    """Another process takes over."""

    def _end(self, running: RunningBalancer) -> None:
        pid = int(running.output.read_text().partition(" has taken over")[0].rpartition("process ")[2])
        os.kill(pid, signal.SIGTERM)
        wait_until(lambda: not alive(pid), 60)

    def test_tickets(self) -> None:
        """Clients are resumed by the new process; broken files refuse the upgrade, and the old one goes on."""
        if not library_in_use().has_ticket_keys:
            return
        for workers in (1, 2):
            running = self.begin("certificates: AT/shop.pem", shop=SHOP, top=f"workers: {workers}")
            wait_until(lambda w=workers, r=running: w == 1 or r.output.read_text().count("serves, pid") == w, 60)
            _, session = self.ask(None, ssl.TLSVersion.TLSv1_2)
            whole = (self.at / "shop.pem").read_bytes()
            (self.at / "shop.pem").write_text("broken")
            os.kill(running.pid, signal.SIGUSR2)
            wait_until(lambda r=running: "upgrade failed, this process goes on" in r.output.read_text(), 60)
            self.assertTrue(self.ask(session, ssl.TLSVersion.TLSv1_2)[0])
            (self.at / "shop.pem").write_bytes(whole)
            os.kill(running.pid, signal.SIGUSR2)
            wait_until(lambda r=running: "has taken over" in r.output.read_text(), 60)
            self.addCleanup(self._end, running)
            self.assertEqual(running.process.wait(60), 0)
            self.assertTrue(all(self.ask(session, ssl.TLSVersion.TLSv1_2)[0] for _ in range(8)))
            self.port = free_port()
