"""nginx: one worker, locations for routes, its stream module for TCP and UDP."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from bench.peers.peer import CONNECTIONS, PER_CLIENT, Peer, Place
from bench.processes import Missing, program

__all__ = ["NGINX"]

_STREAM = Path("/usr/lib/nginx/modules/ngx_stream_module.so")


def _configured(place: Place) -> str:
    here = place.directory
    http, tcp, udp = place.servers
    locations = "\n".join(f"    location {prefix} {{ proxy_pass http://web; }}" for prefix in place.prefixes())
    file = place.put(
        "nginx.conf",
        f"""
load_module {_STREAM};
daemon off; master_process on; worker_processes 1; user root; pid {here}/nginx.pid; error_log stderr error;
worker_shutdown_timeout 30s;
events {{ worker_connections {CONNECTIONS}; }}
http {{
  access_log {here}/nginx.log combined;
  client_body_temp_path {here}/body; proxy_temp_path {here}/proxy;
  fastcgi_temp_path {here}/f; uwsgi_temp_path {here}/u; scgi_temp_path {here}/s;
  keepalive_requests 100000000; client_max_body_size 0;
  proxy_request_buffering off; proxy_max_temp_file_size 0;
  limit_conn_zone $binary_remote_addr zone=clients:1m; limit_conn clients {PER_CLIENT};
  upstream calls {{ server 127.0.0.1:{place.calls}; keepalive 128; keepalive_requests 100000000; }}
  grpc_set_header X-Forwarded-For $remote_addr; grpc_set_header X-Forwarded-Proto $scheme;
  grpc_set_header X-Forwarded-Host $http_host; grpc_set_header X-Forwarded-Port $server_port;
  grpc_set_header X-Request-Id $request_id; grpc_set_header Via "2.0 nginx";
  upstream web {{ server 127.0.0.1:{http}; keepalive 128; keepalive_requests 100000000; }}
  proxy_http_version 1.1; proxy_set_header Connection ""; proxy_set_header Host $http_host;
  proxy_set_header X-Forwarded-For $remote_addr; proxy_set_header X-Forwarded-Proto $scheme;
  proxy_set_header X-Forwarded-Host $http_host; proxy_set_header X-Forwarded-Port $server_port;
  proxy_set_header X-Request-Id $request_id; add_header X-Request-Id $request_id;
  proxy_set_header Via "1.1 nginx"; add_header Via "1.1 nginx";
  server {{
    listen 127.0.0.1:{place.http} backlog=4096;
    location / {{ proxy_pass http://web; }}
{locations}
  }}
  server {{
    listen 127.0.0.1:{place.https} ssl http2 backlog=4096;
    ssl_protocols TLSv1.2 TLSv1.3; ssl_certificate {place.certificate}; ssl_certificate_key {place.key};
    location / {{ proxy_pass http://web; }}
    location /bench.Echo/ {{ grpc_pass grpc://calls; }}
  }}
}}
stream {{
  log_format sessions '$remote_addr [$time_local] $protocol $status $bytes_sent $bytes_received $session_time $upstream_addr';
  access_log {here}/nginx.log sessions;
  limit_conn_zone $binary_remote_addr zone=sessions:1m; limit_conn sessions {PER_CLIENT};
  proxy_timeout 30s;
  server {{ listen 127.0.0.1:{place.tcp} backlog=4096; proxy_pass 127.0.0.1:{tcp}; }}
  server {{ listen 127.0.0.1:{place.udp} udp; proxy_pass 127.0.0.1:{udp}; }}
}}
""",
    )
    return str(file)


def _command(place: Place) -> list[str]:
    binary = program("nginx")
    if not _STREAM.exists():
        raise Missing("nginx's stream module (libnginx-mod-stream) is not installed")
    return [binary, "-c", _configured(place), "-p", str(place.directory)]


def _check(place: Place) -> list[str]:
    return [program("nginx"), "-t", "-q", "-c", str(place.file("nginx.conf")), "-p", str(place.directory)]


def _reload(pid: int, place: Place) -> None:
    _configured(place)
    os.kill(pid, signal.SIGHUP)


NGINX = Peer("nginx", _command, _check, _reload, "nginx.log")
