"""The configuration: read with positions, checked as a whole, handed on as one frozen tree."""

from __future__ import annotations

from balancer.config.loading import Loaded, load, load_text, read
from balancer.config.schema import Config

__all__ = ["Config", "Loaded", "load", "load_text", "read"]
