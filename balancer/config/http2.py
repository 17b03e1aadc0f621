"""HTTP/2 towards clients: what they may do, and how much of it."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from balancer.config.fields import Flag, Positive, PositiveDuration, PositiveSize
from balancer.hooks.settings import Settings

__all__ = ["ListenerHttp2"]

_Window = Annotated[PositiveSize, Field(le=2**31 - 1)]


class ListenerHttp2(Settings):
    """What clients may do that speak HTTP/2, beyond which they are told ENHANCE_YOUR_CALM; new connections go by it."""

    streams: Positive = Field(default=100, description="Most requests and WebSockets at a time on a connection.")
    websocket: Flag = Field(
        default=True,
        description="Take WebSockets on streams, if a route leads to a pool; false: each wants a connection of its own.",
    )
    stream_window: _Window = Field(
        default=64 * 1024, description="Bytes of a request's body on their way that a server has not taken yet."
    )
    connection_window: Annotated[_Window, Field(ge=65535)] = Field(
        default=1024 * 1024, description="The same of all requests of a connection; at least 65535 bytes."
    )
    resets: Positive = Field(
        default=200,
        description="Most streams that the client resets within a second or two of their beginning, in 'span'.",
    )
    pings: Positive = Field(
        default=60, description="Most PING frames within 'span', beyond four for each HEADERS and DATA."
    )
    settings: Positive = Field(default=20, description="Most SETTINGS frames within 'span'.")
    empty_frames: Positive = Field(default=100, description="Most frames within 'span' that carry nothing.")
    priorities: Positive = Field(default=1000, description="Most PRIORITY frames within 'span'.")
    crumbs: Positive = Field(
        default=1000,
        description="Most WINDOW_UPDATE frames within 'span' that give less than 256 bytes where the window is all but shut, "
        "or beyond four for each HEADERS and DATA.",
    )
    continuations: Positive = Field(default=8, description="Most CONTINUATION frames of one header list.")
    span: PositiveDuration = Field(default=10.0, description="Time in which the above is counted.")
    settings_timeout: PositiveDuration = Field(
        default=10.0, description="How long a client may take to acknowledge our SETTINGS."
    )
