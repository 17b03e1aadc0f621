"""Certificates ordered from a real authority: Caddy's ACME server, which asks for the proofs itself."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import ssl
import struct
import subprocess
import sys
import threading
import urllib.request
from pathlib import Path
from typing import Any

from cryptography import x509
from twisted.trial.unittest import SkipTest

from balancer.acme.storage import certificate_path
from tests.acme.stub import StubAuthority
from tests.acme.test_conversation import SECRET
from tests.live.balancers import BIN, OK, BalancerTestCase, Peer, RunningBalancer, answering, wait_until
from tests.live.processes import free_port
from tests.live.programs import need
from tests.live.test_workers import alive
from tests.tls.authority import Authority

HOOK = """
import pathlib, sys
folder, action, name, value = sys.argv[1:]
path = pathlib.Path(folder, name)
with open(pathlib.Path(folder, "calls"), "a") as calls:
    calls.write(action + " " + name + "\\n")
if action == "present":
    path.write_text(value)
else:
    path.unlink()
"""

PATIENCE = 60.0


def own_address() -> str:
    """Return a loopback address that no other test has: authorities ask port 80, which cannot be chosen."""
    high, low = divmod(free_port(), 256)
    return f"127.80.{high}.{low}"


class AuthorityServer:
    """Caddy, which issues certificates for 12 hours; for it, ``names`` are at the address ``host``."""

    def __init__(
        self, test: BalancerTestCase, host: str, names: tuple[str, ...], *, policy: str = "", port: int = 0
    ) -> None:
        caddy = BIN / "caddy"
        program = str(caddy) if caddy.exists() else need("caddy")
        if subprocess.run([need("unshare"), "-m", "true"], capture_output=True, check=False).returncode:
            raise SkipTest("no mount namespaces may be made here")
        self.at = test.folder()
        self.port = port or free_port()
        hosts = self.at / "hosts"
        hosts.write_text("127.0.0.1 localhost\n" + "".join(f"{host} {name}\n" for name in names))
        config = self.at / "Caddyfile"
        config.write_text(
            "{\n  admin off\n  skip_install_trust\n  auto_https disable_redirects\n  default_bind 127.0.0.1\n}\n"
            f"https://127.0.0.1:{self.port} {{\n  tls internal\n  acme_server {{\n{policy}  }}\n}}\n"
        )
        self.command = [need("unshare"), "-m", "sh", "-c", 'mount --bind "$0" /etc/hosts && exec "$@"']
        self.command += [str(hosts), program, "run", "--config", str(config), "--adapter", "caddyfile"]
        self.process: subprocess.Popen[bytes] | None = None
        test.addCleanup(self.stop)

    def start(self) -> None:
        environment = os.environ | {
            "XDG_DATA_HOME": str(self.at),
            "XDG_CONFIG_HOME": str(self.at),
            "HOME": str(self.at),
        }
        with (self.at / "caddy.log").open("ab") as log:
            self.process = subprocess.Popen(
                self.command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment
            )

        def up() -> bool:
            assert self.process is not None
            if self.process.poll() is not None:
                raise AssertionError((self.at / "caddy.log").read_text())
            if not self.root.exists():
                return False
            try:
                context = ssl.create_default_context(cafile=str(self.root))
                with urllib.request.urlopen(self.directory, context=context, timeout=5) as answer:
                    return bool(json.load(answer)["newOrder"])
            except OSError:
                return False

        wait_until(up, PATIENCE)

    def stop(self) -> None:
        if self.process is not None:
            self.process.terminate()
            self.process.wait()
            self.process = None

    @property
    def root(self) -> Path:
        return self.at / "caddy/pki/authorities/local/root.crt"

    @property
    def directory(self) -> str:
        return f"https://127.0.0.1:{self.port}/acme/local/directory"


class NameServer:
    """Answers questions for TXT records with what is in the file of that name in ``folder``."""

    def __init__(self, test: BalancerTestCase, folder: Path) -> None:
        self.folder = folder
        self.skt = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.skt.bind(("127.0.0.1", 0))
        self.skt.settimeout(1.0)
        self.port = self.skt.getsockname()[1]
        self._ended = threading.Event()
        thread = threading.Thread(target=self._serve, daemon=True)
        thread.start()
        test.addCleanup(thread.join)
        test.addCleanup(self._ended.set)

    def _serve(self) -> None:
        while not self._ended.is_set():
            try:
                data, peer = self.skt.recvfrom(4096)
            except TimeoutError:
                continue
            self.skt.sendto(self._answer(data), peer)
        self.skt.close()

    def _answer(self, data: bytes) -> bytes:
        labels, at = [], 12
        while data[at]:
            labels.append(data[at + 1 : at + 1 + data[at]].decode())
            at += 1 + data[at]
        question = data[12 : at + 5]
        path = self.folder / ".".join(labels).lower()
        if question[-4:-2] != b"\0\x10" or not path.exists():
            return data[:2] + b"\x84\x03\0\1\0\0\0\0\0\0" + question
        text = path.read_bytes()
        answer = b"\xc0\x0c\0\x10\0\1\0\0\0\0" + struct.pack("!HB", len(text) + 1, len(text)) + text
        return data[:2] + b"\x84\0\0\1\0\1\0\0\0\0" + question + answer


class AcmeTests(BalancerTestCase):
    """Ordered, served, renewed."""

    def setUp(self) -> None:
        if os.geteuid() != 0:
            raise SkipTest("authorities ask port 80, which takes root")
        self.at = self.folder()
        self.storage = self.at / "storage"
        self.port = free_port()
        self.host = own_address()

    def authority(self, *names: str, start: bool = True, **settings: Any) -> AuthorityServer:
        server = AuthorityServer(self, self.host, names, **settings)
        if start:
            server.start()
        return server

    def text(self, authority: AuthorityServer, acme: str, *, top: str = "", hosts: str = "shop.test") -> str:
        server = self.server(answering(OK))
        self.admin = self.at / "admin.sock"
        self.metrics = free_port()
        return (
            f"access_log: {{format: json, path: '@log@'}}\ngraceful_timeout: 2s\n{top}\n"
            f"admin: {{bind: 'unix:{self.admin}'}}\nmetrics: {{bind: '127.0.0.1:{self.metrics}'}}\n"
            f"listeners:\n  plain: {{bind: '{self.host}:80', redirect_https: {self.port}}}\n"
            f"  web:\n    bind: 127.0.0.1:{self.port}\n    tls:\n      acme:\n"
            f"        directory: {authority.directory}\n        storage: {self.storage}\n        ca: {authority.root}\n"
            f"        agree_terms: true\n{acme}"
            f"    routes: [{{match: {{host: [{hosts}]}}, pool: app}}, {{respond: 421}}]\n"
            f"pools: {{app: {{servers: ['{server.address}']}}}}\n"
        )

    def run_acme(self, text: str) -> RunningBalancer:
        running = self.run_balancer(text)
        running.wait_for(self.port)
        return running

    def shown(self, name: str, authority: AuthorityServer | None = None) -> x509.Certificate | None:
        """Return what is shown for ``name``, None where ``authority`` has not issued it."""
        context = ssl.create_default_context(cafile=None if authority is None else str(authority.root))
        if authority is None:
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        with socket.create_connection(("127.0.0.1", self.port), PATIENCE) as skt:
            try:
                with context.wrap_socket(skt, server_hostname=name) as shaken:
                    data: Any = shaken.getpeercert(True)
            except ssl.SSLCertVerificationError:
                return None
        return x509.load_der_x509_certificate(data)

    def get_shop(self, authority: AuthorityServer) -> int:
        """Return the status of a request for the shop, over TLS."""
        context = ssl.create_default_context(cafile=str(authority.root))
        with socket.create_connection(("127.0.0.1", self.port), PATIENCE) as skt:
            with context.wrap_socket(skt, server_hostname="shop.test") as shaken:
                shaken.sendall(f"GET / HTTP/1.1\r\nHost: shop.test:{self.port}\r\nConnection: close\r\n\r\n".encode())
                return int(shaken.recv(64).split()[1])

    def status(self) -> Any:
        command = [str(BIN / "balancer"), "ctl", "--admin", f"unix:{self.admin}", "status", "--json"]
        return json.loads(subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout)

    def test_issued(self) -> None:
        """A listener without certificates shows a stand-in, has one issued, and shows it; connections stay; it lasts across a restart."""
        authority = self.authority("shop.test")
        text = self.text(authority, "        email: admin@shop.test\n")
        running = self.run_acme(text)
        first = self.shown("shop.test")
        assert first is not None
        found = wait_until(lambda: self.shown("shop.test", authority), PATIENCE)
        self.assertNotEqual(first, found)
        self.assertEqual(_names(found), ["shop.test"])
        (order,) = self.status()["acme"]
        self.assertEqual((order["name"], order["state"], order["failures"]), ("shop.test", "good", 0))
        files = list(self.storage.rglob("*"))
        for path in (self.storage, *files):
            self.assertEqual(path.stat().st_mode & 0o777, 0o700 if path.is_dir() else 0o600, path)
        running.stop()
        authority.stop()
        again = self.run_acme(text)
        self.assertEqual(self.shown("shop.test", authority), found)
        self.assertNotIn("certificate for", again.output.read_text())

    def test_tls_alpn(self) -> None:
        """Proved by TLS alone, in every worker, with no certificate yet and strict names; nobody else sees it, and no log has it."""
        authority = self.authority("shop.test", "www.shop.test", policy="    challenges tls-alpn-01\n")
        text = self.text(
            authority,
            "        challenge: tls-alpn-01\n        names: [[shop.test, www.shop.test]]\n      strict_sni: true\n",
            top="workers: 2",
        )
        text = text.replace(f"bind: 127.0.0.1:{self.port}\n", f"bind: ['127.0.0.1:{self.port}', '{self.host}:443']\n")
        running = self.run_acme(text)
        found = wait_until(lambda: self.shown("shop.test", authority), PATIENCE)
        self.assertEqual(_names(found), ["shop.test", "www.shop.test"])
        wait_until(lambda: all(self.shown("www.shop.test", authority) for _ in range(8)), PATIENCE)
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        context.set_alpn_protocols(["acme-tls/1"])
        with socket.create_connection((self.host, 443), PATIENCE) as skt, self.assertRaises(ssl.SSLError):
            context.wrap_socket(skt, server_hostname="shop.test").close()
        self.assertNotIn("Traceback", running.output.read_text())
        self.assertEqual(self.get_shop(authority), 200)
        self.assertEqual([each["host"] for each in running.records(1)], [f"shop.test:{self.port}"])
        (order,) = self.status()["acme"]
        self.assertEqual((order["name"], order["challenge"]), ("shop.test, www.shop.test", "tls-alpn-01"))

    def test_renewed(self) -> None:
        """Certificates are renewed in time, once for all workers, which all answer the authority and show the new one; connections stay."""
        authority = self.authority("shop.test")
        old = Authority("Another CA").issue("shop.test", days=5, age=60)
        file = Path(certificate_path(str(self.storage), authority.directory, "shop.test"))
        file.parent.mkdir(0o700, parents=True)
        old.write(file)
        running = self.run_acme(self.text(authority, "", top="workers: 2"))
        context = ssl.create_default_context(cadata=old.cert.decode())
        skt = socket.create_connection(("127.0.0.1", self.port), PATIENCE)
        self.addCleanup(skt.close)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        held = Peer(context.wrap_socket(skt, server_hostname="shop.test"))
        self.addCleanup(held.close)

        def all_new() -> bool:
            return all(self.shown("shop.test", authority) for _ in range(8))

        wait_until(all_new, PATIENCE)
        held.send(b"GET / HTTP/1.1\r\nHost: shop.test\r\n\r\n")
        self.assertEqual(held.response()[0], 200)
        lines = running.output.read_text().splitlines()
        told = [line.partition("for shop.test: ")[2].split()[0] for line in lines if "for shop.test: " in line]
        self.assertEqual(told, ["renewing", "issued,"])
        self.assertEqual(len({path.name for path in self.storage.rglob("*.pem")}), 1)
        text = self.get(self.metrics, "/metrics").body.decode()
        self.assertIn('balancer_acme_failures_total{name="shop.test"} 0.0', text)
        (since,) = [
            line for line in text.splitlines() if line.startswith("balancer_acme_last_success_timestamp_seconds{")
        ]
        self.assertGreater(float(since.split()[-1]), 1e9)

    def test_nobody_there(self) -> None:
        """Without the authority the service runs, says so once for each attempt, and is patient, restarts or not; mended, it goes on."""
        authority = self.authority("shop.test", start=False)
        (self.at / "ca.pem").write_text("")
        text = self.text(authority, "").replace(str(authority.root), str(self.at / "ca.pem"))
        running = self.run_acme(text)
        wait_until(lambda: "next attempt in" in running.output.read_text())
        self.assertIn("certificate for shop.test: the authority cannot be reached: ", running.output.read_text())
        self.assertIn("there is none, and clients are shown something else", running.output.read_text())
        self.assertIsNotNone(self.shown("shop.test"))
        (order,) = self.status()["acme"]
        self.assertEqual((order["state"], order["failures"]), ("waiting", 1))
        running.stop()
        authority.start()
        (self.at / "ca.pem").write_bytes(authority.root.read_bytes())
        again = self.run_acme(text)
        wait_until(lambda: self.status()["acme"])
        (order,) = self.status()["acme"]
        self.assertEqual((order["state"], order["failures"]), ("waiting", 1))
        self.assertIn(
            'balancer_acme_failures_total{name="shop.test"} 1.0', self.get(self.metrics, "/metrics").body.decode()
        )
        again.reload(
            again.file.read_text().replace("agree_terms: true", "agree_terms: true\n        email: admin@shop.test")
        )
        wait_until(lambda: self.shown("shop.test", authority), PATIENCE)
        self.assertNotIn("Traceback", running.output.read_text() + again.output.read_text())

    def test_silent(self) -> None:
        """An authority that says nothing keeps nobody waiting: requests are served, and the process ends when it is told to."""

        def say_nothing(peer: Peer) -> None:
            asked.append(peer.exactly(1))
            peer.rest()

        asked: list[bytes] = []
        server = self.server(say_nothing)
        authority = self.authority(start=False, port=server.port)
        (self.at / "ca.pem").write_bytes(Authority("CA").issued.cert)
        running = self.run_acme(self.text(authority, "").replace(str(authority.root), str(self.at / "ca.pem")))
        wait_until(lambda: asked)
        self.assertEqual([each["state"] for each in self.status()["acme"]], ["ordering"])
        self.assertEqual(self.get(self.port, "/").status, 400)
        self.assertEqual(running.stop(), 0)
        self.assertNotIn("Traceback", running.output.read_text())

    def test_one_of_two(self) -> None:
        """What is wrong with one name leaves the others alone; the log says what the authority found."""
        authority = self.authority("shop.test")
        running = self.run_acme(self.text(authority, "", hosts="lost.test, shop.test"))
        wait_until(lambda: self.shown("shop.test", authority), PATIENCE)
        wait_until(
            lambda: "certificate for lost.test: the authority did not find the proof" in running.output.read_text(),
            PATIENCE,
        )
        states = {each["name"]: each["state"] for each in self.status()["acme"]}
        self.assertEqual(states, {"lost.test": "waiting", "shop.test": "good"})

    def test_dns(self) -> None:
        """A wildcard, proved in the DNS by a program, which is called for the end of it too."""
        records = self.at / "records"
        records.mkdir()
        names = NameServer(self, records)
        hook = self.at / "hook.py"
        hook.write_text(HOOK)
        policy = f"    challenges dns-01\n    resolvers udp/127.0.0.1:{names.port}\n"
        authority = self.authority(policy=policy)
        acme = (
            "        names: ['*.sites.test']\n        challenge: dns-01\n"
            f"        dns_hook: ['{sys.executable}', '{hook}', '{records}']\n"
        )
        running = self.run_acme(self.text(authority, acme, hosts="'*.sites.test'"))
        try:
            found = wait_until(lambda: self.shown("a.sites.test", authority), PATIENCE)
        except AssertionError:
            raise AssertionError(running.output.read_text()) from None
        self.assertEqual(_names(found), ["*.sites.test"])
        calls = (records / "calls").read_text().splitlines()
        self.assertEqual(calls, ["present _acme-challenge.sites.test", "cleanup _acme-challenge.sites.test"])


class CommercialTests(BalancerTestCase):
    """An authority that wants to know who we are, and says when to renew."""

    def setUp(self) -> None:
        self.at = self.folder()
        self.stub = StubAuthority(self.at, {"kid-1": SECRET})
        self.addCleanup(self.stub.close)
        self.stub.required = True
        self.stub.profiles = {"shortlived": "https://stub/shortlived"}
        self.port = free_port()
        self.admin = self.at / "admin.sock"
        (self.at / "hmac").write_text(SECRET + "\n")

    def text(self, more: str = "") -> str:
        server = self.server(answering(OK))
        return (
            f"graceful_timeout: 2s\nadmin: {{bind: 'unix:{self.admin}'}}\n"
            f"listeners:\n  web:\n    bind: 127.0.0.1:{self.port}\n    tls:\n      acme:\n"
            f"        directory: {self.stub.directory}\n        storage: {self.at}/storage\n        ca: {self.stub.ca}\n"
            f"        agree_terms: true\n        challenge: tls-alpn-01\n        names: [[shop.test, www.shop.test]]\n"
            f"        eab: {{kid: kid-1, hmac_key: !file '{self.at}/hmac'}}\n        profile: shortlived\n"
            f"        key_type: rsa-2048\n        preferred_chain: Other Root\n{more}"
            f"    pool: app\npools: {{app: {{servers: ['{server.address}']}}}}\n"
        )

    def ask(self, *words: str) -> Any:
        command = [str(BIN / "balancer"), "ctl", "--admin", f"unix:{self.admin}", *words]
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout

    def order(self) -> Any:
        (order,) = json.loads(self.ask("status", "--json"))["acme"]
        return order

    def test_suggested(self) -> None:
        """Bound, for two names, by a profile, with an RSA key and another chain; renewed at once where the authority says so."""
        first: list[str] = []

        def window(name: str) -> tuple[int, Any, dict[str, str]]:
            first.append(name)
            years = ("2020", "2021") if name == first[0] else ("2090", "2091")
            start, end = (f"{year}-01-01T00:00:00Z" for year in years)
            return 200, {"suggestedWindow": {"start": start, "end": end}}, {"Retry-After": "21600"}

        self.stub.window = window
        running = self.run_balancer(self.text())
        running.wait_for(self.port)
        wait_until(lambda: self.order()["suggested"], PATIENCE)
        self.assertEqual(self.order()["state"], "waiting")  # nothing is renewed within an hour
        running.stop()
        (attempts,) = (self.at / "storage").rglob("attempts.json")
        attempts.write_text(re.sub(r'"pause": [0-9.]+', '"pause": 0.0', attempts.read_text()))
        running = self.run_balancer(self.text())
        running.wait_for(self.port)
        wait_until(lambda: len(set(first)) == 2, PATIENCE)
        wait_until(lambda: self.order()["suggested"], PATIENCE)
        self.assertEqual([each.get("replaces") for each in self.stub.orders], [None, first[0]])
        self.assertEqual({each["profile"] for each in self.stub.orders}, {"shortlived"})
        self.assertEqual([each["kid"] for each in self.stub.accounts.values()], ["kid-1"])
        order = self.order()
        self.assertEqual((order["name"], order["state"]), ("shop.test, www.shop.test (rsa-2048)", "good"))
        context = ssl.create_default_context(cadata=self.stub.other.issued.cert.decode())
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN

        def shown() -> bool:
            with socket.create_connection(("127.0.0.1", self.port), PATIENCE) as skt:
                try:
                    context.wrap_socket(skt, server_hostname="www.shop.test").close()
                except ssl.SSLCertVerificationError:
                    return False
            return True

        wait_until(shown, PATIENCE)
        self.assertNotIn(SECRET, running.output.read_text() + self.ask("status"))
        self.assertNotIn("Traceback", running.output.read_text())

    def _hold(self) -> threading.Event:
        """Have the authority say nothing to who orders, until what is returned is set."""
        release = threading.Event()
        self.addCleanup(release.set)

        def refuse(what: str) -> None:
            if what == "order":
                release.wait(PATIENCE)

        self.stub.refuse = refuse
        return release

    def test_restart_loop(self) -> None:
        """A service that dies again and again in the middle of an order asks the authority once."""
        self._hold()
        for _ in range(3):
            running = self.run_balancer(self.text())
            running.wait_for(self.port)
            wait_until(lambda: "order" in self.stub.asked, PATIENCE)
            wait_until(lambda: self.order()["state"] in ("ordering", "waiting"))
            running.process.kill()
            running.process.wait()
        self.assertEqual(self.stub.asked.count("order"), 1)

    def test_upgrade(self) -> None:
        """A process that takes over in the middle of an order goes on with it later; a reload with other settings at once."""
        release = self._hold()
        running = self.run_balancer(self.text())
        running.wait_for(self.port)
        wait_until(lambda: "order" in self.stub.asked, PATIENCE)
        self.ask("upgrade")
        successor = json.loads(self.ask("status", "--json"))["pid"]
        self.addCleanup(self._end, successor)
        self.assertNotEqual(successor, running.pid)
        self.assertEqual(running.process.wait(PATIENCE), 0)
        (order,) = json.loads(self.ask("status", "--json"))["acme"]
        self.assertIn(order["state"], ("waiting", "due"))
        release.set()
        running.file.write_text(
            running.file.read_text().replace("agree_terms", "email: a@shop.test\n        agree_terms")
        )
        self.ask("reload")
        wait_until(lambda: self.order()["state"] == "good", PATIENCE)

    def _end(self, pid: int) -> None:
        os.kill(pid, signal.SIGTERM)
        wait_until(lambda: not alive(pid))


def _names(certificate: x509.Certificate) -> list[str]:
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return names.get_values_for_type(x509.DNSName)
