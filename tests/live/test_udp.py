"""UDP through the balancer with other people's programs: dig at a real name server, nc, iperf3."""

from __future__ import annotations

import json
import os
import shutil
import socket
import tempfile
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import gatherResults, inlineCallbacks
from twisted.internet.task import deferLater

from balancer.errors import BalancerError
from balancer.listeners.tcp import TCPListener
from balancer.listeners.udp import UDPListener
from balancer.model.address import Address
from balancer.pools.pool import Pool
from tests.listeners.layer4 import Layer4TestCase, pool, until
from tests.live.processes import free_port, run, serve, spawn

_NAMED = """
options {{
    directory "{directory}"; pid-file none; session-keyfile none; recursion no; dnssec-validation no;
    listen-on port {port} {{ 127.0.0.1; }}; listen-on-v6 port {port} {{ ::1; }};
}};
controls {{ }};
zone "shop.test" {{ type primary; file "zone"; }};
"""

_ZONE = """$TTL 60
@ IN SOA ns.shop.test. root.shop.test. 1 3600 600 86400 60
@ IN NS ns.shop.test.
ns IN A 127.0.0.1
www IN A 192.0.2.80
who IN TXT "{name}"
"""

_TURNED_AWAY = ("reset by peer", "server is busy", "control socket has closed unexpectedly")
"""What iperf3 says of a server that does not take its control connection yet."""


def both(test: Layer4TestCase, target: Pool, *more: str, **limits: Any) -> tuple[TCPListener, UDPListener]:
    """Return a TCP and a UDP listener with one port, which others may have for one of the two; UDP on ``more`` too."""
    for _ in range(100):
        tcp = test.tcp(target)
        try:
            return tcp, test.udp(target, tcp.addresses[0], *more, **limits)
        except BalancerError:
            pass
    raise AssertionError("no port is free for both TCP and UDP")


class DNSTests(Layer4TestCase):
    """``dig`` through ``responses: 1``, and TCP beside it on the same port."""

    timeout = 60

    @inlineCallbacks
    def named(self, name: str) -> Any:
        """Start BIND; return its address and process."""
        directory = tempfile.mkdtemp()
        os.chmod(directory, 0o755)
        self.addCleanup(shutil.rmtree, directory, True)
        address = Address("127.0.0.1", free_port())
        for file, text in (("named.conf", _NAMED), ("zone", _ZONE)):
            with open(os.path.join(directory, file), "w") as out:
                out.write(text.format(directory=directory, port=address.port, name=name))
        process = yield serve(self, address, "named", "-g", "-n", "1", "-c", os.path.join(directory, "named.conf"))
        while not (yield self.dig(address, "www.shop.test")):
            yield deferLater(reactor, 0.05)
        return address, process

    @inlineCallbacks
    def dig(self, at: Address, *query: str) -> Any:
        """Return the lines of the answer."""
        _, output = yield run("dig", f"@{at.host}", "-p", str(at.port), "+short", "+tries=1", "+time=5", *query)
        return [line for line in output.decode().split("\n") if line and not line.startswith(";")]

    @inlineCallbacks
    def test_dig(self) -> Any:
        """Queries are spread over the servers datagram by datagram, over IPv4 and IPv6, UDP and TCP on one port."""
        one, _ = yield self.named("one")
        two, _ = yield self.named("two")
        target = pool(one, two)
        tcp, udp = both(self, target, "[::1]:0", responses=1)
        said = []
        for where in udp.addresses * 2:
            said += yield self.dig(Address.parse(where), "who.shop.test", "TXT")
        self.assertEqual(sorted(said), ['"one"', '"one"', '"two"', '"two"'])
        self.assertEqual([(record.datagrams_in, record.datagrams_out) for record in self.records], [(1, 1)] * 4)
        self.assertEqual(tcp.addresses[0], udp.addresses[0])
        answer = yield self.dig(Address.parse(tcp.addresses[0]), "www.shop.test", "+tcp")
        self.assertEqual(answer, ["192.0.2.80"])

    @inlineCallbacks
    def test_name_server_killed(self) -> Any:
        """With one of two servers killed every query is answered, by the other, and the dead one is blamed."""
        one, process = yield self.named("one")
        two, _ = yield self.named("two")
        target = pool(one, two)
        listener = self.udp(target, responses=1)
        yield process.kill()
        for _ in range(4):
            answer = yield self.dig(Address.parse(listener.addresses[0]), "who.shop.test", "TXT")
            self.assertEqual(answer, ['"two"'])
        self.assertGreater(target.servers[0].connect_failures, 0)
        self.assertEqual(target.servers[1].failures, 0)

    @inlineCallbacks
    def test_many_questions_at_once(self) -> Any:
        """Two hundred queries from as many sockets are each answered with their own answer."""
        one, _ = yield self.named("one")
        listener = self.udp(pool(one), responses=1)
        at = Address.parse(listener.addresses[0])
        sockets = []
        for number in range(200):
            skt = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            self.addCleanup(skt.close)
            skt.connect((at.host, at.port))
            skt.setblocking(False)
            skt.send(number.to_bytes(2, "big") + b"\0\0\0\1\0\0\0\0\0\0\3www\4shop\4test\0\0\1\0\1")
            sockets.append(skt)
        answers: dict[int, bytes] = {}

        def collect() -> bool:
            for number, skt in enumerate(sockets):
                try:
                    answers[number] = skt.recv(512)
                except BlockingIOError:
                    pass
            return len(answers) == 200

        yield until(collect)
        for number, answer in answers.items():
            self.assertEqual(int.from_bytes(answer[:2], "big"), number)
            self.assertIn(bytes((192, 0, 2, 80)), answer)
        self.assertEqual((listener.sessions, self.gate.active, len(self.records)), (0, 0, 200))

    @inlineCallbacks
    def test_many_digs_at_once(self) -> Any:
        """Twenty programs with thirty questions each, at the same time: every question is answered at the first try."""
        one, _ = yield self.named("one")
        two, _ = yield self.named("two")
        target = pool(one, two)
        listener = self.udp(target, responses=1)
        at = Address.parse(listener.addresses[0])
        # Each from an address of its own: dig lets the kernel give one port to two of them (SO_REUSEPORT), and then one
        # gets the other's answer.
        digs = [self.dig(at, "-b", f"127.0.1.{number}", *("www.shop.test",) * 30) for number in range(1, 21)]
        results = yield gatherResults(digs)
        self.assertEqual(results, [["192.0.2.80"] * 30] * 20)
        self.assertEqual((len(self.records), [server.failures for server in target.servers]), (600, [0, 0]))


class ProgramTests(Layer4TestCase):
    """Flows of other protocols."""

    timeout = 60

    @inlineCallbacks
    def test_nc(self) -> Any:
        """A conversation by hand, with a server that is a shell tool."""
        port = free_port()
        server = spawn("socat", "-d", "-d", "-T2", f"UDP-RECVFROM:{port},bind=127.0.0.1,fork", "EXEC:cat")
        self.addCleanup(server.kill)
        yield until(lambda: b"receiving" in server.output)
        listener = self.udp(pool(f"127.0.0.1:{port}"))
        client = spawn("nc", "-u", "127.0.0.1", str(Address.parse(listener.addresses[0]).port))
        self.addCleanup(client.kill)
        for line in (b"one\n", b"two\n"):
            client.transport.write(line)
            yield until(lambda line=line: client.output.endswith(line))
        self.assertEqual((client.output, listener.sessions), (b"one\ntwo\n", 1))

    @inlineCallbacks
    def test_iperf(self) -> Any:
        """iperf3's UDP streams (with their TCP control connection on the same port) pass in both directions."""
        for extra in ((), ("-R",), ("--bidir", "-P", "3")):
            # A server each, and again if it turns us away: it is not done with the last, who saw that it answers.
            server = Address("127.0.0.1", free_port())
            yield serve(self, server, "iperf3", "-s", "-p", str(server.port), "-B", "127.0.0.1")
            tcp, _ = both(self, pool(server))
            port = str(Address.parse(tcp.addresses[0]).port)
            for _ in range(20):
                status, output = yield run(
                    "iperf3", "-c", "127.0.0.1", "-p", port, "-u", "-b", "2M", "-t", "1", "-l", "1200", "--json", *extra
                )
                report = json.loads(output)
                if not any(words in report.get("error", "") for words in _TURNED_AWAY):
                    break
            self.assertNotIn("error", report)
            self.assertEqual(status, 0, output[-2000:])
            streams = [stream["udp"] for stream in report["end"]["streams"]]
            self.assertEqual(len(streams), 6 if "-P" in extra else 1)
            for stream in streams:
                self.assertGreater(stream["packets"], 150)
                self.assertEqual((stream["lost_packets"], stream["out_of_order"]), (0, 0), extra)
