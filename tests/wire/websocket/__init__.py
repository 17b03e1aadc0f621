"""Tests of :mod:`balancer.wire.websocket`."""
