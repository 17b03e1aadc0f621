"""Mirrors, live: copies over real sockets, and clients that do not notice whatever a mirror does."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import threading
from typing import Any

from tests.live.balancers import OK, BalancerTestCase, Peer, RunningBalancer, Server, stopped, wait_until
from tests.live.processes import free_port
from tests.live.programs import need


class _Book:
    """A server's part: it reads whole requests, writes them down, and gives an answer."""

    def __init__(self, answer: bytes = OK) -> None:
        self.answer = answer
        self.seen: list[bytes] = []

    def __call__(self, peer: Peer) -> None:
        while True:
            head = peer.head()
            body = b""
            if b"transfer-encoding: chunked" in head.lower():
                while size := int(peer.until(b"\r\n"), 16):
                    body += peer.exactly(size)
                    peer.exactly(2)
                peer.exactly(2)
            elif found := re.search(rb"content-length: (\d+)", head.lower()):
                body = peer.exactly(int(found[1]))
            self.seen.append(head + body)
            peer.send(self.answer)


def _silent(peer: Peer) -> None:
    while True:
        peer.head()


class MirrorTestCase(BalancerTestCase):
    def start(self, mirror: str, pools: dict[str, Any], *, workers: int = 1, h2: str = "") -> None:
        self.port, self.metrics_port = free_port(), free_port()
        each = "".join(
            f"  {name}: {{servers: ['{found.address if isinstance(found, Server) else found}']"
            f"{', protocol: h2' if name == h2 else ''}}}\n"
            for name, found in pools.items()
        )
        self.text = (
            f"access_log: {{path: '@log@'}}\nworkers: {workers}\ngraceful_timeout: 5s\nmetrics: {{bind: '127.0.0.1:{self.metrics_port}'}}\n"
            f"listeners: {{web: {{bind: '127.0.0.1:{self.port}', routes: [{{name: web, pool: web, filters: [{{mirror: {mirror}}}]}}]}}}}\n"
            f"pools:\n{each}"
        )
        self.running: RunningBalancer = self.run_balancer(self.text)
        self.running.wait_for(self.port)

    def outcomes(self) -> dict[str, int]:
        text = self.get(self.metrics_port, "/metrics").body.decode()
        found: dict[str, int] = {}
        for line in text.splitlines():
            if line.startswith("balancer_mirrored_requests_total{"):
                outcome = re.search(r'outcome="([^"]*)"', line)
                assert outcome is not None
                found[outcome[1]] = found.get(outcome[1], 0) + int(float(line.rsplit(" ", 1)[1]))
        return found


class CopyTests(MirrorTestCase):
    """What the mirror gets."""

    def test_copies(self) -> None:
        """Requests with and without bodies, as the server gets them; longer ones are only served."""
        web, shadow = _Book(), _Book(b"HTTP/1.1 500 No\r\nContent-Length: 3\r\n\r\nbad")
        pools = {"web": self.server(web), "shadow": self.server(shadow)}
        self.start("{pool: shadow, body_limit: 1000}", pools)
        self.assertEqual(self.get(self.port, "/a?b", X_Mine="1").status, 200)
        self.assertEqual(self.get(self.port, "/b", "POST", b"x" * 1000).status, 200)
        self.assertEqual(self.get(self.port, "/c", "POST", b"x" * 1001).status, 200)
        self.assertEqual(self.get(self.port, "/d", "POST", iter([b"one", b"two"])).status, 200)
        wait_until(lambda: len(shadow.seen) == 3)
        seen = {copy.split(b" ", 2)[1]: copy for copy in shadow.seen}
        served = {request.split(b" ", 2)[1]: request for request in web.seen}
        self.assertEqual((set(seen), set(served)), ({b"/a?b", b"/b", b"/d"}, {b"/a?b", b"/b", b"/c", b"/d"}))
        for path in (b"/a?b", b"/b"):
            self.assertEqual(sorted(seen[path].replace(b"X-Mirrored: 1\r\n", b"")), sorted(served[path]))
        self.assertTrue(seen[b"/d"].endswith(b"onetwo"))
        self.assertEqual(
            wait_until(lambda: len(found := self.outcomes()) == 2 and found), {"5xx": 3, "body_too_long": 1}
        )

    def test_http2(self) -> None:
        """Clients of either version of HTTP, a mirror that is spoken HTTP/2 to (another balancer), and a server that is not."""
        need("curl")
        web, shadow = _Book(), _Book()
        port = free_port()
        mirror = self.run_balancer(
            f"listeners: {{web: {{bind: '127.0.0.1:{port}', pool: web}}}}\n"
            f"pools: {{web: {{servers: ['{self.server(shadow).address}']}}}}\n"
        )
        mirror.wait_for(port)
        self.start("shadow", {"web": self.server(web), "shadow": f"127.0.0.1:{port}"}, h2="shadow")
        for at, words in enumerate(
            ([], ["-d", "first"], ["--http2-prior-knowledge"], ["--http2-prior-knowledge", "-d", "body"])
        ):
            command = ["curl", "-sS", "-m", "20", *words, f"http://127.0.0.1:{self.port}/{at}"]
            self.assertEqual(subprocess.run(command, capture_output=True, check=True).stdout, b"ok")
            wait_until(lambda at=at: len(shadow.seen) == at + 1)
        self.assertTrue(all(b"x-mirrored: 1" in copy.lower() for copy in shadow.seen), shadow.seen)
        self.assertEqual([copy.partition(b"\r\n\r\n")[2] for copy in shadow.seen], [b"", b"first", b"", b"body"])
        self.assertEqual(len(web.seen), 4)
        told = self.get(self.metrics_port, "/metrics").body.decode()
        self.assertRegex(told, r'balancer_server_connections{pool="shadow",protocol="h2",server="[^"]*"} 1.0')

    def test_shares(self) -> None:
        """Two mirrors: of one a tenth of the clients, always the same, in every worker; of the other everybody."""
        web, some, everybody = _Book(), _Book(), _Book()
        pools = {"web": self.server(web), "some": self.server(some), "all": self.server(everybody)}
        self.start("[{pool: some, percent: 10, key: {header: X-User}}, all]", pools, workers=2)
        for _ in range(2):
            for user in range(100):
                self.get(self.port, "/", X_User=f"user{user}")
        wait_until(lambda: len(everybody.seen) == 200)
        wait_until(lambda: sum(self.outcomes().values()) == 200 + len(some.seen))
        users = [re.search(rb"X-User: (\w+)", copy)[1] for copy in some.seen]  # type: ignore[index]
        self.assertEqual({users.count(user) for user in users}, {2})
        self.assertTrue(2 <= len(set(users)) <= 25, users)


class TroubleTests(MirrorTestCase):
    """Clients notice nothing."""

    def load(self, requests_a_client: int = 300, clients: int = 4) -> None:
        """Have clients ask many times, and fail if one of them gets anything but its answer."""
        wrong: list[Any] = []

        def ask() -> None:
            peer = self.connect(self.port)
            try:
                for _ in range(requests_a_client):
                    peer.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
                    status, _, body = peer.response()
                    if (status, body) != (200, b"ok"):
                        wrong.append((status, body))
            except (OSError, EOFError, ValueError) as error:
                wrong.append(error)

        threads = [threading.Thread(target=ask) for _ in range(clients)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(120)
            self.assertFalse(thread.is_alive())
        self.assertEqual(wrong, [])

    def test_dead(self) -> None:
        """Of a mirror where nothing listens."""
        self.start("shadow", {"web": self.server(_Book()), "shadow": f"127.0.0.1:{free_port()}"})
        self.load()
        found = wait_until(lambda: sum((found := self.outcomes()).values()) == 1200 and found)
        self.assertLessEqual(
            set(found), {"connection_refused", "full", "destination_unavailable", "overloaded", "resting"}
        )

    def test_hangs(self) -> None:
        """Of one that takes requests and never answers: as many as may be are under way, the others are not begun."""
        shadow = self.server(_silent)
        self.start("{pool: shadow, concurrency: 5, timeout: 60s}", {"web": self.server(_Book()), "shadow": shadow})
        self.load()
        self.assertLessEqual(shadow.connections, 5)
        found = self.outcomes()
        self.assertEqual(sum(found.values()), 1200 - 5)
        self.assertLessEqual(set(found), {"full", "overloaded"}, found)
        # Neither a reload nor a stop waits for them.
        self.running.reload()
        wait_until(lambda: b'balancer_reloads_total{outcome="ok"} 1.0' in self.get(self.metrics_port, "/metrics").body)
        self.load(10)
        self.assertEqual(self.running.stop(), 0)

    def test_frozen(self) -> None:
        """Of one whose process stands still (SIGSTOP) in the middle of it."""
        need("nginx")
        folder, port = self.folder(), free_port()
        (folder / "nginx.conf").write_text(
            "daemon off; master_process off; pid nginx.pid; error_log error.log;\n"
            "events { worker_connections 256; }\n"
            f"http {{ access_log off; server {{ listen 127.0.0.1:{port}; location / {{ return 200 ok; }} }} }}\n"
        )
        nginx = subprocess.Popen(
            ["nginx", "-p", str(folder), "-c", "nginx.conf"], stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        self.addCleanup(nginx.wait)
        self.addCleanup(nginx.kill)
        self.start("{pool: shadow, timeout: 1s}", {"web": self.server(_Book()), "shadow": f"127.0.0.1:{port}"})

        def mirrored() -> bool:
            self.get(self.port)
            return "2xx" in self.outcomes()

        wait_until(mirrored)
        with stopped(nginx.pid):
            self.load()
            wait_until(lambda: self.outcomes().get("timeout", 0) > 0)
        before = self.outcomes()["2xx"]
        wait_until(lambda: mirrored() and self.outcomes()["2xx"] > before)


class CompareTests(MirrorTestCase):
    """Answers compared."""

    def test_report(self) -> None:
        """What differs is written to a file, one line each."""

        def says(price: int) -> bytes:
            body = b'{"price": %d, "at": %d}' % (price, price)
            return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)

        shadow = _Book(says(1))
        folder = self.folder()
        report = folder / "differences.log"
        compare = f"{{body: json, ignore: [/at], report: {{path: '{report}'}}}}"
        self.start(
            f"{{pool: shadow, compare: {compare}}}", {"web": self.server(_Book(says(1))), "shadow": self.server(shadow)}
        )
        self.get(self.port, "/same")
        wait_until(lambda: b'result="same"' in self.get(self.metrics_port, "/metrics").body)
        shadow.answer = says(2)
        self.get(self.port, "/other")
        [line] = wait_until(
            lambda: report.exists() and (text := report.read_text()).endswith("\n") and text.splitlines()
        )
        told = json.loads(line)
        self.assertEqual(told["target"], "/other")
        self.assertEqual(told["differences"], [{"kind": "body", "at": "/price", "primary": "1", "mirror": "2"}])
        # The file is opened anew as the access log is, when it was moved away.
        report.rename(folder / "old.log")
        os.kill(self.running.pid, signal.SIGUSR1)
        wait_until(report.exists)
