"""The PROXY protocol, versions 1 and 2: what one proxy tells the next of a connection, before its first byte.

Bytes and values, no I/O: :class:`Reader` makes a :class:`Header` of what arrives, in whatever pieces; :mod:`.v1` and :mod:`.v2`
read and write one whole header each. The specification is haproxy's ``doc/proxy-protocol.txt``; sections named here are of it.
"""

from balancer.wire.proxy_protocol.errors import HeaderError, NoHeaderError
from balancer.wire.proxy_protocol.header import Header
from balancer.wire.proxy_protocol.reader import Reader

__all__ = ["Header", "HeaderError", "NoHeaderError", "Reader"]
