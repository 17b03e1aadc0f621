"""The balancer and its peers, each set up for the same work: one process on one core, an access log, the same headers.

A peer is started on the loopback interface in front of one HTTP server and one TCP server, and ended again. It adds
X-Forwarded-For, X-Forwarded-Proto and a request id to each request, keeps connections to the server, and writes a
line to a log file for each request.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

__all__ = ["PEERS", "Missing", "Place", "running", "started", "wait_for"]


class Missing(Exception):  # noqa: N818
    """A program is not installed."""


@dataclass(frozen=True)
class Place:
    """Where everything is: a scratch directory and ports on 127.0.0.1."""

    directory: Path
    http: int
    tcp: int
    http_server: int
    tcp_server: int


def program(name: str) -> str:
    """Return the path of a program; raises Missing."""
    found = shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin:/sbin")
    if found is None:
        raise Missing(f"{name} is not installed")
    return found


def _balancer(place: Place) -> list[str]:
    file = place.directory / "balancer.yaml"
    file.write_text(f"""
access_log: {{format: json, path: {place.directory}/balancer.log}}
metrics: {{bind: 127.0.0.1:{free_port()}}}
listeners:
  web: {{bind: "127.0.0.1:{place.http}", protocol: http, pool: web}}
  stream: {{bind: "127.0.0.1:{place.tcp}", protocol: tcp, pool: stream}}
pools:
  web: {{servers: ["127.0.0.1:{place.http_server}"]}}
  stream: {{servers: ["127.0.0.1:{place.tcp_server}"]}}
""")
    return [str(Path(sys.executable).parent / "balancer"), "run", str(file)]


def _nginx(place: Place) -> list[str]:
    binary = program("nginx")
    modules = Path("/usr/lib/nginx/modules/ngx_stream_module.so")
    if not modules.exists():
        raise Missing("nginx's stream module (libnginx-mod-stream) is not installed")
    file = place.directory / "nginx.conf"
    file.write_text(f"""
load_module {modules};
daemon off; master_process on; worker_processes 1; user root; pid {place.directory}/nginx.pid; error_log stderr error;
events {{ worker_connections 4096; }}
http {{
  access_log {place.directory}/nginx.log combined;
  client_body_temp_path {place.directory}/body; proxy_temp_path {place.directory}/proxy;
  fastcgi_temp_path {place.directory}/f; uwsgi_temp_path {place.directory}/u; scgi_temp_path {place.directory}/s;
  keepalive_requests 100000000;
  upstream web {{ server 127.0.0.1:{place.http_server}; keepalive 128; keepalive_requests 100000000; }}
  server {{
    listen 127.0.0.1:{place.http};
    location / {{
      proxy_pass http://web; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_set_header Host $http_host;
      proxy_set_header X-Forwarded-For $remote_addr; proxy_set_header X-Forwarded-Proto $scheme;
      proxy_set_header X-Request-ID $request_id; add_header X-Request-ID $request_id;
    }}
  }}
}}
stream {{ server {{ listen 127.0.0.1:{place.tcp}; proxy_pass 127.0.0.1:{place.tcp_server}; }} }}
""")
    return [binary, "-c", str(file), "-p", str(place.directory)]


def _haproxy(place: Place) -> list[str]:
    file = place.directory / "haproxy.cfg"
    file.write_text(f"""
global
  nbthread 1
  log stdout format raw local0
defaults
  timeout connect 3s
  timeout client 75s
  timeout server 60s
frontend web
  mode http
  log global
  option httplog
  option forwardfor
  unique-id-format %{{+X}}o\\ %ci:%cp_%fi:%fp_%Ts_%rt:%pid
  unique-id-header X-Request-ID
  http-request set-header X-Forwarded-Proto http
  bind 127.0.0.1:{place.http}
  default_backend web
backend web
  mode http
  http-reuse always
  server s 127.0.0.1:{place.http_server} pool-max-conn 128
listen stream
  mode tcp
  bind 127.0.0.1:{place.tcp}
  server s 127.0.0.1:{place.tcp_server}
""")
    return [program("haproxy"), "-db", "-f", str(file)]


PEERS: dict[str, Callable[[Place], list[str]]] = {"balancer": _balancer, "nginx": _nginx, "haproxy": _haproxy}
"""How each is started: writes its configuration into the place, returns the command; raises Missing."""


@contextmanager
def running(name: str, place: Place, core: int | None) -> Iterator[int]:
    """Run the peer ``name`` on ``core``; yields its process id once both ports answer."""
    with started(PEERS[name](place), core, place.directory / f"{name}.out") as pid:
        wait_for(place.http)
        wait_for(place.tcp)
        yield pid


@contextmanager
def started(command: list[str], core: int | None, output: Path) -> Iterator[int]:
    """Run ``command`` on ``core``, its output in a file; yields its process id, and ends it afterwards."""
    if core is not None and (taskset := shutil.which("taskset")):
        command = [taskset, "-c", str(core), *command]
    with output.open("ab") as file, subprocess.Popen(command, stdout=file, stderr=file) as process:
        try:
            yield process.pid
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()


def wait_for(port: int) -> None:
    """Return when ``port`` answers; raises TimeoutError after 10 s."""
    until = time.monotonic() + 10
    while time.monotonic() < until:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise TimeoutError(f"nothing answers on port {port}")


def free_port() -> int:
    """Return a port that nobody has at present."""
    with socket.socket() as skt:
        skt.bind(("127.0.0.1", 0))
        return int(skt.getsockname()[1])
