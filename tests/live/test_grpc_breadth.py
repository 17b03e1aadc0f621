"""gRPC in its breadth, by gRPC's own library: clients and servers with threads and with asyncio, TLS and none, both HTTP/2 libraries."""

from __future__ import annotations

import asyncio
import os
import queue
import signal
import threading
from collections.abc import AsyncIterator, Callable
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from balancer.wire.http2.sessions import LIBRARIES, VARIABLE
from tests.live.balancers import wait_until
from tests.live.grpc_peers import OPTIONS, Stub
from tests.live.processes import free_port
from tests.live.test_grpc import PATIENCE, GRPCTestCase
from tests.live.test_workers import WorkersTestCase, alive
from tests.tls.authority import Authority

BIG = bytes(range(256)) * 24_000  # six megabytes
METADATA = [
    ("my-text", "a b, c"),
    ("my-text-2", "x" * 3000),
    ("my-data-bin", b"\0\xff" * 20),
    ("my-empty-bin", b""),
    *(("my-many", f"value {number}") for number in range(20)),
    *(("my-many-bin", bytes([number, 0, 255])) for number in range(20)),
]
GZIP: Any = grpc.Compression.Gzip


class MatrixTests(GRPCTestCase):
    """Every kind of call over every kind of connection."""

    def over(self, kind: str, library: str, *, tls: bool) -> Any:
        """Return what makes channels to a balancer: of ``grpc`` or ``grpc.aio``."""
        listener, pool, certificate = "pool: web", "protocol: h2\n", ""
        credentials: Any = None
        if tls:
            authority, folder = Authority("Test CA"), self.folder()
            pem, ca = folder / "server.pem", folder / "ca.pem"
            authority.issue("localhost", "127.0.0.1").write(pem)
            ca.write_bytes(authority.issued.cert)
            listener = f"tls: {{certificates: [{{cert: {pem}}}]}}\npool: web"
            pool, certificate = f"tls: {{ca: {ca}}}\n", str(pem)
            credentials = grpc.ssl_channel_credentials(ca.read_bytes())
        server = self.grpc_server(certificate=certificate, kind=kind)
        self.patch(os, "environ", {**os.environ, VARIABLE: library})
        _, port = self.web(server.address, listener=listener, pool=pool)
        address = f"127.0.0.1:{port}"

        def channel(module: Any) -> Any:
            if credentials is None:
                return module.insecure_channel(address, OPTIONS)
            return module.secure_channel(address, credentials, OPTIONS)

        return channel

    def test_threads(self) -> None:
        """Clients and servers with threads."""
        for library in LIBRARIES:
            for tls in (False, True):
                channel = self.over("sync", library, tls=tls)(grpc)
                self.addCleanup(channel.close)
                self.try_all(Stub(channel))

    def try_all(self, stub: Stub) -> None:
        self.assertEqual(stub.unary(b"", timeout=PATIENCE), b"")
        self.assertEqual(stub.unary(BIG, timeout=PATIENCE), BIG)
        self.assertEqual(stub.unary(BIG, timeout=PATIENCE, compression=GZIP), BIG)
        self.assertEqual(stub.client(iter([BIG, b"", b"x"] * 3), timeout=PATIENCE), b"%d" % (3 * len(BIG) + 3))
        self.assertEqual(list(stub.both(iter([b"a", BIG, b""]), timeout=PATIENCE, compression=GZIP)), [b"a", BIG, b""])
        self.assertEqual(len(list(stub.server(b"1000 100", timeout=PATIENCE))), 1000)
        _, call = stub.metadata.with_call(b"", metadata=METADATA, timeout=PATIENCE)
        self.assertEqual(
            [(key, value) for key, value in call.trailing_metadata() if key.startswith("back-")],
            [(f"back-{key}", value) for key, value in METADATA],
        )
        error = self.refused(stub.fail, b"ABORTED why")
        self.assertEqual((error.code(), error.details()), (grpc.StatusCode.ABORTED, "why"))
        broken = stub.broken(b"first", timeout=PATIENCE)
        self.assertEqual(next(broken), b"first")
        self.assertIs(self.assertRaises(grpc.RpcError, next, broken).code(), grpc.StatusCode.DATA_LOSS)
        self.assertIs(self.refused(stub.hang, b"", timeout=0.3).code(), grpc.StatusCode.DEADLINE_EXCEEDED)
        self.assertEqual(stub.hung(b"", timeout=PATIENCE), b"cancelled")

    def test_asyncio(self) -> None:
        """Both with asyncio."""
        for library in LIBRARIES:
            for tls in (False, True):
                make = self.over("aio", library, tls=tls)
                asyncio.run(self.try_all_async(make))

    async def try_all_async(self, make: Callable[[Any], Any]) -> None:
        async with make(grpc.aio) as channel:
            stub = Stub(channel)
            self.assertEqual(await stub.unary(b"", timeout=PATIENCE), b"")
            self.assertEqual(await stub.unary(BIG, timeout=PATIENCE), BIG)
            self.assertEqual(await stub.unary(BIG, timeout=PATIENCE, compression=GZIP), BIG)

            async def pieces() -> AsyncIterator[bytes]:
                for piece in (b"a", BIG, b""):
                    yield piece

            self.assertEqual(await stub.client(pieces(), timeout=PATIENCE), b"%d" % (len(BIG) + 1))
            self.assertEqual([each async for each in stub.both(pieces(), timeout=PATIENCE)], [b"a", BIG, b""])
            self.assertEqual(len([each async for each in stub.server(b"1000 100", timeout=PATIENCE)]), 1000)
            call = stub.metadata(b"", metadata=METADATA, timeout=PATIENCE)
            self.assertEqual(await call, b"ok")
            back = [(key, value) for key, value in await call.trailing_metadata() if key.startswith("back-")]
            self.assertEqual(back, [(f"back-{key}", value) for key, value in METADATA])
            for method, asked, code in (
                (stub.fail, b"ABORTED why", grpc.StatusCode.ABORTED),
                (stub.missing, b"", grpc.StatusCode.UNIMPLEMENTED),
            ):
                try:
                    await method(asked, timeout=PATIENCE)
                except grpc.aio.AioRpcError as error:
                    self.assertIs(error.code(), code)
            waiting = stub.wait(b"first", timeout=PATIENCE)
            self.assertEqual(await waiting.read(), b"first")
            waiting.cancel()
            self.assertEqual(await stub.hung(b"", timeout=PATIENCE), b"cancelled")
            many = await asyncio.gather(*(stub.unary(b"%d" % number, timeout=60) for number in range(1000)))
            self.assertEqual(many, [b"%d" % number for number in range(1000)])


class CancelTests(GRPCTestCase):
    """Whoever gives up, and when: the other end is told, and servers are free for others."""

    def test_in_a_stream(self) -> None:
        """The client, in the middle of what a server says."""
        _, stub = self.stub()
        call = stub.wait(b"first", timeout=PATIENCE)
        self.assertEqual(next(call), b"first")
        call.cancel()
        self.assertEqual(stub.hung(b"", timeout=PATIENCE), b"cancelled")

    def test_deadline_in_a_stream(self) -> None:
        """A deadline, in the middle of what a server says."""
        _, stub = self.stub()
        call = stub.wait(b"first", timeout=0.7)
        self.assertEqual(next(call), b"first")
        self.assertIs(self.assertRaises(grpc.RpcError, next, call).code(), grpc.StatusCode.DEADLINE_EXCEEDED)
        self.assertEqual(stub.hung(b"", timeout=PATIENCE), b"cancelled")

    def test_while_sending(self) -> None:
        """The client, in the middle of what it says; and the channel goes on."""
        running, stub = self.stub()
        asked: queue.Queue[bytes | None] = queue.Queue()
        call = stub.client.future(iter(asked.get, None), timeout=PATIENCE)
        asked.put(b"x" * 100_000)
        self.assertEqual(stub.unary(b"a", timeout=PATIENCE), b"a")
        call.cancel()
        asked.put(None)
        self.assertEqual(running.records(2)[1]["grpc_status"], 1)
        self.assertEqual(stub.unary(b"a", timeout=PATIENCE), b"a")

    def test_while_waiting_for_a_server(self) -> None:
        """The client, while its call waits because every server has as much as it may."""
        server = f"{{address: '{self.grpc_server().address}', max_connections: 1}}"
        running, port = self.web(server, pool="protocol: h2\nqueue: {size: 10, timeout: 20s}\n")
        stub = Stub(self.channel(port))
        first = stub.wait(b"first", timeout=PATIENCE)
        self.assertEqual(next(first), b"first")
        second = stub.unary.future(b"second", timeout=0.5)
        error = self.assertRaises(grpc.RpcError, second.result)
        self.assertIn(error.code(), (grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.CANCELLED))
        first.cancel()
        self.assertEqual(stub.unary(b"third", timeout=PATIENCE), b"third")
        self.assertEqual({record["grpc_status"] for record in running.records(3)}, {0, 1})

    def test_many_give_up(self) -> None:
        """Hundreds of calls whose deadlines pass on one connection are no flood: it stays, and so do the others on it."""
        _, port = self.balanced(self.grpc_server())
        stub = Stub(self.channel(port))
        kept = stub.wait(b"first", timeout=2 * PATIENCE)
        self.assertEqual(next(kept), b"first")
        for _ in range(4):
            calls = [stub.hang.future(b"", timeout=2.5) for _ in range(90)]
            self.assertEqual({call.exception().code() for call in calls}, {grpc.StatusCode.DEADLINE_EXCEEDED})
        self.assertEqual(stub.unary(b"a", timeout=PATIENCE), b"a")
        self.assertTrue(kept.is_active())
        kept.cancel()


class LifeTests(GRPCTestCase):
    """Connections that last, servers that do not."""

    def test_one_connection(self) -> None:
        """A thousand streams at once on one connection: the library has them wait for each other."""
        running, port = self.balanced(self.grpc_server("a"), self.grpc_server("b"))
        stub = Stub(self.channel(port))
        calls = [stub.unary.future(b"%d" % number, timeout=60) for number in range(1000)]
        self.assertEqual([call.result() for call in calls], [b"%d" % number for number in range(1000)])
        self.assertEqual({each["grpc_status"] for each in running.records(1000)}, {0})

    def test_keep_alive(self) -> None:
        """PINGs five times a second, with a call and without one, cost nobody the connection."""
        running, port = self.balanced(self.grpc_server())
        options = {
            "grpc.keepalive_time_ms": 200,
            "grpc.keepalive_timeout_ms": 5000,
            "grpc.keepalive_permit_without_calls": 1,
            "grpc.http2.max_pings_without_data": 0,
        }
        stub = Stub(self.channel(port, *options.items()))
        call = stub.wait(b"first", timeout=PATIENCE)
        self.assertEqual(next(call), b"first")
        self.assertIs(self.refused(stub.hang, b"", timeout=11).code(), grpc.StatusCode.DEADLINE_EXCEEDED)
        self.assertTrue(call.is_active())
        call.cancel()
        self.assertEqual(stub.unary(b"a", timeout=PATIENCE), b"a")
        self.assertEqual(len({record["client_port"] for record in running.records(3)}), 1)

    def test_wait_for_ready(self) -> None:
        """A client that waits until there is a balancer gets its answer when there is one."""
        port = free_port()
        stub = Stub(
            self.channel(port, ("grpc.initial_reconnect_backoff_ms", 100), ("grpc.max_reconnect_backoff_ms", 300))
        )
        call = stub.unary.future(b"early", timeout=60, wait_for_ready=True)
        text = (
            f"listeners: {{web: {{bind: '127.0.0.1:{port}', protocol: http, pool: web}}}}\n"
            f"pools: {{web: {{protocol: h2, servers: ['{self.grpc_server().address}']}}}}\n"
        )
        self.run_balancer(text)
        self.assertEqual(call.result(), b"early")

    def test_servers_come_and_go(self) -> None:
        """A server that dies in the middle of calls, and comes back, is used again."""
        port = free_port()
        server = self.grpc_server(port=port)
        _, listened = self.web(f"127.0.0.1:{port}", pool="protocol: h2\n")
        stub = Stub(self.channel(listened))
        calls = [stub.hang.future(b"", timeout=PATIENCE) for _ in range(20)]
        self.assertEqual(stub.unary(b"a", timeout=PATIENCE), b"a")
        server.kill()
        self.assertEqual({call.exception().code() for call in calls}, {grpc.StatusCode.UNAVAILABLE})
        self.grpc_server(port=port)

        def back() -> bool:
            try:
                return bool(stub.unary(b"b", timeout=PATIENCE) == b"b")
            except grpc.RpcError:
                return False

        wait_until(back)

    def test_health_is_watched(self) -> None:
        """A watch of the server's health is told of each change, however long it takes."""
        _, port = self.balanced(self.grpc_server())
        channel = self.channel(port)
        watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest(), timeout=2 * PATIENCE)
        status = health_pb2.HealthCheckResponse
        self.assertEqual(next(watch).status, status.SERVING)
        change = channel.unary_unary("/test.Echo/Health")
        for name in ("NOT_SERVING", "SERVING"):
            change(name.encode(), timeout=PATIENCE)
            self.assertEqual(next(watch).status, status.ServingStatus.Value(name))
        watch.cancel()

    def test_reflection(self) -> None:
        """What a server has is asked for as grpcurl does: the list of services, and the file of one, in one stream."""
        _, port = self.balanced(self.grpc_server())
        stub = reflection_pb2_grpc.ServerReflectionStub(self.channel(port))
        asked = [
            reflection_pb2.ServerReflectionRequest(list_services=""),
            reflection_pb2.ServerReflectionRequest(file_containing_symbol="grpc.health.v1.Health"),
        ]
        listed, file = list(stub.ServerReflectionInfo(iter(asked), timeout=PATIENCE))
        names = {service.name for service in listed.list_services_response.service}
        self.assertTrue({"test.Echo", "grpc.health.v1.Health"} <= names)
        self.assertIn(b"HealthCheckRequest", file.file_descriptor_response.file_descriptor_proto[0])


class LoadTests(GRPCTestCase, WorkersTestCase):
    """Reloads, and another process that takes over, while clients call: none of them notices."""

    def calling(
        self, port: int, failed: list[BaseException]
    ) -> tuple[threading.Event, list[int], list[threading.Thread]]:
        over, done = threading.Event(), [0] * 4
        stubs = [Stub(self.channel(port, ("grpc.use_local_subchannel_pool", 1))) for _ in done]

        def call(at: int) -> None:
            while not over.is_set() and not failed:
                try:
                    stubs[at].unary(b"x" * 100, timeout=PATIENCE)
                    list(stubs[at].server(b"5 100", timeout=PATIENCE))
                    list(stubs[at].both(iter([b"a", b"b"]), timeout=PATIENCE))
                    done[at] += 1
                except grpc.RpcError as error:
                    failed.append(error)

        threads = [threading.Thread(target=call, args=(at,)) for at in range(len(done))]
        self.addCleanup(over.set)
        for thread in threads:
            thread.start()
        return over, done, threads

    def test_reloads(self) -> None:
        """Reloads in a row, each of which changes the pool."""
        servers = [self.grpc_server(name) for name in "ab"]
        running, port = self.balanced(*servers)
        failed: list[BaseException] = []
        over, done, threads = self.calling(port, failed)
        text = running.file.read_text()
        both = ", ".join(server.address for server in servers)
        for number in range(6):
            running.reload(text.replace(f"servers: [{both}]", f"servers: [{servers[number % 2].address}]"))
            before = list(done)
            wait_until(
                lambda before=before: failed or all(now > then + 3 for now, then in zip(done, before, strict=True))
            )
        over.set()
        for thread in threads:
            thread.join()
        self.assertEqual(failed, [])

    def test_handed_over(self) -> None:
        """Another process takes over: GOAWAY, and clients go on with it; what had begun is finished by the old one."""
        self.socket = f"{self.folder()}/admin.sock"
        server = self.grpc_server()
        running, port = self.web(server.address, pool="protocol: h2\n", top=f"admin: {{bind: 'unix:{self.socket}'}}\n")
        slow = Stub(self.channel(port, ("grpc.use_local_subchannel_pool", 1)))
        asked: queue.Queue[bytes | None] = queue.Queue()
        long = slow.both(iter(asked.get, None), timeout=2 * PATIENCE)
        asked.put(b"before")
        self.assertEqual(next(long), b"before")
        failed: list[BaseException] = []
        over, done, threads = self.calling(port, failed)
        wait_until(lambda: failed or all(number > 3 for number in done))
        self.addCleanup(self.end_successor)
        answer = self.ask("POST", "/upgrade")
        self.assertIn("has taken over", answer.get("message", answer))
        asked.put(b"after")
        self.assertEqual(next(long), b"after")
        asked.put(None)
        self.assertEqual(list(long), [])
        self.assertEqual(running.process.wait(30), 0)
        before = list(done)
        wait_until(lambda: failed or all(now > then + 3 for now, then in zip(done, before, strict=True)))
        over.set()
        for thread in threads:
            thread.join()
        self.assertEqual([str(error) for error in failed], [])

    def end_successor(self) -> None:
        pid = self.ask("GET", "/status")["pid"]
        os.kill(pid, signal.SIGTERM)
        wait_until(lambda: not alive(pid))
