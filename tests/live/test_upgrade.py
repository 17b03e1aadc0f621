"""One process takes over from another while clients are being served."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import threading
from pathlib import Path
from typing import Any

from websockets import ConnectionClosed
from websockets.sync.client import connect
from websockets.sync.server import serve

from tests.live.balancers import BIN, OK, RunningBalancer, answering, wait_until
from tests.live.h2_client import Streams
from tests.live.processes import free_port
from tests.live.test_websocket import echo
from tests.live.test_workers import GET, Load, WorkersTestCase, alive


class UpgradeTests(WorkersTestCase):
    def begin(self, server: str, workers: int, **more: str) -> tuple[RunningBalancer, int]:
        """Run a balancer; whoever has taken over from it is ended with the test."""
        running, port = self.start(server, workers=workers, **more)
        self.addCleanup(self.end_successor)
        return running, port

    def end_successor(self) -> None:
        try:
            pid = self.ask("GET", "/status")["pid"]
        except OSError:
            return
        os.kill(pid, signal.SIGTERM)
        wait_until(lambda: not alive(pid))

    def test_under_load(self) -> None:
        """With one process, and with workers: nothing fails, what is in flight is finished, the old process ends."""
        for workers in (1, 2):
            release = threading.Event()

            def talk(peer: Any, release: threading.Event = release) -> None:
                while True:
                    if b"/slow" in peer.head():
                        release.wait(20)
                    peer.send(OK)

            path = f"{self.folder()}/web.sock"
            more = f"  local: {{bind: 'unix:{path}', protocol: http, pool: web}}"
            running, port = self.begin(self.server(talk).address, workers, listeners=more)
            slow = [self.connect(port) for _ in range(6)]
            for peer in slow:
                peer.send(GET.replace(b"/ ", b"/slow "))
            kept = self.idle(port, 6)
            load = Load(port, 3)
            answer = self.ask("POST", "/upgrade")
            self.assertIn("has taken over", answer.get("message", answer))
            pid = self.ask("GET", "/status")["pid"]
            self.assertNotEqual(pid, running.pid)
            for peer in kept:  # told that it is the last one, not cut
                peer.send(GET)
                self.assertEqual(peer.response()[0], 200)
            release.set()
            for peer in slow:
                self.assertEqual(peer.response()[0], 200)
            self.assertEqual(running.process.wait(20), 0)
            done = load.done
            wait_until(lambda load=load, done=done: load.done > done + 20)
            self.assertEqual(load.end(), [])
            with socket.socket(socket.AF_UNIX) as skt:
                skt.settimeout(20)
                skt.connect(path)
                skt.sendall(GET)
                self.assertIn(b" 200 ", skt.recv(1000))
            self.end_successor()
            self.assertFalse(os.path.exists(path))

    def test_websockets(self) -> None:
        """A WebSocket lives on with the old process as long as it may, and is then told 1001; new ones are the new process's."""
        server = serve(echo, "127.0.0.1", 0)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        self.addCleanup(server.shutdown)
        for workers in (1, 2):
            running, port = self.begin(f"127.0.0.1:{server.socket.getsockname()[1]}", workers)
            with connect(f"ws://127.0.0.1:{port}/") as old:
                self.assertIn("taken over", self.ask("POST", "/upgrade")["message"])
                # Who comes before is accepted by either of them.
                wait_until(lambda running=running: "finishes its connections" in running.output.read_text())
                with connect(f"ws://127.0.0.1:{port}/") as new:
                    new.send("new")
                    self.assertEqual(new.recv(timeout=20), "new")
                    old.send("old")
                    self.assertEqual(old.recv(timeout=20), "old")
                    with self.assertRaises(ConnectionClosed):
                        old.recv(timeout=20)
                    self.assertEqual(old.close_code, 1001)
                    self.assertEqual(running.process.wait(20), 0)
                with connect(
                    f"ws://127.0.0.1:{port}/"
                ) as newer:  # the one before may have come to the old process all the same
                    newer.send("still new")
                    self.assertEqual(newer.recv(timeout=20), "still new")
            self.end_successor()

    def test_streams(self) -> None:
        """The same with WebSockets on streams of HTTP/2: the connection is told to go at once, and ends with the last of them."""
        server = serve(echo, "127.0.0.1", 0)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        self.addCleanup(server.shutdown)
        running, port = self.begin(f"127.0.0.1:{server.socket.getsockname()[1]}", 1)
        client = Streams(port)
        self.addCleanup(client.close)
        old = client.open()
        self.assertIn("taken over", self.ask("POST", "/upgrade")["message"])
        wait_until(lambda: "finishes its connections" in running.output.read_text())
        other = Streams(port)
        self.addCleanup(other.close)
        new = other.open()
        while client.goaways < 2:
            client.read()
        old.send("old")
        self.assertEqual(old.recv(), "old")
        self.assertEqual(old.finish().closed, (1001, ""))
        self.assertEqual(running.process.wait(20), 0)
        new.send("new")
        self.assertEqual(new.recv(), "new")

    def test_refused(self) -> None:
        """A configuration that cannot be used is said to who asked, and the old process goes on, with all its sockets."""
        for workers in (1, 2):
            path = f"{self.folder()}/web.sock"
            more = f"  local: {{bind: 'unix:{path}', protocol: http, pool: web}}"
            running, port = self.begin(self.server(answering(OK)).address, workers, listeners=more)
            good = running.file.read_text()
            taken = socket.create_server(("127.0.0.1", 0))
            self.addCleanup(taken.close)
            bind = f"  more: {{bind: '127.0.0.1:{taken.getsockname()[1]}', protocol: http, pool: web}}\npools:"
            for text, words in (("listeners: {}", "listeners"), (good.replace("pools:", bind), "in use")):
                running.file.write_text(text)
                self.assertIn(words, self.ask("POST", "/upgrade")["error"])
            self.assertEqual(self.ask("GET", "/status")["pid"], running.pid)
            self.assertEqual(self.get(port).status, 200)
            self.assertTrue(os.path.exists(path))
            running.file.write_text(good)
            self.assertIn("taken over", self.ask("POST", "/upgrade")["message"])
            self.assertEqual(running.process.wait(20), 0)
            self.assertEqual(self.get(port).status, 200)
            self.end_successor()

    def test_more_workers(self) -> None:
        """An upgrade may change ``workers``, from 1 to more and back too, which a reload cannot."""
        server = self.server(answering(OK))
        running, port = self.begin(server.address, 1)
        load = Load(port, 2)
        for workers in (3, 2, 1):
            running.file.write_text(self.text(port, server.address, workers).replace("@log@", str(running.log)))
            before = self.ask("GET", "/status")["pid"]
            self.assertIn("taken over", self.ask("POST", "/upgrade")["message"])
            self.assertEqual(len(self.ask("GET", "/status").get("workers", ["this one"])), workers)
            wait_until(lambda before=before: not alive(before))
            self.assertEqual({self.get(port).status for _ in range(20)}, {200})
        self.assertEqual(load.end(), [])

    def test_flows(self) -> None:
        """Datagrams go on without one being lost, and the old process forwards what servers still say."""
        server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        server.bind(("127.0.0.1", 0))
        server.settimeout(20)
        self.addCleanup(server.close)
        udp = free_port()
        for workers in (1, 2):
            self.begin(
                "127.0.0.1:1",
                workers,
                listeners=f"  game: {{bind: '127.0.0.1:{udp}', protocol: udp, pool: game}}\n",
                pools=f"  game: {{servers: ['127.0.0.1:{server.getsockname()[1]}']}}\n",
            )
            client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            self.addCleanup(client.close)
            client.settimeout(20)
            client.connect(("127.0.0.1", udp))
            client.send(b"before")
            data, old = server.recvfrom(100)
            self.assertEqual(data, b"before")
            self.assertIn("taken over", self.ask("POST", "/upgrade")["message"])
            server.sendto(b"late", old)
            self.assertEqual(client.recv(100), b"late")

            def goes_another_way(
                server: socket.socket = server, client: socket.socket = client, old: Any = old
            ) -> bool:
                client.send(b"after")  # a worker has to be told first that it shall receive no more
                data, new = server.recvfrom(100)
                self.assertEqual(data, b"after")
                return bool(new != old)

            wait_until(goes_another_way)
            self.end_successor()
            client.close()

    def test_twistd(self) -> None:
        """SIGUSR2 upgrades a daemon: the pid file names the new process, and the service manager is told."""
        folder, port = self.folder(), free_port()
        self.socket = f"{folder}/admin.sock"
        manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        manager.bind(f"{folder}/notify")
        manager.settimeout(20)
        self.addCleanup(manager.close)
        file, pid_file = folder / "balancer.yaml", folder / "pid"
        file.write_text(self.text(port, self.server(answering(OK)).address, 2).replace("@log@", str(folder / "log.1")))
        command = [str(BIN / "twistd"), "--pidfile=pid", "--logfile=log", "balancer", "--config", "balancer.yaml"]
        environment = os.environ | {"NOTIFY_SOCKET": f"{folder}/notify"}
        subprocess.run(command, check=True, timeout=30, cwd=folder, env=environment)
        self.addCleanup(self.end_successor)
        first = self.told(manager)
        self.assertEqual(int(pid_file.read_text()), first)
        os.kill(first, signal.SIGUSR2)
        second = self.told(manager)
        self.assertNotEqual(first, second)
        wait_until(lambda: not alive(first))
        self.assertEqual(int(pid_file.read_text()), second)
        self.assertFalse((folder / "pid.old").exists())
        self.assertEqual(self.get(port).status, 200)
        file.write_text("listeners: {}")
        os.kill(second, signal.SIGUSR2)
        wait_until(lambda: "upgrade failed" in (folder / "log").read_text())
        self.assertEqual(int(pid_file.read_text()), second)
        self.assertEqual(self.get(port).status, 200)
        os.kill(second, signal.SIGTERM)
        wait_until(lambda: not pid_file.exists())

    @staticmethod
    def told(manager: socket.socket) -> int:
        """Return the pid that the service manager is told next, along with being ready."""
        words = dict(line.split("=", 1) for line in manager.recv(1000).decode().splitlines())
        assert words["READY"] == "1", words
        assert Path(f"/proc/{words['MAINPID']}").exists()
        return int(words["MAINPID"])
