"""Files, WSGI applications and packages' resources, fetched with curl and by hand."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from tests.hooks.hostile import install
from tests.live.balancers import OK, BalancerTestCase, RunningBalancer, answering, wait_until
from tests.live.processes import free_port

_WSGI = """
import time

def application(environ, start_response):
    path = environ["PATH_INFO"]
    if path == "/raise":
        raise RuntimeError("on purpose")
    if path == "/echo":
        body = environ["wsgi.input"].read()
    elif path == "/slow":
        time.sleep(0.5)
        body = b"slow"
    elif path == "/measured":
        body = environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"]))
    elif path.startswith("/status/"):
        start_response(path[8:], [("Content-Length", "2")])
        return [b"ok"]
    elif path == "/cookies":
        body = environ["HTTP_COOKIE"].encode()
    elif path == "/gone":
        start_response("410 Gone", [("Content-Length", "0")])
        return []
    elif path in ("/short", "/long"):
        start_response("200 OK", [("Content-Length", "100" if path == "/short" else "3")])
        return [b"pieces"]
    elif path == "/same":
        start_response("304 Not Modified", [("ETag", "x")])
        return []
    elif path == "/pieces":
        start_response("200 OK", [("Content-Type", "text/plain")])
        return iter([b"a" * 100_000] * 50)
    else:
        keys = ("REQUEST_METHOD", "SCRIPT_NAME", "PATH_INFO", "QUERY_STRING", "REMOTE_ADDR", "HTTP_X_REQUEST_ID")
        body = "|".join(str(environ.get(key)) for key in keys).encode()
    start_response("201 Made", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]
"""

_PACKAGE = """
from twisted.internet import reactor
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET
from zope.interface import implementer
from twisted.internet.interfaces import IPullProducer

from balancer.hooks import hookimpl
from balancer.hooks.interfaces import Factory, IFilter


class Sample(Resource):
    isLeaf = True

    def render_GET(self, request):
        path = request.postpath[-1] if request.postpath else b""
        if path == b"later":
            reactor.callLater(0.05, lambda: (request.write(b"later"), request.finish()))
            return NOT_DONE_YET
        if path == b"produced":
            request.registerProducer(Pieces(request), False)
            return NOT_DONE_YET
        if path == b"raise":
            raise RuntimeError("on purpose")
        if path == b"exit":
            raise SystemExit("on purpose")
        if path == b"midway":
            request.write(b"x" * 10)
            raise RuntimeError("on purpose, midway")
        if path == b"never":
            request.notifyFinish().addErrback(lambda _: open(FOLDER + "/gone", "w").close())
            return NOT_DONE_YET
        if path == b"wrong":
            return "text"
        request.setHeader(b"x-seen", request.getHeader(b"x-given") or b"")
        request.addCookie(b"a", b"1")
        return b"sample " + request.args.get(b"q", [b""])[0]

    def render_POST(self, request):
        return b"posted " + request.args.get(b"field", [b""])[0]


@implementer(IPullProducer)
class Pieces:
    def __init__(self, request):
        self.request, self.left = request, 100

    def resumeProducing(self):
        if not self.left:
            self.request.unregisterProducer()
            self.request.finish()
            return
        self.left -= 1
        self.request.write(b"p" * 10000)

    def stopProducing(self):
        pass


@implementer(IFilter)
class Fails:
    name = "fails"
    on_error = "deny"
    body_limit = 0

    def request(self, exchange):
        return None

    def response(self, exchange):
        if exchange.facts.header("x-fail"):
            raise RuntimeError("on purpose, on the response")

    def describe(self, exchange):
        return "fails"


FOLDER = ""

@hookimpl
def balancer_resources():
    return [Factory("sample", lambda _: Sample())]


@hookimpl
def balancer_filters():
    return [Factory("fails", lambda _: Fails())]
"""


class ResourceTestCase(BalancerTestCase):
    def start(self) -> tuple[RunningBalancer, int]:
        """Run a balancer with files under /files, a WSGI application under /app, a package's resource under /sample."""
        folder = self.folder()
        files = folder / "files"
        (files / "sub").mkdir(parents=True)
        (files / "open").mkdir()
        (files / "index.html").write_text("<h1>home</h1>")
        (files / "data.txt").write_text("0123456789" * 1000)
        (files / "open" / "data.txt").write_text("open")
        (folder / "secret.txt").write_text("secret")
        os.mkfifo(files / "pipe")
        (folder / "shop.py").write_text(_WSGI)
        install(folder, "sample-package", _PACKAGE.replace('FOLDER = ""', f"FOLDER = {str(folder)!r}"))
        port = free_port()
        server = self.server(answering(OK))
        text = f"""
access_log: {{format: json, path: {folder}/access.log}}
graceful_timeout: 1s
plugins: {{on_error: deny}}
listeners:
  web:
    bind: 127.0.0.1:{port}
    protocol: http
    filters: [fails]
    routes:
      - {{match: {{path: /files/**}}, resource: {{static: {files}}}}}
      - {{match: {{path: /listed/**}}, resource: {{static: {{directory: {files}, listing: true}}}}}}
      - {{match: {{path: /app/**}}, resource: {{wsgi: {{application: "shop:application", directory: {folder}}}}}}}
      - {{match: {{path: /sample/**}}, resource: sample}}
      - {{match: {{path: /same}}, respond: {{status: 304}}}}
      - {{match: {{path: /answered}}, respond: {{status: 200, body: fine}}}}
      - pool: web
pools: {{web: {{servers: ["{server.address}"]}}}}
"""
        running = RunningBalancer(folder, text, PYTHONPATH=str(folder))
        self.addCleanup(running.stop)
        running.wait_for(port)
        return running, port

    def curl(self, *words: str) -> str:
        command = ["curl", "-sS", "--max-time", "20", *words]
        return subprocess.run(command, capture_output=True, text=True, timeout=30, check=True).stdout


class FileTests(ResourceTestCase):
    def test_files(self) -> None:
        """Types, ranges, conditions, HEAD, indexes; nothing outside the directory, no listing, nothing that blocks."""
        _, port = self.start()
        site = f"http://127.0.0.1:{port}/files"
        whole = self.get(port, "/files/data.txt")
        self.assertEqual((whole.status, len(whole.body), whole.headers["Content-Type"]), (200, 10_000, "text/plain"))
        self.assertEqual(self.curl("-r", "3-5", f"{site}/data.txt"), "345")
        self.assertEqual(self.curl("-r", "-2", f"{site}/data.txt"), "89")
        status = ("-o", "/dev/null", "-w", "%{http_code} %{size_download}")
        self.assertEqual(self.curl("-r", "99999-", *status, f"{site}/data.txt").split()[0], "416")
        self.assertEqual(
            self.curl(*status, "-H", f"If-Modified-Since: {whole.headers['Last-Modified']}", f"{site}/data.txt"),
            "304 0",
        )
        self.assertIn("Content-Length: 10000", self.curl("-I", f"{site}/data.txt"))
        self.assertEqual(self.curl(f"{site}/"), "<h1>home</h1>")
        for path, answer in (
            ("/files/none", 404),
            ("/files/open/", 403),
            ("/files/pipe", 404),
            ("/files/../secret.txt", 404),
            ("/files/%2e%2e/secret.txt", 404),
            ("/files/..%2fsecret.txt", 400),
            ("/files/sub/../../../secret.txt", 400),
        ):
            found = self.curl("--path-as-is", "-w", "\n%{http_code}", f"http://127.0.0.1:{port}{path}")
            self.assertNotIn("secret", found.replace(path, ""))
            if path != "/files/../secret.txt" and path != "/files/%2e%2e/secret.txt":
                self.assertEqual(int(found.rsplit("\n", 1)[1]), answer, path)
        self.assertIn("data.txt", self.curl(f"http://127.0.0.1:{port}/listed/open/"))
        self.assertEqual(self.get(port, "/files/data.txt", "DELETE").status, 405)
        for path, said in (
            ("/files/none", 'balancer; details="There is no such file."'),
            ("/files/data.txt", None),
            ("/app/gone", "balancer"),
            ("/answered", "balancer"),
            ("/same", "balancer"),
            ("/", None),
        ):
            self.assertEqual(self.get(port, path).headers["Proxy-Status"], said, path)

    def test_ranges(self) -> None:
        """A range longer than the file is the file; one of another version of it, or of far too many, is the whole."""
        _, port = self.start()
        modified = self.get(port, "/files/data.txt").headers["Last-Modified"]
        for headers, status, size in (
            ({"Range": "bytes=-20000"}, 206, 10_000),
            ({"Range": "bytes=-20000,0-0"}, 206, None),
            ({"Range": "bytes=0-9", "If_Range": modified}, 206, 10),
            ({"Range": "bytes=0-9", "If_Range": "Mon, 01 Jan 2001 00:00:00 GMT"}, 200, 10_000),
            ({"Range": "bytes=0-9", "If_Range": '"etag"'}, 200, 10_000),
            ({"Range": "bytes=" + "0-," * 1000 + "0-"}, 200, 10_000),
        ):
            found = self.get(port, "/files/data.txt", **headers)
            self.assertEqual(found.status, status, headers)
            if size is not None:
                self.assertEqual(len(found.body), size, headers)

    def test_conditions(self) -> None:
        """A file has a strong validator, and is served, not modified, or not as expected, in the order of RFC 9110."""
        _, port = self.start()
        whole = self.get(port, "/files/data.txt")
        tag, modified = whole.headers["ETag"], whole.headers["Last-Modified"]
        self.assertRegex(tag, r'^"[0-9a-f]+-2710"$')
        past = "Mon, 01 Jan 2001 00:00:00 GMT"
        for headers, status, size in (
            ({"If_None_Match": tag}, 304, 0),
            ({"If_None_Match": f'"x", W/{tag}'}, 304, 0),
            ({"If_None_Match": '"x"', "If_Modified_Since": modified}, 200, 10_000),
            ({"If_None_Match": tag, "If_Modified_Since": past}, 304, 0),
            ({"If_Match": tag}, 200, 10_000),
            ({"If_Match": '"x"'}, 412, None),
            ({"If_Unmodified_Since": past}, 412, None),
            ({"If_Match": tag, "If_Unmodified_Since": past}, 200, 10_000),
            ({"Range": "bytes=0-9", "If_Range": tag}, 206, 10),
            ({"Range": "bytes=0-9", "If_Match": '"x"'}, 412, None),
        ):
            for method in ("GET", "HEAD"):
                found = self.get(port, "/files/data.txt", method, **headers)
                if method == "GET" or status != 206:
                    self.assertEqual(found.status, status, (method, headers))
                self.assertEqual(found.headers["ETag"], tag)
                if method == "GET" and size is not None:
                    self.assertEqual(len(found.body), size, headers)

    def test_packed(self) -> None:
        """An archive is saved as the archive that it is."""
        folder = self.folder()
        for name in ("a.tar.gz", "a.tgz", "a.txt.gz", "a.txt"):
            (folder / name).write_bytes(b"x")
        _, port = self.web(
            "127.0.0.1:1", listener=f"routes: [{{match: {{path: /**}}, resource: {{static: {folder}}}}}]"
        )
        for name, kind in (
            ("a.tar.gz", "application/gzip"),
            ("a.tgz", "application/gzip"),
            ("a.txt.gz", "application/gzip"),
            ("a.txt", "text/plain"),
        ):
            found = self.get(port, f"/{name}")
            self.assertEqual((found.headers["Content-Type"], found.headers["Content-Encoding"]), (kind, None), name)

    def test_client_takes_nothing(self) -> None:
        """A client that stops taking a file is given up."""
        folder = self.folder()
        with (folder / "big").open("wb") as file:
            file.truncate(50_000_000)
        running, port = self.web(
            "127.0.0.1:1",
            listener="timeouts: {head: 300ms, body_idle: 300ms, keep_alive: 300ms}\n"
            f"routes: [{{match: {{path: /files/**}}, resource: {{static: {folder}}}}}]",
        )
        client = self.connect(port)
        client.send(b"GET /files/big HTTP/1.1\r\nHost: a\r\n\r\n")
        record = running.records(1)[0]
        self.assertEqual((record["status"], record["reason"]), (200, "http_request_error"))
        self.assertLess(len(client.rest()), 50_000_000)

    def test_many_on_one_connection(self) -> None:
        """Resources and pools take turns on a kept connection, pipelined too."""
        _, port = self.start()
        client = self.connect(port)
        paths = [b"/files/data.txt", b"/", b"/app/x", b"/answered", b"/sample/", b"/files/"] * 3
        client.send(b"".join(b"GET %b HTTP/1.1\r\nHost: a\r\n\r\n" % path for path in paths))
        self.assertEqual([client.response()[0] for _ in paths], [200, 200, 201, 200, 200, 200] * 3)


class WSGITests(ResourceTestCase):
    def test_application(self) -> None:
        """Its environment, bodies both ways, streaming, concurrency, an exception."""
        running, port = self.start()
        site = f"http://127.0.0.1:{port}/app"
        found = self.get(port, "/app/a%20b?c=d", X_Request_Id="mine")
        self.assertEqual((found.status, found.reason), (201, "Made"))
        method, script, path, query, client, request_id = found.body.decode().split("|")
        self.assertEqual((method, script, path, query, client), ("GET", "/app", "/a b", "c=d", "127.0.0.1"))
        self.assertEqual(request_id, found.headers["X-Request-Id"])
        big = running.folder / "big"
        big.write_bytes(os.urandom(3 << 20))
        sent = self.curl("--data-binary", f"@{big}", "-o", f"{big}.back", "-w", "%{http_code}", f"{site}/echo")
        self.assertEqual((sent, Path(f"{big}.back").read_bytes()), ("201", big.read_bytes()))
        chunked = self.curl("-H", "Transfer-Encoding: chunked", "-d", "abc", f"{site}/echo")
        self.assertEqual(chunked, "abc")
        self.assertEqual(self.get(port, "/app/pieces").body, b"a" * 5_000_000)
        slow = [self.connect(port) for _ in range(5)]
        for each in slow:
            each.send(b"GET /app/slow HTTP/1.1\r\nHost: a\r\n\r\n")
        self.assertEqual([each.response()[2] for each in slow], [b"slow"] * 5)
        self.assertEqual(self.get(port, "/app/raise").status, 500)
        self.assertEqual(self.get(port, "/app/x").status, 201)
        seconds = [record["total"] for record in running.records(9) if record["target"] == "/app/slow"]
        self.assertLess(max(seconds), 2.0)

    def test_chunked_body_is_measured(self) -> None:
        """An application is told the length of a body that came without."""
        _, port = self.start()
        client = self.connect(port)
        client.send(
            b"POST /app/measured HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"
        )
        self.assertEqual(client.response()[::2], (201, b"abcde"))

    def test_wrong_length(self) -> None:
        """An answer shorter than its length cuts the connection, a longer one is cut: nothing runs into the next answer."""
        _, port = self.start()
        client = self.connect(port)
        client.send(b"GET /app/long HTTP/1.1\r\nHost: a\r\n\r\n" + b"GET /app/short HTTP/1.1\r\nHost: a\r\n\r\n" * 2)
        self.assertEqual(client.response()[::2], (200, b"pie"))
        client.head()
        self.assertEqual(client.rest(), b"pieces")

    def test_statuses(self) -> None:
        """A status needs no phrase; what is none at all is the application's error."""
        _, port = self.start()
        for said, status, reason in (
            ("200", 200, "OK"),
            ("404%20", 404, "Not Found"),
            ("299", 299, "Unknown"),
            ("200%20Fine%20so%20far", 200, "Fine so far"),
            ("OK", 500, "Internal Server Error"),
            ("2000", 500, "Internal Server Error"),
            ("100%20Continue", 500, "Internal Server Error"),
        ):
            found = self.get(port, f"/app/status/{said}")
            self.assertEqual((found.status, found.reason), (status, reason), said)

    def test_cookies(self) -> None:
        """Several lines of cookies are one list, as cookies are listed."""
        _, port = self.start()
        client = self.connect(port)
        client.send(b"GET /app/cookies HTTP/1.1\r\nHost: a\r\nCookie: a=1; b=2\r\ncookie: c=3\r\n\r\n")
        self.assertEqual(client.response()[2], b"a=1; b=2; c=3")

    def test_not_modified(self) -> None:
        """A 304 says nothing of a length, which would be that of the whole."""
        _, port = self.start()
        modified = self.get(port, "/files/data.txt").headers["Last-Modified"]
        for path in ("/files/data.txt", "/app/same", "/same"):
            found = self.get(port, path, If_Modified_Since=modified)
            self.assertEqual((found.status, found.headers["Content-Length"]), (304, None), path)


class PackageTests(ResourceTestCase):
    def test_resource(self) -> None:
        """Arguments, forms, headers, cookies, answers that come later, producers, exceptions."""
        running, port = self.start()
        found = self.get(port, "/sample/x?q=1", X_Given="seen")
        self.assertEqual(
            (found.body, found.headers["X-Seen"], found.headers["Set-Cookie"]), (b"sample 1", "seen", "a=1")
        )
        form = {"Content_Type": "application/x-www-form-urlencoded"}
        self.assertEqual(self.get(port, "/sample/x", "POST", "field=v", **form).body, b"posted v")
        self.assertEqual(self.get(port, "/sample/later").body, b"later")
        self.assertEqual(self.get(port, "/sample/produced").body, b"p" * 1_000_000)
        self.assertEqual(self.get(port, "/sample/raise").status, 500)
        self.assertEqual(self.get(port, "/sample/exit").status, 500)
        self.assertEqual(self.get(port, "/sample/wrong").status, 500)
        head = self.get(port, "/sample/x?q=1", "HEAD")
        self.assertEqual((head.status, head.body, head.headers["Content-Length"]), (200, b"", "8"))
        midway = self.connect(port)
        midway.send(b"GET /sample/midway HTTP/1.1\r\nHost: a\r\n\r\n")
        self.assertNotIn(b"\r\n0\r\n\r\n", midway.rest())
        waiting = self.connect(port)
        waiting.send(b"GET /sample/never HTTP/1.1\r\nHost: a\r\n\r\n")
        self.assertEqual(self.get(port, "/sample/x").status, 200)
        waiting.reset()
        wait_until((running.folder / "gone").exists)

    def test_filter_that_fails_on_the_response(self) -> None:
        """Every kind of answer becomes 500, and the connection goes on."""
        _, port = self.start()
        client = self.connect(port)
        for path in (
            b"/",
            b"/answered",
            b"/sample/x",
            b"/sample/produced",
            b"/files/data.txt",
            b"/app/pieces",
            b"/app/x",
        ):
            client.send(b"GET %b HTTP/1.1\r\nHost: a\r\nX-Fail: 1\r\n\r\n" % path)
            status, head, _ = client.response()
            self.assertEqual(status, 500, path)
            self.assertIn(b"Proxy-Status", head)
            client.send(b"GET /answered HTTP/1.1\r\nHost: a\r\n\r\n")
            self.assertEqual(client.response()[2], b"fine")
