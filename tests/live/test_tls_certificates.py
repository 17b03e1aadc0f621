"""Certificates, shown to real clients: curl, openssl, and Python's own TLS."""

from __future__ import annotations

import socket
import ssl
import subprocess
from pathlib import Path
from typing import Any

from cryptography import x509

from tests.live.balancers import BIN, OK, BalancerTestCase, Peer, RunningBalancer, answering, wait_until
from tests.live.processes import free_port
from tests.live.programs import need
from tests.tls.authority import Authority, Issued
from tests.tls.responder import answer

CA = Authority("Test CA")
SHOP = CA.issue("shop.example")
SHOP_RSA = CA.issue("shop.example", kind="rsa")
SITES = CA.issue("*.sites.example", number=1)
NEWER = CA.issue("shop.example", number=2)
PATIENCE = 20.0


class _Story(BalancerTestCase):
    """A balancer with TLS, and clients."""

    def setUp(self) -> None:
        self.seen: list[bytes] = []
        self.at = self.folder()
        (self.at / "ca.pem").write_bytes(CA.issued.cert)
        self.port = free_port()

    def begin(
        self, tls: str, *, listener: str = "", others: str = "", pools: str = "", top: str = "", **certificates: Issued
    ) -> RunningBalancer:
        """Run a balancer whose listener ``web`` has these settings; certificates are files ``NAME.pem`` with their keys."""
        for name, issued in certificates.items():
            issued.write(self.at / f"{name}.pem", None, CA.issued)
        server = self.server(answering(OK, seen=self.seen))
        self.text = (
            f"access_log: {{format: json, path: '@log@'}}\ngraceful_timeout: 2s\n{top}\n"
            f"listeners:\n{others}  web:\n    bind: 127.0.0.1:{self.port}\n{listener}"
            f"    tls: {{{tls.replace('AT', str(self.at))}}}\n"
            + ("" if "routes:" in listener else "    pool: app\n")
            + f"pools: {{app: {{servers: ['{server.address}']}}, {pools}}}\n"
        )
        running = self.run_balancer(self.text)
        running.wait_for(self.port)
        return running

    def curl(self, *words: str, host: str = "shop.example", path: str = "/", status: int = 0) -> str:
        """Return what curl prints: heads and bodies."""
        command = [need("curl"), "-sS", "-i", "--http1.1", "--max-time", "20", "--cacert", str(self.at / "ca.pem")]
        command += ["--resolve", f"{host}:{self.port}:127.0.0.1", *words, f"https://{host}:{self.port}{path}"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=40)
        self.assertEqual(done.returncode, status, done.stderr)
        return done.stdout + done.stderr

    def s_client(self, *words: str) -> str:
        """Return what openssl says of a handshake."""
        command = [need("openssl"), "s_client", "-connect", f"127.0.0.1:{self.port}", *words]
        done = subprocess.run(command, input="", capture_output=True, text=True, timeout=40)
        return done.stdout + done.stderr

    def shaken(
        self,
        name: str | None = "shop.example",
        certificate: Path | None = None,
        key: Path | None = None,
        port: int | None = None,
    ) -> ssl.SSLSocket:
        """Return a connection whose handshake asked for ``name``, and showed ``certificate``."""
        context = ssl.create_default_context(cadata=CA.issued.cert.decode())
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        if certificate is not None:
            context.load_cert_chain(certificate, key)
        skt = socket.create_connection(("127.0.0.1", port or self.port), PATIENCE)
        self.addCleanup(skt.close)
        shaken = context.wrap_socket(skt, server_hostname=name)
        self.addCleanup(shaken.close)
        return shaken

    def shown(self, name: str | None = "shop.example") -> int:
        """Return the serial number of the certificate that is shown for ``name``."""
        skt = self.shaken(name)
        data: Any = skt.getpeercert(True)
        skt.close()
        return x509.load_der_x509_certificate(data).serial_number


class CertificateTests(_Story):
    """Which certificate whom is shown."""

    def test_curl(self) -> None:
        """A client that verifies everything is served, is told to come by https only, and how it came is logged."""
        running = self.begin("certificates: AT/shop.pem", listener="    hsts: true\n", shop=SHOP)
        found = self.curl()
        self.assertIn("HTTP/1.1 200 OK", found)
        self.assertIn("Strict-Transport-Security: max-age=31536000\n", found)
        self.assertIn(b"X-Forwarded-Proto: https\r\n", self.seen[0])
        (record,) = running.records(1)
        self.assertEqual((record["tls"]["sni"], record["tls"]["version"]), ("shop.example", "TLSv1.3"))

    def test_http2(self) -> None:
        """A client that speaks HTTP/2 agrees on it, and is told the same."""
        running = self.begin("certificates: AT/shop.pem", listener="    hsts: true\n", shop=SHOP)
        found = self.curl("--http2")
        self.assertIn("HTTP/2 200", found)
        self.assertIn("strict-transport-security: max-age=31536000", found)
        (record,) = running.records(1)
        self.assertEqual((record["tls"]["alpn"], record["version"]), ("h2", "2.0"))

    def test_by_name(self) -> None:
        """The exact name, the wildcard, the default; and which kind of key, by what the client can check."""
        self.begin(
            "certificates: [AT/sites.pem, AT/shop.pem, AT/rsa.pem], default: shop.example",
            shop=SHOP,
            rsa=SHOP_RSA,
            sites=SITES,
        )
        sites = SITES.certificate.serial_number
        shop = {SHOP.certificate.serial_number, SHOP_RSA.certificate.serial_number}
        self.assertEqual(self.shown("a.sites.example"), sites)
        self.assertEqual(self.shown("A.Sites.Example"), sites)
        for other in ("a.b.sites.example", "other.example", None, "shop.example"):
            self.assertIn(self.shown(other), shop, other)
        for wanted, kind in (("rsa_pss_rsae_sha256", "rsaEncryption"), ("ecdsa_secp256r1_sha256", "id-ecPublicKey")):
            found = self.s_client("-servername", "shop.example", "-sigalgs", wanted)
            self.assertIn(kind, self._text_of(found), wanted)

    def _text_of(self, found: str) -> str:
        pem = found[found.index("-----BEGIN CERTIFICATE") : found.index("-----END CERTIFICATE-----")]
        command = [need("openssl"), "x509", "-noout", "-text"]
        return subprocess.run(
            command, input=f"{pem}-----END CERTIFICATE-----\n", capture_output=True, text=True, check=True
        ).stdout

    def test_told(self) -> None:
        """The end of each certificate is a metric and in the status; of several workers the metric is that of one."""
        metrics, admin = free_port(), self.at / "admin.sock"
        top = f"workers: 2\nmetrics: {{bind: 127.0.0.1:{metrics}}}\nadmin: {{bind: 'unix:{admin}'}}"
        self.begin("certificates: AT/shop.pem", top=top, shop=SHOP)
        wait_until(lambda: self._answers())
        text = self.get(metrics, "/metrics").body.decode()
        name = f'certificate="{self.at}/shop.pem"'
        (line,) = [
            each for each in text.splitlines() if each.startswith("balancer_tls_certificate_expiry_timestamp_seconds{")
        ]
        self.assertIn(name, line)
        self.assertEqual(float(line.split()[-1]), SHOP.certificate.not_valid_after_utc.timestamp())
        command = [str(BIN / "balancer"), "ctl", "--admin", f"unix:{admin}", "status"]
        shown = subprocess.run(command, capture_output=True, text=True, timeout=40, check=True).stdout
        self.assertRegex(shown, r"shop\.pem +ecdsa +89 .*shop\.example")

    def test_handshakes(self) -> None:
        """Handshakes are counted by what they came to; who speaks no TLS is told so, who says nothing is not waited for."""
        metrics = free_port()
        tls = "certificates: AT/shop.pem, strict_sni: true, handshake_timeout: 300ms"
        running = self.begin(tls, top=f"metrics: {{bind: 127.0.0.1:{metrics}}}", shop=SHOP)
        self.curl()
        self.curl("--tls-max", "1.2")
        self.s_client("-servername", "other.example")
        self.s_client("-servername", "shop.example", "-tls1_1", "-cipher", "DEFAULT@SECLEVEL=0")
        plain = self.get(self.port, "/")
        self.assertEqual((plain.status, b"https://" in plain.body), (400, True))
        silent = self.connect(self.port)
        self.assertEqual(silent.rest(), b"")

        def counted() -> dict[str, str]:
            text = self.get(metrics, "/metrics").body.decode()
            lines = [line for line in text.splitlines() if line.startswith("balancer_tls_handshakes_total{")]
            return {line.partition("{")[2].partition("}")[0]: line.split()[-1] for line in lines}

        found = counted()
        for outcome, version in (
            ("done", "TLSv1.3"),
            ("done", "TLSv1.2"),
            ("unknown_name", ""),
            ("nothing_shared", ""),
            ("not_tls", ""),
            ("timeout", ""),
        ):
            self.assertEqual(found[f'listener="web",outcome="{outcome}",version="{version}"'], "1.0", found)
        log = running.output.read_text()
        self.assertRegex(log, "TLS by OpenSSL [0-9].*; HTTP/2 by .*h.*2 [0-9]")
        for words in (
            ", who asks for 'other.example', failed, unknown_name: no certificate for 'other.example'",
            " failed, nothing_shared: unsupported protocol",
            " failed, not_tls: plain HTTP was spoken, and answered with 400",
            " failed, timeout: it took too long",
        ):
            self.assertRegex(log, f"listener web: TLS handshake with 127.0.0.1:[0-9]+{words}")

    def test_tcp(self) -> None:
        """A TCP listener takes TLS off too: the server gets what the client said, whole, and the other way round."""
        port = free_port()
        others = f"  raw:\n    bind: 127.0.0.1:{port}\n    protocol: tcp\n    tls: {{certificates: {self.at}/shop.pem}}\n    pool: echo\n"

        said = b"0123456789" * 200_000

        def echo(peer: Peer) -> None:
            peer.send(peer.exactly(len(said)))

        server = self.server(echo)
        running = self.begin(
            "certificates: AT/shop.pem", others=others, pools=f"echo: {{servers: ['{server.address}']}}", shop=SHOP
        )
        running.wait_for(port)
        client = Peer(self.shaken(port=port))
        client.send(said)
        self.assertTrue(client.exactly(len(said)) == said)
        client.close()
        record = next(each for each in running.records(1) if each.get("protocol") == "tcp" and "tls" in each)
        self.assertEqual(
            (record["tls"]["sni"], record["bytes_in"], record["bytes_out"]), ("shop.example", len(said), len(said))
        )

    def test_strict(self) -> None:
        """With strict SNI a client that asks for somebody else hears that nobody is called so."""
        self.begin("certificates: AT/shop.pem, strict_sni: true", shop=SHOP)
        self.assertEqual(self.shown(), SHOP.certificate.serial_number)
        for words in (("-servername", "other.example"), ("-noservername",)):
            self.assertIn("unrecognized name", self.s_client(*words))

    def test_replaced(self) -> None:
        """New files are shown by every worker, without a reload; connections stay; a broken file changes nothing."""
        running = self.begin("certificates: AT/shop.pem", top="workers: 2", shop=SHOP)
        wait_until(lambda: self._answers())
        # A worker that starts reads the files for itself: what is broken by then keeps it from serving.
        wait_until(lambda: all(f"worker {each} serves" in running.output.read_text() for each in (1, 2)))
        old = Peer(self.shaken())
        (self.at / "shop.pem").write_bytes(NEWER.cert)
        wait_until(lambda: "there is no key in" in running.output.read_text())
        self.assertEqual(self.shown(), SHOP.certificate.serial_number)
        NEWER.write(self.at / "shop.pem", None, CA.issued)
        new = NEWER.certificate.serial_number
        wait_until(lambda: all(self.shown() == new for _ in range(8)), 40)
        old.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        self.assertEqual(old.response()[0], 200)
        wait_until(lambda: f"the certificate {self.at}/shop.pem is replaced" in running.output.read_text())
        self.assertEqual(running.output.read_text().count("there is no key in"), 1)

    def _answers(self) -> bool:
        try:
            return self.shown() == SHOP.certificate.serial_number
        except OSError:
            return False

    def test_reload(self) -> None:
        """A reload reads the files; one with a broken file is refused, and the old certificate stays."""
        running = self.begin("certificates: AT/shop.pem", shop=SHOP)
        NEWER.write(self.at / "shop.pem", None, CA.issued)
        running.reload()
        wait_until(lambda: self.shown() == NEWER.certificate.serial_number)
        (self.at / "shop.pem").chmod(0o644)
        running.reload()
        wait_until(lambda: "reload refused" in running.output.read_text())
        self.assertIn("chmod 0600", running.output.read_text())
        self.assertEqual(self.shown(), NEWER.certificate.serial_number)


class ClientCertificateTests(_Story):
    """Clients with certificates of their own."""

    ROUTES = (
        "    routes:\n      - {match: {client_certificate: {subject: CN=alice}}, pool: app}\n"
        "      - {respond: {status: 403}}\n"
    )

    def _client(self, name: str) -> list[str]:
        issued = CA.issue(subject=f"CN={name}", client=True, extra=(x509.RFC822Name(f"{name}@example.org"),))
        issued.write(self.at / f"{name}.crt", self.at / f"{name}.key")
        setattr(self, name, issued)
        return ["--cert", str(self.at / f"{name}.crt"), "--key", str(self.at / f"{name}.key")]

    def test_optional(self) -> None:
        """Who shows which certificate goes where its route says; servers are told who it is, and by nobody else."""
        self.begin(
            "certificates: AT/shop.pem, client_auth: {mode: optional, ca: AT/ca.pem}", listener=self.ROUTES, shop=SHOP
        )
        spoofed = ["-H", "X-Client-Cert-Subject: CN=admin", "-H", "client-cert: :AAAA:", "-H", "X_Client_Cert_SAN: a"]
        spoofed += ["-H", "Connection: X-Client-Cert-Subject, Client-Cert"]
        self.assertIn(" 403 ", self.curl(*spoofed))
        self.assertIn(" 403 ", self.curl(*self._client("bob")))
        self.assertIn(" 200 ", self.curl(*self._client("alice"), *spoofed))
        (head,) = self.seen
        lowered = head.lower()
        self.assertEqual(lowered.count(b"client-cert-subject"), 1)
        self.assertIn(b"X-Client-Cert-Subject: CN=alice\r\n", head)
        self.assertIn(b"X-Client-Cert-SAN: email:alice@example.org\r\n", head)
        self.assertEqual(lowered.count(b"\r\nclient-cert:"), 1)
        self.assertNotIn(b"admin", head)
        self.assertNotIn(b"x_client", lowered)

    def test_believed_from_now_on(self) -> None:
        """A reload that tells servers who it is holds on connections that there are too: nobody's own word is passed on with ours."""
        settings = "certificates: AT/shop.pem, client_auth: {mode: optional, ca: AT/ca.pem, headers: HEADERS}"
        running = self.begin(settings.replace("HEADERS", "false"), shop=SHOP)
        self._client("alice")
        client = Peer(self.shaken(certificate=self.at / "alice.crt", key=self.at / "alice.key"))
        asked = b"GET / HTTP/1.1\r\nHost: a\r\nX-Client-Cert-Subject: CN=admin\r\n\r\n"
        client.send(asked)
        client.response()
        self.assertIn(b"CN=admin", self.seen[0])
        running.reload(running.file.read_text().replace("headers: false", "headers: true"))
        wait_until(lambda: "reloaded" in running.output.read_text())
        client.send(asked * 3)
        for _ in range(3):
            client.response()
        for head in self.seen[1:]:
            self.assertNotIn(b"admin", head)
            self.assertEqual(head.count(b"X-Client-Cert-Subject: CN=alice\r\n"), 1)

    def test_required(self) -> None:
        """Nobody comes without one, or with one of somebody else's making, or with one that was taken back."""
        (self.at / "crl.pem").write_bytes(CA.revoke())
        running = self.begin(
            "certificates: AT/shop.pem, client_auth: {ca: AT/ca.pem, crl: AT/crl.pem}", listener=self.ROUTES, shop=SHOP
        )
        alice = self._client("alice")
        self.assertIn(" 200 ", self.curl(*alice))
        self.assertIn("alert", self.curl(status=56))
        stranger = Authority("Another CA").issue(subject="CN=alice", client=True)
        stranger.write(self.at / "stranger.crt", self.at / "stranger.key")
        words = ["--cert", str(self.at / "stranger.crt"), "--key", str(self.at / "stranger.key")]
        self.assertIn("alert", self.curl(*words, status=56))
        (self.at / "crl.pem").write_bytes(CA.revoke(self.alice))
        running.reload()
        wait_until(lambda: "reloaded" in running.output.read_text())
        self.assertIn("alert", self.curl(*alice, status=56))


class StapleTests(_Story):
    """OCSP."""

    def test_stapled(self) -> None:
        """What the authority says is fetched in the background, and sent with the certificate; by every worker."""
        issued = CA.issue("shop.example", number=3, ocsp=f"http://127.0.0.1:{free_port()}/")
        asked: list[bytes] = []

        def talk(peer: Peer) -> None:
            head = peer.head()
            length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
            asked.append(peer.exactly(length))
            body = answer(CA, issued)
            peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%b" % (len(body), body))

        responder = self.server(talk)
        issued = CA.issue("shop.example", number=3, ocsp=f"http://{responder.address}/")
        self.begin("certificates: AT/shop.pem", top="workers: 2", shop=issued)
        good = "OCSP Response Status: successful"
        status = ("-servername", "shop.example", "-status", "-CAfile", str(self.at / "ca.pem"))
        wait_until(lambda: all(good in self.s_client(*status) for _ in range(6)), 40)
        found = self.s_client(*status)
        self.assertIn("Cert Status: good", found)
        self.assertIn("Verify return code: 0 (ok)", found)
        self.assertEqual(len(asked), 1)


class SchemeTests(_Story):
    """From http to https."""

    def test_redirected(self) -> None:
        """A client that comes by http is led to the same address by https, body and all."""
        plain = free_port()
        top = f"  plain: {{bind: '127.0.0.1:{plain}', redirect_https: {self.port}}}\n"
        self.begin("certificates: AT/shop.pem", others=top, shop=SHOP)
        command = [need("curl"), "-sS", "-i", "-L", "--http1.1", "--cacert", str(self.at / "ca.pem")]
        command += ["--resolve", f"shop.example:{plain}:127.0.0.1", "--resolve", f"shop.example:{self.port}:127.0.0.1"]
        done = subprocess.run(
            [*command, f"http://shop.example:{plain}/a%20b?c=d"], capture_output=True, text=True, timeout=40
        )
        self.assertIn("308 Permanent Redirect", done.stdout)
        self.assertIn(f"Location: https://shop.example:{self.port}/a%20b?c=d", done.stdout)
        self.assertIn("200 OK", done.stdout)
        self.assertIn(b"GET /a%20b?c=d HTTP/1.1", self.seen[0])
