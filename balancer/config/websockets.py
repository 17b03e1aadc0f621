"""What a listener does about WebSockets besides passing them on."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from balancer.config.fields import Flag, PositiveDuration, PositiveSize
from balancer.hooks.settings import Settings

__all__ = ["WebSocketSettings"]


class WebSocketSettings(Settings):
    """Pings, and what frames may be like."""

    ping: PositiveDuration | None = Field(
        default=None, description="Silence after which the balancer sends a ping of its own. None: never."
    )
    pong_timeout: PositiveDuration = Field(
        default=10.0, description="Silence after such a ping that ends the WebSocket."
    )
    ping_whom: Literal["client", "server", "both"] = Field(default="client", description="Who gets such pings.")
    max_frame: PositiveSize | None = Field(
        default=None,
        description="Longest payload of a frame; beyond it the WebSocket is closed with 1009. None: no limit.",
    )
    strict: Flag = Field(
        default=False, description="Close with 1002 at a frame that RFC 6455 forbids; false: only count them."
    )
