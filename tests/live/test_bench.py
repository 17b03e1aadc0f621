"""The bench: its load generator counts right, its peers' configurations are valid, it makes a table; no figure is judged."""

from __future__ import annotations

import contextlib
import functools
import io
import json
import math
import shutil
import socket
import subprocess
import tempfile
from pathlib import Path

from twisted.trial.unittest import SkipTest, SynchronousTestCase

from bench import table
from bench.cases import CASES
from bench.load import Load, behind, compiled, identified
from bench.peers import PEERS, Peer, Place
from bench.peers.equality import Unequal, compare
from bench.processes import Missing, free_port
from bench.run import main
from tests.live.balancers import OK, BalancerTestCase, answering
from tests.live.balancers import Peer as Client
from tests.live.programs import need


def _needs_gcc() -> None:
    """The bench alone needs a compiler: where there is none the tests are complete without it."""
    if shutil.which("gcc") is None:
        raise SkipTest("gcc is not installed")


@functools.cache
def _programs() -> tempfile.TemporaryDirectory[str]:
    """The generator, compiled once; it goes with the process."""
    folder = tempfile.TemporaryDirectory(prefix="bench-test-")
    compiled(Path(folder.name))
    return folder


class PeerTests(BalancerTestCase):
    def _accepts(self, name: str) -> None:
        """The peer finds its own configuration valid, with few routes and with many."""
        peer = next(each for each in PEERS if each.name == name)
        if name in ("nginx", "haproxy"):
            need(name)  # the others come from the package index, for the bench alone
        for routes in (0, 100):
            ports = (free_port(), free_port(), free_port())
            place = Place(
                *(self.folder(), free_port(), free_port(), free_port(), ports, routes),
                https=free_port(),
                identity=identified(self.folder()),
            )
            try:
                peer.command(place)
                check = peer.check(place)
            except Missing as error:
                raise SkipTest(str(error)) from None
            done = subprocess.run(check, capture_output=True, text=True, timeout=60, check=False)
            self.assertEqual(done.returncode, 0, done.stdout + done.stderr)

    def test_balancer_on_uv(self) -> None:
        self._accepts("balancer uv")

    def test_balancer_on_epoll(self) -> None:
        self._accepts("balancer epoll")

    def test_nginx(self) -> None:
        self._accepts("nginx")

    def test_haproxy(self) -> None:
        self._accepts("haproxy")

    def test_envoy(self) -> None:
        self._accepts("envoy")

    def test_caddy(self) -> None:
        self._accepts("caddy")

    def test_reload_changes_the_file_whole(self) -> None:
        """Whoever reads a configuration while it is replaced reads the old one or the new one."""
        place = Place(self.folder(), 1, 2, 3, (4, 5, 6))
        file = place.put("file", "old")
        with file.open() as reading:
            place.put("file", "new")
            self.assertEqual((reading.read(), file.read_text()), ("old", "new"))

    def test_every_peer_can_do_http(self) -> None:
        """Each case has the balancer and somebody to compare it with."""
        for case in CASES:
            able = [peer.name for peer in PEERS if case.needs in peer.abilities and case.routes <= peer.most_routes]
            self.assertIn("balancer epoll", able, case.name)
            self.assertIn("nginx", able, case.name)


class TLSTests(BalancerTestCase):
    """What loads a TLS listener says what came of it."""

    def test_requests_and_handshakes(self) -> None:
        """Requests in both versions of HTTP, new connections and resumed ones are counted."""
        need("h2load")
        need("openssl")
        load, folder, port = Load(self.folder(), None), identified(self.folder()), free_port()
        server = self.server(answering(OK)).address
        running = self.run_balancer(
            f"listeners: {{web: {{bind: '127.0.0.1:{port}', protocol: http, pool: web,"
            f" tls: {{certificates: [{{cert: {folder}/cert.pem, key: {folder}/key.pem}}]}}}}}}\n"
            f"pools: {{web: {{servers: [{server}]}}}}\n"
        )
        running.wait_for(port)
        for streams in (0, 10):
            found = load.https(port, 0.5, 2, streams)
            self.assertEqual(found["failed"], 0)
            self.assertGreater(found["requests"], 0)
        for resumed in (False, True):
            self.assertGreater(load.handshakes(port, 1, resumed)["connections"], 0)


class GeneratorTests(BalancerTestCase):
    def setUp(self) -> None:
        _needs_gcc()
        self.load = Load(Path(_programs().name), None)

    def test_good_answers(self) -> None:
        """At a fixed rate as many are asked as the rate says, and every one is answered."""
        server = self.server(answering(OK))
        found = self.load.http(server.port, 0.5, 4, rate=40)
        self.assertEqual((found["requests"], found["failed"]), (20, 0))
        self.assertLessEqual(found["p50"], found["max"])

    def test_errors_are_failures(self) -> None:
        """A status other than 200 is a failure."""
        server = self.server(answering(b"HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n"))
        found = self.load.http(server.port, 0.5, 4, rate=40)
        self.assertEqual((found["requests"], found["failed"]), (0, 20))

    def test_cut_answers_are_failures(self) -> None:
        """A response that ends early is a failure."""

        def talk(peer: Client) -> None:
            peer.head()
            peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")

        found = self.load.http(self.server(talk).port, 0.5, 4, rate=40)
        self.assertEqual((found["requests"], found["failed"]), (0, 20))

    def test_nobody_there(self) -> None:
        """Requests that nobody takes are failures, in each kind of loop."""
        for rate in (0, 40):
            found = self.load.http(free_port(), 0.3, 2, rate=rate)
            self.assertEqual(found["requests"], 0)
            if rate:
                self.assertEqual(found["failed"], 12)

    def test_closing_between_requests_is_none(self) -> None:
        """A server may close a connection after an answer, said or unsaid: the next request has another."""
        for more in (b"", b"Connection: close\r\n"):

            def talk(peer: Client, more: bytes = more) -> None:
                peer.head()
                peer.send(b"HTTP/1.1 200 OK\r\n" + more + b"Content-Length: 2\r\n\r\nok")

            found = self.load.http(self.server(talk).port, 0.5, 8, rate=20)
            self.assertEqual((found["requests"], found["failed"]), (10, 0), more)

    def test_bodies(self) -> None:
        """Whole bodies go up and come down."""
        with behind(self.load.directory, None) as ports:
            down = self.load.http(ports.http, 0.2, 2, path="/300000")
            up = self.load.http(ports.http, 0.2, 2, body=300_000)
        self.assertEqual((down["failed"], up["failed"]), (0, 0))
        self.assertGreaterEqual(down["received"], down["requests"] * 300_000)
        self.assertEqual(up["sent"], up["requests"] * 300_000)

    def test_closed_while_held(self) -> None:
        """Connections that are closed while they idle are counted."""
        server = self.server(answering(OK))
        closed: list[float] = []
        with self.load.held(server.port, 5, closed):
            for peer in server._peers:
                peer.skt.shutdown(socket.SHUT_RDWR)
        self.assertEqual(closed, [5])

    def test_echoes(self) -> None:
        """Single connections and datagrams come back."""
        with behind(self.load.directory, None) as ports:
            connections = self.load.connections(ports.tcp, 0.2, 4)
            packets = self.load.datagrams(ports.udp, 0.2, 2, 2, 100)
            nobody = self.load.connections(free_port(), 0.1, 1)
        self.assertEqual((connections["failed"], packets["failed"]), (0, 0))
        self.assertGreater(connections["connections"], 0)
        self.assertGreater(packets["packets"], 0)
        self.assertGreater(nobody["failed"], 0)

    def test_a_peer_that_does_less(self) -> None:
        """Who adds no fields and writes no log is not compared with those who do."""
        with behind(self.load.directory, None) as ports:
            error = self.assertRaises(Unequal, compare, ports.http, self.folder() / "no.log")
        self.assertIn("X-Forwarded-For for the server", str(error))
        self.assertIn("a line in its access log", str(error))


RESULTS = {
    "http get": {
        "balancer epoll": [{"µs/request": 30.0, "failed": 0}, {"µs/request": 50.0, "failed": 0}, {"µs/request": 40.0}],
        "nginx": [{"µs/request": 20.0, "failed": 0}],
        "caddy": [{"µs/request": 1600.0, "failed": 2}],
    },
    "http 50 reloads": {"nginx": [{"failed": 3, "p99 ms": 1.0}], "balancer epoll": [{"failed": 0, "p99 ms": 2.0}]},
}


class TableTests(BalancerTestCase):
    def test_rows(self) -> None:
        """A row has the medians of the rounds, and ours divided by theirs; what was not measured is no number."""
        row = table.rows(RESULTS)[0]
        self.assertEqual((row.case, row.figure), ("http get", "µs/request"))
        self.assertEqual(row.medians, {"balancer epoll": 40.0, "nginx": 20.0, "caddy": 1600.0})
        self.assertEqual((row.ratios["nginx"], row.ratios["caddy"]), (2.0, 0.025))
        self.assertTrue(math.isnan(row.ratios["envoy"]))
        self.assertEqual(
            row.cells(["balancer epoll", "nginx", "envoy", "caddy"]),
            ["http get", "µs/request", "40.0", "20.0", "-", "1,600", "2.00", "-", "0.03"],
        )

    def test_failures(self) -> None:
        """What fails is named, except what other peers lose at their own reloads."""
        self.assertEqual(table.failures(RESULTS), ["caddy, http get: 2 failed"])

    def test_text(self) -> None:
        """Every line of the table is as wide as its head."""
        lines = table.text(RESULTS).splitlines()
        self.assertIn("epoll × nginx", lines[0])
        self.assertEqual({len(line) for line in lines}, {len(lines[0])})

    def test_page(self) -> None:
        """The table goes between its marks, again and again, and leaves the rest of the page alone."""
        page = self.folder() / "page.md"
        page.write_text("above\n<!-- the table of a run: begin -->\nold\n<!-- the table of a run: end -->\nbelow\n")
        for about in ("first", "second"):
            table.write(page, RESULTS, about)
        text = page.read_text()
        self.assertTrue(text.startswith("above\n") and text.endswith("\nbelow\n"))
        self.assertIn("second", text)
        self.assertNotIn("first", text)
        self.assertIn("| http get | µs/request | 40.0 | 20.0 | 1,600 |", text)

    def test_page_without_marks(self) -> None:
        """A page without marks is not touched."""
        page = self.folder() / "page.md"
        page.write_text("nothing here\n")
        self.assertRaises(ValueError, table.write, page, RESULTS, "about")
        self.assertEqual(page.read_text(), "nothing here\n")

    def test_the_page_has_marks(self) -> None:
        """``--write`` finds its place in the documentation."""
        page = Path(table.__file__).parents[1] / "docs" / "performance.md"
        copy = self.folder() / "copy.md"
        copy.write_text(page.read_text())
        table.write(copy, RESULTS, "about")
        self.assertIn("| http get |", copy.read_text())


class RunTests(BalancerTestCase):
    def test_a_short_run(self) -> None:
        """One case of a second, the balancer and nginx: a table, the figures in a file, no failure."""
        _needs_gcc()
        folder, printed = self.folder(), io.StringIO()
        given = ["--rounds", "1", "--seconds", "1", "--rate", "200", "--case", "http get", "--results", str(folder)]
        with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(io.StringIO()):
            status = main([*given, "--peer", "epoll", "--peer", "nginx"])
        text = printed.getvalue()
        self.assertEqual(status, 0, text)
        lines = text.strip().splitlines()
        self.assertEqual(lines[0].split()[:5], ["case", "figure", "balancer", "epoll", "nginx"])
        self.assertEqual([line.split()[2] for line in lines[1:6]], ["µs/request", "p50", "p99", "p99.9", "PSS"])
        (file,) = folder.glob("*.json")
        run = json.loads(file.read_text())
        self.assertEqual(set(run["cases"]["http get"]), {"balancer epoll", "nginx"})
        for rounds in run["cases"]["http get"].values():
            self.assertEqual([each["failed"] for each in rounds], [0])
        self.assertEqual((run["left out"], run["trouble"]), ({}, []))

    def test_calls(self) -> None:
        """Calls of gRPC get answers from a server behind the balancer and nginx, and all of them good ones."""
        _needs_gcc()
        need("nghttpd")
        folder, printed = self.folder(), io.StringIO()
        given = ["--rounds", "1", "--seconds", "1", "--case", "grpc unary, 4", "--results", str(folder)]
        with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(io.StringIO()):
            status = main([*given, "--peer", "epoll", "--peer", "nginx"])
        self.assertEqual(status, 0, printed.getvalue())
        (file,) = folder.glob("*.json")
        run = json.loads(file.read_text())
        self.assertEqual((run["left out"], run["trouble"]), ({}, []))
        self.assertEqual(set(run["cases"]["grpc unary, 4 x 100"]), {"balancer epoll", "nginx"})

    def test_who_is_missing_is_named(self) -> None:
        """A peer that is not installed is left out, by name and with the reason; the others are measured."""
        _needs_gcc()
        from bench.measure import measure

        def missing(place: Place) -> list[str]:
            raise Missing("nobody is not installed")

        def broken(place: Place) -> list[str]:
            return ["sh", "-c", "echo no such thing >&2; exit 3"]

        nginx = next(peer for peer in PEERS if peer.name == "nginx")
        nobody = Peer("nobody", missing, nginx.check, nginx.reload, "log")
        failing = Peer("failing", broken, nginx.check, nginx.reload, "log")
        with contextlib.redirect_stderr(io.StringIO()):
            found = measure([CASES[0]], [nobody, failing, nginx], 1, 0.2, 100)
        self.assertEqual(found.left_out["nobody"], "nobody is not installed")
        self.assertIn("status 3; it said: no such thing", found.left_out["failing"])
        self.assertEqual(list(found.cases["http get"]), ["nginx"])

    def test_an_earlier_run(self) -> None:
        """The results of an earlier run are shown again, failures and who was left out with them."""
        file, printed = self.folder() / "run.json", io.StringIO()
        run = {"machine": {}, "how": {}, "cases": RESULTS, "left out": {"envoy": "not there"}, "trouble": []}
        file.write_text(json.dumps(run))
        with contextlib.redirect_stdout(printed):
            status = main(["--show", str(file)])
        self.assertEqual(status, 1)
        text = printed.getvalue()
        self.assertIn("left out: envoy: not there", text)
        self.assertIn("FAILED: caddy, http get: 2 failed", text)
        self.assertIn("epoll × nginx", text)

    def test_nothing_chosen(self) -> None:
        """A case that there is not is a mistake, and those that there are are named."""
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            status = main(["--case", "no such case"])
        self.assertEqual(status, 2)
        self.assertIn("http get", printed.getvalue())


class InMemoryTests(SynchronousTestCase):
    def test_exchanges(self) -> None:
        """The micro bench serves each kind of request with a good answer, which it checks itself."""
        from bench.inmemory import CASES as KINDS
        from bench.inmemory import CLIENTS, Memory

        for make in KINDS.values():
            memory = Memory(routes=3)
            memory.exchange([make(number) for number in range(CLIENTS * 2)])
            memory.check(CLIENTS * 2)

    def test_connections_over_tls(self) -> None:
        """That of TLS serves requests on kept connections, whole connections and resumed ones, and checks what they are."""
        from bench.inmemory_tls import KINDS, Memory, measure
        from bench.load import identified

        directory = Path(self.mktemp())
        directory.mkdir()
        identified(directory)
        for kind in KINDS:
            self.assertGreater(measure(Memory(directory), kind, 1, 2), 0)
