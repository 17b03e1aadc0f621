"""Envoy: ``--concurrency 1``, a prefix map for routes that are read from a file, which is how it reloads them."""

from __future__ import annotations

import json
from typing import Any

from bench.peers.peer import CONNECTIONS, Peer, Place
from bench.processes import program

__all__ = ["ENVOY"]

_API = "type.googleapis.com/envoy"
_ROUTER = "extensions.filters.http.router.v3.Router"


def _typed(kind: str, /, **settings: Any) -> dict[str, Any]:
    return {"@type": f"{_API}.{kind}", **settings}


def _log(place: Place, form: str) -> list[dict[str, Any]]:
    file = _typed(
        "extensions.access_loggers.file.v3.FileAccessLog",
        path=str(place.file("envoy.log")),
        log_format={"text_format_source": {"inline_string": form}},
    )
    return [{"name": "file", "typed_config": file}]


_HTTP_LOG = (
    '%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT% - - [%START_TIME%] "%REQ(:METHOD)% %REQ(X-ENVOY-ORIGINAL-PATH?:PATH)% '
    '%PROTOCOL%" %RESPONSE_CODE% %RESPONSE_FLAGS% %BYTES_RECEIVED% %BYTES_SENT% %DURATION% "%REQ(USER-AGENT)%" '
    '"%REQ(X-REQUEST-ID)%" "%UPSTREAM_HOST%"\n'
)
_SESSION_LOG = "[%START_TIME%] %DOWNSTREAM_REMOTE_ADDRESS% %UPSTREAM_HOST% %BYTES_RECEIVED% %BYTES_SENT% %DURATION%\n"
_UDP_LOG = "[%START_TIME%] %DYNAMIC_METADATA(udp.proxy.session:cluster_name)%\n"


def _address(port: int, protocol: str = "TCP") -> dict[str, Any]:
    return {"socket_address": {"protocol": protocol, "address": "127.0.0.1", "port_value": port}}


def _routes(place: Place) -> dict[str, Any]:
    """A table whose cost does not grow with the routes: Envoy's list of routes is walked from the top."""
    to_web = {
        "action": {
            "name": "route",
            "typed_config": _typed("config.route.v3.Route", match={"prefix": "/"}, route={"cluster": "web"}),
        }
    }
    to_calls = {
        "action": {
            "name": "route",
            "typed_config": _typed("config.route.v3.Route", match={"prefix": "/"}, route={"cluster": "calls"}),
        }
    }
    path = _typed("type.matcher.v3.HttpRequestHeaderMatchInput", header_name=":path")
    tree = {
        "input": {"name": "path", "typed_config": path},
        "prefix_match_map": {"map": {**dict.fromkeys(place.prefixes(), to_web), "/bench.Echo/": to_calls}},
    }
    host = {"name": "all", "domains": ["*"], "matcher": {"matcher_tree": tree, "on_no_match": to_web}}
    return _typed(
        "config.route.v3.RouteConfiguration",
        name="web",
        virtual_hosts=[host],
        request_headers_to_add=[{"header": {"key": "X-Forwarded-Host", "value": "%REQ(:AUTHORITY)%"}}],
        response_headers_to_add=[{"header": {"key": "X-Request-Id", "value": "%REQ(X-REQUEST-ID)%"}}],
    )


def _write_routes(place: Place) -> None:
    """Put the routes in their file by a rename, which is what Envoy looks out for."""
    place.put("envoy-routes.json", json.dumps({"version_info": str(place.version), "resources": [_routes(place)]}))


def _manager(place: Place) -> dict[str, Any]:
    return _typed(
        "extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        stat_prefix="web",
        use_remote_address=True,
        append_x_forwarded_port=True,
        via="1.1 envoy",
        access_log=_log(place, _HTTP_LOG),
        rds={
            "route_config_name": "web",
            "config_source": {"path_config_source": {"path": str(place.file("envoy-routes.json"))}},
        },
        http_filters=[{"name": "router", "typed_config": _typed(_ROUTER, suppress_envoy_headers=True)}],
    )


def _cluster(name: str, port: int) -> dict[str, Any]:
    endpoint = {"endpoint": {"address": _address(port)}}
    limits = dict.fromkeys(("max_connections", "max_pending_requests", "max_requests"), CONNECTIONS)
    return {
        "name": name,
        "type": "STATIC",
        "connect_timeout": "3s",
        "circuit_breakers": {"thresholds": [limits]},
        "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": [endpoint]}]},
    }


def _of_http2(cluster: dict[str, Any]) -> dict[str, Any]:
    """Have HTTP/2 spoken to the servers of ``cluster``."""
    options = _typed(
        "extensions.upstreams.http.v3.HttpProtocolOptions", explicit_http_config={"http2_protocol_options": {}}
    )
    cluster["typed_extension_protocol_options"] = {"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": options}
    return cluster


def _listener(name: str, port: int, kind: str, settings: dict[str, Any]) -> dict[str, Any]:
    chains = [{"filters": [{"name": kind, "typed_config": settings}]}]
    return {"name": name, "address": _address(port), "tcp_backlog_size": 4096, "filter_chains": chains}


def _secured(listener: dict[str, Any], place: Place) -> dict[str, Any]:
    """Have ``listener`` speak TLS, with HTTP/2 by ALPN."""
    pair = {
        "certificate_chain": {"filename": str(place.certificate)},
        "private_key": {"filename": str(place.key)},
    }
    common = {"alpn_protocols": ["h2", "http/1.1"], "tls_certificates": [pair]}
    context = _typed("extensions.transport_sockets.tls.v3.DownstreamTlsContext", common_tls_context=common)
    listener["filter_chains"][0]["transport_socket"] = {"name": "tls", "typed_config": context}
    return listener


def _udp_listener(place: Place) -> dict[str, Any]:
    to_cluster = _typed("extensions.filters.udp.udp_proxy.v3.Route", cluster="datagrams")
    proxy = _typed(
        "extensions.filters.udp.udp_proxy.v3.UdpProxyConfig",
        stat_prefix="datagrams",
        idle_timeout="30s",
        matcher={"on_no_match": {"action": {"name": "route", "typed_config": to_cluster}}},
        access_log=_log(place, _UDP_LOG),
    )
    return {
        "name": "datagrams",
        "address": _address(place.udp, "UDP"),
        "udp_listener_config": {},
        "listener_filters": [{"name": "udp_proxy", "typed_config": proxy}],
    }


def _configured(place: Place) -> str:
    _write_routes(place)
    http, tcp, udp = place.servers
    stream = _typed(
        "extensions.filters.network.tcp_proxy.v3.TcpProxy",
        stat_prefix="stream",
        cluster="stream",
        access_log=_log(place, _SESSION_LOG),
    )
    limit = _typed(
        "extensions.resource_monitors.downstream_connections.v3.DownstreamConnectionsConfig",
        max_active_downstream_connections=CONNECTIONS,
    )
    configuration = {
        "node": {"id": "bench", "cluster": "bench"},
        "overload_manager": {
            "resource_monitors": [
                {"name": "envoy.resource_monitors.global_downstream_max_connections", "typed_config": limit}
            ]
        },
        "static_resources": {
            "listeners": [
                _listener("web", place.http, "http_connection_manager", _manager(place)),
                _secured(_listener("secure", place.https, "http_connection_manager", _manager(place)), place),
                _listener("stream", place.tcp, "tcp_proxy", stream),
                _udp_listener(place),
            ],
            "clusters": [
                _cluster("web", http),
                _of_http2(_cluster("calls", place.calls)),
                _cluster("stream", tcp),
                _cluster("datagrams", udp),
            ],
        },
    }
    return str(place.put("envoy.json", json.dumps(configuration)))


def _command(place: Place) -> list[str]:
    return [
        *(program("envoy"), "-c", _configured(place), "--concurrency", "1", "--disable-hot-restart"),
        *("--log-level", "error", "--file-flush-interval-msec", "100"),
    ]


def _check(place: Place) -> list[str]:
    return [program("envoy"), "--mode", "validate", "-c", str(place.file("envoy.json")), "--log-level", "error"]


def _reload(_pid: int, place: Place) -> None:
    _write_routes(place)


ENVOY = Peer("envoy", _command, _check, _reload, "envoy.log")
