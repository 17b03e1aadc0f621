"""Plug-in packages as pip installs them, in a running balancer."""

from __future__ import annotations

import importlib.util
import json
import shutil
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.parse import quote

from tests.hooks.hostile import HOSTILE, install
from tests.live.balancers import BIN, BalancerTestCase, Peer, RunningBalancer, answering, wait_until
from tests.live.processes import free_port

ROOT = Path(__file__).resolve().parents[2]
PLUGINS = (
    "balancer-crs",
    "balancer-example",
    "balancer-flags-file",
    "balancer-geoip",
    "balancer-least-response-time",
    "balancer-waf-basic",
)


def _named(name: str, delay: float = 0.0) -> Any:
    def talk(peer: Peer) -> None:
        while True:
            peer.head()
            time.sleep(delay)
            peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(name), name.encode()))

    return talk


class PluginTestCase(BalancerTestCase):
    """Runs ``balancer`` with packages installed in a folder of their own."""

    packages: Path

    def balancer(self, *words: str) -> subprocess.CompletedProcess[str]:
        command = [str(BIN / "balancer"), *words]
        environment = {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(self.packages), "NO_COLOR": "1", "COLUMNS": "200"}
        return subprocess.run(command, capture_output=True, text=True, timeout=60, env=environment, check=False)

    def start(self, text: str) -> RunningBalancer:
        return self.run_balancer(text, PYTHONPATH=str(self.packages))


class WheelTests(PluginTestCase):
    """The packages in ``plugins/``, built into wheels and installed from those."""

    _installed: Path | None = None

    def setUp(self) -> None:
        if WheelTests._installed is None:
            folder = Path(self.mktemp()).absolute()
            wheels = [str(shutil.copytree(ROOT / "plugins" / name, folder / name)) for name in PLUGINS]
            pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "-q"]
            subprocess.run(
                [*pip, "wheel", "--no-deps", "--no-build-isolation", "-w", str(folder / "wheels"), *wheels],
                check=True,
                timeout=300,
            )
            built = [str(path) for path in sorted((folder / "wheels").glob("*.whl"))]
            self.assertEqual(len(built), len(PLUGINS))
            subprocess.run(
                [*pip, "install", "--no-deps", "--target", str(folder / "packages"), *built], check=True, timeout=300
            )
            WheelTests._installed = folder / "packages"
        self.packages = WheelTests._installed

    def test_listed(self) -> None:
        """``balancer plugins`` shows what each offers; ``balancer schema`` has their settings."""
        said = self.balancer("plugins", "--json")
        self.assertEqual(said.returncode, 0, said.stdout + said.stderr)
        offers = {each["name"]: each["offers"] for each in json.loads(said.stdout)}
        self.assertLessEqual(set(PLUGINS), set(offers))
        self.assertEqual(offers["balancer-geoip"], {"matchers": ["geoip"]})
        schema = self.balancer("schema").stdout
        for word in ("least_response_time", "geoip", "path_traversal", "office_hours"):
            self.assertIn(word, schema)

    def test_bad_setting(self) -> None:
        """A wrong setting of a plug-in is reported with file, line and column."""
        file = self.folder() / "b.yaml"
        file.write_text(
            "listeners:\n  a: {bind: '127.0.0.1:1', protocol: tcp, pool: p}\npools:\n  p:\n    servers: ['127.0.0.1:2']\n    algorithm: {least_response_time: {half_live: 3s}}\n"
        )
        said = self.balancer("check", str(file))
        self.assertEqual(said.returncode, 1)
        self.assertIn(f"{file}:6:39", said.stdout + said.stderr)
        self.assertIn("half_life", said.stdout + said.stderr)

    def test_least_response_time(self) -> None:
        """Traffic moves away from the slow server."""
        slow, fast = self.server(_named("slow", 0.1)), self.server(_named("fast"))
        port = free_port()
        running = self.start(
            f"listeners:\n  web: {{bind: '127.0.0.1:{port}', protocol: http, pool: web}}\n"
            f"pools:\n  web:\n    algorithm: least_response_time\n    servers: ['{slow.address}', '{fast.address}']\n"
        )
        running.wait_for(port)
        counts = Counter(self.get(port).body for _ in range(50))
        self.assertGreater(counts[b"fast"], 40)

    def test_flags(self) -> None:
        """Requests go by flags of a file, and by the new ones when it has changed; a broken one changes nothing."""
        folder, port, metrics = self.folder(), free_port(), free_port()
        flags = folder / "flags.yaml"
        flags.write_text("checkout: {of: {header: X-User}, percent: {new: 50}, otherwise: old}\n")
        running = self.start(
            f"flags: {{file: {flags}}}\nmetrics: {{bind: '127.0.0.1:{metrics}'}}\nlisteners:\n  web:\n    bind: 127.0.0.1:{port}\n    routes:\n"
            "      - {match: {flag: {checkout: new}}, respond: {body: new}}\n"
            "      - {match: {flag: {checkout: old}}, respond: {body: old}}\n"
            "      - respond: {body: none}\n"
        )
        running.wait_for(port)
        users = [f"user-{at}" for at in range(40)]
        first = [self.get(port, X_User=user).body for user in users]
        self.assertEqual(set(first), {b"new", b"old"})
        self.assertEqual([self.get(port, X_User=user).body for user in users], first)
        self.assertEqual(self.get(port).body, b"old")
        flags.write_text("checkout: new\n")
        wait_until(lambda: self.get(port).body == b"new")
        flags.write_text("checkout: [\n")
        wait_until(lambda: self.get(port).body == b"new" and "the flags from before stay" in running.output.read_text())
        flags.unlink()
        flags.write_text("other: new\n")
        wait_until(lambda: self.get(port).body == b"none")

    def test_geoip(self) -> None:
        """Clients behind a trusted proxy are routed by where they are; others are not believed."""
        folder = self.folder()
        _mmdb().write(folder / "places.mmdb", {"192.0.2.0/24": {"country": {"iso_code": "DE"}}})
        port = free_port()
        text = (
            "trusted_proxies: [127.0.0.1]\nlisteners:\n  web:\n"
            f"    bind: 127.0.0.1:{port}\n    protocol: http\n    routes:\n"
            f"      - match: {{geoip: {{database: {folder}/places.mmdb, country: [DE]}}}}\n        respond: {{body: Frankfurt}}\n"
            "      - respond: {body: elsewhere}\npools: {}\n"
        )
        running = self.start(text)
        running.wait_for(port)
        self.assertEqual(self.get(port, X_Forwarded_For="192.0.2.9").body, b"Frankfurt")
        self.assertEqual(self.get(port, X_Forwarded_For="198.51.100.9").body, b"elsewhere")
        running.reload(text.replace("[127.0.0.1]", "[]"))
        wait_until(lambda: self.get(port, X_Forwarded_For="192.0.2.9").body == b"elsewhere")

    def test_waf(self) -> None:
        """Attacks in query and body get 403 in mode block, and are let through with a note in mode detect."""
        server = self.server(_bodies)
        port = free_port()
        text = (
            "access_log: {format: json, path: '@log@'}\nlisteners:\n  web:\n"
            f"    bind: 127.0.0.1:{port}\n    protocol: http\n    filters:\n"
            "      - waf: {checks: [sqli, xss, scanner], mode: block}\n    pool: web\n"
            f"pools:\n  web: {{servers: ['{server.address}']}}\n"
        )
        running = self.start(text)
        running.wait_for(port)
        attack = quote("1' OR '1'='1")
        form = {"Content_Type": "application/x-www-form-urlencoded"}
        self.assertEqual(self.get(port, "/?q=shoes").status, 200)
        self.assertEqual(self.get(port, "/", "POST", "q=shoes", **form).status, 200)
        refused = self.get(port, f"/?q={attack}")
        self.assertEqual(refused.status, 403)
        self.assertIn("http_request_denied", refused.headers["Proxy-Status"])
        self.assertNotIn(b"sqli", refused.body)
        self.assertEqual(self.get(port, "/", "POST", f"q={quote('<script>')}", **form).status, 403)
        self.assertEqual(self.get(port, "/", User_Agent="sqlmap/1.7").status, 403)
        notes = running.records(5)[2]["notes"]["waf"]
        self.assertEqual((notes["action"], notes["findings"][0]["target"]), ("blocked", "query:q"))
        running.file.write_text(running.file.read_text().replace("block", "detect"))
        running.reload()
        wait_until(lambda: self.get(port, f"/?q={attack}").status == 200)
        self.assertEqual(running.records(6)[-1]["notes"]["waf"]["action"], "detected")
        explained = self.balancer("explain", str(running.file), f"http://127.0.0.1:{port}/?q={attack}")
        self.assertIn("sqli/tautology", explained.stdout)

    def test_crs(self) -> None:
        """The Core Rule Set of Debian's package refuses attacks in query, form, JSON and header, and lets pages through; with explain and the log."""
        server = self.server(_bodies)
        port = free_port()
        running = self.start(
            "access_log: {format: json, path: '@log@'}\nlisteners:\n  web:\n"
            f"    bind: 127.0.0.1:{port}\n    protocol: http\n    filters:\n"
            "      - waf: {checks: [{crs: {exclusions: [920350]}}], budget: 5s}\n    pool: web\n"
            f"pools:\n  web: {{servers: ['{server.address}']}}\n"
        )
        running.wait_for(port)
        attack = "1' UNION SELECT name, password FROM users--"
        form = {"Content_Type": "application/x-www-form-urlencoded"}
        usual = {"User_Agent": "Mozilla/5.0", "Accept": "*/*"}
        self.assertEqual(self.get(port, "/?q=two+shoes", **usual).status, 200)
        self.assertEqual(self.get(port, "/", "POST", "name=O%27Brien&age=7", **form, **usual).status, 200)
        self.assertEqual(self.get(port, f"/?q={quote(attack)}", **usual).status, 403)
        self.assertEqual(self.get(port, "/", "POST", f"q={quote(attack)}", **form, **usual).status, 403)
        said = json.dumps({"user": {"name": attack}})
        self.assertEqual(self.get(port, "/", "POST", said, Content_Type="application/json", **usual).status, 403)
        self.assertEqual(self.get(port, "/", User_Agent="sqlmap/1.7", Accept="*/*").status, 403)
        self.assertEqual(self.get(port, "/", "POST", "{", Content_Type="application/json", **usual).status, 400)
        notes = [record.get("notes", {}).get("waf") for record in running.records(7)]
        self.assertEqual(notes[:2], [None, None])
        self.assertEqual([each["action"] for each in notes[2:]], ["blocked"] * 5)
        first = next(each for each in notes[2]["findings"] if each["rule"] == "942190")
        self.assertEqual((first["target"], first["score"]), ("ARGS:q", 5))
        explained = self.balancer("explain", str(running.file), f"http://127.0.0.1:{port}/?q={quote(attack)}")
        self.assertIn("942190", explained.stdout)

    def test_example(self) -> None:
        """Everything in the example package works at once."""
        server = self.server(_bodies)
        port = free_port()
        running = self.start(
            "access_log: {format: tsv, path: '@log@'}\nlisteners:\n  web:\n"
            f"    bind: 127.0.0.1:{port}\n    protocol: http\n    filters: [{{stamp: {{value: hi}}}}]\n    routes:\n"
            "      - {match: {path: /hello/**}, resource: {hello: you}}\n"
            "      - {match: {office_hours: {begin: 0, end: 24, weekends: true}}, pool: web}\n"
            f"pools:\n  web: {{algorithm: primary, servers: ['{server.address}', '127.0.0.1:1']}}\n"
        )
        running.wait_for(port)
        self.assertEqual(self.get(port, "/hello/").body, b"hello, you\n")
        for _ in range(5):
            response = self.get(port)
            self.assertEqual((response.status, response.headers["X-Stamp"]), (200, "hi"))
        wait_until(lambda: running.log.exists() and running.log.read_text().count("\t") == 30)


def _bodies(peer: Peer) -> None:
    while True:
        head = peer.head().lower()
        if b"content-length: " in head:
            peer.exactly(int(head.split(b"content-length: ")[1].split(b"\r\n")[0]))
        peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")


def _mmdb() -> ModuleType:
    """Return the database writer of the GeoIP package's tests."""
    spec = importlib.util.spec_from_file_location("mmdb", ROOT / "plugins/balancer-geoip/tests/mmdb.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class HostileTests(PluginTestCase):
    """Packages that fail in every way do no harm."""

    def setUp(self) -> None:
        self.packages = self.folder()
        install(self.packages, "hostile-pkg", HOSTILE)
        install(self.packages, "broken-pkg", "import a_module_that_is_not_there")

    def test_every_request_is_served(self) -> None:
        """An algorithm, matcher, filter, check and log format that raise in every method cost no request; it shows who fails."""
        servers = [self.server(answering(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")) for _ in range(2)]
        port, metrics = free_port(), free_port()
        running = self.start(
            f"access_log: {{format: hostile, path: '@log@'}}\nmetrics: {{bind: '127.0.0.1:{metrics}'}}\nlisteners:\n  web:\n"
            f"    bind: 127.0.0.1:{port}\n    protocol: http\n    filters: [hostile, {{waf: {{checks: [hostile]}}}}]\n    routes:\n"
            "      - {match: {hostile: {}}, respond: {status: 500}}\n      - {pool: web}\n"
            f"pools:\n  web: {{algorithm: hostile, servers: [{', '.join(repr(each.address) for each in servers)}]}}\n"
        )
        running.wait_for(port)
        self.assertEqual([self.get(port).status for _ in range(50)], [200] * 50)
        self.assertEqual(len(running.records(50)), 50)
        text = self.get(metrics, "/metrics").body.decode()
        for kind in ("algorithm", "matcher", "filter", "check", "access log format"):
            self.assertIn(f'balancer_plugin_tripped{{kind="{kind}",name="hostile",package="hostile-pkg"}} 1.0', text)
        self.assertIn("hostile-pkg (filter hostile): failed 10 times in a row", running.output.read_text())

    def test_deny(self) -> None:
        """With ``on_error: deny`` a filter that fails ends the exchange with 500 and a reason."""
        port = free_port()
        running = self.start(
            "plugins: {on_error: deny}\nlisteners:\n  web:\n"
            f"    bind: 127.0.0.1:{port}\n    protocol: http\n    filters: [hostile]\n    routes: [{{respond: {{status: 204}}}}]\npools: {{}}\n"
        )
        running.wait_for(port)
        response = self.get(port)
        self.assertEqual(response.status, 500)
        self.assertIn("proxy_internal_error", response.headers["Proxy-Status"])

    def test_broken(self) -> None:
        """A package that does not import is named, with status 1; one that is required is an error in the configuration."""
        said = self.balancer("plugins")
        self.assertEqual(said.returncode, 1)
        self.assertIn("a_module_that_is_not_there", said.stdout)
        self.assertIn("hostile", said.stdout)
        file = self.folder() / "b.yaml"
        file.write_text("plugins:\n  require: [broken-pkg]\nlisteners: {}\npools: {}\n")
        said = self.balancer("check", str(file))
        self.assertEqual(said.returncode, 1)
        self.assertIn(
            f"{file}:2:13: plugins.require[0]: the package 'broken-pkg' is required", said.stdout + said.stderr
        )
