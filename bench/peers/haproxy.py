"""HAProxy: one thread, a map of path prefixes for routes; it has no UDP."""

from __future__ import annotations

import os
import signal

from bench.peers.peer import CONNECTIONS, PER_CLIENT, Peer, Place
from bench.processes import program

__all__ = ["HAPROXY"]


def _configured(place: Place) -> str:
    http, tcp, _ = place.servers
    routes = place.put("haproxy.map", "".join(f"{prefix} web\n" for prefix in place.prefixes()))
    file = place.put(
        "haproxy.cfg",
        f"""
global
  nbthread 1
  no strict-limits
  maxconn {CONNECTIONS}
  log stdout format raw local0
  stats socket {place.file("haproxy.sock")} mode 600 level admin expose-fd listeners
defaults
  log global
  maxconn {CONNECTIONS}
  timeout connect 3s
  timeout client 75s
  timeout server 60s
  timeout http-keep-alive 75s
frontend web
  mode http
  option httplog
  option forwardfor
  bind 127.0.0.1:{place.http} backlog 4096
  bind 127.0.0.1:{place.https} backlog 4096 ssl crt {place.both} alpn h2,http/1.1
  stick-table type ip size 100k expire 1m store conn_cur
  tcp-request connection track-sc0 src
  tcp-request connection reject if {{ sc0_conn_cur gt {PER_CLIENT} }}
  unique-id-format %[uuid()]
  unique-id-header X-Request-Id
  http-request set-header X-Forwarded-Proto %[ssl_fc,iif(https,http)]
  http-request set-header X-Forwarded-Host %[req.hdr(host)]
  http-request set-header X-Forwarded-Port %[dst_port]
  http-request add-header Via "1.1 haproxy"
  http-response add-header Via "1.1 haproxy"
  http-response set-header X-Request-Id %[unique-id]
  use_backend calls if {{ path_beg /bench.Echo/ }}
  use_backend %[path,map_beg({routes},all)]
backend web
  mode http
  http-reuse always
  server s 127.0.0.1:{http} pool-max-conn 128
backend calls
  mode http
  http-reuse always
  server s 127.0.0.1:{place.calls} proto h2
backend all
  mode http
  http-reuse always
  server s 127.0.0.1:{http} pool-max-conn 128
listen stream
  mode tcp
  option tcplog
  stick-table type ip size 100k expire 1m store conn_cur
  tcp-request connection track-sc0 src
  tcp-request connection reject if {{ sc0_conn_cur gt {PER_CLIENT} }}
  bind 127.0.0.1:{place.tcp} backlog 4096
  server s 127.0.0.1:{tcp}
""",
    )
    return str(file)


def _command(place: Place) -> list[str]:
    return [program("haproxy"), "-W", "-db", "-f", _configured(place)]


def _check(place: Place) -> list[str]:
    return [program("haproxy"), "-c", "-q", "-f", str(place.file("haproxy.cfg"))]


def _reload(pid: int, place: Place) -> None:
    _configured(place)
    os.kill(pid, signal.SIGUSR2)


HAPROXY = Peer("haproxy", _command, _check, _reload, "haproxy.out", frozenset({"http", "https", "grpc", "tcp"}))
