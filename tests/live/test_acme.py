"""Certificates ordered from a real authority: Caddy's ACME server, which asks for the proofs itself."""

from __future__ import annotations

import json
import os
import socket
import ssl
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.x509.oid import NameOID
from twisted.trial.unittest import SkipTest

from tests.live.balancers import BIN, OK, BalancerTestCase, Peer, RunningBalancer, answering, wait_until
from tests.live.processes import free_port
from tests.live.programs import need

PATIENCE = 60.0
HOST = "127.80.2.7"
"""Where names of these tests lead, in Caddy's eyes: authorities ask port 80."""


class AuthorityServer:
    """Caddy, which issues certificates for 12 hours; for it, ``names`` are at :data:`HOST`."""

    def __init__(self, test: BalancerTestCase, names: tuple[str, ...], *, policy: str = "", port: int = 0) -> None:
        caddy = BIN / "caddy"
        program = str(caddy) if caddy.exists() else need("caddy")
        need("unshare")
        self.at = test.folder()
        self.port = port or free_port()
        hosts = self.at / "hosts"
        hosts.write_text("127.0.0.1 localhost\n" + "".join(f"{HOST} {name}\n" for name in names))
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
        environment = os.environ | {"XDG_DATA_HOME": str(self.at), "XDG_CONFIG_HOME": str(self.at), "HOME": str(self.at)}
        with (self.at / "caddy.log").open("ab") as log:
            self.process = subprocess.Popen(self.command, stdout=log, stderr=log, env=environment)

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


class AcmeTests(BalancerTestCase):
    """Ordered, served, renewed."""

    def setUp(self) -> None:
        if os.geteuid() != 0:
            raise SkipTest("authorities ask port 80, which takes root")
        self.at = self.folder()
        self.storage = self.at / "storage"
        self.port = free_port()

    def authority(self, *names: str, start: bool = True, **settings: Any) -> AuthorityServer:
        server = AuthorityServer(self, names, **settings)
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
            f"listeners:\n  plain: {{bind: '{HOST}:80', redirect_https: {self.port}}}\n"
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
        self.assertEqual(found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value.get_values_for_type(x509.DNSName), ["shop.test"])
        (order,) = self.status()["acme"]
        self.assertEqual((order["name"], order["state"], order["failures"]), ("shop.test", "good", 0))
        files = [path for path in self.storage.rglob("*")]
        for path in (self.storage, *files):
            self.assertEqual(path.stat().st_mode & 0o777, 0o700 if path.is_dir() else 0o600, path)
        running.stop()
        authority.stop()
        again = self.run_acme(text)
        self.assertEqual(self.shown("shop.test", authority), found)
        self.assertNotIn("certificate for", again.output.read_text())
