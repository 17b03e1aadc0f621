"""The PROXY protocol with haproxy, nginx and curl, before the balancer and behind it."""

from __future__ import annotations

import hashlib
import json
import os
import re
import socket
import ssl
import subprocess
import threading
import time
from typing import Any

from balancer.model.address import Peer as End
from balancer.wire.proxy_protocol import Header, Reader, v1, v2
from tests.live.balancers import BIN, OK, BalancerTestCase, Peer, RunningBalancer, Server, answering, wait_until
from tests.live.processes import free_port
from tests.live.programs import need
from tests.tls.authority import Authority
from tests.wire.proxy_protocol.headers import BAD, GOOD

CLIENT, LOCAL = End("192.0.2.7", 7007), End("203.0.113.7", 443)
GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
SOMEBODY = "127.0.0.77"
"""A client that is not the proxy, as every address of 127.0.0.0/8 is this machine's."""
_NGINX = """
load_module /usr/lib/nginx/modules/ngx_stream_module.so;
daemon off; pid {folder}/nginx.pid; error_log {folder}/error.log; worker_processes 1;
events {{ worker_connections 64; }}
{parts}
"""


class _Story(BalancerTestCase):
    """A balancer with an HTTP listener and a TCP listener, on either reactor."""

    timeout = 120

    def setUp(self) -> None:
        self.at = self.folder()

    def begin(
        self, http: str = "", stream: str = "", top: str = "", reactor: str = "uv", **pools: str
    ) -> RunningBalancer:
        """Run a balancer; ``http`` and ``stream`` are more settings of its listeners, the others those of its pools ``web`` and ``tcp``."""
        self.web_port, self.tcp_port, self.metrics = free_port(), free_port(), free_port()
        to = "" if "routes:" in stream else f"pool: {'tcp' if 'tcp' in pools else 'web'}, "
        lines = {"web": "servers: ['127.0.0.1:1']", **pools}
        self.text = (
            f"access_log: {{format: json, path: '@log@'}}\ngraceful_timeout: 2s\n{top}\n"
            f"metrics: {{bind: '127.0.0.1:{self.metrics}'}}\nlisteners:\n"
            f"  web: {{bind: '127.0.0.1:{self.web_port}', protocol: http, pool: web, {http}}}\n"
            f"  tcp: {{bind: '127.0.0.1:{self.tcp_port}', protocol: tcp, {to}{stream}}}\n"
            "pools:\n" + "".join(f"  {name}: {{{text}}}\n" for name, text in lines.items())
        )
        running = self.run_balancer(
            self.text, command=[str(BIN / "balancer"), "run", "--reactor", reactor, "balancer.yaml"]
        )
        running.wait_for(self.web_port)
        running.wait_for(self.metrics)
        return running

    def metric(self, name: str, **labels: str) -> float:
        text = self.get(self.metrics, "/metrics").body.decode()
        wanted = ",".join(f'{key}="{value}"' for key, value in sorted(labels.items()))
        found = re.search(rf"^{name}\{{{re.escape(wanted)}\}} (\S+)$", text, re.MULTILINE)
        return float(found[1]) if found else 0.0

    def start(self, *command: str, port: int) -> None:
        output = self.at / "output.txt"
        with output.open("ab") as file:
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=file, stderr=file, cwd=self.at)
        self.addCleanup(process.wait)
        self.addCleanup(process.terminate)  # nginx ends its workers with it

        def up() -> bool:
            if process.poll() is not None:
                raise AssertionError(output.read_text())
            with socket.socket() as skt:
                return skt.connect_ex(("127.0.0.1", port)) == 0

        wait_until(up)

    def haproxy(self, text: str, port: int) -> None:
        file = self.at / f"haproxy-{port}.cfg"
        file.write_text(f"defaults\n  timeout connect 5s\n  timeout client 20s\n  timeout server 20s\n{text}\n")
        self.start(need("haproxy"), "-db", "-f", str(file), port=port)

    def nginx(self, parts: str, port: int) -> None:
        file = self.at / f"nginx-{port}.conf"
        file.write_text(_NGINX.format(folder=self.at, parts=parts))
        self.start(need("nginx"), "-c", str(file), "-p", str(self.at), port=port)

    def curl(self, url: str, *words: str) -> str:
        command = [need("curl"), "-sS", "--max-time", "20", *words, url]
        done = subprocess.run(command, capture_output=True, text=True, timeout=40)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout

    def dial(self, port: int, source: str = "127.0.0.1") -> Peer:
        peer = Peer(socket.create_connection(("127.0.0.1", port), 20, source_address=(source, 0)))
        peer.skt.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.addCleanup(peer.close)
        return peer

    def seeing(self) -> Server:
        """Return a server that answers with the forwarding headers that it got, as JSON."""

        def talk(peer: Peer) -> None:
            while True:
                lines = peer.head().decode("latin-1").split("\r\n")[1:-2]
                told = dict(line.lower().split(": ", 1) for line in lines)
                body = json.dumps(
                    {name: text for name, text in told.items() if name.startswith("x-forwarded")}
                ).encode()
                peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))

        return self.server(talk)

    def told(self, peer: Peer) -> dict[str, str]:
        found: dict[str, str] = json.loads(peer.response()[2])
        return found


def echoing() -> Any:
    """Return a server's part: say everything again."""

    def talk(peer: Peer) -> None:
        data, peer.data = peer.data, b""
        while data or (data := peer.skt.recv(65536)):
            peer.send(data)
            data = b""
        peer.skt.shutdown(socket.SHUT_WR)

    return talk


class Headers:
    """A server's part: reads the PROXY header of each connection into ``all``, then goes on with ``talk``."""

    def __init__(self, talk: Any) -> None:
        self.all: list[Header] = []
        self.talk = talk

    def __call__(self, peer: Peer) -> None:
        reader = Reader()
        header = None
        while header is None:
            data = peer.skt.recv(65536)
            if not data:
                raise EOFError
            header = reader.feed(data)
        peer.data = reader.rest
        self.all.append(header)
        self.talk(peer)


class AcceptingTests(_Story):
    """Headers from proxies in front, on both reactors."""

    def test_every_split(self) -> None:
        """A header may arrive in two pieces or in many, slowly; the client is the one that it names, everywhere."""
        server = self.seeing()
        text = f"servers: ['{server.address}']"
        for reactor in ("uv", "epoll"):
            running = self.begin("proxy_protocol: 127.0.0.1", reactor=reactor, web=text)
            count = 0
            for header in (v1.encode(CLIENT, LOCAL), v2.encode(CLIENT, LOCAL, [(2, b"a.example")], checksum=True)):
                data = header + GET
                for at in range(1, len(data), 1 if reactor == "uv" else 5):
                    client = self.dial(self.web_port)
                    client.send(data[:at])
                    time.sleep(0.001)
                    client.send(data[at:])
                    told = self.told(client)
                    self.assertEqual(told["x-forwarded-for"], "192.0.2.7")
                    self.assertEqual(told["x-forwarded-port"], "443")
                    client.close()
                    count += 1
                client = self.dial(self.web_port)
                for at in range(len(data)):
                    client.send(data[at : at + 1])
                    time.sleep(0.001)
                self.assertEqual(self.told(client)["x-forwarded-for"], "192.0.2.7")
                client.send(GET)
                self.assertEqual(self.told(client)["x-forwarded-for"], "192.0.2.7")
                client.close()
                count += 2
            records = running.records(count)
            self.assertEqual({(each["client"], each["client_port"]) for each in records}, {("192.0.2.7", 7007)})
            taken = [self.metric("balancer_proxy_headers_total", listener="web", version=each) for each in "12"]
            self.assertEqual(taken[0] + taken[1] + 2, count)
            running.stop()

    def test_every_header(self) -> None:
        """Good ones are taken, whatever they say; bad ones are closed, counted by reason, and nothing reaches the server."""
        server = self.seeing()
        running = self.begin("proxy_protocol: 127.0.0.1", web=f"servers: ['{server.address}']")
        for name, (header, source, _) in GOOD.items():
            client = self.dial(self.web_port)
            client.send(header + GET)
            host = "127.0.0.1" if source == "None" else source.rpartition(":")[0].strip("[]")
            self.assertEqual(self.told(client)["x-forwarded-for"], host, name)
            client.close()
        served = server.connections
        reasons: dict[str, int] = {}
        for name, (data, reason) in BAD.items():
            client = self.dial(self.web_port)
            client.send(data)
            self.assertEqual(client.rest(), b"", name)
            client.close()
            reasons[reason] = reasons.get(reason, 0) + 1
        for reason, count in reasons.items():
            found = self.metric("balancer_proxy_headers_refused_total", listener="web", reason=reason)
            self.assertEqual(found, count, reason)
        self.assertEqual((server.connections, len(running.records(len(GOOD)))), (served, len(GOOD)))
        self.assertEqual(running.output.read_text().count("refused a connection from"), 1)
        self.assertEqual(self.metric("balancer_connections", listener="web"), 0)

    def test_limits(self) -> None:
        """Each client has its own limit, whatever the number of connections of the proxy; those waiting have a time limit."""
        for reactor, top in (("uv", ""), ("epoll", ""), ("uv", "workers: 2")):
            server = self.server(answering(OK))
            running = self.begin(
                "proxy_protocol: {from: [127.0.0.1], timeout: 300ms}, limits: {connections_per_client: 2}",
                top=top,
                reactor=reactor,
                web=f"servers: ['{server.address}']",
            )
            kept = []
            for number in range(10):
                client = self.dial(self.web_port)
                client.send(v1.encode(End(f"192.0.2.{number // 2}", number), LOCAL) + GET)
                self.assertEqual(client.response()[0], 200)
                kept.append(client)
            over = self.dial(self.web_port)
            over.send(v1.encode(End("192.0.2.3", 99), LOCAL) + GET)
            self.assertEqual(over.rest(), b"")
            kept.pop().close()
            wait_until(lambda: self.metric("balancer_connections", listener="web") == 9)
            again = self.dial(self.web_port)
            again.send(v2.encode(End("192.0.2.4", 98), LOCAL) + GET)
            self.assertEqual(again.response()[0], 200)
            self.assertEqual(
                self.metric("balancer_connections_refused_total", limit="per_client", listener="web"), 1, (reactor, top)
            )
            silent = self.dial(self.web_port)
            silent.send(b"PROXY TCP4 ")
            self.assertEqual(silent.rest(), b"")
            self.assertEqual(self.metric("balancer_proxy_headers_refused_total", listener="web", reason="timeout"), 1)
            running.stop()

    def test_whose(self) -> None:
        """A header of anybody else is a bad request, and a TCP client without trust goes nowhere; reloads change whose it is."""
        server = self.seeing()
        running = self.begin(
            "proxy_protocol: {from: [10.0.0.1]}",
            "proxy_protocol: {from: [10.0.0.1]}",
            web=f"servers: ['{server.address}']",
        )
        client = self.dial(self.web_port)
        client.send(v1.encode(CLIENT, LOCAL) + GET)
        self.assertEqual(client.response()[0], 400)
        client = self.dial(self.web_port)
        client.send(GET)
        self.assertEqual(self.told(client)["x-forwarded-for"], "127.0.0.1")
        client = self.dial(self.tcp_port)
        self.assertEqual(client.rest(), b"")
        self.assertEqual(server.connections, 1)
        kept = self.dial(self.web_port)
        kept.send(GET)
        self.told(kept)
        text = self.text.replace("@log@", str(running.log))
        running.reload(
            text.replace("{from: [10.0.0.1]}", "true").replace("metrics:", "trusted_proxies: 127.0.0.1\nmetrics:", 1)
        )
        wait_until(lambda: "reloaded" in running.output.read_text())
        for port in (self.web_port, self.tcp_port):
            client = self.dial(port)
            client.send(v1.encode(CLIENT, LOCAL) + GET)
            self.assertEqual(self.told(client).get("x-forwarded-for"), "192.0.2.7" if port == self.web_port else None)
        kept.send(GET)
        self.assertEqual(kept.response()[0], 200)

    def test_untrusted_forwarding_headers(self) -> None:
        """A client behind a trusted proxy that passes connections on is not trusted for what it says itself."""
        server = self.seeing()
        self.begin("proxy_protocol: true", top="trusted_proxies: 127.0.0.1", web=f"servers: ['{server.address}']")
        client = self.dial(self.web_port)
        client.send(v1.encode(CLIENT, LOCAL) + GET.replace(b"\r\n\r\n", b"\r\nX-Forwarded-For: 198.51.100.1\r\n\r\n"))
        self.assertEqual(self.told(client)["x-forwarded-for"], "192.0.2.7")

    def test_tcp(self) -> None:
        """A TCP session after its header: bytes whole both ways, spliced, by the client's route and sticky by its address."""
        for reactor in ("uv", "epoll"):
            servers = [self.server(echoing()) for _ in range(2)]
            addresses = ", ".join(f"'{server.address}'" for server in servers)
            running = self.begin(
                stream="proxy_protocol: {from: [127.0.0.0/8]}",
                reactor=reactor,
                tcp=f"servers: [{addresses}], sticky: source_ip",
            )
            data = os.urandom(100_000) * 80
            for header in (v1.encode(CLIENT, LOCAL), v2.encode(CLIENT, LOCAL)):
                client = self.dial(self.tcp_port)
                sending = threading.Thread(target=self._say, args=(client, header[:7], header[7:] + data), daemon=True)
                sending.start()
                digest = hashlib.sha256()
                while piece := client.skt.recv(1_000_000):
                    digest.update(piece)
                sending.join()
                self.assertEqual(digest.digest(), hashlib.sha256(data).digest())
            records = running.records(2)
            for record in records:
                self.assertEqual(
                    (record["client"], record["bytes_in"], record["bytes_out"]), ("192.0.2.7", len(data), len(data))
                )
            self.assertEqual(len({record["server"] for record in records}), 1)
            running.stop()

    def _say(self, client: Peer, *pieces: bytes) -> None:
        for piece in pieces:
            client.send(piece)
            time.sleep(0.01)
        client.skt.shutdown(socket.SHUT_WR)

    def test_servers_that_speak_first(self) -> None:
        """A server that greets is heard once the header is there, without a word of the client."""

        def greet(peer: Peer) -> None:
            peer.send(b"220 welcome\r\n")
            peer.until(b"\r\n")

        server = self.server(greet)
        self.begin(stream="proxy_protocol: {from: [127.0.0.1]}", tcp=f"servers: ['{server.address}']")
        client = self.dial(self.tcp_port)
        client.send(v1.encode(CLIENT, LOCAL))
        self.assertEqual(client.until(b"\r\n"), b"220 welcome\r\n")

    def test_drain(self) -> None:
        """A stop waits for no header, and cuts no request whose header has come."""
        started = threading.Event()

        def slowly(peer: Peer) -> None:
            peer.head()
            started.set()
            time.sleep(0.5)
            peer.send(OK)

        server = self.server(slowly)
        running = self.begin("proxy_protocol: {from: [127.0.0.1]}", web=f"servers: ['{server.address}']")
        silent = self.dial(self.web_port)
        client = self.dial(self.web_port)
        client.send(v1.encode(CLIENT, LOCAL) + GET)
        started.wait(20)
        self.assertEqual(running.stop(), 0)
        self.assertEqual(client.response()[0], 200)
        self.assertEqual(silent.rest(), b"")

    def test_curl(self) -> None:
        """curl says itself who it is, in version 1: over plain HTTP, HTTPS and HTTP/2 of either kind."""
        Authority("Test CA").issue("localhost").write(self.at / "own.pem", self.at / "own.key")
        server = self.seeing()
        tls = f"tls: {{certificates: [{{cert: {self.at}/own.pem, key: {self.at}/own.key}}]}}"
        for scheme, settings in (("http", ""), ("https", tls)):
            for reactor in ("uv", "epoll"):
                running = self.begin(
                    f"proxy_protocol: {{from: [127.0.0.1]}}, {settings}",
                    reactor=reactor,
                    web=f"servers: ['{server.address}']",
                )
                for version in ("--http1.1", "--http2" if scheme == "https" else "--http2-prior-knowledge"):
                    words = ("--haproxy-protocol", "-k", "--local-port", "20000-60000", version)
                    told = json.loads(self.curl(f"{scheme}://127.0.0.1:{self.web_port}/", *words))
                    self.assertEqual((told["x-forwarded-for"], told["x-forwarded-proto"]), ("127.0.0.1", scheme))
                self.assertEqual(self.metric("balancer_proxy_headers_total", listener="web", version="1"), 2)
                self.assertEqual([each["version"] for each in running.records(2)], ["1.1", "2.0"])
                running.stop()

    def test_tls(self) -> None:
        """Below TLS, on HTTP and TCP listeners: the first bytes of the handshake may come with the header, or cut anywhere."""
        authority = Authority("Test CA")
        authority.issue("localhost").write(self.at / "own.pem", self.at / "own.key")
        context = ssl.create_default_context(cadata=authority.issued.cert.decode())
        context.check_hostname = False
        server = self.seeing()
        tls = f"tls: {{certificates: [{{cert: {self.at}/own.pem, key: {self.at}/own.key}}]}}"
        accepting = f"proxy_protocol: {{from: [127.0.0.1]}}, {tls}"
        running = self.begin(accepting, accepting, web=f"servers: ['{server.address}']")
        for port in (self.web_port, self.tcp_port):
            for header in (v1.encode(CLIENT, LOCAL), v2.encode(CLIENT, LOCAL)):
                for cut in (0, 5, len(header), len(header) + 1, len(header) + 50):
                    skt = socket.create_connection(("127.0.0.1", port), 20)
                    self.addCleanup(skt.close)
                    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
                    secure = context.wrap_bio(incoming, outgoing, server_hostname="localhost")
                    first = header
                    while True:
                        try:
                            secure.do_handshake()
                        except ssl.SSLWantReadError:
                            data, first = first + outgoing.read(), b""
                            if cut and data:
                                skt.sendall(data[:cut])
                                time.sleep(0.002)
                                data = data[cut:]
                            skt.sendall(data)
                            incoming.write(skt.recv(65536))
                        else:
                            break
                    secure.write(GET)
                    skt.sendall(outgoing.read())
                    answer = b""
                    while b"}" not in answer:
                        incoming.write(skt.recv(65536))
                        try:
                            answer += secure.read(65536)
                        except ssl.SSLWantReadError:
                            continue
                    self.assertIn(b"200 OK", answer)
                    if port == self.web_port:
                        self.assertIn(b'"x-forwarded-for": "192.0.2.7"', answer)
                        self.assertIn(b'"x-forwarded-proto": "https"', answer)
                    skt.close()
        records = running.records(20)
        self.assertEqual({(each["client"], each["tls"]["sni"]) for each in records}, {("192.0.2.7", "localhost")})


class BehindTests(_Story):
    """haproxy and nginx in front."""

    def test_haproxy(self) -> None:
        """Every way in which haproxy says who the client is, over HTTP and TCP; its probes are its own."""
        server = self.seeing()
        running = self.begin(
            "proxy_protocol: {from: [127.0.0.1]}",
            "proxy_protocol: {from: [127.0.0.1]}",
            web=f"servers: ['{server.address}']",
        )
        ways = (
            "send-proxy",
            "send-proxy-v2",
            "send-proxy-v2 proxy-v2-options crc32c",
            "send-proxy-v2-ssl-cn proxy-v2-options crc32c,unique-id,ssl,cert-cn",
        )
        ports = {}
        text = ""
        for at, way in enumerate(ways):
            for name, port in (("web", self.web_port), ("tcp", self.tcp_port)):
                ports[way, name] = free_port()
                text += (
                    f"listen {name}{at}\n  mode tcp\n  bind 127.0.0.1:{ports[way, name]}\n  unique-id-format %[uuid()]\n"
                    f"  server s 127.0.0.1:{port} {way} check check-send-proxy inter 200ms\n"
                )
        self.haproxy(text, ports[ways[0], "web"])
        for way in ways:
            client = self.dial(ports[way, "web"], SOMEBODY)
            client.send(GET)
            told = self.told(client)
            self.assertEqual(
                (told["x-forwarded-for"], told["x-forwarded-port"]), (SOMEBODY, str(ports[way, "web"])), way
            )
            client.close()
            client = self.dial(ports[way, "tcp"], SOMEBODY)
            port = client.skt.getsockname()[1]
            client.send(GET)
            self.told(client)
            client.close()

            def logged(port: int = port) -> bool:
                records = map(json.loads, running.log.read_text().splitlines())
                return any((each["client"], each["client_port"]) == (SOMEBODY, port) for each in records)

            wait_until(logged)
        wait_until(lambda: self.metric("balancer_proxy_headers_total", listener="web", version="2") > 6)
        for reason in ("missing", "malformed", "checksum", "too_long"):
            self.assertEqual(self.metric("balancer_proxy_headers_refused_total", listener="web", reason=reason), 0)

    def test_haproxy_with_tls(self) -> None:
        """A client that came to haproxy by TLS came by https."""
        Authority("Test CA").issue("localhost").write(self.at / "own.pem")
        server = self.seeing()
        self.begin("proxy_protocol: {from: [127.0.0.1]}", web=f"servers: ['{server.address}']")
        port = free_port()
        self.haproxy(
            f"listen web\n  mode tcp\n  bind 127.0.0.1:{port} ssl crt {self.at}/own.pem\n"
            f"  server s 127.0.0.1:{self.web_port} send-proxy-v2-ssl\n",
            port,
        )
        told = json.loads(self.curl(f"https://127.0.0.1:{port}/", "-k", "--interface", SOMEBODY))
        self.assertEqual((told["x-forwarded-for"], told["x-forwarded-proto"]), (SOMEBODY, "https"))

    def test_nginx(self) -> None:
        """nginx's stream module says it in version 1."""
        server = self.seeing()
        self.begin("proxy_protocol: {from: [127.0.0.1]}", web=f"servers: ['{server.address}']")
        port = free_port()
        self.nginx(
            f"stream {{ server {{ listen 127.0.0.1:{port}; proxy_pass 127.0.0.1:{self.web_port}; proxy_protocol on; }} }}",
            port,
        )
        client = self.dial(port, SOMEBODY)
        client.send(GET)
        told = self.told(client)
        self.assertEqual((told["x-forwarded-for"], told["x-forwarded-port"]), (SOMEBODY, str(port)))


class SendingTests(_Story):
    """Headers to servers, on both reactors."""

    def test_connections(self) -> None:
        """A connection to a server is one client's: kept for that, and for no other client."""
        for reactor in ("uv", "epoll"):
            for version in ("v1", "v2", "{version: 2, tlvs: [unique_id, ssl, alpn, authority], crc32c: true}"):
                headers = Headers(answering(OK))
                server = self.server(headers)
                running = self.begin(
                    reactor=reactor, web=f"servers: ['{server.address}'], proxy_protocol: {version}, passive: false"
                )
                clients = [self.dial(self.web_port) for _ in range(3)]
                for _ in range(3):
                    for client in clients:
                        client.send(GET)
                        self.assertEqual(client.response()[0], 200)
                names = [client.skt.getsockname() for client in clients]
                found = [(each.source.host, each.source.port) for each in headers.all if each.source is not None]
                self.assertEqual(found, names, (reactor, version))
                here = {str(each.destination) for each in headers.all}
                self.assertEqual(here, {f"127.0.0.1:{self.web_port}"})
                if "unique_id" in version:
                    ids = {each["request_id"] for each in running.records(9)}
                    self.assertLessEqual({each.unique_id.decode() for each in headers.all}, ids)
                    self.assertEqual({kind for each in headers.all for kind, _ in each.tlvs}, {3, 5})
                running.stop()

    def test_believed_client(self) -> None:
        """Behind a trusted proxy of HTTP, the client of each request is the one that its headers name."""
        headers = Headers(answering(OK))
        server = self.server(headers)
        self.begin(top="trusted_proxies: 127.0.0.1", web=f"servers: ['{server.address}'], proxy_protocol: v2")
        client = self.dial(self.web_port)
        for name in ("198.51.100.1", "198.51.100.2", "2001:db8::1", "198.51.100.1"):
            client.send(b"GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: %b\r\n\r\n" % name.encode())
            self.assertEqual(client.response()[0], 200)
        found = [each.source.host for each in headers.all if each.source is not None]
        self.assertEqual(found, ["198.51.100.1", "198.51.100.2", "2001:db8::1"])

    def test_passed_on(self) -> None:
        """What a proxy in front says is said to the servers; what it does not say is our own."""
        for reactor in ("uv", "epoll"):
            headers = Headers(echoing())
            server = self.server(headers)
            self.begin(
                stream="proxy_protocol: {from: [127.0.0.1]}",
                reactor=reactor,
                tcp=f"servers: ['{server.address}'], proxy_protocol: {{version: 2, tlvs: [unique_id]}}",
            )
            for first in (v1.encode(CLIENT, LOCAL), v2.LOCAL):
                client = self.dial(self.tcp_port)
                client.send(first + b"hello")
                self.assertEqual(client.exactly(5), b"hello")
            self.assertEqual((headers.all[0].source, headers.all[0].destination), (CLIENT, LOCAL))
            self.assertEqual(str(headers.all[1].source), f"127.0.0.1:{client.skt.getsockname()[1]}")

    def test_passed_through(self) -> None:
        """TLS that is passed through behind a header, routed by its name: the server is told client and name before the first byte of it."""
        heard: list[bytes] = []

        def hear(peer: Peer) -> None:
            data, peer.data = peer.data, b""
            while data or (data := peer.skt.recv(65536)):
                heard.append(data)
                data = b""
            peer.close()

        outgoing = ssl.MemoryBIO()
        secure = ssl.create_default_context().wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname="shop.example")
        self.assertRaises(ssl.SSLWantReadError, secure.do_handshake)
        hello = outgoing.read()
        headers = Headers(hear)
        server = self.server(headers)
        running = self.begin(
            stream="proxy_protocol: {from: [127.0.0.1]}, routes: [{match: {sni: shop.example}, pool: tcp}]",
            tcp=f"servers: ['{server.address}'], proxy_protocol: {{version: 2, tlvs: [authority, ssl]}}",
        )
        for cut in (1, 20, 31, 35, 60, 200):
            heard.clear()
            data = v2.encode(CLIENT, LOCAL) + hello
            client = self.dial(self.tcp_port)
            client.send(data[:cut])
            time.sleep(0.01)
            client.send(data[cut:])
            wait_until(lambda: b"".join(heard) == hello)
            self.assertEqual((headers.all[-1].source, headers.all[-1].authority), (CLIENT, "shop.example"))
            client.close()
        records = running.records(6)
        self.assertEqual({(each["client"], each["sni"]) for each in records}, {("192.0.2.7", "shop.example")})

    def test_terminated(self) -> None:
        """Of TLS that ends here, of a TCP listener too, servers are told version, cipher, name and protocol."""
        authority = Authority("Test CA")
        authority.issue("localhost").write(self.at / "own.pem", self.at / "own.key")
        context = ssl.create_default_context(cadata=authority.issued.cert.decode())
        headers = Headers(answering(OK))
        server = self.server(headers)
        tls = f"tls: {{certificates: [{{cert: {self.at}/own.pem, key: {self.at}/own.key}}]}}"
        self.begin(
            tls, tls, web=f"servers: ['{server.address}'], proxy_protocol: {{version: 2, tlvs: [ssl, authority]}}"
        )
        for port in (self.web_port, self.tcp_port):
            plain = socket.create_connection(("127.0.0.1", port), 20)
            secure = context.wrap_socket(plain, server_hostname="localhost")
            self.addCleanup(secure.close)
            secure.sendall(GET)
            self.assertIn(b"200 OK", secure.recv(65536))
            header = headers.all[-1]
            assert header.tls is not None
            cipher = secure.cipher()
            assert cipher is not None
            said = (header.tls.version, header.tls.cipher, header.tls.common_name, header.tls.verify, header.authority)
            self.assertEqual(said, (secure.version(), cipher[0], "", 1, "localhost"))

    def test_session_id(self) -> None:
        """The id that a server is told of a session is in the session's record."""
        headers = Headers(echoing())
        server = self.server(headers)
        running = self.begin(
            tcp=f"servers: ['{server.address}'], proxy_protocol: {{version: 2, tlvs: [unique_id], crc32c: true}}"
        )
        client = self.dial(self.tcp_port)
        data = os.urandom(5_000_000)
        sending = threading.Thread(target=client.skt.sendall, args=(data,), daemon=True)
        sending.start()
        self.assertEqual(client.exactly(len(data)), data)
        sending.join()
        client.close()
        (record,) = running.records(1)
        self.assertEqual((record["session_id"], record["bytes_in"]), (headers.all[0].unique_id.decode(), len(data)))

    def test_probes(self) -> None:
        """Probes are the balancer's own: LOCAL, or UNKNOWN in version 1; with workers too."""
        for version, top in (("v1", ""), ("v2", ""), ("v2", "workers: 2")):
            headers = Headers(answering(OK))
            server = self.server(headers)
            running = self.begin(
                top=top,
                web=f"servers: ['{server.address}'], proxy_protocol: {version}, health: {{probe: http, interval: 50ms}}",
            )
            wait_until(lambda found=headers: len(found.all) > 2)
            self.assertEqual(
                {(each.version, each.local, each.source) for each in headers.all},
                {(int(version[1]), version == "v2", None)},
            )
            state = {"pool": "web", "server": server.address, "state": "up"}
            wait_until(lambda state=state: self.metric("balancer_server_state", **state) >= 1)
            running.stop()

    def test_websocket(self) -> None:
        """An upgraded connection is one client's as well."""

        def switch(peer: Peer) -> None:
            peer.head()
            peer.send(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: own\r\n\r\n")
            peer.send(peer.exactly(5))

        headers = Headers(switch)
        server = self.server(headers)
        self.begin(web=f"servers: ['{server.address}'], proxy_protocol: v1")
        client = self.dial(self.web_port)
        client.send(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: own\r\n\r\n")
        self.assertIn(b" 101 ", client.head())
        client.send(b"hello")
        self.assertEqual(client.exactly(5), b"hello")
        self.assertEqual(str(headers.all[0].source), f"127.0.0.1:{client.skt.getsockname()[1]}")

    def test_reload(self) -> None:
        """When a pool begins or ceases to send headers, no connection of before is used for what it cannot carry."""
        headers = Headers(answering(OK))
        speaking: list[Any] = [headers]
        server = self.server(lambda peer: speaking[0](peer))
        running = self.begin(web=f"servers: ['{server.address}'], proxy_protocol: v1")
        client = self.dial(self.web_port)
        client.send(GET)
        self.assertEqual(client.response()[0], 200)
        text = self.text.replace("@log@", str(running.log))
        speaking[0] = answering(OK)
        for number, changed in enumerate((text.replace(", proxy_protocol: v1", ""), text.replace(": v1", ": v2")), 1):
            running.reload(changed)
            wait_until(lambda count=number: running.output.read_text().count("reloaded") >= count)
            client.send(GET)
            self.assertEqual(client.response()[0], 200)
            self.assertEqual(server.connections, number + 1)
            speaking[0] = headers
        self.assertEqual([each.version for each in headers.all], [1, 2])

    def test_haproxy(self) -> None:
        """haproxy takes what it is told, in both versions, with all that can be said, of HTTP and TCP."""
        port = free_port()
        self.haproxy(
            f"frontend web\n  mode http\n  bind 127.0.0.1:{port} accept-proxy\n"
            "  http-request return status 200 content-type text/plain lf-string "
            '"%[src]:%[src_port] %[dst]:%[dst_port] %[fc_pp_authority] %[fc_pp_unique_id]"\n',
            port,
        )
        Authority("Test CA").issue("localhost").write(self.at / "own.pem", self.at / "own.key")
        for version in ("v1", "v2", "{version: 2, tlvs: [authority, alpn, ssl, unique_id], crc32c: true}"):
            running = self.begin(
                f"tls: {{certificates: [{{cert: {self.at}/own.pem, key: {self.at}/own.key}}]}}",
                web=f"servers: ['127.0.0.1:{port}'], proxy_protocol: {version}, health: {{probe: {{http: {{}}}}, interval: 100ms}}",
            )
            said = self.curl(f"https://localhost:{self.web_port}/", "-k", "-4", "--interface", SOMEBODY)
            self.assertRegex(said, rf"^127\.0\.0\.77:[0-9]+ 127\.0\.0\.1:{self.web_port} ")
            if "{" in version:
                (record,) = running.records(1)
                self.assertTrue(said.endswith(f" localhost {record['request_id']}"), said)
            client = self.dial(self.tcp_port, SOMEBODY)
            client.send(GET)
            self.assertIn(f"{SOMEBODY}:{client.skt.getsockname()[1]} ".encode(), client.response()[2])
            running.stop()

    def test_nginx(self) -> None:
        """nginx takes what it is told, and finds the balancer's probes in order."""
        port = free_port()
        self.nginx(
            f"http {{ access_log off; server {{ listen 127.0.0.1:{port} proxy_protocol; location / {{ "
            'return 200 "$proxy_protocol_addr:$proxy_protocol_port $proxy_protocol_server_port"; } } }',
            port,
        )
        for version in ("v1", "v2", "{version: 2, tlvs: [ssl, unique_id], crc32c: true}"):
            running = self.begin(
                web=f"servers: ['127.0.0.1:{port}'], proxy_protocol: {version}, health: {{probe: {{http: {{}}}}, interval: 100ms}}"
            )
            client = self.dial(self.web_port, SOMEBODY)
            for _ in range(3):
                client.send(GET)
                said = client.response()[2].decode()
                self.assertEqual(said, f"{SOMEBODY}:{client.skt.getsockname()[1]} {self.web_port}")
            wait_until(
                lambda: self.metric("balancer_server_state", pool="web", server=f"127.0.0.1:{port}", state="up") == 1
            )
            running.stop()

    def test_balancer_to_balancer(self) -> None:
        """One balancer says to the next who the client is, and the next to the server."""
        server = self.seeing()
        self.begin("proxy_protocol: {from: [127.0.0.1]}", web=f"servers: ['{server.address}']")
        inner = self.web_port
        for version in ("v1", "{version: 2, tlvs: [unique_id], crc32c: true}"):
            self.begin(web=f"servers: ['127.0.0.1:{inner}'], proxy_protocol: {version}")
            for port in (self.web_port, self.tcp_port):
                client = self.dial(port, SOMEBODY)
                client.send(GET)
                told = self.told(client)
                expected = SOMEBODY
                self.assertEqual(told["x-forwarded-for"].rpartition(", ")[2], expected)
                self.assertEqual(told["x-forwarded-port"], str(port))
