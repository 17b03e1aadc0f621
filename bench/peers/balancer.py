"""This balancer, on each of its reactors."""

from __future__ import annotations

import os
import signal
import subprocess
from functools import cache, partial

from bench.peers.peer import CONNECTIONS, PER_CLIENT, Peer, Place
from bench.processes import Missing, free_port, program

__all__ = ["EPOLL", "UV"]


def _configured(place: Place) -> str:
    metrics = place.file("balancer.metrics")
    if not metrics.exists():  # the same port after a reload
        metrics.write_text(str(free_port()))
    routes = "".join(f'\n      - {{match: {{path: "{prefix}**"}}, pool: web}}' for prefix in place.prefixes())
    http, tcp, udp = place.servers
    file = place.put(
        "balancer.yaml",
        f"""
access_log: {{format: json, path: {place.file("balancer.log")}}}
metrics: {{bind: 127.0.0.1:{metrics.read_text()}}}
limits: {{connections: {CONNECTIONS}, connections_per_client: {PER_CLIENT}}}
listeners:
  web:
    bind: 127.0.0.1:{place.http}
    protocol: http
    routes:
      - pool: web{routes}
  secure:
    bind: 127.0.0.1:{place.https}
    protocol: http
    tls: {{certificates: [{{cert: {place.certificate}, key: {place.key}}}]}}
    routes:
      - {{match: {{grpc: bench.Echo}}, pool: calls}}
      - {{pool: web}}
  stream: {{bind: "127.0.0.1:{place.tcp}", protocol: tcp, pool: stream}}
  datagrams: {{bind: "127.0.0.1:{place.udp}", protocol: udp, pool: datagrams}}
pools:
  web: {{servers: ["127.0.0.1:{http}"]}}
  calls: {{protocol: h2, servers: ["127.0.0.1:{place.calls}"]}}
  stream: {{servers: ["127.0.0.1:{tcp}"]}}
  datagrams: {{servers: ["127.0.0.1:{udp}"]}}
""",
    )
    return str(file)


@cache
def _has_reactors() -> bool:
    help_text = subprocess.run(
        [program("balancer"), "run", "--help"], capture_output=True, text=True, check=False
    ).stdout
    return "--reactor" in help_text


def _command(reactor: str, place: Place) -> list[str]:
    if _has_reactors():
        return [program("balancer"), "run", "--quiet", "--reactor", reactor, _configured(place)]
    if reactor != "epoll":
        raise Missing("this balancer has one reactor, epoll, and no --reactor to choose another")
    return [program("balancer"), "run", "--quiet", _configured(place)]


def _check(place: Place) -> list[str]:
    return [program("balancer"), "check", str(place.file("balancer.yaml"))]


def _reload(pid: int, place: Place) -> None:
    _configured(place)
    os.kill(pid, signal.SIGHUP)


UV = Peer("balancer uv", partial(_command, "uv"), _check, _reload, "balancer.log")
EPOLL = Peer("balancer epoll", partial(_command, "epoll"), _check, _reload, "balancer.log")
