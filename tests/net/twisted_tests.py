"""Twisted's own tests of reactors, made into test cases for a reactor of ours."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from twisted.internet.test import (
    test_core,
    test_fdset,
    test_newtls,
    test_process,
    test_socket,
    test_stdio,
    test_tcp,
    test_threads,
    test_time,
    test_tls,
    test_udp,
    test_unix,
)
from twisted.internet.test.reactormixins import ReactorBuilder

__all__ = ["BUILDERS", "EVERYTHING_ELSE", "NO_PREFIX", "cases"]

BUILDERS: tuple[Any, ...] = (
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
"""What says how streams, datagrams, descriptors, time and threads behave."""

EVERYTHING_ELSE: tuple[Any, ...] = (
    test_newtls.ProducerTestsMixin,
    test_process.ProcessTestsBuilder,
    test_process.PTYProcessTestsBuilder,
    test_socket.AdoptDatagramPortErrorsTestsBuilder,
    test_socket.AdoptStreamConnectionErrorsTestsBuilder,
    test_socket.AdoptStreamPortErrorsTestsBuilder,
    test_stdio.StdioFilesTests,
    test_tcp.TCP6ConnectorTestsBuilder,
    test_tls.AbortSSLConnectionTests,
    test_tls.SSLClientTestsMixin,
    test_tls.StartTLSClientTestsMixin,
    test_tls.TLSPortTestsBuilder,
    test_udp.UDPFDServerTestsBuilder,
    test_unix.UNIXAdoptStreamConnectionTestsBuilder,
    test_unix.UNIXDatagramTestsBuilder,
    test_unix.UNIXFDPortTestsBuilder,
    test_unix.UnixClientTestsBuilder,
)
"""What a reactor with transports of its own must show besides: TLS, processes, adopted sockets."""

# Without test_tcp.TestBindAddressBuilder: it opens ports that were free a moment ago, and on a busy machine are no longer.

NO_PREFIX = "events are served without a logging context"


def cases(
    reactor: str, builders: Iterable[Any], otherwise: Mapping[str, str], module: str, limit: float = 10
) -> dict[str, type]:
    """Return the test cases of ``builders`` for ``reactor``, by name.

    Args:
        reactor: where it is, dotted.
        builders: Twisted's :class:`ReactorBuilder` classes.
        otherwise: tests of what is done differently on purpose, and how.
        module: the one the cases are put in.
        limit: seconds that a test may take.
    """
    found: dict[str, type] = {}
    for builder in builders:
        ours = type(builder.__name__, (builder,), {"_reactors": [reactor], "timeout": limit})
        assert issubclass(ours, ReactorBuilder)
        found |= ours.makeTestCaseClasses()
    for case in found.values():
        case.__module__ = module
        for name, reason in otherwise.items():
            if hasattr(case, name):
                setattr(case, name, _left_out(name, reason))
    return found


def _left_out(name: str, reason: str) -> Any:
    def test(self: Any) -> None:
        """Left out."""

    test.__name__ = name
    test.skip = reason  # type: ignore[attr-defined]
    return test
