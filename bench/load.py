"""The servers behind the peers, and those who load them: small C programs made on the spot, and iperf3 for streams.

The programs are our own because none that is packaged does all of this: a fixed rate whose latencies count from when a
request was due, 100,000 different paths, connections that are held, single connections and datagrams in large numbers.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.peers import CALL
from bench.processes import free_port, pinned, program, started, wait_for

__all__ = ["Behind", "Load", "behind", "compiled", "identified"]

_SOURCES = Path(__file__).resolve().parent / "generator"
_REQUESTS = re.compile(r"requests: .* (\d+) succeeded, (\d+) failed, (\d+) errored, (\d+) timeout")
_CONNECTIONS = re.compile(r"(\d+) connections in \d+ real seconds")
_PROGRAMS = ("serve", "load", "flows")


def compiled(directory: Path) -> Path:
    """Compile the programs into ``directory``; returns it.

    Raises:
        Missing: without gcc.
        RuntimeError: with what gcc said.
    """
    for name in _PROGRAMS:
        command = [program("gcc"), "-O2", "-Wall", "-o", str(directory / name), str(_SOURCES / f"{name}.c")]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"{' '.join(command)}\n{done.stderr}")
    return directory


def identified(directory: Path) -> Path:
    """Put a certificate of bench.example (ECDSA, P-256) and its key into ``directory``, as :class:`Place` wants them; returns it."""
    certificate, key = directory / "cert.pem", directory / "key.pem"
    kind = ("ec", "-pkeyopt", "ec_paramgen_curve:P-256")
    command = [program("openssl"), "req", "-x509", "-nodes", "-days", "30", "-newkey", *kind]
    command += ["-subj", "/CN=bench.example", "-addext", "subjectAltName=DNS:bench.example,IP:127.0.0.1"]
    subprocess.run([*command, "-keyout", str(key), "-out", str(certificate)], check=True, capture_output=True)
    key.chmod(0o600)
    both = directory / "both.pem"
    both.touch(0o600)
    both.write_bytes(certificate.read_bytes() + key.read_bytes())
    return directory


@dataclass(frozen=True)
class Behind:
    """The ports of the servers: HTTP, TCP echo, UDP echo, iperf3, and an echo of gRPC, 0 where its program is missing."""

    http: int
    tcp: int
    udp: int
    iperf: int
    calls: int = 0


@contextmanager
def behind(directory: Path, core: int | None, calls: bool = False) -> Iterator[Behind]:
    """Run the servers on ``core``; with ``calls`` the one of gRPC as well, which has each message back from it.

    Raises:
        Missing: that one's program is not installed.
    """
    ports = Behind(free_port(), free_port(), free_port(), free_port(), free_port() if calls else 0)
    serve = [str(directory / "serve"), str(ports.http), str(ports.tcp), str(ports.udp)]
    iperf = [program("iperf3"), "-s", "-B", "127.0.0.1", "-p", str(ports.iperf)]
    with started(serve, core, directory / "serve.out") as servers:
        wait_for(servers, [ports.http, ports.tcp], directory / "serve.out")
        with started(iperf, core, directory / "iperf.out") as streams:
            wait_for(streams, [ports.iperf], directory / "iperf.out")
            if not calls:
                yield ports
                return
            echo = [program("nghttpd"), "--no-tls", "--address=127.0.0.1", "--echo-upload", "--trailer=grpc-status: 0"]
            echo += ["--max-concurrent-streams=1000", str(ports.calls)]
            with started(echo, core, directory / "echo.out") as echoing:
                wait_for(echoing, [ports.calls], directory / "echo.out")
                yield ports


@dataclass(frozen=True)
class Load:
    """Where the programs are, and the core they run on."""

    directory: Path
    core: int | None

    def http(
        self,
        port: int,
        seconds: float,
        connections: int,
        *,
        rate: float = 0,
        path: str = "/",
        paths: int = 0,
        body: int = 0,
        close: bool = False,
    ) -> dict[str, float]:
        """Ask for a while; returns requests, failed, seconds, received and sent bytes, p50, p99, p99.9, max in ms.

        ``rate`` per second, 0 as fast as answers come; ``paths`` different paths instead of ``path``; ``body`` bytes posted;
        ``close``: a new connection each time.
        """
        where = str(paths) if paths else path
        return self._run("load", "http", port, seconds, connections, rate, where, body, int(close), patience=seconds)

    def calls(self, port: int, seconds: float, connections: int, streams: int, size: int) -> dict[str, float]:
        """Make unary calls of gRPC over TLS for a while, each with a message of ``size`` bytes; see :meth:`https`."""
        message = self.directory / f"message-{size}"
        message.write_bytes(b"\0" + size.to_bytes(4, "big") + bytes(size))
        fields = ["-H", "content-type: application/grpc", "-H", "te: trailers", "-d", str(message)]
        return self.https(port, seconds, connections, streams, path=CALL, more=fields)

    def https(
        self, port: int, seconds: float, connections: int, streams: int = 0, path: str = "/", more: Sequence[str] = ()
    ) -> dict[str, float]:
        """Ask over TLS for a while, in HTTP/2 with so many ``streams`` on each connection, in HTTP/1.1 with none.

        Returns requests, failed, seconds.
        """
        kind = ["-m", str(streams)] if streams else ["--h1"]
        command = [program("h2load"), *kind, "-c", str(connections), "-D", f"{seconds * 1000:.0f}ms"]
        said = _done(pinned([*command, *more, f"https://127.0.0.1:{port}{path}"], self.core), seconds).stdout
        found = _REQUESTS.search(said)
        if found is None:
            raise RuntimeError(f"h2load said: {said[-300:]}")
        succeeded, *failed = map(float, found.groups())
        return {"requests": succeeded, "failed": sum(failed), "seconds": seconds}

    def handshakes(self, port: int, seconds: float, resumed: bool) -> dict[str, float]:
        """Connect by TLS, ask once, close, one after the other; returns connections, failed, seconds."""
        whole = max(1, round(seconds))
        command = [program("openssl"), "s_time", "-connect", f"127.0.0.1:{port}", "-www", "/", "-time", str(whole)]
        done = _done(pinned([*command, "-reuse" if resumed else "-new"], self.core), whole)
        found = _CONNECTIONS.search(done.stdout)
        if done.returncode or found is None:
            raise RuntimeError(f"openssl s_time said: {(done.stdout + done.stderr)[-300:]}")
        return {"connections": float(found[1]), "failed": 0, "seconds": whole}

    def connections(self, port: int, seconds: float, at_once: int) -> dict[str, float]:
        """Connect, have a byte echoed, close, again and again; returns connections, failed, seconds, mean in ms."""
        return self._run("flows", "tcp", port, seconds, at_once, patience=seconds)

    def datagrams(self, port: int, seconds: float, flows: int, window: int, size: int) -> dict[str, float]:
        """Have packets echoed, ``window`` of each flow on their way; returns packets, failed, seconds, mean in ms."""
        return self._run("flows", "udp", port, seconds, flows, window, size, patience=seconds)

    @contextmanager
    def held(self, port: int, connections: int, failed: list[float]) -> Iterator[None]:
        """Keep so many connections open, each having asked once; notes in ``failed`` how many were closed meanwhile."""
        command = pinned([str(self.directory / "load"), "hold", str(port), str(connections)], self.core)
        with subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        ) as holding:
            assert holding.stdin is not None
            assert holding.stdout is not None
            assert holding.stderr is not None
            if holding.stdout.readline() != b"ready\n":
                raise RuntimeError(holding.stderr.read().decode().strip() or "connections could not be held")
            try:
                yield
            finally:
                holding.stdin.close()
                failed.append(json.loads(holding.stdout.read())["failed"])

    def stream(self, port: int, seconds: float, download: bool) -> float:
        """Send, or fetch, as much as goes through one TCP connection; returns bytes."""
        command = [program("iperf3"), "-c", "127.0.0.1", "-p", str(port), "-t", f"{seconds:g}", "-J"]
        done = _done(pinned([*command, "-R"] if download else command, self.core), seconds)
        report = json.loads(done.stdout)
        if "error" in report:
            raise RuntimeError(f"iperf3: {report['error']}")
        return float(report["end"]["sum_received"]["bytes"])

    def _run(self, name: str, *arguments: object, patience: float) -> dict[str, Any]:
        done = _done(pinned([str(self.directory / name), *map(str, arguments)], self.core), patience)
        if done.returncode:
            raise RuntimeError(f"{name} {' '.join(map(str, arguments))}: {done.stderr.strip()[-500:]}")
        found: dict[str, Any] = json.loads(done.stdout)
        if found["failed"] and done.stderr:
            found["why"] = done.stderr[:300]
        return found


def _done(command: list[str], seconds: float) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, capture_output=True, text=True, timeout=seconds + 60, check=False, env={**os.environ, "LC_ALL": "C"}
    )
