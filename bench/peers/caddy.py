"""Caddy: GOMAXPROCS=1, routes in a list that is walked from the top; no TCP or UDP, no limits on connections."""

from __future__ import annotations

import http.client
import json
from typing import Any

from bench.peers.peer import Peer, Place
from bench.processes import free_port, program

__all__ = ["CADDY"]


def _admin(place: Place) -> int:
    """Return the port of its admin API, the same after a reload."""
    file = place.file("caddy.admin")
    if not file.exists():
        file.write_text(str(free_port()))
    return int(file.read_text())


def _proxy(place: Place) -> list[dict[str, Any]]:
    up = {
        "X-Request-Id": ["{http.request.uuid}"],
        "X-Forwarded-Port": ["{http.request.local.port}"],
    }
    return [
        {"handler": "headers", "response": {"deferred": True, "set": {"X-Request-Id": ["{http.request.uuid}"]}}},
        {
            "handler": "reverse_proxy",
            "upstreams": [{"dial": f"127.0.0.1:{place.servers[0]}"}],
            "headers": {"request": {"set": up}},
            "transport": {
                "protocol": "http",
                "keep_alive": {"enabled": True, "max_idle_conns": 1024, "max_idle_conns_per_host": 128},
                "compression": False,
            },
        },
    ]


def _configuration(place: Place) -> dict[str, Any]:
    routes: list[dict[str, Any]] = [
        {"match": [{"path": [f"{prefix}*"]}], "handle": _proxy(place), "terminal": True} for prefix in place.prefixes()
    ]
    server = {
        "listen": [f"tcp4/127.0.0.1:{place.http}"],
        "routes": [*routes, {"handle": _proxy(place)}],
        "automatic_https": {"disable": True},
        "protocols": ["h1"],
        "logs": {},
    }
    log = {
        "writer": {"output": "file", "filename": str(place.file("caddy.log")), "roll": False},
        "encoder": {"format": "json"},
        "include": ["http.log.access"],
    }
    return {
        "admin": {"listen": f"127.0.0.1:{_admin(place)}", "config": {"persist": False}},
        "logging": {"logs": {"default": {"level": "ERROR", "exclude": ["http.log.access"]}, "access": log}},
        "apps": {"http": {"servers": {"web": server}}},
    }


def _command(place: Place) -> list[str]:
    binary = program("caddy")
    file = place.put("caddy.json", json.dumps(_configuration(place)))
    return [binary, "run", "--config", str(file)]


def _check(place: Place) -> list[str]:
    return [program("caddy"), "validate", "--config", str(place.file("caddy.json"))]


def _reload(_pid: int, place: Place) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", _admin(place), timeout=30)
    try:
        connection.request("POST", "/load", json.dumps(_configuration(place)), {"Content-Type": "application/json"})
        response = connection.getresponse()
        if response.status != 200:
            raise RuntimeError(f"caddy did not reload: {response.read()!r}")
    finally:
        connection.close()


CADDY = Peer(
    "caddy",
    _command,
    _check,
    _reload,
    "caddy.log",
    frozenset({"http"}),
    most_routes=1000,
    environment={"GOMAXPROCS": "1"},
)
