"""The servers behind the peers, and those who load them: nginx and iperf3, wrk and iperf3."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.peers import program, started, wait_for

__all__ = ["get_requests", "servers", "stream"]

_UNITS = {"us": 1e-3, "ms": 1.0, "s": 1e3}


@contextmanager
def servers(directory: Path, http: int, tcp: int, core: int | None) -> Iterator[None]:
    """Run an HTTP server that answers with 100 bytes, and an iperf3 server."""
    file = directory / "server.conf"
    file.write_text(f"""
daemon off; worker_processes 1; user root; pid {directory}/server.pid; error_log stderr error;
events {{ worker_connections 4096; }}
http {{
  access_log off; keepalive_requests 100000000;
  client_body_temp_path {directory}/sb; proxy_temp_path {directory}/sp;
  fastcgi_temp_path {directory}/sf; uwsgi_temp_path {directory}/su; scgi_temp_path {directory}/ss;
  server {{ listen 127.0.0.1:{http}; location / {{ return 200 "{"x" * 100}"; }} }}
}}
""")
    web = [program("nginx"), "-c", str(file), "-p", str(directory)]
    with started(web, core, directory / "server.out"):
        wait_for(http)
        iperf = [program("iperf3"), "-s", "-B", "127.0.0.1", "-p", str(tcp)]
        with started(iperf, core, directory / "iperf.out"):
            wait_for(tcp)
            yield


def get_requests(port: int, seconds: float, connections: int, core: int | None) -> dict[str, float]:
    """GET over kept connections for a while; returns requests, their rate, latencies in ms, and how many failed."""
    command = [program("wrk"), "-t1", f"-c{connections}", f"-d{seconds:g}s", "--latency", f"http://127.0.0.1:{port}/"]
    output = _run(command, core)
    found = re.search(r"(\d+) requests in", output)
    if found is None:
        raise RuntimeError(output)
    errors = re.search(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", output)
    refused = re.search(r"Non-2xx or 3xx responses: (\d+)", output)
    return {
        "requests": int(found[1]),
        "rate": float(re.search(r"Requests/sec:\s+([\d.]+)", output)[1]),  # type: ignore[index]
        "failed": (sum(map(int, errors.groups())) if errors else 0) + (int(refused[1]) if refused else 0),
        **{f"p{mark}": _latency(output, mark) for mark in ("50", "99")},
    }


def _latency(output: str, mark: str) -> float:
    found = re.search(rf"^\s+{mark}%\s+([\d.]+)(us|ms|s)$", output, re.MULTILINE)
    return float(found[1]) * _UNITS[found[2]] if found else float("nan")


def stream(port: int, seconds: float, core: int | None, download: bool) -> float:
    """Send, or fetch, as much as goes through one TCP connection; returns bytes."""
    command = [program("iperf3"), "-c", "127.0.0.1", "-p", str(port), "-t", f"{seconds:g}", "-J"]
    report = json.loads(_run([*command, "-R"] if download else command, core))
    if "error" in report:
        raise RuntimeError(report["error"])
    return float(report["end"]["sum_received"]["bytes"])


def _run(command: list[str], core: int | None) -> str:
    if core is not None:
        command = [program("taskset"), "-c", str(core), *command]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False).stdout
