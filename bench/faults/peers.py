"""The peers, told the same policy, each in its own words.

Power of two choices; connecting may take 500 ms, an answer a second; one more attempt on another server where connecting failed, the
connection was reset, no answer came in time, or it was 503, of POST only where connecting failed; no more of them than a fifth of the
requests (HAProxy and nginx have no such limit); five failures in a row eject a server for two seconds (nginx: five at all); /health asked
each second, in vain or not twice (nginx does not ask).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench.processes import Missing, program

__all__ = ["PEERS"]


def _balancer(reactor: str, directory: Path, port: int, servers: Sequence[int], probed: bool) -> list[str]:
    named = "\n".join(f"      - {{address: 127.0.0.1:{each}, name: s{at}}}" for at, each in enumerate(servers))
    health = "health: {probe: {http: /health}, interval: 1s, timeout: 500ms, rise: 2, fall: 2}" if probed else ""
    file = directory / "balancer.yaml"
    file.write_text(f"""
access_log: {{format: json, path: {directory}/balancer.log}}
admin: {{bind: "unix:{directory}/admin.sock"}}
listeners:
  web: {{bind: "127.0.0.1:{port}", protocol: http, pool: web}}
pools:
  web:
    servers:
{named}
    {health}
    passive: {{failures: 5, eject: 2s}}
    timeouts: {{connect: 500ms, first_byte: 1s, idle: 1s}}
    retry: {{attempts: 1, budget: 20%, on: [connect_failure, reset, timeout, 503]}}
""")
    return [program("balancer"), "run", "--quiet", "--reactor", reactor, str(file)]


def _uv(directory: Path, port: int, servers: Sequence[int], probed: bool) -> list[str]:
    return _balancer("uv", directory, port, servers, probed)


def _epoll(directory: Path, port: int, servers: Sequence[int], probed: bool) -> list[str]:
    return _balancer("epoll", directory, port, servers, probed)


def _haproxy(directory: Path, port: int, servers: Sequence[int], probed: bool) -> list[str]:
    if not probed:
        raise Missing("it lets no server return but by a check")
    checked = "check inter 1s fall 2 rise 2 observe layer7 error-limit 5 on-error mark-down"
    named = "\n".join(f"  server s{at} 127.0.0.1:{each} {checked}" for at, each in enumerate(servers))
    file = directory / "haproxy.cfg"
    file.write_text(f"""
global
  nbthread 1
  log stdout format raw local0
defaults
  mode http
  log global
  option httplog
  timeout connect 500ms
  timeout client 75s
  timeout server 1s
  timeout check 500ms
  timeout http-keep-alive 75s
frontend web
  bind 127.0.0.1:{port}
  default_backend web
backend web
  balance random
  http-reuse always
  option httpchk GET /health
  http-check expect status 200
  retries 1
  option redispatch 1
  retry-on conn-failure empty-response response-timeout junk-response 503
  http-request disable-l7-retry if METH_POST
{named}
""")
    return [program("haproxy"), "-db", "-f", str(file)]


def _nginx(directory: Path, port: int, servers: Sequence[int], probed: bool) -> list[str]:
    named = "\n".join(f"    server 127.0.0.1:{each} max_fails=5 fail_timeout=2s;" for each in servers)
    file = directory / "nginx.conf"
    here = directory
    file.write_text(f"""
daemon off; master_process on; worker_processes 1; user root; pid {here}/nginx.pid; error_log {here}/error.log error;
events {{ worker_connections 4096; }}
http {{
  access_log {here}/nginx.log combined;
  client_body_temp_path {here}/body; proxy_temp_path {here}/proxy;
  fastcgi_temp_path {here}/f; uwsgi_temp_path {here}/u; scgi_temp_path {here}/s;
  upstream web {{
    zone web 128k; random two least_conn;
{named}
    keepalive 128; keepalive_requests 100000000;
  }}
  proxy_http_version 1.1; proxy_set_header Connection "";
  proxy_connect_timeout 500ms; proxy_read_timeout 1s; proxy_send_timeout 1s;
  proxy_next_upstream error timeout http_503; proxy_next_upstream_tries 2;
  server {{ listen 127.0.0.1:{port} backlog=4096; keepalive_requests 100000000; location / {{ proxy_pass http://web; }} }}
}}
""")
    return [program("nginx"), "-c", str(file), "-p", str(here)]


_API = "type.googleapis.com/envoy"


def _route(methods: str, retry_on: str) -> dict[str, Any]:
    retry = {
        "retry_on": retry_on,
        "num_retries": 1,
        "per_try_timeout": "1s",
        "retriable_status_codes": [503],
        "retry_host_predicate": [
            {
                "name": "others",
                "typed_config": {
                    "@type": f"{_API}.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate",
                },
            }
        ],
        "host_selection_retry_max_attempts": 5,
        "retry_back_off": {"base_interval": "0.001s"},
    }
    method = {"name": ":method", "string_match": {"safe_regex": {"regex": methods}}}
    return {
        "match": {"prefix": "/", "headers": [method]},
        "route": {"cluster": "web", "timeout": "0s", "retry_policy": retry},
    }


def _envoy(directory: Path, port: int, servers: Sequence[int], probed: bool) -> list[str]:
    endpoints = [
        {"endpoint": {"address": {"socket_address": {"address": "127.0.0.1", "port_value": each}}}} for each in servers
    ]
    budget = {"budget_percent": {"value": 20.0}, "min_retry_concurrency": 3}
    cluster: dict[str, Any] = {
        "name": "web",
        "type": "STATIC",
        "connect_timeout": "0.5s",
        "lb_policy": "LEAST_REQUEST",
        "circuit_breakers": {"thresholds": [{"max_pending_requests": 4096, "retry_budget": budget}]},
        "outlier_detection": {
            "consecutive_gateway_failure": 5,
            "enforcing_consecutive_gateway_failure": 100,
            "enforcing_consecutive_5xx": 0,
            "enforcing_success_rate": 0,
            "enforcing_failure_percentage": 0,
            "interval": "0.5s",
            "base_ejection_time": "2s",
            "max_ejection_percent": 50,
        },
        "load_assignment": {"cluster_name": "web", "endpoints": [{"lb_endpoints": endpoints}]},
    }
    if probed:
        cluster["health_checks"] = [
            {
                "timeout": "0.5s",
                "interval": "1s",
                "no_traffic_interval": "1s",
                "unhealthy_threshold": 2,
                "healthy_threshold": 2,
                "http_health_check": {"path": "/health"},
            }
        ]
    again = "connect-failure,reset,retriable-status-codes"
    host = {
        "name": "all",
        "domains": ["*"],
        "routes": [_route("POST", "connect-failure"), _route(".*", again)],
    }
    manager = {
        "@type": f"{_API}.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "web",
        "access_log": [
            {
                "name": "file",
                "typed_config": {
                    "@type": f"{_API}.extensions.access_loggers.file.v3.FileAccessLog",
                    "path": str(directory / "envoy.log"),
                },
            }
        ],
        "route_config": {"name": "web", "virtual_hosts": [host]},
        "http_filters": [
            {"name": "router", "typed_config": {"@type": f"{_API}.extensions.filters.http.router.v3.Router"}}
        ],
    }
    listener = {
        "name": "web",
        "address": {"socket_address": {"address": "127.0.0.1", "port_value": port}},
        "filter_chains": [{"filters": [{"name": "http", "typed_config": manager}]}],
    }
    file = directory / "envoy.json"
    file.write_text(
        json.dumps(
            {
                "node": {"id": "bench", "cluster": "bench"},
                "static_resources": {"listeners": [listener], "clusters": [cluster]},
            }
        )
    )
    return [
        *(program("envoy"), "-c", str(file), "--concurrency", "1", "--disable-hot-restart"),
        *("--log-level", "error", "--file-flush-interval-msec", "100"),
    ]


PEERS = {"balancer uv": _uv, "balancer epoll": _epoll, "envoy": _envoy, "haproxy": _haproxy, "nginx": _nginx}
"""Each returns the command that runs it, for a directory, the port to listen on, the servers' ports, and whether these are asked for their health.

Missing: it cannot do without asking.
"""
