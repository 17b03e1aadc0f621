"""Requests, responses and bodies rewritten by a whole balancer: both versions of HTTP, on both sides."""

from __future__ import annotations

import re
import subprocess
import threading
from typing import Any

from balancer import testing
from tests.live.balancers import BalancerTestCase, Peer, RunningBalancer
from tests.live.programs import need

_LISTENER = """
routes:
  - match: {path: [/shop/**, /store/**]}
    filters:
      - rewrite: {path: {prefix: /app}, host: internal, query: {remove: [utm_*], set: {via: lb}}}
      - response: {status: {404: 410}, location: true, cookies: {path: true, secure: true}}
      - body:
          request: {json: {remove: [/admin], set: {/source: web}}}
          response:
            types: [text/html]
            replace: [{text: "http://internal/app/", with: "https://shop.example/shop/"}]
    pool: web
  - match: {path: /json}
    filters: [{body: {response: {json: {wrap: data}, limit: 1KiB}}}]
    pool: web
  - {match: {path: /old/**}, redirect: {path: {prefix: /shop}, query: {remove: [x]}, status: 301}}
"""
_CONFIGURATION = """
listeners:
  web:
    bind: 127.0.0.1:{port}
    protocol: http
{listener}
pools:
  web: {{servers: [127.0.0.1:1]}}
"""
_PAGE = (b"<a href=http://inter", b"nal/app/a>", b"</a> http://internal/ap")


def _served(peer: Peer) -> None:
    """Answer as the path says; the request itself is the body where nothing else is."""
    while True:
        head = peer.head()
        target = head.split(b" ")[1]
        body = b""
        length = re.search(rb"(?i)content-length: (\d+)", head)
        if length is not None:
            body = peer.exactly(int(length[1]))
        elif b"chunked" in head.lower():
            while (size := int(peer.until(b"\r\n"), 16)) > 0:
                body += peer.exactly(size + 2)[:-2]
            peer.until(b"\r\n")
        silent = head.startswith(b"HEAD")
        if b"/page" in target:
            more = b'Content-Type: text/html\r\nETag: "x"\r\nAccept-Ranges: bytes\r\nTransfer-Encoding: chunked\r\n'
            peer.send(b"HTTP/1.1 200 OK\r\n" + more + b"\r\n")
            for piece in () if silent else (*_PAGE, b""):
                peer.send(b"%x\r\n%b\r\n" % (len(piece), piece))
        elif b"/login" in target:
            more = b"Location: http://internal/app/in?next=http://internal/app/\r\nSet-Cookie: a=b; Path=/app/x\r\n"
            peer.send(b"HTTP/1.1 302 Found\r\n" + more + b"Content-Length: 0\r\n\r\n")
        elif b"/missing" in target:
            peer.send(b"HTTP/1.1 404 Not Found\r\nContent-Length: 4\r\n\r\ngone")
        elif b"/same" in target:
            peer.send(b'HTTP/1.1 304 Not Modified\r\nETag: "x"\r\n\r\n')
        elif b"/part" in target:
            more = b"Content-Type: text/html\r\nContent-Range: bytes 0-19/40\r\n"
            peer.send(b"HTTP/1.1 206 Partial Content\r\n" + more + b"Content-Length: 20\r\n\r\nhttp://internal/app/")
        elif target.startswith(b"/json"):
            text = {b"/json?none": b"{", b"/json?long": b'"' + b"x" * 5000 + b'"'}.get(target, b'{"a": 1.50}')
            peer.send(
                b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (len(text), text)
            )
        else:
            text = head + body
            peer.send(
                b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n%b" % (len(text), text)
            )


class RewritingTests(BalancerTestCase):
    def rewriting(self, pool: str = "") -> tuple[RunningBalancer, int]:
        """Run the balancer over a server, or over another balancer that speaks HTTP/2 with it."""
        server = self.server(_served)
        if not pool:
            return self.web(server.address, listener=_LISTENER)
        _, port = self.web(server.address, listener="routes: [{pool: web}]")
        return self.web(f"127.0.0.1:{port}", listener=_LISTENER, pool=pool)

    def curl(self, port: int, path: str, *arguments: str) -> str:
        """Ask with curl; return head and body as it shows them."""
        url = f"http://shop.example:{port}{path}"
        command = [
            need("curl"),
            "-sSi",
            "--path-as-is",
            "--max-time",
            "30",
            "--resolve",
            f"shop.example:{port}:127.0.0.1",
            *arguments,
            url,
        ]
        return subprocess.run(command, check=True, capture_output=True, timeout=60).stdout.decode("latin-1")

    def both(self, port: int, path: str, *arguments: str) -> list[str]:
        """Ask over HTTP/1.1 and HTTP/2; return both answers."""
        return [self.curl(port, path, version, *arguments) for version in ("--http1.1", "--http2-prior-knowledge")]

    def check(self, port: int) -> None:
        own = f"http://shop.example:{port}"
        for shown in self.both(
            port, "/store/%61b//c?utm_a=1&q=%7E&via=x", "-H", "Range: bytes=0-3", "-H", "Accept-Encoding: gzip"
        ):
            self.assertIn("GET /app/%61b//c?q=%7E&via=lb HTTP/1.1\r\n", shown)
            self.assertRegex(shown, "(?i)\r\nhost: internal\r\n")
            self.assertRegex(shown, "(?i)\r\naccept-encoding: identity\r\n")
            self.assertNotRegex(shown, "(?i)\r\nrange:")
        for shown in self.both(port, "/shop/login"):
            self.assertIn(f"ocation: {own}/shop/in?next=http://internal/app/\r", shown)
            self.assertIn("et-cookie: a=b; Path=/shop/x; Secure\r", shown.replace("Set-Cookie", "set-cookie"))
        for shown in self.both(port, "/shop/missing"):
            self.assertRegex(shown, r"\AHTTP/[12.]+ 410[^\n]*\n[^\0]*gone\Z")
        for shown in self.both(port, "/shop/page"):
            head, _, body = shown.partition("\r\n\r\n")
            self.assertEqual(body, "<a href=https://shop.example/shop/a></a> http://internal/ap")
            self.assertRegex(head, '(?i)etag: W/"x"')
            self.assertNotRegex(head, "(?i)accept-ranges|content-length")
        for shown in self.both(port, "/shop/page", "-I"):
            self.assertRegex(shown, '(?i)etag: W/"x"')
            self.assertTrue(shown.endswith("\r\n\r\n"))
        for shown in self.both(port, "/shop/same"):
            self.assertRegex(shown, r'(?is)\AHTTP/[12.]+ 304.*etag: W/"x".*\r\n\r\n\Z')
        for shown in self.both(port, "/shop/part"):
            self.assertRegex(shown, r"(?s)\AHTTP/[12.]+ 206.*\r\n\r\nhttp://internal/app/\Z")
        for shown in self.both(port, "/shop/x", "--json", '{"admin": true, "n": 1.0}'):
            self.assertTrue(shown.endswith('\r\n\r\n{"n":1.0,"source":"web"}'), shown)
        for shown in self.both(port, "/shop/x", "--json", "{"):
            self.assertRegex(shown, r"\AHTTP/[12.]+ 400")
        for shown in self.both(port, "/json"):
            self.assertTrue(shown.endswith('\r\n\r\n{"data":{"a":1.50}}'), shown)
        for shown in self.both(port, "/old/a%2Cb?x=1&y=%7E"):
            self.assertRegex(shown, r"(?is)\AHTTP/[12.]+ 301.*location: /shop/a%2Cb\?y=%7E\r")

    def test_explained(self) -> None:
        """What is explained to be sent is what a server gets, and where it would redirect is where it does."""
        running, port = self.rewriting()
        text = _CONFIGURATION.format(
            port=port, listener="".join(f"    {line}\n" for line in _LISTENER.strip().splitlines())
        )
        balancer = testing.Configured(text)
        for target in (
            "/shop",
            "/shop/",
            "/store/%7Ea//b/../c?utm_x=1&a=%20&via=q&&",
            "/x/../shop/b?",
            "/old",
            "/old//x?x&y",
        ):
            said = balancer.ask(f"http://shop.example:{port}{target}").as_json()
            shown = self.curl(port, target)
            if said["location"] is not None:
                self.assertIn(f"\r\nLocation: {said['location']}\r\n", shown)
            else:
                got = shown.partition("\r\n\r\n")[2]
                self.assertEqual(got.split(" ")[1], said["request"]["target"], target)
                self.assertIn("\r\nHost: internal\r\n", got)
                self.assertIn(["Host", "internal"], said["request"]["headers"])
        for body in ('{"admin": 1, "x": [1.50]}', "[]", " "):
            asked = ("-H", "Content-Type: application/json", "--data", body)
            said = balancer.ask(
                f"http://shop.example:{port}/shop/x", "POST", {"Content-Type": "application/json"}, body=body
            ).as_json()
            got = self.curl(port, "/shop/x", *asked).partition("\r\n\r\n")[2]
            self.assertTrue(got.endswith("\r\n\r\n" + said["request"].get("body", body)), (got, said))
            framing = [pair for pair in said["request"]["headers"] if pair[0] == "Transfer-Encoding"]
            self.assertEqual(framing, [["Transfer-Encoding", "chunked"]])
            self.assertIn("\r\nTransfer-Encoding: chunked\r\n", got)
        running.stop()

    def test_http1_servers(self) -> None:
        """Everything, with a server of HTTP/1.1."""
        running, port = self.rewriting()
        self.check(port)
        self.assertRegex(self.curl(port, "/shop/x"), "(?i)\r\nx-forwarded-host: shop.example")
        running.stop()

    def test_http2_servers(self) -> None:
        """Everything, with a server of HTTP/2."""
        running, port = self.rewriting("protocol: h2")
        self.check(port)
        running.stop()

    def test_what_cannot_be_changed(self) -> None:
        """An answer that is not what it says is not sent as it is, but 502 if none of it was; the balancer goes on."""
        _, port = self.rewriting()
        for query in ("none", "long"):
            for shown in self.both(port, f"/json?{query}"):
                self.assertRegex(shown, r"(?is)\AHTTP/[12.]+ 502.*proxy-status: ")
        self.assertTrue(self.curl(port, "/json").endswith('{"data":{"a":1.50}}'))

    def test_what_has_begun(self) -> None:
        """An answer whose head the client has is cut off; nothing of it is sent."""
        read = threading.Event()

        def slow(peer: Peer) -> None:
            peer.head()
            peer.send(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 5000\r\n\r\n")
            read.wait(60)
            peer.send(b"x" * 5000)
            peer.head()

        _, port = self.web(self.server(slow).address, listener=_LISTENER)
        client = self.connect(port)
        client.send(b"GET /json HTTP/1.1\r\nHost: a\r\n\r\n")
        self.assertTrue(client.until(b"\r\n\r\n").startswith(b"HTTP/1.1 200 OK\r\n"))
        read.set()
        self.assertEqual(client.rest(), b"")

    def test_retried(self) -> None:
        """A request whose server dies goes to another as it was rewritten, its body too."""
        seen: list[bytes] = []

        def dying(peer: Peer) -> None:
            seen.append(peer.head())

        dead, server = self.server(dying), self.server(_served)
        retrying = "retry: {on: [reset], attempts: 3}\nalgorithm: round_robin\nhealth: false\npassive: false"
        _, port = self.web(dead.address, server.address, listener=_LISTENER, pool=retrying)
        for _ in range(4):
            answer: Any = self.curl(port, "/shop/x", "-X", "PUT", "--json", '{"admin": 1}')
            self.assertTrue(answer.endswith('\r\n\r\n{"source":"web"}'), answer)
            self.assertIn("PUT /app/x?via=lb HTTP/1.1", answer)
        self.assertTrue(seen)
        self.assertTrue(all(head.startswith(b"PUT /app/x?via=lb ") for head in seen), seen)
