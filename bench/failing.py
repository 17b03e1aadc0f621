"""Servers that fail in every way, under a steady load, behind the balancer and its peers, which are told the same policy.

Of five servers one fails (or two, where the case says so) for some seconds, and is mended. What came of the requests that were due from
then on is what a row shows: how many had a good answer, and when; how many attempts the servers saw for each request; for how long
clients felt it; how long after it was mended the server had its share again.

    .venv/bin/python bench/failing.py
    .venv/bin/python bench/failing.py --case stopped --peer envoy --peer uv --rate 800
"""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from bench.faults.load import Answer, ask, quantile  # noqa: E402
from bench.faults.peers import PEERS  # noqa: E402
from bench.faults.server import FailingServer  # noqa: E402
from bench.processes import Missing, NotStarted, free_port, started, wait_for  # noqa: E402

SERVERS = 5
WARM, BROKEN, MENDED = 1.0, 4.0, 3.0
_FELT = 0.1
"""Seconds from which a request counts as held up, where its server is not slow by itself."""


@dataclass(frozen=True)
class Case:
    """A way to fail, how many of the servers do, and whether they are asked for their health."""

    name: str
    mode: str
    servers: int = 1
    probed: bool = True


CASES = (
    Case("refuses", "refuse"),
    Case("hangs", "hang"),
    Case("takes no connection", "full"),
    Case("resets", "reset"),
    Case("resets mid-body", "cut"),
    Case("slow first byte", "slow"),
    Case("1 % 500s", "errors"),
    Case("503s", "busy"),
    Case("latency spikes", "spikes"),
    Case("flaps", "flapping"),
    Case("stopped", "stop"),
    Case("hangs, not probed", "hang", probed=False),
    Case("503s, not probed", "busy", probed=False),
    Case("two stopped", "stop", 2),
    Case("two refuse", "refuse", 2),
    Case("three stopped", "stop", 3),
    Case("all reset", "reset", 5),
    Case("all answer 503", "busy", 5),
)

SHOWN = ("GET ok %", "POST ok %", "p50 ms", "p99 ms", "p99.9 ms", "attempts", "hurt", "felt s", "back s")
ABOUT = {
    "GET ok %": "answered 200, of those due since the failure began",
    "attempts": "requests that reached servers, and connections refused, for each request",
    "hurt": "requests without a good answer, or later than 100 ms",
    "felt s": "from the failure to the last of those, while it lasted",
    "back s": "from the mending until the server has half its share of what is answered",
}


def _refused() -> int:
    """Return how many connections of this network name space were refused, or gave up: it is best to have one of its own (``unshare -n``)."""
    lines = [line.split() for line in Path("/proc/net/snmp").read_text().splitlines() if line.startswith("Tcp:")]
    return int(dict(zip(*lines, strict=True))["AttemptFails"])


def _fail(case: Case, servers: Sequence[FailingServer]) -> None:
    for server in servers[: case.servers]:
        if case.mode == "stop":
            server.process.send_signal(signal.SIGSTOP)
        else:
            server.become(case.mode)


def _mend(case: Case, servers: Sequence[FailingServer]) -> None:
    for server in servers[: case.servers]:
        if case.mode == "stop":
            server.process.send_signal(signal.SIGCONT)
        else:
            server.become("ok")


async def _story(case: Case, servers: Sequence[FailingServer], port: int, rate: float) -> tuple[list[Answer], float]:
    """Load, fail, mend; return what came of the requests since, and the attempts for each."""
    seen = {"count": 0, "refused": 0}

    async def act() -> None:
        await asyncio.sleep(WARM)
        seen["count"], seen["refused"] = sum(each.count() for each in servers), _refused()
        _fail(case, servers)
        await asyncio.sleep(BROKEN)
        seen["refused"] = _refused() - seen["refused"]
        _mend(case, servers)

    acting = asyncio.ensure_future(act())
    answers = await ask(port, WARM + BROKEN + MENDED, rate)
    await acting
    since = [answer for answer in answers if answer.due >= WARM]
    came = sum(each.count() for each in servers) - seen["count"]
    if case.mode in ("refuse", "flapping"):
        came += seen["refused"]
    return since, came / len(since)


def _back(case: Case, answers: Sequence[Answer]) -> float:
    """Return the seconds after the mending in which those that failed had half their share again; all of the time if they had not."""
    names = {f"s{number}" for number in range(case.servers)}
    step = 0.25
    for number in range(int(MENDED / step) - 1):
        begin = WARM + BROKEN + number * step
        within = [each for each in answers if begin <= each.due < begin + 2 * step and each.well]
        if sum(each.server in names for each in within) >= len(within) * case.servers / SERVERS / 2:
            return number * step
    return MENDED


def _figures(case: Case, answers: Sequence[Answer], attempts: float) -> dict[str, float]:
    gets = [each for each in answers if each.method == "GET"]
    posts = [each for each in answers if each.method == "POST"]
    times = [each.seconds for each in answers]
    hurt = [each for each in answers if not each.well or each.seconds > _FELT]
    felt = max((each.due - WARM for each in hurt if each.due < WARM + BROKEN), default=0.0)
    return {
        "GET ok %": 100 * sum(each.well for each in gets) / len(gets),
        "POST ok %": 100 * sum(each.well for each in posts) / len(posts),
        "p50 ms": quantile(times, 0.5) * 1000,
        "p99 ms": quantile(times, 0.99) * 1000,
        "p99.9 ms": quantile(times, 0.999) * 1000,
        "max ms": max(times) * 1000,
        "attempts": attempts,
        "hurt": len(hurt),
        "felt s": felt,
        "back s": _back(case, answers),
        "requests": len(answers),
    }


def _measure(case: Case, peer: str, rate: float, keep: Path | None) -> dict[str, float]:
    with tempfile.TemporaryDirectory(prefix="failing-") as scratch:
        directory = (
            Path(scratch)
            if keep is None
            else keep / "".join(each if each.isalnum() else "-" for each in f"{case.name}-{peer}")
        )
        directory.mkdir(exist_ok=True)
        servers = [FailingServer(f"s{number}", free_port()) for number in range(SERVERS)]
        try:
            port, output = free_port(), directory / "output"
            command = PEERS[peer](directory, port, [each.port for each in servers], case.probed)
            with started(command, None, output) as process:
                wait_for(process, [port], output)
                time.sleep(1.5)  # they are asked for their health, and found well
                answers, attempts = asyncio.run(_story(case, servers, port, rate))
        finally:
            for each in servers:
                each.end()
    return _figures(case, answers, attempts)


def _cell(figure: str, value: float | None) -> str:
    if value is None:
        return "-"
    if figure == "hurt":
        return f"{value:.0f}"
    return f"{value:.2f}" if "%" in figure or figure in ("attempts", "felt s", "back s") else f"{value:.1f}"


def rows(found: dict[str, dict[str, dict[str, float]]]) -> list[list[str]]:
    """Return the table: a line for each case and peer."""
    lines = [["case", "peer", *SHOWN]]
    for case, peers in found.items():
        for peer, figures in peers.items():
            lines.append([case, peer, *(_cell(each, figures.get(each)) for each in SHOWN)])
    return lines


def text(lines: Sequence[Sequence[str]]) -> str:
    """Return the table for a terminal."""
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if at < 2 else cell.rjust(width)
            for at, (cell, width) in enumerate(zip(line, widths, strict=True))
        )
        for line in lines
    )


def markdown(lines: Sequence[Sequence[str]]) -> str:
    """Return the table for a page."""
    whole = [lines[0], ["---", "---", *["--:"] * len(SHOWN)], *lines[1:]]
    return "\n".join(f"| {' | '.join(line)} |" for line in whole)


def _arguments(given: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rate", type=float, default=400.0, help="requests per second, a tenth of them POST")
    parser.add_argument("--case", action="append", default=[], help="only cases with this in their names; repeatable")
    parser.add_argument("--peer", action="append", default=[], help="only peers with this in their names; repeatable")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="keep the peers' configurations and logs")
    parser.add_argument("--markdown", action="store_true", help="print the table for a page")
    parser.add_argument("--results", type=Path, default=ROOT / "bench" / "results", help="folder for the figures")
    return parser.parse_args(given)


def main(given: Sequence[str] | None = None) -> int:
    """Measure, print, and leave the figures in ``bench/results``; status 1 if a retry storm or a failure was seen of ours."""
    wanted = _arguments(given)
    cases = [each for each in CASES if not wanted.case or any(part in each.name for part in wanted.case)]
    peers = [each for each in PEERS if not wanted.peer or any(part in each for part in wanted.peer)]
    found: dict[str, dict[str, dict[str, float]]] = {}
    left_out: dict[str, str] = {}
    if wanted.keep is not None:
        wanted.keep.mkdir(parents=True, exist_ok=True)
    for case in cases:
        found[case.name] = {}
        for peer in peers:
            if peer in left_out:
                continue
            print(f"{case.name}, {peer}", file=sys.stderr, flush=True)
            try:
                found[case.name][peer] = _measure(case, peer, wanted.rate, wanted.keep)
            except Missing as error:
                if case.probed:
                    left_out[peer] = str(error)
            except NotStarted as error:
                left_out[peer] = str(error)
    lines = rows(found)
    print(markdown(lines) if wanted.markdown else text(lines))
    for figure, what in ABOUT.items():
        print(f"{figure}: {what}")
    for peer, why in left_out.items():
        print(f"left out: {peer}: {why}")
    wanted.results.mkdir(parents=True, exist_ok=True)
    file = wanted.results / f"failing-{time.strftime('%Y-%m-%dT%H%M%S')}.json"
    how = {"rate": wanted.rate, "servers": SERVERS, "seconds": [WARM, BROKEN, MENDED]}
    file.write_text(json.dumps({"how": how, "cases": found, "left out": left_out}, indent=1, ensure_ascii=False))
    print(file)
    stormy = [
        f"{peer}, {case}" for case, each in found.items() for peer, figures in each.items() if _storms(peer, figures)
    ]
    for each in stormy:
        print(f"FAILED: more than 1.2 attempts for each request: {each}")
    return int(bool(stormy))


def _storms(peer: str, figures: dict[str, float]) -> bool:
    return peer.startswith("balancer") and figures["attempts"] > 1.2


if __name__ == "__main__":
    sys.exit(main())
