"""The plug-in contract: interfaces, hook specification, settings, loading, registry.

A plug-in author imports from here, from :mod:`balancer.model` and, in tests, from :mod:`balancer.testing`.
"""

from __future__ import annotations

import pluggy

__all__ = ["hookimpl"]

hookimpl = pluggy.HookimplMarker("balancer")
"""Marks a function of a plug-in package as the implementation of a hook."""
