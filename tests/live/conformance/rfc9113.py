"""What RFC 9113 is stricter in than RFC 7540, and all else that sessions are held to in memory, told to a live listener.

Each case of :mod:`tests.wire.http2.conformance` names the outcomes that are well. Those whose requests must stay unanswered
are for a listener whose server says nothing.
"""

from __future__ import annotations

from balancer.model.headers import RawHeaders
from balancer.wire.http2 import frames
from balancer.wire.http2.frames import GOAWAY, RST_STREAM
from tests.live.conformance.talk import Case, Frame, Talk, accepted, stream_over
from tests.wire.http2 import conformance

__all__ = ["ANSWERED", "UNANSWERED"]

_ELSEWHERE = {
    "more DATA than the stream's window",  # which a server that reads opens again
    "GOAWAY with an unknown code",  # after which sessions have no more to say, and connections are closed
}


class _Peer:
    """What the cases call: the client in memory, as far as they know it."""

    def __init__(self, talk: Talk) -> None:
        self._talk = talk

    def send(self, data: bytes) -> None:
        """Ask, and wait for the answer."""
        self._talk.send(data)
        assert not stream_over(self._talk)

    def block(self, headers: RawHeaders, *more: tuple[bytes, bytes]) -> bytes:
        return self._talk.block([*headers, *more])

    def headers(self, stream: int, headers: RawHeaders, *more: tuple[bytes, bytes], flags: int = 5) -> bytes:
        return frames.frame(frames.HEADERS, flags, stream, self.block(headers, *more))


def _case(case: conformance.Case) -> Case:
    def says(talk: Talk) -> bytes:
        return case.bytes_of(_Peer(talk))  # type: ignore[arg-type]

    def judge(talk: Talk) -> str:
        if "alive" in case.outcomes:
            return accepted(talk)
        found: list[str] = []

        def wanted(frame: Frame) -> bool:
            kind, _, stream, payload = frame
            if kind == GOAWAY:
                found.append(f"goaway {int.from_bytes(payload[4:8], 'big')}")
            elif kind == RST_STREAM:
                found.append(f"reset {stream} {int.from_bytes(payload, 'big')}")
            return bool(found)

        return talk.until(wanted) or ("" if found[0] in case.outcomes else f"{found[0]}, not {sorted(case.outcomes)}")

    return Case(f"rfc/{case.section}", case.title, says, judge)


_CASES = [case for case in conformance.CASES if case.title not in _ELSEWHERE]
ANSWERED = [_case(case) for case in _CASES if case.answers]
UNANSWERED = [_case(case) for case in _CASES if not case.answers]
