"""The running service asked where requests would go, and held to what it says."""

from __future__ import annotations

import http.client
import json
import random
import socket
import subprocess
from pathlib import Path
from typing import Any

from tests.live.balancers import BIN, BalancerTestCase, Peer, RunningBalancer, wait_until
from tests.live.processes import free_port

_ROUTES = """\
    routes:
      - {name: users, match: {path: "/users/{id}", method: [GET, PUT]}, pool: hashed}
      - {name: tenant, match: {path: /users/**, headers: {X-Tenant: {prefix: a}}}, pool: other}
      - {name: cookie, match: {cookies: {group: test}, query: {q: {regex: "^[0-9]+$"}}}, split: {weights: {hashed: 1, other: 1}, key: {header: X-Key}}}
      - {name: old, match: {path: /old/**}, redirect: {to: "https://shop.example/new/", status: 301}}
      - {name: tea, match: {any: [{path: /tea}, {headers: {X-Tea: "1"}}]}, respond: {status: 418, body: stout}}
      - {name: rest, match: {not: {client: 192.0.2.0/24}}, filters: [{headers: {request: {set: {X-Seen: "1"}}}}], pool: other}
"""


def _naming(name: str) -> Any:
    """A server that answers with its name, and with what it was asked."""

    def talk(peer: Peer) -> None:
        while True:
            head = peer.head().split(b"\r\n")
            body = json.dumps(
                {"server": name, "line": head[0].decode(), "fields": [each.decode() for each in head[1:-2]]}
            ).encode()
            peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))

    return talk


class ExplainTests(BalancerTestCase):
    def start(self, workers: int, health: str = "") -> tuple[RunningBalancer, int]:
        port, folder = free_port(), self.folder()
        self.admin = f"{folder}/admin.sock"
        self.servers = {name: self.server(_naming(name)) for name in ("h0", "h1", "h2", "o0", "o1")}
        listed = {
            kind: ", ".join(
                f"{{name: {name}, address: '{server.address}'}}"
                for name, server in self.servers.items()
                if name[0] == kind
            )
            for kind in "ho"
        }
        running = self.run_balancer(
            f"workers: {workers}\naccess_log: {{path: '@log@'}}\nadmin: {{bind: 'unix:{self.admin}'}}\n"
            f"listeners:\n  web:\n    bind: 127.0.0.1:{port}\n{_ROUTES}"
            f"pools:\n  hashed: {{algorithm: {{maglev: {{key: {{header: X-Key}}}}}}, servers: [{listed['h']}]{health}}}\n"
            f"  other: {{algorithm: {{rendezvous: {{key: path}}}}, servers: [{listed['o']}]}}\n"
        )
        running.wait_for(port)
        wait_until(Path(self.admin).exists)  # the port may be there before
        wait_until(lambda: "no worker" not in str(self.ask({"url": "/"}, None)))
        return running, port

    def ask(self, question: dict[str, Any], status: int | None = 200) -> Any:
        connection = http.client.HTTPConnection("localhost")
        connection.sock = socket.socket(socket.AF_UNIX)
        connection.sock.settimeout(20)
        connection.sock.connect(self.admin)
        connection.request("POST", "/explain", json.dumps(question))
        response = connection.getresponse()
        found = json.loads(response.read())
        connection.close()
        if status is not None:
            self.assertEqual(response.status, status, found)
        return found

    def _some_request(self, draw: random.Random) -> tuple[str, str, dict[str, str]]:
        path = draw.choice(
            ["/users/7", "/users/7/x", "/users", "/old/a", "/tea", "/", "/a/b?q=12", "/x?q=y", "/users/1?q=1"]
        )
        headers = {"Host": "shop.example"}
        for name, values in {
            "X-Tenant": ["a1", "b"],
            "Cookie": ["group=test", "x=y; group=other"],
            "X-Key": [f"k{number}" for number in range(20)],
            "X-Tea": ["1", "2"],
        }.items():
            if draw.random() < 0.5:
                headers[name] = draw.choice(values)
        return draw.choice(["GET", "GET", "PUT", "POST"]), path, headers

    def _compare(self, workers: int) -> None:
        _, port = self.start(workers)
        draw = random.Random(3)
        for _ in range(150):
            method, path, headers = self._some_request(draw)
            said = self.ask({"method": method, "url": path, "headers": list(headers.items())})
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
            connection.request(method, path, headers=headers)
            response = connection.getresponse()
            body = response.read()
            connection.close()
            what = (method, path, headers, said)
            if said["status"]:
                self.assertEqual(
                    (response.status, response.headers.get("Location")), (said["status"], said["location"]), what
                )
                continue
            found = json.loads(body)
            if said["action"] == "pool" or "X-Key" in headers:
                self.assertEqual(found["server"][0], {"hashed": "h", "other": "o"}[said["pool"]], what)
                if said["pool"] == "other" or "X-Key" in headers:
                    self.assertEqual(found["server"], said["server"], what)
            sent = said["request"]
            self.assertEqual(found["line"], f"{sent['method']} {sent['target']} HTTP/1.1")
            names = {line.partition(":")[0].lower() for line in found["fields"]}
            expected = {name.lower() for name, _ in sent["headers"]}
            self.assertEqual(names - {"accept-encoding", "content-length"}, expected - {"content-length"}, what)

    def test_as_it_does(self) -> None:
        """What is explained is what is done: route, pool, server, answer, and the request as the server sees it."""
        self._compare(1)

    def test_workers(self) -> None:
        """The same with several workers."""
        self._compare(2)

    def test_state(self) -> None:
        """Servers that are down, or drained, are so in the answer, with the reason; offline they are not."""
        running, _ = self.start(1, ", health: {probe: tcp, interval: 100ms, fall: 1}")
        self.servers["h1"].close()
        question = {"url": "/users/1", "headers": [["X-Key", "k"]]}

        def candidates() -> dict[str, Any]:
            return {each["server"]: each for each in self.ask(question)["candidates"]}

        wait_until(lambda: not candidates()["h1"]["eligible"])
        self.assertIn("down", candidates()["h1"]["because"])
        self.ctl("drain", "hashed", "h0")
        self.assertEqual(candidates()["h0"]["because"], "draining")
        self.assertEqual(self.ask(question)["server"], "h2")
        text = self.ctl("explain", "-H", "X-Key: k", "/users/1")
        for words in ("route     users", "→ h2", "draining", "h1  down"):
            self.assertIn(words, text)
        offline = [str(BIN / "balancer"), "explain", str(running.file), "--json", "/users/1"]
        found = json.loads(subprocess.run(offline, capture_output=True, text=True, timeout=60, check=True).stdout)
        self.assertTrue(all(each["eligible"] for each in found["candidates"]))

    def ctl(self, *words: str) -> str:
        command = [str(BIN / "balancer"), "ctl", "--admin", f"unix:{self.admin}", *words]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        return done.stdout

    def test_not_questions(self) -> None:
        """What cannot be asked is refused in words, with one process and with several."""
        for workers in (1, 2):
            self.start(workers)
            for question, words in (
                ({}, "a 'url'"),
                ({"url": "/", "hat": 1}, "unknown key 'hat'"),
                ({"url": 3}, "'url'"),
                ({"url": "/", "client_ip": "nobody"}, "'nobody'"),
                ({"url": "/", "listener": "other"}, "no HTTP listener 'other'"),
                ({"url": "/", "answer": 200}, "'answer'"),
                ({"url": "/", "answer": {"status": 99}}, "from 200 to 599"),
                ({"url": "tcp://x:1"}, ""),
                ({"url": "/", "headers": [["a"]]}, "cannot be read"),
                ({"url": "/", "client_certificate": "/nowhere"}, "/nowhere"),
            ):
                self.assertIn(words, self.ask(question, 400)["error"])
