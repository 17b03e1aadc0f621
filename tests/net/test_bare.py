"""The stand-in for Twisted's Protocol."""

from __future__ import annotations

from twisted.internet.interfaces import ILoggingContext, IProtocol
from twisted.internet.testing import StringTransport
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from balancer.net.bare import BareProtocol


class _Told(BareProtocol):
    def __init__(self) -> None:
        self.said: list[str] = []

    def connectionMade(self) -> None:
        self.said.append(f"made {self.connected} {self.transport is not None}")


class BareProtocolTests(SynchronousTestCase):
    def test_what_it_provides(self) -> None:
        """Transports, and the log, take it for a protocol."""
        for interface in (IProtocol, ILoggingContext):
            verifyObject(interface, _Told())

    def test_the_connection_is_made(self) -> None:
        """It knows its transport, and that it is connected, before it is told."""
        protocol, transport = _Told(), StringTransport()
        self.assertIsNone(protocol.transport)
        protocol.makeConnection(transport)
        self.assertIs(protocol.transport, transport)
        self.assertEqual(protocol.said, ["made 1 True"])

    def test_the_log_names_it_by_its_class(self) -> None:
        """As with Twisted's own."""
        self.assertEqual(_Told().logPrefix(), "_Told")
