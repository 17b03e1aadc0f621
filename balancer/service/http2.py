"""HTTP/2 as a service has it: from settings to limits, and what there is to say of it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from prometheus_client.metrics_core import Metric

from balancer.config.listeners import AnyListener, HttpListener
from balancer.listeners.http.listener import HTTPListener
from balancer.listeners.http2.channel import HTTP2Channel
from balancer.observe.metrics import counter, gauge
from balancer.wire.http2.interface import Limits
from balancer.wire.http2.sessions import library_in_use

__all__ = ["http2_library", "http2_limits", "http2_metrics"]


def http2_limits(settings: HttpListener) -> Limits | None:
    """Return what clients of a listener may do, None where HTTP/2 is not spoken.

    That they may ask for WebSockets on streams is announced only where a route leads to a pool: clients try nothing else once they
    have read that.
    """
    http2 = settings.http2
    if http2 is None:
        return None
    return Limits(
        streams=http2.streams,
        stream_window=http2.stream_window,
        connection_window=http2.connection_window,
        head_size=settings.http.head_size,
        header_count=settings.http.header_count,
        resets=http2.resets,
        pings=http2.pings,
        settings=http2.settings,
        empty_frames=http2.empty_frames,
        priorities=http2.priorities,
        crumbs=http2.crumbs,
        continuations=http2.continuations,
        span=http2.span,
        settings_timeout=http2.settings_timeout,
        connect_protocol=http2.websocket and any(route.pools for route in settings.routes),
    )


def http2_library(settings: AnyListener) -> str | None:
    """Return the library that does the framing for a listener, None where HTTP/2 is not spoken."""
    return library_in_use() if isinstance(settings, HttpListener) and settings.http2 is not None else None


def http2_metrics(listeners: Iterable[object]) -> Iterator[Metric]:
    """Yield what there is to count on the HTTP/2 connections of ``listeners``."""
    connections = gauge("http2_connections", "Client connections now that speak HTTP/2.", ("listener",))
    streams = gauge("http2_streams", "Requests in service on them.", ("listener",))
    resets = counter("http2_resets", "Streams reset, by whom and with which code.", ("listener", "by", "code"))
    goaways = counter("http2_goaways", "Connections that were told to go away, by reason.", ("listener", "reason"))
    for listener in listeners:
        if not isinstance(listener, HTTPListener):
            continue
        channels = [channel for channel in listener.channels if isinstance(channel, HTTP2Channel)]
        connections.add_metric((listener.name,), len(channels))
        streams.add_metric((listener.name,), sum(len(channel.requests) for channel in channels))
        for (who, code), count in listener.http2.resets.items():
            resets.add_metric((listener.name, who, code), count)
        for reason, count in listener.http2.goaways.items():
            goaways.add_metric((listener.name, reason), count)
    yield from (connections, streams, resets, goaways)
