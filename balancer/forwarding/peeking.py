"""What a session's client says first, looked at before it is decided where the session goes.

A :class:`Peek` stands between a client and its :class:`~.session.Session` until the ClientHello is there, or it is clear that none comes::

    client ──bytes──▶ Peek ── a hello, or not TLS ───────────────────────▶ session.goes(facts)
                           ── malformed, too large, too late, cut off ───▶ session.refuse(reason, detail, alert)

Every byte is kept by the session, and goes to the server as it came: nothing is terminated, nothing changed. What may be kept is bounded by
the size that a hello may have; how long is waited, by a time that more bytes do not prolong.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from balancer.model.facts import SessionFacts
from balancer.model.units import counted
from balancer.net.timers import Wheel
from balancer.observe.records import SessionRecord
from balancer.wire.client_hello import (
    DECODE_ERROR,
    NO_APPLICATION_PROTOCOL,
    UNRECOGNIZED_NAME,
    ClientHello,
    HelloReader,
    Verdict,
    alert,
)

if TYPE_CHECKING:
    from balancer.forwarding.session import Session

__all__ = ["INCOMPLETE", "LATE", "MALFORMED", "TOO_LARGE", "HelloPolicy", "Peek"]

LATE = "client_hello_timeout"
MALFORMED = "client_hello_malformed"
TOO_LARGE = "client_hello_too_large"
INCOMPLETE = "client_hello_incomplete"

_SHOWN = 16
"""Protocols of a hello that are kept for the log; a client may offer thousands."""


@dataclass(frozen=True, slots=True)
class HelloPolicy:
    """How a ClientHello is waited for.

    ``timeout`` in seconds from the connection to its end; ``size`` in bytes; ``lacks_protocol`` says of a session that no route takes
    whether one would if the client offered other protocols.
    """

    timeout: float
    size: int
    lacks_protocol: Callable[[SessionFacts], bool]


class Peek:
    """Reads the hello of one session; the session calls :meth:`end` when it is no longer needed.

    Args:
        session: told what comes of it; its client's bytes come to :meth:`take` after :meth:`begin`.
        policy: how long and how far to look.
        wheel: the shared timer.
    """

    __slots__ = ("_facts", "_hello", "_policy", "_reader", "_session", "_timer")

    _facts: SessionFacts

    def __init__(self, session: Session, policy: HelloPolicy, wheel: Wheel) -> None:
        self._session: Session | None = session
        self._policy = policy
        self._reader = HelloReader(policy.size)
        self._timer = wheel.schedule(policy.timeout, self._late)

    def begin(self, facts: SessionFacts) -> None:
        """The client is there, of whom ``facts`` are known; name and protocols will be filled in."""
        self._facts = facts

    def take(self, data: bytes) -> None:
        """Look at what the client said next."""
        session, reader = self._session, self._reader
        if session is None:
            return  # it is closing
        session._held.append(data)
        verdict = reader.feed(data)
        if verdict is Verdict.UNDECIDED:
            return
        if verdict is Verdict.HELLO:
            assert reader.hello is not None
            self._note(reader.hello, session.record)
            session.goes(self._facts)
        elif verdict is Verdict.NOT_TLS:
            session.goes(self._facts)
        else:
            reason = MALFORMED if verdict is Verdict.MALFORMED else TOO_LARGE
            session.refuse(reason, reader.detail, alert(DECODE_ERROR))

    def _note(self, hello: ClientHello, record: SessionRecord) -> None:
        facts = self._facts
        facts.sni, facts.alpn = hello.server_name, hello.alpn
        record.sni, record.alpn = hello.server_name, hello.alpn[:_SHOWN]

    def no_route(self) -> tuple[str, bytes]:
        """Return why no route takes the session, and what the client is to be told (nothing, if it does not speak TLS)."""
        facts, hello = self._facts, self._reader.hello
        if hello is None:
            return "no route for what is not TLS", b""
        name = f"server name {hello.server_name}" if hello.server_name else "TLS without a server name"
        if self._policy.lacks_protocol(facts):
            offered = ", ".join(hello.alpn[:_SHOWN]) or "none"
            return f"no route for the protocols offered ({offered}), {name}", alert(NO_APPLICATION_PROTOCOL, hello)
        return f"no route for {name}", alert(UNRECOGNIZED_NAME, hello)

    def cut_off(self) -> None:
        """The client will say no more, and has not said enough."""
        size = self._reader.size
        if self._session is None:
            return
        if size:
            self._session.refuse(INCOMPLETE, f"the client closed after {counted(size, 'byte')}")
        else:
            self._session.refuse("")  # as those do who only look whether somebody listens

    def _late(self) -> None:
        size = self._reader.size
        came = f"no more than {counted(size, 'byte')}" if size else "nothing"
        if self._session is not None:
            self._session.refuse(LATE, f"{came} in {self._policy.timeout:g} s")

    def end(self) -> None:
        """Look no more."""
        self._timer.end()
        self._session = None  # or the two would keep each other
