"""Tests of the command."""

from __future__ import annotations

import hashlib
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

from balancer_crs.command import main
from click.testing import CliRunner, Result
from twisted.trial.unittest import SynchronousTestCase

from tests.test_archives import tar

RELEASE = tar(
    ("crs-4/crs-setup.conf.example", b'SecAction "id:1,phase:1,pass,nolog,setvar:tx.a=1"\n'),
    ("crs-4/rules/a.conf", b'SecRule ARGS "@rx x" "id:2,phase:2,deny"\nSecRuleRemoveById 9\n'),
)
SUM = hashlib.sha256(RELEASE).hexdigest()


class _Release(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/crs.tar.gz" else 404)
        self.end_headers()
        self.wfile.write(RELEASE)

    def log_message(self, *arguments: object) -> None:
        pass


class CommandTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.folder = Path(self.mktemp()).resolve()
        self.folder.mkdir()
        self.archive = self.folder / "crs.tar.gz"
        self.archive.write_bytes(RELEASE)
        self.target = str(self.folder / "crs")

    def run_command(self, *arguments: str) -> Result:
        return CliRunner().invoke(main, arguments)

    def test_get_and_check(self) -> None:
        """A release is unpacked, and can be used."""
        done = self.run_command("get", str(self.archive), "--sha256", SUM, "--to", self.target)
        self.assertEqual(
            (done.exit_code, done.output),
            (0, f"unpacked into {self.target}; in the configuration: crs: {{rules: {self.target}}}\n"),
        )
        done = self.run_command("check", self.target, "--paranoia", "1")
        self.assertEqual(done.exit_code, 0, done.output)
        self.assertIn("phase 2: 4 rules\n", done.output)  # three of them go before every set
        self.assertIn("2 rules are decided by the configuration alone\n", done.output)
        self.assertIn("a.conf:2: no rule read before this has the id 9", done.output)

    def test_get_from_an_address(self) -> None:
        """A release is fetched from an address; an error there is told."""
        server = HTTPServer(("127.0.0.1", 0), _Release)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            address = f"http://127.0.0.1:{server.server_port}"
            done = self.run_command("get", f"{address}/crs.tar.gz", "--sha256", SUM, "--to", self.target)
            self.assertEqual(done.exit_code, 0, done.output)
            done = self.run_command("get", f"{address}/other", "--sha256", SUM, "--to", f"{self.target}2")
            self.assertEqual(done.exit_code, 1)
            self.assertIn("cannot be had: Not Found", done.output)
        finally:
            server.shutdown()
            thread.join()
            server.server_close()

    def test_wrong_checksum(self) -> None:
        """Nothing is unpacked that is not what was asked for."""
        done = self.run_command("get", str(self.archive), "--sha256", "0" * 64, "--to", self.target)
        self.assertEqual(done.exit_code, 1)
        self.assertIn(f"SHA-256 is {SUM}, not 000", done.output)
        self.assertFalse(Path(self.target).exists())

    def test_check_tells_errors(self) -> None:
        """Rules that cannot be used, with the place."""
        path = self.folder / "bad.conf"
        path.write_text("\nSecRule")
        done = self.run_command("check", str(path))
        self.assertEqual(done.exit_code, 1)
        self.assertIn("bad.conf:2: expected SecRule VARIABLES OPERATOR", done.output)
