"""Several workers: work spread, deaths survived, limits kept together, one configuration everywhere."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import threading
import time
from pathlib import Path
from typing import Any

from tests.live.balancers import BIN, OK, BalancerTestCase, Peer, RunningBalancer, answering, wait_until
from tests.live.processes import free_port

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"


class _Unix(http.client.HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=60)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(60)
        self.sock.connect(self._path)


def _echo(peer: Peer) -> None:
    while data := peer.skt.recv(65536):
        peer.send(data)


def alive(pid: int) -> bool:
    try:
        return "State:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False


class WorkersTestCase(BalancerTestCase):
    def start(
        self, server: str, *, workers: int = 2, listeners: str = "", pools: str = "", top: str = "", web: str = ""
    ) -> tuple[RunningBalancer, int]:
        """Run workers with an HTTP listener ``web`` over ``server``; return them, all ready, and its port."""
        port = free_port()
        folder = self.folder()
        self.socket = f"{folder}/admin.sock"
        running = self.run_balancer(self.text(port, server, workers, listeners, pools, top, web))
        running.wait_for(port)
        wait_until(lambda: len(self.ready()) == workers)
        return running, port

    def text(
        self, port: int, server: str, workers: int, listeners: str = "", pools: str = "", top: str = "", web: str = ""
    ) -> str:
        if "limits:" not in top:
            top += "\nlimits: {shed_after: false}"  # a machine that has too much to do is not what is tested
        return (
            f"workers: {workers}\naccess_log: {{format: json, path: '@log@'}}\ngraceful_timeout: 3s\n"
            f"admin: {{bind: 'unix:{self.socket}'}}\n{top}\nlisteners:\n"
            f"  web: {{bind: '127.0.0.1:{port}', protocol: http, pool: web{web}}}\n{listeners}\n"
            f"pools:\n  web: {{servers: [{server}]}}\n{pools}\n"
        )

    def ask(self, method: str, path: str, content: Any = None) -> Any:
        connection = _Unix(self.socket)
        try:
            connection.request(method, path, None if content is None else json.dumps(content))
            return json.loads(connection.getresponse().read())
        finally:
            connection.close()

    def workers(self) -> list[dict[str, Any]]:
        status = self.ask("GET", "/status")
        found: list[dict[str, Any]] = status.get("workers", [{"pid": status["pid"], "state": "ready"}])
        return found

    def ready(self) -> list[dict[str, Any]]:
        try:
            return [worker for worker in self.workers() if worker["state"] == "ready"]
        except OSError:
            return []

    def all_there(self, without: int = 0) -> bool:
        """Whether both of two workers serve, neither of which is the one of this pid."""
        pids = [each["pid"] for each in self.ready()]
        return len(pids) == 2 and without not in pids

    def idle(self, port: int, count: int) -> list[Peer]:
        """Open so many connections, and have a request answered on each."""
        peers = [self.connect(port) for _ in range(count)]
        for peer in peers:
            peer.send(GET)
        for peer in peers:
            self.assertEqual(peer.response()[0], 200)
        return peers

    def metric(self, port: int, name: str) -> float:
        text = self.get(port, "/metrics").body.decode()
        return sum(float(line.rpartition(" ")[2]) for line in text.splitlines() if line.startswith(name))


class SpreadTests(WorkersTestCase):
    def test_everybody_works(self) -> None:
        """Connections are spread over the workers by the kernel, and the status adds up."""
        _, port = self.start(self.server(answering(OK)).address, workers=2)
        self.idle(port, 120)
        status = self.ask("GET", "/status")
        counts = [worker["connections"] for worker in status["workers"]]
        self.assertEqual(sum(counts), 120)
        self.assertGreater(min(counts), 20)
        self.assertEqual(status["listeners"][0]["connections"], 120)
        self.assertEqual(status["pools"][0]["servers"][0]["requests"], 120)

    def test_unix_sockets(self) -> None:
        """A unix socket is shared: its permissions stay, and a worker that ends does not remove it."""
        path = f"{self.folder()}/web.sock"
        more = f"  local: {{bind: 'unix:{path}:mode=600', protocol: http, pool: web}}"
        running, _ = self.start(self.server(answering(OK)).address, listeners=more)
        os.kill(self.ready()[0]["pid"], signal.SIGTERM)
        wait_until(lambda: self.ask("GET", "/status")["worker_restarts"] == 1 and len(self.ready()) == 2)
        self.assertEqual(os.stat(path).st_mode & 0o777, 0o600)
        for _ in range(8):
            skt = socket.socket(socket.AF_UNIX)
            skt.connect(path)
            peer = Peer(skt)
            peer.send(GET)
            self.assertEqual(peer.response()[0], 200)
            peer.close()
        running.stop()
        self.assertFalse(os.path.exists(path))

    def test_systemd(self) -> None:
        """A socket that systemd has opened is shared by the workers."""
        folder = self.folder()
        self.socket = f"{folder}/admin.sock"
        with socket.create_server(("127.0.0.1", 0)) as skt:
            port = skt.getsockname()[1]
            text = self.text(port, self.server(answering(OK)).address, 2).replace("@log@", str(folder / "log"))
            file = folder / "b.yaml"
            file.write_text(text.replace(f"127.0.0.1:{port}", "systemd:domain=INET:index=0"))
            script = f"exec 3<&{skt.fileno()}; LISTEN_FDS=1 LISTEN_FDNAMES=web LISTEN_PID=$$ exec {BIN}/balancer run -q {file}"
            process = subprocess.Popen(
                ["bash", "-c", script], stdin=subprocess.DEVNULL, pass_fds=[skt.fileno()], stderr=subprocess.DEVNULL
            )
        self.addCleanup(process.wait, 20)
        self.addCleanup(process.terminate)
        wait_until(lambda: len(self.ready()) == 2)
        self.assertEqual({self.get(port).status for _ in range(20)}, {200})
        self.assertEqual(self.ask("GET", "/status")["listeners"][0]["addresses"], [f"127.0.0.1:{port}"])

    def test_flows(self) -> None:
        """A UDP client stays with its worker, and so with its flow; each of many gets its own answers."""
        server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        server.bind(("127.0.0.1", 0))
        self.addCleanup(server.close)
        seen: dict[bytes, set[Any]] = {}

        def echo() -> None:
            while True:
                try:
                    data, source = server.recvfrom(2048)
                except OSError:
                    return
                seen.setdefault(data.split()[0], set()).add(source)
                server.sendto(data, source)

        threading.Thread(target=echo, daemon=True).start()
        udp = free_port()
        more = f"  game: {{bind: '127.0.0.1:{udp}', protocol: udp, pool: game}}\n"
        _, _ = self.start(
            "127.0.0.1:1", listeners=more, pools=f"  game: {{servers: ['127.0.0.1:{server.getsockname()[1]}']}}\n"
        )
        clients = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(30)]
        for client in clients:
            self.addCleanup(client.close)
            client.settimeout(20)
            client.connect(("127.0.0.1", udp))
        for turn in range(5):
            for number, client in enumerate(clients):
                client.send(b"%d %d" % (number, turn))
                self.assertEqual(client.recv(100), b"%d %d" % (number, turn))
        self.assertEqual([len(sources) for sources in seen.values()], [1] * 30)
        connections = [worker["connections"] for worker in self.workers()]
        self.assertEqual(sum(connections), 30)
        self.assertGreater(min(connections), 0)


class DeathTests(WorkersTestCase):
    def test_only_its_own_connections(self) -> None:
        """When a worker is killed the others' connections live on, and those that wait for it get its successor."""
        _, port = self.start(self.server(answering(OK)).address)
        peers = self.idle(port, 40)
        victim = self.ready()[0]
        os.kill(victim["pid"], signal.SIGKILL)
        fresh = [self.connect(port) for _ in range(40)]
        for peer in fresh:
            peer.send(GET)
        for peer in fresh:
            self.assertEqual(peer.response()[0], 200)
        lost = 0
        for peer in peers:
            try:
                peer.send(GET)
                self.assertEqual(peer.response()[0], 200)
            except (OSError, EOFError):
                lost += 1
        self.assertEqual(lost, victim["connections"])
        status = self.ask("GET", "/status")
        self.assertEqual(status["worker_restarts"], 1)
        self.assertNotIn(victim["pid"], [worker["pid"] for worker in status["workers"]])

    def test_counters_never_go_back(self) -> None:
        """What a dead worker had counted when last asked stays in the sums; what it held is free again."""
        metrics = free_port()
        _, port = self.start(
            self.server(answering(OK)).address,
            top=f"metrics: {{bind: 127.0.0.1:{metrics}}}\nlimits: {{connections: 30}}\n",
        )
        peers = self.idle(port, 30)
        wait_until(lambda: self.metric(metrics, "balancer_http_requests_total") == 30)
        wait_until(lambda: self.metric(metrics, "balancer_http_request_duration_seconds_count") == 30)
        for worker in self.ready():
            os.kill(worker["pid"], signal.SIGKILL)
        wait_until(lambda: self.metric(metrics, "balancer_worker_up") == 2)
        wait_until(lambda: self.metric(metrics, "balancer_http_requests_total") == 30)
        wait_until(lambda: self.metric(metrics, "balancer_worker_restarts_total") == 2)
        wait_until(lambda: self.metric(metrics, "balancer_connections{") == 0)
        self.idle(port, 30)
        wait_until(lambda: self.metric(metrics, "balancer_http_requests_total") == 60)
        for peer in peers:
            self.assertEqual(peer.rest(), b"")

    def test_one_that_hangs(self) -> None:
        """A worker that answers nothing any more is killed and replaced; who waits for it gets its successor."""
        running, port = self.start(self.server(answering(OK)).address)
        victim = self.ready()[0]["pid"]
        os.kill(victim, signal.SIGSTOP)
        fresh = [self.connect(port) for _ in range(40)]
        wait_until(lambda: not alive(victim), 40.0)
        for peer in fresh:
            peer.send(GET)
        served = 0
        for peer in fresh:
            try:
                served += peer.response()[0] == 200
            except (OSError, EOFError):
                pass  # it had been accepted by the one that hung
        self.assertGreater(served, 0)
        wait_until(lambda: len(self.ready()) == 2)
        self.assertIn("it is killed", running.output.read_text())
        self.assertEqual(self.get(port).status, 200)

    def test_again_and_again(self) -> None:
        """A worker that dies at once, again and again, is started ever more slowly; the others serve."""
        running, port = self.start(self.server(answering(OK)).address)
        for times in range(1, 4):
            os.kill(self.ready()[0]["pid"], signal.SIGKILL)
            wait_until(lambda times=times: self.ask("GET", "/status")["worker_restarts"] == times)
            wait_until(lambda: len(self.ready()) == 2)
        self.assertIn("starts in 0.1 s", running.output.read_text())
        self.assertRegex(running.output.read_text(), "starts in 0.[24] s")
        self.assertEqual(self.get(port).status, 200)

    def test_master_killed(self) -> None:
        """Without their master workers finish what they have, and end."""
        release = threading.Event()

        def slow(peer: Peer) -> None:
            peer.head()
            release.wait(20)
            peer.send(OK)

        server = self.server(slow)
        running, port = self.start(server.address)
        pids = [worker["pid"] for worker in self.ready()]
        peers = [self.connect(port) for _ in range(6)]
        for peer in peers:
            peer.send(GET)
        wait_until(lambda: server.connections == 6)
        running.process.kill()
        running.process.wait()
        release.set()
        for peer in peers:
            self.assertEqual(peer.response()[0], 200)
        wait_until(lambda: not any(map(alive, pids)))
        with socket.socket() as skt:
            self.assertNotEqual(skt.connect_ex(("127.0.0.1", port)), 0)


class LimitTests(WorkersTestCase):
    def served(self, port: int, count: int) -> int:
        """Open so many connections; return how many of them are served."""
        peers = [self.connect(port) for _ in range(count)]
        served = 0
        for peer in peers:
            try:
                peer.send(GET)
                served += peer.response()[0] == 200
            except (OSError, EOFError):
                pass
        return served

    def test_all_connections(self) -> None:
        """``limits.connections`` holds for all workers together, and so does that of a listener."""
        other = free_port()
        _, port = self.start(
            self.server(answering(OK)).address,
            top="limits: {connections: 30}",
            listeners=f"  few: {{bind: '127.0.0.1:{other}', protocol: http, pool: web, limits: {{connections: 7}}}}",
        )
        self.assertEqual(self.served(other, 25), 7)
        self.assertEqual(self.served(port, 50), 23)

    def test_one_client(self) -> None:
        """``connections_per_client`` holds for all workers together, and for each client alone."""
        _, port = self.start(self.server(answering(OK)).address, top="limits: {connections_per_client: 9}", workers=3)
        self.assertEqual(self.served(port, 40), 9)
        other = socket.socket()
        self.addCleanup(other.close)
        other.bind(("127.0.0.2", 0))
        other.connect(("127.0.0.1", port))
        peer = Peer(other)
        peer.send(GET)
        self.assertEqual(peer.response()[0], 200)

    def test_servers(self) -> None:
        """A server gets no more than ``max_connections`` from all workers; who waits is served when another is done."""
        lock = threading.Lock()
        now = most = 0

        def busy(peer: Peer) -> None:
            nonlocal now, most
            while True:
                peer.head()
                with lock:
                    now += 1
                    most = max(most, now)
                time.sleep(0.02)
                with lock:
                    now -= 1
                peer.send(OK)

        server = f"{{address: '{self.server(busy).address}', max_connections: 3}}"
        _, port = self.start(server)
        peers = [self.connect(port) for _ in range(24)]
        for peer in peers:
            peer.send(GET)
        for peer in peers:
            self.assertEqual(peer.response()[0], 200)
        self.assertLessEqual(most, 4)  # one more: two workers may take the last place in the same moment


class HealthTests(WorkersTestCase):
    def test_one_probe(self) -> None:
        """Servers are probed once, not once for each worker, and all workers go by the outcome."""
        well, ill = self.server(answering(OK)), self.server(answering(OK))
        running, port = self.start(
            "127.0.0.1:1",
            workers=3,
            pools=(
                f"  two:\n    servers: ['{well.address}', '{ill.address}']\n"
                "    health: {probe: tcp, interval: 500ms, jitter: 0, rise: 1, fall: 1}\n"
            ),
        )
        began, before = time.monotonic(), well.connections
        wait_until(lambda: well.connections >= before + 4)
        self.assertGreater(time.monotonic() - began, 1.4)  # three workers that probe would need a third of it
        ill.close()
        wait_until(lambda: "went down" in running.output.read_text())
        states = {server["name"]: server["state"] for server in self.ask("GET", "/status")["pools"][1]["servers"]}
        self.assertEqual(states, {well.address: "up", ill.address: "down"})
        self.assertEqual(running.output.read_text().count("went down"), 1)
        del port

    def test_names(self) -> None:
        """Names are resolved by the master; workers connect where it says."""
        server = self.server(answering(OK))
        _, port = self.start(f"localhost:{server.port}")
        wait_until(lambda: self.get(port).status == 200)
        self.assertEqual({self.get(port).status for _ in range(10)}, {200})
        _, port = self.start("nobody.invalid:80")
        wait_until(lambda: self.ask("GET", "/status")["pools"][0]["servers"][0]["state"] == "down")
        self.assertEqual(self.get(port).status, 503)

    def test_changes(self) -> None:
        """A weight, and draining, hold in all workers, and in one that comes later."""
        one = self.server(answering(OK.replace(b"ok", b"1.")))
        two = self.server(answering(OK.replace(b"ok", b"2.")))
        _, port = self.start(f"'{one.address}', '{two.address}'")
        self.assertEqual(self.ask("POST", f"/pools/web/servers/{one.address}", {"drain": True})["state"], "draining")
        self.assertEqual({self.get(port).body for _ in range(12)}, {b"2."})
        victim = self.ready()[0]["pid"]
        os.kill(victim, signal.SIGKILL)
        wait_until(lambda: self.all_there(victim))
        self.assertEqual({self.get(port).body for _ in range(12)}, {b"2."})
        self.ask("POST", f"/pools/web/servers/{one.address}", {"drain": False})
        self.ask("POST", f"/pools/web/servers/{two.address}", {"weight": 0})
        self.assertEqual({self.get(port).body for _ in range(12)}, {b"1."})
        self.assertIn("no server", self.ask("POST", "/pools/web/servers/nobody", {"weight": 0})["error"])


class ReloadTests(WorkersTestCase):
    def test_refused(self) -> None:
        """A broken file, an address that is taken, ``workers: 1``: the old configuration stays in all workers."""
        address = self.server(answering(OK)).address
        running, port = self.start(address)
        taken = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(taken.close)
        good = running.file.read_text()
        peers = self.idle(port, 20)
        bind = f"  more: {{bind: '127.0.0.1:{taken.getsockname()[1]}', protocol: http, pool: web}}\npools:"
        for text, words in (
            ("listeners: {a: {}}", "problems"),
            (good.replace("pools:", bind), "in use"),
            (good.replace("workers: 2", "workers: 1"), "restart"),
        ):
            running.file.write_text(text)
            self.assertIn(words, json.dumps(self.ask("POST", "/reload")))
        for peer in peers:
            peer.send(GET)
            self.assertEqual(peer.response()[0], 200)
        self.assertEqual(self.ask("GET", "/status")["reloads"], 0)

    def test_everything_changes(self) -> None:
        """Listeners come, go and change; connections live on; no request fails while it happens."""
        one = self.server(answering(OK.replace(b"ok", b"1.")))
        two = self.server(answering(OK.replace(b"ok", b"2.")))
        running, port = self.start(one.address)
        other, echo = free_port(), free_port()
        peers = self.idle(port, 20)
        load = Load(port, 3)
        session_server = self.server(_echo)
        more = (
            f"  other: {{bind: '127.0.0.1:{other}', protocol: http, pool: web}}\n"
            f"  echo: {{bind: '127.0.0.1:{echo}', protocol: tcp, pool: echo}}\n"
        )
        pools = f"  echo: {{servers: ['{session_server.address}']}}"
        running.file.write_text(self.text(port, two.address, 2, more, pools).replace("@log@", str(running.log)))
        self.assertIn("reloaded", self.ask("POST", "/reload")["message"])
        self.assertEqual({self.get(other).body for _ in range(12)}, {b"2."})
        for peer in peers:
            peer.send(GET)
            self.assertEqual(peer.response()[2], b"2.")
        sessions = [self.connect(echo) for _ in range(8)]
        running.file.write_text(self.text(port, one.address, 2).replace("@log@", str(running.log)))
        self.ask("POST", "/reload")
        for session in sessions:
            session.send(b"hello")
            self.assertEqual(session.exactly(5), b"hello")
        wait_until(lambda: socket.socket().connect_ex(("127.0.0.1", other)) != 0)
        self.assertEqual({self.get(port).body for _ in range(12)}, {b"1."})
        self.assertEqual(load.end(), [])

    def test_more_and_fewer(self) -> None:
        """``workers`` can be changed by a reload: some are started, some drain and end, no request fails."""
        server = self.server(answering(OK))
        running, port = self.start(server.address)
        load = Load(port, 3)
        for workers in (4, 2):
            running.file.write_text(self.text(port, server.address, workers).replace("@log@", str(running.log)))
            self.ask("POST", "/reload")
            wait_until(lambda workers=workers: len(self.ready()) == workers == len(self.workers()))
            self.assertEqual({self.get(port).status for _ in range(20)}, {200})
        self.assertEqual(load.end(), [])

    def test_variables(self) -> None:
        """``!file`` and ``${NAME}`` are read by the master, and all workers have the same."""
        folder = self.folder()
        (folder / "answer").write_text("from a file")
        more = (
            "  fixed:\n    bind: '127.0.0.1:@port@'\n    protocol: http\n    routes:\n"
            f"      - {{respond: {{status: 200, body: !file '{folder}/answer'}}}}\n"
        )
        port = free_port()
        _, _ = self.start("127.0.0.1:1", listeners=more.replace("@port@", str(port)))
        (folder / "answer").write_text("something else")
        victim = self.ready()[0]["pid"]
        os.kill(victim, signal.SIGKILL)
        wait_until(lambda: self.all_there(victim))
        self.assertEqual({self.get(port).body for _ in range(20)}, {b"from a file"})


class Load:
    """Threads that ask, each time on a fresh connection, and note what fails."""

    def __init__(self, port: int, threads: int) -> None:
        self._port = port
        self._going = True
        self.failures: list[str] = []
        self.done = 0
        self._threads = [threading.Thread(target=self._ask, daemon=True) for _ in range(threads)]
        for thread in self._threads:
            thread.start()
        wait_until(lambda: self.done > 5)

    def _ask(self) -> None:
        while self._going:
            connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=20)
            try:
                connection.connect()
            except ConnectionRefusedError:
                return  # nobody listens any more: no request has failed
            try:
                connection.request("GET", "/")
                status = connection.getresponse().status
                if status != 200:
                    self.failures.append(str(status))
            except (OSError, http.client.HTTPException) as error:
                self.failures.append(repr(error))
            finally:
                connection.close()
            self.done += 1

    def end(self) -> list[str]:
        self._going = False
        for thread in self._threads:
            thread.join(30)
        return self.failures


class StopTests(WorkersTestCase):
    def test_under_load(self) -> None:
        """A stop finishes every request that has begun, ends all processes, and exits with 0."""
        running, port = self.start(self.server(answering(OK)).address)
        pids = [worker["pid"] for worker in self.ready()]
        load = Load(port, 4)
        self.assertEqual(running.stop(), 0)
        self.assertEqual(load.end(), [])
        self.assertFalse(any(map(alive, pids)))
        self.assertEqual(len(running.records(load.done)), load.done)

    def test_daemon(self) -> None:
        """``twistd balancer`` in the background: one log, one pid file, no process left behind."""
        port, folder = free_port(), self.folder()
        self.socket = f"{folder}/admin.sock"
        file = folder / "balancer.yaml"
        text = self.text(port, self.server(answering(OK)).address, 2)
        file.write_text(text.replace("@log@", str(folder / "access.log")))
        command = [str(BIN / "twistd"), f"--pidfile={folder}/pid", f"--logfile={folder}/log"]
        subprocess.run([*command, "balancer", "--config", str(file)], check=True, timeout=30)
        pid = int(wait_until(lambda: (folder / "pid").exists() and (folder / "pid").read_text()))
        try:
            wait_until(lambda: len(self.ready()) == 2)
            pids = [worker["pid"] for worker in self.workers()]
            self.assertEqual({self.get(port).status for _ in range(10)}, {200})
            os.kill(pid, signal.SIGHUP)
            wait_until(lambda: "reloaded" in (folder / "log").read_text())
            log = folder / "access.log"
            wait_until(lambda: log.exists() and len(log.read_text().splitlines()) == 10)
            log.rename(folder / "old.log")
            os.kill(pid, signal.SIGUSR1)
            wait_until(lambda: log.exists())
            for _ in range(10):
                self.get(port)
            wait_until(lambda: len(log.read_text().splitlines()) == 10)
        finally:
            os.kill(pid, signal.SIGTERM)
        wait_until(lambda: not (folder / "pid").exists())
        wait_until(lambda: not any(map(alive, [pid, *pids])))
        self.assertIn("worker 1 serves", (folder / "log").read_text())
