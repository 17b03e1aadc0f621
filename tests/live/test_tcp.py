"""TCP through the balancer with other people's programs: redis, nc, socat, iperf3."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from typing import Any

from twisted.internet.defer import gatherResults, inlineCallbacks

from balancer.model.address import Address
from tests.listeners.layer4 import Layer4TestCase, pool
from tests.live.processes import free_port, run, serve


class ProgramTests(Layer4TestCase):
    """What works directly works through the balancer."""

    timeout = 60

    def directory(self) -> str:
        """Return a directory with a path short enough for unix sockets, which is removed at the end."""
        directory = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, directory, True)
        return directory

    @inlineCallbacks
    def redis(self, address: Address | None = None) -> Any:
        """Start a redis server; return its address and process."""
        if address is None:
            address = Address("127.0.0.1", free_port())
        where = (
            ("--port", "0", "--unixsocket", address.path)
            if address.path
            else ("--port", str(address.port), "--bind", address.host)
        )
        process = yield serve(self, address, "redis-server", *where, "--save", "", "--appendonly", "no")
        return address, process

    @inlineCallbacks
    def cli(self, address: str, *words: str, stdin: bytes = b"") -> Any:
        """Run redis-cli against a listener; return what it says."""
        target = Address.parse(address)
        where = ("-s", target.path) if target.path else ("-h", target.host, "-p", str(target.port))
        status, output = yield run("redis-cli", *where, *words, stdin=stdin)
        self.assertEqual(status, 0, output)
        return output.decode().strip()

    @inlineCallbacks
    def test_redis(self) -> Any:
        """A database protocol, with ten thousand commands in one stream."""
        address, _ = yield self.redis()
        listener = self.tcp(pool(address))
        (where,) = listener.addresses
        said = yield self.cli(where, "set", "key", "value")
        self.assertEqual(said, "OK")
        commands = b"".join(b"INCRBY counter %d\r\n" % number for number in range(10_000))
        said = yield self.cli(where, "--pipe", stdin=commands)
        self.assertIn("errors: 0, replies: 10000", said)
        said = yield self.cli(where, "get", "counter")
        self.assertEqual(said, str(sum(range(10_000))))
        yield self.recorded(3)
        self.assertEqual([record.reason for record in self.records], [""] * 3)

    @inlineCallbacks
    def test_unix_sockets_and_ipv6(self) -> Any:
        """Every kind of address on the client side goes with every kind on the server side."""
        directory = self.directory()
        at_unix, _ = yield self.redis(Address("", 0, os.path.join(directory, "redis")))
        at_six, _ = yield self.redis(Address("::1", free_port()))
        at_four, _ = yield self.redis()
        for server in (at_unix, at_six, at_four):
            path = os.path.join(directory, f"listener{server.port}")
            listener = self.tcp(pool(server), f"unix:{path}", "[::1]:0", "127.0.0.1:0")
            for where in listener.addresses:
                said = yield self.cli(where, "incr", "calls")
                self.assertEqual(said, str(listener.addresses.index(where) + 1))

    @inlineCallbacks
    def test_server_killed_and_brought_back(self) -> Any:
        """When a server is killed new sessions go to the other, and come back to it when it does."""
        one, process = yield self.redis()
        two, _ = yield self.redis()
        for address, name in ((one, "one"), (two, "two")):
            yield self.cli(str(address), "set", "name", name)
        listener = self.tcp(pool(one, two))
        (where,) = listener.addresses
        said = []
        for _ in range(4):
            said.append((yield self.cli(where, "get", "name")))
        self.assertEqual(sorted(said), ["one", "one", "two", "two"])
        yield process.kill()
        for _ in range(4):
            said = yield self.cli(where, "get", "name")
            self.assertEqual(said, "two")
        yield self.redis(one)
        said = []
        for _ in range(2):
            said.append((yield self.cli(where, "get", "name")))
        self.assertEqual(sorted(said), ["", "two"])

    @inlineCallbacks
    def test_half_close(self) -> Any:
        """A program that answers only at the end of its input (sort) answers nc -N, over TCP and a unix socket."""
        directory = self.directory()
        address = Address("127.0.0.1", free_port())
        yield serve(self, address, "socat", f"TCP-LISTEN:{address.port},bind=127.0.0.1,fork,reuseaddr", "EXEC:sort -n")
        listener = self.tcp(pool(address), "127.0.0.1:0", f"unix:{directory}/nc")
        lines = [str(number * 7919 % 50_000) for number in range(50_000)]
        stdin = "\n".join(lines).encode() + b"\n"
        target = Address.parse(listener.addresses[0])
        for arguments in (("-N", target.host, str(target.port)), ("-N", "-U", f"{directory}/nc")):
            status, output = yield run("nc", *arguments, stdin=stdin)
            self.assertEqual(status, 0)
            self.assertEqual(output.decode().split(), sorted(lines, key=int))

    @inlineCallbacks
    def test_iperf(self) -> Any:
        """iperf3 runs both ways, with parallel streams, and ends clean."""
        for extra in ((), ("-R",)):
            # A server each. It turns away who comes before it is done with the last, and that was whoever saw that it answers.
            address = Address("127.0.0.1", free_port())
            yield serve(self, address, "iperf3", "-s", "-p", str(address.port), "-B", "127.0.0.1")
            listener = self.tcp(pool(address))
            port = str(Address.parse(listener.addresses[0]).port)
            for _ in range(20):
                status, output = yield run(
                    "iperf3",
                    "-c",
                    "127.0.0.1",
                    "-p",
                    port,
                    "-n",
                    "500M",
                    "-P",
                    "2",
                    "--json",
                    "--connect-timeout",
                    "5000",
                    *extra,
                )
                report = json.loads(output)
                if "reset by peer" not in report.get("error", ""):
                    break
            self.assertNotIn("error", report)
            self.assertEqual(status, 0, output[-2000:])
            self.assertGreaterEqual(report["end"]["sum_received"]["bytes"], 450_000_000, output[-2000:])

    @inlineCallbacks
    def test_many_at_once(self) -> Any:
        """Two hundred sessions, fifty programs at a time, each get their own bytes back."""
        address = Address("127.0.0.1", free_port())
        yield serve(
            self, address, "socat", f"TCP-LISTEN:{address.port},bind=127.0.0.1,fork,reuseaddr,backlog=256", "PIPE"
        )
        listener = self.tcp(pool(address))
        port = str(Address.parse(listener.addresses[0]).port)

        @inlineCallbacks
        def one(number: int) -> Any:
            mine = hashlib.sha256(b"%d" % number).digest() * 2000
            status, output = yield run("nc", "-N", "127.0.0.1", port, stdin=mine)
            return status == 0 and output == mine

        for _ in range(4):
            good = yield gatherResults([one(number) for number in range(50)])
            self.assertEqual(good.count(True), 50)
        yield self.recorded(200)
        self.assertEqual({record.reason for record in self.records}, {""})
        self.assertEqual((self.gate.active, len(listener.sessions)), (0, 0))
