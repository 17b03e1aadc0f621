"""A gRPC server in a process of its own, made of generic methods on bytes: what it is asked is what it does.

Run as a program it says its port on a line, and serves until it is killed.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent import futures
from pathlib import Path
from typing import Any

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

__all__ = ["LARGE", "SERVICE", "GRPCServer", "Stub"]

SERVICE = "test.Echo"
LARGE = 64 * 1024 * 1024
OPTIONS = [("grpc.max_receive_message_length", LARGE), ("grpc.max_send_message_length", LARGE)]


class Stub:
    """The methods of :data:`SERVICE` on ``channel``."""

    def __init__(self, channel: grpc.Channel, service: str = SERVICE) -> None:
        self.unary = channel.unary_unary(f"/{service}/Unary")
        self.client = channel.stream_unary(f"/{service}/Client")
        self.server = channel.unary_stream(f"/{service}/Server")
        self.both = channel.stream_stream(f"/{service}/Both")
        self.fail = channel.unary_unary(f"/{service}/Fail")
        self.metadata = channel.unary_unary(f"/{service}/Metadata")
        self.hang = channel.unary_unary(f"/{service}/Hang")
        self.hung = channel.unary_unary(f"/{service}/Hung")
        self.name = channel.unary_unary(f"/{service}/Name")
        self.wait = channel.unary_stream(f"/{service}/Wait")
        self.broken = channel.unary_stream(f"/{service}/Broken")
        self.cancel = channel.unary_unary(f"/{service}/Cancel")
        self.missing = channel.unary_unary(f"/{service}/Missing")


class GRPCServer:
    """The process."""

    def __init__(
        self, name: str = "server", fails: str = "", certificate: str = "", *, port: int = 0, kind: str = "sync"
    ) -> None:
        command = [sys.executable, "-m", "tests.live.grpc_peers", name, fails, certificate, str(port), kind]
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        self.port = int(self.process.stdout.readline())

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()


class _Service:
    """What the methods do."""

    def __init__(self, name: str, fails: str) -> None:
        self._name = name
        self._fails = grpc.StatusCode[fails] if fails else None
        self.health_servicer: Any = None
        self.cancelled = threading.Semaphore(0)

    def unary(self, data: bytes, context: Any) -> bytes:
        if self._fails is not None:
            context.abort(self._fails, f"by {self._name}")
        return data

    def name(self, _data: bytes, context: Any) -> bytes:
        self.unary(b"", context)
        return self._name.encode()

    def client(self, pieces: Iterator[bytes], _context: Any) -> bytes:
        return b"%d" % sum(map(len, pieces))

    def server(self, data: bytes, context: Any) -> Iterator[bytes]:
        count, size = map(int, data.split())
        for number in range(count):
            yield b"%d " % number + b"x" * size
        if count == 3:
            context.set_trailing_metadata([("after-all", "three")])

    def both(self, pieces: Iterator[bytes], _context: Any) -> Iterator[bytes]:
        for piece in pieces:
            if piece == b"die":
                os._exit(1)
            yield piece

    def broken(self, data: bytes, context: Any) -> Iterator[bytes]:
        yield data
        context.abort(grpc.StatusCode.DATA_LOSS, "broken off")

    def fail(self, data: bytes, context: Any) -> bytes:
        context.set_trailing_metadata([("why", "because")])
        code, _, message = data.decode().partition(" ")
        context.abort(grpc.StatusCode[code], message)
        return b""

    def cancel(self, _data: bytes, context: Any) -> bytes:
        context.cancel()
        return b""

    def metadata(self, _data: bytes, context: Any) -> bytes:
        every = [(key, value) for key, value in context.invocation_metadata() if key.startswith("my-")]
        sent = dict(every)
        context.send_initial_metadata([("initial", sent["my-text"]), ("initial-bin", sent["my-data-bin"])])
        more = [(f"back-{key}", value) for key, value in every]
        context.set_trailing_metadata([("trailing", "yes"), ("trailing-bin", b"\0\1\2\xff"), *more])
        return b"ok"

    def hang(self, _data: bytes, context: Any) -> bytes:
        self._over(context).wait(30)
        return b""

    def _over(self, context: Any) -> threading.Event:
        """Return what is set, and counted, when the call is over."""
        over = threading.Event()

        def end() -> None:
            over.set()
            self.cancelled.release()

        if not context.add_callback(end):  # it was over before it came here
            end()
        return over

    def wait(self, data: bytes, context: Any) -> Iterator[bytes]:
        over = self._over(context)  # before the client knows anything: who is cancelled now is not asked for more
        yield data
        over.wait(30)
        yield b""

    def health(self, data: bytes, _context: Any) -> bytes:
        self.health_servicer.set("", health_pb2.HealthCheckResponse.ServingStatus.Value(data.decode()))
        return b""

    def hung(self, _data: bytes, _context: Any) -> bytes:
        return b"cancelled" if self.cancelled.acquire(timeout=20) else b"never"


class _AsyncService:
    """The same on asyncio, as far as tests ask it."""

    def __init__(self) -> None:
        self.over = asyncio.Semaphore(0)

    async def unary(self, data: bytes, _context: Any) -> bytes:
        return data

    async def client(self, pieces: AsyncIterator[bytes], _context: Any) -> bytes:
        return b"%d" % sum([len(piece) async for piece in pieces])

    async def server(self, data: bytes, _context: Any) -> AsyncIterator[bytes]:
        count, size = map(int, data.split())
        for number in range(count):
            yield b"%d " % number + b"x" * size

    async def both(self, pieces: AsyncIterator[bytes], _context: Any) -> AsyncIterator[bytes]:
        async for piece in pieces:
            yield piece

    async def broken(self, data: bytes, context: Any) -> AsyncIterator[bytes]:
        yield data
        await context.abort(grpc.StatusCode.DATA_LOSS, "broken off")

    async def fail(self, data: bytes, context: Any) -> bytes:
        context.set_trailing_metadata([("why", "because")])
        code, _, message = data.decode().partition(" ")
        await context.abort(grpc.StatusCode[code], message)
        return b""

    async def metadata(self, _data: bytes, context: Any) -> bytes:
        every = [(key, value) for key, value in context.invocation_metadata() if key.startswith("my-")]
        sent = dict(every)
        await context.send_initial_metadata([("initial", sent["my-text"]), ("initial-bin", sent["my-data-bin"])])
        more = [(f"back-{key}", value) for key, value in every]
        context.set_trailing_metadata([("trailing", "yes"), ("trailing-bin", b"\0\1\2\xff"), *more])
        return b"ok"

    async def hang(self, _data: bytes, _context: Any) -> bytes:
        try:
            await asyncio.sleep(30)
        finally:
            self.over.release()
        return b""

    async def wait(self, data: bytes, context: Any) -> AsyncIterator[bytes]:
        try:
            yield data
            await asyncio.sleep(30)
        finally:
            self.over.release()

    async def hung(self, _data: bytes, _context: Any) -> bytes:
        await asyncio.wait_for(self.over.acquire(), 20)
        return b"cancelled"


def main(name: str, fails: str, certificate: str, port: str, kind: str) -> None:
    """Serve; with TLS where there is the path of a ``certificate``, with its key."""
    if kind == "aio":
        asyncio.run(_serve_async(certificate, port))
        return
    service = _Service(name, fails)
    server = grpc.server(futures.ThreadPoolExecutor(600), options=[*OPTIONS, ("grpc.so_reuseport", 0)])
    server.add_generic_rpc_handlers([_methods(service)])
    servicer = health.HealthServicer()
    servicer.set("", health_pb2.HealthCheckResponse.SERVING)
    servicer.set("down", health_pb2.HealthCheckResponse.NOT_SERVING)
    health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
    reflection.enable_server_reflection((SERVICE, health.SERVICE_NAME, reflection.SERVICE_NAME), server)
    service.health_servicer = servicer
    _open(server, certificate, port)
    server.start()
    while True:
        time.sleep(3600)


async def _serve_async(certificate: str, port: str) -> None:
    server = grpc.aio.server(options=[*OPTIONS, ("grpc.so_reuseport", 0)])
    server.add_generic_rpc_handlers([_methods(_AsyncService())])
    _open(server, certificate, port)
    await server.start()
    await server.wait_for_termination()


def _open(server: Any, certificate: str, port: str) -> None:
    address = f"127.0.0.1:{port}"
    if certificate:
        pem = Path(certificate).read_bytes()
        print(server.add_secure_port(address, grpc.ssl_server_credentials([(pem, pem)])), flush=True)
    else:
        print(server.add_insecure_port(address), flush=True)


def _methods(service: Any) -> Any:
    kinds: dict[str, Callable[..., Any]] = {
        "Unary": grpc.unary_unary_rpc_method_handler,
        "Name": grpc.unary_unary_rpc_method_handler,
        "Client": grpc.stream_unary_rpc_method_handler,
        "Server": grpc.unary_stream_rpc_method_handler,
        "Both": grpc.stream_stream_rpc_method_handler,
        "Cancel": grpc.unary_unary_rpc_method_handler,
        "Fail": grpc.unary_unary_rpc_method_handler,
        "Metadata": grpc.unary_unary_rpc_method_handler,
        "Hang": grpc.unary_unary_rpc_method_handler,
        "Wait": grpc.unary_stream_rpc_method_handler,
        "Hung": grpc.unary_unary_rpc_method_handler,
        "Broken": grpc.unary_stream_rpc_method_handler,
        "Health": grpc.unary_unary_rpc_method_handler,
    }
    methods = {
        each: kind(getattr(service, each.lower())) for each, kind in kinds.items() if hasattr(service, each.lower())
    }
    return grpc.method_handlers_generic_handler(SERVICE, methods)


if __name__ == "__main__":
    main(*sys.argv[1:])
