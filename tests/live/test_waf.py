"""The ``waf`` filter in a running balancer, with checks of every lane: what is held, what passes, and what slow checks do."""

from __future__ import annotations

import socket
import subprocess

from tests.hooks.hostile import install
from tests.live.balancers import BalancerTestCase, Peer, RunningBalancer, wait_until
from tests.live.processes import free_port

CHECKS = '''
"""Checks that look for words."""
import time
from twisted.internet import defer, reactor
from zope.interface import implementer
from balancer.hooks import hookimpl
from balancer.hooks.interfaces import Factory, ICheck, ITap
from balancer.model.inspection.terms import Buffer, CheckTerms
from balancer.model.verdict import Block, Finding, Verdict

def words(rule, text, word):
    return [Finding(rule, 5, "an attack", "critical", "", word)] if word in text else []

@implementer(ICheck)
class Request:
    terms = CheckTerms(("request_head", "request_body"), lane="thread", request_body=Buffer(64 * 1024))
    def inspect(self, subject, phase):
        text = subject.facts.raw_query if phase == "request_head" else subject.body.decode("latin-1")
        return words("request", text, "attack")

@implementer(ICheck)
class Response:
    terms = CheckTerms(("response_body",), lane="thread", response_body=Buffer(64 * 1024, ("text/*",)))
    def inspect(self, subject, phase):
        return words("response", subject.response_body.decode("latin-1"), "secret")

@implementer(ICheck)
class Remote:
    terms = CheckTerms(lane="remote")
    def inspect(self, subject, phase):
        from twisted.internet import reactor
        from twisted.internet.task import deferLater
        return deferLater(reactor, 0.001, words, "remote", subject.facts.header("x-remote") or "", "attack")

@implementer(ITap)
class Tap:
    terms = CheckTerms(("request_body", "response_body"), request_body="tap", response_body="tap")
    def piece(self, subject, phase, data):
        return Verdict((), Block(418)) if b"attack" in data else None
    def inspect(self, subject, phase):
        return None

@implementer(ICheck)
class Slow:
    terms = CheckTerms(lane="thread", budget=0.01)
    def inspect(self, subject, phase):
        time.sleep(0.05)

@hookimpl
def balancer_checks():
    return [Factory(each.__name__.lower(), lambda _, each=each: each()) for each in (Request, Response, Remote, Tap, Slow)]
'''


def read_request(peer: Peer) -> tuple[bytes, bytes]:
    """Return head and body of the next request."""
    head = peer.head()
    lower = head.lower()
    if head.startswith(b"POST /upload "):
        return head, b""
    if b"content-length: " in lower:
        return head, peer.exactly(int(lower.split(b"content-length: ")[1].split(b"\r\n")[0]))
    body = b""
    if b"transfer-encoding: chunked" in lower:
        while size := int(peer.until(b"\r\n"), 16):
            body += peer.exactly(size + 2)[:-2]
        peer.until(b"\r\n")
    return head, body


class WafTestCase(BalancerTestCase):
    def setUp(self) -> None:
        self.packages = self.folder()
        install(self.packages, "checks-pkg", CHECKS)
        self.requests: list[tuple[bytes, bytes]] = []

    def talk(self, peer: Peer) -> None:
        """Answer with the body that was sent; by path with a secret, with events, or in chunks."""
        while True:
            head, body = read_request(peer)
            if head.startswith(b"POST /upload "):
                size = left = int(head.lower().split(b"x-size: ")[1].split(b"\r\n")[0])
                while left:
                    left -= len(peer.exactly(min(left, 65536)))
                peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%d" % (len(str(size)), size))
                continue
            self.requests.append((head, body))
            path = head.split(b" ", 2)[1]
            if path == b"/events":
                peer.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: secret\n\n")
                peer.rest()
                return
            if path == b"/chunked":
                peer.send(
                    b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n6\r\nsecret\r\n"
                )
                peer.send(b"0\r\n\r\n")
                continue
            answer = {b"/secret": b"the secret", b"/attack": b"attack"}.get(path, b"got %d" % len(body))
            head = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n" % len(answer)
            peer.send(head)
            peer.send(answer)

    def waf(self, settings: str, top: str = "") -> tuple[RunningBalancer, int]:
        port = free_port()
        address = self.server(self.talk).address
        running = self.run_balancer(
            f"access_log: {{format: json, path: '@log@'}}\ngraceful_timeout: 2s\n{top}listeners:\n  web:\n    bind: 127.0.0.1:{port}\n    protocol: http\n"
            f"    filters: [{{waf: {{budget: 20s, {settings}}}}}]\n    pool: web\npools:\n  web: {{servers: ['{address}']}}\n",
            PYTHONPATH=str(self.packages),
        )
        running.wait_for(port)
        return running, port

    def ask(self, peer: Peer, target: str, body: bytes = b"", more: str = "") -> tuple[int, bytes]:
        """Send a request, with a length, on a connection that is kept; return status and body."""
        method = "POST" if body else "GET"
        peer.send(f"{method} {target} HTTP/1.1\r\nHost: a\r\n{more}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        status, _, answer = peer.response()
        return status, answer


class RequestTests(WafTestCase):
    def test_attacks_reach_no_server(self) -> None:
        """In the head, in a body of known and of unknown length, found in a thread or far away; connections go on."""
        running, port = self.waf("checks: [request, remote, tap]")
        peer = self.connect(port)
        self.assertEqual(self.ask(peer, "/?q=good"), (200, b"got 0"))
        self.assertEqual(self.ask(peer, "/?q=attack")[0], 403)
        self.assertEqual(self.ask(peer, "/", b"a good body"), (200, b"got 11"))
        self.assertEqual(self.ask(peer, "/", b"x" * 50_000 + b"attack")[0], 418)
        self.assertEqual(self.ask(peer, "/", more="X-Remote: attack\r\n")[0], 403)
        peer.send(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
        for piece in (b"6\r\n att", b"ac\r\n5\r\nk    \r\n", b"0\r\n\r\n"):
            peer.send(piece)
        self.assertEqual(peer.response()[0], 418)
        self.assertEqual([body for _, body in self.requests], [b"", b"a good body"])
        records = running.records(6)
        actions = [record.get("notes", {}).get("waf", {}).get("action") for record in records]
        self.assertEqual(actions, [None, "blocked", None, "blocked", "blocked", "blocked"])

    def test_whole_bodies_arrive(self) -> None:
        """A body that was held, and one that is longer than what is held, reach the server as they were, with their length."""
        _, port = self.waf("checks: [request, tap]")
        peer = self.connect(port)
        for size in (1, 64 * 1024, 64 * 1024 + 1, 3_000_000):
            body = bytes(range(251)) * (size // 251 + 1)
            body = body[:size]
            self.assertEqual(self.ask(peer, "/", body), (200, b"got %d" % size))
            head, arrived = self.requests[-1]
            self.assertTrue(arrived == body, size)
            self.assertIn(b"content-length: %d\r\n" % size, head.lower())

    def test_tap_cuts_in_the_middle(self) -> None:
        """What a tap finds in a body that streams ends the exchange there."""
        _, port = self.waf("checks: [tap]")
        peer = self.connect(port)
        peer.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n" + b"x" * 1000 + b"attack")
        self.assertEqual(peer.response()[0], 418)
        self.assertEqual(self.requests, [])

    def test_long_uploads(self) -> None:
        """Take no memory to speak of."""
        running, port = self.waf("checks: [request, tap]")
        peer = self.connect(port)
        self.ask(peer, "/", b"x")
        before = running.memory()
        size = 64 << 20
        peer.send(b"POST /upload HTTP/1.1\r\nHost: a\r\nX-Size: %d\r\nContent-Length: %d\r\n\r\n" % (size, size))
        for _ in range(64):
            peer.send(bytes(1 << 20))
        self.assertEqual(peer.response()[2], b"%d" % size)
        self.assertLess(running.memory() - before, 24 << 20)

    def test_http2(self) -> None:
        """The same on streams of HTTP/2."""
        _, port = self.waf("checks: [request, response]")
        url = f"http://127.0.0.1:{port}"

        def status(*words: str) -> list[str]:
            command = ["curl", "-sS", "--http2-prior-knowledge", "-w", " %{http_code}", *words]
            done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
            return done.stdout.rsplit(" ", 1)

        self.assertEqual(status("-d", "good", f"{url}/"), ["got 4", "200"])
        self.assertEqual(status("-d", "attack", f"{url}/")[1], "403")
        long = self.packages / "long"
        long.write_bytes(bytes(200_000))
        self.assertEqual(status("--data-binary", f"@{long}", f"{url}/"), ["got 200000", "200"])
        refused = status(f"{url}/secret")
        self.assertEqual(refused[1], "403")
        self.assertNotIn("the secret", refused[0])
        self.assertEqual(status(f"{url}/chunked"), ["secret", "200"])


class ResponseTests(WafTestCase):
    def test_leaks(self) -> None:
        """A response that is refused is replaced as a whole; the connection goes on."""
        running, port = self.waf("checks: [response]")
        peer = self.connect(port)
        status, answer = self.ask(peer, "/secret")
        self.assertEqual(status, 403)
        self.assertNotIn(b"the secret", answer)
        self.assertEqual(self.ask(peer, "/"), (200, b"got 0"))
        peer.send(b"HEAD /secret HTTP/1.1\r\nHost: a\r\n\r\n")
        self.assertIn(b"Content-Length: 10\r\n", peer.head())
        record = running.records(3)[0]
        self.assertEqual((record["reason"], record["notes"]["waf"]["outbound"]), ("http_response_denied", 5))

    def test_streams_pass(self) -> None:
        """Events and what has no length are not held, and what is found in them is written down."""
        running, port = self.waf("checks: [response]")
        peer = self.connect(port)
        peer.send(b"GET /events HTTP/1.1\r\nHost: a\r\n\r\n")
        peer.until(b"data: secret\n\n")
        peer.close()
        peer = self.connect(port)
        peer.send(b"GET /chunked HTTP/1.1\r\nHost: a\r\n\r\n")
        peer.until(b"secret")
        peer.until(b"0\r\n\r\n")
        note = running.records(2)[1]["notes"]["waf"]
        self.assertEqual((note["action"], note["outbound"]), ("detected", 5))

    def test_detect(self) -> None:
        """Nothing is refused, and the same is found."""
        running, port = self.waf("checks: [request, response], mode: detect")
        peer = self.connect(port)
        self.assertEqual(self.ask(peer, "/secret?q=attack", b"attack"), (200, b"got 6"))
        self.assertEqual(self.ask(peer, "/secret"), (200, b"the secret"))
        notes = [record["notes"]["waf"] for record in running.records(2)]
        self.assertEqual([(note["action"], note["score"]) for note in notes], [("detected", 10), ("detected", 0)])
        self.assertEqual([finding["phase"] for finding in notes[0]["findings"]], ["request_head", "request_body"])


class SlowTests(WafTestCase):
    def test_breaker(self) -> None:
        """A check that is too slow holds requests up for its budget only, and soon not at all; metrics and log say so."""
        metrics = free_port()
        running, port = self.waf("checks: [slow]", f"metrics: {{bind: '127.0.0.1:{metrics}'}}\nwaf: {{threads: 16}}\n")
        peer = self.connect(port)
        self.assertEqual([self.ask(peer, "/")[0] for _ in range(15)], [200] * 15)

        def value(name: str) -> float:
            text = self.page(metrics)
            return float(next((line.rsplit(" ", 1)[1] for line in text.splitlines() if line.startswith(name)), "-1"))

        tripped = 'balancer_plugin_tripped{kind="check",name="slow"'
        wait_until(lambda: self.ask(peer, "/")[0] == 200 and value(tripped) == 1)
        self.assertGreaterEqual(value('balancer_waf_check_timeouts_total{check="slow"'), 10)
        wait_until(lambda: "only detects from now on" in running.output.read_text())

    def page(self, port: int) -> str:
        with socket.create_connection(("127.0.0.1", port), 20) as skt:
            peer = Peer(skt)
            peer.send(b"GET /metrics HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            return peer.rest().decode()
