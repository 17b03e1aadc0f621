"""The service as an operator runs it: started, reloaded, asked, rotated, stopped."""

from __future__ import annotations

import json
import os
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

from tests.live.balancers import BIN, OK, BalancerTestCase, Peer, RunningBalancer, answering, wait_until
from tests.live.processes import free_port
from tests.live.programs import need

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"


def _echo(peer: Peer) -> None:
    while data := peer.skt.recv(65536):
        peer.send(data)


class ServiceTestCase(BalancerTestCase):
    def configuration(self, port: int, server: str, more: str = "", pools: str = "", top: str = "") -> str:
        return (
            f"access_log: {{format: json, path: '@log@'}}\ngraceful_timeout: 2s\n{top}\nlisteners:\n"
            f"  web: {{bind: '127.0.0.1:{port}', protocol: http, pool: web}}\n{more}\n"
            f"pools:\n  web: {{servers: ['{server}']}}\n{pools}\n"
        )

    def said(self, running: RunningBalancer, words: str) -> None:
        wait_until(lambda: words in running.output.read_text())


class StartTests(ServiceTestCase):
    def test_twistd(self) -> None:
        """``twistd -n balancer --config`` serves, reloads on SIGHUP, and stops on SIGTERM."""
        port = free_port()
        folder = self.folder()
        text = self.configuration(port, self.server(answering(OK)).address).replace("@log@", str(folder / "access.log"))
        command = [str(BIN / "twistd"), "-n", "--pidfile=", "balancer", "--config", str(folder / "balancer.yaml")]
        running = RunningBalancer(folder, text, command)
        self.addCleanup(running.stop)
        running.wait_for(port)
        self.assertEqual(self.get(port).status, 200)
        running.reload()
        self.said(running, "reloaded")
        self.assertIn(running.stop(), (0, -signal.SIGTERM))  # twistd says by which signal it ended
        self.assertNotIn("Traceback", running.output.read_text())

    def test_daemon(self) -> None:
        """``twistd balancer`` goes to the background, keeps a pid file and a log, and serves."""
        port = free_port()
        folder = self.folder()
        file = folder / "balancer.yaml"
        file.write_text(
            self.configuration(port, self.server(answering(OK)).address).replace("@log@", str(folder / "a.log"))
        )
        command = [
            str(BIN / "twistd"),
            f"--pidfile={folder}/pid",
            f"--logfile={folder}/log",
            "balancer",
            "--config",
            str(file),
        ]
        subprocess.run(command, check=True, timeout=30)
        pid = int(wait_until(lambda: (folder / "pid").exists() and (folder / "pid").read_text()))
        try:
            wait_until(lambda: socket.socket().connect_ex(("127.0.0.1", port)) == 0)
            for _ in range(5):
                self.assertEqual(self.get(port).status, 200)
            os.kill(pid, signal.SIGHUP)
            wait_until(lambda: "reloaded" in (folder / "log").read_text())
        finally:
            os.kill(pid, signal.SIGTERM)
        wait_until(lambda: not (folder / "pid").exists())

    def test_requests_for_metrics_are_dated(self) -> None:
        """The log's line for a request at the metrics address tells the time of day, though the reactor's is another."""
        port, metrics, folder = free_port(), free_port(), self.folder()
        top = f"metrics: {{bind: '127.0.0.1:{metrics}'}}"
        text = self.configuration(port, "127.0.0.1:1", top=top).replace("@log@", str(folder / "access.log"))
        command = [str(BIN / "twistd"), "-n", "--pidfile=", "balancer", "--config", str(folder / "balancer.yaml")]
        running = RunningBalancer(folder, text, command)
        self.addCleanup(running.stop)
        running.wait_for(metrics)
        self.assertEqual(self.get(metrics, "/metrics").status, 200)
        self.said(running, "GET /metrics")
        (line,) = (line for line in running.output.read_text().splitlines() if "GET /metrics" in line)
        self.assertIn(time.strftime("/%Y:", time.gmtime()), line)

    def test_what_stops_a_start(self) -> None:
        """A broken configuration, or an address that is taken, ends with 1 and words, by either way of starting."""
        taken = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(taken.close)
        port = taken.getsockname()[1]
        for text, words in (
            ("listeners: {a: {bind: x}}", ":1:"),
            (self.configuration(port, "127.0.0.1:1"), f"127.0.0.1:{port}"),
            ("\tx", "expected"),
        ):
            file = self.folder() / "b.yaml"
            file.write_text(text.replace("@log@", "-"))
            for command in (
                ["balancer", "run", str(file)],
                ["twistd", "-n", "--pidfile=", "balancer", "--config", str(file)],
            ):
                done = subprocess.run(
                    [str(BIN / command[0]), *command[1:]], capture_output=True, text=True, timeout=30, check=False
                )
                self.assertEqual(done.returncode, 1, (command, done.stdout, done.stderr))
                self.assertIn(words, done.stdout + done.stderr)
                self.assertNotIn("Traceback", done.stdout + done.stderr)


class ReloadTests(ServiceTestCase):
    def test_everything_lives_on(self) -> None:
        """A request in flight, a kept connection, a TCP session and a UDP flow outlive reloads."""
        release = threading.Event()

        def slow(peer: Peer) -> None:
            while b"/slow" not in peer.head():
                peer.send(OK)
            release.wait(20)
            peer.send(OK)

        web, echo, other = self.server(slow), self.server(_echo), self.server(answering(OK.replace(b"ok", b"2.")))
        datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        datagrams.bind(("127.0.0.1", 0))
        self.addCleanup(datagrams.close)
        threading.Thread(target=_echo_datagrams, args=(datagrams,), daemon=True).start()
        port, tcp, udp, fresh = free_port(), free_port(), free_port(), free_port()
        more = (
            f"  echo: {{bind: '127.0.0.1:{tcp}', protocol: tcp, pool: echo}}\n"
            f"  game: {{bind: '127.0.0.1:{udp}', protocol: udp, pool: game}}\n"
        )
        pools = f"  echo: {{servers: ['{echo.address}']}}\n  game: {{servers: ['127.0.0.1:{datagrams.getsockname()[1]}']}}\n"
        text = self.configuration(port, web.address, more, pools)
        running = self.run_balancer(text)
        running.wait_for(tcp)
        kept, busy, session = self.connect(port), self.connect(port), self.connect(tcp)
        kept.send(GET)
        self.assertEqual(kept.response()[2], b"ok")
        busy.send(GET.replace(b"/ ", b"/slow "))
        session.send(b"one")
        self.assertEqual(session.exactly(3), b"one")
        client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        client.settimeout(10)
        self.addCleanup(client.close)
        first = _ask(client, udp)
        log = str(running.log)
        changed = self.configuration(
            port, other.address, more + f"  fresh: {{bind: '127.0.0.1:{fresh}', protocol: http, pool: web}}\n", pools
        ).replace("@log@", log)
        for turn in range(10):
            running.reload(changed if turn % 2 == 0 else "listeners: {")
            self.said(running, "reloaded" if turn == 0 else "reload refused")
        running.wait_for(fresh)
        kept.send(GET)
        self.assertEqual(kept.response()[2], b"2.")
        session.send(b"two")
        self.assertEqual(session.exactly(3), b"two")
        self.assertEqual(_ask(client, udp), first)
        release.set()
        self.assertEqual(busy.response()[2], b"ok")
        running.reload(text.replace("@log@", log))
        wait_until(lambda: socket.socket().connect_ex(("127.0.0.1", fresh)) != 0)
        session.send(b"three")
        self.assertEqual(session.exactly(5), b"three")

    def test_nothing_leaks(self) -> None:
        """Forty reloads leave as many descriptors and about as much memory as before."""
        port = free_port()
        servers = [self.server(answering(OK)) for _ in range(2)]
        texts = [
            self.configuration(
                port, each.address, pools=f"  p{at}: {{servers: ['127.0.0.1:1'], health: {{probe: tcp}}}}"
            )
            for at, each in enumerate(servers)
        ]
        running = self.run_balancer(texts[0])
        running.wait_for(port)
        texts = [text.replace("@log@", str(running.log)) for text in texts]

        def reload(times: int) -> tuple[int, int]:
            for turn in range(times):
                count = running.output.read_text().count("reloaded")
                running.reload(texts[turn % 2])
                wait_until(lambda count=count: running.output.read_text().count("reloaded") > count)
                self.assertEqual(self.get(port).status, 200)
            return len(os.listdir(f"/proc/{running.pid}/fd")), running.memory()

        descriptors, memory = reload(10)
        more_descriptors, more_memory = reload(40)
        self.assertLessEqual(more_descriptors, descriptors + 2)
        self.assertLess(more_memory - memory, 8 << 20)

    def large(self, port: int) -> str:
        """Return a configuration that takes a while to read."""
        routes = "".join(f"\n      - {{match: {{path: /p{number}/**}}, pool: web}}" for number in range(6000))
        text = self.configuration(port, self.server(answering(OK)).address, top="limits: {shed_after: 0s}")
        wanted = f"{{bind: '127.0.0.1:{port}', protocol: http, pool: web}}"
        assert wanted in text
        return text.replace(wanted, f"\n    bind: 127.0.0.1:{port}\n    routes:\n      - pool: web{routes}")

    def test_large(self) -> None:
        """While thousands of routes are read and built requests are served."""
        port = free_port()
        running = self.run_balancer(self.large(port))
        running.wait_for(port)
        self.assertEqual(self.get(port).status, 200)
        running.reload()
        served = 0
        while "reloaded" not in running.output.read_text():
            self.assertEqual(self.get(port).status, 200)
            served += 1
        self.assertGreater(served, 10)  # in the loop's way, the first one would have waited for the end
        self.assertEqual(self.get(port).status, 200)

    def test_stop_meanwhile(self) -> None:
        """A stop does not wait for a reload that is under way, which comes to nothing."""
        port = free_port()
        running = self.run_balancer(self.large(port))
        running.wait_for(port)
        running.reload()
        self.assertIn(running.stop(), (0, -signal.SIGTERM))
        self.assertNotIn("Traceback", running.output.read_text())

    def test_refused(self) -> None:
        """An address that cannot be had refuses the whole reload, and the old listeners serve on."""
        taken = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(taken.close)
        port = free_port()
        server = self.server(answering(OK))
        running = self.run_balancer(self.configuration(port, server.address))
        running.wait_for(port)
        busy = f"  busy: {{bind: '127.0.0.1:{taken.getsockname()[1]}', protocol: tcp, pool: web}}"
        running.reload(self.configuration(port, server.address, busy).replace("@log@", str(running.log)))
        self.said(running, "reload refused")
        self.assertIn(str(taken.getsockname()[1]), running.output.read_text())
        self.assertEqual(self.get(port).status, 200)


class LimitTests(ServiceTestCase):
    def test_all_listeners_together(self) -> None:
        """The limit of the whole balancer holds over listeners; who it keeps out counts where they came."""
        server, port, tcp, metrics = self.server(lambda peer: peer.rest()), free_port(), free_port(), free_port()
        top = f"limits: {{connections: 3}}\nmetrics: {{bind: '127.0.0.1:{metrics}'}}"
        more = f"  t: {{bind: '127.0.0.1:{tcp}', protocol: tcp, pool: web}}\n"
        running = self.run_balancer(self.configuration(port, server.address, more, top=top))
        running.wait_for(metrics)

        def counted(name: str, listener: str) -> float:
            text = self.get(metrics, "/metrics").body.decode()
            lines = [line for line in text.splitlines() if line.startswith(name) and f'listener="{listener}"' in line]
            return sum(float(line.rpartition(" ")[2]) for line in lines)

        clients = [self.connect(tcp) for _ in range(2)]
        clients.append(self.connect(port))
        wait_until(lambda: sum(counted("balancer_connections{", each) for each in ("t", "web")) == 3)
        for at, listener in ((tcp, "t"), (port, "web")):
            self.assertEqual(self.connect(at).rest(), b"")
            self.assertEqual(counted("balancer_connections_refused_total", listener), 1)
        clients[0].close()
        wait_until(lambda: counted("balancer_connections{", "t") == 1)
        self.connect(tcp)
        wait_until(lambda: counted("balancer_connections{", "t") == 2)


class StopTests(ServiceTestCase):
    def test_graceful(self) -> None:
        """What is in flight finishes with Connection: close, idle connections are closed, new ones refused; then it ends with 0."""

        def slow(peer: Peer) -> None:
            peer.head()
            time.sleep(0.7)
            peer.send(OK)

        server = self.server(slow)
        port = free_port()
        running = self.run_balancer(self.configuration(port, server.address))
        running.wait_for(port)
        idle, busy = self.connect(port), self.connect(port)
        busy.send(GET)
        wait_until(lambda: server.connections)
        running.process.send_signal(signal.SIGTERM)
        self.assertEqual(idle.rest(), b"")
        status, head, _ = busy.response()
        self.assertEqual(status, 200)
        self.assertIn(b"Connection: close", head)
        self.assertEqual(running.process.wait(10), 0)

    def test_what_is_waited_for(self) -> None:
        """The log counts connections and UDP flows apart."""

        def held(peer: Peer) -> None:
            peer.rest()

        datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.addCleanup(datagrams.close)
        datagrams.bind(("127.0.0.1", 0))
        server, port, tcp, udp = self.server(held), free_port(), free_port(), free_port()
        more = f"  t: {{bind: '127.0.0.1:{tcp}', protocol: tcp, pool: t}}\n"
        more += f"  u: {{bind: '127.0.0.1:{udp}', protocol: udp, pool: u}}\n"
        pools = (
            f"  t: {{servers: ['{server.address}']}}\n  u: {{servers: ['127.0.0.1:{datagrams.getsockname()[1]}']}}\n"
        )
        running = self.run_balancer(self.configuration(port, "127.0.0.1:1", more, pools))
        running.wait_for(port)
        clients = [self.connect(tcp) for _ in range(2)]
        wait_until(lambda: server.connections >= 2)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.sendto(b"x", ("127.0.0.1", udp))
            self.assertEqual(datagrams.recv(10), b"x")
            running.process.send_signal(signal.SIGTERM)
            self.said(running, "stopping: 2s for 2 connections and 1 UDP flow to finish")
        for each in clients:
            each.close()
        self.assertEqual(running.process.wait(10), 0)

    def test_time_limit(self) -> None:
        """What is not finished in time is cut."""
        server = self.server(lambda peer: time.sleep(20))
        port = free_port()
        running = self.run_balancer(self.configuration(port, server.address).replace("2s", "500ms"))
        running.wait_for(port)
        client = self.connect(port)
        client.send(GET)
        wait_until(lambda: server.connections)
        running.process.send_signal(signal.SIGINT)
        client.rest()
        self.assertEqual(running.process.wait(10), 0)


class AdminTests(ServiceTestCase):
    def ctl(self, running: RunningBalancer, *words: str) -> subprocess.CompletedProcess[str]:
        command = [str(BIN / "balancer"), "ctl", "--admin", f"unix:{running.folder}/admin.sock", *words]
        return subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)

    def test_ctl(self) -> None:
        """Status, drain, weight, reload and reopen, on a socket that only its owner may use."""
        port = free_port()
        one, two = self.server(answering(OK)), self.server(answering(OK.replace(b"ok", b"2.")))
        folder = self.folder()
        text = self.configuration(
            port, one.address, top=f"admin: {{bind: 'unix:{folder}/admin.sock', audit_log: audit.log}}"
        )
        text = text.replace(
            f"['{one.address}']", f"[{{address: '{one.address}', name: one}}, {{address: '{two.address}', name: two}}]"
        )
        running = RunningBalancer(folder, text.replace("@log@", str(folder / "access.log")))
        self.addCleanup(running.stop)
        running.wait_for(port)
        wait_until((folder / "admin.sock").exists)  # opened after the listeners
        self.assertEqual(stat.S_IMODE((folder / "admin.sock").stat().st_mode), 0o600)
        status = self.ctl(running, "status")
        self.assertEqual(status.returncode, 0, status.stderr)
        for word in ("web", "one", "two", "up"):
            self.assertIn(word, status.stdout)
        self.assertEqual(self.ctl(running, "drain", "web", "one").stdout, "web: one is draining, weight 1\n")
        self.assertEqual({self.get(port).body for _ in range(20)}, {b"2."})
        self.assertIn("draining", self.ctl(running, "status").stdout)
        self.assertEqual(self.ctl(running, "undrain", "web", "one").returncode, 0)
        self.assertEqual(self.ctl(running, "weight", "web", "two", "0").returncode, 0)
        self.assertEqual({self.get(port).body for _ in range(20)}, {b"ok"})
        self.assertEqual(self.ctl(running, "weight", "web", "none", "1").returncode, 1)
        self.assertEqual(self.ctl(running, "reload").returncode, 0)
        running.file.write_text("listeners: {")
        refused = self.ctl(running, "reload")
        self.assertEqual(refused.returncode, 1)
        self.assertIn("balancer.yaml:1:", refused.stdout + refused.stderr)
        running.log.rename(folder / "old.log")
        self.assertEqual(self.ctl(running, "reopen").returncode, 0)
        self.get(port)
        self.assertEqual(len(running.records(1)), 1)
        self._check_audit(folder / "audit.log")

    def _check_audit(self, path: Path) -> None:
        """Every change is in the audit log, those that were refused too; who asked for it is what the kernel says."""
        self.assertEqual(stat.S_IMODE(path.stat().st_mode), 0o600)
        lines = [json.loads(line) for line in path.read_text().splitlines()]
        self.assertEqual({line["uid"] for line in lines}, {os.getuid()})
        self.assertTrue(all(line["pid"] != os.getpid() and line["time"].endswith("Z") for line in lines))
        self.assertEqual(
            [(line["call"].removeprefix("POST /"), line["content"], line["status"]) for line in lines],
            [
                ("pools/web/servers/one", {"drain": True}, 200),
                ("pools/web/servers/one", {"drain": False}, 200),
                ("pools/web/servers/two", {"weight": 0}, 200),
                ("pools/web/servers/none", {"weight": 1}, 400),
                ("reload", None, 200),
                ("reload", None, 422),
                ("reopen", None, 200),
            ],
        )
        self.assertEqual(lines[0]["now"]["state"], "draining")
        self.assertIn("none", lines[3]["error"])

    def test_token(self) -> None:
        """On TCP there must be a token, and every request must carry it."""
        port, admin = free_port(), free_port()
        text = self.configuration(
            port, "127.0.0.1:1", top=f"admin: {{bind: '127.0.0.1:{admin}', token: sesame-open-0123456789}}"
        )
        running = self.run_balancer(text)
        running.wait_for(admin)
        refused = self.get(admin, "/status")
        self.assertEqual((refused.status, refused.headers["WWW-Authenticate"]), (401, "Bearer"))
        need("curl")
        command = [
            "curl",
            "-sf",
            "-H",
            "authorization: bearer sesame-open-0123456789",
            f"http://127.0.0.1:{admin}/status",
        ]
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True)
        self.assertIn('"listeners"', done.stdout)
        self.assertEqual(self.get(admin, "/status", Authorization="Bearer wrong").status, 401)
        self.assertRegex(
            running.output.read_text(),
            r'admin: .*"address": "127.0.0.1:\d+", "call": "GET /status", "content": null, "status": 401',
        )
        good = self.get(admin, "/status", Authorization="Bearer sesame-open-0123456789")
        self.assertEqual(json.loads(good.body)["listeners"][0]["name"], "web")
        file = self.folder() / "b.yaml"
        file.write_text(text.replace(", token: sesame-open-0123456789", "").replace("@log@", "-"))
        done = subprocess.run(
            [str(BIN / "balancer"), "check", str(file)], capture_output=True, text=True, timeout=20, check=False
        )
        self.assertEqual(done.returncode, 1)
        self.assertIn("token", done.stderr)

    def test_nobody_there(self) -> None:
        """``ctl`` without a running balancer says so, and ends with 1."""
        done = subprocess.run(
            [str(BIN / "balancer"), "ctl", "--admin", "unix:/nowhere/admin.sock", "status"],
            capture_output=True,
            text=True,
            timeout=20,
            check=False,
        )
        self.assertEqual(done.returncode, 1)
        self.assertNotIn("Traceback", done.stderr)


class LogTests(ServiceTestCase):
    def test_rotation(self) -> None:
        """After SIGUSR1 lines go to a new file; none is lost."""
        port = free_port()
        running = self.run_balancer(self.configuration(port, self.server(answering(OK)).address))
        running.wait_for(port)
        for _ in range(5):
            self.get(port)
        old = running.folder / "access.log.1"
        wait_until(running.log.exists)
        running.log.rename(old)
        running.process.send_signal(signal.SIGUSR1)
        wait_until(running.log.exists)
        for _ in range(5):
            self.get(port)
        running.records(1)
        wait_until(lambda: len(old.read_text().splitlines()) + len(running.log.read_text().splitlines()) == 10)

    def test_no_such_folder(self) -> None:
        """A log that cannot be opened is said at the start, before any client is there to miss in it."""
        port = free_port()
        running = self.run_balancer(
            self.configuration(port, self.server(answering(OK)).address).replace("@log@", "/nowhere/at-all.log")
        )
        self.said(running, "/nowhere/at-all.log: No such file")

    def test_full_disk(self) -> None:
        """A log that cannot be written costs no request; it is said once."""
        if not Path("/dev/full").exists():
            return
        port = free_port()
        running = self.run_balancer(
            self.configuration(port, self.server(answering(OK)).address).replace("@log@", "/dev/full")
        )
        running.wait_for(port)
        self.assertEqual([self.get(port).status for _ in range(50)], [200] * 50)
        self.said(running, "No space left")
        self.assertEqual(running.output.read_text().count("No space left"), 1)


def _echo_datagrams(skt: socket.socket) -> None:
    while True:
        try:
            data, client = skt.recvfrom(2048)
        except OSError:
            return
        skt.sendto(str(client).encode(), client)


def _ask(client: socket.socket, port: int) -> Any:
    """Send a datagram and return the answer: the address that the server saw."""
    client.sendto(b"x", ("127.0.0.1", port))
    return client.recvfrom(2048)[0]


if sys.platform != "linux":
    del ReloadTests.test_nothing_leaks
