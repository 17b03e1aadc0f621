"""TLS that is passed through: by server name and protocol to nginx and OpenSSL, which have certificates of their own."""

from __future__ import annotations

import hashlib
import os
import re
import socket
import ssl
import subprocess
import threading
from collections import Counter
from typing import Any

from tests.live.balancers import OK, BalancerTestCase, answering, wait_until
from tests.live.processes import free_port
from tests.live.programs import need
from tests.wire.hellos import HELLOS

_NGINX = """
daemon off; master_process off; pid {folder}/pid; error_log stderr error;
events {{ worker_connections 1024; }}
http {{
  access_log off; keepalive_requests 100000; default_type text/plain;
  client_body_temp_path {folder}/1; proxy_temp_path {folder}/2; fastcgi_temp_path {folder}/3;
  uwsgi_temp_path {folder}/4; scgi_temp_path {folder}/5;
{servers}
}}
"""
_SERVER = """
  server {{
    listen 127.0.0.1:{port} ssl{http2}; ssl_certificate {name}.pem; ssl_certificate_key {name}.key;
    location / {{ return 200 "{name} over $server_protocol\\n"; }}
    location /big {{ alias {folder}/big; }}
  }}
"""
_BIG = 20_000_000
_UNRECOGNIZED = b"\x15\x03\x03\0\x02\x02\x70"
_DECODE_ERROR = b"\x15\x03\x03\0\x02\x02\x32"


class PassThroughTests(BalancerTestCase):
    """One TCP listener before four servers that speak TLS, and one that does not."""

    timeout = 120

    def setUp(self) -> None:
        self.servers = self.folder()
        self.ports = {name: free_port() for name in ("shop", "grpc", "wild", "api")}
        self.names = {
            "shop": ["shop.example", "other.example"],
            "grpc": ["shop.example"],
            "wild": ["*.wild.example", "a.b.wild.example"],
            "api": ["api.example"],
        }
        for name in self.names:
            self.certify(name)
        self.start_nginx("shop", "grpc", "wild")
        self.start_openssl("api")
        self.plain = self.server(answering(OK))
        self.listen()

    def certify(self, name: str) -> None:
        names = ",".join(f"DNS:{each}" for each in self.names[name])
        command = [need("openssl"), "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
        command += ["-subj", f"/CN={name}", "-addext", f"subjectAltName={names}", "-days", "2"]
        files = ["-keyout", str(self.servers / f"{name}.key"), "-out", str(self.servers / f"{name}.pem")]
        subprocess.run([*command, *files], check=True, capture_output=True, timeout=60)

    def start(self, *command: str) -> subprocess.Popen[bytes]:
        with (self.servers / "output.txt").open("ab") as output:
            process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=output, stderr=output, cwd=self.servers)
        self.addCleanup(process.wait)
        self.addCleanup(process.terminate)  # nginx ends its workers with it
        return process

    def start_nginx(self, *names: str) -> None:
        (self.servers / "big").write_bytes(os.urandom(1000) * (_BIG // 1000))
        servers = "".join(
            _SERVER.format(
                name=name, port=self.ports[name], folder=self.servers, http2=" http2" if name == "grpc" else ""
            )
            for name in names
        )
        file = self.servers / "nginx.conf"
        file.write_text(_NGINX.format(folder=self.servers, servers=servers))
        process = self.start(need("nginx"), "-c", str(file), "-p", str(self.servers))
        for name in names:
            self.wait_for_server(process, self.ports[name])

    def start_openssl(self, name: str) -> None:
        where = ["-accept", f"127.0.0.1:{self.ports[name]}", "-cert", f"{name}.pem", "-key", f"{name}.key"]
        self.wait_for_server(self.start(need("openssl"), "s_server", *where, "-www"), self.ports[name])

    def wait_for_server(self, process: subprocess.Popen[bytes], port: int) -> None:
        def up() -> bool:
            if process.poll() is not None:
                raise AssertionError((self.servers / "output.txt").read_text())
            with socket.socket() as skt:
                return skt.connect_ex(("127.0.0.1", port)) == 0

        wait_until(up)

    def configuration(self, routes: str = "", keys: str = "") -> str:
        """Return the configuration; ``routes`` are further ones, ``keys`` further ones of the listener."""
        pools = "".join(f"  {name}: {{servers: ['127.0.0.1:{port}']}}\n" for name, port in self.ports.items())
        return (
            "access_log: {format: json, path: '@log@'}\ngraceful_timeout: 2s\n"
            f"metrics: {{bind: '127.0.0.1:{self.metrics}'}}\n"
            f"listeners:\n  tls:\n    bind: 127.0.0.1:{self.port}\n    protocol: tcp\n" + keys + "    routes:\n"
            "      - {name: grpc, match: {sni: shop.example, alpn: h2}, pool: grpc}\n"
            "      - {name: shop, match: {sni: [shop.example, other.example]}, pool: shop}\n"
            "      - {name: wild, match: {sni: '*.wild.example'}, pool: wild}\n"
            "      - {name: api, match: {sni: api.example}, pool: api}\n"
            + routes
            + f"pools:\n{pools}  plain: {{servers: ['{self.plain.address}']}}\n"
        )

    def listen(self, routes: str = "", keys: str = "") -> None:
        self.port, self.metrics = free_port(), free_port()
        self.running = self.run_balancer(self.configuration(routes, keys))
        self.running.wait_for(self.port)
        self.seen = len(self.running.records(1))  # of the one who looked whether the port is open

    def records(self, count: int) -> list[dict[str, Any]]:
        """Return the records of ``count`` sessions more."""
        found = self.running.records(self.seen + count)[self.seen :]
        self.seen += len(found)
        return found

    def reloaded(self, **wanted: str) -> None:
        """Use another configuration, and return when it is in use."""
        before = self.reloads()
        text = self.configuration(**wanted).replace("@log@", str(self.running.log))
        self.running.reload(text)
        wait_until(lambda: self.reloads() > before)

    def reloads(self) -> float:
        return self.metric('balancer_reloads_total{outcome="ok"}')

    def metric(self, name: str) -> float:
        text = self.get(self.metrics, "/metrics").body.decode()
        found = re.search(rf"^{re.escape(name)} (\S+)$", text, re.MULTILINE)
        return float(found[1]) if found is not None else 0.0

    def curl(self, name: str, *more: str, ca: str, path: str = "/") -> subprocess.CompletedProcess[bytes]:
        """Ask for ``https://NAME/`` through the balancer, and believe the certificate of the server ``ca`` only."""
        command = [need("curl"), "-sS", "--max-time", "60", "--cacert", str(self.servers / f"{ca}.pem"), *more]
        command += ["--resolve", f"{name}:{self.port}:127.0.0.1", f"https://{name}:{self.port}{path}"]
        return subprocess.run(command, capture_output=True, timeout=90, check=False)

    def handshake(self, name: str | None, ca: str, *protocols: str) -> ssl.SSLSocket:
        """Return a TLS connection through the balancer to the server that has the certificate ``ca``."""
        context = ssl.create_default_context(cafile=str(self.servers / f"{ca}.pem"))
        context.check_hostname = name is not None
        if protocols:
            context.set_alpn_protocols(list(protocols))
        plain = socket.create_connection(("127.0.0.1", self.port), 20)
        self.addCleanup(plain.close)
        connection = context.wrap_socket(plain, server_hostname=name)
        self.addCleanup(connection.close)
        return connection

    def test_by_name(self) -> None:
        """Each name reaches the server that has its certificate, which curl verifies; the log says which was asked for."""
        for name, server, answer in (
            ("shop.example", "shop", b"shop over HTTP/1.1\n"),
            ("other.example", "shop", b"shop over HTTP/1.1\n"),
            ("one.wild.example", "wild", b"wild over HTTP/1.1\n"),
            ("a.b.wild.example", "wild", b"wild over HTTP/1.1\n"),
            ("api.example", "api", b"HTTP/1.0 200 ok"),
        ):
            said = self.curl(name, "--http1.1", "--no-keepalive", "-i", ca=server)
            self.assertEqual(said.returncode, 0, said.stderr)
            self.assertIn(answer, said.stdout.replace(b"\r", b""))
            (record,) = self.records(1)
            self.assertEqual(
                (record["sni"], record["alpn"], record["route"], record["pool"]), (name, ["http/1.1"], server, server)
            )
            self.assertNotIn("reason", record)

    def test_by_protocol(self) -> None:
        """The same name leads elsewhere where the client offers a protocol that a route asks for."""
        said = self.curl("shop.example", "--http2", ca="grpc")
        self.assertEqual((said.returncode, said.stdout), (0, b"grpc over HTTP/2.0\n"))
        said = self.curl("shop.example", "--http1.1", ca="shop")
        self.assertEqual((said.returncode, said.stdout), (0, b"shop over HTTP/1.1\n"))
        said = self.curl("other.example", "--http2", ca="shop")
        self.assertEqual((said.returncode, said.stdout), (0, b"shop over HTTP/1.1\n"))
        self.assertEqual(
            [(record["route"], record["alpn"]) for record in self.records(3)],
            [("grpc", ["h2", "http/1.1"]), ("shop", ["http/1.1"]), ("shop", ["h2", "http/1.1"])],
        )

    def test_large_answer(self) -> None:
        """Twenty megabytes come as they were sent: what follows the hello is spliced as ever."""
        said = self.curl("shop.example", "--http1.1", ca="shop", path="/big")
        self.assertEqual(said.returncode, 0, said.stderr)
        wanted = hashlib.sha256((self.servers / "big").read_bytes()).hexdigest()
        self.assertEqual(hashlib.sha256(said.stdout).hexdigest(), wanted)
        self.assertGreater(self.records(1)[0]["bytes_out"], _BIG)

    def test_unknown_name(self) -> None:
        """A name that no route has, and none at all, are told so in TLS, by which curl, OpenSSL and Python know what is wrong."""
        said = self.curl("nobody.example", ca="shop")
        self.assertEqual(said.returncode, 35, said.stdout)
        self.assertIn(b"unrecognized name", said.stderr)
        command = [need("openssl"), "s_client", "-connect", f"127.0.0.1:{self.port}"]
        for more in (["-noservername"], ["-servername", "wild.example", "-tls1_2"]):
            done = subprocess.run([*command, *more], input=b"", capture_output=True, timeout=60, check=False)
            self.assertIn(b"unrecognized name", done.stdout + done.stderr)
        with self.assertRaisesRegex(ssl.SSLError, "(?i)unrecognized.name"):
            self.handshake(None, "shop")
        self.assertEqual(
            [(record["reason"], record["detail"], record["sni"]) for record in self.records(4)],
            [
                ("destination_not_found", "no route for server name nobody.example", "nobody.example"),
                ("destination_not_found", "no route for TLS without a server name", ""),
                ("destination_not_found", "no route for server name wild.example", "wild.example"),
                ("destination_not_found", "no route for TLS without a server name", ""),
            ],
        )
        self.assertEqual(self.metric('balancer_errors_total{listener="tls",reason="destination_not_found"}'), 4.0)

    def test_protocol_nobody_has(self) -> None:
        """A client whose protocols lead nowhere, though its name would, is told that."""
        self.running.stop()
        self.listen("      - {name: mqtt, match: {sni: mqtt.example, alpn: mqtt}, pool: api}\n")
        with self.assertRaisesRegex(ssl.SSLError, "(?i)no.application.protocol"):
            self.handshake("mqtt.example", "api", "h2")
        self.assertIn("no route for the protocols offered (h2)", self.records(1)[0]["detail"])

    def test_slow_hello(self) -> None:
        """A hello that comes byte by byte, each in a segment of its own, is put together; the handshake goes on."""
        plain = socket.create_connection(("127.0.0.1", self.port), 20)
        self.addCleanup(plain.close)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        context = ssl.create_default_context(cafile=str(self.servers / "wild.pem"))
        come, go = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = context.wrap_bio(come, go, server_hostname="slow.wild.example")

        def step(call: Any) -> Any:
            while True:
                try:
                    return call()
                except ssl.SSLWantReadError:
                    said = go.read()
                    for at in range(len(said)):
                        plain.sendall(said[at : at + 1])
                    come.write(plain.recv(65536))

        step(tls.do_handshake)
        tls.write(b"GET / HTTP/1.0\r\n\r\n")
        self.assertIn(b"200 OK", step(lambda: tls.read(1000)))
        plain.close()
        self.assertEqual(self.records(1)[0]["sni"], "slow.wild.example")

    def test_every_client(self) -> None:
        """Real hellos for names that nobody has, whole and in two pieces, are answered with the alert and closed."""
        for name, hello in HELLOS.items():
            for pieces in ([hello], [hello[:7], hello[7:]]):
                peer = self.connect(self.port)
                for piece in pieces:
                    peer.send(piece)
                said = peer.rest()
                self.assertEqual((said[:1], said[3:]), (_UNRECOGNIZED[:1], _UNRECOGNIZED[3:]), name)
        self.assertEqual({record["reason"] for record in self.records(2 * len(HELLOS))}, {"destination_not_found"})

    def test_plain(self) -> None:
        """A client that does not speak TLS is closed, unless a route asks for nothing that only TLS can tell."""
        peer = self.connect(self.port)
        peer.send(b"GET / HTTP/1.1\r\nHost: shop.example\r\n\r\n")
        self.assertEqual(peer.rest(), b"")
        (record,) = self.records(1)
        self.assertEqual(
            (record["reason"], record["detail"]), ("destination_not_found", "no route for what is not TLS")
        )
        self.assertNotIn("sni", record)
        self.reloaded(routes="      - {name: plain, pool: plain}\n")
        self.assertEqual(self.get(self.port).body, b"ok")
        said = self.curl("shop.example", "--http1.1", ca="shop")
        self.assertEqual(said.stdout, b"shop over HTTP/1.1\n")
        routes = Counter(record["route"] for record in self.records(2))
        self.assertEqual(routes, {"plain": 1, "shop": 1})

    def test_bad_hellos(self) -> None:
        """What begins as TLS and is none is closed with an alert and its reason; so is what is too long."""
        for said, reason in (
            (b"\x16\x03\x01\0\0", "client_hello_malformed"),
            (b"\x16\x03\x01\0\x04\x02\0\0\0", "client_hello_malformed"),
            (bytes.fromhex("802e0100020015000000100100800700c0030080060040020080040080"), "client_hello_malformed"),
            (b"\x16\x03\x01\x40\0\x01\0\x40\0" + bytes(100), "client_hello_too_large"),
        ):
            peer = self.connect(self.port)
            peer.send(said)
            self.assertEqual(peer.rest(), _DECODE_ERROR)
            self.assertEqual(self.records(1)[0]["reason"], reason)
        self.assertEqual(self.metric('balancer_errors_total{listener="tls",reason="client_hello_malformed"}'), 3.0)

    def test_silence(self) -> None:
        """A client that says nothing, or never ends its hello, is closed after its time."""
        self.running.stop()
        self.listen(keys="    timeouts: {hello: 300ms}\n")
        for said in (b"", HELLOS["chromium"][:-1]):
            peer = self.connect(self.port)
            peer.send(said)
            self.assertEqual(peer.rest(), b"")
            (record,) = self.records(1)
            self.assertEqual(record["reason"], "client_hello_timeout")
        self.assertEqual(record["detail"], f"no more than {len(HELLOS['chromium']) - 1} bytes in 0.3 s")

    def test_larger_hellos(self) -> None:
        """More than sixteen KiB are allowed where the operator says so, and reach the server whole."""
        many = ",".join(f"protocol-{number:04}" for number in range(1500))
        command = [need("openssl"), "s_client", "-connect", f"127.0.0.1:{self.port}", "-servername", "api.example"]
        command += ["-alpn", many, "-CAfile", str(self.servers / "api.pem"), "-verify_return_error"]

        def done() -> bytes:
            return subprocess.run(command, input=b"", capture_output=True, timeout=60, check=False).stdout

        self.assertIn(b"no peer certificate available", done())
        self.assertEqual(self.records(1)[0]["reason"], "client_hello_too_large")
        self.reloaded(keys="    tcp: {hello_size: 64KiB}\n")
        self.assertIn(b"CN = api", done())
        self.assertEqual(len(self.records(1)[0]["alpn"]), 16)

    def test_server_that_speaks_first(self) -> None:
        """Where no route asks for the hello nobody waits for it: a silent client hears its server's greeting."""
        greeting = self.server(lambda peer: (peer.send(b"220 mail\r\n"), peer.rest()) and None)
        port = free_port()
        running = self.run_balancer(
            f"listeners: {{mail: {{bind: '127.0.0.1:{port}', protocol: tcp, timeouts: {{hello: 100ms}}, pool: mail}}}}\n"
            f"pools: {{mail: {{servers: ['{greeting.address}']}}}}\n"
        )
        running.wait_for(port)
        peer = self.connect(port)
        self.assertEqual(peer.until(b"\r\n"), b"220 mail\r\n")

    def test_crowd_and_reloads(self) -> None:
        """Hundreds of sessions, while routes come and go: each gets its server, and those that are open stay."""
        kept = self.handshake("shop.example", "shop", "http/1.1")
        failures: list[str] = []
        counts: Counter[str] = Counter()

        def client(number: int) -> None:
            name, ca = (("shop.example", "shop"), ("x.wild.example", "wild"), ("other.example", "shop"))[number % 3]
            try:
                for _ in range(15):
                    with socket.create_connection(("127.0.0.1", self.port), 20) as plain:
                        context = ssl.create_default_context(cafile=str(self.servers / f"{ca}.pem"))
                        with context.wrap_socket(plain, server_hostname=name) as tls:
                            tls.sendall(b"GET / HTTP/1.0\r\n\r\n")
                            said = b""
                            while more := tls.recv(4096):
                                said += more
                    if f"\r\n{ca} over".encode() not in said:
                        raise AssertionError(said)
                    counts[ca] += 1
            except Exception as error:
                failures.append(f"{name}: {error!r}")

        threads = [threading.Thread(target=client, args=(number,)) for number in range(24)]
        for thread in threads:
            thread.start()
        turn = 0
        while any(thread.is_alive() for thread in threads) or turn < 3:
            turn += 1
            self.reloaded(routes="      - {name: more, match: {sni: more.example}, pool: api}\n" if turn % 2 else "")
        for thread in threads:
            thread.join()
        self.assertEqual((failures, counts), ([], {"shop": 240, "wild": 120}))
        kept.sendall(b"GET / HTTP/1.0\r\n\r\n")
        self.assertIn(b"200 OK", kept.recv(4096))
        self.reloaded(routes="      - {name: more, match: {sni: '*.more.example'}, pool: shop}\n")
        with self.assertRaisesRegex(ssl.SSLCertVerificationError, "doesn't match|not valid for"):
            self.handshake("a.more.example", "shop")
        wait_until(lambda: "more" in {record["route"] for record in self.running.records(1)})

    def test_workers(self) -> None:
        """With several workers, each looks at the hellos of its own clients."""
        self.running.stop()
        self.port, self.metrics = free_port(), free_port()
        self.running = self.run_balancer("workers: 2\n" + self.configuration())
        self.running.wait_for(self.port)
        for _ in range(12):
            said = self.curl("api.example", "--http1.1", ca="api")
            self.assertEqual(said.returncode, 0, said.stderr)
