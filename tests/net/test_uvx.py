"""Twisted's own tests of reactors, for ours; its ports and clients make our transports."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any

from twisted.internet.protocol import Protocol, ServerFactory
from twisted.internet.test import test_core, test_fdset, test_tcp, test_threads, test_time, test_udp, test_unix
from twisted.internet.test.reactormixins import ReactorBuilder

_BUILDERS: tuple[Any, ...] = (
    test_core.SystemEventTestsBuilder,
    test_fdset.ReactorFDSetTestsBuilder,
    test_tcp.AbortConnectionTests,
    test_tcp.AdoptStreamConnectionTestsBuilder,
    test_tcp.TCP4ClientTestsBuilder,
    test_tcp.TCP4ConnectorTestsBuilder,
    test_tcp.TCP6ClientTestsBuilder,
    test_tcp.TCPConnectionTestsBuilder,
    test_tcp.TCPFDPortTestsBuilder,
    test_tcp.TCPPortTestsBuilder,
    test_tcp.TCPTransportTestsBuilder,
    test_threads.ThreadTestsBuilder,
    test_time.TimeTestsBuilder,
    test_udp.UDPServerTestsBuilder,
    test_unix.UNIXPortTestsBuilder,
    test_unix.UNIXTestsBuilder,
)


_AT_ONCE = "written at once: nothing is queued while the kernel takes it, so nobody is paused and resumed"
_NO_PREFIX = "events are served without a logging context"
_OTHERWISE: dict = {}
"""Tests of what is done differently on purpose, and how."""


def _left_out(name: str, reason: str) -> Any:
    def test(self: Any) -> None:
        """Left out."""

    test.__name__ = name
    test.skip = reason  # type: ignore[attr-defined]
    return test


def _cases() -> dict[str, type]:
    found: dict[str, type] = {}
    for builder in _BUILDERS:
        ours = type(builder.__name__, (builder,), {"_reactors": ["tests.net.whole.UVReactor"], "timeout": 3})
        assert issubclass(ours, ReactorBuilder)
        found |= ours.makeTestCaseClasses()
    for case in found.values():
        case.__module__ = __name__
        for name, reason in _OTHERWISE.items():
            if hasattr(case, name):
                setattr(case, name, _left_out(name, reason))
    return found


globals().update(_cases())


