"""What the session of an HTTP/2 connection costs for a request, without sockets: the server's half, with each library.

A client's session writes 100 requests at a time; they are read, each is answered on the spot with a head of five fields and a body
of 100 bytes, and what is to be written is asked for. Only the server's half is in the figure.

    .venv/bin/python bench/inmemory_h2.py                  # µs of process time per request, the least of the rounds
    .venv/bin/python bench/inmemory_h2.py --library nghttp2 --case varying --profile 20
"""

from __future__ import annotations

import argparse
import cProfile
import pstats
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from balancer.model.headers import RawHeaders  # noqa: E402
from balancer.wire.http1.heads import HeadLimits  # noqa: E402
from balancer.wire.http2 import heads, native  # noqa: E402
from balancer.wire.http2.interface import Limits, Session  # noqa: E402
from balancer.wire.http2.library import library  # noqa: E402
from balancer.wire.http2.pure import PureSession  # noqa: E402

STREAMS = 100
_BODY = b"x" * 100
_ANSWER: RawHeaders = [
    (b":status", b"200"),
    (b"server", b"nginx/1.22.1"),
    (b"date", b"Mon, 01 Jan 2024 00:00:00 GMT"),
    (b"content-type", b"text/plain"),
    (b"content-length", b"100"),
]
_BROWSER: RawHeaders = [
    (b"accept-language", b"en-GB,en;q=0.5"),
    (b"accept-encoding", b"gzip, deflate, br"),
    (b"cookie", b"session=0123456789abcdef; theme=dark"),
    (b"referer", b"https://bench.example/start"),
    (b"sec-fetch-dest", b"document"),
    (b"sec-fetch-mode", b"navigate"),
    (b"cache-control", b"no-cache"),
]


def _request(path: str, more: RawHeaders) -> RawHeaders:
    return [
        (b":method", b"GET"),
        (b":scheme", b"https"),
        (b":authority", b"bench.example"),
        (b":path", path.encode()),
        (b"user-agent", b"bench/1.0"),
        (b"accept", b"*/*"),
        *more,
    ]


CASES: dict[str, Callable[[int], RawHeaders]] = {
    "repeating": lambda _: _request("/", []),
    "varying": lambda number: _request(f"/items/{number % 5000}?q={number}", [(b"x-number", b"%d" % number)]),
    "browser": lambda number: _request("/", [*_BROWSER, (b"x-number", b"%d" % number)]),
}
"""What the request with that number is: the same each time; of another path and heads; with many headers."""


class Nothing:
    """Hears nothing."""

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *_: None


class Answering:
    """Answers each request as it comes; with ``heads``, makes the version-blind head of it first, as a listener does."""

    def __init__(self, with_heads: bool) -> None:
        self.session: Any = None
        self.answered = 0
        self._heads = heads.RequestHeads(HeadLimits()) if with_heads else None

    def request_came(self, stream: int, headers: RawHeaders, ended: bool) -> None:
        self.answered += 1
        if self._heads is not None:
            self._heads.read(headers, ended)
        self.session.respond(stream, _ANSWER)
        self.session.send(stream, _BODY, ended=True)

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *_: None


def make(name: str, told: Any, limits: Limits, *, server: bool) -> Session:
    if name == "h2":
        return PureSession(told, limits, server=server)
    found = library()
    if found is None:
        raise SystemExit("libnghttp2 is not here")
    native.prepare(found)
    return native.NativeSession(told, limits, server=server)


def measure(name: str, case: str, rounds: int, with_heads: bool = False, profile: int = 0) -> float:
    """Return µs of process time per request, the least of so many rounds of 100 requests."""
    told = Answering(with_heads)
    session = told.session = make(name, told, Limits(), server=True)
    client = make("nghttp2" if library() else "h2", Nothing(), Limits(connection_window=1 << 30), server=False)
    number = 0
    best = float("inf")
    profiler = cProfile.Profile() if profile else None
    for _ in range(rounds):
        for _ in range(STREAMS):
            number += 1
            client.request(CASES[case](number), ended=True)
        data = client.output()
        if profiler is not None:
            profiler.enable()
        began = time.process_time()
        session.feed(data)
        answer = session.output()
        best = min(best, time.process_time() - began)
        if profiler is not None:
            profiler.disable()
        client.feed(answer)
        session.at(float(number))
        client.at(float(number))
    if told.answered != number or client.open_streams:
        raise SystemExit(f"{told.answered} of {number} were answered")
    if profiler is not None:
        pstats.Stats(profiler).sort_stats("tottime").print_stats(profile)
    return best / STREAMS * 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--library", choices=("nghttp2", "h2"))
    parser.add_argument("--case", choices=sorted(CASES))
    parser.add_argument("--rounds", type=int, default=300)
    parser.add_argument("--heads", action="store_true", help="also make the head that everything above reads")
    parser.add_argument("--profile", type=int, default=0, metavar="LINES")
    wanted = parser.parse_args()
    for name in [wanted.library] if wanted.library else ["nghttp2", "h2"]:
        for case in [wanted.case] if wanted.case else list(CASES):
            cost = measure(name, case, wanted.rounds, wanted.heads, wanted.profile)
            print(f"{name:8} {case:10} {cost:6.1f} µs per request")


if __name__ == "__main__":
    main()
