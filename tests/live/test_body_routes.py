"""Routes that look at bodies, live: the body decides, and arrives whole wherever it goes."""

from __future__ import annotations

import hashlib
import http.client
import json
import subprocess
from typing import Any

from tests.live.balancers import BalancerTestCase, Peer
from tests.live.processes import free_port
from tests.live.programs import need

_ROUTES = """\
      - {name: gold, match: {path: /in, body: {json: {/plan: gold}, limit: 4KiB}}, pool: gold}
      - name: large
        match: {path: /in, method: POST, headers: {X-Look: '1'}, not: {body: {regex: '^ok', limit: 200KiB}}}
        pool: large
      - {name: rest, pool: rest}
"""


def _summing(name: str) -> Any:
    """A server that says who it is, and the length and hash of what it was sent."""

    def talk(peer: Peer) -> None:
        while True:
            head = peer.head().lower()
            body = b""
            if b"transfer-encoding: chunked" in head:
                while size := int(peer.until(b"\r\n"), 16):
                    body += peer.exactly(size)
                    peer.exactly(2)
                peer.exactly(2)
            else:
                body = peer.exactly(int(head.partition(b"content-length:")[2].partition(b"\r\n")[0] or 0))
            said = json.dumps([name, len(body), hashlib.sha256(body).hexdigest()]).encode()
            peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(said), said))

    return talk


class BodyRouteTests(BalancerTestCase):
    def start(self) -> int:
        port = free_port()
        servers = {name: self.server(_summing(name)).address for name in ("gold", "large", "rest")}
        pools = "".join(f"  {name}: {{servers: ['{address}']}}\n" for name, address in servers.items())
        running = self.run_balancer(
            f"access_log: {{path: '@log@'}}\nlisteners:\n  web:\n    bind: 127.0.0.1:{port}\n    routes:\n{_ROUTES}pools:\n{pools}"
        )
        running.wait_for(port)
        return port

    def ask(self, port: int, path: str, body: Any, chunked: bool = False, **headers: str) -> Any:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
        fields = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request("POST", path, body, fields, encode_chunked=chunked)
        found = json.loads(connection.getresponse().read())
        connection.close()
        return found

    def _expected(self, name: str, body: bytes) -> list[Any]:
        return [name, len(body), hashlib.sha256(body).hexdigest()]

    def test_decides(self) -> None:
        """By what is in it, with a length or in chunks, short or longer than what is looked at; on other paths at once."""
        port = self.start()
        gold = b'{"plan": "gold"}'
        more: dict[str, str]
        for body, more, name in (
            (gold, {}, "gold"),
            (b"{}", {}, "rest"),
            (b" " * 5000 + gold, {}, "rest"),
            (b"ok" + b"x" * 150_000, {"X_Look": "1"}, "rest"),
            (b"no" + b"x" * 150_000, {"X_Look": "1"}, "large"),
            (b"x" * 700_000, {"X_Look": "1"}, "large"),
            (b"", {}, "rest"),
        ):
            self.assertEqual(self.ask(port, "/in", body, **more), self._expected(name, body))
            if body:
                pieces = iter([body[at : at + 10_000] for at in range(0, len(body), 10_000)])
                found = self.ask(port, "/in", pieces, True, Transfer_Encoding="chunked", **more)
                self.assertEqual(found, self._expected(name, body))
        self.assertEqual(self.ask(port, "/elsewhere", gold)[0], "rest")
        self.assertEqual(json.loads(self.get(port, "/in").body), self._expected("rest", b""))

    def test_clients_that_wait(self) -> None:
        """Who waits for 100 Continue is told to go on; over HTTP/2, bodies beyond the window are looked at too."""
        port = self.start()
        folder = self.folder()
        for name, body in (
            ("large", b'{"plan": "gold"}'),
            ("rest", b"ok" + b"x" * 190_000),
            ("large", b"no" + b"x" * 1_000_000),
        ):
            (folder / name).write_bytes(body)
            for version in ("--http1.1", "--http2-prior-knowledge"):
                command = [need("curl"), "-sS", version, "--max-time", "30", "--data-binary", f"@{folder / name}"]
                command += ["-H", "X-Look: 1", "-H", "Expect: 100-continue", f"http://127.0.0.1:{port}/in"]
                done = subprocess.run(command, capture_output=True, timeout=40)
                found = json.loads(done.stdout or "null")
                self.assertEqual(found, self._expected(name, body), (name, version, done.stderr))

    def test_client_goes(self) -> None:
        """A client that leaves in the middle of its body harms nobody."""
        port = self.start()
        client = self.connect(port)
        client.send(b"POST /in HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n{")
        client.reset()
        self.assertEqual(self.ask(port, "/in", b'{"plan":"gold"}')[0], "gold")
