"""Servers that go away and come back, under load."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import threading
import time
from collections import Counter
from pathlib import Path

from tests.live.balancers import BalancerTestCase, stopped, wait_until
from tests.live.processes import free_port
from tests.live.programs import need

_NGINX = """
daemon off; master_process off; pid {folder}/pid; error_log stderr error;
events {{ worker_connections 1024; }}
http {{
  access_log off; keepalive_requests 100000;
  client_body_temp_path {folder}/1; proxy_temp_path {folder}/2; fastcgi_temp_path {folder}/3;
  uwsgi_temp_path {folder}/4; scgi_temp_path {folder}/5;
  server {{ listen 127.0.0.1:{port}{listen}; {more} location / {{ add_header X-Server {name}; return 200 "{name}"; }} }}
}}
"""


class Nginx:
    """One nginx that says its name; may be ended and started again."""

    def __init__(self, folder: Path, name: str, listen: str = "", more: str = "") -> None:
        self.name = name
        self.port = free_port()
        self._folder = folder / name
        self._folder.mkdir()
        self._file = self._folder / "nginx.conf"
        self._file.write_text(_NGINX.format(folder=self._folder, port=self.port, name=name, listen=listen, more=more))
        self.start()

    def start(self) -> None:
        command = [need("nginx"), "-c", str(self._file), "-p", str(self._folder)]
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def end(self, sign: signal.Signals = signal.SIGKILL) -> None:
        if self.process.poll() is None:
            self.process.send_signal(sign)
            self.process.wait()


class FailoverTests(BalancerTestCase):
    """Three nginx, one of which is in trouble."""

    def setUp(self) -> None:
        folder = self.folder()
        self.servers = [Nginx(folder, name) for name in ("one", "two", "three")]
        for each in self.servers:
            self.addCleanup(each.end)
        self.running, self.port = self.web(
            *(f"{{address: '127.0.0.1:{each.port}', name: {each.name}}}" for each in self.servers),
            pool="algorithm: round_robin\n"
            "health: {probe: {http: /}, interval: 300ms, timeout: 300ms, fall: 2, rise: 2}\n"
            "timeouts: {connect: 500ms, first_byte: 1s}",
        )
        wait_until(lambda: self.shares(60).keys() == {"one", "two", "three"})

    def shares(self, requests: int) -> Counter[str]:
        """Return how many requests each server answers."""
        return Counter(self.get(self.port).body.decode() for _ in range(requests))

    def load(self, seconds: int) -> tuple[int, str]:
        """GET for a while; returns how many requests there were, and what failed, in wrk's words."""
        command = [need("wrk"), "-t1", "-c20", f"-d{seconds}s", f"http://127.0.0.1:{self.port}/"]
        said = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False).stdout
        found = re.search(r"(\d+) requests in", said)
        assert found is not None, said
        return int(found[1]), "".join(re.findall(r"(?:Socket errors|Non-2xx).*", said))

    def during_load(self, seconds: int, *steps: object) -> None:
        """Run ``steps`` (callables, or seconds to wait) while there is load; no request may fail."""

        def act() -> None:
            for step in steps:
                if callable(step):
                    step()
                else:
                    time.sleep(float(str(step)))

        acting = threading.Thread(target=act)
        acting.start()
        requests, failed = self.load(seconds)
        acting.join()
        self.assertEqual(failed, "")
        self.assertGreater(requests, 1000)

    def test_killed_and_back(self) -> None:
        """A server that is killed under load costs no request; its traffic leaves, and comes back with it."""
        two = self.servers[1]
        left: list[Counter[str]] = []
        self.during_load(5, 1.0, two.end, 2.0, lambda: left.append(self.shares(30)), two.start)
        self.assertNotIn("two", left[0])
        wait_until(lambda: self.shares(30)["two"] >= 9)

    def test_stopped_gracefully(self) -> None:
        """So does one that is told to stop."""
        self.during_load(3, 1.0, lambda: self.servers[0].end(signal.SIGQUIT))
        self.assertEqual(self.shares(30).keys(), {"two", "three"})

    def test_frozen(self) -> None:
        """A server that hangs keeps those requests waiting that it has, for the first byte's time; then it is left out."""
        with stopped(self.servers[2].process.pid):
            wait_until(lambda: "three" not in self.shares(30))
        wait_until(lambda: self.shares(30)["three"] >= 9)

    def test_reloads(self) -> None:
        """Reloads under load cost no request, nor does a configuration with an error in it."""
        text = self.running.file.read_text()

        def reload() -> None:
            for turn in range(10):
                broken = turn % 3 == 2
                self.running.reload(text.replace("round_robin", "no_such") if broken else text)
                time.sleep(0.25)
            self.running.reload(text)

        self.during_load(4, 0.3, reload)
        self.assertIn("no_such", self.running.output.read_text())

    def test_all_gone(self) -> None:
        """503 or 502 when every server is gone, and service again as soon as one is back."""
        for each in self.servers:
            each.end()
        wait_until(lambda: self.get(self.port).status in (502, 503))
        self.servers[0].start()
        wait_until(lambda: self.get(self.port).status == 200)
        os.kill(self.running.pid, 0)
