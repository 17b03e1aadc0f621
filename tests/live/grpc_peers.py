"""A gRPC server in a process of its own, made of generic methods on bytes: what it is asked is what it does.

Run as a program it says its port on a line, and serves until it is killed.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent import futures
from pathlib import Path
from typing import Any

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

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
        self.cancel = channel.unary_unary(f"/{service}/Cancel")
        self.missing = channel.unary_unary(f"/{service}/Missing")


class GRPCServer:
    """The process."""

    def __init__(self, name: str = "server", fails: str = "", certificate: str = "") -> None:
        command = [sys.executable, "-m", "tests.live.grpc_peers", name, fails, certificate]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
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
        self.hanging = 0
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

    def fail(self, data: bytes, context: Any) -> bytes:
        context.set_trailing_metadata([("why", "because")])
        code, _, message = data.decode().partition(" ")
        context.abort(grpc.StatusCode[code], message)
        return b""

    def cancel(self, _data: bytes, context: Any) -> bytes:
        context.cancel()
        return b""

    def metadata(self, _data: bytes, context: Any) -> bytes:
        sent = {key: value for key, value in context.invocation_metadata() if key.startswith("my-")}
        context.send_initial_metadata([("initial", sent["my-text"]), ("initial-bin", sent["my-data-bin"])])
        context.set_trailing_metadata([("trailing", "yes"), ("trailing-bin", b"\0\1\2\xff")])
        return b"ok"

    def hang(self, _data: bytes, context: Any) -> bytes:
        over = threading.Event()
        context.add_callback(over.set)
        over.wait(30)
        self.cancelled.release()
        return b""

    def wait(self, data: bytes, context: Any) -> Iterator[bytes]:
        yield data
        yield self.hang(data, context)

    def hung(self, _data: bytes, _context: Any) -> bytes:
        return b"cancelled" if self.cancelled.acquire(timeout=20) else b"never"


def main(name: str, fails: str, certificate: str) -> None:
    """Serve; with TLS where there is the path of a ``certificate``, with its key."""
    service = _Service(name, fails)
    server = grpc.server(futures.ThreadPoolExecutor(600), options=[*OPTIONS, ("grpc.so_reuseport", 0)])
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
    }
    methods = {each: kind(getattr(service, each.lower())) for each, kind in kinds.items()}
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(SERVICE, methods)])
    servicer = health.HealthServicer()
    servicer.set("", health_pb2.HealthCheckResponse.SERVING)
    servicer.set("down", health_pb2.HealthCheckResponse.NOT_SERVING)
    health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
    if certificate:
        pem = Path(certificate).read_bytes()
        port = server.add_secure_port("127.0.0.1:0", grpc.ssl_server_credentials([(pem, pem)]))
    else:
        port = server.add_insecure_port("127.0.0.1:0")
    print(port, flush=True)
    server.start()
    while True:
        time.sleep(3600)


if __name__ == "__main__":
    main(*sys.argv[1:])
