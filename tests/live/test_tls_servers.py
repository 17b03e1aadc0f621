"""TLS to servers: nginx with good and bad certificates, spoken to by HTTP and TCP listeners and by probes."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.live.balancers import BIN, BalancerTestCase, RunningBalancer, wait_until
from tests.live.processes import free_port
from tests.live.programs import need
from tests.tls.authority import Authority, Issued

CA = Authority("Test CA")
OTHER = Authority("Another CA")
SERVER = CA.issue("app.internal", "127.0.0.1")
ALICE = CA.issue("alice", client=True)


class NginxTLSTests(BalancerTestCase):
    def setUp(self) -> None:
        self.at = self.folder()
        (self.at / "ca.pem").write_bytes(CA.issued.cert)
        (self.at / "other.pem").write_bytes(OTHER.issued.cert)

    def nginx(self, issued: Issued, more: str = "", kind: str = "ssl") -> int:
        """Run nginx with this certificate; it tells protocol, name and client. Return its port."""
        port, here = free_port(), self.folder()
        issued.write(here / "cert.pem", here / "key.pem")
        paths = "".join(
            f"{each}_temp_path {here}/{each};" for each in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        (here / "nginx.conf").write_text(
            f"daemon off; pid {here}/pid; error_log {here}/error.log; events {{}} http {{ access_log off; {paths}"
            f" server {{ listen 127.0.0.1:{port} {kind}; ssl_certificate {here}/cert.pem; ssl_certificate_key {here}/key.pem;"
            f" ssl_client_certificate {self.at}/ca.pem; {more}"
            f' location / {{ return 200 "$server_protocol $ssl_server_name $ssl_client_s_dn $ssl_session_reused $request_method"; }} }} }}'
        )
        nginx = subprocess.Popen(
            [need("nginx"), "-c", f"{here}/nginx.conf", "-p", str(here)],
            stdin=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self.addCleanup(nginx.wait)
        self.addCleanup(nginx.terminate)
        wait_until(lambda: self.get_code(port))
        return port

    def get_code(self, port: int) -> bool:
        try:
            self.connect(port).close()
        except OSError:
            return False
        return True

    def begin(self, port: int, tls: str, pool: str = "") -> tuple[RunningBalancer, int]:
        return self.web(f"127.0.0.1:{port}", pool=f"tls: {{{tls.replace('AT', str(self.at))}}}\n{pool}")

    def test_http(self) -> None:
        """HTTP/1.1 and HTTP/2 by what both agree on; the name is asked for and verified; connections are kept."""
        for kind, spoken in (("ssl", "HTTP/1.1"), ("ssl http2", "HTTP/2.0")):
            running, port = self.begin(self.nginx(SERVER, kind=kind), "ca: AT/ca.pem, server_name: app.internal")
            for _ in range(3):
                answer = self.get(port)
                self.assertEqual((answer.status, answer.body.split()[:2]), (200, [spoken.encode(), b"app.internal"]))
            self.assertEqual([each["connect"] > 0 for each in running.records(3)], [True, False, False])

    def test_by_address(self) -> None:
        """Without a name the server has to prove its address; and a whole upload goes through."""
        _, port = self.begin(self.nginx(SERVER), "ca: AT/ca.pem")
        self.assertEqual(self.get(port).status, 200)
        done = subprocess.run(
            [need("curl"), "-sS", "--data-binary", "@-", f"http://127.0.0.1:{port}/"],
            input=bytes(700_000),
            capture_output=True,
            timeout=40,
        )
        self.assertIn(b"POST", done.stdout, done.stderr)

    def test_client_certificate(self) -> None:
        """A server that wants to know who we are is shown our certificate; without it, it refuses in its own words."""
        ALICE.write(self.at / "alice.pem", self.at / "alice.key")
        server = self.nginx(SERVER, more="ssl_verify_client on;")
        shown = "ca: AT/ca.pem, certificate: {cert: AT/alice.pem, key: AT/alice.key}"
        _, port = self.begin(server, shown)
        self.assertIn(b"CN=alice", self.get(port).body)
        _, port = self.begin(server, "ca: AT/ca.pem")
        self.assertNotEqual(self.get(port).status, 200)

    def test_refused(self) -> None:
        """Another name, another authority, itself alone, an old one: 502, with a reason for the client and words in the log."""
        cases = (
            (SERVER, "ca: AT/ca.pem, server_name: other.internal", "app.internal"),
            (SERVER, "ca: AT/other.pem", "issuer"),
            (OTHER.issued, "ca: AT/ca.pem", "self"),
            (CA.issue("127.0.0.1", days=-1, age=3), "ca: AT/ca.pem", "expired"),
        )
        for issued, tls, words in cases:
            running, port = self.begin(self.nginx(issued), tls, "retry: false\n")
            answer = self.get(port)
            self.assertEqual(answer.status, 502, words)
            self.assertIn("tls_certificate_error", answer.headers["proxy-status"])
            (record,) = running.records(1)
            self.assertEqual(record["reason"], "tls_certificate_error")
            self.assertIn(words, record["detail"])
        _, port = self.begin(self.nginx(OTHER.issued), "verify: false")
        self.assertEqual(self.get(port).status, 200)

    def test_no_tls_there(self) -> None:
        """A server without TLS is none that can be spoken to."""
        running, port = self.begin(self.nginx(SERVER, kind=""), "ca: AT/ca.pem", "retry: false\n")
        self.assertEqual(self.get(port).status, 502)
        self.assertTrue(running.records(1)[0]["reason"].startswith("tls_"))

    def test_probes(self) -> None:
        """Probes speak TLS too, and find a server that is somebody else down."""
        good, bad = self.nginx(SERVER), self.nginx(OTHER.issued)
        running, port = self.web(
            f"127.0.0.1:{good}",
            f"127.0.0.1:{bad}",
            pool=f"tls: {{ca: {self.at}/ca.pem}}\nhealth: {{probe: {{http: {{path: /}}}}, interval: 200ms, fall: 1}}\n",
        )
        wait_until(
            lambda: f"127.0.0.1:{bad} of pool web is down" in running.output.read_text() or self.down(running, bad)
        )
        for _ in range(10):
            self.assertEqual(self.get(port).status, 200)

    def down(self, running: RunningBalancer, port: int) -> bool:
        return any(f":{port}" in line and "down" in line for line in running.output.read_text().splitlines())

    def test_tcp(self) -> None:
        """A TCP listener takes plain bytes and speaks TLS with the server."""
        port, server = free_port(), self.nginx(SERVER)
        running = self.run_balancer(
            f"listeners: {{raw: {{bind: '127.0.0.1:{port}', protocol: tcp, pool: app}}}}\n"
            f"pools: {{app: {{servers: ['127.0.0.1:{server}'], tls: {{ca: {self.at}/ca.pem}}}}}}\n"
        )
        running.wait_for(port)
        self.assertIn(b"HTTP/1.1", self.get(port).body)

    def test_checked(self) -> None:
        """Files that cannot be used are told of at their key."""
        file = Path(self.at / "bad.yaml")
        file.write_text(
            "listeners: {web: {bind: '127.0.0.1:1', pool: app}}\n"
            "pools: {app: {servers: ['127.0.0.1:2'], tls: {ca: missing.pem, certificate: {cert: ca.pem}}}}\n"
        )
        done = subprocess.run([BIN / "balancer", "check", file], capture_output=True, text=True, timeout=40)
        self.assertEqual(done.returncode, 1)
        self.assertIn("pools.app.tls.ca: ", done.stdout + done.stderr)
        self.assertIn("pools.app.tls.certificate.cert: ", done.stdout + done.stderr)
