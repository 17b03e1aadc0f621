"""The PROXY protocol from those who speak it: curl, HAProxy, and by hand in pieces; over TLS, HTTP/2 and TCP."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.live.balancers import OK, BalancerTestCase, Peer, RunningBalancer, answering, wait_until
from tests.live.processes import free_port
from tests.live.programs import need
from tests.tls.authority import Authority

CA = Authority("Test CA")
HEADER = b"PROXY TCP4 192.0.2.7 203.0.113.7 7007 443\r\n"
GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"


class ProxyProtocolTests(BalancerTestCase):
    def begin(self, settings: str = "[127.0.0.0/8]", listener: str = "") -> tuple[RunningBalancer, int]:
        self.seen: list[bytes] = []
        server = self.server(answering(OK, seen=self.seen))
        return self.web(server.address, listener=f"pool: web\nproxy_protocol: {settings}\n{listener}")

    def test_curl(self) -> None:
        """The client is who the header says: for servers, in the log, over HTTP/1.1 and HTTP/2."""
        running, port = self.begin()
        for version in ("--http1.1", "--http2-prior-knowledge"):
            command = [need("curl"), "-sS", version, "--haproxy-protocol", f"http://127.0.0.1:{port}/"]
            done = subprocess.run(command, capture_output=True, timeout=40)
            self.assertEqual((done.stdout, done.stderr), (b"ok", b""))
        peer = self.connect(port)
        for at in range(len(HEADER)):
            peer.send(HEADER[at : at + 1])
        peer.send(GET)
        self.assertEqual(peer.response()[0], 200)
        self.assertIn(b"X-Forwarded-For: 192.0.2.7", self.seen[-1])
        self.assertIn(b"X-Forwarded-Port: 443", self.seen[-1])
        record = running.records(3)[-1]
        self.assertEqual((record["client"], record["client_port"]), ("192.0.2.7", 7007))

    def test_without(self) -> None:
        """Who is to send a header and does not is closed; where none is required, served."""
        _, port = self.begin()
        peer = self.connect(port)
        peer.send(GET)
        self.assertEqual(peer.rest(), b"")
        _, port = self.begin("{from: [127.0.0.0/8], required: false}")
        self.assertEqual(self.get(port).status, 200)

    def test_not_trusted(self) -> None:
        """The header of a stranger is no request."""
        _, port = self.begin("[10.0.0.0/8]")
        peer = self.connect(port)
        peer.send(HEADER + GET)
        self.assertEqual(peer.response()[0], 400)
        self.assertEqual(self.get(port).status, 200)

    def test_haproxy(self) -> None:
        """HAProxy in front, with both versions; TLS behind the header, with HTTP/2."""
        here = self.folder()
        CA.issue("shop.example").write(here / "cert.pem", here / "key.pem")
        tls = f"tls: {{certificates: [{{cert: {here}/cert.pem, key: {here}/key.pem}}]}}\n"
        for kind, how in (("send-proxy", ""), ("send-proxy-v2", ""), ("send-proxy-v2 crc32c", tls)):
            running, port = self.begin(listener=how)
            front = self.haproxy(here, f"server s 127.0.0.1:{port} {kind}".replace("crc32c", "proxy-v2-options crc32c"))
            scheme = "https" if how else "http"
            command = [need("curl"), "-sSk", "--http2" if how else "--http1.1", f"{scheme}://127.0.0.1:{front}/"]
            done = subprocess.run([*command, "--interface", "127.0.0.9"], capture_output=True, timeout=40)
            self.assertEqual((done.stdout, done.stderr), (b"ok", b""), kind)
            (record,) = running.records(1)
            self.assertEqual((record["client"], record["version"]), ("127.0.0.9", "2.0" if how else "1.1"))

    def haproxy(self, here: Path, server: str) -> int:
        """Run HAProxy, which passes TCP on to ``server``; return its port."""
        port = free_port()
        file = here / f"{port}.cfg"
        file.write_text(
            "defaults\n mode tcp\n timeout connect 5s\n timeout client 30s\n timeout server 30s\n"
            f"listen l\n bind 127.0.0.1:{port}\n {server}\n"
        )
        running = subprocess.Popen(
            [need("haproxy"), "-db", "-f", file], stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        self.addCleanup(running.wait)
        self.addCleanup(running.terminate)

        def answers() -> bool:
            try:
                self.connect(port).close()
            except OSError:
                return False
            return True

        wait_until(answers)
        return port

    def test_tcp(self) -> None:
        """Sessions are the client's; what follows the header goes through whole, spliced where it is much."""
        payload = bytes(range(256)) * 8192

        def talk(peer: Peer) -> None:
            peer.send(peer.exactly(len(payload))[::-1])

        port, server = free_port(), self.server(talk)
        running = self.run_balancer(
            "access_log: {format: json, path: '@log@'}\n"
            f"listeners: {{raw: {{bind: '127.0.0.1:{port}', protocol: tcp, pool: app, proxy_protocol: [127.0.0.1]}}}}\n"
            f"pools: {{app: {{servers: ['{server.address}']}}}}\n"
        )
        running.wait_for(port)
        peer = self.connect(port)
        peer.send(HEADER[:20])
        peer.send(HEADER[20:] + payload)
        self.assertEqual(peer.exactly(len(payload)), payload[::-1])
        peer.close()
        records = running.records(1)
        self.assertEqual(records[-1]["client"], "192.0.2.7")


class SentTests(BalancerTestCase):
    """Servers that want a PROXY header."""

    def setUp(self) -> None:
        self.at = self.folder()
        CA.issue("127.0.0.1").write(self.at / "cert.pem", self.at / "key.pem")
        (self.at / "ca.pem").write_bytes(CA.issued.cert)

    def nginx(self, kind: str = "") -> int:
        """Run nginx, which takes a PROXY header and tells what was in it; return its port."""
        port = free_port()
        paths = "".join(
            f"{each}_temp_path {self.at}/{each};" for each in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        file = self.at / f"{port}.conf"
        file.write_text(
            f"daemon off; pid {self.at}/{port}.pid; error_log {self.at}/error.log; events {{}} http {{ access_log off; {paths}"
            f" server {{ listen 127.0.0.1:{port} proxy_protocol {kind}; ssl_certificate {self.at}/cert.pem;"
            f" ssl_certificate_key {self.at}/key.pem; location / {{ return 200"
            ' "$proxy_protocol_addr $proxy_protocol_server_port $connection_requests"; } } }'
        )
        running = subprocess.Popen(
            [need("nginx"), "-c", file, "-p", self.at], stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        self.addCleanup(running.wait)
        self.addCleanup(running.terminate)

        def answers() -> bool:
            try:
                self.connect(port).close()
            except OSError:
                return False
            return True

        wait_until(answers)
        return port

    def ask(self, port: int, interface: str) -> list[str]:
        """Ask twice on one connection."""
        url = f"http://127.0.0.1:{port}/"
        command = [need("curl"), "-sS", "--interface", interface, "-w", " ", url, url]
        done = subprocess.run(command, capture_output=True, timeout=40, text=True)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout.split()

    def test_http(self) -> None:
        """Each client is told apart; a kept connection is its own; below TLS too; probes are nobody's."""
        for settings, kind in (("v1", ""), ("v2", ""), ("{version: 2, crc32c: true, tlvs: [unique_id, ssl]}", "ssl")):
            tls = f"tls: {{ca: {self.at}/ca.pem}}\n" if kind else ""
            probe = "health: {probe: {http: {path: /}}, interval: 200ms, fall: 1}\n"
            running, port = self.web(f"127.0.0.1:{self.nginx(kind)}", pool=f"proxy_protocol: {settings}\n{tls}{probe}")
            for interface in ("127.0.0.7", "127.0.0.8"):
                told = self.ask(port, interface)
                self.assertEqual(told, [interface, str(port), "1", interface, str(port), "2"], settings)
            self.assertEqual([each["attempts"] for each in running.records(4)], [1, 1, 1, 1])
            self.assertNotIn("down", running.output.read_text())

    def test_tcp(self) -> None:
        """A session begins with the header, then come the client's bytes; the log has the id that the server was told."""
        for settings, beginning in (
            ("v1", b"PROXY TCP4 127.0.0.1 127.0.0.1 "),
            ("{version: 2, tlvs: [unique_id]}", b"\r\n\r\n\0\r\nQUIT\n!"),
        ):
            seen: list[bytes] = []

            def talk(peer: Peer, seen: list[bytes] = seen) -> None:
                seen.append(peer.until(b"hello"))
                peer.send(b"bye")

            port, server = free_port(), self.server(talk)
            running = self.run_balancer(
                "access_log: {format: json, path: '@log@'}\n"
                f"listeners: {{raw: {{bind: '127.0.0.1:{port}', protocol: tcp, pool: app}}}}\n"
                f"pools: {{app: {{servers: ['{server.address}'], proxy_protocol: {settings}}}}}\n"
            )
            running.wait_for(port)
            peer = self.connect(port)
            peer.send(b"hello")
            self.assertEqual(peer.rest(), b"bye")
            peer.close()
            told = seen[-1]
            self.assertTrue(told.startswith(beginning), told)
            self.assertTrue(told.endswith(b"hello"))
            (record,) = wait_until(lambda running=running: [r for r in running.records(1) if r["bytes_in"] == 5])
            self.assertEqual("session_id" in record, "unique_id" in settings)
            self.assertIn(record.get("session_id", "").encode(), told)
