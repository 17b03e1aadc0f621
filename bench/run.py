"""``make bench``: what one request and one gigabyte cost the balancer, nginx and haproxy, in one run.

CPU time of the proxy's process is the measure: unlike requests per second it does not depend on what the load
generator's core can do. The proxy has a core of its own; servers and load share the other. Each peer takes its turn in
each round; the table shows the median of the rounds, and how it compares with nginx's.

    make bench ARGS="--rounds 5 --seconds 6 --case http"
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from bench.cpu import used  # noqa: E402
from bench.load import get_requests, servers, stream  # noqa: E402
from bench.peers import PEERS, Missing, Place, free_port, running  # noqa: E402

Figures = dict[str, float]
Case = Callable[[int, Place, float, "int | None"], Figures]


def keep_alive_get(pid: int, place: Place, seconds: float, core: int | None) -> Figures:
    """64 kept connections, a response of 100 bytes, access log on."""
    get_requests(place.http, 1, 64, core)
    before = used(pid)
    found = get_requests(place.http, seconds, 64, core)
    spent = used(pid) - before
    each = 1e6 / found["requests"]
    return {
        "µs/request": spent.total * each,
        "user": spent.user * each,
        "system": spent.system * each,
        "requests/s": found["rate"],
        "p50 ms": found["p50"],
        "p99 ms": found["p99"],
        "failed": found["failed"],
    }


def _stream(download: bool) -> Case:
    def case(pid: int, place: Place, seconds: float, core: int | None) -> Figures:
        before = used(pid)
        moved = stream(place.tcp, seconds, core, download)
        spent = used(pid) - before
        return {"s/GB": spent.total / moved * 1e9, "GB/s": moved / seconds / 1e9}

    return case


CASES: dict[str, Case] = {
    "HTTP keep-alive GET": keep_alive_get,
    "TCP stream, upload": _stream(download=False),
    "TCP stream, download": _stream(download=True),
}


def measure(rounds: int, seconds: float, wanted: str) -> dict[str, dict[str, list[Figures]]]:
    """Return the figures of each round, by case and peer, for the cases with ``wanted`` in their names."""
    cases = {case: run for case, run in CASES.items() if wanted.lower() in case.lower()}
    cores = sorted(os.sched_getaffinity(0))
    proxy, others = (cores[0], cores[1]) if len(cores) > 1 else (None, None)
    found: dict[str, dict[str, list[Figures]]] = {case: {} for case in cases}
    missing: set[str] = set()
    with tempfile.TemporaryDirectory(prefix="bench-") as scratch:
        directory = Path(scratch)
        http_server, tcp_server = free_port(), free_port()
        with servers(directory, http_server, tcp_server, others):
            for turn in range(rounds):
                for name in PEERS:
                    place = Place(directory, free_port(), free_port(), http_server, tcp_server)
                    try:
                        with running(name, place, proxy) as pid:
                            for case, run in cases.items():
                                _progress(f"round {turn + 1} of {rounds}: {name}, {case}")
                                found[case].setdefault(name, []).append(run(pid, place, seconds, others))
                    except Missing as error:
                        missing.add(f"{name}: {error}")
    _progress("")
    for each in sorted(missing):
        print(f"left out {each}")
    return found


def _progress(text: str) -> None:
    if sys.stderr.isatty():
        print(f"\r{text}\x1b[K", end="", file=sys.stderr, flush=True)


def show(found: dict[str, dict[str, list[Figures]]]) -> None:
    """Print a table for each case."""
    for case, peers in found.items():
        names = list(next(iter(peers.values()))[0])
        print(f"\n{case}\n" + f"  {'':12}" + "".join(f"{name:>13}" for name in [*names, "× nginx"]))
        beside = _median(peers["nginx"])[names[0]] if "nginx" in peers else float("nan")
        for peer, rounds in peers.items():
            figures = _median(rounds)
            cells = [f"{figures[name]:13,.2f}" if figures[name] < 1000 else f"{figures[name]:13,.0f}" for name in names]
            print(f"  {peer:12}" + "".join(cells) + f"{figures[names[0]] / beside:13.2f}")


def _median(rounds: list[Figures]) -> Figures:
    return {name: statistics.median(each[name] for each in rounds) for name in rounds[0]}


def main() -> int:
    """Measure, print, and leave the figures of every round in ``bench/results``."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=4.0, help="for each case of each round")
    parser.add_argument("--case", default="", help="only cases with this in their names")
    wanted = parser.parse_args()
    found = measure(wanted.rounds, wanted.seconds, wanted.case)
    show(found)
    results = ROOT / "bench" / "results"
    results.mkdir(exist_ok=True)
    file = results / f"{time.strftime('%Y-%m-%dT%H%M%S')}.json"
    machine = {"python": platform.python_version(), "kernel": platform.release(), "cores": os.cpu_count()}
    file.write_text(json.dumps({"machine": machine, "cases": found}, indent=1, ensure_ascii=False))
    print(f"\n{file.relative_to(ROOT)}")
    failed = sum(each.get("failed", 0) for peers in found.values() for rounds in peers.values() for each in rounds)
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
