"""Programs that are not the balancer on the reactor of libuv, and the balancer on it as a daemon."""

from __future__ import annotations

import datetime
import http.client
import os
import signal
import socket
import ssl
import subprocess
import sys
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.live.balancers import BIN, BalancerTestCase, Peer, wait_until
from tests.live.processes import free_port

ROOT = Path(__file__).resolve().parent.parent.parent


class ExampleTests(BalancerTestCase):
    """Servers and clients written for Twisted, none of which knows on which reactor it runs."""

    def program(self, *arguments: str) -> int:
        """Start a server of :mod:`tests.live.on_uv`; return its port."""
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.live.on_uv", *arguments],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert process.stdin is not None
        assert process.stdout is not None

        def end() -> None:
            process.communicate(timeout=20)
            self.assertEqual(process.returncode, 0)

        self.addCleanup(end)
        return int(process.stdout.readline())

    def pem(self) -> Path:
        """Return a file with a key and a certificate for localhost."""
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
        now = datetime.datetime.now(datetime.UTC)
        certificate = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(hours=1))
            .not_valid_after(now + datetime.timedelta(days=1))
            .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
            .sign(key, hashes.SHA256())
        )
        file = self.folder() / "server.pem"
        file.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
            + certificate.public_bytes(serialization.Encoding.PEM)
        )
        return file

    def echoed(self, peer: Peer, size: int) -> None:
        """Send so much and get it back."""
        data = os.urandom(size)
        for start in range(0, size, 50_000):
            piece = data[start : start + 50_000]
            peer.send(piece)
            self.assertEqual(peer.exactly(len(piece)), piece)

    def test_echo(self) -> None:
        """The echo server, with many clients at once."""
        port = self.program("echo")
        peers = [self.connect(port) for _ in range(50)]
        for turn in range(3):
            for number, peer in enumerate(peers):
                peer.send(b"%d-%d\n" % (turn, number))
            for number, peer in enumerate(peers):
                self.assertEqual(peer.until(b"\n"), b"%d-%d\n" % (turn, number))
        self.echoed(peers[0], 1_000_000)

    def test_tls(self) -> None:
        """The TLS echo server, with Python's own client, who checks the certificate."""
        pem = self.pem()
        port = self.program("tls", str(pem))
        context = ssl.create_default_context(cafile=str(pem))
        plain = socket.create_connection(("127.0.0.1", port), 20)
        peer = Peer(context.wrap_socket(plain, server_hostname="localhost"))
        self.addCleanup(peer.close)
        self.echoed(peer, 1_000_000)

    def test_starttls(self) -> None:
        """A connection that goes on encrypted after it began in the clear."""
        pem = self.pem()
        peer = self.connect(self.program("starttls", str(pem)))
        peer.send(b"hello\n")
        self.assertEqual(peer.until(b"\n"), b"hello\n")
        peer.send(b"STARTTLS\r\n")
        self.assertEqual(peer.until(b"\n"), b"READY\r\n")
        context = ssl.create_default_context(cafile=str(pem))
        encrypted = Peer(context.wrap_socket(peer.skt, server_hostname="localhost"))
        self.addCleanup(encrypted.close)
        self.echoed(encrypted, 200_000)

    def test_amp(self) -> None:
        """The AMP calculator and its client, each on libuv."""
        port = self.program("amp")
        told = subprocess.run(
            [sys.executable, "-m", "tests.live.on_uv", "amp-client", str(port)],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=20,
        )
        self.assertEqual((told.stdout, told.returncode), ("617.0\nnot by zero\n", 0), told.stderr)

    def test_web(self) -> None:
        """``twistd --reactor=uv web --path``: files, large ones, ranges, and what is not there."""
        folder = self.folder()
        (folder / "large").write_bytes(bytes(range(256)) * 20_000)
        port = free_port()
        process = subprocess.Popen(
            [
                *(str(BIN / "twistd"), "-n", "--pidfile=", "--reactor=uv"),
                *("web", "--path", str(folder), "--listen", f"tcp:{port}:interface=127.0.0.1"),
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self.addCleanup(process.wait, 20)
        self.addCleanup(process.terminate)

        def up() -> bool:
            with socket.socket() as skt:
                return skt.connect_ex(("127.0.0.1", port)) == 0

        wait_until(up)
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
        self.addCleanup(connection.close)
        for path, headers, status, body in (
            ("/large", {}, 200, bytes(range(256)) * 20_000),
            ("/large", {"Range": "bytes=256-259"}, 206, b"\0\1\2\3"),
            ("/nothing", {}, 404, None),
        ):
            connection.request("GET", path, headers=headers)
            response = connection.getresponse()
            got = response.read()
            self.assertEqual(response.status, status)
            if body is not None:
                self.assertEqual(got, body)


class DaemonTests(BalancerTestCase):
    def test_background(self) -> None:
        """``twistd --reactor=uv balancer`` in the background: the loop lives on across the forks, and so do its timers."""
        folder = self.folder()
        port = free_port()
        file = folder / "balancer.yaml"
        file.write_text(
            "graceful_timeout: 1s\nlisteners:\n  web:\n"
            f"    bind: 127.0.0.1:{port}\n    protocol: http\n    routes: [{{respond: {{status: 200, body: here}}}}]\n"
        )
        pidfile = folder / "balancer.pid"
        began = subprocess.run(
            [
                *(str(BIN / "twistd"), "--reactor=uv", f"--pidfile={pidfile}", f"--logfile={folder / 'log'}"),
                *("balancer", "--config", str(file)),
            ],
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=60,
        )
        self.assertEqual(began.returncode, 0, began.stderr)
        pid = int(wait_until(lambda: pidfile.exists() and pidfile.read_text()))
        try:
            self.assertEqual(wait_until(lambda: self._answer(port)), (200, b"here"))
            os.kill(pid, signal.SIGHUP)
            wait_until(lambda: "reload" in (folder / "log").read_text())
            self.assertEqual(self._answer(port), (200, b"here"))
        finally:
            os.kill(pid, signal.SIGTERM)
        wait_until(lambda: not pidfile.exists())
        self.assertIn("Main loop terminated", (folder / "log").read_text())

    def _answer(self, port: int) -> tuple[int, bytes] | None:
        try:
            response = self.get(port)
        except OSError:
            return None
        return response.status, response.body
