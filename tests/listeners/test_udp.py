"""The UDP listener: flows by client, limits, change and end."""

from __future__ import annotations

import socket
import struct
import sys
import zlib
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import inlineCallbacks
from twisted.internet.protocol import DatagramProtocol

from balancer.cli.free_ports import claim_port
from balancer.errors import BalancerError
from balancer.listeners.accept import Gate
from balancer.listeners.shedding import Shedding
from balancer.listeners.udp import UDPListener
from balancer.model.address import Address
from balancer.net.trains import UDP_SEGMENT
from tests.listeners.layer4 import Layer4TestCase, pool, until


class Echo(DatagramProtocol):
    """A server that sends back what it gets, ``times`` times, with its name before it."""

    noisy = False

    def __init__(self, name: str, times: int = 1) -> None:
        self.name = name
        self.times = times
        self.clients: set[Any] = set()
        self.got: list[bytes] = []

    def datagramReceived(self, data: bytes, client: Any) -> None:
        self.clients.add(client)
        self.got.append(data)
        for _ in range(self.times):
            self.transport.write(self.name.encode() + b":" + data, client)


class UDPListenerTests(Layer4TestCase):
    """With echo servers on the same reactor."""

    def echo(self, name: str = "a", interface: str = "127.0.0.1", times: int = 1) -> tuple[Echo, str]:
        server = Echo(name, times)
        port = reactor.listenUDP(0, server, interface)
        self.addCleanup(port.stopListening)
        return server, str(Address(interface, port.getHost().port))

    def client(self, listener: UDPListener, host: str = "127.0.0.1") -> socket.socket:
        skt = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)
        skt.connect((host, Address.parse(listener.addresses[0]).port))
        skt.setblocking(False)
        self.addCleanup(skt.close)
        return skt

    @inlineCallbacks
    def ask(self, client: socket.socket, data: bytes) -> Any:
        """Send, and return the reply."""
        client.send(data)
        replies: list[bytes] = []

        def came() -> bool:
            try:
                replies.append(client.recv(65535))
            except BlockingIOError:
                return False
            return True

        yield until(came)
        return replies[0]

    @inlineCallbacks
    def test_a_flow(self) -> Any:
        """A client's datagrams go to one server from one socket; another client's to the next server."""
        a, address_a = self.echo("a")
        b, address_b = self.echo("b")
        listener = self.udp(pool(address_a, address_b), session_timeout=0.2)
        first, second = self.client(listener), self.client(listener)
        replies = []
        for client in (first, first, second, first):
            reply = yield self.ask(client, b"x")
            replies.append(reply)
        self.assertEqual(replies, [b"a:x", b"a:x", b"b:x", b"a:x"])
        self.assertEqual((len(a.clients), len(b.clients), listener.sessions, self.gate.active), (1, 1, 2, 2))
        yield self.recorded(2)
        self.assertEqual((listener.sessions, self.gate.active), (0, 0))
        self.assertEqual(sorted(record.datagrams_out for record in self.records), [1, 3])
        self.assertEqual({record.protocol for record in self.records}, {"udp"})

    @inlineCallbacks
    def test_replies_from_the_address_asked(self) -> Any:
        """On a wildcard address, replies leave from the address that the client wrote to; IPv4, IPv6, both."""
        _, four = self.echo()
        _, six = self.echo(interface="::1")
        for bind, host, server in (
            ("0.0.0.0:0", "127.0.0.9", four),
            ("*:0", "127.0.0.9", six),
            ("*:0", "::1", four),
            ("[::1]:0", "::1", six),
        ):
            listener = self.udp(pool(server), bind)
            reply = yield self.ask(self.client(listener, host), b"y")
            self.assertEqual(reply, b"a:y", bind)
            yield listener.drain(0)
            self.assertEqual(self.records[-1].client, "::1" if ":" in host else "127.0.0.1")

    @inlineCallbacks
    def test_per_datagram(self) -> Any:
        """With ``responses: 1`` each datagram of one client is balanced anew."""
        _, address_a = self.echo("a")
        _, address_b = self.echo("b")
        client = self.client(self.udp(pool(address_a, address_b), responses=1))
        replies = []
        for _ in range(4):
            reply = yield self.ask(client, b"q")
            replies.append(reply)
        self.assertEqual(replies, [b"a:q", b"b:q", b"a:q", b"b:q"])
        self.assertEqual((len(self.records), self.gate.active), (4, 0))

    @inlineCallbacks
    def test_many_clients_at_once(self) -> Any:
        """Each client gets its own replies, whole and in order, however the datagrams of all are mixed."""
        server, address = self.echo()
        listener = self.udp(pool(address))
        clients = [self.client(listener) for _ in range(30)]
        sizes = [0, 1, 12, 1400, 1400, 1400, 700, 1300, 64, 64, 64, 64]
        sent: list[list[bytes]] = [[] for _ in clients]
        got: list[list[bytes]] = [[] for _ in clients]

        def collect() -> bool:
            for client, replies in zip(clients, got):
                try:
                    while True:
                        replies.append(client.recv(65535))
                except BlockingIOError:
                    pass
            return all(len(replies) == len(datagrams) for replies, datagrams in zip(got, sent))

        for turn, size in enumerate(sizes):
            for number, client in enumerate(clients):
                for each in range(1 + (number + turn) % 3):
                    data = bytes(((number * 31 + turn * 7 + each + place) % 256) for place in range(size))
                    sent[number].append(b"a:" + data + zlib.crc32(data).to_bytes(4, "big"))
                    client.send(sent[number][-1][2:])
            yield until(collect)
        self.assertEqual(got, sent)
        self.assertEqual((len(server.clients), listener.sessions), (30, 30))
        yield listener.drain(0)
        self.assertEqual(sum(record.datagrams_in for record in self.records), sum(map(len, sent)))
        self.assertEqual(
            sum(record.bytes_out for record in self.records), sum(len(each) for all_ in sent for each in all_)
        )

    @inlineCallbacks
    def test_each_of_a_batch_alone(self) -> Any:
        """With ``responses: 0`` datagrams that come together, or as a train, are balanced one by one."""
        a, address_a = self.echo("a", times=0)
        b, address_b = self.echo("b", times=0)
        listener = self.udp(pool(address_a, address_b), responses=0)
        client = self.client(listener)
        for _ in range(4):
            client.send(b"line")
        if sys.platform == "linux":
            client.sendmsg([b"line" * 4], [(socket.IPPROTO_UDP, UDP_SEGMENT, struct.pack("=H", 4))])
        else:
            for _ in range(4):
                client.send(b"line")
        yield until(lambda: len(a.got) + len(b.got) == 8)
        self.assertEqual((a.got, b.got), ([b"line"] * 4, [b"line"] * 4))
        self.assertEqual([(record.datagrams_in, record.bytes_in) for record in self.records], [(1, 4)] * 8)

    @inlineCallbacks
    def test_server_gone_in_mid_flow(self) -> Any:
        """What its ICMP message kept from being sent begins another flow, at another server."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as first:
            first.bind(("127.0.0.1", 0))
            _, address = self.echo("next")
            listener = self.udp(pool(str(Address(*first.getsockname())), address))
            client = self.client(listener)
            client.send(b"1")
            yield until(lambda: listener.sessions)
            data, name = first.recvfrom(9)
            first.sendto(b"first:" + data, name)
            replies: list[bytes] = []

            def collect() -> bool:
                try:
                    while True:
                        replies.append(client.recv(9))
                except BlockingIOError:
                    return bool(replies)

            yield until(collect)
        client.send(b"2")
        client.send(b"3")
        client.send(b"4" * 2)
        yield until(lambda: collect() and replies[-1] == b"next:44")
        # The first of the batch went to the server that was gone; no news of that had come yet.
        self.assertEqual(replies[0], b"first:1")
        self.assertEqual([record.reason for record in self.records], ["connection_refused"])

    @inlineCallbacks
    def test_dead_server(self) -> Any:
        """A server that is not there is noticed by ICMP, blamed, and the datagram goes to the next."""
        _, address = self.echo("alive")
        target = pool(Address("127.0.0.1", claim_port()), address)
        reply = yield self.ask(self.client(self.udp(target)), b"q")
        self.assertEqual(reply, b"alive:q")
        self.assertEqual([server.connect_failures for server in target.servers], [1, 0])

    @inlineCallbacks
    def test_table_is_bounded(self) -> Any:
        """With a full table new clients are dropped and counted; those who have a flow go on."""
        _, address = self.echo()
        listener = self.udp(pool(address), max_sessions=2)
        clients = [self.client(listener) for _ in range(3)]
        for client in clients[:2]:
            yield self.ask(client, b"x")
        clients[2].send(b"x")
        yield until(lambda: listener.dropped["session_table_full"])
        yield self.ask(clients[0], b"x")
        self.assertEqual(listener.sessions, 2)

    @inlineCallbacks
    def test_dropped_for_other_reasons(self) -> Any:
        """No route, no admission, overload, no server: dropped and counted by reason."""
        shedding = Shedding(0.1, lambda: 0.0)
        shedding.measured(1.0)
        shedding.measured(1.0)
        busy = self.udp(pool("127.0.0.1:9"), shedding=shedding)
        self.client(busy).send(b"q")
        yield until(lambda: busy.dropped["proxy_internal_response"])
        self.assertEqual((busy.sessions, dict(shedding.turned_away)), (0, {"l4": 1}))
        nowhere = self.udp(None)
        self.client(nowhere).send(b"x")
        yield until(lambda: nowhere.dropped["destination_not_found"])
        target = pool("127.0.0.1:9")
        listener = self.udp(target)
        self.gate.connections = 0
        self.client(listener).send(b"x")
        yield until(lambda: listener.dropped["connection_limit_reached"])
        self.gate.connections = None
        target.servers[0].drain()
        self.client(listener).send(b"x")
        yield until(lambda: listener.dropped["destination_unavailable"])
        self.assertEqual((self.gate.active, self.records[0].reason), (0, "destination_unavailable"))

    @inlineCallbacks
    def test_change_and_drain(self) -> Any:
        """New settings hold for new flows; draining lets flows end, then closes the socket."""
        _, address_a = self.echo("a")
        _, address_b = self.echo("b")
        listener = self.udp(pool(address_a))
        old, new = self.client(listener), self.client(listener)
        yield self.ask(old, b"x")
        listener.swap(self.udp_settings(pool(address_b), session_timeout=0.1))
        replies = []
        for client in (old, new):
            reply = yield self.ask(client, b"x")
            replies.append(reply)
        self.assertEqual(replies, [b"a:x", b"b:x"])
        drained = listener.drain(0.5)
        late = self.client(listener)
        late.send(b"x")
        yield until(lambda: listener.dropped["shutdown"])
        reply = yield self.ask(old, b"y")
        self.assertEqual((reply, drained.called), (b"a:y", False))
        yield drained
        self.assertEqual([record.reason for record in self.records], ["", "shutdown"])
        self.assertEqual((listener.addresses, len(self.wheel)), ((), 0))

    def test_all_addresses_or_none(self) -> None:
        """If one address cannot be had none is kept."""
        listener = self.udp(None)
        before = len(reactor.getReaders())
        with self.assertRaisesRegex(BalancerError, "in use"):
            self.udp(None, "127.0.0.1:0", listener.addresses[0])
        self.assertEqual(len(reactor.getReaders()), before)
        self.assertEqual(repr(listener), f"<UDPListener l4 on {listener.addresses[0]}, 0 flows>")


class GateTests(Layer4TestCase):
    """Flows count as connections do."""

    @inlineCallbacks
    def test_per_client(self) -> Any:
        """One address may have so many flows, not more."""
        self.gate = Gate(per_client=2)
        listener = self.udp(pool("127.0.0.1:9"))
        for _ in range(3):
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as skt:
                skt.sendto(b"x", ("127.0.0.1", Address.parse(listener.addresses[0]).port))
        yield until(lambda: listener.dropped["connection_limit_reached"])
        self.assertEqual(self.gate.refused_client, 1)
