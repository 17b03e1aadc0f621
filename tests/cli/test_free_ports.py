"""Tests for :mod:`balancer.cli.free_ports`."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from balancer.cli.free_ports import Claims, claim_port, own_ports

_CLAIMING = """
import sys
from pathlib import Path
from balancer.cli.free_ports import Claims
claims = Claims(Path(sys.argv[1]), [*map(int, sys.argv[2].split(","))])
ports = []
sys.stdin.readline()
for _ in range(int(sys.argv[3])):
    try:
        ports.append(claims.claim())
    except OSError as error:
        print("none", error.errno, end=" ")
        break
print(*ports, flush=True)
sys.stdin.readline()
"""
_SERVING = """
import os, socket, sys
from balancer.cli.free_ports import claim_port
sys.stdin.readline()
me = str(os.getpid()).encode()
for _ in range(int(sys.argv[1])):
    ports = [claim_port() for _ in range(30)]
    around = []  # what else goes on between the choice of a number and its use
    with socket.create_server(("127.0.0.1", 0), backlog=50) as other:
        for _ in range(30):
            around.append(socket.create_connection(other.getsockname()))
            around.append(other.accept()[0])
        for port in ports:
            try:
                server = socket.create_server(("127.0.0.1", port))
            except OSError as error:
                sys.exit(print("bad:", port, error, flush=True))
            with server, socket.create_connection(("127.0.0.1", port)) as client:
                server.accept()[0].sendall(me)
                heard = client.recv(100)
                if heard != me:
                    sys.exit(print("bad:", port, heard, flush=True))
    for each in around:
        each.close()
print("good", flush=True)
"""


class ClaimTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.file = Path(self.mktemp()).absolute()
        self.file.parent.mkdir(parents=True, exist_ok=True)

    def ports(self, count: int) -> list[int]:
        """Return ports that nobody else uses meanwhile, to be claimed under another lock."""
        return [claim_port() for _ in range(count)]

    def started(self, script: str, *arguments: object) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", script, *map(str, arguments)]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.addCleanup(process.communicate)
        self.addCleanup(process.kill)
        return process

    def go(self, process: subprocess.Popen[str]) -> None:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()

    def said(self, process: subprocess.Popen[str]) -> str:
        assert process.stdout is not None
        return process.stdout.readline().strip()

    def test_a_crowd(self) -> None:
        """Sixteen processes that claim at the same time, from hardly more ports than they want, never get the same."""
        among = ",".join(map(str, self.ports(650)))
        processes = [self.started(_CLAIMING, self.file, among, 40) for _ in range(16)]
        for process in processes:
            self.go(process)
        ports = [int(word) for process in processes for word in self.said(process).split()]
        self.assertEqual((len(ports), len(set(ports))), (640, 640))

    def test_until_the_process_ends(self) -> None:
        """A claim holds while its process runs, and is gone with it, even if it is killed."""
        ports = ",".join(map(str, self.ports(60)))
        first = self.started(_CLAIMING, self.file, ports, 60)
        self.go(first)
        taken = self.said(first).split()
        self.assertEqual(sorted(taken), sorted(ports.split(",")))
        second = self.started(_CLAIMING, self.file, ports, 1)
        self.go(second)
        self.assertTrue(self.said(second).startswith("none"))
        first.kill()
        first.wait()
        third = self.started(_CLAIMING, self.file, ports, 60)
        self.go(third)
        self.assertEqual(sorted(self.said(third).split()), sorted(taken))

    def test_to_serve(self) -> None:
        """Twelve processes that serve on what they claimed hear nobody but themselves, with connections all around."""
        processes = [self.started(_SERVING, 5) for _ in range(12)]
        for process in processes:
            self.go(process)
        self.assertEqual([self.said(process) for process in processes], ["good"] * 12)

    def test_once(self) -> None:
        """A process gets a port once, and never one that the kernel chooses of itself."""
        ports = [claim_port() for _ in range(200)]
        self.assertEqual(len(set(ports)), 200)
        first, last = map(int, Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split())
        self.assertEqual([port for port in ports if first <= port <= last], [])

    def test_a_fork(self) -> None:
        """A child of ours gets others than we have."""
        claims = Claims(self.file, self.ports(100))
        mine = {claims.claim() for _ in range(10)}
        reading, writing = os.pipe()
        child = os.fork()
        if not child:
            os.write(writing, " ".join(str(claims.claim()) for _ in range(20)).encode())
            os._exit(0)
        os.waitpid(child, 0)
        os.close(writing)
        with os.fdopen(reading) as said:
            self.assertEqual(mine & set(map(int, said.read().split())), set())

    def test_what_others_have(self) -> None:
        """A port that anybody has, for TCP or UDP, at any address, is not given; when it is free again, it is."""
        for kind, family, host in (
            (socket.SOCK_STREAM, socket.AF_INET, "127.0.0.1"),
            (socket.SOCK_DGRAM, socket.AF_INET, "127.0.0.9"),
            (socket.SOCK_STREAM, socket.AF_INET6, "::1"),
        ):
            port = claim_port()
            with socket.socket(family, kind) as skt:
                skt.bind((host, port))
                with self.assertRaisesRegex(OSError, "no port is left"):
                    Claims(self.file, [port]).claim()
            self.assertEqual(Claims(self.file, [port]).claim(), port)

    def test_preferred(self) -> None:
        """The one that is preferred, if nobody has it; another otherwise, and the second time."""
        port = claim_port()
        claims = Claims(self.file, self.ports(100))
        self.assertEqual(claims.claim(port), port)
        self.assertNotEqual(claims.claim(port), port)
        with socket.create_server(("127.0.0.1", 0)) as taken:
            self.assertNotEqual(claims.claim(taken.getsockname()[1]), taken.getsockname()[1])

    def test_not_our_file(self) -> None:
        """A file that somebody has put there in place of ours is not used."""
        self.file.symlink_to("/etc/passwd")
        self.assertRaises(OSError, Claims(self.file).claim)


class OwnPortsTests(SynchronousTestCase):
    def test_outside_the_kernels_range(self) -> None:
        """All from 10000 on that the kernel does not choose; if that leaves hardly any, all."""
        for text, first, last, count in (
            ("32768\t60999\n", 10000, 65535, 22768 + 4536),
            ("1024 50000", 50001, 65535, 15535),
            ("1024 65535", 10000, 65535, 55536),
            ("49152 65535", 10000, 49151, 39152),
        ):
            ports = own_ports(text)
            self.assertEqual((ports[0], ports[-1], len(ports)), (first, last, count))
