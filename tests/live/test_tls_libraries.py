"""The same stories with each OpenSSL that there is: the system's, and pyOpenSSL's."""

from __future__ import annotations

import hashlib
import os
import socket
import ssl
import subprocess

from balancer.tls.choosing import VARIABLE, library_named
from tests.live.programs import need
from tests.live.test_tls_certificates import CA, PATIENCE, SHOP, SHOP_RSA, _Story
from tests.tls.conversations import client
from tests.tls.hellos import Hello, cases

GET = b"GET / HTTP/1.1\r\nHost: shop.example\r\n\r\n"
BIG = os.urandom(3_000_000)
BOTH = "certificates: [AT/shop.pem, AT/rsa.pem]"
FILES = "    routes: [{match: {path: '/files/**'}, resource: {static: {directory: AT}}}, {pool: app}]\n"


class _Stories(_Story):
    library = ""

    def setUp(self) -> None:
        super().setUp()
        before = os.environ.get(VARIABLE)
        os.environ[VARIABLE] = self.library
        self.addCleanup(self._restore, before)

    def _restore(self, before: str | None) -> None:
        if before is None:
            del os.environ[VARIABLE]
        else:
            os.environ[VARIABLE] = before

    def _peer(self, version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3) -> _PythonPeer:
        skt = socket.create_connection(("127.0.0.1", self.port), PATIENCE)
        self.addCleanup(skt.close)
        return _PythonPeer(skt, version)


class _PythonPeer:
    """Python's own TLS, whose records can be cut, and followed by what is none."""

    def __init__(self, skt: socket.socket, version: ssl.TLSVersion) -> None:
        context = ssl.create_default_context(cadata=CA.issued.cert.decode())
        context.maximum_version = version
        self.socket, self.come, self.go = skt, ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self.come, self.go, server_hostname="shop.example")
        skt.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def send(self, piece: int = 0, more: bytes = b"") -> None:
        """Send what there is, ``piece`` bytes at a time, and ``more`` in the same breath."""
        data = self.go.read()
        if not piece:
            self.socket.sendall(data + more)
        else:
            for at in range(0, len(data), piece):
                self.socket.sendall(data[at : at + piece])

    def _come_on(self) -> bool:
        data = self.socket.recv(65536)
        self.come.write(data)
        return bool(data)

    def shake(self, piece: int = 0) -> None:
        while True:
            try:
                self.tls.do_handshake()
            except ssl.SSLWantReadError:
                self.send(piece)
                assert self._come_on(), "closed in the handshake"
            else:
                self.send(piece)
                return

    def ask(self, piece: int = 0) -> bytes:
        self.tls.write(GET)
        self.send(piece)
        heard = b""
        while b"\r\n\r\n" not in heard:
            try:
                heard += self.tls.read(65536)
            except ssl.SSLWantReadError:
                assert self._come_on(), "closed before the answer"
        return heard


class _Library(_Stories):
    def test_programs(self) -> None:
        """curl speaks HTTP/1.1 and HTTP/2; openssl is shown either kind of key, in either version; status says which it is."""
        running = self.begin(BOTH, shop=SHOP, rsa=SHOP_RSA)
        self.assertIn("HTTP/1.1 200 OK", self.curl())
        self.assertIn("HTTP/2 200", self.curl("--http2"))
        for version, digest, kind in (
            ("-tls1_2", "rsa_pss_rsae_sha256", "RSA-PSS"),
            ("-tls1_2", "ecdsa_secp256r1_sha256", "ECDSA"),
            ("-tls1_3", "rsa_pss_rsae_sha256", "RSA-PSS"),
            ("-tls1_3", "ecdsa_secp256r1_sha256", "ECDSA"),
        ):
            found = self.s_client("-servername", "shop.example", "-sigalgs", digest, version)
            self.assertIn(f"Peer signature type: {kind}", found)
        self.assertIn("no peer certificate", self.s_client("-tls1_1", "-cipher", "DEFAULT@SECLEVEL=0"))
        version = " ".join(library_named(self.library).version.split()[:2])
        self.assertIn(f"({version})", running.output.read_text())

    def test_whole(self) -> None:
        """A large file arrives as it is, by both versions of HTTP."""
        (self.at / "big").write_bytes(BIG)
        self.begin(BOTH, listener=FILES.replace("AT", str(self.at)), shop=SHOP, rsa=SHOP_RSA)
        for version in ("--http1.1", "--http2"):
            command = [need("curl"), "-sS", version, "--cacert", str(self.at / "ca.pem"), "--max-time", "30"]
            command += ["--resolve", f"shop.example:{self.port}:127.0.0.1"]
            done = subprocess.run(
                [*command, f"https://shop.example:{self.port}/files/big"], capture_output=True, timeout=40
            )
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertEqual(hashlib.sha256(done.stdout).digest(), hashlib.sha256(BIG).digest())

    def test_in_pieces(self) -> None:
        """Records may come in whatever pieces: those of the handshake too, byte by byte."""
        self.begin(BOTH, shop=SHOP, rsa=SHOP_RSA)
        for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            for piece in (1, 7):
                peer = self._peer(version)
                peer.shake(piece)
                for _ in range(3):
                    self.assertIn(b"200 OK", peer.ask(piece))

    def test_nobody_hears_another(self) -> None:
        """What one sends after its goodbye, or instead of TLS, is none of anybody else's business."""
        self.begin(BOTH, shop=SHOP, rsa=SHOP_RSA)
        good = self._peer()
        good.shake()
        self.assertIn(b"200 OK", good.ask())
        for more in (b"\x16\x03\x01\x02\x00" + bytes(60_000), b"\x17\x03\x03" * 20_000):
            for _ in range(5):
                evil = self._peer()
                evil.shake()
                self.assertIn(b"200 OK", evil.ask())
                try:
                    evil.tls.unwrap()
                except ssl.SSLWantReadError:
                    pass
                evil.send(more=more)
                self.assertIn(b"200 OK", good.ask())
                self.assertIn("HTTP/1.1 200 OK", self.curl())

    def test_made_up(self) -> None:
        """Hellos of every kind, good and bad, whole and in two pieces: somebody else's connection goes on, new ones come, nobody stays."""
        running = self.begin("certificates: AT/shop.pem, handshake_timeout: 5s", shop=SHOP)
        bystander = self._peer()
        bystander.shake()
        speaking = client(library_named(self.library)).session("shop.example", alpn=("h2", "http/1.1"))
        speaking.start()
        for what, data in cases(Hello(speaking.take())):
            for cut in (0, len(data) // 2):
                with socket.create_connection(("127.0.0.1", self.port), PATIENCE) as skt:
                    skt.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    try:
                        skt.sendall(data[:cut])
                        skt.sendall(data[cut:])
                        skt.shutdown(socket.SHUT_WR)
                        while skt.recv(65536):
                            pass
                    except OSError:
                        pass  # cut off while it still had something to say
            self.assertTrue(bystander.ask().startswith(b"HTTP/1.1 200"), what)
        self.assertIn(" 200 ", self.curl())
        self.assertNotIn("Traceback", running.output.read_text())

    def test_renegotiation(self) -> None:
        """There is none: the client is refused, and what was agreed on stays."""
        self.begin("certificates: AT/shop.pem", shop=SHOP)
        command = [need("openssl"), "s_client", "-connect", f"127.0.0.1:{self.port}", "-tls1_2"]
        done = subprocess.run(command, input="R\n", capture_output=True, text=True, timeout=40)
        self.assertIn("RENEGOTIATING", done.stdout + done.stderr)
        self.assertIn("no renegotiation", done.stdout + done.stderr)

    def test_comes_again(self) -> None:
        """A client that comes again goes on with its session, in both versions."""
        running = self.begin(BOTH, shop=SHOP, rsa=SHOP_RSA)
        for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            context = ssl.create_default_context(cadata=CA.issued.cert.decode())
            context.maximum_version = version
            session = None
            for _ in range(2):
                with socket.create_connection(("127.0.0.1", self.port), PATIENCE) as skt:
                    shaken = context.wrap_socket(skt, server_hostname="shop.example", session=session)
                    shaken.sendall(GET)
                    self.assertIn(b"200 OK", shaken.recv(65536))
                    session = shaken.session
        self.assertEqual([each["tls"]["resumed"] for each in running.records(4)], [False, True, False, True])

    def test_new_keys(self) -> None:
        """A client that changes its keys in the middle (``K`` of s_client) is served on."""
        running = self.begin(BOTH, shop=SHOP, rsa=SHOP_RSA)
        command = [need("openssl"), "s_client", "-connect", f"127.0.0.1:{self.port}", "-servername", "shop.example"]
        with subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        ) as client:
            assert client.stdin is not None
            assert client.stdout is not None
            # Each line is read by itself: a command is one that stands at the beginning of what is read.
            shown = b""
            for said, answered in (
                (b"", b"Verify return code"),
                (b"K\n", b"KEYUPDATE"),
                (b"GET / HTTP/1.0\r\n\r\n", b"200 OK"),
            ):
                client.stdin.write(said)
                client.stdin.flush()
                while answered not in shown:
                    line = client.stdout.readline()
                    self.assertNotEqual(line, b"", shown)
                    shown += line
            client.stdin.close()
            client.stdout.read()
        self.assertEqual(running.records(1)[0]["status"], 200)


class SystemTests(_Library):
    library = "system"


class PyOpenSSLTests(_Library):
    library = "pyopenssl"


del _Library
