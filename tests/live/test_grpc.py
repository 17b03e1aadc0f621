"""gRPC through the balancer, by gRPC's own library on both ends: HTTP/2 without TLS to the listener and to the servers."""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Callable, Iterator
from typing import Any

import grpc

from tests.live.balancers import BalancerTestCase, RunningBalancer, wait_until
from tests.live.grpc_peers import OPTIONS, GRPCServer, Stub
from tests.live.processes import free_port
from tests.tls.authority import Authority

POOL = "protocol: h2\n"
PATIENCE = 30.0


class GRPCTestCase(BalancerTestCase):
    """Servers, a balancer before them, and channels to it."""

    def grpc_server(
        self, name: str = "server", fails: str = "", certificate: str = "", *, port: int = 0, kind: str = "sync"
    ) -> GRPCServer:
        server = GRPCServer(name, fails, certificate, port=port, kind=kind)
        self.addCleanup(server.kill)
        return server

    def channel(self, port: int, *options: tuple[str, Any]) -> grpc.Channel:
        channel = grpc.insecure_channel(f"127.0.0.1:{port}", [*OPTIONS, *options])
        self.addCleanup(channel.close)
        return channel

    def balanced(self, *servers: GRPCServer, listener: str = "", pool: str = "") -> tuple[RunningBalancer, int]:
        return self.web(*[server.address for server in servers], listener=listener, pool=POOL + pool)

    def stub(self, **settings: str) -> tuple[RunningBalancer, Stub]:
        running, port = self.balanced(self.grpc_server(), **settings)
        return running, Stub(self.channel(port))

    def refused(self, call: Callable[..., Any], *arguments: Any, **more: Any) -> grpc.RpcError:
        error: grpc.RpcError = self.assertRaises(grpc.RpcError, call, *arguments, **{"timeout": PATIENCE, **more})
        return error


class CallTests(GRPCTestCase):
    """What calls are made of."""

    def test_kinds(self) -> None:
        """Unary calls, and streams of the client, the server, and both."""
        running, stub = self.stub()
        self.assertEqual(stub.unary(b"hello", timeout=PATIENCE), b"hello")
        self.assertEqual(stub.unary(b"", timeout=PATIENCE), b"")
        self.assertEqual(stub.client(iter([b"12345"] * 1000), timeout=PATIENCE), b"5000")
        call = stub.server(b"3 10", timeout=PATIENCE)
        self.assertEqual(list(call), [b"%d xxxxxxxxxx" % number for number in range(3)])
        self.assertIn(("after-all", "three"), call.trailing_metadata())
        self.assertEqual(list(stub.both(iter([b"a", b"b"]), timeout=PATIENCE)), [b"a", b"b"])
        records = running.records(5)
        self.assertEqual([each["grpc_status"] for each in records], [0] * 5)
        self.assertEqual({each["server_protocol"] for each in records}, {"h2"})

    def test_turns(self) -> None:
        """In a stream of both each answer comes before the next question: nothing is held back."""
        _, stub = self.stub()
        answered = threading.Semaphore(1)

        def questions() -> Iterator[bytes]:
            for number in range(200):
                assert answered.acquire(timeout=PATIENCE)
                yield b"%d" % number

        for number, answer in enumerate(stub.both(questions(), timeout=PATIENCE)):
            self.assertEqual(answer, b"%d" % number)
            answered.release()

    def test_one_after_the_other(self) -> None:
        """However many calls and messages a client makes on its connection, its windows and PINGs are not held against it."""
        _, stub = self.stub()
        data = b"x" * 1000
        for _ in range(2000):
            stub.unary(data, timeout=PATIENCE)
        self.assertEqual(len(list(stub.server(b"20000 100", timeout=PATIENCE))), 20000)
        self.assertEqual(stub.client(iter([data] * 20000), timeout=PATIENCE), b"20000000")
        answered = threading.Semaphore(1)

        def questions() -> Iterator[bytes]:
            for _ in range(2000):
                assert answered.acquire(timeout=PATIENCE)
                yield data

        for _ in stub.both(questions(), timeout=4 * PATIENCE):
            answered.release()

    def test_metadata(self) -> None:
        """Metadata of all sorts, text and binary, before and behind the answer."""
        _, stub = self.stub()
        sent = [("my-text", "a b, c"), ("my-data-bin", b"\0\xff" * 20)]
        answer, call = stub.metadata.with_call(b"", metadata=sent, timeout=PATIENCE)
        self.assertEqual(answer, b"ok")
        initial, trailing = dict(call.initial_metadata()), dict(call.trailing_metadata())
        self.assertEqual((initial["initial"], initial["initial-bin"]), ("a b, c", b"\0\xff" * 20))
        self.assertEqual((trailing["trailing"], trailing["trailing-bin"]), ("yes", b"\0\1\2\xff"))

    def test_failures(self) -> None:
        """Every status of a server, with its message and metadata, and methods that are not there."""
        running, stub = self.stub()
        codes = [code for code in grpc.StatusCode if code is not grpc.StatusCode.OK]
        for code in codes:
            error = self.refused(stub.fail, f"{code.name} 100 % ümlaut".encode())
            self.assertEqual((error.code(), error.details()), (code, "100 % ümlaut"))
            self.assertIn(("why", "because"), error.trailing_metadata())
        self.assertIs(self.refused(stub.missing, b"").code(), grpc.StatusCode.UNIMPLEMENTED)
        statuses = [each["grpc_status"] for each in running.records(len(codes) + 1)]
        self.assertEqual(statuses, [code.value[0] for code in codes] + [12])

    def test_large(self) -> None:
        """Messages of many megabytes, both ways."""
        _, stub = self.stub()
        data = bytes(range(256)) * 40_000
        self.assertEqual(stub.unary(data, timeout=PATIENCE), data)
        self.assertEqual(sum(map(len, stub.server(b"20 1000000", timeout=PATIENCE))), 20_000_000 + 10 * 2 + 10 * 3)

    def test_cancelled(self) -> None:
        """A call that its client cancels ends at its server."""
        running, stub = self.stub()
        call = stub.hang.future(b"", timeout=PATIENCE)
        self.assertEqual(stub.unary(b"a", timeout=PATIENCE), b"a")
        call.cancel()
        self.assertEqual(stub.hung(b"", timeout=PATIENCE), b"cancelled")
        self.assertEqual(running.records(3)[1]["grpc_status"], 1)

    def test_cancelled_by_the_server(self) -> None:
        """So does one that its server cancels at its client."""
        _, stub = self.stub()
        self.assertIs(self.refused(stub.cancel, b"").code(), grpc.StatusCode.CANCELLED)

    def test_tls(self) -> None:
        """TLS on both sides: HTTP/2 is what is agreed on."""
        authority, folder = Authority("Test CA"), self.folder()
        pem, ca = folder / "server.pem", folder / "ca.pem"
        authority.issue("localhost", "127.0.0.1").write(pem)
        ca.write_bytes(authority.issued.cert)
        server = self.grpc_server(certificate=str(pem))
        listener = f"tls: {{certificates: [{{cert: {pem}}}]}}\npool: web"
        running, port = self.web(server.address, listener=listener, pool=f"tls: {{ca: {ca}}}")
        channel = grpc.secure_channel(f"127.0.0.1:{port}", grpc.ssl_channel_credentials(ca.read_bytes()), OPTIONS)
        self.addCleanup(channel.close)
        data = b"x" * 3_000_000
        self.assertEqual(Stub(channel).unary(data, timeout=PATIENCE), data)
        [record] = running.records(1)
        self.assertEqual((record["tls"]["alpn"], record["server_protocol"], record["grpc_status"]), ("h2", "h2", 0))

    def test_reload(self) -> None:
        """A stream outlives reloads and the removal of its route; new calls go by the new configuration."""
        running, port = self.balanced(self.grpc_server())
        stub = Stub(self.channel(port))
        asked: queue.Queue[bytes | None] = queue.Queue()
        call = stub.both(iter(asked.get, None), timeout=PATIENCE)
        asked.put(b"before")
        self.assertEqual(next(call), b"before")
        text = running.file.read_text()
        running.reload(text.replace("    pool: web\n", "    routes: [{respond: {status: 403}}]\n"))

        def denied() -> bool:
            try:
                stub.unary(b"a", timeout=PATIENCE)
            except grpc.RpcError as error:
                return error.code() is grpc.StatusCode.PERMISSION_DENIED
            return False

        wait_until(denied)
        asked.put(b"after")
        self.assertEqual(next(call), b"after")
        asked.put(None)
        self.assertEqual(list(call), [])

    def test_many(self) -> None:
        """A thousand streams at once over a few channels, and each has its own answers."""
        running, port = self.balanced(self.grpc_server("a"), self.grpc_server("b"))
        stubs = [Stub(self.channel(port, ("grpc.use_local_subchannel_pool", 1))) for _ in range(10)]
        calls = [stubs[number % 10].unary.future(b"%d" % number, timeout=60) for number in range(1000)]
        self.assertEqual([call.result() for call in calls], [b"%d" % number for number in range(1000)])
        records = running.records(1000)
        self.assertEqual({each["grpc_status"] for each in records}, {0})
        self.assertEqual(len({each["server"] for each in records}), 2)

    def test_many_open(self) -> None:
        """A thousand streams of both are open at the same time, and each has its own answers."""
        running, port = self.balanced(self.grpc_server("a"), self.grpc_server("b"))

        async def talk(channel: grpc.aio.Channel, name: bytes, all_open: asyncio.Barrier) -> list[bytes]:
            call = channel.stream_stream("/test.Echo/Both")(timeout=90)
            await call.write(name)
            answers = [await call.read()]
            await all_open.wait()
            await call.write(name * 2)
            answers.append(await call.read())
            await call.done_writing()
            assert await call.read() is grpc.aio.EOF
            return answers

        async def talks() -> list[list[bytes]]:
            options = [("grpc.use_local_subchannel_pool", 1)]
            channels = [grpc.aio.insecure_channel(f"127.0.0.1:{port}", options) for _ in range(10)]
            all_open = asyncio.Barrier(1000)
            found = await asyncio.gather(
                *(talk(channels[number % 10], b"%d;" % number, all_open) for number in range(1000))
            )
            for channel in channels:
                await channel.close()
            return found

        self.assertEqual(asyncio.run(talks()), [[b"%d;" % number, b"%d;" % number * 2] for number in range(1000)])
        self.assertEqual({each["grpc_status"] for each in running.records(1000)}, {0})


class TroubleTests(GRPCTestCase):
    """What the balancer itself has to say, it says as gRPC."""

    def test_no_route(self) -> None:
        """What no route takes is UNIMPLEMENTED."""
        running, stub = self.stub(listener="routes: [{match: {path: /other.Service/**}, pool: web}]")
        error = self.refused(stub.unary, b"")
        self.assertIs(error.code(), grpc.StatusCode.UNIMPLEMENTED)
        self.assertEqual(error.details(), "No route matches this request. (destination_not_found)")
        self.assertIn(
            "destination_not_found", dict(error.initial_metadata() or error.trailing_metadata())["proxy-status"]
        )
        record = running.records(1)[0]
        self.assertEqual(
            (record["status"], record["grpc_status"], record["reason"]), (200, 12, "destination_not_found")
        )

    def test_no_server(self) -> None:
        """Where nobody listens it is UNAVAILABLE."""
        running, port = self.web(f"127.0.0.1:{free_port()}", pool=POOL)
        error = self.refused(Stub(self.channel(port)).unary, b"")
        self.assertIs(error.code(), grpc.StatusCode.UNAVAILABLE)
        self.assertEqual(running.records(1)[0]["grpc_status"], 14)

    def test_answered_here(self) -> None:
        """A fixed answer for everybody is a status to gRPC."""
        _, stub = self.stub(listener="routes: [{respond: {status: 403, body: no}}]")
        self.assertIs(self.refused(stub.unary, b"").code(), grpc.StatusCode.PERMISSION_DENIED)

    def test_killed(self) -> None:
        """A server that dies in the middle of a stream leaves UNAVAILABLE, what came before is kept, the other one takes over."""
        servers = [self.grpc_server(name) for name in "ab"]
        _, port = self.balanced(*servers)
        stub = Stub(self.channel(port))
        call = stub.both(iter([b"one", b"die"]), timeout=PATIENCE)
        self.assertEqual(next(call), b"one")
        self.assertIs(self.assertRaises(grpc.RpcError, next, call).code(), grpc.StatusCode.UNAVAILABLE)
        for _ in range(20):
            self.assertEqual(stub.unary(b"still here", timeout=PATIENCE), b"still here")

    def test_deadline(self) -> None:
        """What takes longer than the client wants to wait ends at both ends, without a word of the client."""
        running, port = self.balanced(self.grpc_server())
        stub = Stub(self.channel(port))
        # The library's own clock is kept out of it: only the header says how long.
        error = self.refused(stub.hang, b"", metadata=[("grpc-timeout", "300m")], timeout=None)
        self.assertIs(error.code(), grpc.StatusCode.DEADLINE_EXCEEDED)
        self.assertEqual(stub.hung(b"", timeout=PATIENCE), b"cancelled")
        self.assertEqual(running.records(2)[0]["grpc_status"], 4)  # the server has a clock, too: whoever was first

    def test_retries(self) -> None:
        """A status that the pool retries on is not seen, as long as another server does better."""
        bad, good = self.grpc_server("bad", "UNAVAILABLE"), self.grpc_server("good")
        running, port = self.balanced(
            bad, good, pool="algorithm: round_robin\npassive: false\nretry: {on: [unavailable]}\n"
        )
        stub = Stub(self.channel(port))
        for _ in range(6):
            self.assertEqual(stub.name(b"", timeout=PATIENCE), b"good")
        self.assertLessEqual({each["attempts"] for each in running.records(6)}, {1, 2})
        self.assertIn(2, [each["attempts"] for each in running.records(6)])

    def test_ejected(self) -> None:
        """Without retries it is ejected for being UNAVAILABLE."""
        bad, good = self.grpc_server("bad", "UNAVAILABLE"), self.grpc_server("good")
        _, port = self.balanced(
            bad, good, pool="algorithm: round_robin\npassive: {failures: 3, eject: 60s}\nretry: false\n"
        )
        stub = Stub(self.channel(port))
        answers: list[str] = []

        def ask() -> bool:
            try:
                answers.append(stub.name(b"", timeout=PATIENCE).decode())
            except grpc.RpcError as error:
                answers.append(error.code().name)
            return answers[-6:] == ["good"] * 6

        wait_until(ask)
        self.assertEqual(answers.count("UNAVAILABLE"), 3)


class RoutingTests(GRPCTestCase):
    """Services and methods lead to pools, and probes ask gRPC's own health service."""

    def test_matcher(self) -> None:
        """A route for one method, and one for the rest of the service."""
        routes = (
            "routes:\n- {match: {grpc: {service: test.Echo, method: Fail}}, respond: {status: 503}}\n"
            "- {match: {grpc: test.Echo}, pool: web}"
        )
        _, stub = self.stub(listener=routes)
        self.assertEqual(stub.unary(b"a", timeout=PATIENCE), b"a")
        self.assertIs(self.refused(stub.fail, b"ABORTED").code(), grpc.StatusCode.UNAVAILABLE)

    def test_probe(self) -> None:
        """A server whose service is not serving takes nothing."""
        for service, code in (("", None), ("down", grpc.StatusCode.UNAVAILABLE), ("none", grpc.StatusCode.UNAVAILABLE)):
            health = f"panic: false\nhealth: {{probe: {{grpc: {{service: '{service}'}}}}, interval: 100ms, rise: 1, fall: 1}}\n"
            _, stub = self.stub(pool=health)

            def asked(stub: Stub = stub, code: Any = code) -> bool:
                try:
                    stub.unary(b"a", timeout=PATIENCE)
                except grpc.RpcError as error:
                    return error.code() is code
                return code is None

            wait_until(asked)
