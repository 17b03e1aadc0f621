"""What master and workers say to each other: AMP over a unix socket, listening sockets passed along.

::

    worker                              master
      │ ── Hello ───────────────────────> │   here I am; the answer says which of the workers it is
      │ <─────────────────── Prepare ──── │   this configuration, these sockets: build it, change nothing
      │ <─────────────── Swap/Abandon ─── │   serve by what is prepared, or forget it
      │ <─────────────────────── Tell ─── │   this is how servers are doing
      │ <──────────────────── Restore ─── │   end ejections, close breakers
      │ <─────────────────── ShareTLS ─── │   this is what authorities say of certificates, and the keys of tickets
      │ <──────────────── Ask, Reopen ─── │   metrics, status, plugins; open the access log anew
      │ <─────────────────────── Beat ─── │   are you there?
      │ ── Said ────────────────────────> │   a line for the log
      │ <─────────────────────── Stop ─── │   drain, and end
      │ ── Farewell ────────────────────> │   the last numbers

When the connection ends the worker drains and ends too: its master is gone.
"""

from __future__ import annotations

import json
from typing import Any

from twisted.protocols import amp

from balancer.errors import BalancerError

__all__ = [
    "Abandon",
    "Ask",
    "Beat",
    "Farewell",
    "Hello",
    "Large",
    "Prepare",
    "Reopen",
    "Restore",
    "Said",
    "ShareTLS",
    "Stop",
    "Swap",
    "Tell",
]

STOP, RETIRE, STEERED, HAND_OVER = "stop", "retire", "steered", "hand over"

LINGER = 1.0
"""Seconds in which handshakes end that began before connections were steered away; a lost packet is sent again by then."""

_PIECE = 0xFFFF


class Large(amp.Argument):
    """Plain values as JSON of any size, cut into as many AMP values as that takes."""

    def toBox(self, name: bytes, strings: Any, objects: Any, proto: Any) -> None:
        """Write the value."""
        text = json.dumps(self.retrieve(objects, name.decode(), proto), separators=(",", ":")).encode()
        strings[name] = b"%d" % len(text)
        for at in range(0, len(text), _PIECE):
            strings[b"%s.%d" % (name, at // _PIECE)] = text[at : at + _PIECE]

    def fromBox(self, name: bytes, strings: Any, objects: Any, proto: Any) -> None:
        """Read the value."""
        size = int(self.retrieve(strings, name, proto))
        pieces = [strings.pop(b"%s.%d" % (name, at)) for at in range(-(-size // _PIECE))]
        objects[name.decode()] = json.loads(b"".join(pieces))


class _Command(amp.Command):
    errors = {BalancerError: b"REFUSED"}  # as Twisted's own


class Hello(_Command):
    """The worker has started, with code of this ``version``; ``settings`` are number, row, geometry, secrets and such (see ``Crew``)."""

    arguments = [(b"version", amp.Unicode())]
    response = [(b"settings", Large())]


class Prepare(_Command):
    """Build the configuration ``found``: ``{"data", "file", "directory"}``, as read and substituted by the master.

    ``kept`` are certificates for files that cannot be read, as of :class:`balancer.tls.kept.Kept`.
    """

    arguments = [
        (b"found", Large()),
        (b"kept", Large()),
        (b"columns", Large()),
        (
            b"sockets",
            amp.AmpList(
                [(b"listener", amp.Unicode()), (b"bind", amp.Unicode()), (b"descriptor", amp.Descriptor())],
            ),
        ),
    ]


class Swap(_Command):
    """Serve by what is prepared; ``state`` and ``splits`` as of :class:`Tell`, of every server."""

    arguments = [(b"state", Large()), (b"splits", Large())]


class Abandon(_Command):
    """Forget what is prepared."""


class Tell(_Command):
    """How servers are doing, a list of values as of :mod:`.server_state`, and how requests are shared, as of :mod:`.releases`; none: as before."""

    arguments = [(b"state", Large()), (b"splits", Large())]


class Restore(_Command):
    """End the ejection, and close the breaker, of ``server`` of ``pool``; empty: of all of them, and the pool's own.

    ``restored`` is what was, as of :func:`balancer.pools.findings.restore`.
    """

    arguments = [(b"pool", amp.Unicode()), (b"server", amp.Unicode())]
    response = [(b"restored", Large())]


class ShareTLS(_Command):
    """What all workers need alike for TLS, bytes in hexadecimal.

    ``staples``: what authorities say of certificates (OCSP, DER), by the fingerprint of the certificate; ``keys``: those of session tickets,
    the one in use first. ``proofs``: two mappings of texts, what authorities are to find by http-01, by token, and by tls-alpn-01, by name.
    """

    arguments = [(b"staples", Large()), (b"keys", Large()), (b"proofs", Large())]


class Ask(_Command):
    """Return ``metrics``, ``status`` or ``plugins``; or what is known to ``explain`` of the ``question``."""

    arguments = [(b"what", amp.Unicode()), (b"question", Large(optional=True))]
    response = [(b"answer", Large())]


class Beat(_Command):
    """Say that you are there."""


class Reopen(_Command):
    """Open the access log anew."""


class Stop(_Command):
    """Stop accepting, finish what is in flight for ``timeout`` seconds, say farewell and end.

    ``how``: :data:`STOP` with everybody; :data:`RETIRE` alone, others are left; :data:`STEERED` the same, and new connections
    are steered to those: go on accepting for :data:`LINGER` seconds first, so that none is left in the queue;
    :data:`HAND_OVER` because another process has the sockets.
    """

    arguments = [(b"timeout", amp.Float()), (b"how", amp.Unicode())]
    requiresAnswer = False


class Said(_Command):
    """A line for the service's log."""

    arguments = [(b"level", amp.Unicode()), (b"text", Large())]
    requiresAnswer = False


class Farewell(_Command):
    """The last metrics of a worker that ends."""

    arguments = [(b"metrics", Large())]
